/* What follows from a model's name and architecture: which architectures the engine can load, and
 * the flags that a family of models wants (parsers, chat template, cache). data/hub-rules.json has
 * the tables. Immutable once made; any thread may read it. Pure. */
#pragma once

#include "json/json.h"

struct hub_rules;
struct hub_rules *hub_rules_new(void); /* never fails: the tables are part of the executable */
void hub_rules_free(struct hub_rules *r);
DEFINE_CLEANUP(struct hub_rules *, hub_rules_free, hub_rules_cleanup)

/* What the rules look at. */
struct hub_traits {
    const char *name;                 /* short and lower case: "phi-4" */
    const struct json *architectures; /* array of strings, may be empty */
    bool mistral;                     /* weights, configuration and tokenizer of Mistral's format */
    bool quantized;
};

/* The architectures that a model's configuration lacks, told from its name; NULL when none is. */
const char *hub_rules_architecture(const struct hub_rules *r, const char *name);
/* Some of the architectures can be loaded, or none is named. */
bool hub_rules_loads(const struct hub_rules *r, const struct json *architectures);

/* Flags of vLLM, as presets have them: name -> value, "" for a bare flag. */
struct json *hub_rules_vllm(const struct hub_rules *r, struct arena *a, const struct hub_traits *t);
bool hub_rules_no_cpu_offload(const struct hub_rules *r, const struct hub_traits *t);
bool hub_rules_deep_gemm(const struct hub_rules *r, const struct hub_traits *t);
bool hub_rules_cuda_toolkit(const struct hub_rules *r, const struct hub_traits *t);
