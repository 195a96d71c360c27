#include "kube/client.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/api_error.h"
#include "kube/client_internal.h"
#include "kube/meta.h"
#include "kube/query.h"
#include "json/build.h"
#include "json/elements.h"

#define DEFAULT_TIMEOUT_MS 30000
#define MAX_PATH (512 * KIB) /* continue tokens and selectors are in it */
#define MAX_BODY (64 * MIB)
#define REFUSED_PATIENCE_MS 3000
#define FIRST_RETRY_MS 50
#define PRESSED 0.9
#define LONGEST_RETRY_MS 1000

struct kube_client {
    struct kube_transport *transport;
    struct clock *clock;
    int64_t timeout_ms;
    bool no_retry;
    struct kube_cancel cancel;

    pthread_mutex_t lock; /* of the token bucket */
    double qps;           /* 0: no bucket */
    double burst;
    double tokens; /* below 0: so many are promised to callers that sleep */
    int64_t filled_ns;
};

struct kube_client *kube_client_new(struct kube_transport *t,
                                    const struct kube_client_options *options)
{
    static const struct kube_client_options defaults = { 0 };
    const struct kube_client_options *o = options ? options : &defaults;
    struct kube_client *c = NEW0(struct kube_client);
    c->transport = t;
    c->clock = o->clock ? o->clock : clock_system();
    c->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
    c->no_retry = o->no_retry;
    c->qps = o->qps > 0 ? o->qps : 0;
    c->burst = o->burst > 0 ? o->burst : 1;
    c->tokens = c->burst;
    c->filled_ns = clock_mono(c->clock);
    kube_cancel_init(&c->cancel);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void kube_client_free(struct kube_client *c)
{
    if (!c)
        return;
    kube_cancel_done(&c->cancel);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

struct kube_transport *kube_client_transport(struct kube_client *c)
{
    return c->transport;
}

void kube_client_interrupt(struct kube_client *c, bool on)
{
    kube_cancel_set(&c->cancel, on);
}

struct kube_cancel *kube_client_cancel(struct kube_client *c)
{
    return &c->cancel;
}

void kube_client_set_timeout(struct kube_client *c, int64_t ms)
{
    c->timeout_ms = ms;
}

/* ---- one call ----------------------------------------------------------------------------------------------- */

/* With the lock. */
static void fill_bucket(struct kube_client *c)
{
    int64_t now = clock_mono(c->clock);
    c->tokens = MIN(c->burst, c->tokens + (double)(now - c->filled_ns) / (double)NS_PER_S * c->qps);
    c->filled_ns = now;
}

bool kube_client_pressed(struct kube_client *c)
{
    LOCK(&c->lock);
    if (c->qps <= 0)
        return false;
    fill_bucket(c);
    return c->tokens < c->burst * PRESSED;
}

static int64_t bucket_wait_ns(struct kube_client *c)
{
    LOCK(&c->lock);
    if (c->qps <= 0)
        return 0;
    fill_bucket(c);
    c->tokens -= 1;
    return c->tokens >= 0 ? 0 : (int64_t)(-c->tokens / c->qps * (double)NS_PER_S);
}

static int cancelled(struct error **err)
{
    return error_set(err, ERROR_CANCELLED, "the call was interrupted because its caller stops");
}

/* How long to wait before the same request may be sent once more; negative: it may not. A server
 * that asks for a wait has not acted on the request, and one that refused the connection has not
 * seen it. All else might have happened. */
static int64_t retry_wait_ms(const struct kube_client *c, int result,
                             const struct kube_response *response, const struct error *err,
                             int64_t spent_ms, unsigned attempt)
{
    if (c->no_retry)
        return -1;
    if (result == 0) {
        bool asked =
            (response->status == 429 || response->status == 503) && response->retry_after_ms > 0;
        return asked ? response->retry_after_ms : -1;
    }
    if (!str_eq(error_reason(err), KUBE_REASON_REFUSED) || spent_ms >= REFUSED_PATIENCE_MS)
        return -1;
    int64_t wait = MIN((int64_t)FIRST_RETRY_MS << MIN(attempt, 10u), (int64_t)LONGEST_RETRY_MS);
    return wait / 2 + (int64_t)(rand_unit() * (double)wait);
}

/* The answer, whatever its status. */
static int call(struct kube_client *c, struct kube_request *request, struct kube_response *ret,
                struct error **err)
{
    int64_t started = clock_mono(c->clock);
    int64_t wait = bucket_wait_ns(c);
    if (wait > 0 && !kube_cancel_sleep(&c->cancel, c->clock, wait))
        return cancelled(err);
    /* Waiting for a token is our own choice and does not eat up the server's time. */
    started = MAX(started, clock_mono(c->clock));
    request->cancel = &c->cancel;
    for (unsigned attempt = 0;; attempt++) {
        int64_t spent_ms = (clock_mono(c->clock) - started) / NS_PER_MS;
        request->timeout_ms = MAX(c->timeout_ms - spent_ms, (int64_t)1);
        struct error *why = NULL;
        struct kube_response response = { .body = BUF_INIT(MAX_BODY) };
        int r = c->transport->ops->call(c->transport, request, &response, &why);
        int64_t wait_ms = retry_wait_ms(c, r, &response, why, spent_ms, attempt);
        if (wait_ms < 0 || spent_ms + wait_ms >= c->timeout_ms) {
            if (r == 0)
                *ret = response;
            else
                buf_done(&response.body);
            if (why && err)
                *err = why;
            else
                error_free(why);
            return r;
        }
        error_free(why);
        buf_done(&response.body);
        if (!kube_cancel_sleep(&c->cancel, c->clock, wait_ms * NS_PER_MS))
            return cancelled(err);
    }
}

/* The body of a good answer. */
static int call_ok(struct kube_client *c, struct kube_request *request, struct buf *ret,
                   struct error **err)
{
    struct kube_response response = { 0 };
    int r = call(c, request, &response, err);
    if (r < 0)
        return r;
    if (response.status < 200 || response.status > 299) {
        r = kube_error_from_answer(response.status, buf_str(&response.body), response.body.len,
                                   response.retry_after_ms, err);
        buf_done(&response.body);
        return r;
    }
    *ret = response.body;
    return 0;
}

/* The object of a good answer, in the arena; not parsed when ret is NULL. */
static int call_json(struct kube_client *c, struct kube_request *request, struct arena *a,
                     struct json **ret, struct error **err)
{
    AUTO_BUF body = { 0 };
    int r = call_ok(c, request, &body, err);
    if (r < 0 || !ret)
        return r;
    struct error *why = NULL;
    if (json_parse(a, buf_str(&body), body.len, ret, &why) == 0 && json_is_object(*ret))
        return 0;
    r = error_set(err, ERROR_INTERNAL, "the answer to %s %s is not a JSON object%s%s",
                  request->method, request->path, why ? ": " : "", error_message(why));
    error_free(why);
    return r;
}

static int send_json(struct kube_client *c, const char *method, const char *path,
                     const char *content_type, const struct json *body, struct arena *a,
                     struct json **ret, struct error **err)
{
    AUTO_BUF text = BUF_INIT(MAX_BODY);
    json_write(body, &text);
    if (!buf_ok(&text))
        return error_set(err, ERROR_TOO_LARGE, "the object is larger than %zu MiB",
                         (size_t)(MAX_BODY / MIB));
    struct kube_request request = {
        .method = method,
        .path = path,
        .content_type = content_type,
        .body = buf_str(&text),
        .body_len = text.len,
    };
    return call_json(c, &request, a, ret, err);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

int kube_get(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
             struct arena *a, struct json **ret, struct error **err)
{
    if (str_empty(name))
        return error_set(err, ERROR_INVALID, "a %s was asked for without a name", r->kind);
    struct kube_request request = { .method = "GET", .path = kube_path(a, r, ns, name, NULL) };
    return call_json(c, &request, a, ret, err);
}

int kube_get_raw(struct kube_client *c, const char *path, struct buf *ret, struct error **err)
{
    struct kube_request request = { .method = "GET", .path = path, .accept = "*/*" };
    return call_ok(c, &request, ret, err);
}

static int list_path(const struct kube_resource *r, const struct kube_list_options *options,
                     const char *continue_token, struct arena *a, struct buf *ret,
                     struct error **err)
{
    buf_puts(ret, kube_path(a, r, options->ns, NULL, NULL));
    query_add(ret, "labelSelector",
              str_empty(options->label_selector) ? NULL : options->label_selector);
    query_add(ret, "fieldSelector",
              str_empty(options->field_selector) ? NULL : options->field_selector);
    if (options->limit > 0)
        query_add_int(ret, "limit", options->limit);
    if (continue_token) /* it carries the version of the first page */
        query_add(ret, "continue", continue_token);
    else
        query_add(ret, "resourceVersion", options->resource_version);
    return buf_ok(ret) ? 0
                       : error_set(err, ERROR_TOO_LARGE, "the selectors are longer than %zu KiB",
                                   (size_t)(MAX_PATH / KIB));
}

static int list_page(struct kube_client *c, const struct kube_resource *r,
                     const struct kube_list_options *options, const char *continue_token,
                     struct arena *a, struct json **ret, const char **ret_continue,
                     struct error **err)
{
    AUTO_BUF path = BUF_INIT(MAX_PATH);
    int rc = list_path(r, options, continue_token, a, &path, err);
    struct kube_request request = { .method = "GET", .path = buf_str(&path) };
    if (rc == 0)
        rc = call_json(c, &request, a, ret, err);
    if (rc < 0)
        return rc;
    const char *next = json_find_str(*ret, "metadata", "continue");
    *ret_continue = next ? next : "";
    return 0;
}

/* The items of the text to the handler; what else is in it to *ret. */
static int read_items(struct buf *text, const struct kube_item_handler *handler, struct arena *a,
                      struct json **ret, struct error **err)
{
    struct json_elements e;
    bool found = json_elements_find(buf_str(text), text->len, "items", &e);
    size_t begin = found ? (size_t)(e.at - text->data) : 0;
    AUTO_ARENA scratch = arena_new();
    const char *at = NULL;
    size_t len = 0;
    while (found && json_elements_next(&e, &at, &len)) {
        struct json *item = NULL;
        int r = json_parse(scratch, at, len, &item, err);
        if (r < 0)
            return r;
        handler->on_item(handler->ctx, scratch, item);
        arena_reset(scratch);
    }
    if (found && !e.at)
        return error_set(err, ERROR_INVALID, "its items are not a JSON array");
    if (found) { /* cut them out */
        size_t rest = text->len - (size_t)(e.at - text->data);
        memmove(text->data + begin + 1, e.at, rest);
        text->data[begin] = ']';
        text->len = begin + 1 + rest;
    }
    int r = json_parse(a, buf_str(text), text->len, ret, err);
    if (r < 0)
        return r;
    JSON_FOREACH(it, json_get(*ret, "items")) /* of a server that escapes what it need not */
        handler->on_item(handler->ctx, a, it.value);
    return json_is_object(*ret) ? 0 : error_set(err, ERROR_INVALID, "it is not an object");
}

int kube_list_items(struct kube_client *c, const struct kube_resource *r,
                    const struct kube_list_options *options, const char *continue_token,
                    const struct kube_item_handler *handler, struct arena *a, struct json **ret,
                    const char **ret_continue, struct error **err)
{
    AUTO_BUF path = BUF_INIT(MAX_PATH);
    AUTO_BUF body = { 0 };
    int rc = list_path(r, options, continue_token, a, &path, err);
    struct kube_request request = { .method = "GET", .path = buf_str(&path) };
    if (rc == 0)
        rc = call_ok(c, &request, &body, err);
    if (rc < 0)
        return rc;
    CLEANUP(error_cleanup) struct error *why = NULL;
    if (read_items(&body, handler, a, ret, &why) < 0)
        return error_set(err, ERROR_INTERNAL, "the answer to GET %s is not a list: %s",
                         buf_str(&path), error_message(why));
    const char *next = json_find_str(*ret, "metadata", "continue");
    *ret_continue = next ? next : "";
    return 0;
}

int kube_list(struct kube_client *c, const struct kube_resource *r,
              const struct kube_list_options *options, struct arena *a, struct json **ret,
              struct error **err)
{
    static const struct kube_list_options everything = { 0 };
    if (!options)
        options = &everything;
    const char *token = "";
    struct json *list = NULL;
    int rc = list_page(c, r, options, NULL, a, &list, &token, err);
    while (rc == 0 && *token) {
        struct json *page = NULL;
        rc = list_page(c, r, options, token, a, &page, &token, err);
        struct json *items = json_ensure_array(a, list, "items");
        JSON_FOREACH(it, json_get(page, "items")) {
            struct json *item = it.value;
            json_iter_remove(&it);
            json_append(items, item);
        }
    }
    if (rc < 0)
        return rc;
    struct json *meta = json_get(list, "metadata");
    json_del(meta, "continue");
    json_del(meta, "remainingItemCount");
    *ret = list;
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void fill_type(struct arena *a, const struct kube_resource *r, struct json *obj)
{
    if (!json_get(obj, "apiVersion"))
        json_set_str(a, obj, "apiVersion", kube_api_version(a, r));
    if (!json_get(obj, "kind"))
        json_set_str(a, obj, "kind", r->kind);
}

int kube_create(struct kube_client *c, const struct kube_resource *r, const char *ns,
                struct json *obj, struct arena *a, struct json **ret, struct error **err)
{
    fill_type(a, r, obj);
    const char *path = kube_path(a, r, ns ? ns : meta_namespace(obj), NULL, NULL);
    return send_json(c, "POST", path, NULL, obj, a, ret, err);
}

int kube_update(struct kube_client *c, const struct kube_resource *r, struct json *obj,
                const char *subresource, struct arena *a, struct json **ret, struct error **err)
{
    if (str_empty(meta_name(obj)))
        return error_set(err, ERROR_INVALID, "a %s without metadata.name cannot be updated",
                         r->kind);
    fill_type(a, r, obj);
    const char *path = kube_path(a, r, meta_namespace(obj), meta_name(obj), subresource);
    return send_json(c, "PUT", path, NULL, obj, a, ret, err);
}

int kube_patch(struct kube_client *c, const struct kube_resource *r, const char *ns,
               const char *name, const char *subresource, enum kube_patch_type type,
               const struct json *patch, struct arena *a, struct json **ret, struct error **err)
{
    static const char *const types[] = {
        [KUBE_PATCH_MERGE] = "application/merge-patch+json",
        [KUBE_PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
        [KUBE_PATCH_JSON] = "application/json-patch+json",
    };
    if (str_empty(name))
        return error_set(err, ERROR_INVALID, "a %s was to be patched without a name", r->kind);
    return send_json(c, "PATCH", kube_path(a, r, ns, name, subresource), types[type], patch, a, ret,
                     err);
}

int kube_delete(struct kube_client *c, const struct kube_resource *r, const char *ns,
                const char *name, const struct kube_delete_options *options, struct error **err)
{
    static const struct kube_delete_options plain = KUBE_DELETE_OPTIONS_INIT;
    static const char *const policies[] = {
        [KUBE_PROPAGATION_DEFAULT] = NULL,
        [KUBE_BACKGROUND] = "Background",
        [KUBE_FOREGROUND] = "Foreground",
        [KUBE_ORPHAN] = "Orphan",
    };
    if (!options)
        options = &plain;
    if (str_empty(name)) /* an empty name would delete the collection */
        return error_set(err, ERROR_INVALID, "a %s was to be deleted without a name", r->kind);

    AUTO_ARENA a = arena_new();
    struct json *preconditions = EMPTY_OBJ();
    json_set_str(a, preconditions, "uid", options->uid);
    json_set_str(a, preconditions, "resourceVersion", options->resource_version);
    /* clang-format off */
    struct json *body = OBJ("apiVersion", STR("v1"),
                            "kind", STR("DeleteOptions"),
                            "preconditions", json_size(preconditions) > 0 ? preconditions : NULL,
                            "propagationPolicy", STR(policies[options->propagation]),
                            "gracePeriodSeconds", options->grace_seconds >= 0 ? INT(options->grace_seconds) : NULL);
    /* clang-format on */
    return send_json(c, "DELETE", kube_path(a, r, ns, name, NULL), NULL, body, a, NULL, err);
}
