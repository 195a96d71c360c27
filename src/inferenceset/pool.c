#include "inferenceset/pool.h"

#include "base/str.h"
#include "kube/meta.h"

#define CHART "oci://ghcr.io/llm-d/charts/llm-d-router-gateway"
#define CHART_TAG "v0.9.0"
#define PICKER_REGISTRY "mcr.microsoft.com/oss/v2/llm-d"
#define PICKER "llm-d-router-endpoint-picker"
#define PICKER_TAG "v0.9.0"
#define PLUGINS_FILE "config.yaml"
#define POOL_PORT 5000
#define MAX_WORDS 512

/* ---- observe --------------------------------------------------------------------------------------------------------- */

/* Others' releases may carry whole charts of values. */
static bool is_pool(void *ctx, const struct json *obj)
{
    return str_has_suffix(meta_name(obj), "-inferencepool");
}

struct pool_caches pool_informers(struct manager *m)
{
    const struct informer_options options = { .keep = is_pool, .optional = true };
    return (struct pool_caches){
        .repositories = manager_informer(m, &KUBE_OCI_REPOSITORIES, &options),
        .releases = manager_informer(m, &KUBE_HELM_RELEASES, &options),
    };
}

const char *pool_name(struct arena *a, const char *owner)
{
    return arena_printf(a, "%s-inferencepool", owner);
}

static const struct json *cached(struct arena *a, struct informer *i, const char *ns,
                                 const char *name)
{
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(i, ns, name);
    return o ? kube_object_parse(a, o) : NULL;
}

void pool_observe(struct arena *a, const struct pool_caches *caches, const char *ns,
                  const char *owner, struct pool_observed *ret)
{
    const char *name = pool_name(a, owner);
    *ret = (struct pool_observed){
        .served = informer_served(caches->repositories) && informer_served(caches->releases),
        .repository = cached(a, caches->repositories, ns, name),
        .release = cached(a, caches->releases, ns, name),
    };
}

/* ---- decide ---------------------------------------------------------------------------------------------------------- */

/* clang-format off */
static struct json *repository_spec(struct arena *a, const struct pool_wanted *w)
{
    return OBJ("interval", STR(w->interval),
               "ref", OBJ("tag", STR(CHART_TAG)),
               "url", STR(CHART));
}

static struct json *release_spec(struct arena *a, const struct pool_wanted *w, const char *name)
{
    struct json *picker = OBJ("flags", w->flags,
                              "image", OBJ("registry", STR(PICKER_REGISTRY),
                                           "repository", STR(PICKER),
                                           "tag", STR(PICKER_TAG),
                                           "pullPolicy", STR("IfNotPresent")),
                              "pluginsConfigFile", w->plugins ? STR(PLUGINS_FILE) : NULL,
                              "pluginsCustomConfig", w->plugins ? OBJ(PLUGINS_FILE, STR(w->plugins)) : NULL,
                              "resources", OBJ("requests", OBJ("cpu", STR("1"), "memory", STR("2Gi")),
                                               "limits", OBJ("memory", STR("16Gi"))));
    struct json *servers = OBJ("matchLabels", w->labels,
                               "targetPorts", ARR(OBJ("number", INT(POOL_PORT))));
    return OBJ("interval", STR(w->interval),
               "chartRef", OBJ("kind", STR(KUBE_OCI_REPOSITORIES.kind),
                               "name", STR(name),
                               "namespace", STR(meta_namespace(w->owner))),
               "values", OBJ("router", OBJ("epp", picker, "modelServers", servers)));
}
/* clang-format on */

static void ensure(struct arena *a, struct decision *d, const struct pool_wanted *w,
                   const struct kube_resource *r, const char *name, const struct json *have,
                   struct json *spec)
{
    if (!have) {
        struct json *metadata =
            OBJ("name", STR(name), "namespace", STR(meta_namespace(w->owner)), "ownerReferences",
                ARR(meta_controller_ref(a, w->owner, w->owner_resource)));
        decision_write(a, d, WRITE_CREATE, r, name,
                       OBJ("apiVersion", STR(kube_api_version(a, r)), "kind", STR(r->kind),
                           "metadata", metadata, "spec", spec));
        return;
    }
    if (!meta_controlled_by(have, meta_uid(w->owner)) || meta_deleting(have) ||
        json_contains(json_get(have, "spec"), spec))
        return;
    decision_write(a, d, WRITE_PATCH, r, name, OBJ("spec", spec));
}

/* Ready is of this generation: what Flux says of an earlier one does not count. */
static const char *not_ready(struct arena *a, const struct pool_wanted *w, const char *kind,
                             const char *name, const struct json *have)
{
    if (have && !meta_controlled_by(have, meta_uid(w->owner)))
        return arena_printf(a, "%s %s belongs to somebody else; rename or delete it", kind, name);
    const struct json *ready = condition_find(json_find(have, "status", "conditions"), "Ready");
    int64_t seen = json_find_int(ready, meta_generation(have), "observedGeneration");
    if (ready && str_eq(json_find_str(ready, "status"), "True") && seen >= meta_generation(have))
        return NULL;
    const char *message = str_or_empty(json_find_str(ready, "message"));
    if (!*message)
        return arena_printf(a, "waiting for Flux to take up %s %s", kind, name);
    return arena_printf(a, "waiting for %s %s: %.*s", kind, name,
                        (int)str_utf8_valid_len(message, strnlen(message, MAX_WORDS)), message);
}

void pool_decide(struct arena *a, struct decision *d, const struct pool_wanted *w,
                 const struct pool_observed *o, const char **ret_problem)
{
    const char *name = pool_name(a, meta_name(w->owner));
    if (!o->served) {
        *ret_problem = "the inference pool cannot be made: OCIRepository and HelmRelease are not "
                       "served here; install Flux (source-controller and helm-controller)";
        return;
    }
    ensure(a, d, w, &KUBE_OCI_REPOSITORIES, name, o->repository, repository_spec(a, w));
    ensure(a, d, w, &KUBE_HELM_RELEASES, name, o->release, release_spec(a, w, name));
    *ret_problem = not_ready(a, w, KUBE_OCI_REPOSITORIES.kind, name, o->repository);
    if (!*ret_problem)
        *ret_problem = not_ready(a, w, KUBE_HELM_RELEASES.kind, name, o->release);
}
