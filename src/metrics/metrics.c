/* The registry and its values. A label set is kept under its labels in written form: that is what a
 * scrape prints, and comparing it costs no more than comparing the values one by one. */
#include "metrics/metrics_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

#define SERIES_MAX 10000
#define LABELS_BYTES_MAX (64 * KIB)

struct metric_registry metric_registry = { .scrape = PTHREAD_MUTEX_INITIALIZER,
                                           .mutex = PTHREAD_MUTEX_INITIALIZER };

/* ---- families ------------------------------------------------------------------------------------------------ */

static struct series *series_new(const struct metric *m)
{
    return mem_zalloc(sizeof(struct series) + m->bound_count * sizeof(uint64_t));
}

static bool is_name(const char *s, bool colon)
{
    if (*s == '\0' || (*s >= '0' && *s <= '9'))
        return false;
    for (; *s; s++) {
        bool ok = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                  (*s >= '0' && *s <= '9') || *s == '_' || (colon && *s == ':');
        if (!ok)
            return false;
    }
    return true;
}

static struct metric *family_new(enum metric_kind kind, const char *name, const char *help,
                                 const char *const *labels, const double *bounds,
                                 size_t bound_count)
{
    assert(is_name(name, true));
    struct metric *m = NEW0(struct metric);
    m->kind = kind;
    m->name = mem_strdup(name);
    m->help = mem_strdup(help ? help : "");
    while (labels && labels[m->label_count])
        m->label_count++;
    m->labels = mem_array(NULL, m->label_count + 1, sizeof *m->labels);
    for (size_t i = 0; i < m->label_count; i++) {
        assert(is_name(labels[i], false));
        m->labels[i] = mem_strdup(labels[i]);
    }
    m->labels[m->label_count] = NULL;
    m->bound_count = bound_count;
    m->bounds = mem_array(NULL, bound_count + 1, sizeof *m->bounds);
    for (size_t i = 0; i < bound_count; i++) {
        assert(i == 0 || bounds[i] > bounds[i - 1]);
        m->bounds[i] = bounds[i];
    }
    pthread_mutex_init(&m->mutex, NULL);
    m->series = map_new(free);
    if (m->label_count == 0) /* shows as 0 from the start */
        map_set(m->series, "", series_new(m));
    return m;
}

static struct metric *family(enum metric_kind kind, const char *name, const char *help,
                             const char *const *labels, const double *bounds, size_t bound_count)
{
    LOCK(&metric_registry.mutex);
    struct metric **p = &metric_registry.families;
    while (*p && strcmp((*p)->name, name) < 0)
        p = &(*p)->next;
    if (*p && strcmp((*p)->name, name) == 0) {
        assert((*p)->kind == kind);
        return *p;
    }
    struct metric *m = family_new(kind, name, help, labels, bounds, bound_count);
    m->next = *p;
    *p = m;
    return m;
}

struct metric *metric_counter(const char *name, const char *help, const char *const *labels)
{
    return family(METRIC_COUNTER, name, help, labels, NULL, 0);
}

struct metric *metric_gauge(const char *name, const char *help, const char *const *labels)
{
    return family(METRIC_GAUGE, name, help, labels, NULL, 0);
}

struct metric *metric_histogram(const char *name, const char *help, const char *const *labels,
                                const double *buckets, size_t bucket_count)
{
    return family(METRIC_HISTOGRAM, name, help, labels, buckets, bucket_count);
}

void metrics_on_collect(void (*fn)(void *ctx), void *ctx)
{
    struct collector *c = NEW0(struct collector);
    c->fn = fn;
    c->ctx = ctx;
    LOCK(&metric_registry.mutex);
    struct collector **tail = &metric_registry.collectors;
    while (*tail)
        tail = &(*tail)->next;
    *tail = c;
}

void metrics_collect_stop(void (*fn)(void *ctx), void *ctx)
{
    LOCK(&metric_registry.scrape);
    LOCK(&metric_registry.mutex);
    struct collector **at = &metric_registry.collectors;
    while (*at && ((*at)->fn != fn || (*at)->ctx != ctx))
        at = &(*at)->next;
    struct collector *c = *at;
    if (!c)
        return;
    *at = c->next;
    free(c);
}

/* ---- label sets ---------------------------------------------------------------------------------------------- */

static void put_label_value(struct buf *b, const char *value)
{
    for (const char *p = value ? value : ""; *p;) {
        size_t plain = strcspn(p, "\\\"\n");
        buf_append(b, p, plain);
        p += plain;
        if (*p) {
            buf_append(b, *p == '\n' ? "\\n" : *p == '"' ? "\\\"" : "\\\\", 2);
            p++;
        }
    }
}

static void put_labels(struct buf *b, const struct metric *m, va_list values)
{
    for (size_t i = 0; i < m->label_count; i++) {
        if (i > 0)
            buf_putc(b, ',');
        buf_puts(b, m->labels[i]);
        buf_puts(b, "=\"");
        put_label_value(b, va_arg(values, const char *));
        buf_putc(b, '"');
    }
}

static void count_dropped(void)
{
    metric_add(metric_counter("kaito_metrics_dropped_total",
                              "Label sets that were dropped because their metric had too many.",
                              NULL),
               1);
}

enum operation { ADD, SET, OBSERVE };

static void observe(const struct metric *m, struct series *s, double value)
{
    s->value += value;
    s->count++;
    for (size_t i = 0; i < m->bound_count; i++)
        if (value <= m->bounds[i]) {
            s->buckets[i]++;
            return;
        }
}

static void update(struct metric *m, enum operation operation, double value, va_list values)
{
    AUTO_BUF key = BUF_INIT(LABELS_BYTES_MAX);
    put_labels(&key, m, values);
    bool dropped = !buf_ok(&key);
    if (!dropped) {
        LOCK(&m->mutex);
        struct series *s = map_get(m->series, buf_str(&key));
        if (!s && map_size(m->series) < SERIES_MAX) {
            s = series_new(m);
            map_set(m->series, buf_str(&key), s);
        }
        if (!s)
            dropped = true;
        else if (operation == OBSERVE)
            observe(m, s, value);
        else
            s->value = operation == ADD ? s->value + value : value;
    }
    if (dropped)
        count_dropped();
}

/* ---- values -------------------------------------------------------------------------------------------------- */

void metric_add(struct metric *m, double delta, ...)
{
    assert(m->kind != METRIC_HISTOGRAM && (m->kind == METRIC_GAUGE || delta >= 0));
    va_list values;
    va_start(values, delta);
    update(m, ADD, delta, values);
    va_end(values);
}

void metric_set(struct metric *m, double value, ...)
{
    assert(m->kind == METRIC_GAUGE);
    va_list values;
    va_start(values, value);
    update(m, SET, value, values);
    va_end(values);
}

void metric_observe(struct metric *m, double value, ...)
{
    assert(m->kind == METRIC_HISTOGRAM);
    va_list values;
    va_start(values, value);
    update(m, OBSERVE, value, values);
    va_end(values);
}

double metric_value(struct metric *m, ...)
{
    AUTO_BUF key = BUF_INIT(LABELS_BYTES_MAX);
    va_list values;
    va_start(values, m);
    put_labels(&key, m, values);
    va_end(values);
    LOCK(&m->mutex);
    const struct series *s = map_get(m->series, buf_str(&key));
    return s ? s->value : 0;
}

void metric_remove(struct metric *m, ...)
{
    AUTO_BUF key = BUF_INIT(LABELS_BYTES_MAX);
    va_list values;
    va_start(values, m);
    put_labels(&key, m, values);
    va_end(values);
    LOCK(&m->mutex);
    map_del(m->series, buf_str(&key));
}

void metric_reset(struct metric *m)
{
    LOCK(&m->mutex);
    map_clear(m->series);
    if (m->label_count == 0)
        map_set(m->series, "", series_new(m));
}
