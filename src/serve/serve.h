/* What `kaito-serve` decides before it becomes the engine. */
#pragma once

#include "gguf/gguf.h"
#include "json/json.h"

/* What the container was told and what it found. */
struct serve_request {
    const char *model_path;
    const char *served_name;
    const char *host; /* address to listen on */
    int64_t port;
    int64_t max_model_len;     /* tokens; 0: not asked for */
    const struct json *config; /* the engine's section of inference_config.yaml; NULL: none */
    uint64_t memory_bytes;     /* what this container may still take */
    unsigned cpus;
};

/* The section `name` of inference_config.yaml: a map of scalars. NULL file content: absent. Errors
 * name the key. */
int serve_config_section(struct arena *a, const char *text, size_t len, const char *name,
                         struct json **ret, struct error **err);

/* The command line of llama-server, NULL-terminated. -ERROR_INVALID: a config key that is not
 * allowed; -ERROR_TOO_LARGE: the model does not fit, with the figures. *ret_context: tokens. */
int serve_llama_argv(struct arena *a, const struct serve_request *request,
                     const struct gguf_info *model, char ***ret, uint64_t *ret_context,
                     struct error **err);

/* Bytes that may still be used: the smallest of MemAvailable and what the cgroups above this
 * process leave. */
uint64_t serve_memory_available(void);
/* Processors this process may run on, the cgroup's CPU quota included; at least 1. */
unsigned serve_cpu_count(void);
