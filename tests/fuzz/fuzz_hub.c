/* What a hub answers: the list of files up to the first NUL byte, the configuration behind it. A
 * preset comes out, or a reason. */
#include "fuzz.h"
#include "hub/config.h"
#include "kube/quantity.h"

static void check_preset(const struct preset *p)
{
    int64_t bytes = 0;
    must(quantity_value(p->file_size, &bytes, NULL) == 0 && bytes >= 0);
    must(quantity_value(p->disk, &bytes, NULL) == 0 && bytes > 0);
    must(p->bytes_per_token >= 0 && p->context_length > 0);
    must(p->readiness_seconds >= 1800 && p->readiness_seconds <= 10800);
    must(json_is_object(p->vllm) && p->architecture && p->quantization && p->aliases);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hub_rules *rules;
    if (!rules)
        rules = hub_rules_new();
    const char *text = (const char *)data;
    const char *end = memchr(text, '\0', size);
    size_t list_len = end ? (size_t)(end - text) : size;
    const char *config_text = end ? end + 1 : "";
    size_t config_len = end ? size - list_len - 1 : 0;
    AUTO_ARENA a = arena_new();
    struct hub_list list = HUB_LIST_INIT;
    struct hub_model model = { .id = "org/Some-Model" };
    struct json *config = NULL;
    struct preset *p = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL, *index_err = NULL;

    uint64_t bytes = 0;
    int r = hub_list_add(a, &list, text, list_len, &err);
    if (r == 0)
        r = hub_list_weights(&list, &model.weights, &err);
    if (hub_index_bytes(&list, config_text, config_len, &bytes, &index_err) < 0)
        must(*error_message(index_err));
    if (r == 0)
        r = hub_config_parse(a, config_text, config_len, &config, &err);
    model.config = config;
    if (r == 0)
        r = hub_make_preset(a, rules, NULL, &model, &p, &err);
    must(r == 0 ? p && !err : *error_message(err));
    if (p) {
        check_preset(p);
        check_preset(hub_copy_preset(a, p));
    }
    return 0;
}
