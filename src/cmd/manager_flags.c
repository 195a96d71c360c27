#include "cmd/manager_flags.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "kube/quantity.h"
#include "kube/selector.h"
#include "json/json.h"

#define DEFAULT_REGISTRY "mcr.microsoft.com/aks/kaito"
#define DEFAULT_NAMESPACE "kaito-workspace"
#define DEFAULT_WEBHOOK_PORT 9443
#define MAX_BURST 100000
/* klog's level from which on its users print what only a search for a fault needs. */
#define KLOG_DEBUG 4

const char manager_flags_usage[] = "kaito manager [flags]";

const struct manager_flags MANAGER_FLAGS_DEFAULT = {
    .metrics_address = ":8080",
    .health_address = ":8081",
    .qps = 100,
    .burst = 200,
    .webhook = true,
    .feature_gates = "vLLM=true,disableNodeAutoProvisioning=false",
    .node_provisioner = "azure-gpu-provisioner",
    .node_class_group = "karpenter.azure.com",
    .node_class_kind = "AKSNodeClass",
    .node_class_version = "v1beta1",
    .node_class_resource = "aksnodeclasses",
    .estimator = "reference",
    .zap_devel = true,
};

/* ---- command line ------------------------------------------------------------------------------------------------- */

int manager_flags_parse(int argc, char **argv, struct manager_flags *ret, struct error **err)
{
    *ret = MANAGER_FLAGS_DEFAULT;
    struct manager_flags *f = ret;
    struct flag flags[] = {
        { "kubeconfig", FLAG_STRING, &f->kubeconfig, "FILE",
          "the cluster; $KUBECONFIG, the service account or ~/.kube/config when not given", 0 },
        { "context", FLAG_STRING, &f->context, "NAME", "context of the kubeconfig", 0 },
        { "kube-client-qps", FLAG_DOUBLE, &f->qps, "N",
          "requests a second to the API server; 0 or less: no limit", 0 },
        { "kube-client-burst", FLAG_INT, &f->burst, "N", "requests at once beyond that", 0 },
        { "metrics-bind-address", FLAG_STRING, &f->metrics_address, "ADDRESS",
          "where /metrics is served; 0: nowhere", 0 },
        { "health-probe-bind-address", FLAG_STRING, &f->health_address, "ADDRESS",
          "where /healthz and /readyz are served; 0: nowhere", 0 },
        { "leader-elect", FLAG_BOOL, &f->leader_elect, NULL,
          "only one of several managers acts at a time", 0 },
        { "webhook", FLAG_BOOL, &f->webhook, NULL, "serve admission", 0 },
        { "feature-gates", FLAG_STRING, &f->feature_gates, "NAME=BOOL,...",
          "features to switch on and off", 0 },
        { "node-provisioner", FLAG_STRING, &f->node_provisioner, "NAME",
          "who makes nodes: azure-gpu-provisioner, karpenter, or byo (you do)", 0 },
        { "default-node-image-family", FLAG_STRING, &f->image_family, "NAME",
          "image family of new nodes: ubuntu (also when not given) or azurelinux", 0 },
        { "karpenter-node-class-group", FLAG_STRING, &f->node_class_group, "GROUP",
          "API group of Karpenter's node classes", 0 },
        { "karpenter-node-class-kind", FLAG_STRING, &f->node_class_kind, "KIND",
          "kind of Karpenter's node classes", 0 },
        { "karpenter-node-class-version", FLAG_STRING, &f->node_class_version, "VERSION",
          "API version of Karpenter's node classes", 0 },
        { "karpenter-node-class-resource-name", FLAG_STRING, &f->node_class_resource, "PLURAL",
          "plural name of Karpenter's node classes", 0 },
        { "karpenter-node-classes", FLAG_STRING, &f->node_classes, "JSON",
          "node classes to make, [{\"name\", \"default\", \"spec\"}], one of them the default", 0 },
        { "default-model-mirror-storage-class", FLAG_STRING, &f->mirror_storage_class, "NAME",
          "storage class of model mirrors", 0 },
        { "default-streaming-service-account", FLAG_STRING, &f->streaming_service_account, "NAME",
          "service account of pods that stream their model", 0 },
        { "model-mirror-download-cpu", FLAG_STRING, &f->mirror_cpu, "QUANTITY",
          "CPU of download Jobs; 3 when not given", 0 },
        { "model-mirror-download-memory", FLAG_STRING, &f->mirror_memory, "QUANTITY",
          "memory of download Jobs; 8Gi when not given", 0 },
        { "cloud", FLAG_STRING, &f->cloud, "NAME",
          "azure, aws or arc; $CLOUD_PROVIDER when not given", 0 },
        { "registry", FLAG_STRING, &f->registry, "NAME",
          "registry of the engine images; $PRESET_REGISTRY_NAME when not given", 0 },
        { "estimator", FLAG_STRING, &f->estimator, "NAME",
          "how nodes are counted: reference, as KAITO v0.12 does, or precise", 0 },
        { "version", FLAG_BOOL, &f->version, NULL, "print the version", 0 },
        { "log-level", FLAG_STRING, &f->log_level, "LEVEL", "debug, info, warn or error", 0 },
        { "log-format", FLAG_STRING, &f->log_format, "FORMAT", "text or json", 0 },
        { "zap-devel", FLAG_BOOL, &f->zap_devel, NULL, "lines for people; false: JSON", 0 },
        { "zap-encoder", FLAG_STRING, &f->zap_encoder, "NAME", "json or console", 0 },
        { "zap-log-level", FLAG_STRING, &f->zap_level, "LEVEL",
          "debug, info, error, panic, or a number from 1 on for debug", 0 },
        { "zap-stacktrace-level", FLAG_STRING, &f->zap_stacktrace, "LEVEL",
          "info, error or panic; no effect, there are no stack traces", 0 },
        { "zap-time-encoding", FLAG_STRING, &f->zap_time, "NAME",
          "no effect, times are RFC 3339 with milliseconds", 0 },
        { "v", FLAG_INT, &f->klog_v, "N", "verbosity; 4 and more: debug", 0 },
        { "add_dir_header", FLAG_BOOL, &f->ignored.flags[0], NULL, "no effect", 0 },
        { "alsologtostderr", FLAG_BOOL, &f->ignored.flags[1], NULL, "no effect", 0 },
        { "logtostderr", FLAG_BOOL, &f->ignored.flags[2], NULL, "no effect, lines go to stderr",
          0 },
        { "one_output", FLAG_BOOL, &f->ignored.flags[3], NULL, "no effect", 0 },
        { "skip_headers", FLAG_BOOL, &f->ignored.flags[4], NULL, "no effect", 0 },
        { "skip_log_headers", FLAG_BOOL, &f->ignored.flags[5], NULL, "no effect", 0 },
        { "log_backtrace_at", FLAG_STRING, &f->ignored.texts[0], "FILE:N", "no effect", 0 },
        { "log_dir", FLAG_STRING, &f->ignored.texts[1], "DIR", "no effect", 0 },
        { "log_file", FLAG_STRING, &f->ignored.texts[2], "FILE", "no effect", 0 },
        { "stderrthreshold", FLAG_STRING, &f->ignored.texts[3], "LEVEL", "no effect", 0 },
        { "vmodule", FLAG_STRING, &f->ignored.texts[4], "PATTERN=N,...", "no effect", 0 },
        { "log_file_max_size", FLAG_INT, &f->ignored.size, "MB", "no effect", 0 },
        { .name = NULL },
    };
    struct flag_set set = {
        .usage = manager_flags_usage,
        .summary = "Runs the controllers against a Kubernetes cluster. It takes the flags of "
                   "KAITO v0.12's workspace executable, and is it when it is called by that name.",
        .flags = flags,
    };
    AUTO_FREE char **operands = NULL;
    size_t n = 0;
    int r = flags_parse(&set, argc, argv, &operands, &n, err);
    if (r == 0 && n > 0)
        r = error_set(err, ERROR_INVALID, "unexpected argument \"%s\"", operands[0]);
    return r;
}

/* ---- logging ------------------------------------------------------------------------------------------------------ */

static bool is_one_of(const char *value, const char *const *words)
{
    for (; *words; words++)
        if (STREQ(value, *words))
            return true;
    return false;
}

static int bad_flag(const char *flag, const char *value, const char *choice, struct error **err)
{
    return error_set(err, ERROR_INVALID, "--%s is \"%s\"; it can be %s", flag, value, choice);
}

static int zap_level(const char *given, const char **ret, struct error **err)
{
    int64_t number = 0;
    if (STREQ(given, "debug") || (str_to_int64(given, &number) == 0 && number > 0))
        *ret = "debug";
    else if (STREQ(given, "info"))
        *ret = "info";
    else if (STREQ(given, "error") || STREQ(given, "panic"))
        *ret = "error";
    else
        return bad_flag("zap-log-level", given, "debug, info, error, panic or a number above 0",
                        err);
    return 0;
}

/* zap's flags count more than klog's, ours more than both. */
static int make_logging(const struct manager_flags *f, struct manager_config *c, struct error **err)
{
    static const char *const encoders[] = { "json", "console", NULL };
    static const char *const traces[] = { "info", "error", "panic", NULL };
    static const char *const times[] = { "epoch",   "millis",      "nano", "iso8601",
                                         "rfc3339", "rfc3339nano", NULL };
    if (!str_empty(f->zap_encoder) && !is_one_of(f->zap_encoder, encoders))
        return bad_flag("zap-encoder", f->zap_encoder, "json or console", err);
    if (!str_empty(f->zap_stacktrace) && !is_one_of(f->zap_stacktrace, traces))
        return bad_flag("zap-stacktrace-level", f->zap_stacktrace, "info, error or panic", err);
    if (!str_empty(f->zap_time) && !is_one_of(f->zap_time, times))
        return bad_flag("zap-time-encoding", f->zap_time,
                        "epoch, millis, nano, iso8601, rfc3339 or rfc3339nano", err);
    c->log_level = f->klog_v >= KLOG_DEBUG ? "debug" : "info";
    if (!str_empty(f->zap_level)) {
        int r = zap_level(f->zap_level, &c->log_level, err);
        if (r < 0)
            return r;
    }
    if (!str_empty(f->log_level))
        c->log_level = f->log_level;
    c->log_format = f->zap_devel ? "text" : "json";
    if (!str_empty(f->zap_encoder))
        c->log_format = STREQ(f->zap_encoder, "json") ? "json" : "text";
    if (!str_empty(f->log_format))
        c->log_format = f->log_format;
    return 0;
}

/* ---- node provisioner --------------------------------------------------------------------------------------------- */

static int node_class_name(const struct json *node_class, size_t index, struct error **err)
{
    if (!json_is_object(node_class))
        return error_set(err, ERROR_INVALID, "[%zu] is not an object", index);
    const char *name = json_find_str(node_class, "name");
    if (str_empty(name))
        return error_set(err, ERROR_INVALID, "[%zu] has no name", index);
    int r = kube_validate_dns1123_subdomain(name, err);
    if (r < 0)
        return error_prefix(err, r, "[%zu].name is \"%s\"", index, name);
    const struct json *flag = json_get(node_class, "default");
    if (!json_is_null(flag) && !json_is_bool(flag))
        return error_set(err, ERROR_INVALID, "[%zu].default must be true or false", index);
    const struct json *spec = json_get(node_class, "spec");
    if (!json_is_null(spec) && !json_is_object(spec))
        return error_set(err, ERROR_INVALID, "[%zu].spec must be an object", index);
    return 0;
}

static int check_node_classes(const struct json *classes, struct error **err)
{
    if (!json_is_array(classes) || json_size(classes) == 0)
        return error_set(err, ERROR_INVALID,
                         "it must be an array with at least one {\"name\", \"default\", \"spec\"}");
    size_t defaults = 0;
    JSON_FOREACH(it, classes) {
        int r = node_class_name(it.value, it.index, err);
        if (r < 0)
            return r;
        const char *name = json_find_str(it.value, "name");
        for (size_t i = 0; i < it.index; i++)
            if (STREQ(name, json_find_str(json_at(classes, i), "name")))
                return error_set(err, ERROR_INVALID, "the name \"%s\" is there twice", name);
        defaults += json_find_bool(it.value, false, "default");
    }
    if (defaults != 1)
        return error_set(err, ERROR_INVALID,
                         "%zu of them have \"default\": true; exactly one must have it", defaults);
    return 0;
}

static int make_karpenter(struct arena *a, const struct manager_flags *f,
                          struct operator_settings *s, struct error **err)
{
    const struct {
        const char *flag, *value;
    } required[] = {
        { "karpenter-node-class-group", f->node_class_group },
        { "karpenter-node-class-kind", f->node_class_kind },
        { "karpenter-node-class-version", f->node_class_version },
        { "karpenter-node-class-resource-name", f->node_class_resource },
        { "karpenter-node-classes", f->node_classes },
    };
    for (size_t i = 0; i < COUNT_OF(required); i++)
        if (str_empty(required[i].value))
            return error_set(err, ERROR_INVALID,
                             "--%s is not set; --node-provisioner=karpenter needs it",
                             required[i].flag);
    s->node_class_group = f->node_class_group;
    s->node_class_kind = f->node_class_kind;
    s->node_class_version = f->node_class_version;
    s->node_class_resource = f->node_class_resource;
    struct json *classes = NULL;
    int r = json_parse(a, f->node_classes, strlen(f->node_classes), &classes, err);
    if (r == 0)
        r = check_node_classes(classes, err);
    if (r < 0)
        return error_prefix(err, r, "--karpenter-node-classes");
    s->node_classes = classes;
    return 0;
}

static int make_provisioner(struct arena *a, const struct manager_flags *f,
                            struct operator_settings *s, struct error **err)
{
    static const char *const names[] = {
        [PROVISIONER_AZURE_GPU] = "azure-gpu-provisioner",
        [PROVISIONER_KARPENTER] = "karpenter",
        [PROVISIONER_BYO] = "byo",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (!str_eq(f->node_provisioner, names[i]))
            continue;
        s->provisioner = (enum node_provisioner)i;
        s->gates.on[GATE_NO_NODE_PROVISIONING] = s->provisioner == PROVISIONER_BYO;
        return s->provisioner == PROVISIONER_KARPENTER ? make_karpenter(a, f, s, err) : 0;
    }
    return bad_flag("node-provisioner", str_or_empty(f->node_provisioner),
                    "azure-gpu-provisioner, karpenter or byo", err);
}

static int make_image_family(struct arena *a, const struct manager_flags *f,
                             struct operator_settings *s, struct error **err)
{
    static const char *const families[] = { "ubuntu", "azurelinux", NULL };
    s->image_family = str_lower(a, str_trim(a, str_or_empty(f->image_family)));
    if (!*s->image_family)
        s->image_family = "ubuntu";
    if (!is_one_of(s->image_family, families))
        return bad_flag("default-node-image-family", f->image_family, "ubuntu or azurelinux", err);
    return 0;
}

/* ---- the rest ----------------------------------------------------------------------------------------------------- */

static const char *first_of(const char *x, const char *y, const char *z)
{
    return !str_empty(x) ? x : !str_empty(y) ? y : z;
}

static int make_cloud(const struct manager_flags *f, char *(*env)(const char *),
                      struct operator_settings *s, struct error **err)
{
    static const char *const clouds[] = { "azure", "aws", "arc", NULL };
    s->cloud = first_of(f->cloud, env("CLOUD_PROVIDER"), "");
    if (!*s->cloud)
        return error_set(err, ERROR_INVALID,
                         "CLOUD_PROVIDER is not set; it (or --cloud) must be azure, aws or arc");
    if (!is_one_of(s->cloud, clouds))
        return error_set(err, ERROR_INVALID, "%s is \"%s\"; it can be azure, aws or arc",
                         str_empty(f->cloud) ? "CLOUD_PROVIDER" : "--cloud", s->cloud);
    s->image_registry = first_of(f->registry, env("PRESET_REGISTRY_NAME"), DEFAULT_REGISTRY);
    return 0;
}

static int quantity_flag(const char *flag, const char *given, const char *otherwise,
                         const char **ret, struct error **err)
{
    *ret = first_of(given, NULL, otherwise);
    int64_t value = 0;
    CLEANUP(error_cleanup) struct error *why = NULL;
    if (quantity_value(*ret, &value, &why) < 0 || value <= 0)
        return bad_flag(flag, *ret, "a quantity above 0, such as 3, 500m or 8Gi", err);
    return 0;
}

static int make_mirror(const struct manager_flags *f, struct operator_settings *s,
                       struct error **err)
{
    s->mirror_storage_class = str_or_empty(f->mirror_storage_class);
    s->streaming_service_account = str_or_empty(f->streaming_service_account);
    int r = quantity_flag("model-mirror-download-cpu", f->mirror_cpu, "3", &s->mirror_cpu, err);
    return r < 0 ? r
                 : quantity_flag("model-mirror-download-memory", f->mirror_memory, "8Gi",
                                 &s->mirror_memory, err);
}

static int make_webhook(const struct manager_flags *f, char *(*env)(const char *),
                        struct manager_config *c, struct error **err)
{
    c->webhook_service = f->webhook ? str_or_empty(env("WEBHOOK_SERVICE")) : "";
    c->webhook_namespace = first_of(env("SYSTEM_NAMESPACE"), NULL, c->settings.release_namespace);
    c->webhook_port = DEFAULT_WEBHOOK_PORT;
    const char *given = env("WEBHOOK_PORT");
    if (str_empty(given))
        return 0;
    uint64_t port = 0;
    if (str_to_uint64(given, &port) < 0 || port == 0 || port > UINT16_MAX)
        return error_set(err, ERROR_INVALID,
                         "WEBHOOK_PORT is \"%s\"; it must be a port from 1 to 65535", given);
    c->webhook_port = (uint16_t)port;
    return 0;
}

static int make_estimator(const struct manager_flags *f, struct operator_settings *s,
                          struct error **err)
{
    s->precise_estimator = str_eq(f->estimator, "precise");
    if (!s->precise_estimator && !str_eq(f->estimator, "reference"))
        return bad_flag("estimator", str_or_empty(f->estimator), "reference or precise", err);
    return 0;
}

int manager_settings_make(struct arena *a, const struct manager_flags *f,
                          char *(*env)(const char *name), const char *account_namespace,
                          struct operator_settings *ret, struct error **err)
{
    *ret = (struct operator_settings){ .gates = GATES_DEFAULT };
    ret->release_namespace =
        first_of(account_namespace, env("RELEASE_NAMESPACE"), DEFAULT_NAMESPACE);
    int r = gates_parse(str_or_empty(f->feature_gates), &ret->gates, err);
    if (r == 0)
        r = make_provisioner(a, f, ret, err);
    if (r == 0)
        r = make_image_family(a, f, ret, err);
    if (r == 0)
        r = make_cloud(f, env, ret, err);
    if (r == 0)
        r = make_mirror(f, ret, err);
    if (r == 0)
        r = make_estimator(f, ret, err);
    return r;
}

int manager_config_make(struct arena *a, const struct manager_flags *f,
                        char *(*env)(const char *name), const char *account_namespace,
                        struct manager_config *ret, struct error **err)
{
    *ret = (struct manager_config){ 0 };
    if (f->burst < 0 || f->burst > MAX_BURST)
        return error_set(err, ERROR_INVALID, "--kube-client-burst is %lld; it must be from 0 to %d",
                         (long long)f->burst, MAX_BURST);
    int r = make_logging(f, ret, err);
    if (r == 0)
        r = manager_settings_make(a, f, env, account_namespace, &ret->settings, err);
    if (r == 0)
        r = make_webhook(f, env, ret, err);
    return r;
}
