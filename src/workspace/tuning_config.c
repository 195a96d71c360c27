/* The configuration of a tuning: the user's ConfigMap, or a copy of the chart's for the method. The
 * copy has the name that KAITO gives it, so Workspaces of a namespace share it; all of them own it,
 * and it goes with the last. */
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "workspace/tuning.h"
#include "yaml/yaml.h"
#include "json/build.h"

#define MOUNT_ROOT "/mnt"
#define DEFAULT_OUTPUT "/mnt/output"

static const struct {
    const char *method, *config_map, *text;
} methods[] = {
    { "lora", "lora-params-template",
      "training_config:\n"
      "  ModelConfig: {torch_dtype: bfloat16, local_files_only: true, device_map: auto}\n"
      "  QuantizationConfig: {load_in_4bit: false}\n"
      "  LoraConfig: {r: 8, lora_alpha: 8, lora_dropout: 0.0}\n"
      "  TrainingArguments: {output_dir: /mnt/results, ddp_find_unused_parameters: false,\n"
      "    save_strategy: 'no', per_device_train_batch_size: 1}\n"
      "  DataCollator: {mlm: true}\n"
      "  DatasetConfig: {shuffle_dataset: true, train_test_split: 1}\n" },
    { "qlora", "qlora-params-template",
      "training_config:\n"
      "  ModelConfig: {torch_dtype: bfloat16, local_files_only: true, device_map: auto}\n"
      "  QuantizationConfig: {load_in_4bit: true, bnb_4bit_quant_type: nf4,\n"
      "    bnb_4bit_compute_dtype: bfloat16, bnb_4bit_use_double_quant: true}\n"
      "  LoraConfig: {r: 8, lora_alpha: 8, lora_dropout: 0.0}\n"
      "  TrainingArguments: {output_dir: /mnt/results, ddp_find_unused_parameters: false,\n"
      "    save_strategy: 'no', per_device_train_batch_size: 1}\n"
      "  DataCollator: {mlm: true}\n"
      "  DatasetConfig: {shuffle_dataset: true, train_test_split: 1}\n" },
};

const char *tuning_default_config(const char *method)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (method && str_case_eq(method, methods[i].method))
            return methods[i].config_map;
    return NULL;
}

const char *tuning_builtin_config(const char *config_map)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (STREQ(config_map, methods[i].config_map))
            return methods[i].text;
    return "";
}

/* ---- where the result appears -------------------------------------------------------------------------------------- */

static int refuse(struct decider *d, const char *config_map, const char *what)
{
    decider_problem(d, false, "TuningConfigInvalid",
                    arena_printf(d->a, "ConfigMap %s, " TUNING_CONFIG_KEY ": %s", config_map,
                                 what));
    return -ERROR_INVALID;
}

/* Below /mnt, whether it says so or not, without "." and "..". NULL: it is not below. */
static const char *absolute(struct arena *a, const char *dir)
{
    const char *rest = str_skip_prefix(dir, MOUNT_ROOT);
    size_t n = 0;
    char **parts = str_split(a, rest && (*rest == '/' || !*rest) ? rest : dir, '/', &n);
    char **kept = arena_zalloc(a, (n + 1) * sizeof(*kept));
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!parts[i][0] || STREQ(parts[i], "."))
            continue;
        if (!STREQ(parts[i], ".."))
            kept[count++] = parts[i];
        else if (count-- == 0)
            return NULL;
    }
    return count > 0 ? arena_printf(a, MOUNT_ROOT "/%s", str_join(a, kept, count, "/")) : NULL;
}

static bool is_taken(const char *dir)
{
    static const char *const taken[] = { TUNING_DATA_DIR, TUNING_CONFIG_DIR };
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        if (STREQ(dir, taken[i]) || str_has_prefix(dir, taken[i] /* and below */))
            return dir[strlen(taken[i])] == '\0' || dir[strlen(taken[i])] == '/';
    return false;
}

static int read_output_dir(struct decider *d, const char *config_map, const char *text,
                           const char **ret)
{
    struct json *config = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (yaml_parse(d->a, text, strlen(text), &config, &err) < 0)
        return refuse(d, config_map, error_message(err));
    const struct json *training = json_get(config, "training_config");
    if (!json_is_object(training))
        return refuse(d, config_map, "training_config is missing or no map");
    const struct json *dir = json_find(training, "TrainingArguments", "output_dir");
    if (json_is_null(dir)) {
        *ret = DEFAULT_OUTPUT;
        return 0;
    }
    const char *path = json_string(dir);
    const char *clean = path ? absolute(d->a, path) : NULL;
    if (!clean || is_taken(clean) || strpbrk(clean, ":\n"))
        return refuse(d, config_map,
                      arena_printf(d->a,
                                   "TrainingArguments.output_dir is %s; it must be a folder below "
                                   "/mnt, other than /mnt/data and /mnt/config",
                                   json_text(d->a, dir)));
    *ret = clean;
    return 0;
}

/* ---- the copy ------------------------------------------------------------------------------------------------------ */

static struct json *owner_ref(const struct decider *d)
{
    struct arena *a = d->a;
    struct json *ref = meta_controller_ref(a, d->ws.json, &KUBE_WORKSPACES);
    json_del(ref, "controller");
    json_del(ref, "blockOwnerDeletion");
    return ref;
}

/* A copy that no Workspace owns was put there by somebody else, and stays. */
static void own(struct decider *d, const struct json *config_map)
{
    struct arena *a = d->a;
    struct json *owners = json_clone(a, json_find(config_map, "metadata", "ownerReferences"));
    bool copies = false;
    JSON_FOREACH(it, owners) {
        copies |= str_eq(json_find_str(it.value, "kind"), KUBE_WORKSPACES.kind);
        if (str_eq(json_find_str(it.value, "uid"), d->ws.uid))
            return;
    }
    if (!copies)
        return;
    json_append(owners, owner_ref(d));
    struct json *metadata =
        OBJ("ownerReferences", owners, "resourceVersion", STR(meta_resource_version(config_map)));
    decider_write(d, WRITE_PATCH, &KUBE_CONFIGMAPS, meta_name(config_map),
                  OBJ("metadata", metadata));
}

static const char *template_text(const struct decider *d, const char *name)
{
    const char *text = json_find_str(d->o->config_template, "data", TUNING_CONFIG_KEY);
    return text ? text : tuning_builtin_config(name);
}

static void copy_template(struct decider *d, const char *name, const char *text)
{
    struct arena *a = d->a;
    struct json *metadata =
        OBJ("name", STR(name), "namespace", STR(d->ws.ns), "ownerReferences", ARR(owner_ref(d)));
    decider_write(d, WRITE_CREATE, &KUBE_CONFIGMAPS, name,
                  OBJ("apiVersion", STR("v1"), "kind", STR("ConfigMap"), "metadata", metadata,
                      "data", OBJ(TUNING_CONFIG_KEY, STR(text))))
        ->shared = true;
}

/* ---- both ---------------------------------------------------------------------------------------------------------- */

int tuning_config(struct decider *d, struct tuning_config *ret)
{
    bool own_config = d->ws.config[0] != '\0';
    const char *name =
        own_config ? d->ws.config : tuning_default_config(json_find_str(d->ws.tuning, "method"));
    const struct json *map = d->o->config_map;
    if (own_config && !map) {
        decider_problem(d, false, "ConfigMapNotFound",
                        arena_printf(d->a, "ConfigMap %s of tuning.config is not in namespace %s",
                                     name, d->ws.ns));
        return -ERROR_NOT_FOUND;
    }
    const char *text = map ? json_find_str(map, "data", TUNING_CONFIG_KEY) : template_text(d, name);
    if (!text)
        return refuse(d, name, "there is no such key");
    ret->config_map = name;
    return read_output_dir(d, name, text, &ret->output_dir);
}

void decide_tuning_config_copy(struct decider *d, const struct tuning_config *config)
{
    if (d->ws.config[0])
        return;
    if (d->o->config_map)
        own(d, d->o->config_map);
    else
        copy_template(d, config->config_map, template_text(d, config->config_map));
}
