#include "hub/rules.h"

#include <stdlib.h>

#include "base/embed.h"
#include "base/mem.h"
#include "base/str.h"

EMBEDDED(hub_rules);

#define TEMPLATES "/workspace/chat_templates/"

struct hub_rules {
    struct arena *a;
    const struct json *table;
};

struct hub_rules *hub_rules_new(void)
{
    struct hub_rules *r = NEW0(struct hub_rules);
    struct json *table = NULL;
    r->a = arena_new();
    json_parse(r->a, data_hub_rules, data_hub_rules_size, &table, NULL);
    r->table = table;
    return r;
}

void hub_rules_free(struct hub_rules *r)
{
    arena_free(r->a);
    free(r);
}

static bool listed(const struct json *list, const char *word)
{
    JSON_FOREACH(it, list)
        if (str_eq(json_string(it.value), word))
            return true;
    return false;
}

static bool any_listed(const struct json *list, const struct json *words)
{
    JSON_FOREACH(it, words)
        if (listed(list, json_string(it.value)))
            return true;
    return false;
}

/* The value of the longest key that the name begins with. */
static const char *by_prefix(const struct hub_rules *r, const char *table, const char *name)
{
    const char *found = NULL;
    size_t best = 0;
    JSON_FOREACH(it, json_get(r->table, table)) {
        if (it.key_len < best || !str_has_prefix(name, it.key))
            continue;
        best = it.key_len;
        found = json_string(it.value);
    }
    return found;
}

static const char *by_architecture(const struct hub_rules *r, const char *table,
                                   const struct json *architectures)
{
    JSON_FOREACH(it, architectures) {
        const char *name = json_string(it.value);
        const char *found = name ? json_find_str(r->table, table, name) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

const char *hub_rules_architecture(const struct hub_rules *r, const char *name)
{
    return by_prefix(r, "architecturesByPrefix", name);
}

bool hub_rules_loads(const struct hub_rules *r, const struct json *architectures)
{
    return json_size(architectures) == 0 ||
           any_listed(json_get(r->table, "architectures"), architectures);
}

static const char *reasoning_parser(const struct hub_rules *r, const struct hub_traits *t)
{
    if (listed(json_get(r->table, "notReasoning"), t->name))
        return NULL;
    const char *found = by_prefix(r, "reasoningPrefixes", t->name);
    return found ? found : by_architecture(r, "reasoningArchitectures", t->architectures);
}

static const char *tool_parser(const struct hub_rules *r, const struct hub_traits *t)
{
    const char *found = by_prefix(r, "toolPrefixes", t->name);
    return found ? found : by_architecture(r, "toolArchitectures", t->architectures);
}

struct json *hub_rules_vllm(const struct hub_rules *r, struct arena *a, const struct hub_traits *t)
{
    const char *format = t->mistral ? "mistral" : "auto";
    const char *tokenizer = by_prefix(r, "tokenizerModes", t->name);
    const char *tools = tool_parser(r, t);
    const char *template = by_prefix(r, "chatTemplates", t->name);
    struct json *flags = json_new_object(a);
    json_set_str(a, flags, "load_format", format);
    json_set_str(a, flags, "config_format", format);
    json_set_str(a, flags, "tokenizer_mode", tokenizer ? tokenizer : format);
    json_set_str(a, flags, "trust-remote-code", "");
    json_set_str(a, flags, "dtype", t->quantized ? "auto" : "bfloat16");
    json_set_str(a, flags, "reasoning-parser", reasoning_parser(r, t));
    if (tools) {
        json_set_str(a, flags, "tool-call-parser", tools);
        json_set_str(a, flags, "enable-auto-tool-choice", "");
    }
    if (template)
        json_set(a, flags, "chat-template", json_new_stringf(a, TEMPLATES "%s", template));
    json_set_str(a, flags, "kv-cache-dtype", by_prefix(r, "kvCacheDtypes", t->name));
    json_set_str(a, flags, "gdn-prefill-backend", by_prefix(r, "gdnPrefillBackends", t->name));
    json_set_str(a, flags, "enable-expert-parallel", by_prefix(r, "expertParallel", t->name));
    json_set_str(a, flags, "kernel-config.enable_flashinfer_autotune",
                 by_prefix(r, "noFlashInferAutotune", t->name));
    json_sort_keys(flags);
    return flags;
}

bool hub_rules_no_cpu_offload(const struct hub_rules *r, const struct hub_traits *t)
{
    return any_listed(json_get(r->table, "noCpuOffload"), t->architectures);
}

bool hub_rules_deep_gemm(const struct hub_rules *r, const struct hub_traits *t)
{
    return any_listed(json_get(r->table, "deepGemm"), t->architectures);
}

bool hub_rules_cuda_toolkit(const struct hub_rules *r, const struct hub_traits *t)
{
    return hub_rules_deep_gemm(r, t) || listed(json_get(r->table, "cudaToolkit"), t->name);
}
