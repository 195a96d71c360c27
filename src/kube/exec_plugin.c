#include "kube/exec_plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/str.h"
#include "http/crypto.h"
#include "kube/credentials.h"
#include "json/build.h"

#define DEADLINE_NS (30 * NS_PER_S)
#define LOOK_MS 20
#define MAX_OUTPUT (1 * MIB)
#define MAX_COMPLAINT (2 * KIB)

extern char **environ;

/* ---- environment -------------------------------------------------------------------------------------------- */

/* The ExecCredential that the plugin is given. */
static char *exec_info(struct arena *a, const struct kube_config *config)
{
    struct json *cluster = NULL;
    if (config->exec_cluster_info) {
        char *ca = config->ca_pem ? base64_encode(a, config->ca_pem, strlen(config->ca_pem)) : NULL;
        /* clang-format off */
        cluster = OBJ("server", STR(config->server),
                      "tls-server-name", STR(config->tls_server_name),
                      "insecure-skip-tls-verify", config->insecure ? BOOL(true) : NULL,
                      "certificate-authority-data", STR(ca),
                      "proxy-url", STR(config->proxy));
        /* clang-format on */
    }
    /* clang-format off */
    return json_text(a, OBJ("kind", STR("ExecCredential"),
                            "apiVersion", STR(config->exec_api_version),
                            "spec", OBJ("cluster", cluster, "interactive", BOOL(false))));
    /* clang-format on */
}

static bool names_same(const char *x, const char *y)
{
    size_t len = strcspn(x, "=");
    return strncmp(x, y, len) == 0 && y[len] == '=';
}

/* Ours, without what the kubeconfig sets anew. */
static char **environment(struct arena *a, const struct kube_config *config)
{
    size_t ours = 0, theirs = 0;
    while (environ[ours])
        ours++;
    while (config->exec_env && config->exec_env[theirs])
        theirs++;
    char *info = arena_printf(a, "KUBERNETES_EXEC_INFO=%s", exec_info(a, config));
    char **env = arena_alloc(a, (ours + theirs + 2) * sizeof(*env));
    size_t count = 0;
    for (size_t i = 0; i < ours; i++) {
        bool replaced = names_same(info, environ[i]);
        for (size_t n = 0; n < theirs && !replaced; n++)
            replaced = names_same(config->exec_env[n], environ[i]);
        if (!replaced)
            env[count++] = environ[i];
    }
    for (size_t n = 0; n < theirs; n++)
        env[count++] = config->exec_env[n];
    env[count++] = info;
    env[count] = NULL;
    return env;
}

/* ---- running ------------------------------------------------------------------------------------------------ */

/* Reads what is there; closes at the end. Beyond the buffer's maximum it is thrown away. */
static void drain(int *fd, struct buf *out)
{
    char chunk[4096];
    ssize_t n = read(*fd, chunk, sizeof(chunk));
    if (n > 0) {
        buf_append(out, chunk, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(*fd);
        *fd = -1;
    }
}

static int reap(pid_t pid, bool kill_it)
{
    int status = 0;
    if (kill_it)
        kill(-pid, SIGKILL); /* it leads a session of its own: with all that it started */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* Until both ends are closed. */
static int collect(int *out, int *complaints, struct kube_cancel *cancel, struct buf *output,
                   struct buf *complaint, struct error **err)
{
    int64_t until = clock_mono(clock_system()) + DEADLINE_NS;
    while (*out >= 0 || *complaints >= 0) {
        struct pollfd fds[] = { { .fd = *out, .events = POLLIN },
                                { .fd = *complaints, .events = POLLIN } };
        poll(fds, COUNT_OF(fds), LOOK_MS);
        if (fds[0].revents)
            drain(out, output);
        if (fds[1].revents)
            drain(complaints, complaint);
        if (cancel && kube_cancel_is_set(cancel))
            return error_set(err, ERROR_CANCELLED, "interrupted");
        if (clock_mono(clock_system()) >= until)
            return error_set(err, ERROR_TIMEOUT, "did not end within %d s",
                             (int)(DEADLINE_NS / NS_PER_S));
    }
    return 0;
}

static int check(int status, const struct buf *output, const struct buf *complaint,
                 const struct kube_config *config, struct error **err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        if (!buf_ok(output))
            return error_set(err, ERROR_TOO_LARGE, "printed more than %zu bytes",
                             (size_t)MAX_OUTPUT);
        return 0;
    }
    AUTO_ARENA a = arena_new();
    char *said = str_trim(a, buf_str(complaint));
    const char *hint = config->exec_install_hint;
    return error_set(err, ERROR_UNAUTHORIZED, "%s %d%s%s%s%s",
                     WIFEXITED(status) ? "failed with exit status" : "was killed by signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), *said ? ": " : "",
                     said, hint ? "; " : "", hint ? hint : "");
}

int kube_exec_run(const struct kube_config *config, struct kube_cancel *cancel, struct buf *ret,
                  struct error **err)
{
    AUTO_ARENA a = arena_new();
    int out[2], complaints[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "cannot make a pipe");
    AUTO_FD out_read = out[0];
    AUTO_FD out_write = out[1];
    if (pipe2(complaints, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "cannot make a pipe");
    AUTO_FD complaints_read = complaints[0];
    AUTO_FD complaints_write = complaints[1];

    struct process_spec spec = PROCESS_SPEC_INIT;
    spec.path = config->exec_argv[0];
    spec.argv = config->exec_argv;
    spec.env = environment(a, config);
    spec.stdout_fd = out_write;
    spec.stderr_fd = complaints_write;
    spec.new_session = true;
    spec.die_with_parent = true;
    pid_t pid;
    int r = process_spawn(&spec, &pid, err);
    if (r < 0)
        return config->exec_install_hint && err
                   ? error_prefix(err, r, "%s", config->exec_install_hint)
                   : r;
    /* Ours must go, or the ends would never close. */
    close(out_write);
    close(complaints_write);
    out_write = complaints_write = -1;

    AUTO_BUF output = BUF_INIT(MAX_OUTPUT);
    AUTO_BUF complaint = BUF_INIT(MAX_COMPLAINT);
    r = collect(&out_read, &complaints_read, cancel, &output, &complaint, err);
    int status = reap(pid, r < 0);
    if (r == 0)
        r = check(status, &output, &complaint, config, err);
    if (r < 0)
        return r;
    *ret = output;
    output = (struct buf){ 0 };
    return 0;
}

/* ---- the answer --------------------------------------------------------------------------------------------- */

int kube_exec_parse(struct arena *a, const char *text, size_t len, const char *api_version,
                    struct kube_credential *ret, int64_t *ret_expires_ns, struct error **err)
{
    struct json *answer = NULL;
    int r = json_parse(a, text, len, &answer, err);
    if (r < 0)
        return error_prefix(err, r, "its output is not JSON");
    const char *kind = json_find_str(answer, "kind");
    const char *version = json_find_str(answer, "apiVersion");
    const struct json *status = json_get(answer, "status");
    if (!str_eq(kind, "ExecCredential") || !str_eq(version, api_version))
        return error_set(
            err, ERROR_INVALID,
            "it answered with kind \"%s\" of apiVersion \"%s\", not with an ExecCredential of %s",
            kind ? kind : "", version ? version : "", api_version);
    const char *token = json_find_str(status, "token");
    const char *cert = json_find_str(status, "clientCertificateData");
    const char *key = json_find_str(status, "clientKeyData");
    const char *expires = json_find_str(status, "expirationTimestamp");
    if (str_empty(token) && str_empty(cert))
        return error_set(err, ERROR_INVALID,
                         "its answer has neither status.token nor status.clientCertificateData");
    if (str_empty(cert) != str_empty(key))
        return error_set(
            err, ERROR_INVALID,
            "its answer has only one of status.clientCertificateData and status.clientKeyData");
    if (token && strpbrk(token, "\r\n"))
        return error_set(err, ERROR_INVALID, "status.token of its answer is more than one line");
    int64_t expires_ns = 0;
    if (!str_empty(expires) && time_parse_rfc3339(expires, &expires_ns) < 0)
        return error_set(err, ERROR_INVALID,
                         "status.expirationTimestamp of its answer is \"%s\", not a time", expires);
    *ret = (struct kube_credential){
        .authorization = str_empty(token) ? NULL : arena_printf(a, "Bearer %s", token),
        .cert_pem = str_empty(cert) ? NULL : cert,
        .key_pem = str_empty(cert) ? NULL : key,
    };
    *ret_expires_ns = expires_ns;
    return 0;
}
