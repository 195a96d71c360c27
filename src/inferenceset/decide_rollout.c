/* Carries the template to the Workspaces that are there: labels and annotations at once, they
 * restart nothing; the rest one Workspace after the other, as many at a time as maxUnavailable
 * allows. What cannot be changed in a Workspace (preset, instance type, partition, selector) needs
 * another one in its place. */
#include "inferenceset/decide_internal.h"

#include "base/str.h"
#include "kube/meta.h"

#define MAX_TEXT (8 * MIB)

/* ---- what differs ------------------------------------------------------------------------------------------------------ */

/* As Go writes it: defaults that one side spells out do not count. */
static bool same_value(const struct set_decider *d, const char *type, const struct json *x,
                       const struct json *y)
{
    AUTO_BUF first = BUF_INIT(MAX_TEXT);
    AUTO_BUF second = BUF_INIT(MAX_TEXT);
    if (go_json_write(d->in->types, type, type, x, &first, NULL) < 0 ||
        go_json_write(d->in->types, type, type, y, &second, NULL) < 0)
        return json_equal(x, y);
    return first.len == second.len && STREQ(buf_str(&first), buf_str(&second));
}

static bool same_resource(struct set_decider *d, const struct child *c)
{
    const struct json *have = json_get(c->json, "resource"), *want = set_child_resource(d);
    const char *instance = json_find_str(have, "instanceType");
    return same_value(d, "*Partition", json_get(have, "partition"), json_get(want, "partition")) &&
           same_value(d, "*LabelSelector", json_get(have, "labelSelector"),
                      json_get(want, "labelSelector")) &&
           (str_empty(instance) || str_eq(instance, json_find_str(want, "instanceType")));
}

void set_find_outdated(struct set_decider *d)
{
    for (size_t i = 0; i < d->count && d->rolls_out; i++) {
        struct child *c = &d->children[i];
        const struct json *have = json_get(c->json, "inference"), *want = d->set.inference;
        bool preset = json_is_object(json_get(want, "preset"));
        c->replaced =
            !same_value(d, "*Preset", json_get(have, "preset"), json_get(want, "preset")) ||
            preset != json_is_object(json_get(have, "preset")) || !same_resource(d, c);
        c->outdated = !c->replaced && !same_value(d, "*Inference", have, want);
    }
}

/* ---- labels, annotations, owner ----------------------------------------------------------------------------------------- */

/* Only adds: what the template does not name may be somebody else's. */
static struct json *missing(struct arena *a, const struct json *have, const struct json *want)
{
    struct json *diff = EMPTY_OBJ();
    JSON_FOREACH(it, want)
        if (!json_equal(json_get(have, it.key), it.value))
            json_set(a, diff, it.key, json_clone(a, it.value));
    return json_size(diff) > 0 ? diff : NULL;
}

void set_decide_metadata(struct set_decider *d)
{
    struct arena *a = d->a;
    if (d->count == 0)
        return;
    const struct json *model = json_get(set_child(a, d->in, ""), "metadata");
    for (size_t i = 0; i < d->count; i++) {
        const struct child *c = &d->children[i];
        const struct json *have = json_get(c->json, "metadata");
        if (!child_live(c))
            continue;
        struct json *metadata =
            OBJ("labels", missing(a, json_get(have, "labels"), json_get(model, "labels")),
                "annotations",
                missing(a, json_get(have, "annotations"), json_get(model, "annotations")));
        if (c->orphan) {
            struct json *owners = json_clone(a, json_get(have, "ownerReferences"));
            owners = owners ? owners : EMPTY_ARR();
            json_append(owners, meta_controller_ref(a, d->set.json, &KUBE_INFERENCE_SETS));
            json_set(a, metadata, "ownerReferences", owners);
            json_set_str(a, metadata, "resourceVersion", meta_resource_version(c->json));
        }
        if (json_size(metadata) > 0)
            decision_write(a, d->out, WRITE_PATCH, &KUBE_WORKSPACES, c->name,
                           OBJ("metadata", metadata));
    }
}

/* ---- the rest ----------------------------------------------------------------------------------------------------------- */

static void carry(struct set_decider *d, struct child *c)
{
    struct arena *a = d->a;
    c->touched = true;
    if (c->replaced) {
        set_remove(d, c);
        return;
    }
    struct json *have = json_clone(a, json_get(c->json, "inference"));
    struct json *want = json_clone(a, d->set.inference);
    json_del(have, "preset"); /* equal, but for what one side spells out; and immutable */
    json_del(want, "preset");
    struct json *diff = json_merge_diff(a, have, want);
    if (diff)
        decision_write(a, d->out, WRITE_PATCH, &KUBE_WORKSPACES, c->name, OBJ("inference", diff));
}

/* One that does not serve anyway costs nothing. One that serves while its specification is being
 * carried out is left alone until that is done. */
void set_decide_rollout(struct set_decider *d)
{
    int64_t available = 0;
    for (size_t i = 0; i < d->count; i++)
        available += child_live(&d->children[i]) && d->children[i].settled;
    int64_t spare = available - (d->set.replicas - inference_set_max_unavailable(&d->set));
    for (size_t i = 0; i < d->count; i++) {
        struct child *c = &d->children[i];
        if (!child_live(c) || !(c->outdated || c->replaced) ||
            (c->ready && (!c->settled || spare <= 0)))
            continue;
        spare -= c->ready;
        carry(d, c);
    }
}
