#include "cmd/offline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
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

/* Which of the words it is, -1 when it is none. */
static int one_of(const char *value, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(value, words[i]))
            return (int)i;
    return -1;
}

static int read_word(const char *flag, const char *value, const char *const *words, size_t n,
                     int *ret, struct error **err)
{
    AUTO_ARENA a = arena_new();
    *ret = one_of(value, words, n);
    if (*ret >= 0)
        return 0;
    return error_set(err, ERROR_INVALID, "--%s is \"%s\"; it can be %s", flag, str_or_empty(value),
                     str_join(a, (char *const *)words, n, ", "));
}

static int read_node_classes(struct arena *a, const struct offline_flags *f,
                             struct operator_settings *s, struct error **err)
{
    struct json *classes = NULL;
    if (str_empty(f->node_classes))
        return 0;
    int r = json_parse(a, f->node_classes, strlen(f->node_classes), &classes, err);
    if (r < 0)
        return error_prefix(err, r, "--karpenter-node-classes");
    JSON_FOREACH(it, classes)
        if (it.key || str_empty(json_find_str(it.value, "name")))
            classes = NULL;
    if (!json_is_array(classes))
        return error_set(err, ERROR_INVALID,
                         "--karpenter-node-classes must be a list of {\"name\", \"default\", "
                         "\"spec\"}");
    s->node_classes = classes;
    return 0;
}

/* The provisioner decides about this gate, whatever is written in it. */
static int read_gates(const struct offline_flags *f, struct operator_settings *s,
                      struct error **err)
{
    s->gates = GATES_DEFAULT;
    int r = gates_parse(str_or_empty(f->feature_gates), &s->gates, err);
    s->gates.on[GATE_NO_NODE_PROVISIONING] = s->provisioner == PROVISIONER_BYO;
    return r;
}

int offline_settings(struct arena *a, const struct offline_flags *f, struct operator_settings *ret,
                     struct error **err)
{
    static const char *const clouds[] = { "azure", "aws", "arc" };
    static const char *const provisioners[] = { "azure-gpu-provisioner", "karpenter", "byo" };
    static const char *const families[] = { "ubuntu", "azurelinux" };
    static const char *const estimators[] = { "reference", "precise" };
    int cloud = 0;
    int provisioner = 0;
    int family = 0;
    int estimator = 0;
    int r = read_word("cloud", f->cloud, clouds, COUNT_OF(clouds), &cloud, err);
    if (r == 0)
        r = read_word("node-provisioner", f->node_provisioner, provisioners, COUNT_OF(provisioners),
                      &provisioner, err);
    if (r == 0 && !str_empty(f->image_family))
        r = read_word("default-node-image-family", f->image_family, families, COUNT_OF(families),
                      &family, err);
    if (r == 0)
        r = read_word("estimator", f->estimator, estimators, COUNT_OF(estimators), &estimator, err);
    if (r < 0)
        return r;
    *ret = (struct operator_settings){
        .provisioner = (enum node_provisioner)provisioner,
        .cloud = clouds[cloud],
        .image_registry = environment("PRESET_REGISTRY_NAME", "mcr.microsoft.com/aks/kaito"),
        .release_namespace = str_or_empty(f->release_namespace),
        .image_family = families[family],
        .node_class_group = "karpenter.azure.com",
        .node_class_kind = "AKSNodeClass",
        .node_class_version = "v1beta1",
        .node_class_resource = "aksnodeclasses",
        .mirror_storage_class = str_or_empty(f->mirror_storage_class),
        .streaming_service_account = str_or_empty(f->streaming_service_account),
        .mirror_cpu = "3",
        .mirror_memory = "8Gi",
        .precise_estimator = estimator == 1,
    };
    r = read_gates(f, ret, err);
    return r < 0 ? r : read_node_classes(a, f, ret, err);
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
    return one_of(json_find_str(obj, "kind"), cluster_wide, COUNT_OF(cluster_wide)) < 0;
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
