/* The Common Expression Language as far as rules in CustomResourceDefinitions use it: all operators
 * and macros of the language, the string, list and regular-expression functions of Kubernetes.
 * Values are JSON: there are no timestamps, durations, bytes, quantities, addresses or URLs, and
 * what asks for them does not compile. Compiled programs are immutable and may be used by any
 * thread. */
#pragma once

#include "json/json.h"

struct cel_program;

/* What the compiler may ask about the values of `self` and `oldSelf`, so that it finds fields that
 * there can never be. A type is whatever the caller likes; NULL: anything. */
struct cel_types {
    const void *self;
    /* The type of a field; *ret_known false: a value of this type never has it. */
    const void *(*member)(const void *type, const char *name, bool *ret_known);
    /* The type of the elements of a list, or of the values of a map. */
    const void *(*element)(const void *type);
};

/* -ERROR_INVALID with the place and what is wrong there ("ERROR: <input>:1:6: undeclared reference
 * to 'foo' …"); functions and identifiers that are not known here are refused so by name. `types`
 * may be NULL. */
int cel_compile(struct arena *a, const char *text, const struct cel_types *types,
                const struct cel_program **ret, struct error **err);

/* Whether it asks what the value was before. */
bool cel_uses_old_self(const struct cel_program *p);

/* The value of the expression, in the arena. Errors: as the language defines them (no such key, no
 * such overload, division by zero, …), or more than a million steps. */
int cel_eval(struct arena *a, const struct cel_program *p, const struct json *self,
             const struct json *old_self, const struct json **ret, struct error **err);
