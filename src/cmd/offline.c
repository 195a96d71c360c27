#include "cmd/offline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/manager_flags.h"
#include "kube/client.h"
#include "kube/config.h"
#include "kube/meta.h"
#include "yaml/yaml.h"
#include "json/build.h"

#define MAX_FILE (64 * MIB)
#define STDIN_CHUNK (64 * KIB)

static const char *environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value ? value : otherwise;
}

struct offline_flags offline_flags_default(void)
{
    const char *cloud = environment("CLOUD_PROVIDER", "azure");
    return (struct offline_flags){
        .cloud = *cloud ? cloud : "azure",
        .node_provisioner = "azure-gpu-provisioner",
        .release_namespace = environment("RELEASE_NAMESPACE", "kaito-workspace"),
        .estimator = "reference",
        .ns = "default",
    };
}

/* ---- settings ----------------------------------------------------------------------------------- */

/* Those of KAITO's chart. */
#define CHART_NODE_CLASSES                                                                         \
    "[{\"name\":\"image-family-ubuntu\",\"default\":true,"                                         \
    "\"spec\":{\"imageFamily\":\"Ubuntu2204\",\"osDiskSizeGB\":300}},"                             \
    "{\"name\":\"image-family-azure-linux\","                                                      \
    "\"spec\":{\"imageFamily\":\"AzureLinux\",\"osDiskSizeGB\":300}}]"

int offline_settings(struct arena *a, const struct offline_flags *f, struct operator_settings *ret,
                     struct error **err)
{
    struct manager_flags flags = MANAGER_FLAGS_DEFAULT;
    flags.cloud = f->cloud;
    flags.node_provisioner = f->node_provisioner;
    flags.feature_gates = f->feature_gates;
    flags.node_classes = str_empty(f->node_classes) ? CHART_NODE_CLASSES : f->node_classes;
    flags.image_family = f->image_family;
    flags.estimator = f->estimator;
    flags.mirror_storage_class = f->mirror_storage_class;
    flags.streaming_service_account = f->streaming_service_account;
    return manager_settings_make(a, &flags, getenv, f->release_namespace, ret, err);
}

/* ---- objects ------------------------------------------------------------------------------------ */

static int read_stdin(char **ret_data, size_t *ret_len, struct error **err)
{
    AUTO_BUF text = BUF_INIT(MAX_FILE);
    AUTO_FREE char *chunk = mem_alloc(STDIN_CHUNK);
    ssize_t n;
    while ((n = read(STDIN_FILENO, chunk, STDIN_CHUNK)) > 0)
        buf_append(&text, chunk, (size_t)n);
    if (n < 0 || !buf_ok(&text))
        return error_set(err, n < 0 ? ERROR_IO : ERROR_TOO_LARGE,
                         "standard input cannot be read, or it has more than %zu bytes",
                         (size_t)MAX_FILE);
    *ret_len = text.len;
    *ret_data = buf_steal(&text);
    return 0;
}

static bool is_namespaced(const struct json *obj)
{
    static const char *const cluster_wide[] = {
        "Node",      "StorageClass", "CSIDriver",    "ModelMirror",  "Namespace",
        "NodeClaim", "NodePool",     "AKSNodeClass", "EC2NodeClass", "CustomResourceDefinition"
    };
    for (size_t i = 0; i < COUNT_OF(cluster_wide); i++)
        if (str_eq(json_find_str(obj, "kind"), cluster_wide[i]))
            return false;
    return true;
}

static void add_object(struct arena *a, struct json *list, const struct json *v, const char *ns)
{
    if (!json_is_object(v))
        return;
    struct json *obj = json_clone(a, v);
    struct json *metadata = json_get(obj, "metadata");
    if (json_is_object(metadata) && is_namespaced(obj) &&
        str_empty(json_find_str(metadata, "namespace")))
        json_set_str(a, metadata, "namespace", ns);
    json_append(list, obj);
}

int offline_read(struct arena *a, const char *file, const char *ns, struct json **ret,
                 struct error **err)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    struct json *documents = NULL;
    bool from_stdin = STREQ(file, "-");
    int r = from_stdin ? read_stdin(&text, &len, err) : file_read(file, MAX_FILE, &text, &len, err);
    if (r < 0)
        return r;
    struct yaml_limits limits = { .max_bytes = MAX_FILE,
                                  .max_values = 20000000,
                                  .max_documents = 100000 };
    r = yaml_parse_all(a, text, len, &limits, &documents, err);
    if (r < 0)
        return error_prefix(err, r, "%s", from_stdin ? "standard input" : file);
    *ret = json_new_array(a);
    JSON_FOREACH(it, documents) {
        const char *kind = json_find_str(it.value, "kind");
        const struct json *items = json_get(it.value, "items");
        bool list = json_is_array(items) && (!kind || str_has_suffix(kind, "List"));
        if (json_is_array(it.value) || list)
            JSON_FOREACH(item, list ? items : it.value)
                add_object(a, *ret, item.value, ns);
        else
            add_object(a, *ret, it.value, ns);
    }
    return 0;
}

int offline_connect(const struct offline_flags *f, struct kube_transport **ret_transport,
                    struct kube_client **ret, struct error **err)
{
    struct kube_config *config = NULL;
    *ret = NULL;
    *ret_transport = NULL;
    if (str_empty(f->kubeconfig))
        return 0;
    int r = kube_config_load(f->kubeconfig, f->context, &config, err);
    if (r == 0)
        r = kube_http_transport_new(config, "kaito/" KAITO_VERSION, ret_transport, err);
    if (r == 0)
        *ret = kube_client_new(*ret_transport, &(struct kube_client_options){ 0 });
    return r;
}

static const struct kube_resource csi_drivers = { "storage.k8s.io", "v1", "csidrivers", "CSIDriver",
                                                  false };

/* Where an array of offline_objects comes from. */
struct source {
    const struct kube_resource *resource;
    size_t offset;
};
#define SOURCE(resource, member)                                                                   \
    {                                                                                              \
        resource, offsetof(struct offline_objects, member)                                         \
    }
static const struct source sources[] = {
    SOURCE(&KUBE_NODES, nodes),        SOURCE(&KUBE_CONFIGMAPS, config_maps),
    SOURCE(&KUBE_SECRETS, secrets),    SOURCE(&KUBE_STORAGE_CLASSES, storage_classes),
    SOURCE(&csi_drivers, csi_drivers),
};

static struct json **array_of(struct offline_objects *o, const struct source *s)
{
    return (struct json **)((char *)o + s->offset);
}

/* Secrets are not for everybody to list: when that is forbidden there are none. A kind that the
 * cluster does not have has no objects. */
static int list_cluster(struct arena *a, struct kube_client *c, struct offline_objects *o,
                        struct error **err)
{
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        const struct kube_resource *resource = sources[i].resource;
        CLEANUP(error_cleanup) struct error *why = NULL;
        struct json *list = NULL;
        int r = kube_list(c, resource, &(struct kube_list_options){ .limit = 500 }, a, &list, &why);
        if (r == -ERROR_NOT_FOUND || (r == -ERROR_FORBIDDEN && resource == &KUBE_SECRETS))
            continue;
        if (r < 0)
            return error_set(err, error_code(why), "%s of the cluster: %s", resource->plural,
                             error_message(why));
        JSON_FOREACH(it, json_get(list, "items")) {
            struct json *obj = json_clone(a, it.value);
            json_set_str(a, obj, "kind", resource->kind);
            json_append(*array_of(o, &sources[i]), obj);
            json_append(o->all, json_clone(a, obj));
        }
    }
    return 0;
}

int offline_objects(struct arena *a, const struct offline_flags *f, struct offline_objects *ret,
                    struct error **err)
{
    struct kube_transport *transport = NULL;
    struct kube_client *client = NULL;
    ret->all = json_new_array(a);
    for (size_t i = 0; i < COUNT_OF(sources); i++)
        *array_of(ret, &sources[i]) = json_new_array(a);
    int r = offline_connect(f, &transport, &client, err);
    if (r == 0 && client)
        r = list_cluster(a, client, ret, err);
    if (client)
        kube_client_free(client);
    kube_transport_free(transport);
    if (r < 0 || str_empty(f->objects) || !str_empty(f->kubeconfig))
        return r;
    r = offline_read(a, f->objects, f->ns, &ret->all, err);
    if (r < 0)
        return r;
    JSON_FOREACH(it, ret->all)
        for (size_t i = 0; i < COUNT_OF(sources); i++)
            if (str_eq(json_find_str(it.value, "kind"), sources[i].resource->kind))
                json_append(*array_of(ret, &sources[i]), json_clone(a, it.value));
    return 0;
}

/* ---- output ------------------------------------------------------------------------------------- */

int offline_check_output(const char *output, struct error **err)
{
    if (str_empty(output) || STREQ(output, "json") || STREQ(output, "yaml"))
        return 0;
    return error_set(err, ERROR_INVALID, "-o is \"%s\"; it can be json or yaml", output);
}

void offline_print(const struct json *v, const char *output)
{
    AUTO_BUF text = BUF_INIT(256 * MIB);
    if (str_eq(output, "yaml"))
        yaml_write(v, &text);
    else
        json_write_pretty(v, 2, &text);
    if (text.len > 0)
        printf("%s%s", text.data, str_has_suffix(text.data, "\n") ? "" : "\n");
}
