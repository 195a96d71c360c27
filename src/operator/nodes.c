/* What the back ends share: counting nodes and NodeClaims, and saying what is wrong with them. */
#include "operator/nodes.h"

#include <string.h>

#include "base/str.h"
#include "http/crypto.h"
#include "kube/quantity.h"
#include "operator/nodes_internal.h"

#define MAX_MESSAGE 256
#define MAX_PRESSURE (4 * KIB)
#define MAX_NAME 63
#define NAME_HASH 9

const struct nodes_words NODES_OF_WORKSPACES = {
    .name_label = "kaito.sh/workspace",
    .ns_label = "kaito.sh/workspacenamespace",
    .pool_name_label = "karpenter.kaito.sh/workspace-name",
    .pool_ns_label = "karpenter.kaito.sh/workspace-namespace",
    .claim_prefix = "ws",
    .component = "KAITO-Workspace-controller",
    .ready_reason = "workspaceResourceStatusSuccess",
    .ready_message = "workspace resource is ready",
    .not_ready_reason = "workspaceResourceStatusNotReady",
};

/* ---- which back end ------------------------------------------------------------------------------------------------- */

const struct nodes_backend *nodes_backend(const struct operator_settings *settings)
{
    switch (settings->provisioner) {
    case PROVISIONER_AZURE_GPU:
        return &nodes_azure;
    case PROVISIONER_KARPENTER:
        return &nodes_karpenter;
    case PROVISIONER_BYO:
        break;
    }
    return &nodes_byo;
}

struct json *nodes_selector(struct arena *a, const struct nodes_input *in)
{
    return nodes_backend(in->settings)->selector(a, in);
}

void nodes_decide(struct arena *a, const struct nodes_input *in, struct decision *out,
                  struct nodes_result *ret)
{
    *ret = (struct nodes_result){ 0 };
    nodes_backend(in->settings)->decide(a, in, out, ret);
}

void nodes_remove(struct arena *a, const struct nodes_input *in, struct decision *out)
{
    nodes_backend(in->settings)->remove(a, in, out);
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

char *nodes_pool_name(struct arena *a, const char *ns, const char *name)
{
    char *full = arena_printf(a, "%s-%s", ns, name);
    size_t len = strlen(full);
    if (len <= MAX_NAME)
        return full;
    char hash[SHA256_HEX_SIZE];
    sha256_hex(full, len, hash);
    return arena_printf(a, "%.*s-%.*s", MAX_NAME - NAME_HASH - 1, full, NAME_HASH, hash);
}

const char *nodes_class_name(const struct operator_settings *settings, const char *annotation)
{
    JSON_FOREACH(it, settings->node_classes) {
        const char *name = json_find_str(it.value, "name");
        bool wanted =
            annotation ? str_eq(name, annotation) : json_find_bool(it.value, false, "default");
        if (wanted)
            return name;
    }
    return NULL;
}

struct kube_resource nodes_class_resource(const struct operator_settings *settings)
{
    return (struct kube_resource){
        .group = settings->node_class_group,
        .version = settings->node_class_version,
        .plural = settings->node_class_resource,
        .kind = settings->node_class_kind,
        .namespaced = false,
    };
}

struct json *nodes_labels(struct arena *a, const char *name_label, const char *name,
                          const char *ns_label, const char *ns)
{
    return OBJ(name_label, STR(name), ns_label, STR(ns));
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------- */

bool nodes_node_ready(const struct json *node)
{
    return !meta_deleting(node) &&
           condition_is(json_find(node, "status", "conditions"), "Ready", "True");
}

bool nodes_node_is_foreign(const struct nodes_words *words, const struct json *node, const char *ns,
                           const char *name)
{
    const char *of = meta_label(node, words->name_label);
    const char *of_ns = meta_label(node, words->ns_label);
    return of && (!STREQ(of, name) || (of_ns && !STREQ(of_ns, ns)));
}

/* Clouds spell instance types in their own way, people in theirs. */
static bool right_type(const struct nodes_request *q, const struct json *node)
{
    const char *type = meta_label(node, INSTANCE_TYPE_LABEL);
    return type && str_case_eq(type, q->instance_type);
}

static bool offers_gpus(const struct json *node)
{
    JSON_FOREACH(it, json_find(node, "status", "capacity")) {
        int64_t n = 0;
        if (str_has_prefix(it.key, "nvidia.com/") && json_is_string(it.value) &&
            quantity_value(json_string(it.value), &n, NULL) == 0 && n > 0)
            return true;
    }
    return false;
}

static const char *node_obstacle(struct arena *a, const struct nodes_request *q,
                                 const struct json *node)
{
    if (meta_deleting(node))
        return arena_printf(a, "node %s is being deleted", meta_name(node));
    if (!nodes_node_ready(node)) {
        const struct json *c = condition_find(json_find(node, "status", "conditions"), "Ready");
        const char *reason = json_find_str(c, "reason");
        return arena_printf(a, "node %s is not ready%s%s", meta_name(node), reason ? ": " : "",
                            reason ? reason : "");
    }
    const char *type = meta_label(node, INSTANCE_TYPE_LABEL);
    return arena_printf(a, "node %s is of instance type %s, not %s", meta_name(node),
                        type ? type : "(none)", q->instance_type);
}

void nodes_count(struct arena *a, const struct nodes_request *q, const struct json *nodes,
                 struct nodes_count *ret)
{
    *ret = (struct nodes_count){ 0 };
    JSON_FOREACH(it, nodes) {
        if (!nodes_node_ready(it.value) || !right_type(q, it.value)) {
            if (!ret->obstacle)
                ret->obstacle = node_obstacle(a, q, it.value);
            continue;
        }
        ret->ready++;
        ret->covering += !meta_label(it.value, NODEPOOL_LABEL);
        if (!q->gpus || offers_gpus(it.value))
            ret->with_plugin++;
        else if (!ret->no_plugin)
            ret->no_plugin = meta_name(it.value);
    }
}

void nodes_label_gpus(struct arena *a, const struct nodes_request *q, const struct json *nodes,
                      struct decision *out)
{
    if (!q->gpus)
        return;
    JSON_FOREACH(it, nodes) {
        if (!nodes_node_ready(it.value) || !right_type(q, it.value) ||
            str_eq(meta_label(it.value, "accelerator"), "nvidia"))
            continue;
        struct json *labels = OBJ("accelerator", STR("nvidia"));
        decision_write(a, out, WRITE_PATCH, &KUBE_NODES, meta_name(it.value),
                       OBJ("metadata", OBJ("labels", labels)))
            ->best_effort = true;
    }
}

struct condition nodes_condition(struct arena *a, const struct nodes_request *q,
                                 const struct nodes_count *n, const char *suffix)
{
    if (q->count < 1 || n->ready < q->count)
        return (struct condition){
            "NodesReady", "False", "NodeNotReady",
            q->count < 1 ? arena_printf(a, "Not enough Nodes are ready%s%s", q->hold ? ": " : "",
                                        q->hold ? q->hold : "")
                         : arena_printf(a, "Not enough Nodes are ready: %lld of %lld%s%s",
                                        (long long)n->ready, (long long)q->count,
                                        n->obstacle ? "; " : "", n->obstacle ? n->obstacle : "")
        };
    if (n->with_plugin < q->count)
        return (struct condition){
            "NodesReady", "False", "NodePluginsNotReady",
            arena_printf(a,
                         "waiting all node plugins to be ready: node %s offers no nvidia.com/gpu; "
                         "the NVIDIA device plugin has to run there",
                         n->no_plugin)
        };
    return (struct condition){ "NodesReady", "True", "NodesReady",
                               arena_printf(a, "Enough Nodes are ready%s", suffix) };
}

/* ---- NodeClaims ----------------------------------------------------------------------------------------------------- */

int64_t nodes_live(const struct json *claims)
{
    int64_t n = 0;
    JSON_FOREACH(it, claims)
        n += !meta_deleting(it.value);
    return n;
}

static bool claim_ready(const struct json *claim)
{
    const struct json *conditions = json_find(claim, "status", "conditions");
    if (condition_find(conditions, "Ready"))
        return condition_is(conditions, "Ready", "True");
    return !str_empty(json_find_str(claim, "status", "nodeName"));
}

int64_t nodes_ready_claims(const struct json *claims)
{
    int64_t n = 0;
    JSON_FOREACH(it, claims)
        n += !meta_deleting(it.value) && claim_ready(it.value);
    return n;
}

static const char *cut(struct arena *a, const char *message)
{
    size_t len = strlen(message);
    return len <= MAX_MESSAGE
               ? message
               : arena_printf(a, "%.*s...", (int)str_utf8_valid_len(message, MAX_MESSAGE), message);
}

/* The first of the steps to a node that is not done and says why. That one of them waits its turn
 * (`waiting`) is told only when there is no fault. */
static const struct json *first_fault(const struct json *claims, bool waiting)
{
    static const char *const steps[] = { "Launched", "Registered", "Initialized" };
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        JSON_FOREACH(it, claims) {
            const struct json *c =
                condition_find(json_find(it.value, "status", "conditions"), steps[i]);
            bool waits = str_eq(json_find_str(c, "reason"), "AwaitingReconciliation");
            if (c && !meta_deleting(it.value) && !str_eq(json_find_str(c, "status"), "True") &&
                !str_empty(json_find_str(c, "message")) && !str_empty(json_find_str(c, "reason")) &&
                waits == waiting)
                return c;
        }
    return NULL;
}

struct condition nodes_claims_missing(struct arena *a, const struct json *claims, int64_t ready,
                                      int64_t wanted, const char *why)
{
    const struct json *fault = first_fault(claims, false);
    if (!fault && !why)
        fault = first_fault(claims, true);
    if (fault)
        return (struct condition){ "NodeClaimReady", "False", json_find_str(fault, "reason"),
                                   cut(a, json_find_str(fault, "message")) };
    const char *message = why ? arena_printf(a, "Not enough NodeClaims are ready: %s", why)
                              : arena_printf(a, "Not enough NodeClaims are ready: %lld of %lld",
                                             (long long)ready, (long long)wanted);
    return (struct condition){ "NodeClaimReady", "False", "NodeClaimNotReady", message };
}

struct condition nodes_claims_there(void)
{
    return (struct condition){ "NodeClaimReady", "True", "NodeClaimsReady",
                               "Enough NodeClaims are ready" };
}

void nodes_delete_all(struct arena *a, const struct kube_resource *r, const struct json *objects,
                      struct decision *out)
{
    JSON_FOREACH(it, objects)
        if (!meta_deleting(it.value))
            decision_write(a, out, WRITE_DELETE, r, meta_name(it.value), NULL)->uid =
                meta_uid(it.value);
}

/* ---- summing up ----------------------------------------------------------------------------------------------------- */

static const char *const pressures[] = { "DiskPressure", "MemoryPressure", "PIDPressure" };

/* "; warning: worker node(s) under resource pressure: a (DiskPressure); …", or "". */
static const char *pressure_text(struct arena *a, const struct json *nodes)
{
    AUTO_BUF out = BUF_INIT(MAX_PRESSURE);
    JSON_FOREACH(it, nodes) {
        const struct json *conditions = json_find(it.value, "status", "conditions");
        bool first = true;
        for (size_t i = 0; i < COUNT_OF(pressures); i++) {
            if (!condition_is(conditions, pressures[i], "True"))
                continue;
            if (first)
                buf_printf(&out, "%s%s (", out.len > 0 ? "; " : "", meta_name(it.value));
            buf_printf(&out, "%s%s", first ? "" : ", ", pressures[i]);
            first = false;
        }
        if (!first)
            buf_putc(&out, ')');
    }
    return out.len == 0 ? ""
                        : arena_printf(a, "; warning: worker node(s) under resource pressure: %s",
                                       buf_str(&out));
}

static bool failed(const struct condition *c)
{
    return c->type && !STREQ(c->status, "True");
}

void nodes_finish(struct arena *a, const struct nodes_request *q, const struct json *nodes,
                  struct nodes_result *ret)
{
    ret->nodes_counted = nodes;
    ret->nodes.message = arena_printf(a, "%s%s", ret->nodes.message, pressure_text(a, nodes));
    ret->ready = !failed(&ret->claims) && !failed(&ret->nodes);
    ret->resource = ret->ready
                        ? (struct condition){ "ResourceReady", "True", q->words->ready_reason,
                                              q->words->ready_message }
                    : failed(&ret->claims) ? ret->claims
                                           : ret->nodes;
    ret->resource.type = "ResourceReady";
}
