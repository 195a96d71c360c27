/* create, update and patch: one pipeline.
 *
 *   decode     JSON types and unknown fields (built-in: type data; custom: schema), defaults
 *   metadata   what the server sets, what an update may not change
 *   prepare    the kind's strategy; status and the rest keep out of each other's writes; generation
 *   validate   metadata, strategy or schema, admission
 *   store      nothing is written when nothing has changed
 *
 * Updates run inside the store's decision, so that they see the newest state and never lose one
 * another. */
#include "apiserver/rest_write.h"

#include "apiserver/admission.h"
#include "apiserver/fields/request.h"
#include "apiserver/object_meta.h"
#include "apiserver/patch.h"
#include "apiserver/rest.h"
#include "apiserver/scale.h"
#include "apiserver/server.h"
#include "apiserver/types.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

#define GENERATED_SUFFIX 5
#define MAX_GENERATED_PREFIX 58
#define GENERATE_TRIES 8
#define REVIEW_TRIES 16

/* ---- the pipeline ------------------------------------------------------------------------------------------------- */

static struct strategy_context strategy_context(struct api_request *rq, const struct json *old)
{
    return (struct strategy_context){
        .a = rq->a,
        .now_wall_ns = clock_wall(rq->server->clock),
        .store = rq->server->store,
        .old = old,
        .subresource = rq->sub,
        .warnings = rq->warnings,
        .server = rq->server,
    };
}

static void set_defaults(struct api_request *rq, struct strategy_context *x, struct json *obj)
{
    const struct served_kind *sk = rq->kind;
    if (sk->k->schema)
        schema_default(rq->a, sk->k->schema, obj);
    else
        api_type_default(rq->a, api_type_find(sk->api_version, sk->k->resource.kind), obj);
    if (sk->k->strategy->set_defaults)
        sk->k->strategy->set_defaults(x, obj);
}

static bool is_status_write(const struct api_request *rq)
{
    return STREQ(rq->sub, "status");
}

static bool is_scale_write(const struct api_request *rq)
{
    return STREQ(rq->sub, "scale");
}

static void keep_managers(struct arena *a, struct json *obj, const struct json *from)
{
    json_set(a, json_ensure_object(a, obj, "metadata"), "managedFields",
             json_clone(a, json_find(from, "metadata", "managedFields")));
}

/* A status write changes the status (built-in kinds: and metadata); any other write leaves it
 * alone. */
static struct json *separate_status(struct api_request *rq, struct json *obj,
                                    const struct json *old)
{
    struct arena *a = rq->a;
    if (!rq->kind->k->has_status)
        return obj;
    if (!is_status_write(rq)) {
        json_set(a, obj, "status", json_clone(a, json_get(old, "status")));
        return obj;
    }
    struct json *next = json_clone(a, old);
    json_set(a, next, "status", json_clone(a, json_get(obj, "status")));
    if (rq->kind->k->builtin)
        json_set(a, next, "metadata", json_clone(a, json_get(obj, "metadata")));
    keep_managers(a, next, obj);
    return next;
}

static bool counts_as_spec(const struct api_kind *k, const char *key)
{
    return !STREQ(key, "metadata") && !STREQ(key, "kind") && !STREQ(key, "apiVersion") &&
           !(k->has_status && STREQ(key, "status"));
}

/* Everything but metadata and, when it is a subresource, status counts; of built-in kinds the spec,
 * or what one of them has in its place. */
static bool spec_changed(const struct api_kind *k, const struct json *obj, const struct json *old)
{
    if (k->builtin)
        return !json_equal(json_get(obj, "spec"), json_get(old, "spec")) ||
               !json_equal(json_get(obj, "webhooks"), json_get(old, "webhooks")) ||
               !json_equal(json_get(obj, "endpoints"), json_get(old, "endpoints")) ||
               !json_equal(json_get(obj, "ports"), json_get(old, "ports")) ||
               (STREQ(k->resource.plural, "endpointslices") &&
                !json_equal(json_find(obj, "metadata", "labels"),
                            json_find(old, "metadata", "labels")));
    size_t seen = 0;
    JSON_FOREACH(it, obj) {
        if (!counts_as_spec(k, it.key))
            continue;
        seen++;
        if (!json_equal(it.value, json_get(old, it.key)))
            return true;
    }
    JSON_FOREACH(it, old) {
        seen -= counts_as_spec(k, it.key);
    }
    return seen != 0;
}

static void warn_about_finalizers(struct api_request *rq, const struct json *obj,
                                  const struct json *old)
{
    JSON_FOREACH(it, json_find(obj, "metadata", "finalizers")) {
        const char *name = json_string(it.value);
        if (name && !strchr(name, '/') && !STREQ(name, "orphan") &&
            !STREQ(name, "foregroundDeletion") && !meta_has_finalizer(old, name))
            request_warn(
                rq,
                "metadata.finalizers: %s: prefer a domain-qualified finalizer name including a path (/) to avoid "
                "accidental conflicts with other finalizer writers",
                go_quote(rq->a, name));
    }
}

static void validate_metadata(const struct api_kind *k, const struct json *obj,
                              const struct json *old, struct field_errors *errors)
{
    object_meta_validate(k, obj, errors);
    if (old)
        object_meta_validate_update(obj, old, errors);
}

static int validate(struct api_request *rq, struct strategy_context *x, const struct json *obj,
                    const struct json *old)
{
    const struct api_kind *k = rq->kind->k;
    struct field_errors errors = { .arena = rq->a };
    if (!k->metadata_last)
        validate_metadata(k, obj, old, &errors);
    if (k->schema && is_status_write(rq))
        schema_validate_status(k->schema, obj, old, &errors);
    else if (k->schema)
        schema_validate(k->schema, obj, old, &errors);
    if (k->strategy->validate)
        k->strategy->validate(x, obj, &errors);
    if (k->metadata_last && errors.count == 0)
        validate_metadata(k, obj, old, &errors);
    if (errors.count)
        return request_fail_invalid(rq, meta_name(obj), &errors);
    if (k->schema)
        warn_about_finalizers(rq, obj, old);
    if (k->strategy->warn)
        k->strategy->warn(x, obj);
    return 0;
}

static int allocate(struct api_request *rq, struct strategy_context *x, struct json *obj)
{
    const struct api_strategy *strategy = rq->kind->k->strategy;
    struct field_errors errors = { .arena = rq->a };
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (!strategy->allocate || strategy->allocate(x, obj, &errors, &err) == 0)
        return 0;
    return errors.count ? request_fail_invalid(rq, meta_name(obj), &errors)
                        : request_fail_error(rq, err);
}

/* Built-in kinds keep null out of the store; schemas decide about it for custom ones. The version
 * in which it is kept. */
static struct json *stored_form(struct api_request *rq, struct json *obj)
{
    const struct served_kind *sk = rq->kind, *storage = sk->storage_kind;
    if (!storage || storage == sk)
        return object_in_order(rq->a, sk, obj);
    obj = object_in_order(rq->a, storage, obj);
    schema_prune(rq->a, storage->k->schema, obj, NULL);
    schema_default(rq->a, storage->k->schema, obj);
    return obj;
}

/* ---- create ------------------------------------------------------------------------------------------------------- */

struct write {
    struct api_request *rq;
    struct json *input;        /* create, update: the decoded object; taken over by the write */
    const struct patch *patch; /* or what to do to the stored one */
    bool allow_create;         /* an update may create */
    bool has_version;          /* what is to be created says that it was stored before */
    bool applied;              /* the object has its managers already */
    bool created;
    struct json *outcome; /* of a dry run */
    /* Reviewed updates: the version of the stored object that the review was about; the write is
     * stale when it has another by now. */
    const char *reviewed;
    bool stale;
};

static int check_identity(struct api_request *rq, struct json *obj)
{
    struct json *meta = json_ensure_object(rq->a, obj, "metadata");
    const char *ns = json_find_str(meta, "namespace");
    if (rq->kind->k->resource.namespaced && !str_empty(ns) && !STREQ(ns, rq->ns))
        return request_failf(
            rq, "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request");
    if (rq->kind->k->resource.namespaced)
        json_set_str(rq->a, meta, "namespace", rq->ns);
    else
        json_del(meta, "namespace");
    return 0;
}

/* A kubelet registers its Node together with what it found. */
static bool keeps_status_on_create(const struct api_kind *k)
{
    return k->builtin && STREQ(k->resource.plural, "nodes");
}

static void settle(struct api_request *rq, struct json *obj)
{
    const struct api_kind *k = rq->kind->k;
    if (k->builtin)
        api_type_settle(rq->a, api_type_find(rq->kind->api_version, k->resource.kind), obj);
}

/* What does not depend on other objects: outside of the store's lock. */
static int prepare_create(struct write *w, struct json *obj)
{
    struct api_request *rq = w->rq;
    const struct api_kind *k = rq->kind->k;
    struct strategy_context x = strategy_context(rq, NULL);
    object_meta_dedup_owners(rq->a, obj, rq->warnings);
    object_meta_create(rq->a, k, obj, x.now_wall_ns);
    if (k->has_status && !keeps_status_on_create(k))
        json_del(obj, "status");
    set_defaults(rq, &x, obj);
    if (!w->applied)
        fields_track(rq, obj, NULL);
    if (k->strategy->prepare)
        k->strategy->prepare(&x, obj);
    int r = validate(rq, &x, obj, NULL);
    settle(rq, obj);
    struct admission_attributes at = { .operation = "CREATE", .name = meta_name(obj), .obj = obj };
    return r < 0 ? r : admission_review_write(rq, &at);
}

static int decide_create(void *ctx, const struct kube_object *current, struct arena *sa,
                         struct json **ret_next, bool *ret_unchanged, struct error **err)
{
    struct write *w = ctx;
    struct api_request *rq = w->rq;
    struct json *obj = w->input;
    if (w->has_version && !rq->dry_run)
        return request_fail_unnamed(rq, 500,
                                    "resourceVersion should not be set on objects to be created");
    if (current)
        return request_fail_exists(rq, meta_name(obj));
    int r = rest_check_namespace(rq, meta_name(obj), true);
    if (r < 0)
        return r;
    struct strategy_context x = strategy_context(rq, NULL);
    r = allocate(rq, &x, obj);
    if (r < 0)
        return r;
    const struct rest_hooks *hooks = rest_hooks_of(rq->kind);
    if (hooks && hooks->on_write)
        hooks->on_write(rq, obj, NULL);
    obj = stored_form(rq, obj);
    w->created = true;
    if (rq->dry_run) {
        w->outcome = obj;
        *ret_unchanged = true;
        return 0;
    }
    *ret_next = obj;
    return 0;
}

/* Runs a decision and answers with its outcome. */
static int write_and_reply(struct write *w, const char *name, store_decide_fn *decide,
                           struct api_reply *reply)
{
    struct api_request *rq = w->rq;
    CLEANUP(error_cleanup) struct error *err = NULL;
    CLEANUP(kube_object_cleanup) struct kube_object *o = NULL;
    int r = store_write(rq->server->store, rq->kind->resource, rq->ns, name, decide, w, &o, &err);
    if (r < 0)
        return rq->failure ? r : request_fail_error(rq, err);
    const struct rest_hooks *hooks = rest_hooks_of(rq->kind);
    if (hooks && hooks->after && !rq->dry_run)
        hooks->after(rq->server);
    int status = w->created ? 201 : 200;
    if (is_scale_write(rq))
        return scale_reply(rq, reply, status,
                           w->outcome ? w->outcome : rest_view(rq->a, rq->kind, o));
    if (w->outcome)
        rest_reply_value(rq, reply, status, w->outcome);
    else
        rest_reply_object(rq, reply, status, o);
    return 0;
}

static int create_named(struct write *w, struct api_reply *reply)
{
    int r = prepare_create(w, w->input);
    if (r < 0)
        return r;
    return write_and_reply(w, meta_name(w->input), decide_create, reply);
}

/* A generated name that is taken is generated anew. */
static int create_generated(struct write *w, const char *prefix, struct api_reply *reply)
{
    struct api_request *rq = w->rq;
    struct json *meta = json_get(w->input, "metadata");
    int r = 0;
    for (int i = 0; i < GENERATE_TRIES; i++) {
        char suffix[GENERATED_SUFFIX + 1];
        rand_suffix(suffix, GENERATED_SUFFIX);
        json_set(rq->a, meta, "name",
                 json_new_stringf(rq->a, "%.*s%s", MAX_GENERATED_PREFIX, prefix, suffix));
        struct json *original = json_clone(rq->a, w->input);
        r = create_named(w, reply);
        if (r != -ERROR_ALREADY_EXISTS)
            return r;
        rq->failure = NULL;
        w->input = original;
        meta = json_get(original, "metadata");
    }
    return request_fail_exists(rq, meta_name(w->input));
}

int rest_create(struct api_request *rq, struct api_reply *reply)
{
    int r = request_parse_write_options(rq, "CreateOptions");
    if (r < 0)
        return r;
    struct write w = { .rq = rq };
    r = write_read(rq, &w.input);
    if (r == 0)
        r = check_identity(rq, w.input);
    if (r == 0)
        r = rest_check_namespace(rq, meta_name(w.input), false);
    if (r < 0)
        return r;
    if (rq->kind->terminating)
        return request_failf(rq, "MethodNotAllowed",
                             "create not allowed while custom resource definition is terminating");
    struct json *meta = json_get(w.input, "metadata");
    const char *version = json_find_str(meta, "resourceVersion"),
               *prefix = json_find_str(meta, "generateName");
    w.has_version = !str_empty(version) && !STREQ(version, "0");
    if (str_empty(json_find_str(meta, "name")) && !str_empty(prefix))
        return create_generated(&w, arena_strdup(rq->a, prefix), reply);
    return create_named(&w, reply);
}

/* ---- update and patch --------------------------------------------------------------------------------------------- */

/* Kinds that clients write without having read them, as the API server's strategies say. */
static bool allows_unconditional_update(const struct api_kind *k)
{
    static const char *const not_those[] = { "leases", "customresourcedefinitions", "csidrivers",
                                             "validatingwebhookconfigurations" };
    for (size_t i = 0; i < COUNT_OF(not_those); i++) {
        if (STREQ(k->resource.plural, not_those[i]))
            return false;
    }
    return k->builtin;
}

static bool allows_create_on_update(const struct api_kind *k)
{
    static const char *const plurals[] = { "leases", "events", "endpoints" };
    for (size_t i = 0; k->builtin && i < COUNT_OF(plurals); i++) {
        if (STREQ(k->resource.plural, plurals[i]))
            return true;
    }
    return false;
}

static int fail_name(struct api_request *rq, const char *name)
{
    if (str_empty(name))
        return request_failf(
            rq, "BadRequest",
            "the name of the object (%s based on URL) was undeterminable: name must be provided",
            rq->name);
    return request_failf(rq, "BadRequest",
                         "the name of the object (%s) does not match the name on the URL (%s)",
                         name, rq->name);
}

static int check_preconditions(struct write *w, struct json *obj, const struct kube_object *current)
{
    struct api_request *rq = w->rq;
    struct json *meta = json_ensure_object(rq->a, obj, "metadata");
    const char *name = json_find_str(meta, "name"), *uid = json_find_str(meta, "uid");
    const char *version = json_find_str(meta, "resourceVersion");
    if (!str_eq(name, rq->name))
        return fail_name(rq, name);
    if (!w->patch && !str_empty(uid) && !STREQ(uid, current->uid)) {
        const char *text = arena_printf(
            rq->a,
            "StorageError: invalid object, Code: 4, Key: /registry/%s%s%s/%s, ResourceVersion: 0, AdditionalErrorMsg: "
            "Precondition failed: UID in precondition: %s, UID in object meta: %s",
            rq->kind->k->builtin ? rq->kind->k->resource.plural : rq->kind->resource,
            str_empty(rq->ns) ? "" : "/", rq->ns, rq->name, uid, current->uid);
        return request_fail_conflict_text(rq, rq->kind->k->resource.plural, rq->name, text);
    }
    if (str_empty(version) || STREQ(version, "0")) {
        if (w->patch || is_scale_write(rq) || allows_unconditional_update(rq->kind->k))
            return 0;
        struct field_errors errors = { .arena = rq->a };
        field_errors_add(&errors, "FieldValueInvalid", "metadata.resourceVersion",
                         "Invalid value: 0: must be specified for an update");
        const struct kube_resource *k = &rq->kind->k->resource;
        return request_fail(rq, status_invalid(rq->a, k->group, k->plural, rq->name, &errors));
    }
    uint64_t number = 0;
    if (str_to_uint64(version, &number) < 0)
        return request_fail_unnamed(rq, 500,
                                    arena_printf(rq->a,
                                                 "strconv.ParseUint: parsing %s: invalid syntax",
                                                 go_quote(rq->a, version)));
    if (!STREQ(version, current->resource_version))
        return request_fail_conflict(rq, rq->name);
    return 0;
}

/* An object that is being deleted goes with its last finalizer. */
static bool ends_deletion(struct api_request *rq, const struct json *obj)
{
    const struct rest_hooks *hooks = rest_hooks_of(rq->kind);
    return meta_deleting(obj) && json_size(json_find(obj, "metadata", "finalizers")) == 0 &&
           json_find_int(obj, 0, "metadata", "deletionGracePeriodSeconds") == 0 &&
           !(hooks && hooks->holds && hooks->holds(obj));
}

/* From the patched or given object to what is to be stored. */
static int prepare_update(struct write *w, struct json *obj, const struct json *old,
                          struct json **ret)
{
    struct api_request *rq = w->rq;
    const struct api_kind *k = rq->kind->k;
    struct strategy_context x = strategy_context(rq, old);
    object_meta_dedup_owners(rq->a, obj, rq->warnings);
    object_meta_update(rq->a, obj, old);
    set_defaults(rq, &x, obj);
    if (!w->applied)
        fields_track(rq, obj, old);
    obj = separate_status(rq, obj, old);
    if (STREQ(rq->sub, "finalize")) {
        struct json *next = json_clone(rq->a, old);
        struct json *spec = json_ensure_object(rq->a, next, "spec");
        json_set(rq->a, spec, "finalizers",
                 json_clone(rq->a, json_find(obj, "spec", "finalizers")));
        keep_managers(rq->a, next, obj);
        obj = next;
    }
    if (k->strategy->prepare)
        k->strategy->prepare(&x, obj);
    const struct rest_hooks *hooks = rest_hooks_of(rq->kind);
    if (hooks && hooks->on_write)
        hooks->on_write(rq, obj, old);
    if (k->has_generation && !is_status_write(rq) && spec_changed(k, obj, old))
        json_set_int(rq->a, json_get(obj, "metadata"), "generation", meta_generation(old) + 1);
    int r = validate(rq, &x, obj, old);
    if (r == 0 && !is_status_write(rq))
        r = allocate(rq, &x, obj);
    settle(rq, obj);
    *ret = obj;
    return r;
}

static bool nothing_changed(struct arena *a, struct json *obj, const struct json *old)
{
    json_set(a, json_get(obj, "metadata"), "resourceVersion",
             json_clone(a, json_find(old, "metadata", "resourceVersion")));
    fields_keep_times(a, obj, old);
    return json_equal(obj, old);
}

/* The object as the write would leave it. */
static int make_update(struct write *w, const struct kube_object *current, const struct json *old,
                       struct json **ret)
{
    struct api_request *rq = w->rq;
    struct json *obj = w->input;
    int r = 0;
    w->applied = is_scale_write(rq) || (w->patch && w->patch->kind == PATCH_APPLY);
    if (is_scale_write(rq))
        r = scale_apply(rq, w->patch, w->input, old, &obj);
    else if (w->patch)
        r = patch_apply(rq, w->patch, old, &obj);
    if (r == 0)
        r = check_preconditions(w, obj, current);
    if (r == 0 && w->patch)
        r = check_identity(rq, obj);
    if (r == 0)
        r = prepare_update(w, obj, old, ret);
    return r;
}

static int decide_update(void *ctx, const struct kube_object *current, struct arena *sa,
                         struct json **ret_next, bool *ret_unchanged, struct error **err)
{
    struct write *w = ctx;
    struct api_request *rq = w->rq;
    if (!current) {
        if (!w->allow_create)
            return request_fail_not_found(rq, rq->name);
        return decide_create(w, NULL, sa, ret_next, ret_unchanged, err);
    }
    w->stale = w->reviewed && !STREQ(w->reviewed, current->resource_version);
    if (w->stale)
        return request_fail_conflict(rq, rq->name);
    struct json *old = rest_view(rq->a, rq->kind, current), *obj = NULL;
    int r = make_update(w, current, old, &obj);
    if (r < 0)
        return r;

    bool removes = ends_deletion(rq, obj);
    bool unchanged =
        !removes && nothing_changed(rq->a, obj, old) && rest_is_as_stored(rq->kind, current);
    *ret_unchanged = unchanged || rq->dry_run;
    if (rq->dry_run || removes)
        w->outcome = json_clone(rq->a, obj);
    if (!unchanged && !removes)
        *ret_next = stored_form(rq, obj);
    return 0;
}

/* What the write would make of the object as it is now is reviewed first; the write counts only if
 * the object is still the same then. */
static int review_update(struct write *w)
{
    struct api_request *rq = w->rq;
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = store_get(rq->server->store, rq->kind->resource, rq->ns, rq->name);
    if (!o)
        return 0; /* the write says so */
    struct write rehearsal = *w;
    rehearsal.input = json_clone(rq->a, w->input);
    struct json *old = rest_view(rq->a, rq->kind, o), *obj = NULL;
    int r = make_update(&rehearsal, o, old, &obj);
    if (r == 0) {
        old = rest_view(rq->a, rq->kind, o);
        json_set_str(rq->a, json_get(obj, "metadata"), "resourceVersion", o->resource_version);
        struct admission_attributes at = { "UPDATE", rq->name, obj, old, NULL };
        r = admission_review_write(rq, &at);
    }
    w->reviewed = arena_strdup(rq->a, o->resource_version);
    return r;
}

static int update_and_reply(struct write *w, struct api_reply *reply)
{
    struct api_request *rq = w->rq;
    if (!admission_concerns(rq, "UPDATE"))
        return write_and_reply(w, rq->name, decide_update, reply);
    struct json *input = w->input;
    int r = 0;
    for (int i = 0; i < REVIEW_TRIES; i++) {
        rq->failure = NULL;
        w->input = json_clone(rq->a, input);
        r = review_update(w);
        if (r < 0)
            return r;
        r = write_and_reply(w, rq->name, decide_update, reply);
        if (!w->stale)
            return r;
    }
    return r;
}

int rest_update(struct api_request *rq, struct api_reply *reply)
{
    int r = request_parse_write_options(rq, "UpdateOptions");
    if (r < 0)
        return r;
    struct write w = { .rq = rq };
    r = is_scale_write(rq) ? scale_read(rq, &w.input) : write_read(rq, &w.input);
    if (r == 0)
        r = check_identity(rq, w.input);
    if (r < 0)
        return r;
    if (allows_create_on_update(rq->kind->k) && STREQ(rq->sub, "")) {
        CLEANUP(kube_object_cleanup)
        struct kube_object *o = store_get(rq->server->store, rq->kind->resource, rq->ns, rq->name);
        if (!o) {
            if (!STREQ(meta_name(w.input), rq->name))
                return fail_name(rq, meta_name(w.input));
            r = rest_check_namespace(rq, rq->name, false);
            return r < 0 ? r : create_named(&w, reply);
        }
    }
    return update_and_reply(&w, reply);
}

/* What is applied and is not there is created. */
static int create_applied(struct write *w, struct api_reply *reply)
{
    struct api_request *rq = w->rq;
    int r = patch_apply(rq, w->patch, NULL, &w->input);
    const char *uid = json_find_str(w->input, "metadata", "uid");
    if (r == 0 && !str_empty(uid))
        r = request_fail_conflict_text(
            rq, rq->kind->k->resource.plural, rq->name,
            arena_printf(
                rq->a,
                "uid mismatch: the provided object specified uid %s, and no existing object was found",
                uid));
    if (r == 0)
        r = check_identity(rq, w->input);
    if (r == 0 && !STREQ(meta_name(w->input), rq->name))
        r = fail_name(rq, meta_name(w->input));
    if (r == 0 && *rq->sub)
        r = request_fail_not_found(rq, rq->name);
    if (r == 0)
        r = rest_check_namespace(rq, rq->name, false);
    w->applied = true;
    return r < 0 ? r : create_named(w, reply);
}

static int decide_nothing(void *ctx, const struct kube_object *current, struct arena *sa,
                          struct json **ret_next, bool *ret_unchanged, struct error **err)
{
    *ret_unchanged = true;
    return 0;
}

/* Until all that was written to the object can be seen. */
static void wait_visible(struct api_request *rq)
{
    store_write(rq->server->store, rq->kind->resource, rq->ns, rq->name, decide_nothing, NULL, NULL,
                NULL);
}

/* Whether there is an object may change between the look and the write. */
static int apply_and_reply(struct write *w, struct api_reply *reply)
{
    struct api_request *rq = w->rq;
    int r = 0;
    for (int i = 0; i < REVIEW_TRIES; i++) {
        rq->failure = NULL;
        CLEANUP(kube_object_cleanup)
        struct kube_object *o = store_get(rq->server->store, rq->kind->resource, rq->ns, rq->name);
        w->input = NULL;
        r = o ? update_and_reply(w, reply) : create_applied(w, reply);
        if (r != (o ? -ERROR_NOT_FOUND : -ERROR_ALREADY_EXISTS))
            return r;
        wait_visible(rq);
    }
    return r;
}

int rest_patch(struct api_request *rq, struct api_reply *reply)
{
    int r = request_parse_write_options(rq, "PatchOptions");
    if (r < 0)
        return r;
    struct patch patch;
    r = patch_parse(rq, &patch);
    if (r < 0)
        return r;
    struct write w = { .rq = rq, .patch = &patch };
    return patch.kind == PATCH_APPLY ? apply_and_reply(&w, reply) : update_and_reply(&w, reply);
}
