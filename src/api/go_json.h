/* The text that Go's encoding/json makes of a typed value: members in the order of the struct,
 * empty ones left out or kept as the type says, maps sorted, quantities canonical. The hash of a
 * Workspace is taken over such text, so a Workspace that was hashed by the Go operator must come
 * out byte for byte the same here. The types are data (data/hash-types.json,
 * data/workspace-types.json). */
#pragma once

#include "json/json.h"

struct go_types; /* immutable once made; any thread may read it */

/* The types of a Workspace. Never fails: the data are part of the executable. */
struct go_types *go_types_new(void);
void go_types_free(struct go_types *t);
DEFINE_CLEANUP(struct go_types *, go_types_free, go_types_cleanup)

/* Appends v (NULL: absent) as a value of the named type ("Resource", "*Inference"). Unknown members
 * are dropped, as Go does. -ERROR_INVALID, with the path (which begins with `path`), when a value
 * is not of its type. */
int go_json_write(const struct go_types *t, const char *type, const char *path,
                  const struct json *v, struct buf *out, struct error **err);

/* Whether v can be read as the named type without losing anything: -ERROR_INVALID also when a
 * member is unknown to it. *ret_field: the path of what is wrong (in the arena); the error's text
 * says why without it. Ill-formed quantities and times count. */
int go_json_check(const struct go_types *t, const char *type, const struct json *v, struct arena *a,
                  const char **ret_field, struct error **err);
