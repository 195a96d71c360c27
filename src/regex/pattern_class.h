/* Sets of characters for patterns: sorted ranges of code points. */
#pragma once

#include "base/arena.h"

struct char_class;

struct char_class *char_class_new(struct arena *a);
void char_class_add(struct arena *a, struct char_class *c, uint32_t low, uint32_t high);
void char_class_merge(struct arena *a, struct char_class *c, const struct char_class *other);
void char_class_negate(struct arena *a, struct char_class *c);
/* Adds the other case of the letters of ASCII and Latin-1, Greek and Cyrillic. */
void char_class_fold(struct arena *a, struct char_class *c);
/* Puts the ranges in order, after the last change and before the first question. */
void char_class_finish(struct char_class *c);
bool char_class_has(const struct char_class *c, uint32_t rune);

struct char_class *char_class_perl(struct arena *a, char letter); /* 'd', 's', 'w' */
struct char_class *char_class_posix(struct arena *a, const char *name,
                                    size_t len); /* NULL: no such class */
struct char_class *char_class_unicode(struct arena *a, const char *name,
                                      size_t len); /* NULL: not known */

/* Decodes one character of UTF-8 and returns its length; a bad byte is U+FFFD of length 1. len > 0.
 */
size_t char_decode(const char *s, size_t len, uint32_t *ret);
