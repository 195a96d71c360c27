/* What the files of the registry share. */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "metrics/metrics.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* One label set of a family. */
struct series {
    double value;   /* counters and gauges; histograms: the sum */
    uint64_t count; /* histograms: of all observations */
    uint64_t
        buckets[]; /* histograms: not cumulative; those above the last bound are in count only */
};

struct metric {
    struct metric *next;
    enum metric_kind kind;
    char *name;
    char *help;
    char **labels;
    size_t label_count;
    double *bounds;
    size_t bound_count;
    pthread_mutex_t mutex;
    struct map *series; /* by the labels as they are written: `a="1",b="2"` */
};

struct collector {
    struct collector *next;
    void (*fn)(void *ctx);
    void *ctx;
};

struct metric_registry {
    /* Held during a scrape, before the other one: collectors need no locks of their own, and none
     * is taken away while it runs. */
    pthread_mutex_t scrape;
    pthread_mutex_t mutex;
    struct metric *families; /* sorted by name */
    struct collector *collectors;
};
extern struct metric_registry metric_registry;
