#include "workspace/engine.h"

#include <string.h>

#include "base/str.h"
#include "models/store.h"
#include "json/build.h"

static const struct engine *const engines[] = { &engine_llama, &engine_vllm, &engine_transformers };

static const struct engine *engine_named(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(engines); i++)
        if (STREQ(engines[i]->name, name))
            return engines[i];
    return NULL;
}

/* What the annotation and the gate ask for; NULL: what fits the weights. */
static const struct engine *engine_asked(const struct workspace *ws,
                                         const struct operator_settings *settings)
{
    const struct engine *asked = engine_named(ws->runtime);
    if (!settings->gates.on[GATE_VLLM] && asked == &engine_vllm)
        return &engine_transformers;
    return asked;
}

static const struct engine *engine_for_format(enum weights_format format,
                                              const struct operator_settings *settings)
{
    if (format == WEIGHTS_GGUF)
        return &engine_llama;
    return settings->gates.on[GATE_VLLM] ? &engine_vllm : &engine_transformers;
}

static int refuse(struct error **err, int r, const char *reason)
{
    if (err && *err)
        error_set_reason(*err, reason);
    return r;
}

int engine_unknown_preset(struct arena *a, const struct catalog *catalog, const char *name,
                          struct error **err)
{
    if (catalog_retired(catalog, name))
        return refuse(err,
                      error_set(err, ERROR_NOT_FOUND, "preset \"%s\" is no longer supported", name),
                      "PresetRetired");
    const char *slash = strchr(name, '/');
    if (slash && slash != name && slash[1])
        return refuse(
            err,
            error_set(err, ERROR_UNSUPPORTED,
                      "\"%s\" is not in the catalogue, and one box does not look models up on "
                      "huggingface.co; `kaito models catalog` lists those that it knows",
                      name),
            "PresetUnknown");
    const char *near[3];
    size_t n = catalog_nearest(catalog, name, near, COUNT_OF(near));
    if (n == 0)
        return refuse(err,
                      error_set(err, ERROR_NOT_FOUND,
                                "there is no preset \"%s\"; `kaito models catalog` lists them",
                                name),
                      "PresetUnknown");
    return refuse(err,
                  error_set(err, ERROR_NOT_FOUND, "there is no preset \"%s\"; did you mean %s?",
                            name, str_join(a, (char *const *)near, n, " or ")),
                  "PresetUnknown");
}

/* The preset is there, and this engine cannot run it. */
static int wrong_format(const struct preset *p, const struct engine *engine, struct error **err)
{
    int r =
        p->format == WEIGHTS_GGUF
            ? error_set(
                  err, ERROR_UNSUPPORTED,
                  "preset \"%s\" has GGUF weights, which %s cannot run; remove the annotation " WORKSPACE_RUNTIME
                  " or set it to %s",
                  p->name, engine->name, engine_llama.name)
            : error_set(
                  err, ERROR_UNSUPPORTED,
                  "preset \"%s\" has no GGUF weights, which %s needs; choose another preset, or another runtime "
                  "with the annotation " WORKSPACE_RUNTIME,
                  p->name, engine->name);
    return refuse(err, r, "RuntimeUnsupported");
}

int engine_choose_preset(const struct workspace *ws, const struct operator_settings *settings,
                         const struct preset *p, struct engine_choice *ret, struct error **err)
{
    const struct engine *asked = engine_asked(ws, settings);
    if (asked && asked->format != p->format)
        return wrong_format(p, asked, err);
    *ret = (struct engine_choice){
        .engine = asked ? asked : engine_for_format(p->format, settings),
        .preset = p,
        .model = p->name,
    };
    if (ret->engine == &engine_transformers && !p->transformers)
        return refuse(err,
                      error_set(err, ERROR_UNSUPPORTED,
                                "preset \"%s\" cannot be run by transformers; use vllm", p->name),
                      "RuntimeUnsupported");
    return 0;
}

int engine_choose(struct arena *a, const struct workspace *ws, const struct catalog *catalog,
                  const struct operator_settings *settings, bool in_store,
                  struct engine_choice *ret, struct error **err)
{
    const struct engine *asked = engine_asked(ws, settings);
    if (ws->template) {
        *ret = (struct engine_choice){
            .engine = asked ? asked : engine_for_format(WEIGHTS_SAFETENSORS, settings),
            .model = "",
        };
        return 0;
    }
    const struct preset *p = asked ? catalog_find_format(catalog, ws->preset_name, asked->format)
                                   : catalog_find(catalog, ws->preset_name);
    if (!p && in_store && (!asked || asked == &engine_llama)) {
        *ret = (struct engine_choice){ .engine = &engine_llama,
                                       .model = engine_store_name(a, ws, catalog) };
        return 0;
    }
    if (!p) {
        const struct preset *other = catalog_find(catalog, ws->preset_name);
        return other ? wrong_format(other, asked, err)
                     : engine_unknown_preset(a, catalog, ws->preset_name, err);
    }
    return engine_choose_preset(ws, settings, p, ret, err);
}

const char *engine_store_name(struct arena *a, const struct workspace *ws,
                              const struct catalog *catalog)
{
    if (ws->preset_name[0] == '\0' || ws->tuning)
        return NULL;
    bool llama = STREQ(ws->runtime, engine_llama.name);
    const struct preset *p = llama ? catalog_find_format(catalog, ws->preset_name, WEIGHTS_GGUF)
                                   : catalog_find(catalog, ws->preset_name);
    if (p)
        return p->format == WEIGHTS_GGUF ? p->name : NULL;
    const char *name = str_lower(a, ws->preset_name);
    return model_name_check(name, NULL) == 0 ? name : NULL;
}

/* ---- shared pieces ------------------------------------------------------------------------------------------ */

const char *engine_served_name(const struct engine_request *q)
{
    return workspace_served_name(q->ws, q->model);
}

/* clang-format off */
struct json *engine_http_port(struct arena *a)
{
    return OBJ("name", STR("http"), "protocol", STR("TCP"), "port", INT(80), "targetPort", INT(ENGINE_PORT));
}

struct json *engine_port(struct arena *a, const char *name, int64_t number)
{
    return OBJ("name", STR(name), "containerPort", INT(number), "protocol", STR("TCP"));
}

struct json *engine_health_probe(struct arena *a, int64_t port, int64_t period_s, int64_t timeout_s, int64_t failures)
{
    return OBJ("httpGet", OBJ("path", STR("/health"), "port", INT(port)),
               "periodSeconds", INT(period_s),
               "timeoutSeconds", timeout_s > 0 ? INT(timeout_s) : NULL,
               "failureThreshold", failures > 0 ? INT(failures) : NULL);
}

struct json *engine_config_volume(struct arena *a, const struct engine_request *q)
{
    if (q->ws->config[0] == '\0')
        return NULL;
    return OBJ("name", STR("config-volume"), "configMap", OBJ("name", STR(q->ws->config)));
}

struct json *engine_config_mount(struct arena *a, const struct engine_request *q)
{
    if (q->ws->config[0] == '\0')
        return NULL;
    return OBJ("name", STR("config-volume"), "mountPath", STR("/mnt/config"));
}

struct json *engine_dshm_volume(struct arena *a)
{
    return OBJ("name", STR("dshm"), "emptyDir", OBJ("medium", STR("Memory")));
}

struct json *engine_dshm_mount(struct arena *a)
{
    return OBJ("name", STR("dshm"), "mountPath", STR("/dev/shm"));
}

struct json *engine_token(struct arena *a, const struct engine_request *q)
{
    if (q->ws->access_secret[0] == '\0')
        return NULL;
    return OBJ("name", STR("HF_TOKEN"),
               "valueFrom", OBJ("secretKeyRef", OBJ("name", STR(q->ws->access_secret),
                                                    "key", STR("HF_TOKEN"),
                                                    "optional", BOOL(true))));
}

struct json *engine_field_env(struct arena *a, const char *name, const char *field)
{
    return OBJ("name", STR(name), "valueFrom", OBJ("fieldRef", OBJ("fieldPath", STR(field))));
}
/* clang-format on */
