/* What a model's own configuration (config.json of Hugging Face) says about the memory that it
 * takes. Pure. */
#pragma once

#include "json/json.h"

/* Layers by what they keep for each sequence: all keys and values, those of a window, or a state
 * of fixed size. Layers that keep nothing are in `layers` only. */
struct model_facts {
    const char *source;    /* where the figures are from */
    const char *file_size; /* quantity: the weights alone; NULL: the preset's is right */
    int64_t layers;
    int64_t heads, kv_heads, head_dim; /* of attention */
    int64_t full, sliding, stateful;   /* numbers of layers */
    int64_t window;                    /* tokens */
    int64_t latent;                    /* elements for a token in a layer of MLA; 0: no MLA */
    int64_t index_dim;                 /* of a sparse-attention indexer; 0: none */
    double state_bytes;                /* of one stateful layer, for one sequence */
    bool layers_unknown;               /* all layers were taken for full attention */
    bool state_unknown;                /* stateful layers, of a kind whose size is not known */
};

/* The first of the keys (NULL-terminated) that has a number, or a string that is one; what is out
 * of all reason does not count. */
int64_t model_figure(const struct json *config, const char *const *keys, int64_t otherwise);
#define MODEL_FIGURE(config, otherwise, ...)                                                       \
    model_figure((config), (const char *const[]){ __VA_ARGS__, NULL }, (otherwise))

/* False when it says too little about layers and attention. */
bool model_facts_read(const struct json *config, struct model_facts *ret);
