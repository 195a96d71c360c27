/* The objects of one informer: by name, by the uid of their controller, and by the value of one
 * label. Reads from any thread; changes from one at a time. */
#pragma once

#include "kube/informer.h"
#include "kube/object_set.h"

struct kube_store;

struct kube_store *kube_store_new(const char *label); /* NULL: by none */
void kube_store_free(struct kube_store *s);

/* What a change has done: at most one object left the store and one entered it. */
struct kube_store_change {
    struct kube_object *old; /* a reference; NULL: it was not there */
    struct kube_object *now; /* a reference; NULL: it is not there any more */
};
/* Takes o over. false: it has this very version already, nothing changed. */
bool kube_store_put(struct kube_store *s, struct kube_object *o, struct kube_store_change *ret);
bool kube_store_remove(struct kube_store *s, const char *ns, const char *name,
                       struct kube_store_change *ret);
void kube_store_change_done(struct kube_store_change *c);

struct kube_object *kube_store_get(struct kube_store *s, const char *ns, const char *name);
void kube_store_list(struct kube_store *s, const char *ns, const struct selector *match,
                     struct kube_object_list *ret);
void kube_store_list_owned(struct kube_store *s, const char *owner_uid,
                           struct kube_object_list *ret);
size_t kube_store_count(struct kube_store *s);
