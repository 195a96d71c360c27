/* One item per key that anything is known about. It can be in the line of due keys, in the heap of
 * those that wait for their time, and in work, in any combination but the first and the last: a key
 * that is added while it is in work is only marked dirty, and joins the line when the work is done.
 * That is what makes "never twice at once, never lost" hold. An item that is in none of these and
 * has no failures is forgotten. */
#include "kube/workqueue.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/thread.h"
#include "metrics/metrics.h"

#define LONGEST_WAIT_NS (20 * NS_PER_S) /* of a key, while urgent ones overtake it */

struct item {
    char *key;
    unsigned failures;
    bool in_line;
    bool urgent; /* in that line, when it is in one */
    bool in_work;
    bool dirty;
    size_t heap_at; /* place in the heap + 1; 0: not there */
    int64_t due_ns;
    int64_t added_ns;
    int64_t started_ns;
    struct item *next; /* in the line */
};

struct line {
    struct item *first, *last;
};

struct workqueue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct clock *clock;
    char *name;
    int64_t base_delay_ms;
    int64_t max_delay_ms;
    size_t max_keys;
    struct map *items;
    struct line line, urgent;
    size_t line_len;    /* of both */
    struct item **heap; /* by due_ns, earliest on top */
    size_t heap_len, heap_cap;
    size_t in_work;
    uint64_t refused;
    bool shut_down;
};

/* ---- metrics ------------------------------------------------------------------------------------------------ */

static struct {
    struct metric *depth, *adds, *retries, *waiting, *working, *unfinished, *longest;
} metrics;

static void metrics_init(void)
{
    static const char *const labels[] = { "name", "controller", NULL };
    static const double buckets[] = { 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3,
                                      1e-2, 1e-1, 1,    10,   100,  1000 };
    metrics.depth =
        metric_gauge("workqueue_depth", "Keys that are due and not in work yet", labels);
    metrics.adds = metric_counter("workqueue_adds_total", "Keys put into the line", labels);
    metrics.retries =
        metric_counter("workqueue_retries_total", "Keys put off to be tried again", labels);
    metrics.waiting = metric_histogram("workqueue_queue_duration_seconds",
                                       "How long a due key waits before work on it starts", labels,
                                       buckets, COUNT_OF(buckets));
    metrics.working =
        metric_histogram("workqueue_work_duration_seconds", "How long the work on a key takes",
                         labels, buckets, COUNT_OF(buckets));
    metrics.unfinished =
        metric_gauge("workqueue_unfinished_work_seconds",
                     "How long all keys in work have been in work, together", labels);
    metrics.longest = metric_gauge("workqueue_longest_running_processor_seconds",
                                   "How long the oldest key in work has been in work", labels);
}

static double seconds(int64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

/* ---- heap --------------------------------------------------------------------------------------------------- */

static void heap_put(struct workqueue *q, size_t at, struct item *item)
{
    q->heap[at] = item;
    item->heap_at = at + 1;
}

static void heap_rise(struct workqueue *q, size_t at)
{
    struct item *item = q->heap[at];
    while (at > 0 && item->due_ns < q->heap[(at - 1) / 2]->due_ns) {
        heap_put(q, at, q->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(q, at, item);
}

static void heap_sink(struct workqueue *q, size_t at)
{
    struct item *item = q->heap[at];
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= q->heap_len)
            break;
        if (child + 1 < q->heap_len && q->heap[child + 1]->due_ns < q->heap[child]->due_ns)
            child++;
        if (item->due_ns <= q->heap[child]->due_ns)
            break;
        heap_put(q, at, q->heap[child]);
        at = child;
    }
    heap_put(q, at, item);
}

static void heap_add(struct workqueue *q, struct item *item)
{
    if (q->heap_len == q->heap_cap) {
        q->heap_cap = q->heap_cap ? q->heap_cap * 2 : 64;
        q->heap = mem_array(q->heap, q->heap_cap, sizeof(*q->heap));
    }
    q->heap[q->heap_len] = item;
    heap_rise(q, q->heap_len++);
}

static void heap_remove(struct workqueue *q, struct item *item)
{
    size_t at = item->heap_at - 1;
    item->heap_at = 0;
    struct item *last = q->heap[--q->heap_len];
    if (last == item)
        return;
    heap_put(q, at, last);
    heap_rise(q, at);
    heap_sink(q, last->heap_at - 1);
}

/* ---- items -------------------------------------------------------------------------------------------------- */

static void item_free(void *p)
{
    struct item *item = p;
    free(item->key);
    free(item);
}

static void item_drop_if_idle(struct workqueue *q, struct item *item)
{
    if (!item->in_line && !item->in_work && !item->heap_at && item->failures == 0)
        map_del(q->items, item->key);
}

/* NULL: refused, or shut down. */
static struct item *item_for(struct workqueue *q, const char *key)
{
    if (q->shut_down)
        return NULL;
    struct item *item = map_get(q->items, key);
    if (item)
        return item;
    if (map_size(q->items) >= q->max_keys) {
        /* Once per ten thousand: whoever floods the queue must not flood the log too. */
        if (q->refused++ % 10000 == 0)
            log_error("work queue is full, a key was refused", "queue", q->name, "key", key, NULL);
        return NULL;
    }
    item = NEW0(struct item);
    item->key = mem_strdup(key);
    map_set(q->items, key, item);
    return item;
}

static void line_append(struct workqueue *q, struct item *item)
{
    item->in_line = true;
    item->added_ns = clock_mono(q->clock);
    item->next = NULL;
    struct line *line = item->urgent ? &q->urgent : &q->line;
    if (line->last)
        line->last->next = item;
    else
        line->first = item;
    line->last = item;
    q->line_len++;
    metric_set(metrics.depth, (double)q->line_len, q->name, q->name);
    pthread_cond_signal(&q->changed);
}

static void line_up(struct workqueue *q, struct item *item)
{
    if (item->in_line || item->dirty)
        return;
    metric_add(metrics.adds, 1, q->name, q->name);
    if (item->in_work)
        item->dirty = true;
    else
        line_append(q, item);
}

static void line_up_due(struct workqueue *q)
{
    int64_t now = q->heap_len > 0 ? clock_mono(q->clock) : 0;
    while (q->heap_len > 0 && q->heap[0]->due_ns <= now) {
        struct item *item = q->heap[0];
        heap_remove(q, item);
        line_up(q, item);
    }
}

static void wait_for_time(struct workqueue *q, struct item *item, int64_t delay_ms)
{
    if (delay_ms <= 0) {
        line_up(q, item);
        return;
    }
    /* A year stands for ever, and keeps the sum far from overflow. */
    const int64_t year_ms = INT64_C(365) * 24 * 3600 * 1000;
    int64_t due = clock_mono(q->clock) + MIN(delay_ms, year_ms) * NS_PER_MS;
    if (item->heap_at) {
        if (due >= item->due_ns)
            return;
        item->due_ns = due;
        heap_rise(q, item->heap_at - 1);
    } else {
        item->due_ns = due;
        heap_add(q, item);
    }
    if (q->heap[0] == item)
        pthread_cond_signal(&q->changed);
}

/* Of the keys that are in work at a scrape. */
static void collect_in_work(void *ctx)
{
    struct workqueue *q = ctx;
    double sum = 0, longest = 0;
    {
        LOCK(&q->lock);
        int64_t now = clock_mono(q->clock);
        struct map_iter it = MAP_ITER_INIT;
        void *value = NULL;
        while (q->in_work > 0 && map_next(q->items, &it, NULL, &value)) {
            const struct item *item = value;
            if (!item->in_work)
                continue;
            double age = seconds(now - item->started_ns);
            sum += age;
            longest = MAX(longest, age);
        }
    }
    metric_set(metrics.unfinished, sum, q->name, q->name);
    metric_set(metrics.longest, longest, q->name, q->name);
}

/* ---- the queue ---------------------------------------------------------------------------------------------- */

struct workqueue *workqueue_new(const struct workqueue_options *options)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, metrics_init);

    struct workqueue *q = NEW0(struct workqueue);
    pthread_mutex_init(&q->lock, NULL);
    cond_init_monotonic(&q->changed);
    q->clock = options->clock ? options->clock : clock_system();
    q->name = mem_strdup(options->name ? options->name : "");
    q->base_delay_ms = options->base_delay_ms > 0 ? options->base_delay_ms : 5;
    q->max_delay_ms = options->max_delay_ms > 0 ? options->max_delay_ms : 1000000;
    q->max_keys = options->max_keys > 0 ? options->max_keys : 1000000;
    q->items = map_new(item_free);
    metric_set(metrics.depth, 0, q->name, q->name);
    metric_add(metrics.adds, 0, q->name, q->name);
    metric_add(metrics.retries, 0, q->name, q->name);
    metrics_on_collect(collect_in_work, q);
    return q;
}

void workqueue_free(struct workqueue *q)
{
    if (!q)
        return;
    metrics_collect_stop(collect_in_work, q);
    map_free(q->items);
    free(q->heap);
    free(q->name);
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

void workqueue_add(struct workqueue *q, const char *key)
{
    LOCK(&q->lock);
    struct item *item = item_for(q, key);
    if (item)
        line_up(q, item);
}

void workqueue_add_urgent(struct workqueue *q, const char *key)
{
    LOCK(&q->lock);
    struct item *item = item_for(q, key);
    if (!item)
        return;
    if (!item->in_line)
        item->urgent = true;
    line_up(q, item);
}

void workqueue_add_after(struct workqueue *q, const char *key, int64_t delay_ms)
{
    LOCK(&q->lock);
    struct item *item = item_for(q, key);
    if (item)
        wait_for_time(q, item, delay_ms);
}

static int64_t backoff_ms(const struct workqueue *q, unsigned failures)
{
    if (failures >= 40 || q->base_delay_ms > q->max_delay_ms >> failures)
        return q->max_delay_ms;
    return q->base_delay_ms << failures;
}

void workqueue_add_backoff_min(struct workqueue *q, const char *key, int64_t min_delay_ms)
{
    LOCK(&q->lock);
    struct item *item = item_for(q, key);
    if (!item)
        return;
    metric_add(metrics.retries, 1, q->name, q->name);
    int64_t delay = backoff_ms(q, item->failures);
    if (item->failures < UINT32_MAX)
        item->failures++;
    wait_for_time(q, item, MAX(delay, min_delay_ms));
}

void workqueue_add_backoff(struct workqueue *q, const char *key)
{
    workqueue_add_backoff_min(q, key, 0);
}

void workqueue_forget(struct workqueue *q, const char *key)
{
    LOCK(&q->lock);
    struct item *item = map_get(q->items, key);
    if (!item)
        return;
    item->failures = 0;
    item_drop_if_idle(q, item);
}

unsigned workqueue_failures(struct workqueue *q, const char *key)
{
    LOCK(&q->lock);
    struct item *item = map_get(q->items, key);
    return item ? item->failures : 0;
}

/* The urgent ones, unless another has waited for long. */
static struct line *next_line(struct workqueue *q)
{
    if (!q->urgent.first)
        return &q->line;
    const struct item *other = q->line.first;
    bool late = other && clock_mono(q->clock) - other->added_ns > LONGEST_WAIT_NS;
    return late ? &q->line : &q->urgent;
}

/* Under the lock. */
static char *take_first(struct workqueue *q)
{
    struct line *line = next_line(q);
    struct item *item = line->first;
    if (!item || q->shut_down)
        return NULL;
    line->first = item->next;
    if (!line->first)
        line->last = NULL;
    q->line_len--;
    item->in_line = false;
    item->urgent = false;
    item->in_work = true;
    item->started_ns = clock_mono(q->clock);
    q->in_work++;
    metric_set(metrics.depth, (double)q->line_len, q->name, q->name);
    metric_observe(metrics.waiting, seconds(item->started_ns - item->added_ns), q->name, q->name);
    /* This worker leaves the wait: another one must look after what is in line and after the next
     * due time. */
    if (q->line_len > 0 || q->heap_len > 0)
        pthread_cond_signal(&q->changed);
    return mem_strdup(item->key);
}

char *workqueue_get(struct workqueue *q)
{
    LOCK(&q->lock);
    for (;;) {
        if (q->shut_down)
            return NULL;
        line_up_due(q);
        char *key = take_first(q);
        if (key)
            return key;
        /* A virtual clock does not move by itself: then only a change of the queue or a poke ends
         * the wait. */
        bool timed = q->heap_len > 0 && q->clock == clock_system();
        cond_wait_until(&q->changed, &q->lock, timed ? q->heap[0]->due_ns : INT64_MAX);
    }
}

char *workqueue_try_get(struct workqueue *q)
{
    LOCK(&q->lock);
    line_up_due(q);
    return take_first(q);
}

void workqueue_done(struct workqueue *q, char *key)
{
    LOCK(&q->lock);
    struct item *item = map_get(q->items, key);
    free(key);
    if (!item || !item->in_work)
        return;
    metric_observe(metrics.working, seconds(clock_mono(q->clock) - item->started_ns), q->name,
                   q->name);
    item->in_work = false;
    q->in_work--;
    if (item->dirty) {
        item->dirty = false;
        line_append(q, item);
    }
    item_drop_if_idle(q, item);
}

void workqueue_shutdown(struct workqueue *q)
{
    LOCK(&q->lock);
    q->shut_down = true;
    pthread_cond_broadcast(&q->changed);
}

size_t workqueue_len(struct workqueue *q)
{
    LOCK(&q->lock);
    line_up_due(q);
    return q->line_len;
}

int64_t workqueue_next_due_ns(struct workqueue *q)
{
    LOCK(&q->lock);
    if (q->line_len > 0)
        return clock_mono(q->clock);
    return q->heap_len > 0 ? q->heap[0]->due_ns : INT64_MAX;
}

bool workqueue_idle(struct workqueue *q, int64_t within_ms)
{
    LOCK(&q->lock);
    if (q->line_len > 0 || q->in_work > 0)
        return false;
    return q->heap_len == 0 || q->heap[0]->due_ns - clock_mono(q->clock) > within_ms * NS_PER_MS;
}

void workqueue_poke(struct workqueue *q)
{
    LOCK(&q->lock);
    pthread_cond_broadcast(&q->changed);
}
