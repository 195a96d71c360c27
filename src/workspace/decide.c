/* The order of questions: is it being deleted, can the specification work at all, which engine, are
 * there nodes, are the weights there and do they fit; then the objects; and the status over all of
 * it. A question that is answered with no stops the creation of objects, never the status. Existing
 * objects are left as they are by what is found missing later. */
#include "workspace/decide_internal.h"

#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

/* How often the model store is looked at while weights are missing: nobody tells when a file
 * appears. */
#define STORE_POLL_MS 1000

struct write *decider_write(struct decider *d, enum write_op op, const struct kube_resource *r,
                            const char *name, struct json *body)
{
    return decision_write(d->a, d->out, op, r, name, body);
}

void decider_event(struct decider *d, const char *type, const char *reason, const char *message)
{
    decision_event(d->a, d->out, type, reason, message);
}

void decider_problem(struct decider *d, bool final, const char *reason, const char *message)
{
    if (!d->problem.reason)
        d->problem = (struct problem){ .reason = reason, .message = message, .final = final };
}

void decider_problem_error(struct decider *d, bool final, struct error *err)
{
    struct arena *a = d->a;
    const char *reason = error_reason(err);
    decider_problem(d, final, reason ? arena_strdup(a, reason) : "InvalidSpec",
                    arena_strdup(a, error_message(err)));
    error_free(err);
}

/* ---- deletion ------------------------------------------------------------------------------------------------------ */

/* What was made to get nodes goes first, as long as the finalizer holds the Workspace. Nodes that
 * the user brought stay; everything else goes with its owner. The condition is for those
 * who look while another finalizer holds the Workspace. */
static void decide_deletion(struct decider *d)
{
    struct arena *a = d->a;
    struct json *left = EMPTY_ARR();
    JSON_FOREACH(it, json_find(d->ws.json, "metadata", "finalizers"))
        if (!str_eq(json_string(it.value), WORKSPACE_FINALIZER))
            json_append(left, json_clone(a, it.value));
    if (json_size(left) > 0) {
        d->out->status = json_clone(a, json_get(d->ws.json, "status"));
        if (!json_is_object(d->out->status))
            d->out->status = EMPTY_OBJ();
        condition_set(a, json_ensure_array(a, d->out->status, "conditions"),
                      &(struct condition){ "WorkspaceDeleting", "True", "workspaceDeleting",
                                           "the workspace is being deleted" },
                      d->ws.generation, d->in->now_ns);
    }
    if (meta_has_finalizer(d->ws.json, WORKSPACE_FINALIZER)) {
        decide_nodes_removal(d);
        struct json *metadata = OBJ("finalizers", json_size(left) > 0 ? left : NUL(),
                                    "resourceVersion", STR(meta_resource_version(d->ws.json)));
        decider_write(d, WRITE_PATCH, &KUBE_WORKSPACES, d->ws.name, OBJ("metadata", metadata));
    }
}

/* ---- can it work --------------------------------------------------------------------------------------------------- */

void decide_engine(struct decider *d)
{
    struct error *err = NULL;
    if (workspace_check(&d->ws, &err) < 0) {
        decider_problem_error(d, true, err);
        return;
    }
    if (d->ws.tuning) {
        decide_tuning_choice(d);
        return;
    }
    if (d->o->hub.reason) {
        decider_problem(d, d->o->hub.again_ms == 0, d->o->hub.reason, d->o->hub.message);
        decision_requeue(d->out, d->o->hub.again_ms);
        return;
    }
    bool in_store =
        d->o->weights.state == WEIGHTS_PRESENT || d->o->weights.state == WEIGHTS_INVALID;
    int r = d->o->hub.preset
                ? engine_choose_preset(&d->ws, d->in->settings, d->o->hub.preset, &d->choice, &err)
                : engine_choose(d->a, &d->ws, d->in->catalog, d->in->settings, in_store, &d->choice,
                                &err);
    if (r < 0) {
        decider_problem_error(d, true, err);
        return;
    }
    decide_adapter_checks(d);
}

static const char *gib(struct arena *a, uint64_t bytes)
{
    return arena_printf(a, "%.2f GiB", (double)bytes / (double)GIB);
}

/* The store is looked at again while it keeps pods from being ready. */
static void weights_problem(struct decider *d, const char *reason, const char *message)
{
    decider_problem(d, false, reason, message);
    if (!decide_workload_ready(d) || !decide_workload_current(d))
        d->out->requeue_ms = STORE_POLL_MS;
}

static void decide_memory(struct decider *d)
{
    const struct observed_weights *w = &d->o->weights;
    int64_t memory = decide_node_memory(d);
    uint64_t need = w->weight_bytes + w->cache_bytes + GGUF_ENGINE_BYTES;
    if (memory < 0 || need <= (uint64_t)memory)
        return;
    weights_problem(
        d, "InsufficientMemory",
        arena_printf(
            d->a,
            "model \"%s\" needs %s of memory (%s of weights, %s for the smallest context, %s for the engine); the "
            "largest node has %s for pods. Choose a smaller model or quantisation",
            d->choice.model, gib(d->a, need), gib(d->a, w->weight_bytes), gib(d->a, w->cache_bytes),
            gib(d->a, GGUF_ENGINE_BYTES), gib(d->a, (uint64_t)memory)));
}

static void decide_weights(struct decider *d)
{
    const struct observed_weights *w = &d->o->weights;
    if (d->problem.reason || d->ws.template || !d->choice.engine ||
        !d->choice.engine->weights_in_store)
        return;
    if (w->state == WEIGHTS_MISSING)
        weights_problem(d, "ModelNotFound", w->message);
    else if (w->state == WEIGHTS_INVALID)
        weights_problem(d, "ModelInvalid", w->message);
    else if (w->state == WEIGHTS_PRESENT)
        decide_memory(d);
}

/* ---- all together -------------------------------------------------------------------------------------------------- */

void decide_all(struct arena *a, const struct decide_input *in, struct decision *ret,
                struct decider *ret_decider)
{
    struct decider *d = ret_decider;
    *d = (struct decider){ .a = a, .in = in, .o = in->observed, .out = ret };
    *ret = (struct decision){ 0 };
    workspace_read(a, in->observed->workspace, &d->ws);
    if (d->ws.deleting) {
        decide_deletion(d);
        return;
    }
    decide_engine(d);
    decide_identity(d);
    decide_gpu(d);
    decide_mirror(d);
    decide_nodes(d);
    decide_weights(d);
    decide_weights_place(d);
    decide_stream_source(d);
    decide_workload(d);
    decide_status(d);
}

void workspace_decide(struct arena *a, const struct decide_input *in, struct decision *ret)
{
    struct decider d;
    decide_all(a, in, ret, &d);
}
