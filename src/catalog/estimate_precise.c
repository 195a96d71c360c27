/* The precise estimate: what each GPU has to hold when the engine is laid out over n nodes, for the
 * smallest n where it fits. Where KAITO v0.12 is known to be wrong, this differs:
 *
 * - Weights are counted once. The listings behind KAITO's catalogue include copies in sub-folders
 *   (openai/gpt-oss-*: "original/" repeats the root). One margin of 5 % is taken for what loading
 *   adds, not two (1.02 x 1.05). It was chosen with one case in view, the longest context that vLLM
 *   reported for Mistral-Small-4-119B on 2 x H100 NVL (KAITO issue 2132: 810,208 tokens), and comes
 *   1.2 % below that; it says nothing about other models.
 * - Memory is what the driver shows: an H100 NVL of "94 GiB" has 95,830 MiB (nvidia-smi, and the
 *   label nvidia.com/gpu.memory). The part of it that vLLM may take is that of its command line:
 *   0.82 on the A10, 0.84 on others.
 * - Keys and values are shared out by heads; a GPU has at least one head of each layer (vLLM,
 *   ModelConfig.get_num_kv_heads).
 * - The latent of MLA is one vector for all heads (DeepSeek-V2, arXiv:2405.04434, section 2.1):
 *   each GPU of a tensor-parallel group holds all of it. KAITO issue 2139.
 * - The indexer of sparse attention keeps a key of index_head_dim bytes and a scale of 4 bytes for
 *   each token (vLLM, DeepseekV32IndexerCache); with an fp8 cache a latent of 512 + 64 takes 656
 *   bytes (FlashMLA, "fp8_ds_mla": 512 + 16 of scales + 128).
 * - Layers with a sliding window keep the window and what is scheduled at once (vLLM,
 *   SlidingWindowSpec.max_memory_usage_bytes).
 * - Mamba and DeltaNet layers keep a state of fixed size (catalog/facts.c), other layers nothing.
 * - kv-cache-dtype fp8 halves keys and values.
 * - Layers are dealt out whole: the fullest pipeline stage counts.
 * - Heads that cannot be shared by all GPUs of a node: catalog/layout.c.
 *
 * Not measured here, and to be checked against an independent measurement: the memory that drivers
 * show (data/skus.json), and the kinds of layers and the dimensions of states in
 * data/models-precise.json, whose "source" says where to look. */
#include <math.h>

#include "base/str.h"
#include "catalog/estimate.h"
#include "kube/quantity.h"

#define WEIGHTS_MARGIN 1.05
#define BASE_GIB 2.3 /* CUDA context, graphs, activations: as the reference */
#define GIB_F 1073741824.0
#define MAX_NODES 1000
#define MAX_CONTEXT ((int64_t)1 << 31)
#define FP8_LATENT_BYTES 656 /* of one token in one layer, of a latent of 576 elements */
#define FP8_LATENT_ELEMENTS 576
#define INDEX_SCALE_BYTES 4

struct demand {
    const struct model_facts *f;
    struct layout layout;
    double weights;   /* on one GPU */
    double per_token; /* of full layers, on one GPU */
    double in_window; /* the same of sliding ones, for each token that they keep */
    double state;
    int64_t batch; /* tokens that are scheduled at once */
};

static int refuse(struct error **err, int r, const char *reason)
{
    if (err && *err)
        error_set_reason(*err, reason);
    return r;
}

static double share(int64_t layers, int64_t stages)
{
    return (double)((layers + stages - 1) / stages);
}

static bool cache_is_fp8(const struct preset *p)
{
    return str_has_prefix(str_or_empty(json_find_str(p->vllm, "kv-cache-dtype")), "fp8");
}

/* Bytes of one token in one layer on one GPU. */
static double token_bytes(const struct preset *p, const struct model_facts *f, int64_t tensor)
{
    double element = cache_is_fp8(p) ? 1 : 2;
    double index = f->index_dim > 0 ? (double)f->index_dim + INDEX_SCALE_BYTES : 0;
    if (f->latent > 0 && f->index_dim > 0 && f->latent == FP8_LATENT_ELEMENTS && element == 1)
        return FP8_LATENT_BYTES + index;
    if (f->latent > 0)
        return (double)f->latent * element + index;
    int64_t heads = MAX((f->kv_heads + tensor - 1) / tensor, INT64_C(1));
    return 2 * (double)heads * (double)f->head_dim * element + index;
}

/* Servers schedule 8,192 tokens at once on GPUs of 70 GiB and more, else 2,048 (vLLM,
 * EngineArgs.get_batch_defaults). */
static int64_t batch_of(double gpu_bytes)
{
    return gpu_bytes >= 70 * GIB_F ? 8192 : 2048;
}

static struct demand demand_of(const struct preset *p, const struct gpu *gpu, double file_bytes,
                               struct layout layout)
{
    const struct model_facts *f = p->facts;
    struct demand d = { .f = f, .layout = layout };
    int64_t tensor = d.layout.tensor;
    int64_t stages = d.layout.pipeline;
    double token = token_bytes(p, f, tensor);
    d.weights =
        file_bytes * WEIGHTS_MARGIN / (double)tensor * share(f->layers, stages) / (double)f->layers;
    d.per_token = share(f->full, stages) * token;
    d.in_window = share(f->sliding, stages) * token;
    d.state = share(f->stateful, stages) * f->state_bytes / (double)tensor;
    d.batch = batch_of((double)gpu->bytes / (double)gpu->count);
    return d;
}

/* Of one sequence of so many tokens. */
static double cache_bytes(const struct demand *d, int64_t tokens)
{
    int64_t kept = MIN(tokens, d->f->window > 0 ? d->f->window - 1 + d->batch : tokens);
    return d->per_token * (double)tokens + d->in_window * (double)kept + d->state;
}

/* The longest sequence that `room` bytes hold, at most `limit` tokens. */
static int64_t longest_context(const struct demand *d, double room, int64_t limit)
{
    int64_t low = 0;
    int64_t high = limit;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (cache_bytes(d, middle) <= room)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void assume(struct estimate *e, const char *what)
{
    if (e->assumption_count < ESTIMATE_MAX_ASSUMPTIONS)
        e->assumptions[e->assumption_count++] = what;
}

static void tell_assumptions(const struct model_facts *f, const struct gpu *gpu, struct estimate *e)
{
    if (f->layers_unknown)
        assume(e, "which layers keep a window or a state is not known: each counts as full "
                  "attention");
    if (f->state_unknown)
        assume(e, "the size of the state of its recurrent layers is not known: none is counted");
    if (f->window > 0 && f->sliding == 0 && f->stateful == 0)
        assume(e, "which layers its sliding window is for is not known: each keeps everything");
    if (gpu->visible <= 0)
        assume(e,
               "what the driver shows of the GPU's memory is not known: all that it is sold with "
               "counts");
}

/* Fills in the figures of a layout. Does it fit? */
static bool fill(const struct preset *p, const struct gpu *gpu, double file_bytes,
                 struct layout layout, struct estimate *e)
{
    struct demand d = demand_of(p, gpu, file_bytes, layout);
    e->gpus = layout.tensor * layout.pipeline;
    e->layout = layout;
    e->cache = cache_bytes(&d, e->context);
    e->room = e->usable - e->base - e->cache;
    e->weights = file_bytes * WEIGHTS_MARGIN;
    e->weights_share = d.weights;
    e->max_context = longest_context(&d, e->usable - e->base - d.weights,
                                     p->context_length > 0 ? p->context_length : MAX_CONTEXT);
    return d.weights <= e->room && layout.pipeline <= p->facts->layers;
}

/* Copies where they fit with their context, else one engine over all GPUs. */
static bool fill_nodes(const struct preset *p, const struct gpu *gpu, double file_bytes,
                       int64_t nodes, struct estimate *e)
{
    struct layout copies;
    e->nodes = nodes;
    if (layout_precise_copies(p, gpu, nodes, &copies) && fill(p, gpu, file_bytes, copies, e))
        return true;
    return fill(p, gpu, file_bytes, layout_precise(p, gpu, nodes), e);
}

static int too_small(const struct preset *p, const struct gpu *gpu, const struct estimate *e,
                     struct error **err)
{
    int r =
        error_set(err, ERROR_TOO_LARGE,
                  "%s does not fit: each GPU can give %.1f GiB; with the layers shared out over "
                  "%lld GPUs it needs %.1f GiB for the engine, %.1f GiB for %lld tokens of context "
                  "and %.1f GiB for weights. %s",
                  p->name, e->usable / GIB_F, (long long)e->gpus, e->base / GIB_F, e->cache / GIB_F,
                  (long long)e->context, e->weights_share / GIB_F,
                  gpu->mig ? "A model cannot be spread over slices: choose a larger profile or "
                             "a smaller model"
                           : "Choose larger GPUs or a shorter context");
    return refuse(err, r, gpu->mig ? "MIGSliceTooSmall" : "GPUMemoryTooSmall");
}

/* What does not depend on the number of nodes. */
static struct estimate begin(const struct preset *p, const struct gpu *gpu, int64_t context)
{
    struct estimate e = {
        .context = context > 0 ? MIN(context, MAX_CONTEXT) : ESTIMATE_DEFAULT_CONTEXT,
        .gpu = (double)(gpu->visible > 0 ? gpu->visible : gpu->bytes) / (double)gpu->count,
        .base = BASE_GIB * GIB_F,
    };
    e.usable = e.gpu * gpu_utilization(gpu);
    tell_assumptions(p->facts, gpu, &e);
    return e;
}

int estimate_precise(const struct preset *p, const struct gpu *gpu, int64_t context,
                     struct estimate *ret, struct error **err)
{
    if (!p->facts || gpu->count <= 0 || gpu->bytes <= 0) {
        int r = estimate_model(p, gpu, context, ret, err);
        if (r == 0)
            assume(ret, "nothing is known of the model's layers: reckoned as in mode reference");
        return r;
    }
    int64_t file_bytes = 0;
    int r = quantity_value(layout_weights(p), &file_bytes, err);
    if (r < 0)
        return error_prefix(err, r, "size of %s", p->id);
    struct estimate e = begin(p, gpu, context);
    int64_t most = gpu->mig ? 1 : MAX_NODES;
    for (int64_t nodes = 1; nodes <= most; nodes++) {
        if (fill_nodes(p, gpu, (double)file_bytes, nodes, &e)) {
            *ret = e;
            return 0;
        }
        if (e.layout.pipeline >= p->facts->layers)
            break;
    }
    return too_small(p, gpu, &e, err);
}

struct layout estimate_layout(bool precise, const struct preset *p, const struct gpu *gpu,
                              int64_t nodes, int64_t context)
{
    int64_t file_bytes = 0;
    if (!precise || !p->facts || gpu->count <= 0 || gpu->bytes <= 0 ||
        quantity_value(layout_weights(p), &file_bytes, NULL) < 0)
        return layout_reference(p, gpu, nodes);
    struct estimate e = begin(p, gpu, context);
    fill_nodes(p, gpu, (double)file_bytes, nodes, &e);
    return e.layout;
}

int estimate_in_mode(bool precise, const struct preset *p, const struct gpu *gpu, int64_t context,
                     struct estimate *ret, struct error **err)
{
    return (precise ? estimate_precise : estimate_model)(p, gpu, context, ret, err);
}
