/* Fine-tuning: method, data in, adapter out. */
#include <string.h>

#include "admission/internal.h"
#include "base/str.h"

static const char *tuning_path(struct review *rv, const struct subject *s, const char *member)
{
    return member_path(rv, s->tuning_path, member);
}

static void check_image(struct review *rv, const char *image, const char *path)
{
    if (*image && !image_reference_valid(image))
        fault(rv, member_path(rv, path, "image"), image,
              "is not an image reference; write registry/repository:tag in lower case");
}

static void check_urls(struct review *rv, const struct json *urls, const char *path)
{
    JSON_FOREACH(it, urls) {
        const char *url = str_or_empty(json_string(it.value));
        const char *problem = data_url_problem(rv->a, url);
        if (problem)
            fault(rv, element_path(rv, member_path(rv, path, "urls"), it.index), url, "%s",
                  problem);
    }
}

void check_tuning_input(struct review *rv, const struct subject *s)
{
    const struct json *input = json_get(s->tuning, "input");
    const char *path = tuning_path(rv, s, "input");
    if (json_is_null(input)) {
        fault(rv, path, NULL, "is required: urls, image or volumeSource");
        return;
    }
    const char *image = str_or_empty(json_find_str(input, "image"));
    int sources = (json_size(json_get(input, "urls")) > 0) + (*image != '\0') +
                  !json_is_null(json_get(input, "volumeSource"));
    if (sources != 1)
        fault(rv, path, NULL, "must have one of urls, image and volumeSource; it has %d", sources);
    check_urls(rv, json_get(input, "urls"), path);
    check_image(rv, image, path);
}

void check_tuning_output(struct review *rv, const struct subject *s)
{
    const struct json *output = json_get(s->tuning, "output");
    const char *path = tuning_path(rv, s, "output");
    if (json_is_null(output)) {
        fault(rv, path, NULL, "is required: image or volumeSource");
        return;
    }
    const char *image = str_or_empty(json_find_str(output, "image"));
    bool volume = !json_is_null(json_get(output, "volumeSource"));
    if (volume == (*image != '\0'))
        fault(rv, path, NULL,
              volume ? "has both image and volumeSource; remove one of them"
                     : "has neither image nor volumeSource; give one of them");
    check_image(rv, image, path);
    if (*image && str_empty(json_find_str(output, "imagePushSecret")))
        fault(rv, member_path(rv, path, "imagePushSecret"), NULL,
              "is required with an image: the Secret to push it with");
}

static void check_preset(struct review *rv, const struct subject *s)
{
    const struct json *preset = json_get(s->tuning, "preset");
    const char *name = str_or_empty(json_find_str(preset, "name"));
    const char *field = tuning_path(rv, s, "preset.name");
    if (json_is_null(preset)) {
        fault(rv, tuning_path(rv, s, "preset"), NULL, "is required: the model to tune");
        return;
    }
    if (!preset_name_valid(rv, name)) {
        check_preset_name(rv, name, field);
        return;
    }
    const struct catalog *catalog = rv->ad->catalog;
    const struct preset *p = catalog_find_format(catalog, name, WEIGHTS_SAFETENSORS);
    if (p && p->tuning)
        return;
    AUTO_BUF known = BUF_INIT(4 * KIB);
    for (size_t i = 0; i < catalog_count(catalog); i++)
        if (catalog_at(catalog, i)->tuning)
            buf_printf(&known, "%s%s", known.len > 0 ? ", " : "", catalog_at(catalog, i)->name);
    fault(rv, field, name, "cannot be tuned; those that can are %s", buf_str(&known));
}

/* The parameters: a ConfigMap of the user, or the one that came with the operator. */
static void check_config(struct review *rv, const struct subject *s, const char *method)
{
    const struct admission_world *world = rv->ad->world;
    const char *name = str_or_empty(json_find_str(s->tuning, "config"));
    const char *field = tuning_path(rv, s, "config");
    const char *ns = s->ns;
    const char *value = *name ? name : NULL;
    if (!*name) {
        ns = rv->ad->settings->release_namespace;
        name = arena_printf(rv->a, "%s-params-template", method);
        if (str_empty(ns)) {
            fault(rv, field, NULL,
                  "is required, because the operator does not know its own namespace "
                  "(RELEASE_NAMESPACE), where the ConfigMap \"%s\" would be",
                  name);
            return;
        }
    }
    const struct json *map = world->config_map(world->ctx, rv->a, ns, name);
    if (map)
        check_training_config(rv, field, value, map, method);
    else if (value)
        fault(rv, field, value, "is not a ConfigMap of namespace \"%s\"; create it first", ns);
    else
        fault(rv, field, NULL,
              "is not given, and there is no ConfigMap \"%s\" in namespace \"%s\" to take instead; "
              "it comes with KAITO's chart",
              name, ns);
}

void check_tuning(struct review *rv, const struct subject *s)
{
    const struct json *partition = json_get(s->resource, "partition");
    const char *given = str_or_empty(json_find_str(s->tuning, "method"));
    const char *method = str_lower(rv->a, given);
    if (!json_is_null(partition))
        fault(rv, member_path(rv, s->resource_path, "partition"), shown(rv, partition),
              "is not possible with tuning, which takes whole nodes; remove it");
    else
        check_instance_type_fits(rv, s);
    if (STREQ(method, "lora") || STREQ(method, "qlora"))
        check_config(rv, s, method);
    else
        fault(rv, tuning_path(rv, s, "method"), *given ? given : NULL,
              *given ? "is not one of lora, qlora" : "is required: lora or qlora");
    check_preset(rv, s);
    check_tuning_input(rv, s);
    check_tuning_output(rv, s);
}
