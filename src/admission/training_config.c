/* The parameters of tuning, as a ConfigMap has them. */
#include <string.h>

#include "admission/internal.h"
#include "base/str.h"
#include "yaml/yaml.h"

#define CONFIG_KEY "training_config.yaml"
#define RESULTS_ROOT "/mnt"

static const char *const sections[] = { "ModelConfig",       "QuantizationConfig", "LoraConfig",
                                        "TrainingArguments", "DatasetConfig",      "DataCollator" };

/* What is being looked at, so that faults can name it. */
struct training {
    struct review *rv;
    const char *field;
    const char *name; /* of the ConfigMap */
    const struct json *config;
};

#define training_fault(t, fmt, ...)                                                                \
    fault((t)->rv, (t)->field, (t)->name, "is a ConfigMap whose " CONFIG_KEY fmt, ##__VA_ARGS__)

static void check_sections(const struct training *t)
{
    JSON_FOREACH(it, t->config) {
        bool known = false;
        for (size_t i = 0; i < COUNT_OF(sections) && !known; i++)
            known = STREQ(sections[i], it.key);
        if (!known)
            training_fault(t, " has the section \"%s\"; there is %s", it.key,
                           str_join(t->rv->a, (char *const *)sections, COUNT_OF(sections), ", "));
    }
}

/* 1, 0, or -1 after a fault. */
static int read_bool(const struct training *t, const char *key)
{
    const struct json *v = json_find(t->config, "QuantizationConfig", key);
    if (json_is_null(v))
        return 0;
    if (json_is_bool(v))
        return json_bool(v, false);
    training_fault(t, " has QuantizationConfig.%s: %s; it must be true or false", key,
                   json_text(t->rv->a, v));
    return -1;
}

static void check_quantization(const struct training *t, const char *method)
{
    bool quantized = STREQ(method, "qlora");
    int four = read_bool(t, "load_in_4bit");
    int eight = read_bool(t, "load_in_8bit");
    if (four < 0 || eight < 0)
        return;
    if (four && eight)
        training_fault(t, " has both load_in_4bit and load_in_8bit; leave one of them");
    else if (!quantized && (four || eight))
        training_fault(t, " has a quantisation, which the method lora does not use; remove it or "
                          "take the method qlora");
    else if (quantized && !four && !eight)
        training_fault(t, " has no quantisation, which the method qlora needs; set "
                          "QuantizationConfig.load_in_4bit or load_in_8bit to true");
}

/* Whether it stays below the volume, followed step by step. */
static bool below_root(struct arena *a, const char *path)
{
    size_t n = 0;
    char **parts = str_split(a, path, '/', &n);
    int64_t depth = 0;
    for (size_t i = 0; i < n; i++) {
        if (STREQ(parts[i], ".."))
            depth--;
        else if (*parts[i] && !STREQ(parts[i], "."))
            depth++;
        if (depth < 0)
            return false;
    }
    return depth > 0;
}

static void check_output_dir(const struct training *t)
{
    const struct json *arguments = json_get(t->config, "TrainingArguments");
    const struct json *dir = json_get(arguments, "output_dir");
    if (!dir)
        return;
    if (!json_is_string(dir) || !below_root(t->rv->a, json_string(dir)))
        training_fault(
            t,
            " has TrainingArguments.output_dir: %s; it must be a folder below " RESULTS_ROOT
            ", such as results",
            json_text(t->rv->a, dir));
}

void check_training_config(struct review *rv, const char *field, const char *value,
                           const struct json *config_map, const char *method)
{
    struct training t = { rv, field, value, NULL };
    if (!value)
        t.name = str_or_empty(json_find_str(config_map, "metadata", "name"));
    const char *text = json_find_str(config_map, "data", CONFIG_KEY);
    if (!text) {
        fault(rv, field, t.name, "is a ConfigMap without the key " CONFIG_KEY "; add it");
        return;
    }
    struct json *whole = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (yaml_parse(rv->a, text, strlen(text), &whole, &err) < 0) {
        training_fault(&t, " is not YAML: %s", error_message(err));
        return;
    }
    t.config = json_get(whole, "training_config");
    if (!json_is_object(t.config)) {
        training_fault(&t, " has no \"training_config\" with sections below it");
        return;
    }
    check_sections(&t);
    check_quantization(&t, method);
    check_output_dir(&t);
}
