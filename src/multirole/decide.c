/* An InferenceSet for each role, then the pool over both. Of an InferenceSet that is there only
 * what the MultiRoleInference says is kept in line: its owner may scale a role that names no
 * replicas, or add what there is no field for here. */
#include "multirole/decide.h"

#include "api/inference_set.h"
#include "base/str.h"
#include "kube/meta.h"

#define COMPONENT "KAITO-MultiRoleInference-controller"
#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"
#define PORT "5000"

struct role_words {
    const char *condition; /* also its reason when True */
    const char *not_ready; /* its reason when False */
};

static const struct role_words words[ROLE_COUNT] = {
    [ROLE_PREFILL] = { "PrefillReady", "PrefillNotReady" },
    [ROLE_DECODE] = { "DecodeReady", "DecodeNotReady" },
};

struct decider {
    struct arena *a;
    const struct multi_role_input *in;
    const struct multi_role_observed *o;
    struct decision *out;
    struct multi_role m;
    const char *problem; /* nothing can be made of this specification: why */
    const char *pool;    /* why the pool is not ready; NULL: it is */
};

static void event(struct decider *d, const char *type, const char *reason, const char *message)
{
    decision_event(d->a, d->out, type, reason, message);
    d->out->events[d->out->event_count - 1].component = COMPONENT;
}

/* ---- the InferenceSet of a role --------------------------------------------------------------------------------------- */

static struct json *role_labels(struct decider *d, enum role role)
{
    struct arena *a = d->a;
    return OBJ(WORKSPACE_MRI_CREATED_BY, STR(d->m.name), WORKSPACE_ROLE, STR(role_name(role)));
}

/* The user's labels, and those that tell the roles' nodes and pods apart. */
static struct json *all_labels(struct decider *d, enum role role)
{
    struct arena *a = d->a;
    struct json *labels = json_clone(a, json_get(d->m.selector, "matchLabels"));
    labels = json_is_object(labels) ? labels : EMPTY_OBJ();
    JSON_FOREACH(it, role_labels(d, role))
        json_set(a, labels, it.key, json_clone(a, it.value));
    return labels;
}

static struct json *annotations(struct decider *d)
{
    struct arena *a = d->a;
    struct json *copy = json_clone(a, json_find(d->m.json, "metadata", "annotations"));
    json_del(copy, LAST_APPLIED);
    return json_size(copy) > 0 ? copy : NULL;
}

/* clang-format off */
static struct json *child_spec(struct decider *d, enum role role)
{
    struct arena *a = d->a;
    const struct role_spec *spec = &d->m.roles[role];
    struct json *options = *d->m.access_secret
        ? OBJ("modelAccessSecret", STR(d->m.access_secret)) : NULL;
    struct json *template =
        OBJ("metadata", OBJ("labels", all_labels(d, role), "annotations", annotations(d)),
            "resource", OBJ("instanceType", *spec->instance_type ? STR(spec->instance_type) : NULL),
            "inference", OBJ("preset", OBJ("name", STR(d->m.model), "presetOptions", options),
                             "config", *spec->runtime_config ? STR(spec->runtime_config) : NULL));
    return OBJ("replicas", spec->replicas >= 0 ? INT(spec->replicas) : NULL,
               "labelSelector", OBJ("matchLabels", all_labels(d, role),
                                    "matchExpressions",
                                    json_clone(a, json_get(d->m.selector, "matchExpressions"))),
               "template", template,
               "updateStrategy", EMPTY_OBJ());
}

static void create_child(struct decider *d, enum role role, const char *name)
{
    struct arena *a = d->a;
    struct json *metadata =
        OBJ("name", STR(name),
            "namespace", STR(d->m.ns),
            "labels", role_labels(d, role),
            "annotations", annotations(d),
            "ownerReferences", ARR(meta_controller_ref(a, d->m.json, &KUBE_MULTI_ROLE_INFERENCES)));
    decision_write(a, d->out, WRITE_CREATE, &KUBE_INFERENCE_SETS, name,
                   OBJ("apiVersion", STR(kube_api_version(a, &KUBE_INFERENCE_SETS)),
                       "kind", STR(KUBE_INFERENCE_SETS.kind),
                       "metadata", metadata,
                       "spec", child_spec(d, role)));
}
/* clang-format on */

/* Puts the member of `want` into the patch when `have` has another one, or null when it should have
 * none. */
static void follow(struct arena *a, struct json *patch, const struct json *have,
                   const struct json *want, const char *key)
{
    const struct json *x = json_get(have, key), *y = json_get(want, key);
    if (!json_equal(x, y) && (x || y))
        json_set(a, patch, key, y ? json_clone(a, y) : NUL());
}

static void follow_missing(struct arena *a, struct json *patch, const struct json *have,
                           const struct json *want, const char *key)
{
    struct json *diff = EMPTY_OBJ();
    JSON_FOREACH(it, json_get(want, key))
        if (!json_equal(json_find(have, key, it.key), it.value))
            json_set(a, diff, it.key, json_clone(a, it.value));
    if (json_size(diff) > 0)
        json_set(a, patch, key, diff);
}

static void set_part(struct arena *a, struct json *patch, const char *key, struct json *part)
{
    if (json_size(part) > 0)
        json_set(a, patch, key, part);
}

static struct json *template_patch(struct arena *a, const struct json *have,
                                   const struct json *want)
{
    struct json *patch = EMPTY_OBJ(), *metadata = EMPTY_OBJ(), *resource = EMPTY_OBJ();
    struct json *inference = EMPTY_OBJ(), *preset = EMPTY_OBJ(), *options = EMPTY_OBJ();
    follow_missing(a, metadata, json_get(have, "metadata"), json_get(want, "metadata"), "labels");
    follow_missing(a, metadata, json_get(have, "metadata"), json_get(want, "metadata"),
                   "annotations");
    follow(a, resource, json_get(have, "resource"), json_get(want, "resource"), "instanceType");
    follow(a, inference, json_get(have, "inference"), json_get(want, "inference"), "config");
    follow(a, preset, json_find(have, "inference", "preset"),
           json_find(want, "inference", "preset"), "name");
    follow(a, options, json_find(have, "inference", "preset", "presetOptions"),
           json_find(want, "inference", "preset", "presetOptions"), "modelAccessSecret");
    set_part(a, preset, "presetOptions", options);
    set_part(a, inference, "preset", preset);
    set_part(a, patch, "metadata", metadata);
    set_part(a, patch, "resource", resource);
    set_part(a, patch, "inference", inference);
    return patch;
}

static void patch_child(struct decider *d, enum role role, const struct json *child)
{
    struct arena *a = d->a;
    const struct json *have = json_get(child, "spec"), *want = child_spec(d, role);
    struct json *spec = EMPTY_OBJ(), *metadata = EMPTY_OBJ(), *patch = EMPTY_OBJ();
    if (json_get(want, "replicas"))
        follow(a, spec, have, want, "replicas");
    follow(a, spec, have, want, "labelSelector");
    set_part(a, spec, "template",
             template_patch(a, json_get(have, "template"), json_get(want, "template")));
    follow_missing(a, metadata, json_get(child, "metadata"), OBJ("labels", role_labels(d, role)),
                   "labels");
    follow_missing(a, metadata, json_get(child, "metadata"), OBJ("annotations", annotations(d)),
                   "annotations");
    set_part(a, patch, "metadata", metadata);
    set_part(a, patch, "spec", spec);
    if (json_size(patch) > 0)
        decision_write(a, d->out, WRITE_PATCH, &KUBE_INFERENCE_SETS, meta_name(child), patch);
}

static void decide_children(struct decider *d)
{
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        const struct json *child = d->o->children[role];
        if (!child)
            create_child(d, role, multi_role_child_name(d->a, d->m.name, role));
        else if (meta_controlled_by(child, d->m.uid) && !meta_deleting(child))
            patch_child(d, role, child);
    }
}

/* ---- the pool --------------------------------------------------------------------------------------------------------- */

static void decide_pool(struct decider *d)
{
    struct arena *a = d->a;
    if (!d->in->settings->gates.on[GATE_GATEWAY_API])
        return;
    const char *plugins = multi_role_plugins(a);
    if (*d->m.plugins) {
        plugins = json_find_str(d->o->plugins, "data", MULTI_ROLE_PLUGINS_KEY);
        if (!plugins) {
            d->pool = arena_printf(a,
                                   "there is no ConfigMap %s with the key " MULTI_ROLE_PLUGINS_KEY
                                   " in this namespace; create it or remove "
                                   "spec.eppPluginsConfig",
                                   d->m.plugins);
            return;
        }
    }
    struct pool_wanted wanted = {
        .owner = d->m.json,
        .owner_resource = &KUBE_MULTI_ROLE_INFERENCES,
        .interval = "10m0s",
        .labels =
            OBJ("apps.kubernetes.io/pod-index", STR("0"), WORKSPACE_MRI_CREATED_BY, STR(d->m.name)),
        .flags = OBJ("model-server-metrics-port", STR(PORT)),
        .plugins = plugins,
    };
    pool_decide(a, d->out, &wanted, &d->o->pool, &d->pool);
}

/* ---- status ------------------------------------------------------------------------------------------------------------ */

static void set_condition(struct decider *d, struct json *conditions, const char *type,
                          const char *reason, bool status, const char *message)
{
    condition_set(d->a, conditions,
                  &(struct condition){ type, status ? "True" : "False", reason, message },
                  d->m.generation, d->in->now_ns);
}

/* What the role's InferenceSet says of its present specification. ret_message: why it is not ready,
 * else how many replicas are. */
static bool role_ready(struct decider *d, enum role role, const char **ret_message)
{
    const char *name = multi_role_child_name(d->a, d->m.name, role);
    const struct json *child = d->o->children[role];
    const struct json *ready =
        condition_find(json_find(child, "status", "conditions"), "InferenceSetReady");
    const char *message = json_find_str(ready, "message");
    if (child && !meta_controlled_by(child, d->m.uid)) {
        *ret_message = arena_printf(d->a,
                                    "InferenceSet %s exists already and does not belong to this "
                                    "MultiRoleInference; rename or delete it",
                                    name);
        return false;
    }
    bool current = ready && json_find_int(ready, 0, "observedGeneration") >= meta_generation(child);
    bool yes = current && str_eq(json_find_str(ready, "status"), "True") && !meta_deleting(child);
    *ret_message = arena_printf(d->a, "InferenceSet %s: %s", name,
                                current && message ? message : "waiting for its controller");
    return yes;
}

static void decide_status(struct decider *d)
{
    struct arena *a = d->a;
    struct json *status = json_clone(a, json_get(d->m.json, "status"));
    if (!json_is_object(status))
        status = EMPTY_OBJ();
    struct json *conditions = json_ensure_array(a, status, "conditions");
    const char *first = d->problem;
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        const char *message = d->problem;
        bool ready = !d->problem && role_ready(d, role, &message);
        set_condition(d, conditions, words[role].condition,
                      ready ? words[role].condition : words[role].not_ready, ready, message);
        if (!ready && !first)
            first = message;
    }
    bool gate = d->in->settings->gates.on[GATE_GATEWAY_API];
    bool pool = !d->problem && !d->pool;
    set_condition(d, conditions, "InferencePoolReady",
                  pool ? "InferencePoolReady" : "InferencePoolNotReady", pool,
                  d->problem ? d->problem
                  : d->pool  ? d->pool
                  : gate
                      ? "the inference pool is ready"
                      : "the feature gate gatewayAPIInferenceExtension is off: there is no pool");
    if (!first)
        first = d->pool;
    set_condition(d, conditions, "Ready", first ? "NotReady" : "Ready", !first,
                  first ? first : "prefill, decode and the inference pool are ready");
    if (json_find_int(status, 0, "observedGeneration") != d->m.generation)
        event(d, d->problem ? "Warning" : "Normal", d->problem ? "ReconcileFailed" : "Reconciled",
              d->problem ? d->problem : "the InferenceSets of both roles are as specified");
    json_set_int(a, status, "observedGeneration", d->m.generation);
    d->out->status = status;
}

/* ---- finalizer --------------------------------------------------------------------------------------------------------- */

static void patch_finalizers(struct decider *d, struct json *list)
{
    struct arena *a = d->a;
    struct json *metadata = OBJ("finalizers", json_size(list) > 0 ? list : NUL(), "resourceVersion",
                                STR(meta_resource_version(d->m.json)));
    decision_write(a, d->out, WRITE_PATCH, &KUBE_MULTI_ROLE_INFERENCES, d->m.name,
                   OBJ("metadata", metadata));
}

static void decide_finalizer(struct decider *d)
{
    struct arena *a = d->a;
    struct json *list = json_clone(a, json_find(d->m.json, "metadata", "finalizers"));
    if (meta_has_finalizer(d->m.json, MULTI_ROLE_FINALIZER))
        return;
    list = list ? list : EMPTY_ARR();
    json_append(list, STR(MULTI_ROLE_FINALIZER));
    patch_finalizers(d, list);
}

/* Its InferenceSets go first; their deletion wakes this up again. */
static void decide_deletion(struct decider *d)
{
    struct arena *a = d->a;
    bool waits = false;
    if (!meta_has_finalizer(d->m.json, MULTI_ROLE_FINALIZER))
        return;
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        const struct json *child = d->o->children[role];
        if (!child || !meta_controlled_by(child, d->m.uid))
            continue;
        waits = true;
        if (!meta_deleting(child))
            decision_write(a, d->out, WRITE_DELETE, &KUBE_INFERENCE_SETS, meta_name(child), NULL)
                ->uid = meta_uid(child);
    }
    if (waits)
        return;
    struct json *left = EMPTY_ARR();
    JSON_FOREACH(it, json_find(d->m.json, "metadata", "finalizers"))
        if (!str_eq(json_string(it.value), MULTI_ROLE_FINALIZER))
            json_append(left, json_clone(a, it.value));
    patch_finalizers(d, left);
    d->out->writes[d->out->write_count - 1].done =
        (struct decided_event){ "Normal", "Deleted", "both InferenceSets are gone", COMPONENT };
}

void multi_role_decide(struct arena *a, const struct multi_role_input *in, struct decision *ret)
{
    struct decider d = { .a = a, .in = in, .o = in->observed, .out = ret };
    *ret = (struct decision){ 0 };
    multi_role_read(in->observed->object, &d.m);
    if (d.m.deleting) {
        decide_deletion(&d);
        return;
    }
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (multi_role_check(&d.m, &err) < 0)
        d.problem = arena_strdup(a, error_message(err));
    decide_finalizer(&d);
    if (!d.problem) {
        decide_children(&d);
        decide_pool(&d);
    }
    decide_status(&d);
}
