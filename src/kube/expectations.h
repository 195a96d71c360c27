/* Creates and deletes that were issued and not yet seen in the cache, per owner key. While some are
 * open (and younger than five minutes) a controller must not count the cache again, or it would
 * create twice. */
#pragma once

#include "base/clock.h"

struct expectations;
struct expectations *expectations_new(struct clock *clock);
void expectations_free(struct expectations *e);
void expectations_expect(struct expectations *e, const char *key, unsigned creates,
                         unsigned deletes); /* adds */
void expectations_seen_create(struct expectations *e, const char *key);
void expectations_seen_delete(struct expectations *e, const char *key);
bool expectations_satisfied(struct expectations *e, const char *key);
void expectations_forget(struct expectations *e, const char *key);
