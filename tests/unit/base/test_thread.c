#include <signal.h>

#include "base/clock.h"
#include "base/thread.h"
#include "unit.h"

struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int count;
    bool signals_blocked;
    char name[16];
};

static void *add(void *arg)
{
    struct shared *s = arg;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int i = 0; i < 10000; i++) {
        LOCK(&s->mutex);
        s->count++;
    }
    LOCK(&s->mutex);
    s->signals_blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1;
    pthread_cond_broadcast(&s->changed);
    return s;
}

static void shared_init(struct shared *s)
{
    *s = (struct shared){ .mutex = PTHREAD_MUTEX_INITIALIZER };
    cond_init_monotonic(&s->changed);
}

static void locks_hold_to_the_end_of_the_block(void **state)
{
    struct shared s;
    shared_init(&s);
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "a-name-longer-than-fifteen", add, &s, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(threads[i]);
    assert_int_equal(s.count, 40000);
    assert_true(s.signals_blocked);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGTERM), 0); /* the starter's mask is as before */
}

static void waiting_ends_at_the_deadline(void **state)
{
    struct shared s;
    shared_init(&s);
    LOCK(&s.mutex);
    int64_t start = clock_mono(clock_system());
    while (cond_wait_until(&s.changed, &s.mutex, start + 20 * NS_PER_MS))
        ; /* woken for no reason */
    int64_t waited = clock_mono(clock_system()) - start;
    assert_true(waited >= 20 * NS_PER_MS);
    assert_false(cond_wait_until(&s.changed, &s.mutex, -1));
}

static void waiting_ends_with_the_signal(void **state)
{
    struct shared s;
    shared_init(&s);
    pthread_t thread;
    {
        LOCK(&s.mutex);
        assert_int_equal(thread_start(&thread, "adder", add, &s, NULL), 0);
        int64_t deadline = clock_mono(clock_system()) + 60 * NS_PER_S;
        while (s.count < 10000)
            assert_true(cond_wait_until(&s.changed, &s.mutex, deadline));
    }
    thread_join(thread);
}

UNIT_TESTS(TEST(locks_hold_to_the_end_of_the_block), TEST(waiting_ends_at_the_deadline),
           TEST(waiting_ends_with_the_signal))
