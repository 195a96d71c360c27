#include "cmd/daemon.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

int log_flags_apply(const struct log_flags *f, struct error **err)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    enum log_format format;
    if (strcmp(f->format, "text") == 0)
        format = LOG_TEXT;
    else if (strcmp(f->format, "json") == 0)
        format = LOG_JSON;
    else
        return error_set(err, ERROR_INVALID, "--log-format is \"%s\"; it can be text or json",
                         f->format);
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        if (strcmp(f->level, levels[i]) == 0) {
            log_setup((enum log_level)i, format);
            return 0;
        }
    }
    return error_set(err, ERROR_INVALID,
                     "--log-level is \"%s\"; it can be debug, info, warn or error", f->level);
}

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGQUIT);
}

/* Memory that a burst took goes back to the system: a list of 10,000 objects left 114 MiB resident
 * with libc's defaults (one heap for each thread, large blocks kept), 27 MiB with these. */
static void return_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    mallopt(M_ARENA_MAX, 2);
}

/* One mapping of /proc/self/smaps, whose lines come in the order of the fields. */
struct mapping {
    uintptr_t from, to;
    bool droppable;
};

static void drop(const struct mapping *m)
{
    if (m->droppable)
        madvise((void *)m->from, m->to - m->from, MADV_DONTNEED);
}

/* Most of the code of the libraries runs once, while a connection is made and caches are filled;
 * it stays mapped though nobody needs it again. Pages that were not changed come back from the page
 * cache when they are needed. Relocated ones were changed: a mapping that has one is left alone. */
static void drop_code(void)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    if (!f)
        return;
    char line[512];
    struct mapping m = { 0 };
    while (fgets(line, sizeof(line), f)) {
        unsigned long from = 0, to = 0, kib = 0;
        char mode[5] = "", path[2] = "";
        if (sscanf(line, "%lx-%lx %4s %*x %*s %*u %1s", &from, &to, mode, path) >= 3) {
            drop(&m);
            m = (struct mapping){ from, to, mode[1] == '-' && mode[3] == 'p' && path[0] == '/' };
        } else if (sscanf(line, "Anonymous: %lu", &kib) == 1 && kib > 0) {
            m.droppable = false;
        }
    }
    drop(&m);
    fclose(f);
}

/* Soon after the start, then once a minute. */
static void trim_when_due(void)
{
    static int64_t due_ns;
    int64_t now = clock_mono(clock_system());
    if (due_ns == 0)
        due_ns = now + 2 * NS_PER_S;
    if (now < due_ns)
        return;
    due_ns = now + 60 * NS_PER_S;
    malloc_trim(0);
    drop_code();
}

void daemon_prepare(void)
{
    return_memory();
    sigset_t set;
    stop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int daemon_wait_signal(int64_t timeout_ms)
{
    trim_when_due();
    sigset_t set;
    stop_signals(&set);
    struct timespec timeout = { .tv_sec = timeout_ms / 1000,
                                .tv_nsec = timeout_ms % 1000 * NS_PER_MS };
    for (;;) {
        int signal_number =
            timeout_ms < 0 ? sigwaitinfo(&set, NULL) : sigtimedwait(&set, NULL, &timeout);
        if (signal_number > 0)
            return signal_number;
        if (errno == EAGAIN)
            return 0;
    }
}
