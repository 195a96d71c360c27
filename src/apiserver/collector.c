/* Owner references, as Kubernetes' garbage collector treats them:
 *
 *   - an object whose owners are all gone (no object of that name, or one with another uid) is
 * deleted;
 *   - an owner that is deleted in the foreground waits, with the finalizer foregroundDeletion,
 * until nothing that blocks it is left; its dependents are deleted meanwhile;
 *   - an owner that is deleted with "orphan" is taken out of its dependents' references first.
 *
 * An owner of a kind that the server does not know cannot be judged: its dependents stay. */
#include "apiserver/housekeeper_internal.h"
#include "apiserver/inside.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

#define FOREGROUND "foregroundDeletion"
#define ORPHAN "orphan"

enum owner_state { OWNER_THERE, OWNER_GONE, OWNER_WAITS };

/* One object under judgement. */
struct item {
    struct housekeeper *h;
    struct arena *a;
    const char *resource;
    const struct kube_object *o;
    struct json *value;
    const char *path;
};

/* ---- writes ------------------------------------------------------------------------------------------------------- */

/* Done, or gone, or changed meanwhile (then the change brings it back): fine. Anything else is
 * tried again. */
static void check(struct item *x, int r, const struct json *answer)
{
    if (r == 0 || r == -ERROR_NOT_FOUND || r == -ERROR_CONFLICT)
        return;
    const char *message = json_find_str(answer, "message");
    log_warn("garbage collection waits", "path", x->path, "error", message ? message : "", NULL);
    housekeeper_retry(x->h, x->resource, x->o->ns, x->o->name);
}

static void delete_item(struct item *x, const char *policy)
{
    struct arena *a = x->a;
    struct json *options =
        OBJ("kind", STR("DeleteOptions"), "apiVersion", STR("v1"), "propagationPolicy", STR(policy),
            "preconditions",
            OBJ("uid", STR(x->o->uid), "resourceVersion", STR(x->o->resource_version)));
    struct json *answer = NULL;
    check(x, inside_request(x->h->server, a, "DELETE", x->path, NULL, options, &answer), answer);
}

/* Sets a member of metadata, if the object is still the one that was read. */
static void patch_meta(struct item *x, const char *key, struct json *value)
{
    struct arena *a = x->a;
    struct json *meta = OBJ("uid", STR(x->o->uid), "resourceVersion", STR(x->o->resource_version));
    json_set(a, meta, key, value);
    struct json *answer = NULL;
    check(x,
          inside_request(x->h->server, a, "PATCH", x->path, "application/merge-patch+json",
                         OBJ("metadata", meta), &answer),
          answer);
}

static void remove_finalizer(struct item *x, const char *name)
{
    struct arena *a = x->a;
    struct json *left = EMPTY_ARR();
    JSON_FOREACH(it, json_find(x->value, "metadata", "finalizers")) {
        if (!str_eq(json_string(it.value), name))
            json_append(left, json_clone(a, it.value));
    }
    patch_meta(x, "finalizers", json_size(left) ? left : NUL());
}

/* ---- owners ------------------------------------------------------------------------------------------------------- */

static enum owner_state owner_state(struct item *x, const struct registry *kinds,
                                    const struct owner_ref *r)
{
    const struct served_kind *sk = registry_find_kind(kinds, r->group, NULL, r->kind);
    if (!sk)
        return OWNER_THERE;
    bool namespaced = sk->k->resource.namespaced;
    if (namespaced && str_empty(x->o->ns))
        return OWNER_THERE;
    CLEANUP(kube_object_cleanup)
    struct kube_object *owner =
        store_get(x->h->server->store, sk->resource, namespaced ? x->o->ns : "", r->name);
    if (!owner || !STREQ(owner->uid, r->uid))
        return OWNER_GONE;
    bool waits = owner->deleting && meta_has_finalizer(kube_object_parse(x->a, owner), FOREGROUND);
    return waits ? OWNER_WAITS : OWNER_THERE;
}

/* The references that are not of the uids that `drop` says. */
static struct json *refs_without(struct item *x, const struct dependent *d, const bool *drop)
{
    struct arena *a = x->a;
    struct json *left = EMPTY_ARR();
    JSON_FOREACH(it, json_find(x->value, "metadata", "ownerReferences")) {
        if (it.index < d->owner_count && !drop[it.index])
            json_append(left, json_clone(a, it.value));
    }
    return left;
}

static void judge_by_owners(struct item *x, const struct dependent *d)
{
    CLEANUP(registry_cleanup) struct registry *kinds = apiserver_kinds(x->h->server);
    size_t there = 0, waiting = 0;
    bool *drop = arena_zalloc(x->a, d->owner_count * sizeof *drop);
    for (size_t i = 0; i < d->owner_count; i++) {
        enum owner_state state = owner_state(x, kinds, &d->owners[i]);
        drop[i] = state != OWNER_THERE;
        there += state == OWNER_THERE;
        waiting += state == OWNER_WAITS;
    }
    if (there == d->owner_count)
        return;
    if (there > 0) {
        patch_meta(x, "ownerReferences", refs_without(x, d, drop));
        return;
    }
    bool owns = housekeeper_owned_by(x->h, x->o->uid) != NULL;
    bool foreground = (waiting > 0 && owns) || meta_has_finalizer(x->value, FOREGROUND);
    delete_item(x, meta_has_finalizer(x->value, ORPHAN) ? "Orphan"
                   : foreground                         ? "Foreground"
                                                        : "Background");
}

/* ---- dependents --------------------------------------------------------------------------------------------------- */

static bool blocks(const struct dependent *d, const char *uid)
{
    for (size_t i = 0; i < d->owner_count; i++) {
        if (d->owners[i].blocks && STREQ(d->owners[i].uid, uid))
            return true;
    }
    return false;
}

static void delete_dependents_first(struct item *x)
{
    size_t blocking = 0;
    const char *key = NULL;
    for (struct map_iter it = MAP_ITER_INIT;
         map_next(housekeeper_owned_by(x->h, x->o->uid), &it, &key, NULL);) {
        const struct dependent *d = housekeeper_dependent(x->h, key);
        if (!d)
            continue;
        blocking += blocks(d, x->o->uid);
        CLEANUP(kube_object_cleanup)
        struct kube_object *o = store_get(x->h->server->store, d->resource, d->ns, d->name);
        if (o && !o->deleting)
            housekeeper_add(x->h, d->resource, d->ns, d->name);
    }
    if (blocking == 0)
        remove_finalizer(x, FOREGROUND);
}

static bool make_item(struct item *x, struct housekeeper *h, struct arena *a, const char *resource,
                      const struct kube_object *o)
{
    CLEANUP(registry_cleanup) struct registry *kinds = apiserver_kinds(h->server);
    const struct served_kind *sk = registry_find_resource(kinds, resource);
    if (!sk)
        return false;
    *x = (struct item){
        .h = h, .a = a, .resource = resource, .o = o, .value = kube_object_parse(a, o)
    };
    x->path =
        kube_path(a, &sk->k->resource, sk->k->resource.namespaced ? o->ns : NULL, o->name, NULL);
    return true;
}

static void orphan_one(struct item *owner, const struct dependent *d)
{
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = store_get(owner->h->server->store, d->resource, d->ns, d->name);
    struct item x;
    if (!o || !make_item(&x, owner->h, owner->a, d->resource, o))
        return;
    bool *drop = arena_zalloc(owner->a, d->owner_count * sizeof *drop);
    for (size_t i = 0; i < d->owner_count; i++)
        drop[i] = STREQ(d->owners[i].uid, owner->o->uid);
    patch_meta(&x, "ownerReferences", refs_without(&x, d, drop));
}

static void orphan_dependents(struct item *x)
{
    size_t left = 0;
    const char *key = NULL;
    for (struct map_iter it = MAP_ITER_INIT;
         map_next(housekeeper_owned_by(x->h, x->o->uid), &it, &key, NULL);) {
        const struct dependent *d = housekeeper_dependent(x->h, key);
        if (d) {
            orphan_one(x, d);
            left++;
        }
    }
    /* The index follows the writes; the owner is looked at again when it has. */
    if (left == 0)
        remove_finalizer(x, ORPHAN);
    else
        housekeeper_retry(x->h, x->resource, x->o->ns, x->o->name);
}

void collector_look_at(struct housekeeper *h, const char *resource, const struct kube_object *o)
{
    char key[OBJECT_KEY_MAX];
    housekeeper_key(key, resource, o->ns, o->name);
    const struct dependent *d = housekeeper_dependent(h, key);
    if (!d && !o->deleting)
        return;
    AUTO_ARENA a = arena_new();
    struct item x;
    if (!make_item(&x, h, a, resource, o))
        return;
    if (o->deleting && meta_has_finalizer(x.value, ORPHAN))
        orphan_dependents(&x);
    else if (o->deleting && meta_has_finalizer(x.value, FOREGROUND))
        delete_dependents_first(&x);
    else if (!o->deleting &&
             json_size(json_find(x.value, "metadata", "ownerReferences")) == d->owner_count)
        judge_by_owners(&x, d);
}
