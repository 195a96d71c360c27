/* Presets, templates, adapters and the engine's configuration. */
#include <string.h>

#include "admission/internal.h"
#include "base/str.h"
#include "kube/selector.h"
#include "yaml/yaml.h"

#define MAX_ADAPTERS 10
#define CONFIG_KEY "inference_config.yaml"

/* ---- presets ------------------------------------------------------------------------------------ */

static bool is_model_id(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash && slash != name && slash[1];
}

bool preset_name_valid(const struct review *rv, const char *name)
{
    return one_box(rv) || is_model_id(name) || catalog_find(rv->ad->catalog, name) != NULL;
}

void check_preset_name(struct review *rv, const char *name, const char *field)
{
    if (preset_name_valid(rv, name))
        return;
    const char *near[3];
    size_t n = catalog_nearest(rv->ad->catalog, name, near, COUNT_OF(near));
    const char *hint = n > 0 ? arena_printf(rv->a, "the nearest are %s",
                                            str_join(rv->a, (char *const *)near, n, ", "))
                             : "`kaito models catalog` lists them";
    if (!*name)
        fault(rv, field, NULL, "is required; %s", "`kaito models catalog` lists the presets");
    else if (catalog_retired(rv->ad->catalog, name))
        fault(rv, field, name, "is no longer supported; choose another preset");
    else
        fault(rv, field, name,
              "is not a preset; %s, and any model of huggingface.co can be given as org/model",
              hint);
}

/* ---- adapters ----------------------------------------------------------------------------------- */

static bool strength_valid(const char *text)
{
    double d = 0;
    return str_to_double(text, &d) == 0 && d >= 0 && d <= 1;
}

static void check_adapter_source(struct review *rv, const struct json *source, const char *path)
{
    const char *image = str_or_empty(json_find_str(source, "image"));
    bool volume = !json_is_null(json_get(source, "volumeSource"));
    if (json_size(json_get(source, "urls")) > 0)
        fault(rv, member_path(rv, path, "urls"), shown(rv, json_get(source, "urls")),
              "cannot be where an adapter comes from; give image or volumeSource");
    else if (!*image && !volume)
        fault(rv, path, NULL, "has nothing to take the adapter from; give image or volumeSource");
    if (*image && volume)
        fault(rv, path, NULL, "has both image and volumeSource; remove one of them");
    if (*image && !image_reference_valid(image))
        fault(rv, member_path(rv, path, "image"), image,
              "is not an image reference; write registry/repository:tag in lower case");
}

static void check_adapter_name(struct review *rv, const struct json *source, const char *path)
{
    const char *name = str_or_empty(json_find_str(source, "name"));
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (!*name)
        fault(rv, member_path(rv, path, "name"), NULL,
              "is required: clients ask for the adapter by it");
    else if (kube_validate_dns1123_subdomain(name, &err) < 0)
        fault(rv, member_path(rv, path, "name"), name, "cannot be used: %s", error_message(err));
}

static bool named_before(const struct json *adapters, size_t index, const char *name)
{
    JSON_FOREACH(it, adapters)
        if (it.index < index && str_eq(json_find_str(it.value, "source", "name"), name))
            return true;
    return false;
}

void check_adapters(struct review *rv, const struct subject *s)
{
    const struct json *adapters = json_get(s->inference, "adapters");
    const char *list = member_path(rv, s->inference_path, "adapters");
    JSON_FOREACH(it, adapters) {
        const char *path = element_path(rv, list, it.index);
        const char *source_path = member_path(rv, path, "source");
        const struct json *source = json_get(it.value, "source");
        const char *name = json_find_str(source, "name");
        const char *strength = json_find_str(it.value, "strength");
        if (json_is_null(source)) {
            fault(rv, source_path, NULL, "is required: a name, and image or volumeSource");
        } else {
            check_adapter_name(rv, source, source_path);
            check_adapter_source(rv, source, source_path);
        }
        if (!str_empty(name) && named_before(adapters, it.index, name))
            fault(rv, member_path(rv, source_path, "name"), name,
                  "is the name of another adapter; give each a name of its own");
        if (strength && !strength_valid(strength))
            fault(rv, member_path(rv, path, "strength"), strength,
                  "is not a number between 0 and 1");
    }
}

/* What is asked of new ones only. */
static void check_new_adapters(struct review *rv, const struct subject *s)
{
    const struct json *adapters = json_get(s->inference, "adapters");
    const char *list = member_path(rv, s->inference_path, "adapters");
    if (json_size(adapters) > MAX_ADAPTERS)
        fault(rv, list, NULL, "has %zu adapters; %d are possible", json_size(adapters),
              MAX_ADAPTERS);
    JSON_FOREACH(it, adapters)
        if (s->preset_name && s->runtime == RUNTIME_VLLM && json_find_str(it.value, "strength"))
            fault(rv, member_path(rv, element_path(rv, list, it.index), "strength"),
                  json_find_str(it.value, "strength"),
                  "has no meaning for vLLM, which applies adapters in full; remove it");
}

/* ---- configuration ------------------------------------------------------------------------------ */

/* The text of a number as it stands in the file: the operator takes decimal digits only, and YAML
 * has other ways to write one. NULL: there is no such line. */
static const char *as_written(struct arena *a, const char *yaml, const char *key)
{
    size_t n = 0;
    char **lines = str_split(a, yaml, '\n', &n);
    for (size_t i = 0; i < n; i++) {
        const char *value = str_skip_prefix(str_trim(a, lines[i]), key);
        if (!value || *value != ':')
            continue;
        char *text = str_trim(a, value + 1);
        for (char *c = text; *c; c++)
            if (*c == '#' && (c == text || c[-1] == ' ' || c[-1] == '\t'))
                *c = '\0';
        return str_trim(a, text);
    }
    return NULL;
}

static const char *unquoted(struct arena *a, const char *text)
{
    size_t len = strlen(text);
    bool quoted = len >= 2 && (*text == '"' || *text == '\'') && text[len - 1] == *text;
    return str_trim(a, quoted ? arena_strndup(a, text + 1, len - 2) : text);
}

static void check_context(struct review *rv, const struct subject *s, const struct json *vllm,
                          const char *yaml, const char *field)
{
    static const char key[] = "max-model-len";
    const char *value = shown(rv, json_get(vllm, key));
    int64_t limit = s->preset ? s->preset->context_length : 0;
    int64_t tokens = 0;
    if (!value || !*str_trim(rv->a, value) || !s->preset_name || limit <= 0)
        return;
    const char *written = as_written(rv->a, yaml, key);
    const char *text = written ? unquoted(rv->a, written) : str_trim(rv->a, value);
    if (str_to_int64(text, &tokens) < 0 || tokens < 1)
        fault(rv, field, text,
              "is the max-model-len of this ConfigMap and not a number of tokens; it must be 1 to "
              "%lld, or absent",
              (long long)limit);
    else if (tokens > limit)
        fault(rv, field, text,
              "is the max-model-len of this ConfigMap and more than the %lld tokens that \"%s\" "
              "can take",
              (long long)limit, s->preset_name);
}

/* Flags are strings, numbers and booleans. */
static bool flat(const struct json *vllm)
{
    if (!json_is_null(vllm) && !json_is_object(vllm))
        return false;
    JSON_FOREACH(it, vllm)
        if (json_is_object(it.value) || json_is_array(it.value))
            return false;
    return true;
}

void check_inference_config(struct review *rv, const struct subject *s)
{
    const char *name = str_or_empty(json_find_str(s->inference, "config"));
    const char *field = member_path(rv, s->inference_path, "config");
    const struct admission_world *world = rv->ad->world;
    if (!*name || s->runtime != RUNTIME_VLLM)
        return;
    const struct json *map = world->config_map(world->ctx, rv->a, s->ns, name);
    const char *text = json_find_str(map, "data", CONFIG_KEY);
    if (!map) {
        fault(rv, field, name, "is not a ConfigMap of namespace \"%s\"; create it first", s->ns);
        return;
    }
    if (!text) {
        fault(rv, field, name, "is a ConfigMap without the key " CONFIG_KEY "; add it");
        return;
    }
    struct json *config = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (yaml_parse(rv->a, text, strlen(text), &config, &err) < 0)
        fault(rv, field, name, "has a " CONFIG_KEY " that is not YAML: %s", error_message(err));
    else if ((!json_is_null(config) && !json_is_object(config)) || !flat(json_get(config, "vllm")))
        fault(rv, field, name,
              "has a " CONFIG_KEY " whose \"vllm\" is not a list of flags: write vllm: and below "
              "it one `flag: value` a line");
    else
        check_context(rv, s, json_get(config, "vllm"), text, field);
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static void check_template(struct review *rv, const struct subject *s)
{
    if (json_size(json_find(s->inference, "template", "spec", "containers")) == 0)
        fault(rv, member_path(rv, s->inference_path, "template.spec.containers"), NULL,
              "is required: a pod without a container cannot be made");
}

void check_inference(struct review *rv, const struct subject *s)
{
    bool template = !json_is_null(json_get(s->inference, "template"));
    bool preset = !json_is_null(json_get(s->inference, "preset"));
    if (template == preset)
        fault(rv, s->inference_path, NULL,
              template ? "has both a preset and a template; remove one of them"
                       : "has neither a preset nor a template; give one of them");
    if (template && !preset)
        check_template(rv, s);
    if (preset)
        check_preset_name(rv, str_or_empty(s->preset_name),
                          member_path(rv, s->inference_path, "preset.name"));
    check_runtime(rv, s);
    check_adapters(rv, s);
    check_new_adapters(rv, s);
    check_inference_config(rv, s);
    check_streaming(rv, s);
}
