#include "machine/address.h"

#include "machine_test.h"

static void addresses_come_one_after_the_other(void **state)
{
    struct address_pool *p = NULL;
    char one[ADDRESS_SIZE], two[ADDRESS_SIZE], again[ADDRESS_SIZE];
    assert_int_equal(address_pool_new("127.97.0.0/16", 0, &p, NULL), 0);
    assert_int_equal(address_pool_take(p, one, NULL), 0);
    assert_int_equal(address_pool_take(p, two, NULL), 0);
    assert_string_equal(one, "127.97.0.1");
    assert_string_equal(two, "127.97.0.2");
    address_pool_release(p, one);
    assert_int_equal(address_pool_take(p, again, NULL), 0);
    assert_string_equal(again, "127.97.0.3");
    address_pool_free(p);
}

static void a_claimed_address_is_not_handed_out(void **state)
{
    struct address_pool *p = NULL;
    char one[ADDRESS_SIZE];
    assert_int_equal(address_pool_new("127.97.0.0/16", 0, &p, NULL), 0);
    assert_true(address_pool_claim(p, "127.97.0.1"));
    assert_false(address_pool_claim(p, "127.97.0.1"));
    assert_false(address_pool_claim(p, "127.98.0.1"));
    assert_false(address_pool_claim(p, "127.97.0.0"));
    assert_false(address_pool_claim(p, "127.97.255.255"));
    assert_false(address_pool_claim(p, "x"));
    assert_int_equal(address_pool_take(p, one, NULL), 0);
    assert_string_equal(one, "127.97.0.2");
    address_pool_free(p);
}

static void a_small_block_runs_out(void **state)
{
    struct address_pool *p = NULL;
    struct error *err = NULL;
    char ip[ADDRESS_SIZE];
    assert_int_equal(address_pool_new("127.1.2.4/30", 0, &p, NULL), 0);
    assert_int_equal(address_pool_take(p, ip, NULL), 0);
    assert_int_equal(address_pool_take(p, ip, NULL), 0);
    assert_string_equal(ip, "127.1.2.6");
    assert_error(address_pool_take(p, ip, &err), err, ERROR_TOO_MANY, "all 2 addresses");
    address_pool_release(p, "127.1.2.5");
    assert_int_equal(address_pool_take(p, ip, NULL), 0);
    assert_string_equal(ip, "127.1.2.5");
    address_pool_free(p);
}

static void the_seed_is_where_it_begins(void **state)
{
    struct address_pool *p = NULL;
    char ip[ADDRESS_SIZE];
    assert_int_equal(address_pool_new("127.97.0.0/24", 254 + 252, &p, NULL), 0);
    assert_int_equal(address_pool_take(p, ip, NULL), 0);
    assert_string_equal(ip, "127.97.0.253");
    assert_int_equal(address_pool_take(p, ip, NULL), 0);
    assert_string_equal(ip, "127.97.0.254");
    assert_int_equal(address_pool_take(p, ip, NULL), 0);
    assert_string_equal(ip, "127.97.0.1");
    address_pool_free(p);
}

static void bad_blocks_are_refused(void **state)
{
    static const char *const bad[] = { "",           "127.97.0.0",  "127.97.0.0/7", "127.97.0.0/31",
                                       "10.0.0.0/8", "127.97.0/16", "x/16" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct address_pool *p = NULL;
        struct error *err = NULL;
        assert_error(address_pool_new(bad[i], 0, &p, &err), err, ERROR_INVALID, bad[i]);
    }
}

UNIT_TESTS(TEST(addresses_come_one_after_the_other), TEST(a_claimed_address_is_not_handed_out),
           TEST(a_small_block_runs_out), TEST(the_seed_is_where_it_begins),
           TEST(bad_blocks_are_refused))
