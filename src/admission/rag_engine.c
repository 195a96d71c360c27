/* RAGEngines. */
#include <ctype.h>
#include <string.h>

#include "admission/internal.h"
#include "base/str.h"
#include "catalog/sku.h"
#include "kube/meta.h"

#define NAME_MAX_LENGTH 63
#define POLICY_KEY "guardrails.yaml"
#define POLICY_TEMPLATE "ragengine-guardrails-policy-template"

static void check_inference_service(struct review *rv, const struct json *service)
{
    const char *url = str_or_empty(json_find_str(service, "url"));
    const struct json *window = json_get(service, "contextWindowSize");
    if (json_is_null(service))
        return;
    if (*url && !request_uri_valid(url))
        fault(rv, "spec.inferenceService.url", url,
              "is not a URL; write it as http://workspace/v1/chat/completions");
    if (json_int(window, 0) < 1)
        fault(rv, "spec.inferenceService.contextWindowSize", shown(rv, window),
              "must be the number of tokens that the model can take, 1 or more");
}

/* registry/name:tag; only the name itself has to be in lower case. */
static bool embedding_image_valid(const char *image)
{
    const char *slash = strrchr(image, '/');
    const char *colon = slash ? strchr(slash, ':') : NULL;
    if (!slash || slash == image || !colon || colon == slash + 1 || !colon[1] ||
        strchr(colon + 1, ':'))
        return false;
    for (const char *c = slash; c < colon; c++)
        if (isupper((unsigned char)*c) || isspace((unsigned char)*c))
            return false;
    return true;
}

static void check_local(struct review *rv, const struct json *local)
{
    const char *image = str_or_empty(json_find_str(local, "image"));
    const char *model = str_or_empty(json_find_str(local, "modelID"));
    if (*image && *model)
        fault(rv, "spec.embedding.local", NULL,
              "has both image and modelID, but not both are possible; remove one of them");
    if (!*image && !*model)
        fault(rv, "spec.embedding.local", NULL, "must have either image or modelID, not neither");
    if (*image && !embedding_image_valid(image))
        fault(rv, "spec.embedding.local.image", image,
              "is not an image reference; write registry/name:tag with the name in lower case");
}

static void check_embedding(struct review *rv, const struct json *embedding)
{
    const struct json *local = json_get(embedding, "local");
    const struct json *remote = json_get(embedding, "remote");
    const char *url = str_or_empty(json_find_str(remote, "url"));
    if (json_is_null(embedding)) {
        fault(rv, "spec.embedding", NULL, "is required: local or remote");
        return;
    }
    if (json_is_null(local) == json_is_null(remote))
        fault(rv, "spec.embedding", NULL,
              json_is_null(local) ? "must have either local or remote, not neither"
                                  : "has both local and remote, but not both are possible; remove "
                                    "one of them");
    if (!json_is_null(local))
        check_local(rv, local);
    if (!json_is_null(remote) && !request_uri_valid(url))
        fault(rv, "spec.embedding.remote.url", *url ? url : NULL,
              "must be the URL of an embedding service");
}

/* Embeddings can be made without a GPU: Azure's general-purpose machines do. */
static void check_compute(struct review *rv, const struct json *compute)
{
    const struct operator_settings *settings = rv->ad->settings;
    const char *type = str_or_empty(json_find_str(compute, "instanceType"));
    if (json_is_null(compute))
        return;
    check_selector(rv, json_get(compute, "labelSelector"), "spec.compute.labelSelector");
    bool family = str_eq(settings->cloud, "azure") && (strncasecmp(type, "Standard_N", 10) == 0 ||
                                                       strncasecmp(type, "Standard_D", 10) == 0);
    if (!*type)
        fault(rv, "spec.compute.instanceType", NULL,
              "is required: the engine's node is brought up for it; without compute it runs on "
              "any node");
    else if (!family && !sku_find(rv->ad->catalog, settings->cloud, type))
        fault(rv, "spec.compute.instanceType", type,
              "is not an instance type that is known for the cloud \"%s\" (CLOUD_PROVIDER)",
              settings->cloud);
}

static void check_policy(struct review *rv, const struct json *map, const char *field,
                         const char *name)
{
    if (!json_find_str(map, "data", POLICY_KEY))
        fault(rv, field, name, "is missing " POLICY_KEY " in ConfigMap \"%s\"; add that key",
              meta_name(map));
}

static void check_own_policy(struct review *rv, const char *name, const char *ns)
{
    static const char field[] = "spec.guardrails.configMapRef.name";
    const struct admission_world *world = rv->ad->world;
    const struct json *map = world->config_map(world->ctx, rv->a, ns, name);
    if (map)
        check_policy(rv, map, field, name);
    else
        fault(rv, field, name,
              "is not there: guardrails.configMapRef.name references ConfigMap \"%s\" of namespace "
              "\"%s\"; create it first",
              name, ns);
}

static void check_guardrails(struct review *rv, const struct json *guardrails, const char *ns)
{
    static const char field[] = "spec.guardrails.enabled";
    const struct admission_world *world = rv->ad->world;
    const char *release = rv->ad->settings->release_namespace;
    if (!json_find_bool(guardrails, false, "enabled"))
        return;
    if (!json_is_null(json_get(guardrails, "configMapRef"))) {
        check_own_policy(rv, str_or_empty(json_find_str(guardrails, "configMapRef", "name")), ns);
        return;
    }
    if (str_empty(release)) {
        fault(rv, field, "true",
              "needs a policy, and the operator does not know its own namespace "
              "(RELEASE_NAMESPACE), where its template would be; give configMapRef");
        return;
    }
    const struct json *map = world->config_map(world->ctx, rv->a, release, POLICY_TEMPLATE);
    if (map)
        check_policy(rv, map, field, "true");
    else
        fault(
            rv, field, "true",
            "needs a policy, and its template is not there (kubectl get configmap " POLICY_TEMPLATE
            " -n %s); install it with the chart, or give configMapRef",
            release);
}

void rag_engine_valid(struct review *rv, const struct json *obj)
{
    const struct json *spec = json_get(obj, "spec");
    if (!json_is_object(spec)) {
        fault(rv, "spec", NULL, "is required; Embedding must be specified at least");
        return;
    }
    check_inference_service(rv, json_get(spec, "inferenceService"));
    check_embedding(rv, json_get(spec, "embedding"));
    check_compute(rv, json_get(spec, "compute"));
    check_guardrails(rv, json_get(spec, "guardrails"), meta_namespace(obj));
}

void rag_engine_new(struct review *rv, const struct json *obj)
{
    const char *engine = json_find_str(obj, "spec", "storage", "vectorDB", "engine");
    check_name(rv, obj, NAME_MAX_LENGTH, "its Service is named after it");
    rag_engine_valid(rv, obj);
    if (engine && !str_case_eq(engine, "qdrant") && !str_case_eq(engine, "faiss"))
        warn(rv,
             "spec.storage.vectorDB.engine: \"%s\" is not one of qdrant, faiss; the engine's "
             "pod will not start",
             engine);
}

static void frozen(struct review *rv, const char *field, const struct json *now,
                   const struct json *before)
{
    fault(rv, field, shown(rv, now), "cannot be changed (it was %s); make a new RAGEngine",
          json_text(rv->a, before));
}

void rag_engine_change(struct review *rv, const struct json *obj, const struct json *old)
{
    static const char *const members[] = { "count", "instanceType" };
    const struct json *now = json_find(obj, "spec", "compute");
    const struct json *before = json_find(old, "spec", "compute");
    if (json_is_null(now) || json_is_null(before)) {
        if (!json_is_null(now) || !json_is_null(before))
            fault(rv, "spec.compute", NULL, "cannot be %s; make a new RAGEngine",
                  json_is_null(now) ? "removed" : "added");
        return;
    }
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        const struct json *x = json_get(now, members[i]);
        const struct json *y = json_get(before, members[i]);
        if (!json_is_null(x) && !json_is_null(y) && !json_equal(x, y))
            frozen(rv, member_path(rv, "spec.compute", members[i]), x, y);
    }
    if (!same_as(rv, "Partition", json_get(now, "partition"), json_get(before, "partition")))
        frozen(rv, "spec.compute.partition", json_get(now, "partition"),
               json_get(before, "partition"));
    if (!same_selector(rv, json_get(now, "labelSelector"), json_get(before, "labelSelector")))
        frozen(rv, "spec.compute.labelSelector", json_get(now, "labelSelector"),
               json_get(before, "labelSelector"));
}
