/* A queue of keys: a key is never handed to two workers at once, never lost when it is added while
 * in work, and failing keys come back later and later. Three sets carry this: queued (in order), in
 * work, and dirty while in work. */
#pragma once

#include "base/clock.h"

struct workqueue;

struct workqueue_options {
    const char *name;      /* metrics: workqueue_depth{name=…} … */
    struct clock *clock;   /* NULL: system */
    int64_t base_delay_ms; /* per-key back-off: base * 2^failures; 0: 5 ms */
    int64_t max_delay_ms;  /* 0: 1,000,000 ms */
    size_t max_keys;       /* 0: 1,000,000; further new keys are refused with a log line */
};

struct workqueue *workqueue_new(const struct workqueue_options *options);
void workqueue_free(struct workqueue *q); /* after shutdown and after workers left */
void workqueue_add(struct workqueue *q, const char *key);
/* Overtakes those that are not urgent, for twenty seconds at most. One that is in line already
 * stays where it is. */
void workqueue_add_urgent(struct workqueue *q, const char *key);
void workqueue_add_after(struct workqueue *q, const char *key,
                         int64_t delay_ms);                       /* the earliest time wins */
void workqueue_add_backoff(struct workqueue *q, const char *key); /* counts a failure */
/* The same, and not before min_delay_ms: what a server asked for. */
void workqueue_add_backoff_min(struct workqueue *q, const char *key, int64_t min_delay_ms);
void workqueue_forget(struct workqueue *q, const char *key); /* forgets failures */
unsigned workqueue_failures(struct workqueue *q, const char *key);
/* Blocks; NULL after shutdown. The key is in work until workqueue_done(), which frees it. */
char *workqueue_get(struct workqueue *q);
char *workqueue_try_get(struct workqueue *q); /* NULL when nothing is due */
void workqueue_done(struct workqueue *q, char *key);
void workqueue_shutdown(struct workqueue *q);       /* what still waits stays undone */
size_t workqueue_len(struct workqueue *q);          /* due now */
int64_t workqueue_next_due_ns(struct workqueue *q); /* mono clock; INT64_MAX: none */
/* true when no key is due now or within within_ms, and none is in work. */
bool workqueue_idle(struct workqueue *q, int64_t within_ms);
void workqueue_poke(struct workqueue *q); /* look at the clock again (virtual clocks) */
