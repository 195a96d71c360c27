/* Reading and writing the metadata and conditions that all objects share. Pure. */
#pragma once

#include "kube/resource.h"
#include "json/build.h"

const char *meta_name(const struct json *obj); /* "" when absent */
const char *meta_namespace(const struct json *obj);
const char *meta_uid(const struct json *obj);
const char *meta_resource_version(const struct json *obj);
int64_t meta_generation(const struct json *obj);
const char *meta_label(const struct json *obj, const char *key); /* NULL when absent */
const char *meta_annotation(const struct json *obj, const char *key);
bool meta_deleting(const struct json *obj);
bool meta_has_finalizer(const struct json *obj, const char *finalizer);

/* An ownerReference to obj with controller and blockOwnerDeletion true. */
struct json *meta_controller_ref(struct arena *a, const struct json *owner,
                                 const struct kube_resource *resource);
/* The ownerReference with controller: true, or NULL. */
const struct json *meta_controller_of(const struct json *obj);
bool meta_controlled_by(const struct json *obj, const char *uid);

struct condition {
    const char *type;
    const char *status; /* "True", "False", "Unknown" */
    const char *reason;
    const char *message;
};

const struct json *condition_find(const struct json *conditions, const char *type);
bool condition_is(const struct json *conditions, const char *type, const char *status);
/* Sets a metav1.Condition in the array: lastTransitionTime moves only when the status flips. */
void condition_set(struct arena *a, struct json *conditions, const struct condition *c,
                   int64_t observed_generation, int64_t now_wall_ns);
bool condition_remove(struct json *conditions, const char *type);
