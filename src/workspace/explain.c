/* The reasons of a decision, in figures. */
#include "catalog/estimate.h"
#include "workspace/decide_internal.h"
#include "workspace/streaming.h"
#include "json/build.h"

#define GIB_F 1073741824.0

/* Two places are enough for people, and nobody reckons with them. */
static struct json *gib(struct arena *a, double bytes)
{
    return json_new_double(a, (double)(int64_t)(bytes / GIB_F * 100 + 0.5) / 100);
}

static struct json *explain_memory(const struct decider *d)
{
    struct arena *a = d->a;
    struct estimate e;
    if (!d->choice.engine || !d->choice.engine->spans_nodes || !d->choice.preset ||
        d->gpu.count <= 0 ||
        estimate_in_mode(d->in->settings->precise_estimator, d->choice.preset, &d->gpu,
                         decide_context(d), &e, NULL) < 0 ||
        e.gpu <= 0)
        return NULL;
    return OBJ("gpuGiB", gib(a, e.gpu), "usableGiB", gib(a, e.usable), "engineGiB", gib(a, e.base),
               "cacheGiB", gib(a, e.cache), "context", INT(e.context), "roomGiB", gib(a, e.room),
               "weightsGiB", gib(a, e.weights), "gpusNeeded", INT(e.gpus));
}

static struct json *explain_gpu(const struct decider *d)
{
    struct arena *a = d->a;
    if (d->gpu.count <= 0)
        return NULL;
    return OBJ("product", STR(d->sku ? d->sku->gpu_model : d->gpu.product), "count",
               INT(d->gpu.count), "gib", gib(a, (double)d->gpu.bytes));
}

struct json *workspace_explain(struct arena *a, const struct decide_input *in)
{
    struct decision decision;
    struct decider d;
    decide_all(a, in, &decision, &d);
    const char *type = d.sku ? d.sku->name : d.ws.instance_type;
    struct json *problem =
        d.problem.reason ? OBJ("reason", STR(d.problem.reason), "message", STR(d.problem.message))
                         : NULL;
    struct json *waiting =
        !problem && !d.ws.deleting && (!d.nodes.ready || !d.resource_ready)
            ? OBJ("reason", STR(d.nodes.resource.reason), "message", STR(d.nodes.resource.message))
            : NULL;
    return OBJ("model", STR(d.choice.model), "engine",
               STR(d.choice.engine ? d.choice.engine->name : NULL), "instanceType",
               STR(type && *type ? type : NULL), "nodes",
               d.target_nodes > 0 ? INT(d.target_nodes) : NULL, "gpu", explain_gpu(&d), "memory",
               explain_memory(&d), "problem", problem, "waiting", waiting, "mirror",
               d.streaming
                   ? STR(streaming_mirror_name(a, streaming_model_id(a, in->catalog, &d.ws)))
                   : NULL);
}
