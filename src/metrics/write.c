/* The Prometheus text format, version 0.0.4: families by name, label sets by their text, so that
 * two scrapes of the same values are the same bytes. Numbers are written as Go's client library
 * writes them, since dashboards match on the text of `le`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "metrics/metrics_internal.h"

#define NUMBER_SIZE 64

/* The fewest digits that give the same double; with an exponent below 1e-4 and from 1e6 on. */
static void put_number(struct buf *b, double v)
{
    if (isnan(v)) {
        buf_puts(b, "NaN");
        return;
    }
    if (isinf(v)) {
        buf_puts(b, v > 0 ? "+Inf" : "-Inf");
        return;
    }
    char text[NUMBER_SIZE];
    int digits = 1;
    for (; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, v);
        if (strtod(text, NULL) == v)
            break;
    }
    long exponent = strtol(strchr(text, 'e') + 1, NULL, 10);
    if (v != 0 && (exponent < -4 || exponent >= 6))
        buf_puts(b, text);
    else
        buf_printf(b, "%.*f", (int)MAX(digits - 1 - exponent, 0L), v);
}

static void put_help(struct buf *b, const char *help)
{
    for (const char *p = help; *p; p++) {
        if (*p == '\\')
            buf_puts(b, "\\\\");
        else if (*p == '\n')
            buf_puts(b, "\\n");
        else
            buf_putc(b, *p);
    }
}

static void put_sample(struct buf *b, const char *name, const char *suffix, const char *labels,
                       double value)
{
    buf_puts(b, name);
    buf_puts(b, suffix);
    if (*labels)
        buf_printf(b, "{%s}", labels);
    buf_putc(b, ' ');
    put_number(b, value);
    buf_putc(b, '\n');
}

static void put_bucket(struct buf *b, const char *name, const char *labels, double bound,
                       uint64_t count)
{
    buf_printf(b, "%s_bucket{%s%sle=\"", name, labels, *labels ? "," : "");
    put_number(b, bound);
    buf_puts(b, "\"} ");
    put_number(b, (double)count);
    buf_putc(b, '\n');
}

static void put_histogram(struct buf *b, const struct metric *m, const char *labels,
                          const struct series *s)
{
    uint64_t cumulative = 0;
    for (size_t i = 0; i < m->bound_count; i++) {
        cumulative += s->buckets[i];
        put_bucket(b, m->name, labels, m->bounds[i], cumulative);
    }
    put_bucket(b, m->name, labels, INFINITY, s->count);
    put_sample(b, m->name, "_sum", labels, s->value);
    put_sample(b, m->name, "_count", labels, (double)s->count);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_family(struct buf *b, struct metric *m)
{
    static const char *const kinds[] = { "counter", "gauge", "histogram" };
    LOCK(&m->mutex);
    size_t count = map_size(m->series);
    if (count == 0)
        return;
    buf_printf(b, "# HELP %s ", m->name);
    put_help(b, m->help);
    buf_printf(b, "\n# TYPE %s %s\n", m->name, kinds[m->kind]);

    AUTO_FREE const char **keys = mem_array(NULL, count, sizeof *keys);
    struct map_iter it = MAP_ITER_INIT;
    for (size_t i = 0; i < count; i++)
        map_next(m->series, &it, &keys[i], NULL);
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 0; i < count; i++) {
        const struct series *s = map_get(m->series, keys[i]);
        if (m->kind == METRIC_HISTOGRAM)
            put_histogram(b, m, keys[i], s);
        else
            put_sample(b, m->name, "", keys[i], s->value);
    }
}

static struct collector *collector_after(struct collector *c)
{
    LOCK(&metric_registry.mutex);
    return c ? c->next : metric_registry.collectors;
}

void metrics_write(struct buf *out)
{
    /* Without the registry's lock, since collectors may register what they find. */
    LOCK(&metric_registry.scrape);
    for (struct collector *c = collector_after(NULL); c; c = collector_after(c))
        c->fn(c->ctx);
    LOCK(&metric_registry.mutex);
    for (struct metric *m = metric_registry.families; m; m = m->next)
        write_family(out, m);
}
