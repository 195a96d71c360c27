/* The order of questions: is it being deleted, can the specification work at all; which of its
 * Workspaces are ready, of the present template, of the present base image; then how many there
 * should be and which go, what of the template changes and which newer image is carried to them,
 * one at a time; the gateway's objects; and the status over all of it. */
#include "inferenceset/decide.h"

#include "base/str.h"
#include "http/crypto.h"
#include "inferenceset/decide_internal.h"
#include "kube/meta.h"

#define MAX_CREATES 500 /* of one decision; the next goes on */

/* ---- children ------------------------------------------------------------------------------------------------------- */

bool child_live(const struct child *c)
{
    return !c->deleting && !c->removed;
}

size_t set_live(const struct set_decider *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++)
        n += child_live(&d->children[i]);
    return n;
}

size_t set_ready(const struct set_decider *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++)
        n += child_live(&d->children[i]) && d->children[i].ready;
    return n;
}

/* Its pods are those of its present specification, all of them. Revisions of a StatefulSet differ
 * while its pods are being replaced. */
static bool rolled(const struct child *c)
{
    const struct json *set = c->statefulset, *status = json_get(set, "status");
    const char *revision = meta_annotation(set, WORKSPACE_REVISION);
    int64_t replicas = json_find_int(set, 1, "spec", "replicas");
    if (!set)
        return false;
    if (revision && !str_eq(revision, meta_annotation(c->json, WORKSPACE_REVISION)))
        return false;
    return json_find_int(status, 0, "observedGeneration") >= meta_generation(set) &&
           json_find_int(status, 0, "readyReplicas") >= replicas &&
           str_eq(json_find_str(status, "currentRevision"),
                  json_find_str(status, "updateRevision"));
}

static void read_children(struct set_decider *d)
{
    d->children = arena_zalloc(d->a, (json_size(d->o->children) + 1) * sizeof(*d->children));
    JSON_FOREACH(it, d->o->children) {
        struct child *c = &d->children[d->count++];
        const struct json *succeeded =
            condition_find(json_find(it.value, "status", "conditions"), "WorkspaceSucceeded");
        *c = (struct child){
            .json = it.value,
            .name = meta_name(it.value),
            .uid = meta_uid(it.value),
            .statefulset = json_get(d->o->statefulsets, meta_name(it.value)),
            .deleting = meta_deleting(it.value),
            .orphan = !meta_controller_of(it.value),
            .ready = str_eq(json_find_str(succeeded, "status"), "True"),
            .nodes = json_find_int(it.value, 0, "status", "targetNodeCount"),
        };
        c->settled =
            c->ready &&
            json_find_int(succeeded, 0, "observedGeneration") >= meta_generation(it.value) &&
            rolled(c);
    }
}

const char *set_child_name(struct arena *a, const char *set, const char *uid, uint64_t n)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    const char *text = arena_printf(a, "%s/%llu", uid, (unsigned long long)n);
    char hex[SHA256_HEX_SIZE];
    char suffix[INFERENCE_SET_SUFFIX + 1] = "";
    sha256_hex(text, strlen(text), hex);
    for (size_t i = 0; i < INFERENCE_SET_SUFFIX; i++) {
        unsigned value = 0;
        for (size_t k = 0; k < 4; k++) {
            char digit = hex[4 * i + k];
            value = value * 16 + (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
        }
        suffix[i] = letters[value % (sizeof(letters) - 1)];
    }
    return arena_printf(a, "%s-%s", set, suffix);
}

/* What a Workspace needs of the set's own metadata: its role decides how its pods are made. */
static struct json *child_labels(struct arena *a, const struct inference_set *set)
{
    static const char *const inherited[] = { WORKSPACE_MRI_CREATED_BY, WORKSPACE_ROLE };
    struct json *labels = json_clone(a, set->labels);
    labels = labels ? labels : EMPTY_OBJ();
    for (size_t i = 0; i < COUNT_OF(inherited); i++)
        if (!json_get(labels, inherited[i]))
            json_set_str(a, labels, inherited[i], meta_label(set->json, inherited[i]));
    json_set_str(a, labels, WORKSPACE_CREATED_BY, set->name);
    return labels;
}

static struct json *child_annotations(struct arena *a, const struct inference_set *set)
{
    struct json *annotations = json_clone(a, set->annotations);
    annotations = annotations ? annotations : EMPTY_OBJ();
    if (!json_get(annotations, WORKSPACE_DISABLE_BENCHMARK))
        json_set_str(a, annotations, WORKSPACE_DISABLE_BENCHMARK,
                     meta_annotation(set->json, WORKSPACE_DISABLE_BENCHMARK));
    return json_size(annotations) > 0 ? annotations : NULL;
}

static struct json *child_resource(struct arena *a, const struct set_input *in,
                                   const struct inference_set *set)
{
    struct json *resource = OBJ("labelSelector", json_clone(a, set->selector), "partition",
                                json_clone(a, json_get(set->resource, "partition")));
    if (in->settings->provisioner != PROVISIONER_BYO)
        json_set(a, resource, "instanceType",
                 json_clone(a, json_get(set->resource, "instanceType")));
    return resource;
}

struct json *set_child_resource(struct set_decider *d)
{
    return child_resource(d->a, d->in, &d->set);
}

/* clang-format off */
struct json *set_child(struct arena *a, const struct set_input *in, const char *name)
{
    struct inference_set set;
    inference_set_read(a, in->observed->set, &set);
    struct json *metadata =
        OBJ("name", STR(name),
            "generateName", STRF("%s-", set.name), /* for those who tell families by it */
            "namespace", STR(set.ns),
            "labels", child_labels(a, &set),
            "annotations", child_annotations(a, &set),
            "ownerReferences", ARR(meta_controller_ref(a, set.json, &KUBE_INFERENCE_SETS)));
    return OBJ("apiVersion", STR(kube_api_version(a, &KUBE_WORKSPACES)),
               "kind", STR(KUBE_WORKSPACES.kind),
               "metadata", metadata,
               "resource", child_resource(a, in, &set),
               "inference", json_clone(a, set.inference));
}
/* clang-format on */

void set_remove(struct set_decider *d, struct child *c)
{
    struct write *w = decision_write(d->a, d->out, WRITE_DELETE, &KUBE_WORKSPACES, c->name, NULL);
    w->uid = c->uid;
    c->removed = true;
}

/* The first names that are free: those of Workspaces that are on their way out are not. */
void set_create(struct set_decider *d, size_t count)
{
    struct arena *a = d->a;
    struct json *taken = EMPTY_OBJ();
    for (size_t i = 0; i < d->count; i++)
        json_set_bool(a, taken, d->children[i].name, true);
    JSON_FOREACH(it, d->o->detached)
        json_set_bool(a, taken, json_string(it.value), true);
    const size_t most = json_size(taken) + MAX_CREATES;
    for (uint64_t n = 0; count > 0 && json_size(taken) < most; n++) {
        const char *name = set_child_name(a, d->set.name, d->set.uid, n);
        if (json_get(taken, name))
            continue;
        json_set_bool(a, taken, name, true);
        decision_write(a, d->out, WRITE_CREATE, &KUBE_WORKSPACES, name, set_child(a, d->in, name));
        count--;
    }
}

/* ---- deletion ------------------------------------------------------------------------------------------------------- */

/* Children are asked to go first; nobody waits for them, so that one that hangs does not hold the
 * set. What is made in between goes with its owner. */
static void decide_deletion(struct set_decider *d)
{
    struct arena *a = d->a;
    if (!meta_has_finalizer(d->set.json, INFERENCE_SET_FINALIZER))
        return;
    for (size_t i = 0; i < d->count; i++)
        if (child_live(&d->children[i]))
            set_remove(d, &d->children[i]);
    struct json *left = EMPTY_ARR();
    JSON_FOREACH(it, json_find(d->set.json, "metadata", "finalizers"))
        if (!str_eq(json_string(it.value), INFERENCE_SET_FINALIZER))
            json_append(left, json_clone(a, it.value));
    if (json_size(left) > 0) {
        struct json *status = json_clone(a, json_get(d->set.json, "status"));
        d->out->status = json_is_object(status) ? status : EMPTY_OBJ();
        condition_set(a, json_ensure_array(a, d->out->status, "conditions"),
                      &(struct condition){ "InferenceSetDeleting", "True", "inferencesetDeleting",
                                           "the inferenceset is being deleted" },
                      d->set.generation, d->in->now_ns);
    }
    struct json *metadata = OBJ("finalizers", json_size(left) > 0 ? left : NUL(), "resourceVersion",
                                STR(meta_resource_version(d->set.json)));
    decision_write(a, d->out, WRITE_PATCH, &KUBE_INFERENCE_SETS, d->set.name,
                   OBJ("metadata", metadata));
}

/* ---- the gateway ----------------------------------------------------------------------------------------------------- */

/* Roles of a MultiRoleInference share its pool; transformers speak no protocol of the picker. */
static void decide_pool(struct set_decider *d)
{
    struct arena *a = d->a;
    if (!d->in->settings->gates.on[GATE_GATEWAY_API] || d->set.of_multi_role ||
        !d->in->settings->gates.on[GATE_VLLM] || str_eq(d->set.runtime, "transformers") ||
        !json_get(d->set.inference, "preset"))
        return;
    struct pool_wanted wanted = {
        .owner = d->set.json,
        .owner_resource = &KUBE_INFERENCE_SETS,
        .interval = "0s",
        .labels =
            OBJ("apps.kubernetes.io/pod-index", STR("0"), WORKSPACE_CREATED_BY, STR(d->set.name)),
        .flags = OBJ("secure-serving", BOOL(false)),
    };
    pool_decide(a, d->out, &wanted, &d->o->pool, &d->pool);
}

/* ---- all together ---------------------------------------------------------------------------------------------------- */

void set_decide(struct arena *a, const struct set_input *in, struct decision *ret)
{
    struct set_decider d = { .a = a, .in = in, .o = in->observed, .out = ret };
    *ret = (struct decision){ 0 };
    inference_set_read(a, in->observed->set, &d.set);
    read_children(&d);
    if (d.set.deleting) {
        decide_deletion(&d);
        return;
    }
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (inference_set_check(&d.set, &err) < 0)
        d.problem = arena_strdup(a, error_message(err));
    set_decide_identity(&d);
    if (!d.problem) {
        set_find_drifted(&d);
        set_find_outdated(&d);
        set_decide_limit(&d);
        set_decide_metadata(&d);
        set_decide_scale(&d);
        set_decide_rollout(&d);
        set_decide_upgrade(&d);
        decide_pool(&d);
    }
    set_decide_status(&d);
}
