/* A kubeconfig file → struct kube_config. What it says and we cannot do is refused by name: a
 * client that leaves out, say, an impersonation acts as somebody else. */
#include "kube/config.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/crypto.h"
#include "yaml/yaml.h"

#define MAX_FILE (4 * MIB)
#define MAX_ARGS 1000

void kube_config_free(struct kube_config *c)
{
    if (!c)
        return;
    char **strings[] = { &c->server,           &c->ns,       &c->ca_pem,
                         &c->cert_pem,         &c->key_pem,  &c->token,
                         &c->token_file,       &c->username, &c->password,
                         &c->tls_server_name,  &c->proxy,    &c->exec_api_version,
                         &c->exec_install_hint };
    for (size_t i = 0; i < COUNT_OF(strings); i++)
        free(*strings[i]);
    char **lists[] = { c->exec_argv, c->exec_env };
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        for (size_t n = 0; lists[i] && lists[i][n]; n++)
            free(lists[i][n]);
        free(lists[i]);
    }
    free(c);
}

/* What the helpers below need to name a field and to find a file. */
struct reader {
    struct arena *a;
    const char *base_dir;
    const char *list;         /* "users" */
    const char *entry;        /* "admin" */
    const char *part;         /* "user" */
    const struct json *value; /* users[admin].user */
};

static int field_error(const struct reader *r, const char *field, struct error **err,
                       const char *text)
{
    return error_set(err, ERROR_INVALID, "%s[%s].%s.%s: %s", r->list, r->entry, r->part, field,
                     text);
}

/* ---- entries ------------------------------------------------------------------------------------------------ */

static char *names_of(struct arena *a, const struct json *list)
{
    AUTO_BUF out = BUF_INIT(4 * KIB);
    JSON_FOREACH(it, list) {
        const char *name = json_find_str(it.value, "name");
        buf_printf(&out, "%s%s", out.len > 0 ? ", " : "", name ? name : "?");
    }
    return out.len > 0 ? arena_strndup(a, buf_str(&out), out.len) : arena_strdup(a, "none");
}

static int find_entry(struct reader *r, const struct json *config, const char *list,
                      const char *name, const char *part, struct error **err)
{
    r->list = list;
    r->entry = name;
    r->part = part;
    JSON_FOREACH(it, json_get(config, list)) {
        if (str_eq(json_find_str(it.value, "name"), name)) {
            r->value = json_get(it.value, part);
            return 0;
        }
    }
    return error_set(err, ERROR_NOT_FOUND, "%s: there is no \"%s\" (there are: %s)", list, name,
                     names_of(r->a, json_get(config, list)));
}

static int get_string(const struct reader *r, const char *field, char **ret, struct error **err)
{
    const struct json *v = json_get(r->value, field);
    if (json_is_null(v))
        return 0;
    if (!json_is_string(v))
        return field_error(r, field, err, "must be a string");
    if (*json_string(v)) {
        free(*ret);
        *ret = mem_strdup(json_string(v));
    }
    return 0;
}

static int get_bool(const struct reader *r, const char *field, bool *ret, struct error **err)
{
    const struct json *v = json_get(r->value, field);
    if (!json_is_null(v) && !json_is_bool(v))
        return field_error(r, field, err, "must be true or false");
    *ret = json_bool(v, false);
    return 0;
}

static char *resolve(const struct reader *r, const char *path)
{
    if (*path == '/' || str_empty(r->base_dir))
        return mem_strdup(path);
    return mem_printf("%s/%s", r->base_dir, path);
}

static int decode_data(const struct reader *r, const char *field, const char *text, char **ret,
                       struct error **err)
{
    AUTO_BUF packed = BUF_INIT(MAX_FILE);
    for (; *text; text++)
        if (!strchr(" \t\r\n", *text))
            buf_putc(&packed, *text);
    char *data = NULL;
    size_t len = 0;
    if (base64_decode(r->a, buf_str(&packed), packed.len, &data, &len) < 0 || strlen(data) != len)
        return field_error(r, field, err, "is not base64 of PEM text");
    free(*ret);
    *ret = mem_strdup(data);
    return 0;
}

/* "field-data" (base64) or else the content of the file that "field" names. */
static int get_pem(const struct reader *r, const char *field, char **ret, struct error **err)
{
    AUTO_FREE char *data = NULL, *path = NULL;
    const char *data_field = arena_printf(r->a, "%s-data", field);
    int rc = get_string(r, data_field, &data, err);
    if (rc == 0)
        rc = get_string(r, field, &path, err);
    if (rc < 0)
        return rc;
    if (data)
        return decode_data(r, data_field, data, ret, err);
    if (!path)
        return 0;
    AUTO_FREE char *full = resolve(r, path);
    char *text = NULL;
    rc = file_read(full, MAX_FILE, &text, NULL, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s[%s].%s.%s", r->list, r->entry, r->part, field);
    free(*ret);
    *ret = text;
    return 0;
}

/* ---- cluster ------------------------------------------------------------------------------------------------ */

static int read_server(const struct reader *r, struct kube_config *c, struct error **err)
{
    int rc = get_string(r, "server", &c->server, err);
    if (rc < 0)
        return rc;
    if (!c->server)
        return field_error(r, "server", err, "is missing");
    if (!strstr(c->server, "://")) {
        bool tls = c->ca_pem || c->insecure;
        char *full = mem_printf("%s://%s", tls ? "https" : "http", c->server);
        free(c->server);
        c->server = full;
    }
    if (!str_has_prefix(c->server, "https://") && !str_has_prefix(c->server, "http://"))
        return field_error(r, "server", err, "must be an https:// or http:// URL");
    if (strpbrk(c->server, " \t\r\n?#"))
        return field_error(r, "server", err, "must be a URL without spaces, query and fragment");
    for (size_t len = strlen(c->server); len > 0 && c->server[len - 1] == '/'; len--)
        c->server[len - 1] = '\0';
    return 0;
}

static int read_cluster(const struct reader *r, struct kube_config *c, struct error **err)
{
    int rc = get_bool(r, "insecure-skip-tls-verify", &c->insecure, err);
    if (rc == 0)
        rc = get_pem(r, "certificate-authority", &c->ca_pem, err);
    if (rc == 0)
        rc = get_string(r, "tls-server-name", &c->tls_server_name, err);
    if (rc == 0)
        rc = get_string(r, "proxy-url", &c->proxy, err);
    if (rc == 0)
        rc = read_server(r, c, err);
    if (rc < 0)
        return rc;
    if (c->insecure && c->ca_pem)
        return field_error(r, "insecure-skip-tls-verify", err,
                           "is true, and a certificate authority is given; remove one of them");
    return 0;
}

/* ---- user --------------------------------------------------------------------------------------------------- */

/* `first` (taken over, may be NULL) stands in front of the list. */
static int read_exec_list(const struct reader *exec, const char *field, char *first, char ***ret,
                          struct error **err)
{
    const struct json *list = json_get(exec->value, field);
    bool env = STREQ(field, "env");
    *ret = mem_zalloc((json_size(list) + 2) * sizeof(char *));
    size_t count = 0;
    if (first)
        (*ret)[count++] = first;
    if ((!json_is_null(list) && !json_is_array(list)) || json_size(list) > MAX_ARGS)
        return field_error(exec, field, err, "must be a list of at most 1000 items");
    JSON_FOREACH(it, list) {
        const char *name = env ? json_find_str(it.value, "name") : "";
        const char *value = json_string(env ? json_get(it.value, "value") : it.value);
        if (env && !value)
            value = "";
        if (!name || !value || (env && (!*name || strchr(name, '='))))
            return field_error(exec, field, err,
                               env ? "each item needs a name" : "each item must be a string");
        (*ret)[count++] = env ? mem_printf("%s=%s", name, value) : mem_strdup(value);
    }
    return 0;
}

static int read_exec(const struct reader *user, struct kube_config *c, struct error **err)
{
    if (json_is_null(json_get(user->value, "exec")))
        return 0;
    struct reader exec = *user;
    exec.part = "user.exec";
    exec.value = json_get(user->value, "exec");
    AUTO_FREE char *command = NULL, *mode = NULL;
    int rc = get_string(&exec, "command", &command, err);
    if (rc == 0)
        rc = get_string(&exec, "apiVersion", &c->exec_api_version, err);
    if (rc == 0)
        rc = get_string(&exec, "installHint", &c->exec_install_hint, err);
    if (rc == 0)
        rc = get_string(&exec, "interactiveMode", &mode, err);
    if (rc == 0)
        rc = get_bool(&exec, "provideClusterInfo", &c->exec_cluster_info, err);
    if (rc < 0)
        return rc;
    if (!command)
        return field_error(&exec, "command", err, "is missing");
    if (!str_eq(c->exec_api_version, "client.authentication.k8s.io/v1") &&
        !str_eq(c->exec_api_version, "client.authentication.k8s.io/v1beta1"))
        return field_error(
            &exec, "apiVersion", err,
            "must be client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1");
    if (str_eq(mode, "Always"))
        return field_error(&exec, "interactiveMode", err, "is Always, and there is nobody to ask");
    rc = read_exec_list(&exec, "env", NULL, &c->exec_env, err);
    if (rc < 0)
        return rc;
    char *full = strchr(command, '/') ? resolve(user, command) : mem_strdup(command);
    return read_exec_list(&exec, "args", full, &c->exec_argv, err);
}

static int read_user(const struct reader *r, struct kube_config *c, struct error **err)
{
    static const char *const refused[] = { "as", "as-uid", "as-groups", "as-user-extra",
                                           "auth-provider" };
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        if (!json_is_null(json_get(r->value, refused[i])))
            return error_set(err, ERROR_UNSUPPORTED, "%s[%s].%s.%s: is not supported", r->list,
                             r->entry, r->part, refused[i]);

    AUTO_FREE char *token_file = NULL;
    int rc = get_pem(r, "client-certificate", &c->cert_pem, err);
    if (rc == 0)
        rc = get_pem(r, "client-key", &c->key_pem, err);
    if (rc == 0)
        rc = get_string(r, "token", &c->token, err);
    if (rc == 0)
        rc = get_string(r, "tokenFile", &token_file, err);
    if (rc == 0)
        rc = get_string(r, "username", &c->username, err);
    if (rc == 0)
        rc = get_string(r, "password", &c->password, err);
    if (rc == 0)
        rc = read_exec(r, c, err);
    if (rc < 0)
        return rc;
    if (token_file)
        c->token_file = resolve(r, token_file);
    if (c->cert_pem && !c->key_pem)
        return field_error(r, "client-key", err, "is missing (a client certificate is given)");
    if (c->key_pem && !c->cert_pem)
        return field_error(r, "client-certificate", err, "is missing (a client key is given)");
    if ((c->username || c->password) && (c->token || c->token_file))
        return field_error(r, "username", err, "a token is given as well; remove one of them");
    if (c->token && strpbrk(c->token, "\r\n"))
        return field_error(r, "token", err, "must be one line");
    return 0;
}

/* ---- the file ----------------------------------------------------------------------------------------------- */

static int read_context(struct reader *r, const struct json *config, const char *context,
                        struct kube_config *c, struct error **err)
{
    if (str_empty(context))
        context = json_find_str(config, "current-context");
    if (str_empty(context))
        return error_set(err, ERROR_INVALID, "current-context is not set (contexts: %s)",
                         names_of(r->a, json_get(config, "contexts")));
    int rc = find_entry(r, config, "contexts", context, "context", err);
    if (rc < 0)
        return rc;
    AUTO_FREE char *cluster = NULL, *user = NULL;
    rc = get_string(r, "cluster", &cluster, err);
    if (rc == 0)
        rc = get_string(r, "user", &user, err);
    if (rc == 0)
        rc = get_string(r, "namespace", &c->ns, err);
    if (rc == 0 && !cluster)
        rc = field_error(r, "cluster", err, "is missing");
    if (rc < 0)
        return rc;
    if (!c->ns)
        c->ns = mem_strdup("default");
    rc = find_entry(r, config, "clusters", cluster, "cluster", err);
    if (rc == 0)
        rc = read_cluster(r, c, err);
    if (rc < 0 || !user)
        return rc;
    rc = find_entry(r, config, "users", user, "user", err);
    return rc < 0 ? rc : read_user(r, c, err);
}

int kube_config_parse(const char *yaml, size_t len, const char *base_dir, const char *context,
                      struct kube_config **ret, struct error **err)
{
    AUTO_ARENA a = arena_new();
    struct json *config = NULL;
    int r = yaml_parse(a, yaml, len, &config, err);
    if (r < 0)
        return r;
    if (!json_is_object(config))
        return error_set(err, ERROR_INVALID, "is not a kubeconfig file: it has no fields");
    CLEANUP(kube_config_cleanup) struct kube_config *c = NEW0(struct kube_config);
    struct reader reader = { .a = a, .base_dir = base_dir };
    r = read_context(&reader, config, context, c, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}
