/* How many Workspaces there should be, and which of them go. Of those that go, the ones that serve
 * least go first: with an older base image or an older template, not ready, younger. A ready one
 * goes only while more are ready than are wanted, so that an upgrade with one extra Workspace never
 * takes an old one away before the new one serves. */
#include <stdlib.h>

#include "base/str.h"
#include "inferenceset/decide_internal.h"
#include "kube/meta.h"
#include "workspace/decide.h"

/* ---- nodeCountLimit ---------------------------------------------------------------------------------------------------- */

/* Nodes of one replica: as its Workspaces say; before there is one, as the Workspace controller
 * would decide. At least one. */
static int64_t nodes_per_child(struct set_decider *d)
{
    struct arena *a = d->a;
    int64_t most = 0;
    for (size_t i = 0; i < d->count; i++)
        most = MAX(most, d->children[i].nodes);
    if (most == 0) {
        const struct observed nothing = {
            .workspace = set_child(a, d->in, set_child_name(a, d->set.name, d->set.uid, 0)),
            .revisions = EMPTY_ARR(),
            .pods = EMPTY_ARR(),
        };
        struct decision would;
        workspace_decide(a,
                         &(struct decide_input){ .settings = d->in->settings,
                                                 .catalog = d->in->catalog,
                                                 .types = d->in->types,
                                                 .now_ns = d->in->now_ns,
                                                 .observed = &nothing },
                         &would);
        most = json_find_int(would.status, 0, "targetNodeCount");
    }
    return MAX(most, INT64_C(1));
}

/* Those that are on their way out hold their nodes still: what follows them waits. What is there
 * already stays: it may have been made before the limit counted. */
void set_decide_limit(struct set_decider *d)
{
    d->allowed = INT64_MAX;
    if (d->set.node_limit == 0)
        return;
    int64_t each = nodes_per_child(d), leaving = 0;
    for (size_t i = 0; i < d->count; i++)
        leaving += d->children[i].deleting;
    d->allowed = MAX(d->set.node_limit / each - leaving, INT64_C(0));
    if (d->set.replicas * each > d->set.node_limit)
        d->limited = arena_printf(
            d->a,
            "%lld replicas need %lld nodes and nodeCountLimit is %lld: no more than %lld are made; "
            "raise spec.nodeCountLimit or lower spec.replicas",
            (long long)d->set.replicas, (long long)(d->set.replicas * each),
            (long long)d->set.node_limit, (long long)(d->set.node_limit / each));
}

/* ---- which go ------------------------------------------------------------------------------------------------------- */

static bool behind(const struct child *c)
{
    return c->old || c->outdated || c->replaced;
}

static int by_usefulness(const void *x, const void *y)
{
    const struct child *a = *(struct child *const *)x, *b = *(struct child *const *)y;
    if (behind(a) != behind(b))
        return behind(a) ? -1 : 1;
    if (a->ready != b->ready)
        return a->ready ? 1 : -1;
    const char *made_a = json_find_str(a->json, "metadata", "creationTimestamp");
    const char *made_b = json_find_str(b->json, "metadata", "creationTimestamp");
    int order = strcmp(str_or_empty(made_b), str_or_empty(made_a)); /* younger first */
    return order ? order : strcmp(a->name, b->name);
}

static void scale_down(struct set_decider *d, size_t excess, size_t wanted)
{
    struct child **order = arena_alloc(d->a, (d->count + 1) * sizeof(struct child *));
    size_t n = 0, kept_back = 0;
    for (size_t i = 0; i < d->count; i++)
        if (child_live(&d->children[i])) {
            order[n++] = &d->children[i];
            kept_back += behind(&d->children[i]);
        }
    qsort(order, n, sizeof(struct child *), by_usefulness);
    /* Present ones go only as far as there are more to go than there are old ones. */
    size_t present = excess > kept_back ? excess - kept_back : 0;
    for (size_t i = 0; i < n && excess > 0; i++) {
        struct child *c = order[i];
        if (c->ready && set_ready(d) <= wanted)
            continue;
        if (!c->old && present == 0)
            continue;
        present -= !c->old;
        excess--;
        set_remove(d, c);
    }
}

void set_decide_scale(struct set_decider *d)
{
    size_t live = set_live(d);
    int64_t wanted = d->set.replicas;
    int64_t make = MIN(wanted, d->allowed);
    if ((int64_t)live > wanted)
        scale_down(d, live - (size_t)wanted, (size_t)wanted);
    else if ((int64_t)live < make)
        set_create(d, (size_t)(make - (int64_t)live));
}
