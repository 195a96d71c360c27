/* Formats against what the API server's format library says of them. */
#include "schema/format.h"
#include "schema_test.h"

static const struct {
    const char *format;
    const char *good[8];
    const char *bad[10];
} formats[] = {
    { "date", { "2024-02-29" }, { "2023-02-29", "2024-1-1", "2024-13-01", "" } },
    { "date-time",
      { "2024-01-02T03:04:05Z", "2024-01-02t03:04:05z", "2024-01-02T03:04:05.123+01:00",
        "2024-01-02T03:04:05,5Z" },
      { "2024-01-02 03:04:05Z", "2024-01-02T24:00:00Z", "2024-01-02T03:04:60Z",
        "2024-02-30T03:04:05Z", "2024-01-02T03:04:05" } },
    { "datetime", { "2024-01-02T03:04:05Z" }, { "now" } },
    { "duration", { "1h30m", "3 weeks", "1.5h", "10 ns", "1d" }, { "soon", "h", "" } },
    { "email",
      { "a@b.c", "Bob <b@c.d>", "\"q q\" <a@b>", "\"q\"@b.c", "a@[1.2.3.4]", "a@b (x)" },
      { "a@", "@b", "a b@c", "a..b@c", "a@b@c", "" } },
    { "hostname",
      { "a.example.com", "\xc3\xa9.example.com", "a.bc", "xn--a.bc" },
      { "-a.bc", "a..bc", "a_b.cd", "" } },
    { "ipv4", { "1.2.3.4", "01.2.3.4", "::ffff:1.2.3.4" }, { "1.2.3", "256.1.1.1", "::1", "" } },
    { "ipv6",
      { "::1", "fe80::1", "::ffff:1.2.3.4" },
      { "1.2.3.4", "fe80::1%eth0", "1::2::3", "" } },
    { "cidr", { "10.0.0.0/8", "1.2.3.4/08", "::/0" }, { "1.2.3.4", "1.2.3.4/33", "::/129", "/8" } },
    { "mac",
      { "01:23:45:67:89:ab", "01-23-45-67-89-AB", "0123.4567.89ab", "0123456789ab" },
      { "01:23-45:67:89:ab", "01:23:45:67:89", "0123.4567.89a", "" } },
    { "uri",
      { "http://a.b/c?d#e", "/abs/path", "mailto:a@b.c", "urn:x y", "http://[::1]:80/", "*",
        "http://u:p@h:80" },
      { "a/b", "http://[::1", "http://a:x/", "http://%41.com", "http://a/%zz", "", "http://a\n",
        "http://a b/" } },
    { "uuid",
      { "123e4567-e89b-12d3-a456-426614174000", "123E4567E89B12D3A456426614174000" },
      { "123e4567-e89b-12d3-a456-42661417400", "" } },
    { "uuid3",
      { "123e4567-e89b-32d3-a456-426614174000" },
      { "123e4567-e89b-42d3-a456-426614174000" } },
    { "uuid4",
      { "123e4567-e89b-42d3-a456-426614174000" },
      { "123e4567-e89b-42d3-7456-426614174000" } },
    { "uuid5",
      { "123e4567-e89b-52d3-b456-426614174000" },
      { "123e4567-e89b-12d3-a456-426614174000" } },
    { "bsonobjectid", { "507f1f77bcf86cd799439011" }, { "507f1f77bcf86cd79943901", "" } },
    { "isbn", { "0321751043", "978-0321751041" }, { "0321751044", "" } },
    { "isbn10", { "0-321-75104-3", "080442957X" }, { "9780321751041" } },
    { "isbn13", { "978 0321751041" }, { "0321751043", "9780321751042" } },
    { "creditcard", { "4012-8888-8888-1881" }, { "4012888888881882", "" } },
    { "ssn", { "123-45-6789", "123 45 6789" }, { "123456789", "12-345-6789" } },
    { "hexcolor", { "#FFF", "12ab34" }, { "#abcd", "" } },
    { "rgbcolor", { "rgb(1, 2,255)" }, { "rgb(256,1,1)", "rgb(1,2)" } },
    { "byte", { "YWJj", "YQ==" }, { "YQ=", "YQ", "" } },
    { "password", { "", "anything" }, { 0 } },
    { "k8s-short-name", { "a-b", "0" }, { "A", "-a", "a.b", "" } },
    { "k8s-long-name", { "a.b-c" }, { "a..b", "A.b", "" } },
};

static void formats_accept_what_they_should(void **state)
{
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        format_check *check = format_find(formats[i].format);
        if (!check)
            fail_msg("%s is not known", formats[i].format);
        for (size_t k = 0; k < COUNT_OF(formats[i].good); k++) {
            const char *s = formats[i].good[k];
            if (s && !check(s, strlen(s)))
                fail_msg("\"%s\" is no %s", s, formats[i].format);
        }
        for (size_t k = 0; k < COUNT_OF(formats[i].bad); k++) {
            const char *s = formats[i].bad[k];
            if (s && check(s, strlen(s)))
                fail_msg("\"%s\" is a %s", s, formats[i].format);
        }
    }
}

/* Numbers have formats that nothing checks. */
static void others_are_not_checked(void **state)
{
    static const char *const others[] = { "int32", "int64", "float", "double", "quantity", "" };
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_null(format_find(others[i]));
}

UNIT_TESTS(TEST(formats_accept_what_they_should), TEST(others_are_not_checked))
