/* The verbs, for all kinds alike. Each reads the request as handler.c has prepared it and fills in
 * the reply; negative: the request has a failure. */
#pragma once

#include "apiserver/request.h"
#include "apiserver/store.h"

struct selector;

int rest_get(struct api_request *rq, struct api_reply *reply);
int rest_list(struct api_request *rq, struct api_reply *reply);
int rest_create(struct api_request *rq, struct api_reply *reply);
int rest_update(struct api_request *rq, struct api_reply *reply);
int rest_patch(struct api_request *rq, struct api_reply *reply);
int rest_delete(struct api_request *rq, struct api_reply *reply);
int rest_delete_collection(struct api_request *rq, struct api_reply *reply);

/* ---- what the verbs share -------------------------------------------------------------------------------------- */

/* The object has this version's form already: its text can be sent as it is. */
bool rest_is_as_stored(const struct served_kind *sk, const struct kube_object *o);
/* The object in this version: apiVersion rewritten, pruned and defaulted by the version's schema.
 */
struct json *rest_view(struct arena *a, const struct served_kind *sk, const struct kube_object *o);
/* Answers with one object, in the form that the client accepts. */
void rest_reply_object(struct api_request *rq, struct api_reply *reply, int status,
                       struct kube_object *o);
void rest_reply_value(struct api_request *rq, struct api_reply *reply, int status,
                      struct json *value);
/* {"kind":"PartialObjectMetadata", …} of an object. */
struct json *rest_partial(struct arena *a, const struct json *obj, const char *version);

/* Which objects of a resource: labelSelector and fieldSelector. */
struct rest_filter {
    struct selector *labels; /* NULL: all */
    struct selector *fields;
    bool fields_need_value; /* the field selector asks for more than metadata.name and
                               metadata.namespace */
    const struct api_kind *k;
};
int rest_filter_parse(struct api_request *rq, struct rest_filter *ret);
void rest_filter_done(struct rest_filter *f);
/* value: the parsed object, used if fields_need_value; may be NULL else. */
bool rest_filter_matches(const struct rest_filter *f, const struct kube_object *o,
                         const struct json *value);
bool rest_filter_empty(const struct rest_filter *f);

/* resourceVersion of reads: "" and "0" give 0. Fails when it is no number or beyond the newest. */
int rest_parse_version(struct api_request *rq, const char *text, uint64_t *ret);
int rest_fail_too_large_version(struct api_request *rq, uint64_t version);
int rest_check_list_options(struct api_request *rq, bool watch);

/* ---- kinds with rules of their own ------------------------------------------------------------------------------- */

struct rest_hooks {
    const char *resource;
    /* In the decision about a write, after the strategy's prepare: what the server itself keeps in
     * the object. old: NULL on create. */
    void (*on_write)(struct api_request *rq, struct json *obj, const struct json *old);
    /* Fails when the request's object must not be deleted. */
    int (*check_delete)(struct api_request *rq);
    /* The object begins to be deleted: adds finalizers, conditions. */
    void (*on_delete)(struct api_request *rq, struct json *obj);
    /* The object waits for more than metadata.finalizers. */
    bool (*holds)(const struct json *obj);
    /* A write is durable and visible. */
    void (*after)(struct apiserver *s);
};
/* NULL for kinds without. */
const struct rest_hooks *rest_hooks_of(const struct served_kind *sk);

/* Fails when objects cannot be created in the request's namespace: absent, or being deleted.
 * newest: the staged state counts, inside a decision. */
int rest_check_namespace(struct api_request *rq, const char *name, bool newest);
