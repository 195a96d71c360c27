#include "unit.h"

#include "base/str.h"
#include "http/server.h"

static void check(const char *in, bool plus, const char *want)
{
    char out[64];
    int r = http_url_decode(in, strlen(in), plus, out);
    if (!want) {
        assert_int_equal(r, -ERROR_INVALID);
        return;
    }
    assert_int_equal(r, 0);
    assert_string_equal(out, want);
}

static void decodes_escapes_once(void **state)
{
    check("", false, "");
    check("/api/v1", false, "/api/v1");
    check("a%20b", false, "a b");
    check("a%2Fb%2fc", false, "a/b/c");
    check("%2541", false, "%41");
    check("%e4%b8%ad", false, "\xe4\xb8\xad");
}

static void plus_is_a_space_in_queries_only(void **state)
{
    check("a+b", false, "a+b");
    check("a+b%2B", true, "a b+");
}

static void refuses_bad_escapes_and_nul(void **state)
{
    check("%", false, NULL);
    check("%4", false, NULL);
    check("%4g", false, NULL);
    check("%zz", false, NULL);
    check("a%00b", false, NULL);
}

static void decodes_in_place(void **state)
{
    char s[] = "x%3Dy";
    assert_int_equal(http_url_decode(s, strlen(s), false, s), 0);
    assert_string_equal(s, "x=y");
}

static void names_statuses(void **state)
{
    assert_string_equal(http_status_text(200), "OK");
    assert_string_equal(http_status_text(404), "Not Found");
    assert_string_equal(http_status_text(409), "Conflict");
    assert_string_equal(http_status_text(0), "Unknown");
    assert_string_equal(http_status_text(-5), "Unknown");
}

UNIT_TESTS(TEST(decodes_escapes_once), TEST(plus_is_a_space_in_queries_only),
           TEST(refuses_bad_escapes_and_nul), TEST(decodes_in_place), TEST(names_statuses))
