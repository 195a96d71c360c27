/* One NodePool per owner, with a fixed number of replicas: an installed Karpenter makes NodeClaims
 * and machines of it. The number is only ever raised.
 *
 * A cluster may have been run with the other back end before. Where its NodeClaims are enough for
 * an owner, they are kept and no NodePool is made; pods then ask for the labels of those nodes.
 * Where they are not, they do not count: no pod could run on both kinds of nodes. */
#include <string.h>

#include "base/str.h"
#include "operator/nodes_internal.h"

#define PREFIX "karpenter.kaito.sh/"
#define AZURE_GROUP "karpenter.azure.com"

static bool on_legacy(const struct nodes_input *in)
{
    int64_t count = in->request->count;
    return count > 0 && nodes_live(in->facts->legacy_claims) >= count && !in->facts->pool;
}

static struct json *owner_labels(struct arena *a, const struct nodes_request *q)
{
    return nodes_labels(a, q->words->pool_name_label, q->name, q->words->pool_ns_label, q->ns);
}

static struct json *selector(struct arena *a, const struct nodes_input *in)
{
    const struct nodes_request *q = in->request;
    return on_legacy(in) ? nodes_labels(a, q->words->name_label, q->name, q->words->ns_label, q->ns)
                         : owner_labels(a, q);
}

/* ---- the object ----------------------------------------------------------------------------------------------------- */

static void add_set_labels(struct arena *a, const struct nodes_request *q, struct json *labels)
{
    if (!q->set_name)
        return;
    json_set_str(a, labels, PREFIX "inferenceset", q->set_name);
    json_set_str(a, labels, PREFIX "inferenceset-namespace", q->ns);
}

/* clang-format off */
static struct json *requirements(struct arena *a, const struct nodes_input *in)
{
    struct json *list = ARR(OBJ("key", STR(INSTANCE_TYPE_LABEL),
                                "operator", STR("In"),
                                "values", ARR(STR(in->request->instance_type))));
    if (str_eq(in->settings->node_class_group, AZURE_GROUP)) /* GPUs are rarer in a zone than in its region */
        json_append(list, OBJ("key", STR("karpenter.azure.com/placement-scope"),
                              "operator", STR("In"),
                              "values", ARR(STR("regional"))));
    return list;
}

/* Standalone, one drifted node is replaced at a time; for an InferenceSet its controller says when. */
static struct json *pool_object(struct arena *a, const struct nodes_input *in, const char *name,
                                const char *class_name, int64_t replicas)
{
    const struct nodes_request *q = in->request;
    struct json *labels = owner_labels(a, q);
    json_set_str(a, labels, PREFIX "managed-by", "kaito");
    add_set_labels(a, q, labels);
    struct json *node_labels = json_clone(a, q->labels);
    JSON_FOREACH(it, owner_labels(a, q))
        json_set_str(a, node_labels, it.key, json_string(it.value));
    add_set_labels(a, q, node_labels);
    return OBJ(
        "apiVersion", STR("karpenter.sh/v1"),
        "kind", STR("NodePool"),
        "metadata", OBJ("name", STR(name), "labels", labels),
        "spec", OBJ(
            "replicas", INT(replicas),
            "template", OBJ(
                "metadata", OBJ("labels", node_labels),
                "spec", OBJ(
                    "nodeClassRef", OBJ("group", STR(in->settings->node_class_group),
                                        "kind", STR(in->settings->node_class_kind),
                                        "name", STR(class_name)),
                    "requirements", requirements(a, in),
                    "taints", ARR(OBJ("key", STR("sku"), "value", STR("gpu"), "effect", STR("NoSchedule"))),
                    "expireAfter", STR("Never"))),
            "disruption", OBJ(
                "consolidateAfter", STR("0s"),
                "consolidationPolicy", STR("WhenEmptyOrUnderutilized"),
                "budgets", ARR(OBJ("nodes", STR(q->set_name ? "0" : "1"), "reasons", ARR(STR("Drifted")))))));
}
/* clang-format on */

/* ---- what keeps it from being made ---------------------------------------------------------------------------------- */

static bool is_ours(struct arena *a, const struct nodes_request *q, const struct json *pool)
{
    return json_contains(json_find(pool, "metadata", "labels"), owner_labels(a, q));
}

static const char *class_names(struct arena *a, const struct operator_settings *settings)
{
    AUTO_BUF out = BUF_INIT(4 * KIB);
    JSON_FOREACH(it, settings->node_classes)
        buf_printf(&out, "%s%s", out.len > 0 ? ", " : "", json_find_str(it.value, "name"));
    return arena_strdup(a, buf_str(&out));
}

static const char *class_obstacle(struct arena *a, const struct nodes_input *in)
{
    const struct operator_settings *s = in->settings;
    const char *name = nodes_class_name(s, in->request->node_class);
    if (!name)
        return arena_printf(a,
                            "the annotation kaito.sh/node-class-name is \"%s\"; the node classes "
                            "of this installation are %s",
                            in->request->node_class ? in->request->node_class : "",
                            class_names(a, s));
    if (!in->facts->classes_served)
        return arena_printf(a, "this cluster has no %s (%s/%s); install Karpenter with its CRDs",
                            s->node_class_kind, s->node_class_group, s->node_class_version);
    if (!in->facts->node_class)
        return arena_printf(a, "%s %s is not there yet", s->node_class_kind, name);
    const struct json *conditions = json_find(in->facts->node_class, "status", "conditions");
    if (condition_is(conditions, "Ready", "True"))
        return NULL;
    const char *message = json_find_str(condition_find(conditions, "Ready"), "message");
    return arena_printf(a, "%s %s is not ready%s%s", s->node_class_kind, name,
                        str_empty(message) ? "" : ": ", str_empty(message) ? "" : message);
}

static const char *obstacle(struct arena *a, const struct nodes_input *in, const char *pool)
{
    if (in->request->hold)
        return in->request->hold;
    if (!in->facts->pools_served)
        return "this cluster has no NodePools (karpenter.sh/v1); install Karpenter with its CRDs, or "
               "start KAITO with --node-provisioner=byo and bring nodes";
    if (in->facts->pool && !is_ours(a, in->request, in->facts->pool))
        return arena_printf(a,
                            "NodePool %s exists already and is not of this Workspace; give the "
                            "Workspace another name, or remove that NodePool if nothing needs it",
                            pool);
    if (in->facts->pool && meta_deleting(in->facts->pool))
        return arena_printf(a, "NodePool %s is being deleted", pool);
    return class_obstacle(a, in);
}

/* ---- together ------------------------------------------------------------------------------------------------------- */

static void make_pool(struct arena *a, const struct nodes_input *in, const char *name,
                      int64_t replicas, struct decision *out)
{
    const struct json *pool = in->facts->pool;
    if (replicas < 1 || (pool && json_find_int(pool, 0, "spec", "replicas") >= replicas))
        return;
    if (pool) {
        decision_write(a, out, WRITE_PATCH, &KUBE_NODEPOOLS, name,
                       OBJ("spec", OBJ("replicas", INT(replicas))));
        return;
    }
    if (json_size(in->facts->pending) > 0)
        return;
    const char *class_name = nodes_class_name(in->settings, in->request->node_class);
    decision_write(a, out, WRITE_CREATE, &KUBE_NODEPOOLS, name,
                   pool_object(a, in, name, class_name, replicas))
        ->same_labels = owner_labels(a, in->request);
}

/* What the NodePool itself says, while there is no NodeClaim that could. */
static const char *pool_trouble(struct arena *a, const struct nodes_facts *f)
{
    const struct json *c = condition_find(json_find(f->pool, "status", "conditions"), "Ready");
    const char *message = json_find_str(c, "message");
    if (json_size(f->claims) > 0 || !str_eq(json_find_str(c, "status"), "False") ||
        str_empty(message))
        return NULL;
    return arena_printf(a, "NodePool %s is not ready: %s", meta_name(f->pool), message);
}

/* What keeps the NodePool from being there with that many replicas; NULL: nothing. What it was made
 * of (its node class, the annotation) may change or go once it is there. */
static const char *decide_pool(struct arena *a, const struct nodes_input *in, int64_t needed,
                               struct decision *out)
{
    const struct nodes_request *q = in->request;
    const struct json *pool = in->facts->pool;
    bool there = q->count > 0 && pool && is_ours(a, q, pool) && !meta_deleting(pool) &&
                 json_find_int(pool, 0, "spec", "replicas") >= needed;
    const char *name = nodes_pool_name(a, q->ns, q->name);
    const char *why = there ? NULL : obstacle(a, in, name);
    if (!why)
        make_pool(a, in, name, needed, out);
    return why ? why : pool_trouble(a, in->facts);
}

static void decide(struct arena *a, const struct nodes_input *in, struct decision *out,
                   struct nodes_result *ret)
{
    const struct nodes_request *q = in->request;
    const struct nodes_facts *f = in->facts;
    bool legacy = on_legacy(in);
    const struct json *nodes = legacy ? f->legacy_nodes : f->nodes;
    const struct json *claims = legacy ? f->legacy_claims : f->claims;
    struct nodes_count n;
    nodes_count(a, q, nodes, &n);
    int64_t needed = MAX(q->count - n.covering, INT64_C(0));
    const char *why =
        !legacy && (needed > 0 || q->count < 1) ? decide_pool(a, in, needed, out) : NULL;
    int64_t ready = nodes_ready_claims(claims);
    ret->claims = q->count > 0 && ready >= needed
                      ? nodes_claims_there()
                      : nodes_claims_missing(a, claims, ready, needed, why);
    ret->nodes = nodes_condition(a, q, &n, " with GPU resources");
    nodes_label_gpus(a, q, nodes, out);
    nodes_finish(a, q, nodes, ret);
}

/* The NodePool takes its NodeClaims and nodes along. */
static void remove_pool(struct arena *a, const struct nodes_input *in, struct decision *out)
{
    const struct nodes_facts *f = in->facts;
    if (f->pool && is_ours(a, in->request, f->pool) && !meta_deleting(f->pool))
        decision_write(a, out, WRITE_DELETE, &KUBE_NODEPOOLS, meta_name(f->pool), NULL)->uid =
            meta_uid(f->pool);
    if (!f->pool)
        JSON_FOREACH(it, f->pending)
            decision_write(a, out, WRITE_DELETE, &KUBE_NODEPOOLS, json_string(it.value), NULL);
    nodes_delete_all(a, &KUBE_NODECLAIMS, f->legacy_claims, out);
}

const struct nodes_backend nodes_karpenter = {
    .name = "karpenter",
    .provisions = true,
    .selector = selector,
    .decide = decide,
    .remove = remove_pool,
};
