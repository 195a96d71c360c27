/* Engines: what serves a model in a pod. Each is a row of functions; callers never ask which one it
 * is. Pure. */
#pragma once

#include "api/workspace.h"
#include "catalog/catalog.h"
#include "catalog/gpu.h"
#include "operator/settings.h"
#include "workspace/workspace.h"

struct engine;

/* Where the weights are. */
enum weights_place {
    PLACE_EMPTY_DIR,
    PLACE_LOCAL_DISK, /* a claim of each pod for a disk of its node */
    PLACE_HOST,       /* a directory that the nodes have already */
    PLACE_STREAMED,   /* nowhere on the node */
};

struct engine_request {
    const struct engine *engine;
    const struct workspace *ws;
    const struct preset *preset; /* NULL: a model of the store that is no preset */
    const char *model;           /* short name: of the preset, or of the model in the store */
    const struct operator_settings *settings;
    const struct gpu *gpu; /* of one node; NULL for engines that ask for none */
    uint64_t weight_bytes; /* 0: unknown */
    int64_t nodes;
    enum weights_place place;
    const char *weights_source;  /* a path or URI, as a shell wants it; NULL: Hugging Face */
    const char *processor;       /* what the tokenizer is read from; NULL: the weights */
    const char *storage_account; /* of a URI in Azure's blob storage; NULL: none */
    bool static_source; /* streamed from a store of others: what runs before the engine finds out
                           where the weights are */
    int64_t context;    /* tokens that the configuration asks for; 0: it does not say */
};

struct engine {
    const char *name; /* value of the annotation kaito.sh/runtime */
    enum weights_format format;
    bool weights_in_store; /* on one box, its weights must be in the model store before it is
                              started */
    bool needs_gpu;        /* its nodes must have labels that say what GPUs they have */
    bool spans_nodes;      /* a model that is too large for one node is spread over several */
    bool benchmarks;       /* measures itself before it gets ready */
    bool runs_adapters;
    bool streams_weights; /* can read them where they are */
    bool in_base_image;   /* has no image of its own */
    bool replaces_pods;   /* a changed specification replaces the whole pod template; else only what
                             the Go operator would update: environment, mounts, volumes, what runs
                             before */

    /* Ports of the Service. */
    struct json *(*service_ports)(struct arena *a, enum load_balancer lb);
    /* The main container; its volumes; further containers; what runs before (NULL: none). */
    struct json *(*container)(struct arena *a, const struct engine_request *q);
    struct json *(*volumes)(struct arena *a, const struct engine_request *q);
    struct json *(*sidecar)(struct arena *a, const struct engine_request *q);
    struct json *(*init_containers)(struct arena *a, const struct engine_request *q);
};

extern const struct engine engine_llama, engine_vllm, engine_transformers;
extern const struct engine engine_tuning; /* tuning.c: only what it needs of nodes counts */

struct engine_choice {
    const struct engine *engine;
    const struct preset *preset; /* NULL: template, or a model of the store that is no preset */
    const char *model;           /* short name; "" for templates */
};

/* The engine of a Workspace with inference: the annotation kaito.sh/runtime (vllm, transformers,
 * llama.cpp), else llama.cpp when the preset's weights are GGUF, else vllm; without the gate vLLM
 * transformers in its place. `in_store`: the model store has a model of the preset's name (see
 * engine_store_name()). Errors have a reason for conditions and name what would work. */
int engine_choose(struct arena *a, const struct workspace *ws, const struct catalog *catalog,
                  const struct operator_settings *settings, bool in_store,
                  struct engine_choice *ret, struct error **err);

/* The same of a preset that is not the catalogue's. */
int engine_choose_preset(const struct workspace *ws, const struct operator_settings *settings,
                         const struct preset *p, struct engine_choice *ret, struct error **err);

/* Always negative: says that there is no such preset, why, and which ones are near. */
int engine_unknown_preset(struct arena *a, const struct catalog *catalog, const char *name,
                          struct error **err);

/* The name under which the model store would have the weights of this Workspace's preset; NULL when
 * none could be meant. */
const char *engine_store_name(struct arena *a, const struct workspace *ws,
                              const struct catalog *catalog);

/* ---- what engines share ------------------------------------------------------------------------------------------ */

#define ENGINE_PORT 5000

/* The name that clients ask for: of the InferenceSet that the Workspace belongs to, else of the
 * model. */
const char *engine_served_name(const struct engine_request *q);
struct json *engine_http_port(struct arena *a); /* of a Service: 80 → 5000 */
struct json *engine_port(struct arena *a, const char *name, int64_t number);
struct json *engine_health_probe(struct arena *a, int64_t port, int64_t period_s, int64_t timeout_s,
                                 int64_t failures);
struct json *engine_config_volume(
    struct arena *a, const struct engine_request *q); /* NULL when there is no config */
struct json *engine_config_mount(struct arena *a, const struct engine_request *q);
struct json *engine_dshm_volume(struct arena *a);
struct json *engine_dshm_mount(struct arena *a);
/* HF_TOKEN from the Secret of the preset; NULL when it names none. */
struct json *engine_token(struct arena *a, const struct engine_request *q);
struct json *engine_field_env(struct arena *a, const char *name, const char *field);
#define ENGINE_CONFIG_FILE "/mnt/config/inference_config.yaml"
#define ENGINE_WEIGHTS_DIR "/workspace/weights"
#define ENGINE_WEIGHTS_VOLUME "model-weights-volume"

/* ---- adapters (adapters.c) ------------------------------------------------------------------------------------------ */

void adapters_append_env(struct arena *a, const struct json *adapters, struct json *env);
void adapters_append_mounts(struct arena *a, const struct json *adapters, struct json *mounts);
void adapters_append_volumes(struct arena *a, const struct json *adapters, struct json *volumes);
void adapters_append_pullers(struct arena *a, const struct json *adapters, struct json *containers);
struct json *adapters_pull_secrets(struct arena *a, const struct json *adapters); /* NULL: none */

/* ---- streaming from stores of others (streaming_static.c) -------------------------------------------------------- */

/* Each adds nothing unless the request says so. */
void streaming_append_fetcher(struct arena *a, const struct engine_request *q,
                              struct json *containers);
void streaming_append_volumes(struct arena *a, const struct engine_request *q,
                              struct json *volumes);
void streaming_append_mount(struct arena *a, const struct engine_request *q, struct json *mounts);
void streaming_append_env(struct arena *a, const struct engine_request *q, struct json *env);
struct json *streaming_command(struct arena *a, const struct engine_request *q,
                               struct json *command);

/* ---- vLLM and transformers (engine_gpu.c) --------------------------------------------------------------------- */

/* Image with both, as KAITO v0.12 has it, and the version of vLLM in it. */
#define KAITO_BASE_TAG "0.5.0"
#define KAITO_BASE_VLLM "0.25.1"
#define BENCHMARK_SCRIPT "benchmark_entrypoint.py"
char *engine_base_image(struct arena *a, const struct operator_settings *settings);
bool engine_benchmark_wanted(const struct workspace *ws);
