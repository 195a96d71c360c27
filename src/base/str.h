/* Strings: tests, parsing, splitting, comparing names. All take NUL-terminated strings. */
#pragma once

#include <string.h>

#include "base/arena.h"

bool str_has_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);
/* The rest of s after prefix, or NULL. */
const char *str_skip_prefix(const char *s, const char *prefix);
bool str_eq(const char *a, const char *b);       /* NULL equals NULL only */
const char *str_or_empty(const char *s);         /* "" for NULL */
bool str_empty(const char *s);                   /* NULL or "" */
bool str_case_eq(const char *a, const char *b);  /* ASCII */
char *str_lower(struct arena *a, const char *s); /* ASCII */
char *str_trim(struct arena *a, const char *s);  /* white space at both ends */
/* As one word of a POSIX shell: as it is when nothing in it means anything to a shell, else quoted.
 */
char *str_shell_word(struct arena *a, const char *s);
char *str_replace(struct arena *a, const char *s, const char *from, const char *to);

/* Whole-string numbers: 0, or -ERROR_INVALID without an error text. No white space, no overflow. */
int str_to_int64(const char *s, int64_t *ret);
int str_to_uint64(const char *s, uint64_t *ret);
int str_to_double(const char *s, double *ret);

/* Splits at each `sep`; empty parts are kept. The array ends with NULL; *ret_n may be NULL. */
char **str_split(struct arena *a, const char *s, char sep, size_t *ret_n);
char *str_join(struct arena *a, char *const *parts, size_t n, const char *sep);

/* Go durations: "1h2m3.5s", "300ms", "0". */
int str_to_duration_ns(const char *s, int64_t *ret);

/* Length of the longest valid UTF-8 prefix of the first len bytes; == len when all of it is valid.
 */
size_t str_utf8_valid_len(const char *s, size_t len);

/* Edit distance with an upper bound (returns bound + 1 when larger); ASCII case-insensitive. */
size_t str_distance(const char *a, const char *b, size_t bound);
/* The up to `max` candidates nearest to `s`, best first: those at a distance of at most half its
 * length, then those that contain it. Returns the count. */
size_t str_nearest(const char *s, const char *const *candidates, size_t n, const char **ret,
                   size_t max);
