/* History of the specification: one ControllerRevision per distinct hash, at most ten. The
 * reference never carries a change of the template to Workspaces that are there. Here it does, but
 * only a change made since: a cluster whose Workspaces the reference left behind is taken over as
 * it is. So the revision that a change of the template leads to is marked when the change is
 * noticed, and while the marked one is in use, children follow the template. The mark is written
 * before the set's annotation moves on, so a crash in between loses nothing. */
#include "inferenceset/decide_internal.h"

#include "base/str.h"
#include "kube/meta.h"

#define MAX_REVISIONS 10
#define MAX_PRUNED 10
#define SHORTEST_NAME 5 /* characters of the hash in the name */
#define LONGEST_NAME 16
#define ROLLOUT_MARK "inferenceset.kaito.io/rollout"

static const struct json *find_revision(const struct set_decider *d, const char *name,
                                        const char *hash)
{
    JSON_FOREACH(it, d->o->revisions) {
        if ((!name || STREQ(meta_name(it.value), name)) &&
            (!hash || str_eq(meta_annotation(it.value, INFERENCE_SET_HASH), hash)))
            return it.value;
    }
    return NULL;
}

/* Five characters of the hash name a revision; when another hash took them already, more. */
static const char *revision_name(struct set_decider *d, const char *hash,
                                 const struct json **ret_existing)
{
    const char *name = NULL;
    for (int n = SHORTEST_NAME; n <= LONGEST_NAME; n++) {
        name = arena_printf(d->a, "%s-%.*s", d->set.name, n, hash);
        *ret_existing = find_revision(d, name, NULL);
        if (!*ret_existing || str_eq(meta_annotation(*ret_existing, INFERENCE_SET_HASH), hash))
            break;
    }
    return name;
}

static bool same_template(const struct json *x, const struct json *y)
{
    static const char *const parts[] = { "inference", "resource" };
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (!json_equal(json_find(x, "template", parts[i]), json_find(y, "template", parts[i])))
            return false;
    return json_equal(json_get(x, "labelSelector"), json_get(y, "labelSelector"));
}

static bool marked(const struct json *revision)
{
    return str_eq(meta_annotation(revision, ROLLOUT_MARK), "true");
}

/* From what was in use before, if anything. */
static bool wants_mark(const struct set_decider *d, const char *hash, const struct json *spec,
                       const struct json *existing)
{
    const char *before = meta_annotation(d->set.json, INFERENCE_SET_HASH);
    if (!before || STREQ(before, hash))
        return marked(existing);
    const struct json *previous = find_revision(d, NULL, before);
    return marked(existing) || marked(previous) ||
           (previous && !same_template(json_find(previous, "data", "Spec"), spec));
}

static int by_revision(const struct json *x, const struct json *y)
{
    int64_t a = json_find_int(x, 0, "revision"), b = json_find_int(y, 0, "revision");
    return a < b ? -1 : a > b;
}

/* The oldest go, ten at a time; the one in use never does. */
static void prune(struct set_decider *d, const char *keep, size_t count)
{
    struct json *sorted = json_clone(d->a, d->o->revisions);
    json_sort(sorted, by_revision);
    size_t most = MAX_PRUNED;
    JSON_FOREACH(it, sorted) {
        if (count <= MAX_REVISIONS || most == 0)
            break;
        if (STREQ(meta_name(it.value), keep) || !meta_controlled_by(it.value, d->set.uid))
            continue;
        decision_write(d->a, d->out, WRITE_DELETE, &KUBE_CONTROLLER_REVISIONS, meta_name(it.value),
                       NULL)
            ->uid = meta_uid(it.value);
        count--;
        most--;
    }
}

/* clang-format off */
static struct json *revision_object(struct set_decider *d, const char *name, const char *hash,
                                    int64_t number, struct json *spec)
{
    struct arena *a = d->a;
    struct json *annotations = OBJ(INFERENCE_SET_HASH, STR(hash),
                                   ROLLOUT_MARK, d->rolls_out ? STR("true") : NULL);
    return OBJ("apiVersion", STR("apps/v1"),
               "kind", STR("ControllerRevision"),
               "metadata", OBJ("name", STR(name),
                               "namespace", STR(d->set.ns),
                               "annotations", annotations,
                               "labels", OBJ(INFERENCE_SET_REVISION_NAME, STR(d->set.name)),
                               "ownerReferences",
                               ARR(meta_controller_ref(a, d->set.json, &KUBE_INFERENCE_SETS))),
               "revision", INT(number),
               "data", OBJ("Spec", spec));
}
/* clang-format on */

/* One patch for what of the set itself is to change. The finalizer list is written whole, so it
 * carries the version that was read: others may have added to it meanwhile. */
static void patch_set(struct set_decider *d, const char *hash, int64_t number)
{
    struct arena *a = d->a;
    struct json *metadata = EMPTY_OBJ();
    struct json *annotations = EMPTY_OBJ();
    const char *text = arena_printf(a, "%lld", (long long)number);
    if (hash && !str_eq(meta_annotation(d->set.json, INFERENCE_SET_HASH), hash))
        json_set_str(a, annotations, INFERENCE_SET_HASH, hash);
    if (hash && !str_eq(meta_annotation(d->set.json, INFERENCE_SET_REVISION), text))
        json_set_str(a, annotations, INFERENCE_SET_REVISION, text);
    if (json_size(annotations) > 0)
        json_set(a, metadata, "annotations", annotations);
    if (!meta_has_finalizer(d->set.json, INFERENCE_SET_FINALIZER)) {
        struct json *finalizers = json_clone(a, json_find(d->set.json, "metadata", "finalizers"));
        finalizers = finalizers ? finalizers : EMPTY_ARR();
        json_append(finalizers, STR(INFERENCE_SET_FINALIZER));
        json_set(a, metadata, "finalizers", finalizers);
        json_set_str(a, metadata, "resourceVersion", meta_resource_version(d->set.json));
    }
    if (json_size(metadata) > 0)
        decision_write(a, d->out, WRITE_PATCH, &KUBE_INFERENCE_SETS, d->set.name,
                       OBJ("metadata", metadata));
}

void set_decide_identity(struct set_decider *d)
{
    struct arena *a = d->a;
    const char *hash = NULL;
    struct json *spec = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (inference_set_identify(a, d->in->types, &d->set, &hash, &spec, &err) < 0) {
        if (!d->problem)
            d->problem = arena_strdup(a, error_message(err));
        patch_set(d, NULL, 0);
        return;
    }
    const struct json *existing = NULL;
    const char *name = revision_name(d, hash, &existing);
    int64_t highest = 0;
    JSON_FOREACH(it, d->o->revisions)
        highest = MAX(highest, json_find_int(it.value, 0, "revision"));
    int64_t number = existing ? json_find_int(existing, 1, "revision") : highest + 1;
    d->rolls_out = wants_mark(d, hash, spec, existing);
    if (!existing)
        decision_write(a, d->out, WRITE_CREATE, &KUBE_CONTROLLER_REVISIONS, name,
                       revision_object(d, name, hash, number, spec));
    else if (d->rolls_out && !marked(existing))
        decision_write(a, d->out, WRITE_PATCH, &KUBE_CONTROLLER_REVISIONS, name,
                       OBJ("metadata", OBJ("annotations", OBJ(ROLLOUT_MARK, STR("true")))));
    prune(d, name, json_size(d->o->revisions) + (existing ? 0 : 1));
    patch_set(d, hash, number);
}
