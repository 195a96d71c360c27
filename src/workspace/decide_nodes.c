/* Nodes that the user brings: those with the labels that the Workspace asks for. */
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "kube/quantity.h"
#include "workspace/decide_internal.h"
#include "json/build.h"

bool decide_node_ready(const struct json *node)
{
    return !meta_deleting(node) &&
           condition_is(json_find(node, "status", "conditions"), "Ready", "True");
}

int64_t decide_node_memory(const struct decider *d)
{
    int64_t most = -1;
    JSON_FOREACH(it, d->o->nodes) {
        const char *text = json_find_str(it.value, "status", "allocatable", "memory");
        int64_t bytes = 0;
        if (decide_node_ready(it.value) && text && quantity_value(text, &bytes, NULL) == 0)
            most = MAX(most, bytes);
    }
    return most;
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
        if (decide_node_ready(it.value))
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
static const char *shortage(struct decider *d, int64_t want)
{
    struct arena *a = d->a;
    const struct json *labels = d->ws.node_labels;
    size_t matching = json_size(d->o->nodes);
    if (json_size(labels) == 0 && matching == 0)
        return "there is no node";
    bool several = json_size(labels) > 1;
    const char *which =
        arena_printf(a, "the label%s %s", several ? "s" : "", labels_text(a, labels, ", "));
    const char *how = arena_printf(a, "`kubectl label node %s %s` gives %s to one",
                                   d->o->only_node && matching == 0 ? d->o->only_node : "NAME",
                                   labels_text(a, labels, " "), several ? "them" : "it");
    if (matching == 0)
        return arena_printf(a, "no node has %s; %s", which, how);
    const char *unready = unready_text(a, d->o->nodes);
    if (json_size(labels) == 0)
        return arena_printf(a, "%lld of %lld are there%s%s", (long long)d->ready_nodes,
                            (long long)want, unready ? "; " : "", unready ? unready : "");
    return arena_printf(a, "%lld of %lld that have %s; %s", (long long)d->ready_nodes,
                        (long long)want, which, unready ? unready : how);
}

void decide_nodes(struct decider *d)
{
    JSON_FOREACH(it, d->o->nodes)
        d->ready_nodes += decide_node_ready(it.value);
    /* Before the number is known, one is the least. */
    int64_t want = MAX(d->target_nodes, INT64_C(1));
    d->resource_ready = d->ready_nodes >= want;
    if (!d->resource_ready)
        d->node_problem =
            (struct problem){ .reason = "NodeNotReady", .message = shortage(d, want) };
}
