/* Where a configuration is looked for. */
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/config.h"

#define MAX_FILE (4 * MIB)
#define ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

static int load_file(const char *path, const char *context, struct kube_config **ret,
                     struct error **err)
{
    AUTO_ARENA a = arena_new();
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    int r = file_read(path, MAX_FILE, &text, &len, err);
    if (r < 0)
        return error_prefix(err, r, "kubeconfig");
    const char *slash = strrchr(path, '/');
    const char *dir = !slash          ? "."
                      : slash == path ? "/"
                                      : arena_strndup(a, path, (size_t)(slash - path));
    return error_prefix(err, kube_config_parse(text, len, dir, context, ret, err), "kubeconfig %s",
                        path);
}

/* The first file of $KUBECONFIG that exists; NULL: none. */
static const char *first_existing(struct arena *a, const char *list)
{
    char **paths = str_split(a, list, ':', NULL);
    for (size_t i = 0; paths[i]; i++)
        if (*paths[i] && file_exists(paths[i]))
            return paths[i];
    return NULL;
}

static const char *home_config(struct arena *a)
{
    const char *home = getenv("HOME");
    if (!str_empty(home))
        return arena_printf(a, "%s/.kube/config", home);
    char scratch[4096];
    struct passwd entry, *found = NULL;
    if (getpwuid_r(getuid(), &entry, scratch, sizeof(scratch), &found) != 0 || !found)
        return NULL;
    return arena_printf(a, "%s/.kube/config", found->pw_dir);
}

int kube_config_in_cluster(const char *dir, const char *host, const char *port,
                           struct kube_config **ret, struct error **err)
{
    AUTO_ARENA a = arena_new();
    CLEANUP(kube_config_cleanup) struct kube_config *c = NEW0(struct kube_config);
    c->token_file = mem_printf("%s/token", dir);
    if (!file_exists(c->token_file))
        return error_set(err, ERROR_NOT_FOUND, "there is no service account token in %s",
                         c->token_file);
    bool v6 = strchr(host, ':') && *host != '[';
    c->server =
        mem_printf(v6 ? "https://[%s]:%s" : "https://%s:%s", host, str_empty(port) ? "443" : port);
    /* Without it the system's certificate authorities would be trusted to name the API server. */
    int r = file_read(arena_printf(a, "%s/ca.crt", dir), MAX_FILE, &c->ca_pem, NULL, err);
    if (r < 0)
        return error_prefix(err, r, "service account");
    AUTO_FREE char *ns = NULL;
    if (file_read(arena_printf(a, "%s/namespace", dir), KIB, &ns, NULL, NULL) == 0)
        c->ns = mem_strdup(str_trim(a, ns));
    if (str_empty(c->ns)) {
        free(c->ns);
        c->ns = mem_strdup("default");
    }
    *ret = TAKE_PTR(c);
    return 0;
}

int kube_config_load(const char *path, const char *context, struct kube_config **ret,
                     struct error **err)
{
    AUTO_ARENA a = arena_new();
    if (!str_empty(path))
        return load_file(path, context, ret, err);

    const char *list = getenv("KUBECONFIG");
    if (!str_empty(list)) {
        const char *found = first_existing(a, list);
        if (!found)
            return error_set(err, ERROR_NOT_FOUND, "no file that $KUBECONFIG names exists: %s",
                             list);
        return load_file(found, context, ret, err);
    }

    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    struct error *why = NULL;
    if (!str_empty(host)) {
        int r =
            kube_config_in_cluster(ACCOUNT_DIR, host, getenv("KUBERNETES_SERVICE_PORT"), ret, &why);
        if (r == 0)
            return 0;
    }
    const char *home = home_config(a);
    if (home && file_exists(home)) {
        error_free(why);
        return load_file(home, context, ret, err);
    }
    int r = error_set(
        err, ERROR_NOT_FOUND,
        "no cluster is configured: $KUBECONFIG is not set, %s, and %s does not exist; name a kubeconfig file",
        why ? error_message(why) : "this is not a pod ($KUBERNETES_SERVICE_HOST is not set)",
        home ? home : "~/.kube/config");
    error_free(why);
    return r;
}
