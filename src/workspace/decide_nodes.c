/* Nodes: asked of the back end of the node provisioner, whichever it is. */
#include "kube/meta.h"
#include "kube/quantity.h"
#include "workspace/decide_internal.h"

int64_t decide_node_memory(const struct decider *d)
{
    int64_t most = -1;
    JSON_FOREACH(it, d->o->nodes.nodes) {
        const char *text = json_find_str(it.value, "status", "allocatable", "memory");
        int64_t bytes = 0;
        if (nodes_node_ready(it.value) && text && quantity_value(text, &bytes, NULL) == 0)
            most = MAX(most, bytes);
    }
    return most;
}

static struct nodes_request request_of(const struct decider *d)
{
    struct nodes_request q = workspace_nodes_request(&d->ws);
    const struct preset *preset = d->choice.preset;
    q.gpus = d->sku && sku_runs_cuda(d->sku);
    q.count = d->target_nodes;
    /* No node is paid for work that cannot run. */
    q.hold = d->problem.reason ? d->problem.message : NULL;
    /* A tuning writes checkpoints: it gets the largest disk, whatever the model. */
    q.disk = !d->ws.tuning && preset && preset->disk && preset->disk[0] ? preset->disk : NULL;
    return q;
}

void decide_nodes(struct decider *d)
{
    struct nodes_request q = request_of(d);
    struct nodes_input in = { d->in->settings, &q, &d->o->nodes };
    nodes_decide(d->a, &in, d->out, &d->nodes);
    d->own_labels = nodes_selector(d->a, &in);
    d->resource_ready = d->nodes.ready;
}

void decide_nodes_removal(struct decider *d)
{
    struct nodes_request q = request_of(d);
    struct nodes_input in = { d->in->settings, &q, &d->o->nodes };
    nodes_remove(d->a, &in, d->out);
}
