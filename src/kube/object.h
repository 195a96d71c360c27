/* A cached object: reference-counted, immutable bytes with a few decoded keys. Any thread may hold
 * one. */
#pragma once

#include "json/json.h"

struct kube_object {
    /* decoded keys, "" when absent; they live as long as the object */
    const char *ns;
    const char *name;
    const char *uid;
    const char *resource_version;
    const char
        *controller_uid; /* of the ownerReference with controller: true; and its kind and name */
    const char *controller_kind;
    const char *controller_name;
    int64_t generation;
    bool deleting;      /* metadata.deletionTimestamp is set */
    const char *labels; /* key, value, key, value …, each NUL-terminated; see kube_object_label() */
    size_t label_count;
    const char *text; /* JSON, NUL-terminated */
    size_t text_len;
};

/* Makes an object from a parsed value (written compactly). */
struct kube_object *kube_object_new(const struct json *value);
struct kube_object *kube_object_ref(struct kube_object *o);
void kube_object_unref(struct kube_object *o); /* NULL is fine */
DEFINE_CLEANUP(struct kube_object *, kube_object_unref, kube_object_cleanup)

/* A fresh, changeable copy of the whole object in the arena. Never NULL: the text was valid. */
struct json *kube_object_parse(struct arena *a, const struct kube_object *o);
/* The value of a label; NULL when it has none of this key. */
const char *kube_object_label(const struct kube_object *o, const char *key);

/* "ns/name", or "name" when ns is empty: the key of queues and caches. */
char *kube_key(struct arena *a, const char *ns, const char *name);
/* Splits a key in the arena. */
void kube_key_split(struct arena *a, const char *key, const char **ret_ns, const char **ret_name);
