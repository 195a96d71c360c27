/* Environment and command line of a container, in the kubelet's order: image, envFrom, env; later
 * ones win, and a value may use what stands before it. */
#include "machine/podenv.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "kube/meta.h"

/* Arguments and environment of one process; the kernel takes no more than about this. */
#define MAX_TEXT (4 * MIB)

/* ---- expansion ----------------------------------------------------------------------------------------------------- */

char *env_expand(struct arena *a, const char *text,
                 const char *(*lookup)(void *ctx, const char *name), void *ctx)
{
    AUTO_BUF b = BUF_INIT(MAX_TEXT);
    while (*text) {
        const char *close = text[0] == '$' && text[1] == '(' ? strchr(text, ')') : NULL;
        if (text[0] == '$' && text[1] == '$') {
            buf_putc(&b, '$');
            text += 2;
        } else if (close) {
            const char *value = lookup(ctx, arena_strndup(a, text + 2, (size_t)(close - text) - 2));
            if (value)
                buf_puts(&b, value);
            else
                buf_append(&b, text, (size_t)(close - text) + 1);
            text = close + 1;
        } else {
            buf_putc(&b, *text++);
        }
    }
    return arena_strdup(a, buf_str(&b));
}

static const char *lookup_map(void *ctx, const char *name)
{
    return map_get(ctx, name);
}

/* ---- values -------------------------------------------------------------------------------------------------------- */

static int value_from(struct arena *a, const struct env_request *q, const struct json *from,
                      const char **ret, struct error **err)
{
    const struct json *ref;
    if ((ref = json_get(from, "fieldRef")))
        return pod_field(a, q->pod, json_find_str(ref, "fieldPath"), ret, err);
    if ((ref = json_get(from, "resourceFieldRef")))
        return pod_resource_field(a, q->pod, q->container, ref, ret, err);
    if ((ref = json_get(from, "configMapKeyRef")))
        return pod_source_key(a, q->pod, "configmaps", ref, ret, err);
    if ((ref = json_get(from, "secretKeyRef")))
        return pod_source_key(a, q->pod, "secrets", ref, ret, err);
    return error_set(err, ERROR_UNSUPPORTED, "unsupported source of an environment variable");
}

static bool valid_name(const char *name)
{
    return *name && !strchr(name, '=');
}

static int add_source(struct arena *a, const struct env_request *q, struct map *env,
                      const char *resource, const struct json *ref, const char *prefix,
                      struct error **err)
{
    const struct pod_sources *src = q->pod->sources;
    struct json *obj = NULL;
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r = src->get(src->ctx, resource, meta_namespace(q->pod->pod), json_find_str(ref, "name"), a,
                     &obj, &e);
    if (r == -ERROR_NOT_FOUND && json_find_bool(ref, false, "optional"))
        return 0;
    if (r < 0) {
        if (err)
            *err = TAKE_PTR(e);
        return r;
    }
    struct pod_value *values = NULL;
    size_t n = 0;
    r = pod_source_values(a, resource, obj, &values, &n, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        const char *name = arena_printf(a, "%s%s", prefix, values[i].key);
        if (valid_name(name) && strlen(values[i].data) == values[i].len)
            map_set(env, name, (char *)values[i].data);
    }
    return r;
}

static int add_env_from(struct arena *a, const struct env_request *q, struct map *env,
                        struct error **err)
{
    int r = 0;
    JSON_FOREACH(it, json_get(q->container, "envFrom")) {
        const char *prefix = json_find_str(it.value, "prefix");
        const struct json *config = json_get(it.value, "configMapRef");
        const struct json *secret = json_get(it.value, "secretRef");
        if (r == 0 && config)
            r = add_source(a, q, env, "configmaps", config, prefix ? prefix : "", err);
        if (r == 0 && secret)
            r = add_source(a, q, env, "secrets", secret, prefix ? prefix : "", err);
    }
    return r;
}

static int add_env(struct arena *a, const struct env_request *q, struct map *env,
                   struct error **err)
{
    JSON_FOREACH(it, json_get(q->container, "env")) {
        const char *name = json_find_str(it.value, "name");
        const char *value = json_find_str(it.value, "value");
        const struct json *from = json_get(it.value, "valueFrom");
        if (from && !value) {
            int r = value_from(a, q, from, &value, err);
            if (r < 0)
                return r;
            /* An optional key that is absent sets nothing; an absent label sets an empty value. */
            if (!value && (json_get(from, "configMapKeyRef") || json_get(from, "secretKeyRef")))
                continue;
        } else if (value) {
            value = env_expand(a, value, lookup_map, env);
        }
        if (name && valid_name(name))
            map_set(env, name, (char *)(value ? value : ""));
    }
    return 0;
}

/* ---- all together -------------------------------------------------------------------------------------------------- */

static void set_default(struct map *env, const char *name, const char *value)
{
    if (value && !map_has(env, name))
        map_set(env, name, (char *)value);
}

static const char *mounts_text(struct arena *a, const struct env_request *q)
{
    AUTO_BUF b = BUF_INIT(MAX_TEXT);
    for (size_t i = 0; i < q->mount_count; i++)
        buf_printf(&b, "%s%s=%s", i ? ":" : "", q->mounts[i].mount_path, q->mounts[i].real_path);
    return arena_strdup(a, buf_str(&b));
}

static char **words(struct arena *a, const struct env_request *q, struct map *env,
                    const struct json *list, char **at)
{
    JSON_FOREACH(it, list) {
        const char *word = json_string(it.value);
        if (word)
            *at++ = volumes_translate(a, q->mounts, q->mount_count,
                                      env_expand(a, word, lookup_map, env));
    }
    return at;
}

int env_build(struct arena *a, const struct env_request *q, struct env_result *ret,
              struct error **err)
{
    AUTO_MAP env = map_new(NULL);
    JSON_FOREACH(it, q->image_env) {
        map_set(env, it.key, (char *)json_string(it.value));
    }
    int r = add_env_from(a, q, env, err);
    if (r == 0)
        r = add_env(a, q, env, err);
    if (r < 0)
        return r;
    const char *hostname = json_find_str(q->pod->pod, "spec", "hostname");
    const char *home = getenv("HOME");
    set_default(env, "PATH", q->path);
    set_default(env, "HOME", home ? home : "/");
    set_default(env, "HOSTNAME", hostname ? hostname : meta_name(q->pod->pod));
    set_default(env, "KAITO_MODELS_DIR", q->pod->models_dir);
    map_set(env, "KAITO_POD_IP", (char *)q->pod->ip);

    const struct json *command = json_get(q->container, "command");
    const struct json *args = json_get(q->container, "args");
    char **argv = arena_zalloc(a, (json_size(command) + json_size(args) + 1) * sizeof(*argv));
    words(a, q, env, args, words(a, q, env, command, argv));

    char **list = arena_zalloc(a, (map_size(env) + 2) * sizeof(*list));
    size_t n = 0;
    struct map_iter it = MAP_ITER_INIT;
    const char *name;
    void *value;
    while (map_next(env, &it, &name, &value))
        list[n++] =
            arena_printf(a, "%s=%s", name, volumes_translate(a, q->mounts, q->mount_count, value));
    if (q->mount_count > 0)
        list[n++] = arena_printf(a, "KAITO_MOUNTS=%s", mounts_text(a, q));
    *ret = (struct env_result){ .env = list, .argv = argv, .has_command = json_size(command) > 0 };
    return 0;
}
