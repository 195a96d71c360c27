#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "base/str.h"
#include "cmd/estimate.h"
#include "json/build.h"

#define GIB_F 1073741824.0

/* Two places are enough for people, and nobody reckons with them. */
static struct json *gib(struct arena *a, double bytes)
{
    return json_new_double(a, round(bytes / GIB_F * 100) / 100);
}

static struct json *memory_json(struct arena *a, const struct estimate *e)
{
    if (e->gpu <= 0)
        return NULL;
    return OBJ("gpuGiB", gib(a, e->gpu), "usableGiB", gib(a, e->usable), "engineGiB",
               gib(a, e->base), "cacheGiB", gib(a, e->cache), "context", INT(e->context), "roomGiB",
               gib(a, e->room), "weightsGiB", gib(a, e->weights), "weightsPerGpuGiB",
               gib(a, e->weights_share), "gpusNeeded", INT(e->gpus), "maxContext",
               e->max_context > 0 ? INT(e->max_context) : NULL);
}

static struct json *gpu_json(struct arena *a, const struct gpu *g)
{
    return OBJ("product", STR(g->product), "count", INT(g->count), "gib", gib(a, (double)g->bytes),
               "resource", STR(g->resource), "mig", g->mig ? BOOL(true) : NULL);
}

static struct json *assumptions_json(struct arena *a, const struct estimate *e)
{
    struct json *list = json_new_array(a);
    for (size_t i = 0; i < e->assumption_count; i++)
        json_append(list, STR(e->assumptions[i]));
    return list;
}

struct json *estimate_json(struct arena *a, const struct estimate_answer *e)
{
    const struct estimate *s = &e->estimate;
    const struct layout *l = &s->layout;
    struct json *parallel =
        OBJ("tensor", INT(l->tensor), "pipeline", INT(l->pipeline), "data", INT(l->data));
    bool precise = STREQ(e->mode, "precise");
    return OBJ("nodes", INT(s->nodes), "model", STR(e->preset->id), "engine",
               STR(e->flags ? "vllm" : "transformers"), "mode", STR(e->mode), "instanceType",
               e->sku ? STR(e->sku->name) : NULL, "gpu", gpu_json(a, &e->gpu), "memory",
               memory_json(a, s), "parallel", l->tensor > 0 ? parallel : NULL, "flags", e->flags,
               "assumptions", precise ? assumptions_json(a, s) : NULL, "warnings",
               json_size(e->warnings) ? e->warnings : NULL);
}

/* "ModelNotFound" is "model-not-found". */
static const char *class_of(struct arena *a, const char *reason)
{
    static const char *const odd[][2] = {
        { "UnsupportedSKU", "unsupported-sku" },
        { "GPUMemoryTooSmall", "gpu-memory-below-overhead" },
        { "MIGSliceTooSmall", "mig-slice-too-small" },
        { "MissingGPULabels", "missing-gpu-labels" },
        { "InvalidGPULabel", "invalid-gpu-label" },
        { "InvalidMIGProfile", "invalid-mig-profile" },
        { "PresetUnknown", "unknown-model" },
    };
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        if (str_eq(reason, odd[i][0]))
            return odd[i][1];
    AUTO_BUF text = BUF_INIT(KIB);
    for (const char *s = str_or_empty(reason); *s; s++) {
        if (isupper((unsigned char)*s) && text.len > 0)
            buf_putc(&text, '-');
        buf_putc(&text, (char)tolower((unsigned char)*s));
    }
    return text.len ? arena_strdup(a, buf_str(&text)) : "failed";
}

struct json *estimate_error_json(struct arena *a, const struct error *err)
{
    return OBJ("error", STR(class_of(a, error_reason(err))), "message", STR(error_message(err)));
}

/* ---- for people ----------------------------------------------------------------------------------------------- */

static void print_row(const char *name, double bytes, const char *note)
{
    printf("  %-18s %9.2f  %s\n", name, bytes / GIB_F, note);
}

static void print_layout(const struct layout *l)
{
    if (l->data > 1)
        printf("%lld copies, one for each GPU of a node\n", (long long)l->data);
    else if (l->tensor * l->pipeline == 1)
        printf("on one GPU\n");
    else
        printf("over %lld GPUs: layers in %lld group%s, each layer on %lld GPU%s\n",
               (long long)(l->tensor * l->pipeline), (long long)l->pipeline,
               l->pipeline == 1 ? "" : "s", (long long)l->tensor, l->tensor == 1 ? "" : "s");
}

/* The reference puts 5 % on top of the weights when it deals them out. */
static double weights_in_all(const struct estimate_answer *e)
{
    const struct layout *l = &e->estimate.layout;
    if (STREQ(e->mode, "precise"))
        return e->estimate.weights;
    return e->estimate.weights_share * (double)(l->tensor * l->pipeline);
}

static void print_memory(const struct estimate_answer *answer)
{
    AUTO_ARENA a = arena_new();
    const struct estimate *e = &answer->estimate;
    double rest = e->usable - e->base - e->cache - e->weights_share;
    printf("\n  GiB on each GPU\n");
    print_row("memory", e->gpu, "");
    print_row("can be used", e->usable, "");
    print_row("engine", e->base, "CUDA, graphs, activations");
    print_row("context", e->cache,
              arena_printf(a, "keys and values of %lld tokens", (long long)e->context));
    print_row("weights", e->weights_share,
              arena_printf(a, "of %.2f in all", weights_in_all(answer) / GIB_F));
    print_row("left", rest, "for more sequences at once");
    if (e->max_context > 0)
        printf("\n  The longest sequence that fits has %lld tokens.\n", (long long)e->max_context);
}

void estimate_print(const struct estimate_answer *e)
{
    const struct gpu *g = &e->gpu;
    const struct estimate *s = &e->estimate;
    printf("%s: %lld node%s, %lld x %s with %.0f GiB each%s%s\n", e->preset->name,
           (long long)s->nodes, s->nodes == 1 ? "" : "s", (long long)g->count,
           str_empty(g->product) ? g->resource : g->product,
           g->count > 0 ? (double)g->bytes / (double)g->count / GIB_F : 0, e->sku ? ", " : "",
           e->sku ? e->sku->name : "");
    if (s->gpu > 0) {
        printf("  laid out           ");
        print_layout(&s->layout);
        print_memory(e);
    }
    for (size_t i = 0; i < s->assumption_count; i++)
        printf("  assumed: %s\n", s->assumptions[i]);
    JSON_FOREACH(it, e->warnings)
        printf("  warning: %s\n", json_string(it.value));
}
