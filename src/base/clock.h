/* Time is passed in. Code that waits or stamps takes a `struct clock *`; tests pass a virtual one
 * and move it. */
#pragma once

#include "base/macros.h"

struct clock {
    int64_t (*wall_ns)(struct clock *c); /* nanoseconds since 1970, UTC */
    int64_t (*mono_ns)(struct clock *c); /* monotonic nanoseconds */
};

struct clock *clock_system(void);

/* A clock that stands still until it is moved. Thread-safe. Waiters that use it are woken by their
 * own means: the work queue offers workqueue_poke(). */
struct clock_virtual {
    struct clock clock;
    int64_t wall;
    int64_t mono;
};
void clock_virtual_init(struct clock_virtual *v, int64_t wall_ns);
void clock_virtual_advance(struct clock_virtual *v, int64_t ns);

static inline int64_t clock_wall(struct clock *c)
{
    return c->wall_ns(c);
}
static inline int64_t clock_mono(struct clock *c)
{
    return c->mono_ns(c);
}

/* RFC 3339 as Kubernetes writes metav1.Time ("2026-01-02T15:04:05Z") and MicroTime (six digits of
 * fraction). */
#define TIME_RFC3339_SIZE 32
void time_format_rfc3339(int64_t wall_ns, char out[TIME_RFC3339_SIZE]);
void time_format_rfc3339_micro(int64_t wall_ns, char out[TIME_RFC3339_SIZE]);
void time_format_rfc3339_nano(int64_t wall_ns,
                              char out[TIME_RFC3339_SIZE]); /* nine digits: container log lines */
/* Accepts any fraction and any offset. 0 or -ERROR_INVALID (no text). */
int time_parse_rfc3339(const char *s, int64_t *ret_wall_ns);
/* "5s", "2m3s", "4h", "12d", "3y45d": the short age that kubectl prints in tables. */
void time_format_age(int64_t age_ns, char out[TIME_RFC3339_SIZE]);
