/* How long something may take in a test: what it should take, and slack for other work on the
 * machine. */
#pragma once

#include "base/clock.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLACK 10
#else
#define SLACK 3
#endif

static inline int64_t elapsed_ms(int64_t start_ns)
{
    return (clock_mono(clock_system()) - start_ns) / NS_PER_MS;
}

static inline bool within(int64_t start_ns, int64_t ms)
{
    return elapsed_ms(start_ns) < ms * SLACK;
}
