/* A preset out of a model's own configuration (config.json, or params.json of Mistral's format).
 * Pure. */
#pragma once

#include "catalog/catalog.h"
#include "hub/list.h"
#include "hub/rules.h"

/* Parses a configuration: NaN and Infinity, which Python writes, become null; what a model with
 * more than text keeps in text_config or llm_config counts where the top has nothing. */
int hub_config_parse(struct arena *a, const char *text, size_t len, struct json **ret,
                     struct error **err);

struct hub_model {
    const char *id;            /* "org/model", as it was asked for */
    const char *revision;      /* NULL: the default branch */
    const struct json *config; /* of hub_config_parse() */
    struct hub_weights weights;
};

/* -ERROR_UNSUPPORTED: no architecture that the engine can load. `catalog` (may be NULL) lends the
 * transformers parameters of the preset of the same short name. */
int hub_make_preset(struct arena *a, const struct hub_rules *rules, const struct catalog *catalog,
                    const struct hub_model *m, struct preset **ret, struct error **err);

/* A copy that shares nothing with the original but what a catalogue owns. */
struct preset *hub_copy_preset(struct arena *a, const struct preset *p);
