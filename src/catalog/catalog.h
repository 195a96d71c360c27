/* The models that KAITO knows by name: data/presets.json (weights in the format of Hugging Face,
 * for vLLM and transformers) and data/presets-gguf.json (one GGUF file each, for llama.cpp).
 * Immutable once made; any thread may read it. Pure. */
#pragma once

#include "catalog/facts.h"
#include "json/json.h"

enum weights_format { WEIGHTS_SAFETENSORS, WEIGHTS_GGUF };

/* What fine-tuning a preset takes. */
struct preset_tuning {
    const char
        *image; /* OCI artifact with its weights, of the operator's registry: "kaito-phi-4:0.2.0" */
    const char *disk; /* quantity: space for weights and results */
    int64_t readiness_seconds;
    bool download_at_runtime; /* no such artifact: the weights come from Hugging Face */
};

struct preset {
    enum weights_format format;
    const char
        *name; /* short and lower case: the name that clients ask for ("phi-4", "gemma-3-270m") */
    const char *id;             /* "microsoft/phi-4"; of GGUF presets the repository */
    const char *const *aliases; /* NULL-terminated: other names that are accepted */
    const char *license;
    int64_t context_length; /* tokens */

    /* GGUF */
    const char *revision; /* of the repository */
    const char *file;
    const char *quantization; /* "Q4_K_M"; of the other format: the method or "" */
    const char *sha256;       /* "" when unknown */
    const char *architecture;
    uint64_t bytes; /* of the file; 0 when unknown */
    uint64_t parameters;
    bool token_required; /* the repository gives it to those who have signed in only */

    /* the other format */
    const char *file_size;     /* quantity, "7.15Gi" */
    const char *disk;          /* quantity: space to download it */
    int64_t bytes_per_token;   /* of key-value cache */
    int64_t readiness_seconds; /* how long loading may take */
    bool no_cpu_offload;       /* its cache cannot be moved to the host's memory */
    bool deep_gemm;
    bool cuda_toolkit;
    const struct json *vllm;            /* flags: name -> value, "" for a bare flag */
    const struct json *transformers;    /* the same; NULL when this runtime cannot run it */
    const struct model_facts *facts;    /* for the precise estimate; NULL when there are none */
    const struct preset_tuning *tuning; /* NULL when it cannot be tuned */
};

struct catalog;
struct catalog *catalog_new(void); /* never fails: the data are part of the executable */
void catalog_free(struct catalog *c);
DEFINE_CLEANUP(struct catalog *, catalog_free, catalog_cleanup)

size_t catalog_count(const struct catalog *c);
const struct preset *catalog_at(const struct catalog *c, size_t index);

/* By name, id or alias, ASCII case-insensitive; NULL when there is none. A name that both formats
 * have is the safetensors one, unless the other is asked for. */
const struct preset *catalog_find(const struct catalog *c, const char *name);
const struct preset *catalog_find_format(const struct catalog *c, const char *name,
                                         enum weights_format format);

/* Was a preset once, and is none any more. */
bool catalog_retired(const struct catalog *c, const char *name);
/* Up to max names nearest to a wrong one, best first. Returns how many. */
size_t catalog_nearest(const struct catalog *c, const char *name, const char **ret, size_t max);

/* Where a GGUF preset's file can be fetched. */
char *preset_url(struct arena *a, const struct preset *p);
