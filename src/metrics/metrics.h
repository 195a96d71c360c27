/* Counters, gauges and histograms with labels, written in the Prometheus text format. The registry
 * is the second of the two globals of the project. All calls are thread-safe. A family holds at
 * most 10,000 label sets; beyond that new ones are counted in kaito_metrics_dropped_total and
 * dropped. */
#pragma once

#include "base/buf.h"

struct metric;

/* labels: NULL-terminated names. The families live as long as the process. Registering a name twice
 * returns the first. */
struct metric *metric_counter(const char *name, const char *help, const char *const *labels);
struct metric *metric_gauge(const char *name, const char *help, const char *const *labels);
/* buckets: ascending upper bounds, +Inf is added. */
struct metric *metric_histogram(const char *name, const char *help, const char *const *labels,
                                const double *buckets, size_t bucket_count);

/* The values of the labels follow, as many strings as the family has labels. */
void metric_add(struct metric *m, double delta, ...);     /* counter, gauge */
void metric_set(struct metric *m, double value, ...);     /* gauge */
void metric_observe(struct metric *m, double value, ...); /* histogram */
double metric_value(struct metric *m, ...);               /* counter, gauge; 0 when never set */
void metric_remove(struct metric *m, ...);                /* that label set */
void metric_reset(struct metric *m);                      /* all label sets */

/* A function that refreshes gauges just before each exposition. */
void metrics_on_collect(void (*fn)(void *ctx), void *ctx);
/* Takes it back; returns when it does not run and will not. Not from such a function. */
void metrics_collect_stop(void (*fn)(void *ctx), void *ctx);
/* process_resident_memory_bytes, process_cpu_seconds_total, process_open_fds,
 * process_start_time_seconds. */
void metrics_register_process(void);
void metrics_write(struct buf *out); /* families sorted by name */
