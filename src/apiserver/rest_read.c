/* get and list. Objects are sent as the bytes that the store keeps: nothing is parsed unless the
 * client wants another form. */
#include "apiserver/rest.h"

#include "apiserver/object_meta.h"
#include "apiserver/server.h"
#include "apiserver/table.h"
#include "base/str.h"
#include "http/crypto.h"
#include "kube/selector.h"
#include "json/build.h"

#define MAX_LIST (256 * MIB)
#define MAX_CONTINUE 4096

/* ---- forms -------------------------------------------------------------------------------------------------------- */

static uint64_t version_of(const struct kube_object *o)
{
    uint64_t version = 0;
    str_to_uint64(o->resource_version, &version);
    return version;
}

bool rest_is_as_stored(const struct served_kind *sk, const struct kube_object *o)
{
    if (o->text_len < sk->head_len || memcmp(o->text, sk->head, sk->head_len) != 0)
        return false;
    return sk->k->builtin || version_of(o) > sk->schema_since;
}

struct json *rest_view(struct arena *a, const struct served_kind *sk, const struct kube_object *o)
{
    struct json *v = kube_object_parse(a, o);
    if (rest_is_as_stored(sk, o))
        return v;
    /* Defaults are those of the version in which it is stored. Another one's would be new values
     * that nobody has set. */
    const struct served_kind *kept = sk->storage_kind ? sk->storage_kind : sk;
    if (kept->k->schema)
        schema_default(a, kept->k->schema, v);
    v = object_in_order(a, sk, v);
    if (sk->k->schema)
        schema_prune(a, sk->k->schema, v, NULL);
    return v;
}

struct json *rest_partial(struct arena *a, const struct json *obj, const char *version)
{
    return OBJ("kind", STR("PartialObjectMetadata"), "apiVersion",
               STRF("meta.k8s.io/%s", version ? version : "v1"), "metadata",
               json_clone(a, json_get(obj, "metadata")));
}

static const char *include_object(const struct api_request *rq)
{
    const char *s = request_param(rq, "includeObject");
    return str_empty(s) ? "Metadata" : s;
}

static struct json *make_table(struct api_request *rq, const struct json *v)
{
    struct json *table =
        table_from(rq->a, rq->kind->k, v, include_object(rq), true, clock_wall(rq->server->clock));
    if (!str_eq(rq->accepted.version, "v1beta1"))
        return table;
    json_set_str(rq->a, table, "apiVersion", "meta.k8s.io/v1beta1");
    JSON_FOREACH(it, json_get(table, "rows")) {
        struct json *object = json_get(it.value, "object");
        if (str_eq(json_find_str(object, "kind"), "PartialObjectMetadata"))
            json_set_str(rq->a, object, "apiVersion", "meta.k8s.io/v1beta1");
    }
    return table;
}

void rest_reply_value(struct api_request *rq, struct api_reply *reply, int status,
                      struct json *value)
{
    if (rq->accepted.as == ACCEPT_TABLE)
        value = make_table(rq, value);
    else if (rq->accepted.as == ACCEPT_PARTIAL)
        value = rest_partial(rq->a, value, rq->accepted.version);
    api_reply_json(rq, reply, status, value);
}

void rest_reply_object(struct api_request *rq, struct api_reply *reply, int status,
                       struct kube_object *o)
{
    bool plain =
        rq->accepted.as == ACCEPT_PLAIN && !rq->accepted.yaml && !request_flag(rq, "pretty");
    if (plain && rest_is_as_stored(rq->kind, o)) {
        reply->status = status;
        reply->content_type = "application/json";
        reply->object = kube_object_ref(o);
    } else {
        rest_reply_value(rq, reply, status, rest_view(rq->a, rq->kind, o));
    }
}

/* ---- options ------------------------------------------------------------------------------------------------------ */

int rest_fail_too_large_version(struct api_request *rq, uint64_t version)
{
    struct arena *a = rq->a;
    const char *message =
        arena_printf(a, "Timeout: Too large resource version: %llu, current: %llu",
                     (unsigned long long)version,
                     (unsigned long long)store_version(rq->server->store));
    struct json *details = OBJ("causes",
                               ARR(OBJ("reason", STR("ResourceVersionTooLarge"), "message",
                                       STR("Too large resource version"))),
                               "retryAfterSeconds", INT(1));
    return request_fail(rq, status_make(a, "Timeout", message, details));
}

static const char *bad_version(struct arena *a, const char *text)
{
    const char *quoted = go_quote(a, text);
    return arena_printf(
        a, "resourceVersion: Invalid value: %s: strconv.ParseUint: parsing %s: invalid syntax",
        quoted, quoted);
}

int rest_parse_version(struct api_request *rq, const char *text, uint64_t *ret)
{
    *ret = 0;
    if (str_empty(text))
        return 0;
    if (str_to_uint64(text, ret) < 0)
        return request_fail_unnamed(rq, 500, bad_version(rq->a, text));
    return 0;
}

static int fail_list_options(struct api_request *rq, const char *field, const char *type,
                             const char *message)
{
    struct field_errors errors = { .arena = rq->a };
    field_errors_add(&errors, type, field, "%s", message);
    return request_fail(rq, status_invalid(rq->a, "meta.k8s.io", "ListOptions", "", &errors));
}

int rest_check_list_options(struct api_request *rq, bool watch)
{
    const char *version = request_param(rq, "resourceVersion"),
               *match = request_param(rq, "resourceVersionMatch");
    const char *initial = request_param(rq, "sendInitialEvents");
    if (str_empty(match)) {
        if (watch && !str_empty(initial))
            return fail_list_options(
                rq, "resourceVersionMatch", "FieldValueForbidden",
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        if (!str_empty(initial))
            return fail_list_options(rq, "sendInitialEvents", "FieldValueForbidden",
                                     "Forbidden: sendInitialEvents is forbidden for list");
        return 0;
    }
    if (watch) {
        if (str_empty(initial))
            return fail_list_options(
                rq, "resourceVersionMatch", "FieldValueForbidden",
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        if (!STREQ(match, "NotOlderThan"))
            return fail_list_options(
                rq, "resourceVersionMatch", "FieldValueForbidden",
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        return 0;
    }
    if (!str_empty(initial))
        return fail_list_options(rq, "sendInitialEvents", "FieldValueForbidden",
                                 "Forbidden: sendInitialEvents is forbidden for list");
    if (str_empty(version))
        return fail_list_options(
            rq, "resourceVersionMatch", "FieldValueForbidden",
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (!str_empty(request_param(rq, "continue")))
        return fail_list_options(
            rq, "resourceVersionMatch", "FieldValueForbidden",
            "Forbidden: resourceVersionMatch is forbidden when continue is provided");
    if (!STREQ(match, "Exact") && !STREQ(match, "NotOlderThan"))
        return fail_list_options(
            rq, "resourceVersionMatch", "FieldValueNotSupported",
            arena_printf(
                rq->a, "Unsupported value: %s: supported values: \"Exact\", \"NotOlderThan\", \"\"",
                go_quote(rq->a, match)));
    if (STREQ(match, "Exact") && STREQ(version, "0"))
        return fail_list_options(
            rq, "resourceVersionMatch", "FieldValueForbidden",
            "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    return 0;
}

/* ---- filters ------------------------------------------------------------------------------------------------------ */

static bool is_meta_field(const char *key)
{
    return STREQ(key, "metadata.name") || STREQ(key, "metadata.namespace");
}

static int check_fields(struct api_request *rq, struct rest_filter *f)
{
    const struct api_kind *k = rq->kind->k;
    for (size_t i = 0; i < selector_count(f->fields); i++) {
        const char *key = NULL, *op = NULL, *value = NULL;
        selector_get(f->fields, i, &key, &op, &value);
        bool known = STREQ(key, "metadata.name") ||
                     (STREQ(key, "metadata.namespace") && k->resource.namespaced);
        for (size_t j = 0; !known && k->field_selectors && k->field_selectors[j]; j++)
            known = STREQ(key, k->field_selectors[j]);
        if (!known && k->builtin && (!k->field_selectors || !k->field_selectors[0]))
            return request_failf(
                rq, "BadRequest",
                "%s is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                go_quote(rq->a, key));
        if (!known && k->builtin && STREQ(k->resource.plural, "jobs"))
            return request_failf(rq, "BadRequest", "field label %s not supported for Job",
                                 go_quote(rq->a, key));
        if (!known)
            return request_failf(rq, "BadRequest", "field label not supported: %s", key);
        f->fields_need_value |= !is_meta_field(key);
    }
    return 0;
}

int rest_filter_parse(struct api_request *rq, struct rest_filter *ret)
{
    *ret = (struct rest_filter){ 0 };
    struct rest_filter f = { .k = rq->kind->k };
    const char *labels = request_param(rq, "labelSelector"),
               *fields = request_param(rq, "fieldSelector");
    CLEANUP(error_cleanup) struct error *err = NULL;
    int r = 0;
    if (!str_empty(labels))
        r = selector_parse_labels(labels, &f.labels, &err);
    if (r == 0 && !str_empty(fields))
        r = selector_parse_fields(fields, &f.fields, &err);
    if (r < 0)
        r = request_failf(rq, "BadRequest", "%s", error_message(err));
    else if (f.fields)
        r = check_fields(rq, &f);
    if (r < 0) {
        rest_filter_done(&f);
        return r;
    }
    *ret = f;
    return 0;
}

void rest_filter_done(struct rest_filter *f)
{
    selector_free(f->labels);
    selector_free(f->fields);
    *f = (struct rest_filter){ 0 };
}

bool rest_filter_empty(const struct rest_filter *f)
{
    return !f->labels && !f->fields;
}

static bool meta_fields_match(const struct selector *fields, const struct kube_object *o)
{
    for (size_t i = 0; i < selector_count(fields); i++) {
        const char *key = NULL, *op = NULL, *value = NULL;
        selector_get(fields, i, &key, &op, &value);
        const char *have = STREQ(key, "metadata.name") ? o->name : o->ns;
        if (is_meta_field(key) && STREQ(have, value ? value : "") != STREQ(op, "="))
            return false;
    }
    return true;
}

static bool fields_match(const struct rest_filter *f, const struct json *value)
{
    if (!f->k->selectable)
        return selector_matches_fields(f->fields, value);
    AUTO_ARENA a = arena_new();
    struct json *copy = json_clone(a, value);
    f->k->selectable(a, copy);
    return selector_matches_fields(f->fields, copy);
}

bool rest_filter_matches(const struct rest_filter *f, const struct kube_object *o,
                         const struct json *value)
{
    if (f->labels && !selector_matches_object(f->labels, o))
        return false;
    if (!f->fields)
        return true;
    return meta_fields_match(f->fields, o) && (!f->fields_need_value || fields_match(f, value));
}

static bool matches(struct api_request *rq, const struct rest_filter *f,
                    const struct kube_object *o)
{
    if (rest_filter_empty(f))
        return true;
    if (!f->fields_need_value)
        return rest_filter_matches(f, o, NULL);
    if (!meta_fields_match(f->fields, o))
        return false;
    AUTO_ARENA a = arena_new();
    return rest_filter_matches(f, o, rest_view(a, rq->kind, o));
}

/* ---- get ---------------------------------------------------------------------------------------------------------- */

int rest_get(struct api_request *rq, struct api_reply *reply)
{
    uint64_t version = 0;
    int r = rest_parse_version(rq, request_param(rq, "resourceVersion"), &version);
    if (r < 0)
        return r;
    struct store *store = rq->server->store;
    if (version > store_version(store))
        return rest_fail_too_large_version(rq, version);
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = store_get(store, rq->kind->resource, rq->ns, rq->name);
    if (!o)
        return request_fail_not_found(rq, rq->name);
    rest_reply_object(rq, reply, 200, o);
    return 0;
}

/* ---- list --------------------------------------------------------------------------------------------------------- */

struct page {
    size_t limit;          /* 0: all */
    const char *after_key; /* NULL: from the beginning */
    bool exact;            /* as of `version` */
    bool inconsistent;     /* goes on from the newest state */
    uint64_t version;
};

/* A token says where to go on and of which version the list is:
 * {"v":"meta.k8s.io/v1","rv":5,"start":"ns/name\u0000"}. */
static const char *encode_continue(struct arena *a, uint64_t version, bool newest,
                                   const struct kube_object *last)
{
    const char *key = kube_key(a, last->ns, last->name);
    struct json *token = OBJ("v", STR("meta.k8s.io/v1"), "rv", INT(newest ? -1 : (int64_t)version),
                             "start", STR(key));
    const char *text = json_text(a, token);
    return base64_encode(a, text, strlen(text));
}

static int decode_continue(struct api_request *rq, const char *text, struct page *p)
{
    char *json = NULL;
    size_t len = 0;
    struct json *token = NULL;
    bool valid = strlen(text) <= MAX_CONTINUE &&
                 base64_decode(rq->a, text, strlen(text), &json, &len) == 0 &&
                 json_parse(rq->a, json, len, &token, NULL) == 0 &&
                 str_eq(json_find_str(token, "v"), "meta.k8s.io/v1") &&
                 json_find_str(token, "start");
    if (!valid)
        return request_failf(rq, "BadRequest", "invalid continue token: continue key is not valid");
    int64_t version = json_find_int(token, 0, "rv");
    p->after_key = json_find_str(token, "start");
    p->inconsistent = version < 0;
    p->exact = version > 0;
    p->version = version > 0 ? (uint64_t)version : 0;
    return 0;
}

static int parse_page(struct api_request *rq, struct page *p)
{
    *p = (struct page){ 0 };
    const char *limit = request_param(rq, "limit"), *cont = request_param(rq, "continue");
    const char *version = request_param(rq, "resourceVersion");
    int64_t n = 0;
    if (!str_empty(limit) && str_to_int64(limit, &n) < 0)
        return request_failf(rq, "BadRequest", "strconv.ParseInt: parsing %s: invalid syntax",
                             go_quote(rq->a, limit));
    p->limit = n > 0 ? (size_t)n : 0;
    if (!str_empty(cont)) {
        if (!str_empty(version) && !STREQ(version, "0"))
            return request_failf(rq, "BadRequest",
                                 "specifying resource version is not allowed when using continue");
        return decode_continue(rq, cont, p);
    }
    if (!str_empty(version) && str_to_uint64(version, &p->version) < 0)
        return request_failf(rq, "BadRequest", "invalid resource version: %s",
                             bad_version(rq->a, version));
    if (p->version > store_version(rq->server->store))
        return rest_fail_too_large_version(rq, p->version);
    /* A limit with a version and nothing else means just that version. */
    const char *match = request_param(rq, "resourceVersionMatch");
    p->exact = p->version > 0 && (str_eq(match, "Exact") || (str_empty(match) && p->limit > 0));
    return 0;
}

static int fail_expired(struct api_request *rq, const struct page *p)
{
    struct arena *a = rq->a;
    if (!p->after_key)
        return request_failf(rq, "Expired",
                             "The resourceVersion for the provided list is too old.");
    struct json *status = status_make(
        a, "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
        "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing "
        "with the provided token results in an inconsistent list - objects that were created, modified, or deleted between "
        "the time the first chunk was returned and now may show up in the list.",
        NULL);
    struct json *token = OBJ("v", STR("meta.k8s.io/v1"), "rv", INT(-1), "start", STR(p->after_key));
    const char *text = json_text(a, token);
    json_set(a, status, "metadata", OBJ("continue", STR(base64_encode(a, text, strlen(text)))));
    return request_fail(rq, status);
}

/* Keeps what the filter lets through, up to the limit. *ret_last: the last one looked at;
 * *ret_more: there is more behind. */
static void filter_items(struct api_request *rq, const struct rest_filter *f, const struct page *p,
                         struct store_list *l, struct kube_object **ret_last, bool *ret_more)
{
    size_t kept = 0, i = 0;
    for (; i < l->count && (!p->limit || kept < p->limit); i++) {
        if (matches(rq, f, l->items[i])) {
            struct kube_object *o = l->items[i];
            l->items[i] = l->items[kept];
            l->items[kept++] = o;
            *ret_last = o;
        }
    }
    *ret_more = i < l->count || l->remaining > 0;
    for (size_t j = kept; j < l->count; j++)
        kube_object_unref(l->items[j]);
    l->count = kept;
}

static struct json *list_meta(struct api_request *rq, const struct store_list *l, const char *cont,
                              bool count_remaining)
{
    struct arena *a = rq->a;
    bool custom = !rq->kind->k->builtin && rq->accepted.as == ACCEPT_PLAIN;
    struct json *meta = EMPTY_OBJ();
    if (cont || custom)
        json_set_str(a, meta, "continue", cont ? cont : "");
    if (cont && count_remaining)
        json_set_int(a, meta, "remainingItemCount", (int64_t)l->remaining);
    json_set(a, meta, "resourceVersion", STRF("%llu", (unsigned long long)l->version));
    return meta;
}

/* Items of built-in kinds carry no kind and apiVersion of their own: their text begins behind them.
 */
static void write_item(struct api_request *rq, const struct kube_object *o, struct buf *out)
{
    const struct served_kind *sk = rq->kind;
    if (!rest_is_as_stored(sk, o)) {
        AUTO_ARENA a = arena_new();
        struct json *v = rest_view(a, sk, o);
        if (sk->k->builtin) {
            json_del(v, "kind");
            json_del(v, "apiVersion");
        }
        json_write(v, out);
    } else if (sk->k->builtin) {
        buf_putc(out, '{');
        buf_append(out, o->text + sk->head_len, o->text_len - sk->head_len);
    } else {
        buf_append(out, o->text, o->text_len);
    }
}

static void write_list(struct api_request *rq, const struct store_list *l, const struct json *meta,
                       struct api_reply *reply)
{
    const struct served_kind *sk = rq->kind;
    reply->status = 200;
    reply->content_type = "application/json";
    reply->body = (struct buf)BUF_INIT(MAX_LIST);
    struct buf *out = &reply->body;
    const char *meta_text = json_text(rq->a, meta);
    if (sk->k->builtin)
        buf_printf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":%s,\"items\":[",
                   sk->k->list_kind, sk->api_version, meta_text);
    else
        buf_printf(out, "{\"apiVersion\":\"%s\",\"items\":[", sk->api_version);
    for (size_t i = 0; i < l->count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        write_item(rq, l->items[i], out);
    }
    if (sk->k->builtin)
        buf_puts(out, "]}");
    else
        buf_printf(out, "],\"kind\":\"%s\",\"metadata\":%s}", sk->k->list_kind, meta_text);
}

static struct json *list_value(struct api_request *rq, const struct store_list *l,
                               struct json *meta)
{
    struct arena *a = rq->a;
    const struct served_kind *sk = rq->kind;
    bool partial = rq->accepted.as == ACCEPT_PARTIAL_LIST;
    struct json *items = EMPTY_ARR();
    for (size_t i = 0; i < l->count; i++) {
        struct json *item = rest_view(a, sk, l->items[i]);
        if (partial)
            item = rest_partial(a, item, rq->accepted.version);
        else if (sk->k->builtin && rq->accepted.as == ACCEPT_PLAIN) {
            json_del(item, "kind");
            json_del(item, "apiVersion");
        }
        json_append(items, item);
    }
    return OBJ("kind", STR(partial ? "PartialObjectMetadataList" : sk->k->list_kind), "apiVersion",
               partial ? STRF("meta.k8s.io/%s", rq->accepted.version) : STR(sk->api_version),
               "metadata", meta, "items", items);
}

static void reply_list(struct api_request *rq, const struct store_list *l, struct json *meta,
                       struct api_reply *reply)
{
    if (rq->accepted.as == ACCEPT_PLAIN && !rq->accepted.yaml && !request_flag(rq, "pretty")) {
        write_list(rq, l, meta, reply);
        return;
    }
    struct json *list = list_value(rq, l, meta);
    api_reply_json(rq, reply, 200, rq->accepted.as == ACCEPT_TABLE ? make_table(rq, list) : list);
}

static int read_page(struct api_request *rq, const struct page *p, const struct rest_filter *f,
                     struct store_list *ret)
{
    struct store *store = rq->server->store;
    const char *resource = rq->kind->resource;
    size_t limit = rest_filter_empty(f) ? p->limit : 0;
    if (!p->exact) {
        store_list(store, resource, rq->ns, p->after_key, limit, ret);
        return 0;
    }
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (store_list_at(store, resource, rq->ns, p->after_key, limit, p->version, ret, &err) < 0)
        return fail_expired(rq, p);
    return 0;
}

static int list_filtered(struct api_request *rq, const struct rest_filter *f,
                         struct api_reply *reply)
{
    struct page p;
    int r = parse_page(rq, &p);
    if (r < 0)
        return r;
    struct store_list l = { 0 };
    r = read_page(rq, &p, f, &l);
    if (r < 0)
        return r;
    struct kube_object *last = NULL;
    bool more = false;
    filter_items(rq, f, &p, &l, &last, &more);
    const char *cont =
        more && last ? encode_continue(rq->a, l.version, p.inconsistent, last) : NULL;
    reply_list(rq, &l, list_meta(rq, &l, cont, rest_filter_empty(f)), reply);
    store_list_done(&l);
    if (!buf_ok(&reply->body))
        return request_failf(rq, "RequestEntityTooLarge",
                             "the list is larger than %zu MiB; use limit", MAX_LIST / MIB);
    return 0;
}

int rest_list(struct api_request *rq, struct api_reply *reply)
{
    int r = rest_check_list_options(rq, false);
    if (r < 0)
        return r;
    struct rest_filter f;
    r = rest_filter_parse(rq, &f);
    if (r < 0)
        return r;
    r = list_filtered(rq, &f, reply);
    rest_filter_done(&f);
    return r;
}
