#include "kube/workqueue.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/thread.h"
#include "unit.h"

static struct workqueue *new_queue(struct clock_virtual *clock)
{
    clock_virtual_init(clock, 0);
    return workqueue_new(&(struct workqueue_options){ .name = "test", .clock = &clock->clock });
}

static void end(struct workqueue *q)
{
    workqueue_shutdown(q);
    workqueue_free(q);
}

static void expect_get(struct workqueue *q, const char *wanted)
{
    char *key = workqueue_try_get(q);
    if (!wanted) {
        assert_null(key);
        return;
    }
    assert_non_null(key);
    assert_string_equal(key, wanted);
    workqueue_done(q, key);
}

static void keys_come_in_order_and_once(void **state)
{
    struct clock_virtual clock;
    struct workqueue *q = new_queue(&clock);
    workqueue_add(q, "b");
    workqueue_add(q, "a");
    workqueue_add(q, "b");
    assert_int_equal(workqueue_len(q), 2);
    expect_get(q, "b");
    expect_get(q, "a");
    expect_get(q, NULL);
    assert_true(workqueue_next_due_ns(q) == INT64_MAX);
    end(q);
}

static void a_key_in_work_is_not_handed_out_and_not_lost(void **state)
{
    struct clock_virtual clock;
    struct workqueue *q = new_queue(&clock);
    workqueue_add(q, "a");
    char *key = workqueue_get(q);
    assert_false(workqueue_idle(q, 0));
    workqueue_add(q, "a");
    workqueue_add(q, "a");
    expect_get(q, NULL);
    assert_int_equal(workqueue_len(q), 0);
    workqueue_done(q, key);
    assert_int_equal(workqueue_len(q), 1);
    expect_get(q, "a");
    expect_get(q, NULL);
    assert_true(workqueue_idle(q, 1000000));
    end(q);
}

static void delayed_keys_wait_for_their_time(void **state)
{
    struct clock_virtual clock;
    struct workqueue *q = new_queue(&clock);
    workqueue_add_after(q, "later", 200);
    workqueue_add_after(q, "sooner", 100);
    workqueue_add_after(q, "now", 0);
    expect_get(q, "now");
    expect_get(q, NULL);
    assert_true(workqueue_next_due_ns(q) == clock.mono + 100 * NS_PER_MS);
    assert_true(workqueue_idle(q, 99));
    assert_false(workqueue_idle(q, 100));
    clock_virtual_advance(&clock, 100 * NS_PER_MS);
    assert_int_equal(workqueue_len(q), 1);
    expect_get(q, "sooner");
    expect_get(q, NULL);
    clock_virtual_advance(&clock, 100 * NS_PER_MS);
    expect_get(q, "later");
    end(q);
}

static void the_earliest_time_wins(void **state)
{
    struct clock_virtual clock;
    struct workqueue *q = new_queue(&clock);
    workqueue_add_after(q, "a", 100);
    workqueue_add_after(q, "a", 300);
    workqueue_add_after(q, "b", 300);
    workqueue_add_after(q, "b", 100);
    clock_virtual_advance(&clock, 100 * NS_PER_MS);
    assert_int_equal(workqueue_len(q), 2);
    expect_get(q, "a");
    expect_get(q, "b");
    clock_virtual_advance(&clock, 1000 * NS_PER_MS);
    expect_get(q, NULL);
    /* A key that is due now keeps its later date too. */
    workqueue_add_after(q, "a", 100);
    workqueue_add(q, "a");
    expect_get(q, "a");
    clock_virtual_advance(&clock, 100 * NS_PER_MS);
    expect_get(q, "a");
    /* And one whose time comes while it is in work is not lost. */
    workqueue_add(q, "a");
    char *key = workqueue_get(q);
    workqueue_add_after(q, "a", 100);
    clock_virtual_advance(&clock, 100 * NS_PER_MS);
    expect_get(q, NULL);
    workqueue_done(q, key);
    expect_get(q, "a");
    end(q);
}

static void failing_keys_come_back_later_and_later(void **state)
{
    struct clock_virtual clock;
    struct workqueue *q = new_queue(&clock);
    int64_t delay = 5;
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(workqueue_failures(q, "a"), i);
        workqueue_add_backoff(q, "a");
        assert_true(workqueue_next_due_ns(q) - clock.mono == delay * NS_PER_MS);
        clock_virtual_advance(&clock, delay * NS_PER_MS - 1);
        expect_get(q, NULL);
        clock_virtual_advance(&clock, 1);
        expect_get(q, "a");
        delay = MIN(delay * 2, INT64_C(1000000));
    }
    workqueue_forget(q, "a");
    assert_int_equal(workqueue_failures(q, "a"), 0);
    workqueue_add_backoff(q, "a");
    assert_true(workqueue_next_due_ns(q) - clock.mono == 5 * NS_PER_MS);
    workqueue_add_backoff_min(q, "b", 700);
    clock_virtual_advance(&clock, 699 * NS_PER_MS);
    expect_get(q, "a");
    expect_get(q, NULL);
    clock_virtual_advance(&clock, 1 * NS_PER_MS);
    expect_get(q, "b");
    end(q);
}

static void many_delays_come_in_order(void **state)
{
    struct clock_virtual clock;
    struct workqueue *q = new_queue(&clock);
    int64_t due[2000];
    for (int i = 0; i < 2000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        due[i] = INT64_MAX;
        for (int n = 0; n < 3; n++) { /* some move forward in the heap */
            int64_t delay = 1 + (int64_t)(rand_u64() % 100000);
            due[i] = MIN(due[i], delay);
            workqueue_add_after(q, key, delay);
        }
    }
    int64_t start = clock.mono;
    for (int seen = 0; seen < 2000; seen++) {
        int64_t next = workqueue_next_due_ns(q);
        assert_true(next != INT64_MAX);
        if (next > clock.mono)
            clock_virtual_advance(&clock, next - clock.mono);
        char *key = workqueue_try_get(q);
        assert_non_null(key);
        assert_true(due[atoi(key)] == (clock.mono - start) / NS_PER_MS);
        workqueue_done(q, key);
    }
    expect_get(q, NULL);
    end(q);
}

static char last_line[256];

static void keep_line(const char *line, size_t len, void *ctx)
{
    snprintf(last_line, sizeof(last_line), "%.*s", (int)len, line);
    ++*(int *)ctx;
}

static void a_full_queue_refuses_new_keys(void **state)
{
    struct workqueue *q =
        workqueue_new(&(struct workqueue_options){ .name = "small", .max_keys = 2 });
    int lines = 0;
    log_set_sink(keep_line, &lines);
    workqueue_add(q, "a");
    workqueue_add_after(q, "b", 1000);
    workqueue_add(q, "c");
    workqueue_add(q, "d");
    workqueue_add(q, "b"); /* known */
    log_set_sink(NULL, NULL);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(last_line, "small"));
    assert_int_equal(workqueue_len(q), 2);
    end(q);
}

static void *getter(void *arg)
{
    struct workqueue *q = arg;
    char *key = workqueue_get(q);
    if (key)
        workqueue_done(q, key);
    return key ? (void *)1 : NULL;
}

static void shutdown_wakes_who_waits(void **state)
{
    struct clock_virtual clock;
    struct workqueue *q = new_queue(&clock);
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "getter", getter, q, NULL), 0);
    usleep(20000);
    workqueue_shutdown(q);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *result = &clock;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    workqueue_add(q, "a");
    assert_null(workqueue_get(q));
    workqueue_free(q);
}

static void a_poke_makes_it_look_at_a_virtual_clock(void **state)
{
    struct clock_virtual clock;
    struct workqueue *q = new_queue(&clock);
    workqueue_add_after(q, "a", 1000);
    pthread_t thread;
    assert_int_equal(thread_start(&thread, "getter", getter, q, NULL), 0);
    usleep(20000);
    clock_virtual_advance(&clock, 1000 * NS_PER_MS);
    workqueue_poke(q);
    void *result = NULL;
    pthread_join(thread, &result);
    assert_non_null(result);
    end(q);
}

/* Two workers wait without a limit. One is woken for a delayed key, takes a key that came first,
 * and stays with it: the other must have taken over the watch of the clock. */
static atomic_int slow_seen, quick_seen;

static void *slow_worker(void *arg)
{
    struct workqueue *q = arg;
    char *key;
    while ((key = workqueue_get(q))) {
        if (STREQ(key, "slow")) {
            atomic_store(&slow_seen, 1);
            usleep(300000);
            assert_int_equal(atomic_load(&quick_seen), 1);
        } else {
            atomic_store(&quick_seen, 1);
        }
        workqueue_done(q, key);
    }
    return NULL;
}

static void a_busy_worker_does_not_hold_up_delayed_keys(void **state)
{
    struct workqueue *q = workqueue_new(&(struct workqueue_options){ .name = "test" });
    pthread_t threads[2];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "worker", slow_worker, q, NULL), 0);
    usleep(20000);
    workqueue_add_after(q, "quick", 50);
    usleep(10000);
    workqueue_add(q, "slow");
    usleep(400000);
    workqueue_shutdown(q);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(threads[i]);
    assert_int_equal(atomic_load(&slow_seen), 1);
    assert_int_equal(atomic_load(&quick_seen), 1);
    workqueue_free(q);
}

/* ---- many threads ------------------------------------------------------------------------------------------- */

#define KEYS 37
#define WORKERS 6
#define PRODUCERS 4
#define ADDS 8000

static struct {
    struct workqueue *q;
    atomic_uint wanted[KEYS], done[KEYS], in_work[KEYS];
    atomic_uint handled, twice;
} crowd;

static void *crowd_worker(void *arg)
{
    char *key;
    unsigned n = 0;
    while ((key = workqueue_get(crowd.q))) {
        int i = atoi(key);
        if (atomic_exchange(&crowd.in_work[i], 1))
            atomic_fetch_add(&crowd.twice, 1);
        unsigned wanted = atomic_load(&crowd.wanted[i]);
        if (++n % 64 == 0)
            usleep(100);
        if (n % 7 == 0)
            workqueue_add_backoff(crowd.q, key);
        else if (n % 5 == 0)
            workqueue_add_after(crowd.q, key, 1);
        else
            workqueue_forget(crowd.q, key);
        atomic_store(&crowd.done[i], wanted);
        atomic_store(&crowd.in_work[i], 0);
        atomic_fetch_add(&crowd.handled, 1);
        workqueue_done(crowd.q, key);
    }
    return NULL;
}

static void *crowd_producer(void *arg)
{
    for (int n = 0; n < ADDS; n++) {
        unsigned i = (unsigned)(rand_u64() % KEYS);
        char key[16];
        snprintf(key, sizeof(key), "%u", i);
        atomic_fetch_add(&crowd.wanted[i], 1);
        if (n % 11 == 0)
            workqueue_add_after(crowd.q, key, (int64_t)(rand_u64() % 3));
        else
            workqueue_add(crowd.q, key);
    }
    return NULL;
}

static void never_twice_at_once_and_never_lost(void **state)
{
    crowd.q = workqueue_new(
        &(struct workqueue_options){ .name = "crowd", .base_delay_ms = 1, .max_delay_ms = 4 });
    pthread_t workers[WORKERS], producers[PRODUCERS];
    for (size_t i = 0; i < WORKERS; i++)
        assert_int_equal(thread_start(&workers[i], "worker", crowd_worker, NULL, NULL), 0);
    for (size_t i = 0; i < PRODUCERS; i++)
        assert_int_equal(thread_start(&producers[i], "producer", crowd_producer, NULL, NULL), 0);
    for (size_t i = 0; i < PRODUCERS; i++)
        thread_join(producers[i]);
    /* Requeues by the workers go on for ever; what was wanted when the producers ended must be seen
     * soon. */
    bool all = false;
    for (int tries = 0; tries < 2000 && !all; tries++) {
        all = true;
        for (int i = 0; i < KEYS; i++)
            all = all && atomic_load(&crowd.done[i]) == atomic_load(&crowd.wanted[i]);
        usleep(5000);
    }
    workqueue_shutdown(crowd.q);
    for (size_t i = 0; i < WORKERS; i++)
        thread_join(workers[i]);
    workqueue_free(crowd.q);
    assert_true(all);
    assert_int_equal(atomic_load(&crowd.twice), 0);
    assert_true(atomic_load(&crowd.handled) >= KEYS);
}

static void expect_next(struct workqueue *q, const char *key)
{
    char *got = workqueue_try_get(q);
    assert_non_null(got);
    assert_string_equal(got, key);
    workqueue_done(q, got);
}

static void urgent_keys_overtake_for_a_while(void **state)
{
    struct clock_virtual clock;
    clock_virtual_init(&clock, 0);
    struct workqueue *q = workqueue_new(&(struct workqueue_options){ .clock = &clock.clock });
    workqueue_add(q, "a");
    workqueue_add(q, "b");
    workqueue_add_urgent(q, "u");
    workqueue_add_urgent(q, "v");
    workqueue_add_urgent(q, "b"); /* is in line already */
    assert_int_equal(workqueue_len(q), 4);
    expect_next(q, "u");
    clock_virtual_advance(&clock, 21 * NS_PER_S);
    expect_next(q, "a");
    expect_next(q, "b");
    expect_next(q, "v");
    assert_null(workqueue_try_get(q));

    /* In work it is dirty, and joins the urgent line afterwards. */
    workqueue_add(q, "w");
    char *w = workqueue_try_get(q);
    workqueue_add_urgent(q, "w");
    workqueue_add(q, "x");
    workqueue_done(q, w);
    expect_next(q, "w");
    expect_next(q, "x");
    workqueue_shutdown(q);
    workqueue_free(q);
}

UNIT_TESTS(TEST(urgent_keys_overtake_for_a_while), TEST(keys_come_in_order_and_once),
           TEST(a_key_in_work_is_not_handed_out_and_not_lost),
           TEST(delayed_keys_wait_for_their_time), TEST(the_earliest_time_wins),
           TEST(failing_keys_come_back_later_and_later), TEST(many_delays_come_in_order),
           TEST(a_full_queue_refuses_new_keys), TEST(shutdown_wakes_who_waits),
           TEST(a_poke_makes_it_look_at_a_virtual_clock),
           TEST(a_busy_worker_does_not_hold_up_delayed_keys),
           TEST(never_twice_at_once_and_never_lost))
