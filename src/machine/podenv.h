/* What a pod gives its containers besides programs: values from its own fields, ConfigMaps and
 * Secrets, as environment and as files. The words of errors are the kubelet's. */
#pragma once

#include "json/json.h"

/* Where ConfigMaps and Secrets come from: the API server, or a test. */
struct pod_sources {
    /* resource: "configmaps" or "secrets". -ERROR_NOT_FOUND; other errors are worth a retry. */
    int (*get)(void *ctx, const char *resource, const char *ns, const char *name, struct arena *a,
               struct json **ret, struct error **err);
    void *ctx;
};

struct pod_context {
    const struct json *pod;
    const char *ip;
    const char *host_ip;
    const char *node_name;
    const char *models_dir; /* of the model store, for KAITO_MODELS_DIR; NULL: none */
    int64_t cpu_milli;      /* allocatable of the node: what a container without limits may take */
    int64_t memory_bytes;
    const struct pod_sources *sources;
    const char *volumes_dir; /* absolute: the pod's volumes, each in a folder of its name */
};

/* "metadata.labels['a']", "status.podIP" …; *ret NULL when the label or annotation is absent.
 * -ERROR_INVALID: unsupported fieldPath. */
int pod_field(struct arena *a, const struct pod_context *x, const char *field_path,
              const char **ret, struct error **err);
/* resourceFieldRef: "limits.cpu", "requests.memory" … of a container, divided. container NULL: the
 * named one. */
int pod_resource_field(struct arena *a, const struct pod_context *x, const struct json *container,
                       const struct json *ref, const char **ret, struct error **err);
/* One key of a ConfigMap or Secret; *ret NULL: absent, which `optional` allows. */
int pod_source_key(struct arena *a, const struct pod_context *x, const char *resource,
                   const struct json *selector, const char **ret, struct error **err);
/* All keys, decoded: values may hold any byte. binaryData is included. Array, *ret_n entries;
 * sorted by key. */
struct pod_value {
    const char *key;
    const char *data;
    size_t len;
};
int pod_source_values(struct arena *a, const char *resource, const struct json *obj,
                      struct pod_value **ret, size_t *ret_n, struct error **err);

/* ---- volumes ----------------------------------------------------------------------------------------------------- */

/* Makes or refreshes all volumes of the pod. Files of ConfigMaps, Secrets and the downward API
 * change as a whole (a symbolic link is switched), and only when their content does. */
int volumes_setup(struct arena *a, const struct pod_context *x, struct error **err);

struct mount {
    const char *mount_path;
    const char *real_path;
    bool read_only;
};
/* The mounts of a container, longest mountPath first. */
int volumes_mounts(struct arena *a, const struct pod_context *x, const struct json *container,
                   struct mount **ret, size_t *ret_n, struct error **err);
/* Without a mount namespace a container does not see its mountPaths; they are replaced by the real
 * paths wherever they stand in an argument or a value as whole path elements:
 * "--config=/mnt/config/a.yaml". */
char *volumes_translate(struct arena *a, const struct mount *mounts, size_t n, const char *text);
/* true when the pod uses this ConfigMap or Secret, in volumes or environment. */
bool pod_uses_source(const struct json *pod, const char *resource, const char *name);

/* ---- environment ------------------------------------------------------------------------------------------------- */

/* "$(NAME)" → value, "$$" → "$", unknown names stay. lookup gives NULL for unknown. */
char *env_expand(struct arena *a, const char *text,
                 const char *(*lookup)(void *ctx, const char *name), void *ctx);

struct env_request {
    const struct pod_context *pod;
    const struct json *container;
    const struct json *image_env; /* {"NAME": "value"} */
    const char *path;             /* PATH unless the container sets its own */
    const struct mount *mounts;
    size_t mount_count;
};
struct env_result {
    char **env;       /* NULL-terminated "NAME=value", translated */
    char **argv;      /* command and args, expanded and translated; empty when the container names
                         neither */
    bool has_command; /* argv[0] is the container's own command, not the first of its args */
};
int env_build(struct arena *a, const struct env_request *request, struct env_result *ret,
              struct error **err);
