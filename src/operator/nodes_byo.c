/* Nodes that the user brings: those with the labels that he asks for. */
#include "base/str.h"
#include "operator/nodes_internal.h"

static struct json *selector(struct arena *a, const struct nodes_input *in)
{
    return EMPTY_OBJ();
}

/* "apps=x,zone=a" */
static const char *labels_text(struct arena *a, const struct json *labels, const char *separator)
{
    AUTO_BUF out = BUF_INIT(4 * KIB);
    JSON_FOREACH(it, labels)
        buf_printf(&out, "%s%s=%s", out.len > 0 ? separator : "", it.key, json_string(it.value));
    return arena_strdup(a, buf_str(&out));
}

/* The first node that matches and is not ready, with the reason. */
static const char *unready_text(struct arena *a, const struct json *nodes)
{
    JSON_FOREACH(it, nodes) {
        if (nodes_node_ready(it.value))
            continue;
        if (meta_deleting(it.value))
            return arena_printf(a, "node %s is being deleted", meta_name(it.value));
        const struct json *c = condition_find(json_find(it.value, "status", "conditions"), "Ready");
        const char *reason = json_find_str(c, "reason");
        return arena_printf(a, "node %s is not ready%s%s", meta_name(it.value), reason ? ": " : "",
                            reason ? reason : "");
    }
    return NULL;
}

/* "the labels apps=x, zone=a", and the command that gives them to a node. */
static const char *shortage(struct arena *a, const struct nodes_input *in, int64_t ready,
                            int64_t want)
{
    const struct json *labels = in->request->labels;
    size_t matching = json_size(in->facts->nodes);
    if (json_size(labels) == 0 && matching == 0)
        return "there is no node";
    bool several = json_size(labels) > 1;
    const char *which =
        arena_printf(a, "the label%s %s", several ? "s" : "", labels_text(a, labels, ", "));
    const char *only = matching == 0 ? in->facts->only_node : NULL;
    const char *how =
        arena_printf(a, "`kubectl label node %s %s` gives %s to one", only ? only : "NAME",
                     labels_text(a, labels, " "), several ? "them" : "it");
    if (matching == 0)
        return arena_printf(a, "no node has %s; %s", which, how);
    const char *unready = unready_text(a, in->facts->nodes);
    if (json_size(labels) == 0)
        return arena_printf(a, "%lld of %lld are there%s%s", (long long)ready, (long long)want,
                            unready ? "; " : "", unready ? unready : "");
    return arena_printf(a, "%lld of %lld that have %s; %s", (long long)ready, (long long)want,
                        which, unready ? unready : how);
}

static void decide(struct arena *a, const struct nodes_input *in, struct decision *out,
                   struct nodes_result *ret)
{
    int64_t ready = 0;
    JSON_FOREACH(it, in->facts->nodes)
        ready += nodes_node_ready(it.value);
    /* Before the number is known, one is the least. */
    int64_t want = MAX(in->request->count, INT64_C(1));
    ret->nodes =
        ready >= want
            ? (struct condition){ "NodesReady", "True", "NodesReady", "Enough Nodes are ready" }
            : (struct condition){ "NodesReady", "False", "NodeNotReady",
                                  arena_printf(a, "Not enough Nodes are ready: %s",
                                               shortage(a, in, ready, want)) };
    nodes_finish(a, in->request, in->facts->nodes, ret);
    if (!ret->ready)
        ret->resource.reason = in->request->words->not_ready_reason;
}

/* The nodes are the user's; they stay. */
static void remove_nothing(struct arena *a, const struct nodes_input *in, struct decision *out) {}

const struct nodes_backend nodes_byo = {
    .name = "byo",
    .provisions = false,
    .selector = selector,
    .decide = decide,
    .remove = remove_nothing,
};
