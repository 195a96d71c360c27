/* Builders that keep an object as readable as the YAML it makes. They allocate in the arena called
 * `a` in scope.
 *
 *     struct json *service = OBJ(
 *         "apiVersion", STR("v1"),
 *         "kind", STR("Service"),
 *         "metadata", OBJ("name", STR(name), "namespace", STR(ns)),
 *         "spec", OBJ("type", STR("ClusterIP"), "ports", ARR(OBJ("port", INT(80)))));
 *
 * A member or element that is NULL is left out, so optional parts read `"nodeSelector", selector`.
 */
#pragma once

#include "json/json.h"

extern struct json *const json_end_; /* closes the element list of json_array_of() */

struct json *json_object_of(struct arena *a, const char *key, ...) ATTR_SENTINEL;
struct json *json_array_of(struct arena *a, ...);

#define OBJ(...) json_object_of(a, __VA_ARGS__, (char *)NULL)
#define ARR(...) json_array_of(a, __VA_ARGS__, json_end_)
#define EMPTY_OBJ() json_new_object(a)
#define EMPTY_ARR() json_new_array(a)
#define STR(s) json_new_string(a, (s))
#define STRF(...) json_new_stringf(a, __VA_ARGS__)
#define INT(n) json_new_int(a, (n))
#define BOOL(b) json_new_bool(a, (b))
#define NUL() json_new_null(a)
