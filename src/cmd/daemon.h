/* What the long-running commands share: logging flags, signals, limits. */
#pragma once

#include "base/error.h"
#include "base/flags.h"

struct log_flags {
    const char *level;  /* "debug", "info", "warn", "error" */
    const char *format; /* "text", "json" */
};
#define LOG_FLAGS_INIT                                                                             \
    {                                                                                              \
        "info", "text"                                                                             \
    }
#define LOG_FLAG_ROWS(f)                                                                           \
    { "log-level", FLAG_STRING, &(f).level, "LEVEL", "debug, info, warn or error", 0 },            \
    {                                                                                              \
        "log-format", FLAG_STRING, &(f).format, "FORMAT", "text or json", 0                        \
    }

int log_flags_apply(const struct log_flags *f, struct error **err);

/* Before any thread starts: blocks SIGINT, SIGTERM, SIGHUP and SIGQUIT in this and all later
 * threads, raises the limit of open files, and has libc give memory back. */
void daemon_prepare(void);

/* Waits for one of these signals, at most timeout_ms (-1: for ever). Returns its number, 0 on
 * time-out. Called in a loop by one thread, it gives memory that is not needed now back to the
 * system once a minute. */
int daemon_wait_signal(int64_t timeout_ms);
