/* Regular expressions as Go's regexp package reads them (RE2 syntax, UTF-8, unanchored search),
 * matched in time linear in the text. Patterns come from users, so back-tracking is no choice, and
 * POSIX lacks \d, (?i), lazy operators and classes of Unicode. Compiled patterns are immutable. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct pattern;

/* Compiles into the arena. -ERROR_INVALID with the words of Go's parser ("error parsing regexp:
 * missing closing ): `(a`"); -ERROR_UNSUPPORTED for a class of Unicode that we have no table of. */
int pattern_compile(struct arena *a, const char *text, const struct pattern **ret,
                    struct error **err);
/* Whether the pattern matches anywhere in the text. */
bool pattern_matches(const struct pattern *p, const char *text, size_t len);
/* Where it first matches at or after `start` (a byte offset), and what Go would take there: of several
 * ways to match, the one that the pattern prefers. */
bool pattern_find(const struct pattern *p, const char *text, size_t len, size_t start,
                  size_t *ret_from, size_t *ret_to);
