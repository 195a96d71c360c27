/* A decision holds what is put into it, in order, and never more than its limit. */
#include "unit.h"

#include "operator/decision.h"
#include "json/build.h"

static void writes_keep_their_order(void **state)
{
    AUTO_ARENA a = arena_new();
    struct decision d = { 0 };
    for (int i = 0; i < 100; i++)
        decision_write(a, &d, WRITE_DELETE, &KUBE_PODS, arena_printf(a, "p%d", i), NULL);
    assert_int_equal(d.write_count, 100);
    for (int i = 0; i < 100; i++)
        assert_string_equal(d.writes[i].name, arena_printf(a, "p%d", i));
}

static void there_is_a_limit(void **state)
{
    AUTO_ARENA a = arena_new();
    struct decision d = { 0 };
    for (int i = 0; i < DECISION_MAX_WRITES + 10; i++) {
        decision_write(a, &d, WRITE_DELETE, &KUBE_PODS, "p", NULL);
        decision_event(a, &d, "Normal", "R", "m");
    }
    assert_int_equal(d.write_count, DECISION_MAX_WRITES);
    assert_int_equal(d.event_count, DECISION_MAX_EVENTS);
}

static void the_earliest_look_counts(void **state)
{
    struct decision d = { 0 };
    decision_requeue(&d, 0);
    assert_int_equal(d.requeue_ms, 0);
    decision_requeue(&d, 500);
    decision_requeue(&d, 900);
    decision_requeue(&d, 0);
    assert_int_equal(d.requeue_ms, 500);
}

UNIT_TESTS(TEST(writes_keep_their_order), TEST(there_is_a_limit), TEST(the_earliest_look_counts))
