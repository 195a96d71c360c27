#include "kube/expectations.h"

#include "unit.h"

static void are_open_until_all_is_seen(void **state)
{
    struct clock_virtual clock;
    clock_virtual_init(&clock, 0);
    struct expectations *e = expectations_new(&clock.clock);
    assert_true(expectations_satisfied(e, "a"));
    expectations_expect(e, "a", 2, 1);
    assert_false(expectations_satisfied(e, "a"));
    assert_true(expectations_satisfied(e, "b"));
    expectations_seen_create(e, "a");
    expectations_seen_create(e, "a");
    expectations_seen_create(e, "a"); /* somebody else's */
    expectations_seen_create(e, "b");
    assert_false(expectations_satisfied(e, "a"));
    expectations_seen_delete(e, "a");
    assert_true(expectations_satisfied(e, "a"));
    expectations_free(e);
}

static void add_up(void **state)
{
    struct clock_virtual clock;
    clock_virtual_init(&clock, 0);
    struct expectations *e = expectations_new(&clock.clock);
    expectations_expect(e, "a", 0, 0);
    assert_true(expectations_satisfied(e, "a"));
    expectations_expect(e, "a", 1, 0);
    expectations_expect(e, "a", 1, 0);
    expectations_seen_create(e, "a");
    assert_false(expectations_satisfied(e, "a"));
    expectations_forget(e, "a");
    assert_true(expectations_satisfied(e, "a"));
    expectations_free(e);
}

static void expire_after_five_minutes(void **state)
{
    struct clock_virtual clock;
    clock_virtual_init(&clock, 0);
    struct expectations *e = expectations_new(&clock.clock);
    expectations_expect(e, "a", 1, 0);
    clock_virtual_advance(&clock, 299 * NS_PER_S);
    assert_false(expectations_satisfied(e, "a"));
    clock_virtual_advance(&clock, 1 * NS_PER_S);
    assert_true(expectations_satisfied(e, "a"));
    /* What has expired does not count into the next. */
    expectations_expect(e, "a", 1, 0);
    clock_virtual_advance(&clock, 301 * NS_PER_S);
    expectations_expect(e, "a", 1, 0);
    expectations_seen_create(e, "a");
    assert_true(expectations_satisfied(e, "a"));
    expectations_free(e);
}

UNIT_TESTS(TEST(are_open_until_all_is_seen), TEST(add_up), TEST(expire_after_five_minutes))
