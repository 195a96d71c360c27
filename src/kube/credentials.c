/* Static credentials are copied once. A token file is read again every 10 seconds, for Kubernetes
 * puts a new token in its place long before the old one expires. A plugin
 * (client.authentication.k8s.io) is run when its last answer has expired, by whoever needs it
 * first, while the others wait. */
#include "kube/credentials.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/crypto.h"
#include "kube/exec_plugin.h"
#include "json/json.h"

#define TOKEN_MAX (1 * MIB)
#define TOKEN_FILE_NS (10 * NS_PER_S)
#define EXPIRY_MARGIN_NS (10 * NS_PER_S)
#define REJECTED_PAUSE_NS                                                                          \
    (10 * NS_PER_S) /* a plugin whose answers are refused must not be run for every request */
#define LOOK_NS (20 * NS_PER_MS)

/* A client certificate of a plugin. curl refers to the text as long as the connections live, so old
 * ones are kept. */
struct cert {
    char *cert_pem, *key_pem;
    struct cert *next;
};

struct kube_credentials {
    const struct kube_config *config;
    char *basic; /* "Basic …" */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *token;        /* of the file or the plugin */
    int64_t read_ns;    /* mono; when the file was read or the plugin run; 0: never */
    int64_t expires_ns; /* wall; 0: never */
    bool rejected;
    bool running;       /* somebody runs the plugin */
    struct cert *certs; /* latest first */
};

struct kube_credentials *kube_credentials_new(const struct kube_config *config)
{
    struct kube_credentials *c = NEW0(struct kube_credentials);
    c->config = config;
    pthread_mutex_init(&c->lock, NULL);
    cond_init_monotonic(&c->changed);
    if (config->username || config->password) {
        AUTO_ARENA a = arena_new();
        const char *pair = arena_printf(a, "%s:%s", config->username ? config->username : "",
                                        config->password ? config->password : "");
        c->basic = mem_printf("Basic %s", base64_encode(a, pair, strlen(pair)));
    }
    return c;
}

void kube_credentials_free(struct kube_credentials *c)
{
    if (!c)
        return;
    while (c->certs) {
        struct cert *cert = c->certs;
        c->certs = cert->next;
        free(cert->cert_pem);
        free(cert->key_pem);
        free(cert);
    }
    free(c->token);
    free(c->basic);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- token file --------------------------------------------------------------------------------------------- */

/* Under the lock. A file that cannot be read now does not take away the token that it gave before.
 */
static int refresh_token_file(struct kube_credentials *c, struct error **err)
{
    int64_t now = clock_mono(clock_system());
    if (c->token && !c->rejected && now - c->read_ns < TOKEN_FILE_NS)
        return 0;
    c->read_ns = now;
    c->rejected = false;
    AUTO_ARENA a = arena_new();
    AUTO_FREE char *text = NULL;
    struct error *why = NULL;
    int r = file_read(c->config->token_file, TOKEN_MAX, &text, NULL, &why);
    const char *token = r == 0 ? str_trim(a, text) : "";
    if (r == 0 && (!*token || strpbrk(token, "\r\n")))
        r = error_set(&why, ERROR_INVALID, "%s does not hold one token", c->config->token_file);
    if (r == 0) {
        free(c->token);
        c->token = mem_strdup(token);
        return 0;
    }
    if (c->token) {
        error_free(why);
        return 0;
    }
    r = error_set(err, ERROR_UNAUTHORIZED, "token file: %s", error_message(why));
    error_free(why);
    return r;
}

/* ---- plugin ------------------------------------------------------------------------------------------------- */

static bool plugin_due(const struct kube_credentials *c)
{
    if (c->read_ns == 0)
        return true;
    if (c->expires_ns > 0 && clock_wall(clock_system()) >= c->expires_ns - EXPIRY_MARGIN_NS)
        return true;
    return c->rejected && clock_mono(clock_system()) - c->read_ns >= REJECTED_PAUSE_NS;
}

/* Under the lock. */
static void keep_answer(struct kube_credentials *c, const struct kube_credential *answer,
                        int64_t expires_ns)
{
    const char *token =
        answer->authorization ? str_skip_prefix(answer->authorization, "Bearer ") : NULL;
    free(c->token);
    c->token = mem_strdup(token);
    c->expires_ns = expires_ns;
    c->read_ns = clock_mono(clock_system());
    c->rejected = false;
    if (!answer->cert_pem || (c->certs && STREQ(c->certs->cert_pem, answer->cert_pem) &&
                              STREQ(c->certs->key_pem, answer->key_pem)))
        return;
    struct cert *cert = NEW0(struct cert);
    cert->cert_pem = mem_strdup(answer->cert_pem);
    cert->key_pem = mem_strdup(answer->key_pem);
    cert->next = c->certs;
    c->certs = cert;
}

/* Without the lock. */
static int run_plugin(struct kube_credentials *c, struct kube_cancel *cancel, struct error **err)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF output = { 0 };
    struct kube_credential answer = { 0 };
    int64_t expires_ns = 0;
    int r = kube_exec_run(c->config, cancel, &output, err);
    if (r == 0)
        r = kube_exec_parse(a, buf_str(&output), output.len, c->config->exec_api_version, &answer,
                            &expires_ns, err);
    if (r < 0)
        return error_prefix(err, r, "credential plugin %s", c->config->exec_argv[0]);
    LOCK(&c->lock);
    keep_answer(c, &answer, expires_ns);
    return 0;
}

static int refresh_plugin(struct kube_credentials *c, struct kube_cancel *cancel,
                          struct error **err)
{
    pthread_mutex_lock(&c->lock);
    while (c->running && !(cancel && kube_cancel_is_set(cancel)))
        cond_wait_until(&c->changed, &c->lock, clock_mono(clock_system()) + LOOK_NS);
    bool cancelled = c->running;
    bool due = plugin_due(c);
    if (due && !cancelled)
        c->running = true;
    pthread_mutex_unlock(&c->lock);
    if (cancelled)
        return error_set(err, ERROR_CANCELLED, "interrupted while the credential plugin ran");
    if (!due)
        return 0;

    int r = run_plugin(c, cancel, err);
    LOCK(&c->lock);
    c->running = false;
    pthread_cond_broadcast(&c->changed);
    return r;
}

/* ---- the answer --------------------------------------------------------------------------------------------- */

int kube_credentials_get(struct kube_credentials *c, struct arena *a, struct kube_cancel *cancel,
                         struct kube_credential *ret, struct error **err)
{
    const struct kube_config *config = c->config;
    *ret = (struct kube_credential){ .authorization = c->basic,
                                     .cert_pem = config->cert_pem,
                                     .key_pem = config->key_pem };
    bool plugin = config->exec_argv && !config->token && !config->token_file && !c->basic;
    int r = plugin ? refresh_plugin(c, cancel, err) : 0;
    if (r < 0)
        return r;
    LOCK(&c->lock);
    if (config->token_file) {
        r = refresh_token_file(c, err);
        if (r < 0)
            return r;
    }
    const char *token = config->token_file || plugin ? c->token : config->token;
    if (token)
        ret->authorization = arena_printf(a, "Bearer %s", token);
    if (plugin && c->certs) {
        ret->cert_pem = c->certs->cert_pem;
        ret->key_pem = c->certs->key_pem;
    }
    return 0;
}

void kube_credentials_rejected(struct kube_credentials *c)
{
    LOCK(&c->lock);
    c->rejected = true;
}
