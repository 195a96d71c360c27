/* The process_* metrics that every Prometheus client library has, under the same names. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/str.h"
#include "metrics/metrics.h"

static struct {
    struct metric *memory;
    struct metric *cpu;
    struct metric *fds;
    struct metric *start;
} metrics;

static double count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    int n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 3; /* ".", ".." and the directory itself */
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Boot time plus the ticks after which the process began. */
static double start_time(void)
{
    uint64_t ticks = 0;
    process_start_time(getpid(), &ticks, NULL);
    struct timespec boot, wall;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME, &wall);
    double booted =
        (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9;
    double start = booted + (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return (double)(int64_t)(start * 100) / 100; /* a tick is 10 ms */
}

static void collect(void *ctx)
{
    /* A counter that is set: the kernel counts. */
    metric_add(metrics.cpu, MAX(cpu_seconds() - metric_value(metrics.cpu), 0.0));
    metric_set(metrics.memory, (double)process_rss(getpid()));
    metric_set(metrics.fds, count_fds());
}

void metrics_register_process(void)
{
    metrics.memory =
        metric_gauge("process_resident_memory_bytes", "Resident memory size in bytes.", NULL);
    metrics.cpu = metric_counter("process_cpu_seconds_total",
                                 "Total user and system CPU time spent in seconds.", NULL);
    metrics.fds = metric_gauge("process_open_fds", "Number of open file descriptors.", NULL);
    metrics.start = metric_gauge("process_start_time_seconds",
                                 "Start time of the process since unix epoch in seconds.", NULL);
    metric_set(metrics.start, start_time());
    metrics_on_collect(collect, NULL);
}
