/* Annotations, and what they choose: the runtime and where weights come from. */
#include <string.h>

#include "admission/internal.h"
#include "api/workspace.h"
#include "base/str.h"
#include "json/build.h"

#define IMAGE_FAMILY "kaito.sh/node-image-family"
#define LOCAL_WEIGHTS "kaito.sh/use-local-weights"
#define NODE_CLASS "kaito.sh/node-class-name"
#define BYPASS "kaito.sh/bypass-resource-checks"
#define STREAMING "kaito.sh/model-streaming"
#define BLOB_DRIVER "blob.csi.azure.com"

const char *annotation_of(const struct json *annotations, const char *key)
{
    return json_find_str(annotations, key);
}

static enum runtime runtime_of(const struct review *rv, const struct subject *s)
{
    const char *asked = annotation_of(s->annotations, WORKSPACE_RUNTIME);
    if (str_eq(asked, "llama.cpp") || (s->preset && s->preset->format == WEIGHTS_GGUF))
        return RUNTIME_LLAMA;
    if (str_eq(asked, "transformers") || !rv->ad->settings->gates.on[GATE_VLLM])
        return RUNTIME_TRANSFORMERS;
    return RUNTIME_VLLM;
}

void subject_complete(const struct review *rv, struct subject *s)
{
    s->preset_name = json_find_str(s->inference, "preset", "name");
    s->preset = s->preset_name ? catalog_find(rv->ad->catalog, s->preset_name) : NULL;
    s->runtime = runtime_of(rv, s);
    if (s->runtime == RUNTIME_LLAMA && s->preset_name)
        s->preset = catalog_find_format(rv->ad->catalog, s->preset_name, WEIGHTS_GGUF);
    s->bypass = json_get(s->annotations, BYPASS) != NULL;
}

/* ---- values ------------------------------------------------------------------------------------- */

struct choice {
    const char *key;
    bool loose; /* in any case, with blanks around it */
    const char *const words[4];
};

static const struct choice choices[] = {
    { IMAGE_FAMILY, true, { "ubuntu", "azurelinux" } },
    { WORKSPACE_PERFORMANCE_MODE, false, { "balanced", "interactivity", "throughput" } },
    { LOCAL_WEIGHTS, false, { "true", "false" } },
};

static void check_choice(struct review *rv, const struct subject *s, const struct choice *c)
{
    const char *value = annotation_of(s->annotations, c->key);
    if (!value)
        return;
    const char *word = c->loose ? str_trim(rv->a, value) : value;
    AUTO_BUF known = BUF_INIT(KIB);
    for (size_t i = 0; c->words[i]; i++) {
        if (c->loose ? str_case_eq(word, c->words[i]) : STREQ(word, c->words[i]))
            return;
        buf_printf(&known, "%s%s", i > 0 ? ", " : "", c->words[i]);
    }
    fault(rv, key_path(rv, s->annotations_path, c->key), value,
          "is not one of %s; choose one or remove the annotation", buf_str(&known));
}

static void check_node_class(struct review *rv, const struct subject *s)
{
    const char *value = annotation_of(s->annotations, NODE_CLASS);
    const struct operator_settings *settings = rv->ad->settings;
    if (str_empty(value) || settings->provisioner != PROVISIONER_KARPENTER)
        return;
    AUTO_BUF known = BUF_INIT(KIB);
    JSON_FOREACH(it, settings->node_classes) {
        const char *name = str_or_empty(json_find_str(it.value, "name"));
        if (STREQ(name, value))
            return;
        buf_printf(&known, "%s%s", known.len > 0 ? ", " : "", name);
    }
    fault(rv, key_path(rv, s->annotations_path, NODE_CLASS), value,
          "is no node class of this operator (--karpenter-node-classes); there is %s",
          known.len > 0 ? buf_str(&known) : "none");
}

void check_annotations(struct review *rv, const struct subject *s)
{
    for (size_t i = 0; i < COUNT_OF(choices); i++)
        check_choice(rv, s, &choices[i]);
    check_node_class(rv, s);
}

/* ---- the runtime -------------------------------------------------------------------------------- */

/* Parameters go by the short name: another copy of a known model has them too. */
static bool transformers_can(const struct review *rv, const struct subject *s)
{
    if (s->preset)
        return s->preset->transformers != NULL;
    const char *slash = strrchr(s->preset_name, '/');
    for (size_t i = 0; i < catalog_count(rv->ad->catalog); i++) {
        const struct preset *p = catalog_at(rv->ad->catalog, i);
        if (slash && p->transformers && str_case_eq(p->name, slash + 1))
            return true;
    }
    return false;
}

void check_runtime(struct review *rv, const struct subject *s)
{
    const char *field = member_path(rv, s->inference_path, "preset.name");
    if (!s->preset_name || one_box(rv) || !preset_name_valid(rv, s->preset_name))
        return;
    if (s->runtime == RUNTIME_TRANSFORMERS && !transformers_can(rv, s))
        fault(rv, field, s->preset_name,
              "cannot be run by transformers; remove the annotation " WORKSPACE_RUNTIME
              " (and leave the feature gate vLLM on) to run it with vLLM");
    if (s->runtime == RUNTIME_LLAMA && !s->preset)
        fault(rv, field, s->preset_name,
              "has no GGUF weights, which llama.cpp needs; choose another preset or remove the "
              "annotation " WORKSPACE_RUNTIME);
}

void check_streaming(struct review *rv, const struct subject *s)
{
    const struct operator_settings *settings = rv->ad->settings;
    if (!settings->gates.on[GATE_MODEL_STREAMING] || !s->preset_name ||
        s->runtime != RUNTIME_VLLM || str_eq(annotation_of(s->annotations, STREAMING), "disabled"))
        return;
    const char *field = key_path(rv, s->annotations_path, STREAMING);
    const char *value = annotation_of(s->annotations, STREAMING);
    if (!str_case_eq(settings->cloud, "azure"))
        fault(rv, field, value,
              "models are streamed on Azure only; set this annotation to \"disabled\"");
    else if (!rv->ad->world->exists(rv->ad->world->ctx, ADMISSION_CSI_DRIVER, BLOB_DRIVER))
        fault(rv, field, value,
              "models are streamed through the CSI driver " BLOB_DRIVER
              ", which this cluster does not have; install it, or set this annotation to "
              "\"disabled\"");
}
