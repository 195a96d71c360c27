/* The command line of llama.cpp's server: what KAITO promises (name, port, health, a context that
 * fits) comes from the request, everything else may come from the user's configuration. */
#include "serve/serve.h"

#include <string.h>

#include "base/str.h"

/* Without a request, no more context than this: a cache nobody asked for is memory taken from
 * others. */
#define DEFAULT_CONTEXT 32768

/* Options that KAITO sets itself, with what to use instead. */
static const struct {
    const char *key;
    const char *instead;
} reserved[] = {
    { "model", "inference.preset of the Workspace" },
    { "host", "the pod's own address" },
    { "port", "the Service of the Workspace" },
    { "alias", "the name of the preset" },
    { "ctx-size", "max-model-len" },
};

/* A growing argv in an arena. */
struct argv_builder {
    struct arena *a;
    char **items;
    size_t count;
    size_t cap;
};

static void add(struct argv_builder *b, const char *item)
{
    if (b->count + 1 >= b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 32;
        char **items = arena_zalloc(b->a, cap * sizeof(*items));
        if (b->count > 0)
            memcpy(items, b->items, b->count * sizeof(*items));
        b->items = items;
        b->cap = cap;
    }
    b->items[b->count++] = arena_strdup(b->a, item);
}

static void add_option(struct argv_builder *b, const char *name, const char *value)
{
    add(b, name);
    add(b, value);
}

static double gib(uint64_t bytes)
{
    return (double)bytes / (double)GIB;
}

/* "max-model-len" of the configuration wins over the command line, as for the other engines. */
static int wanted_context(const struct serve_request *request, uint64_t *ret, struct error **err)
{
    const struct json *value = json_get(request->config, "max-model-len");
    int64_t tokens = value ? json_int(value, -1) : request->max_model_len;
    if (value && json_is_string(value) && str_to_int64(json_string(value), &tokens) < 0)
        tokens = -1;
    if (tokens < 0 || (value && tokens < GGUF_SMALLEST_CONTEXT))
        return error_set(err, ERROR_INVALID, "max-model-len must be a number of tokens, %d or more",
                         GGUF_SMALLEST_CONTEXT);
    *ret = (uint64_t)tokens;
    return 0;
}

static int fit_context(const struct serve_request *request, const struct gguf_info *model,
                       uint64_t *ret, struct error **err)
{
    uint64_t wanted = 0;
    int r = wanted_context(request, &wanted, err);
    if (r < 0)
        return r;
    if (wanted > 0 && model->context_length > 0 && wanted > model->context_length)
        return error_set(err, ERROR_INVALID,
                         "max-model-len is %llu; this model goes up to %llu tokens",
                         (unsigned long long)wanted, (unsigned long long)model->context_length);

    uint64_t fixed = model->weight_bytes + GGUF_ENGINE_BYTES;
    uint64_t budget = request->memory_bytes > fixed ? request->memory_bytes - fixed : 0;
    uint64_t fitting = gguf_context_for(model, budget, wanted ? wanted : DEFAULT_CONTEXT);
    if (fitting == 0 || (wanted > 0 && fitting + GGUF_SMALLEST_CONTEXT <= wanted)) {
        uint64_t need = fixed + gguf_kv_bytes(model, MAX(wanted, GGUF_SMALLEST_CONTEXT));
        return error_set(
            err, ERROR_TOO_LARGE,
            "the model does not fit: %.2f GiB of weights, %.2f GiB for %llu tokens of context and %.2f GiB for the "
            "engine need %.2f GiB; %.2f GiB are free. Free memory, lower max-model-len or choose a smaller model",
            gib(model->weight_bytes), gib(need - fixed),
            (unsigned long long)MAX(wanted, GGUF_SMALLEST_CONTEXT), gib(GGUF_ENGINE_BYTES),
            gib(need), gib(request->memory_bytes));
    }
    *ret = wanted > 0 ? wanted : fitting;
    return 0;
}

static int add_config(struct argv_builder *b, const struct json *config, struct error **err)
{
    JSON_FOREACH(it, config) {
        if (strcmp(it.key, "max-model-len") == 0)
            continue;
        if (it.key_len == 0 || it.key[0] == '-')
            return error_set(err, ERROR_INVALID, "option \"%s\": write it without dashes in front",
                             it.key);
        for (size_t i = 0; i < COUNT_OF(reserved); i++)
            if (strcmp(it.key, reserved[i].key) == 0)
                return error_set(err, ERROR_INVALID, "option \"%s\" is set by KAITO; use %s",
                                 it.key, reserved[i].instead);
        const char *name = arena_printf(b->a, "--%s", it.key);
        if (json_is_bool(it.value)) {
            if (json_bool(it.value, false))
                add(b, name);
        } else if (json_is_null(it.value)) {
            add(b, name);
        } else {
            add_option(b, name,
                       json_is_string(it.value) ? json_string(it.value)
                                                : json_text(b->a, it.value));
        }
    }
    return 0;
}

int serve_llama_argv(struct arena *a, const struct serve_request *request,
                     const struct gguf_info *model, char ***ret, uint64_t *ret_context,
                     struct error **err)
{
    int r = fit_context(request, model, ret_context, err);
    if (r < 0)
        return r;
    struct argv_builder b = { .a = a };
    add(&b, "llama-server");
    add_option(&b, "--model", request->model_path);
    add_option(&b, "--alias", request->served_name);
    add_option(&b, "--host", request->host);
    add_option(&b, "--port", arena_printf(a, "%lld", (long long)request->port));
    add_option(&b, "--ctx-size", arena_printf(a, "%llu", (unsigned long long)*ret_context));
    add_option(&b, "--threads", arena_printf(a, "%u", request->cpus));
    add(&b, "--metrics");
    add(&b, "--offline");
    if (model->is_embedding)
        add(&b, "--embeddings");
    r = add_config(&b, request->config, err);
    if (r < 0)
        return r;
    *ret = b.items;
    return 0;
}
