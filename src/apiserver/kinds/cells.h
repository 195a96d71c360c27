/* Cells of tables: what kubectl prints. */
#pragma once

#include "json/json.h"

#define NAME_DESCRIPTION "Name of the object, unique among its kind in the namespace."
#define AGE_DESCRIPTION "Time since the object was created."

/* The age of a time ("5m3s"), "<unknown>" when it is NULL or empty. */
struct json *cell_age(struct arena *a, const char *rfc3339, int64_t now_wall_ns);
/* Since metadata.creationTimestamp. */
struct json *cell_object_age(struct arena *a, const struct json *obj, int64_t now_wall_ns);
/* The string, or `otherwise` when it is NULL or empty. */
struct json *cell_text(struct arena *a, const char *s, const char *otherwise);
/* "a=b,c=d" in the order of keys, "<none>" when there are none. */
struct json *cell_labels(struct arena *a, const struct json *labels);
