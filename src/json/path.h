/* The JSONPath subset of printer columns and selectable fields: ".a.b", "['a.b']", "[0]", "[*]",
 * "[?(@.type==\"X\")]", with comparison operators ==, !=, <, <=, >, >= against strings, numbers and
 * booleans. Compiled once, capped in length (1 KiB) and steps (64). */
#pragma once

#include "json/json.h"

struct json_path;

/* With or without braces around it ("{.spec.x}"). -ERROR_INVALID says at which character. */
int json_path_compile(const char *text, struct json_path **ret, struct error **err);
void json_path_free(struct json_path *p);

/* All matches, in document order, as an array that borrows nothing (values are cloned); empty when
 * none. */
struct json *json_path_eval(struct arena *a, const struct json_path *p, const struct json *v);
/* The first match, borrowed from v; NULL when none. */
const struct json *json_path_first(const struct json_path *p, const struct json *v);
