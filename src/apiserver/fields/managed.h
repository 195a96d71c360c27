/* metadata.managedFields: who has set which fields, and what follows from it for a write. Pure. */
#pragma once

#include "apiserver/fields/walk.h"

struct managed_entry {
    const char *manager, *api_version, *subresource; /* never NULL */
    bool applied;                                    /* operation Apply, else Update */
    const char *time;                                /* as in the object; NULL: none */
    struct field_set *set;
};

struct managed {
    struct managed_entry *entries;
    size_t count, cap;
};

/* What a write has to know beside the objects. */
struct managed_context {
    struct arena *a;
    const char *api_version;       /* of the request */
    const char *subresource;       /* "" when none */
    const char *now;               /* RFC 3339 */
    struct field_type type;        /* of the kind in the request's version */
    const struct field_set *reset; /* what writes of this kind leave alone; NULL: nothing */
    /* The kind's type in another version; false: there is none. NULL: there never is. */
    bool (*type_of)(void *ctx, const char *api_version, struct field_type *ret);
    void *ctx;
};

/* -ERROR_INVALID: what stands there cannot be used. */
int managed_parse(struct arena *a, const struct json *entries, struct managed *ret,
                  struct error **err);
/* In the order in which the API server writes them; NULL: none. */
struct json *managed_json(struct arena *a, const struct managed *m);

/* The client asks to forget all managers: an empty list, or one empty entry. */
bool managed_is_reset(const struct json *entries);

/* After an object was created or changed by other means than apply: `manager` has what differs.
 * `live` is what was there before. */
int managed_update(const struct managed_context *x, struct managed *m, const char *manager,
                   const struct json *live, const struct json *next, struct error **err);

struct managed_conflict {
    const struct managed_entry *with;
    const struct field_step **path;
    size_t len;
};
struct managed_conflicts {
    struct managed_conflict *items;
    size_t count, cap;
};

/* Lays `patch` over the live object, takes away what the manager had applied before and now leaves
 * out, unless others have it too. *ret NULL: nothing changes but perhaps the managers. Conflicts
 * and no `force`: -ERROR_CONFLICT, conflicts are filled in, m is of no use any more. */
int managed_apply(const struct managed_context *x, struct managed *m, const char *manager,
                  bool force, const struct json *live, const struct json *patch, struct json **ret,
                  struct managed_conflicts *conflicts, struct error **err);
