/* The elements of one array of a JSON text, one after the other, so that a long list need not lie
 * in memory as values. Strings and brackets are told apart, nothing else is checked: whoever parses
 * each element, and what is left of the text without them, has checked all of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct json_elements {
    const char *at;  /* of what comes next */
    const char *end; /* of the text */
    bool first;
};

/* The array that is the member `key` of the object `text`; the first of several. false: there is
 * none, or it cannot be told (the key is written with escapes, the text is no object). */
bool json_elements_find(const char *text, size_t len, const char *key, struct json_elements *ret);
/* The next one. false: there are no more, `at` is behind the closing bracket; or there is something
 * else, `at` is NULL. */
bool json_elements_next(struct json_elements *e, const char **ret, size_t *ret_len);
