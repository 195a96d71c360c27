/* The review of a write. What is sent and what is said follow the real API server
 * (admission.k8s.io/v1). */
#include "apiserver/admission.h"

#include "apiserver/object_meta.h"
#include "apiserver/rest.h"
#include "apiserver/scale.h"
#include "apiserver/server.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

#define WEBHOOKS_RESOURCE "admissionregistration.k8s.io/validatingwebhookconfigurations"
/* Whoever holds the token; nobody else is let in. */
#define USER "admin"

/* ---- the request of a review ---------------------------------------------------------------------------------------- */

static struct json *kind_json(struct arena *a, const struct kube_resource *r)
{
    return OBJ("group", STR(r->group), "version", STR(r->version), "kind", STR(r->kind));
}

static struct json *resource_json(struct arena *a, const struct kube_resource *r)
{
    return OBJ("group", STR(r->group), "version", STR(r->version), "resource", STR(r->plural));
}

static struct json *options_json(struct api_request *rq, const struct admission_attributes *at)
{
    struct arena *a = rq->a;
    const char *operation = at->operation;
    const char *kind = STREQ(operation, "CREATE")   ? "CreateOptions"
                       : STREQ(operation, "UPDATE") ? "UpdateOptions"
                                                    : "DeleteOptions";
    const char *manager = request_param(rq, "fieldManager"),
               *validation = request_param(rq, "fieldValidation");
    struct json *o = OBJ("kind", STR(kind), "apiVersion", STR("meta.k8s.io/v1"));
    if (rq->dry_run)
        json_set(a, o, "dryRun", ARR(STR("All")));
    if (!str_empty(manager))
        json_set_str(a, o, "fieldManager", manager);
    if (!str_empty(validation) && !STREQ(operation, "DELETE"))
        json_set_str(a, o, "fieldValidation", validation);
    JSON_FOREACH(it, at->options) {
        json_set(a, o, it.key, json_clone(a, it.value));
    }
    return o;
}

static bool is_scale(const struct api_request *rq)
{
    return STREQ(rq->sub, "scale");
}

/* In the version that is asked for; null when there is none. */
static struct json *object_as(struct api_request *rq, const struct served_kind *as,
                              const struct json *obj)
{
    struct arena *a = rq->a;
    if (!obj)
        return NUL();
    if (is_scale(rq))
        return scale_view(a, rq->kind->k, obj);
    struct json *copy = object_in_order(a, as, json_clone(a, obj));
    if (as != rq->kind && as->k->schema) {
        schema_prune(a, as->k->schema, copy, NULL);
        schema_default(a, as->k->schema, copy);
    }
    return copy;
}

/* clang-format off */
static struct json *request_json(struct api_request *rq, const struct served_kind *as,
                                 const struct admission_attributes *at)
{
    struct arena *a = rq->a;
    const struct kube_resource *asked = &rq->kind->k->resource, *sent = &as->k->resource;
    const struct kube_resource *shape = is_scale(rq) ? scale_resource() : NULL;
    const char *sub = str_empty(rq->sub) ? NULL : rq->sub;
    char uid[37];
    rand_uuid(uid);
    const char *ns = STREQ(rq->kind->resource, "/namespaces") ? at->name : rq->ns;
    return OBJ("uid", STR(uid),
               "kind", kind_json(a, shape ? shape : sent),
               "resource", resource_json(a, sent),
               "subResource", STR(sub),
               "requestKind", kind_json(a, shape ? shape : asked),
               "requestResource", resource_json(a, asked),
               "requestSubResource", STR(sub),
               "name", STR(str_empty(at->name) ? NULL : at->name),
               "namespace", STR(str_empty(ns) ? NULL : ns),
               "operation", STR(at->operation),
               "userInfo", OBJ("username", STR(USER),
                               "uid", STR(USER),
                               "groups", ARR(STR("system:masters"), STR("system:authenticated"))),
               "object", object_as(rq, as, at->obj),
               "oldObject", object_as(rq, as, at->old),
               "dryRun", BOOL(rq->dry_run),
               "options", options_json(rq, at));
}
/* clang-format on */

/* ---- its response ---------------------------------------------------------------------------------------------------- */

static void pass_warnings_on(struct api_request *rq, const struct json *response)
{
    JSON_FOREACH(it, json_get(response, "warnings")) {
        if (json_string(it.value))
            request_warn(rq, "%s", json_string(it.value));
    }
}

/* The Status of the webhook with what it lacks. */
static int deny(struct api_request *rq, const char *name, const struct json *response)
{
    struct arena *a = rq->a;
    const struct json *given = json_get(response, "status");
    const char *by = arena_printf(a, "admission webhook %s denied the request", go_quote(a, name));
    const char *message = json_find_str(given, "message"), *reason = json_find_str(given, "reason");
    int64_t code = json_find_int(given, 0, "code");
    struct json *status = json_is_object(given) ? json_clone(a, given) : EMPTY_OBJ();
    json_set_str(a, status, "kind", "Status");
    json_set_str(a, status, "apiVersion", "v1");
    json_ensure_object(a, status, "metadata");
    json_set_str(a, status, "status", "Failure");
    if (!str_empty(message))
        json_set(a, status, "message", STRF("%s: %s", by, message));
    else if (!str_empty(reason))
        json_set(a, status, "message", STRF("%s: %s", by, reason));
    else
        json_set(a, status, "message", STRF("%s without explanation", by));
    json_set_int(a, status, "code", code < 400 || code > 599 ? 400 : code);
    static const char *const order[] = { "kind",    "apiVersion", "metadata", "status",
                                         "message", "reason",     "details",  "code" };
    struct json *sorted = EMPTY_OBJ();
    for (size_t i = 0; i < COUNT_OF(order); i++)
        json_set(a, sorted, order[i], json_clone(a, json_get(status, order[i])));
    return request_fail(rq, sorted);
}

/* clang-format off */
static int fail_call(struct api_request *rq, const char *name, const struct error *err)
{
    struct arena *a = rq->a;
    const char *text = arena_printf(a, "failed calling webhook %s: %s", go_quote(a, name),
                                    error_message(err));
    return request_fail(rq, status_make(a, "InternalError",
                                        arena_printf(a, "Internal error occurred: %s", text),
                                        OBJ("causes", ARR(OBJ("message", STR(text))))));
}
/* clang-format on */

static int judge(struct api_request *rq, const char *name, const struct json *response)
{
    pass_warnings_on(rq, response);
    return json_find_bool(response, false, "allowed") ? 0 : deny(rq, name, response);
}

/* ---- who is asked ------------------------------------------------------------------------------------------------------ */

static bool is_about(const struct apiserver_admission *in, const struct api_request *rq,
                     const char *operation)
{
    const struct kube_resource *r = &rq->kind->k->resource;
    return STREQ(rq->sub, "") && !STREQ(operation, "DELETE") && STREQ(in->group, r->group) &&
           STREQ(in->plural, r->plural);
}

static int ask_inside(struct api_request *rq, const struct admission_attributes *at)
{
    for (const struct apiserver_admission *in = rq->server->o.admission; in && in->name; in++) {
        if (!is_about(in, rq, at->operation))
            continue;
        struct json *response = NULL;
        CLEANUP(error_cleanup) struct error *err = NULL;
        int r = in->review(in->ctx, rq->a, request_json(rq, rq->kind, at), &response, &err);
        r = r < 0 ? fail_call(rq, in->name, err) : judge(rq, in->name, response);
        if (r < 0)
            return r;
    }
    return 0;
}

static int ask_webhook(struct api_request *rq, const struct matched_webhook *m,
                       const struct admission_attributes *at)
{
    struct arena *a = rq->a;
    const char *name = json_find_str(m->webhook, "name");
    struct json *review = OBJ("kind", STR("AdmissionReview"), "apiVersion",
                              STR("admission.k8s.io/v1"), "request", request_json(rq, m->as, at));
    struct json *response = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (webhook_call(rq, m->webhook, review, &response, &err) == 0)
        return judge(rq, name, response);
    if (!str_eq(json_find_str(m->webhook, "failurePolicy"), "Ignore"))
        return fail_call(rq, name, err);
    log_warn("a webhook that may be ignored could not be asked", "webhook", name, "error",
             error_message(err), NULL);
    return 0;
}

static int ask_webhooks(struct api_request *rq, const struct admission_attributes *at)
{
    struct store_list l;
    store_list(rq->server->store, WEBHOOKS_RESOURCE, NULL, NULL, 0, &l);
    int r = 0;
    for (size_t i = 0; i < l.count && r == 0; i++) {
        const struct json *config = kube_object_parse(rq->a, l.items[i]);
        JSON_FOREACH(it, json_get(config, "webhooks")) {
            struct matched_webhook m;
            if (webhook_matches(rq, it.value, at, &m))
                r = ask_webhook(rq, &m, at);
            if (r < 0)
                break;
        }
    }
    store_list_done(&l);
    return r;
}

/* Configurations cannot keep themselves from being repaired. */
static bool is_exempt(const struct api_request *rq)
{
    return STREQ(rq->kind->k->resource.group, "admissionregistration.k8s.io");
}

bool admission_concerns(struct api_request *rq, const char *operation)
{
    if (is_exempt(rq))
        return false;
    for (const struct apiserver_admission *in = rq->server->o.admission; in && in->name; in++) {
        if (is_about(in, rq, operation))
            return true;
    }
    return store_count(rq->server->store, WEBHOOKS_RESOURCE) > 0;
}

int admission_review_write(struct api_request *rq, const struct admission_attributes *at)
{
    if (!admission_concerns(rq, at->operation))
        return 0;
    int r = ask_inside(rq, at);
    return r < 0 ? r : ask_webhooks(rq, at);
}
