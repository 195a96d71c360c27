/* Which Event an occurrence belongs to, and whether it is written at all. Pure but for its memory;
 * for one thread. */
#pragma once

#include "base/macros.h"

struct event_correlator;

struct event_correlator *event_correlator_new(void);
void event_correlator_free(struct event_correlator *c);

/* One occurrence: `object` names the involved object (kind, namespace, name, uid), texts as given.
 */
struct event_occurrence {
    const char *object;
    const char *type;
    const char *reason;
    const char *message;
    int64_t wall_ns;
};

/* What to do about it. Strings live until the next call. */
struct event_decision {
    bool drop;        /* this object has had its share */
    bool combined;    /* message is to be shown as "(combined from similar events): …" */
    const char *key;  /* for event_correlator_written() */
    const char *name; /* of the Event to count up; NULL: make a new one */
    int64_t count;    /* with this one */
    int64_t first_ns;
};

void event_correlate(struct event_correlator *c, const struct event_occurrence *o,
                     struct event_decision *ret);
/* The Event of this key has this name now. */
void event_correlator_written(struct event_correlator *c, const char *key, const char *name);
