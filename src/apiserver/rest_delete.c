/* delete and deletecollection.
 *
 * An object goes at once when nothing holds it. Finalizers hold it (those of the client's
 * propagation policy are added first), and so does the grace period of a Pod that runs on a node:
 * then it is marked with deletionTimestamp, and the write that takes the last hold away removes it
 * (rest_write.c). */
#include "apiserver/rest.h"

#include <stdlib.h>

#include "apiserver/admission.h"
#include "apiserver/object_meta.h"
#include "apiserver/server.h"
#include "apiserver/types.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

#define DEFAULT_GRACE_S 30
#define REVIEW_TRIES 16

struct delete_options {
    int64_t grace_s;    /* -1: the object's own */
    const char *policy; /* "Background", "Foreground", "Orphan"; NULL: default */
    const char *uid;    /* precondition; NULL: none */
    const char *version;
};

struct deletion {
    struct api_request *rq;
    const struct delete_options *options;
    struct json *outcome; /* the object as it is now, when it is not gone yet */
    bool removes;
    const char *reviewed; /* the version that a review was about; NULL: none was needed */
    bool stale;           /* the object has another by now */
};

/* ---- options ------------------------------------------------------------------------------------------------------ */

static int fail_options(struct api_request *rq, const char *field, const char *type,
                        const char *message)
{
    struct field_errors errors = { .arena = rq->a };
    field_errors_add(&errors, type, field, "%s", message);
    return request_fail(rq, status_invalid(rq->a, "meta.k8s.io", "DeleteOptions", "", &errors));
}

static int fail_body(struct api_request *rq, const char *kind, const char *version)
{
    return request_failf(
        rq, "BadRequest",
        "no kind \"%s\" is registered for version \"%s\" in scheme \"pkg/runtime/scheme.go:111\"",
        kind ? kind : "", version ? version : "");
}

/* Less than nothing is taken for as little as possible. */
static int64_t at_least_some(int64_t grace_s)
{
    return grace_s < 0 ? 1 : grace_s;
}

static int options_from_body(struct api_request *rq, struct delete_options *o)
{
    struct json *body = NULL;
    int r = request_parse_body(rq, &body, NULL);
    if (r < 0)
        return r;
    const char *kind = json_find_str(body, "kind");
    if (!json_is_object(body) || (!str_empty(kind) && !STREQ(kind, "DeleteOptions")))
        return fail_body(rq, kind, json_find_str(body, "apiVersion"));
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct json *unknown = json_new_array(rq->a);
    if (api_type_decode(rq->a, api_type_find("meta.k8s.io/v1", "DeleteOptions"), body, unknown,
                        &err) < 0)
        return request_failf(rq, "BadRequest", "%s", error_message(err));
    if (json_get(body, "gracePeriodSeconds"))
        o->grace_s = at_least_some(json_find_int(body, 0, "gracePeriodSeconds"));
    o->policy = json_find_str(body, "propagationPolicy");
    if (json_is_bool(json_get(body, "orphanDependents"))) {
        if (o->policy)
            return fail_options(
                rq, "propagationPolicy", "FieldValueInvalid",
                arena_printf(
                    rq->a,
                    "Invalid value: %s: orphanDependents and deletionPropagation cannot be both set",
                    go_quote(rq->a, o->policy)));
        o->policy = json_bool(json_get(body, "orphanDependents"), false) ? "Orphan" : "Background";
    }
    o->uid = json_find_str(body, "preconditions", "uid");
    o->version = json_find_str(body, "preconditions", "resourceVersion");
    const char *dry_run = json_string(json_at(json_get(body, "dryRun"), 0));
    if (dry_run && !STREQ(dry_run, "All"))
        return fail_options(rq, "dryRun", "FieldValueNotSupported",
                            arena_printf(rq->a,
                                         "Unsupported value: [%s]: supported values: \"All\"",
                                         go_quote(rq->a, dry_run)));
    rq->dry_run |= dry_run != NULL;
    return 0;
}

static int parse_options(struct api_request *rq, struct delete_options *o)
{
    *o = (struct delete_options){ .grace_s = -1 };
    int r = request_parse_write_options(rq, "DeleteOptions");
    if (r == 0 && rq->body_len > 0)
        r = options_from_body(rq, o);
    if (r < 0)
        return r;
    const char *grace = request_param(rq, "gracePeriodSeconds"),
               *policy = request_param(rq, "propagationPolicy");
    if (!str_empty(grace) && rq->body_len == 0 && str_to_int64(grace, &o->grace_s) < 0)
        return request_failf(rq, "BadRequest", "strconv.ParseInt: parsing %s: invalid syntax",
                             go_quote(rq->a, grace));
    if (!str_empty(grace) && rq->body_len == 0)
        o->grace_s = at_least_some(o->grace_s);
    if (!str_empty(policy) && rq->body_len == 0)
        o->policy = policy;
    if (o->policy && !STREQ(o->policy, "Background") && !STREQ(o->policy, "Foreground") &&
        !STREQ(o->policy, "Orphan"))
        return fail_options(
            rq, "propagationPolicy", "FieldValueNotSupported",
            arena_printf(
                rq->a,
                "Unsupported value: %s: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
                go_quote(rq->a, o->policy)));
    const char *warning = rq->kind->k->orphans_by_default;
    if (!o->policy && warning) {
        json_append(rq->warnings, json_new_string(rq->a, warning));
        o->policy = "Orphan";
    }
    return 0;
}

static int check_preconditions(struct api_request *rq, const struct delete_options *o,
                               const struct kube_object *current)
{
    const char *kind = rq->kind->k->resource.kind;
    if (o->uid && !STREQ(o->uid, current->uid))
        return request_fail_conflict_text(
            rq, kind, current->name,
            arena_printf(rq->a,
                         "the UID in the precondition (%s) does not match the UID in record (%s). "
                         "The object might have been deleted and then recreated",
                         o->uid, current->uid));
    if (o->version && !STREQ(o->version, current->resource_version))
        return request_fail_conflict_text(
            rq, kind, current->name,
            arena_printf(rq->a,
                         "the ResourceVersion in the precondition (%s) does not match the "
                         "ResourceVersion in record (%s). The object might have been modified",
                         o->version, current->resource_version));
    return 0;
}

/* ---- one deletion ------------------------------------------------------------------------------------------------- */

/* The collector's finalizers as the policy wants them; without a policy they stay. */
static void apply_policy(struct arena *a, struct json *meta, const char *policy)
{
    if (!policy)
        return;
    struct json *next = EMPTY_ARR();
    JSON_FOREACH(it, json_get(meta, "finalizers")) {
        const char *name = json_string(it.value);
        if (name && !STREQ(name, "orphan") && !STREQ(name, "foregroundDeletion"))
            json_append(next, STR(name));
    }
    if (STREQ(policy, "Orphan"))
        json_append(next, STR("orphan"));
    if (STREQ(policy, "Foreground"))
        json_append(next, STR("foregroundDeletion"));
    json_set(a, meta, "finalizers", json_size(next) ? next : NULL);
}

/* Seconds that the object may take; a Pod that no node runs has nothing to end. */
static int64_t grace_of(const struct api_kind *k, const struct json *obj, int64_t asked)
{
    if (!k->deletes_gracefully)
        return 0;
    const char *phase = json_find_str(obj, "status", "phase");
    if (str_empty(json_find_str(obj, "spec", "nodeName")) || str_eq(phase, "Succeeded") ||
        str_eq(phase, "Failed"))
        return 0;
    int64_t own = json_find_int(obj, DEFAULT_GRACE_S, "spec", "terminationGracePeriodSeconds");
    return MAX(asked >= 0 ? asked : own, (int64_t)0);
}

static void set_deletion(struct arena *a, struct json *meta, int64_t at_ns, int64_t grace_s)
{
    char when[TIME_RFC3339_SIZE];
    time_format_rfc3339(at_ns, when);
    json_set_str(a, meta, "deletionTimestamp", when);
    json_set_int(a, meta, "deletionGracePeriodSeconds", grace_s);
}

/* An object that is being deleted already: a shorter grace period counts, a longer one does not.
 * True when it has changed. */
static bool shorten_grace(struct arena *a, struct json *meta, int64_t asked)
{
    int64_t have = json_find_int(meta, 0, "deletionGracePeriodSeconds"), at = 0;
    const char *when = json_find_str(meta, "deletionTimestamp");
    if (asked < 0 || asked >= have || !when || time_parse_rfc3339(when, &at) < 0)
        return false;
    set_deletion(a, meta, at - (have - asked) * NS_PER_S, asked);
    return true;
}

static void mark(struct api_request *rq, struct json *obj, int64_t grace_s)
{
    struct arena *a = rq->a;
    struct json *meta = json_get(obj, "metadata");
    set_deletion(a, meta, clock_wall(rq->server->clock) + grace_s * NS_PER_S, grace_s);
    if (meta_generation(obj) > 0)
        json_set_int(a, meta, "generation", meta_generation(obj) + 1);
    const struct rest_hooks *hooks = rest_hooks_of(rq->kind);
    if (hooks && hooks->on_delete)
        hooks->on_delete(rq, obj);
}

static bool is_held(struct api_request *rq, const struct json *obj)
{
    const struct rest_hooks *hooks = rest_hooks_of(rq->kind);
    return json_size(json_find(obj, "metadata", "finalizers")) > 0 ||
           (hooks && hooks->holds && hooks->holds(obj));
}

static int decide_delete(void *ctx, const struct kube_object *current, struct arena *sa,
                         struct json **ret_next, bool *ret_unchanged, struct error **err)
{
    struct deletion *d = ctx;
    struct api_request *rq = d->rq;
    const struct delete_options *o = d->options;
    if (!current)
        return request_fail_not_found(rq, rq->name);
    d->stale = d->reviewed && !STREQ(d->reviewed, current->resource_version);
    if (d->stale)
        return request_fail_conflict(rq, rq->name);
    const struct rest_hooks *hooks = rest_hooks_of(rq->kind);
    int r = hooks && hooks->check_delete ? hooks->check_delete(rq) : 0;
    if (r == 0)
        r = check_preconditions(rq, o, current);
    if (r < 0)
        return r;
    /* The stored version, not the requested one: what is stored keeps its form. */
    struct json *obj = kube_object_parse(rq->a, current), *meta = json_get(obj, "metadata");
    struct json *before = json_clone(rq->a, obj);
    apply_policy(rq->a, meta, o->policy);
    if (!meta_deleting(obj))
        mark(rq, obj, grace_of(rq->kind->k, obj, o->grace_s));
    else
        shorten_grace(rq->a, meta, rq->kind->k->deletes_gracefully ? o->grace_s : -1);

    int64_t grace = json_find_int(meta, 0, "deletionGracePeriodSeconds");
    d->removes = grace == 0 && !is_held(rq, obj);
    bool unchanged = !d->removes && json_equal(obj, before);
    bool ends_at_once = d->removes && !rq->kind->k->deletes_gracefully;
    d->outcome = ends_at_once ? before : json_clone(rq->a, obj);
    *ret_unchanged = unchanged || rq->dry_run;
    if (!d->removes && !unchanged)
        *ret_next = obj;
    return 0;
}

/* clang-format off */
static struct json *options_json(struct arena *a, const struct delete_options *o)
{
    bool conditional = o->uid || o->version;
    return OBJ("gracePeriodSeconds", o->grace_s < 0 ? NULL : INT(o->grace_s),
               "preconditions", conditional ? OBJ("uid", STR(o->uid), "resourceVersion", STR(o->version)) : NULL,
               "propagationPolicy", STR(o->policy));
}
/* clang-format on */

/* Before the deletion, of the object as it is now. */
static int review_delete(struct deletion *d, bool one_of_many)
{
    struct api_request *rq = d->rq;
    d->reviewed = NULL;
    if (!admission_concerns(rq, "DELETE"))
        return 0;
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = store_get(rq->server->store, rq->kind->resource, rq->ns, rq->name);
    if (!o)
        return 0; /* the deletion says so */
    int r = check_preconditions(rq, d->options, o);
    struct admission_attributes at = {
        .operation = "DELETE",
        .name = one_of_many ? "" : rq->name,
        .old = rest_view(rq->a, rq->kind, o),
        .options = options_json(rq->a, d->options),
    };
    if (r == 0)
        r = admission_review_write(rq, &at);
    d->reviewed = arena_strdup(rq->a, o->resource_version);
    return r;
}

static int delete_one(struct deletion *d, struct kube_object **ret, struct error **err)
{
    struct api_request *rq = d->rq;
    int r = 0;
    for (int i = 0; i < REVIEW_TRIES; i++) {
        rq->failure = NULL;
        r = review_delete(d, false);
        if (r == 0)
            r = store_write(rq->server->store, rq->kind->resource, rq->ns, rq->name, decide_delete,
                            d, ret, err);
        if (!d->stale)
            return r;
    }
    return r;
}

/* ---- replies ------------------------------------------------------------------------------------------------------ */

/* Kinds whose deletion answers with the object instead of a Status. */
static bool returns_object(const struct api_kind *k)
{
    static const char *const plurals[] = { "pods",           "services",
                                           "csidrivers",     "serviceaccounts",
                                           "storageclasses", "persistentvolumeclaims" };
    for (size_t i = 0; k->builtin && i < COUNT_OF(plurals); i++) {
        if (STREQ(k->resource.plural, plurals[i]))
            return true;
    }
    return false;
}

/* clang-format off */
static struct json *success(struct api_request *rq, const struct kube_object *o)
{
    struct arena *a = rq->a;
    const struct kube_resource *r = &rq->kind->k->resource;
    struct json *details = status_details(a, r->group, r->plural, rq->name);
    json_set_str(a, details, "uid", o->uid);
    return OBJ("kind", STR("Status"),
               "apiVersion", STR("v1"),
               "metadata", EMPTY_OBJ(),
               "status", STR("Success"),
               "details", details);
}
/* clang-format on */

static void run_after(struct api_request *rq)
{
    const struct rest_hooks *hooks = rest_hooks_of(rq->kind);
    if (hooks && hooks->after && !rq->dry_run)
        hooks->after(rq->server);
}

int rest_delete(struct api_request *rq, struct api_reply *reply)
{
    struct delete_options options;
    int r = parse_options(rq, &options);
    if (r < 0)
        return r;
    struct deletion d = { .rq = rq, .options = &options };
    CLEANUP(error_cleanup) struct error *err = NULL;
    CLEANUP(kube_object_cleanup) struct kube_object *o = NULL;
    r = delete_one(&d, &o, &err);
    if (r < 0)
        return rq->failure ? r : request_fail_error(rq, err);
    run_after(rq);
    if (d.removes && !returns_object(rq->kind->k))
        api_reply_json(rq, reply, 200, success(rq, o));
    else if (rq->dry_run || d.removes)
        rest_reply_value(rq, reply, 200, d.outcome);
    else
        rest_reply_object(rq, reply, 200, o);
    return 0;
}

/* ---- many at once ------------------------------------------------------------------------------------------------- */

/* All are staged before the first is waited for, so that they share transactions. One that has gone
 * meanwhile is fine. */
static int delete_items(struct api_request *rq, const struct delete_options *options,
                        const struct store_list *l)
{
    struct store *store = rq->server->store;
    struct store_ticket **tickets = mem_array(NULL, MAX(l->count, (size_t)1), sizeof *tickets);
    size_t n = 0;
    int r = 0;
    for (size_t i = 0; i < l->count && r == 0; i++) {
        const struct kube_object *o = l->items[i];
        struct api_request one = *rq;
        one.ns = o->ns;
        one.name = o->name;
        one.failure = NULL;
        struct deletion d = { .rq = &one, .options = options };
        CLEANUP(error_cleanup) struct error *err = NULL;
        r = review_delete(&d, true);
        if (r < 0) {
            r = request_fail(rq, one.failure);
            break;
        }
        d.reviewed = NULL; /* of many, each counts as it is when its turn comes */
        r = store_stage(store, rq->kind->resource, o->ns, o->name, decide_delete, &d, &tickets[n],
                        &err);
        n += r == 0;
        if (r == -ERROR_NOT_FOUND)
            r = 0;
        else if (r < 0)
            r = one.failure ? request_fail(rq, one.failure) : request_fail_error(rq, err);
    }
    for (size_t i = 0; i < n; i++) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        if (store_finish(tickets[i], NULL, &err) < 0 && r == 0)
            r = request_fail_error(rq, err);
    }
    free(tickets);
    return r;
}

int rest_delete_collection(struct api_request *rq, struct api_reply *reply)
{
    struct delete_options options;
    struct rest_filter f;
    int r = parse_options(rq, &options);
    if (r == 0)
        r = rest_filter_parse(rq, &f);
    if (r < 0)
        return r;
    struct store_list l;
    store_list(rq->server->store, rq->kind->resource, rq->ns, NULL, 0, &l);
    struct json *items = json_new_array(rq->a);
    size_t kept = 0;
    for (size_t i = 0; i < l.count; i++) {
        struct json *v = rest_view(rq->a, rq->kind, l.items[i]);
        if (!rest_filter_matches(&f, l.items[i], v)) {
            kube_object_unref(l.items[i]);
            continue;
        }
        l.items[kept++] = l.items[i];
        if (rq->kind->k->builtin) {
            json_del(v, "kind");
            json_del(v, "apiVersion");
        }
        json_append(items, v);
    }
    l.count = kept;
    rest_filter_done(&f);
    r = delete_items(rq, &options, &l);
    if (r == 0) {
        struct arena *a = rq->a;
        run_after(rq);
        struct json *meta = rq->kind->k->builtin ? EMPTY_OBJ() : OBJ("continue", STR(""));
        json_set(a, meta, "resourceVersion", STRF("%llu", (unsigned long long)l.version));
        api_reply_json(rq, reply, 200,
                       OBJ("kind", STR(rq->kind->k->list_kind), "apiVersion",
                           STR(rq->kind->api_version), "metadata", meta, "items", items));
    }
    store_list_done(&l);
    return r;
}
