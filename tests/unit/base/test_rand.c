#include "base/rand.h"
#include "unit.h"

static void bytes_are_not_all_the_same(void **state)
{
    unsigned char a[64] = { 0 }, b[64] = { 0 };
    rand_bytes(a, sizeof a);
    rand_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    assert_true(rand_u64() != rand_u64());
}

static void units_lie_below_one(void **state)
{
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        double d = rand_unit();
        assert_true(d >= 0 && d < 1);
        sum += d;
    }
    assert_true(sum > 4500 && sum < 5500);
}

static void suffixes_use_all_letters_alike(void **state)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    int counts[256] = { 0 };
    for (int i = 0; i < 2000; i++) {
        char s[28];
        rand_suffix(s, 27);
        assert_int_equal(strlen(s), 27);
        assert_int_equal(strspn(s, alphabet), 27);
        for (const char *p = s; *p; p++)
            counts[(unsigned char)*p]++;
    }
    for (const char *p = alphabet; *p; p++)
        assert_in_range(counts[(unsigned char)*p], 1700, 2300);
    char none[1];
    rand_suffix(none, 0);
    assert_string_equal(none, "");
}

static void uuids_have_version_and_variant(void **state)
{
    char a[37], b[37];
    rand_uuid(a);
    rand_uuid(b);
    assert_int_equal(strlen(a), 36);
    assert_string_not_equal(a, b);
    assert_int_equal(a[8], '-');
    assert_int_equal(a[23], '-');
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
}

UNIT_TESTS(TEST(bytes_are_not_all_the_same), TEST(units_lie_below_one),
           TEST(suffixes_use_all_letters_alike), TEST(uuids_have_version_and_variant))
