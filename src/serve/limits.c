/* How much memory and how many processors this process may use: the machine's figures, cut by
 * control groups. */
#include "serve/serve.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define SMALL_FILE (64 * KIB)

static uint64_t meminfo_available(void)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    if (file_read("/proc/meminfo", SMALL_FILE, &text, &len, NULL) < 0)
        return UINT64_MAX;
    const char *line = strstr(text, "MemAvailable:");
    return line ? strtoull(line + strlen("MemAvailable:"), NULL, 10) * KIB : UINT64_MAX;
}

/* A number in a file of a control group; UINT64_MAX when absent or "max". */
static uint64_t read_number(const char *dir, const char *file)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    if (file_read(path, SMALL_FILE, &text, &len, NULL) < 0)
        return UINT64_MAX;
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    return end == text ? UINT64_MAX : value;
}

/* The directory of this process in the unified hierarchy ("" when there is none). */
static void own_cgroup(char *out, size_t size)
{
    out[0] = '\0';
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    if (file_read("/proc/self/cgroup", SMALL_FILE, &text, &len, NULL) < 0)
        return;
    char *line = strstr(text, "0::/");
    if (!line || (line != text && line[-1] != '\n'))
        return;
    line += strlen("0::");
    line[strcspn(line, "\n")] = '\0';
    snprintf(out, size, "%s%s", CGROUP_ROOT, line);
}

/* Calls fn for the directory and each one above it up to the root of the hierarchy. */
static void for_each_above(char *dir, void (*fn)(const char *dir, void *ctx), void *ctx)
{
    while (strlen(dir) > strlen(CGROUP_ROOT)) {
        fn(dir, ctx);
        *strrchr(dir, '/') = '\0';
    }
}

static void limit_memory(const char *dir, void *ctx)
{
    uint64_t *available = ctx;
    uint64_t most = read_number(dir, "memory.max");
    uint64_t used = read_number(dir, "memory.current");
    if (most != UINT64_MAX && used != UINT64_MAX)
        *available = MIN(*available, most > used ? most - used : 0);
}

uint64_t serve_memory_available(void)
{
    uint64_t available = meminfo_available();
    char dir[2048];
    own_cgroup(dir, sizeof(dir));
    for_each_above(dir, limit_memory, &available);
    return available;
}

static void limit_cpus(const char *dir, void *ctx)
{
    unsigned *cpus = ctx;
    char path[4096];
    snprintf(path, sizeof(path), "%s/cpu.max", dir);
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    unsigned long long quota = 0;
    unsigned long long period = 0;
    if (file_read(path, SMALL_FILE, &text, &len, NULL) == 0 &&
        sscanf(text, "%llu %llu", &quota, &period) == 2 && period > 0)
        *cpus = MIN(*cpus, (unsigned)MAX((quota + period - 1) / period, 1));
}

unsigned serve_cpu_count(void)
{
    cpu_set_t set;
    unsigned cpus = 1;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        cpus = (unsigned)MAX(CPU_COUNT(&set), 1);
    char dir[2048];
    own_cgroup(dir, sizeof(dir));
    for_each_above(dir, limit_cpus, &cpus);
    return cpus;
}
