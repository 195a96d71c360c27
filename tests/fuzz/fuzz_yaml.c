/* What is read is written as YAML, read again and is the same. */
#include "fuzz.h"
#include "fuzz_values.h"
#include "yaml/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    const struct yaml_limits limits = { .max_values = 20000, .max_documents = 50 };
    struct json *documents;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (yaml_parse_all(a, (const char *)data, size, &limits, &documents, &err) < 0) {
        must(error_message(err)[0] != '\0');
        return 0;
    }
    JSON_FOREACH(it, documents) {
        AUTO_BUF b = BUF_INIT(SIZE_MAX);
        yaml_write(it.value, &b);
        struct json *back;
        must(yaml_parse(a, buf_str(&b), b.len, &back, NULL) == 0);
        must(same_value(it.value, back));
    }
    return 0;
}
