/* What the Secret holds, and what is made of it. */
#include "http/crypto.h"
#include "unit.h"
#include "webhook/internal.h"
#include "json/build.h"

#define DAY (24 * 3600 * NS_PER_S)
#define NOW (INT64_C(1790000000) * NS_PER_S)
#define HOST "hook.kaito.svc"

static struct json *empty_secret(struct arena *a)
{
    return OBJ("metadata", OBJ("name", STR("s"), "resourceVersion", STR("7")), "data",
               OBJ("other", STR("eA=="), "server-key.pem", STR("")));
}

static struct json *renew(struct arena *a, const struct json *secret, int64_t now)
{
    struct json *next = NULL;
    struct error *err = NULL;
    if (certs_renew(a, secret, "hook", "kaito", now, &next, &err) < 0)
        fail_msg("%s", error_message(err));
    return next;
}

static struct webhook_certs read_certs(struct arena *a, const struct json *secret, const char *host,
                                       int64_t now)
{
    struct webhook_certs c = { 0 };
    struct error *err = NULL;
    if (certs_read(a, secret, host, now, &c, &err) < 0)
        fail_msg("%s", error_message(err));
    return c;
}

static void what_is_made_is_good_for_a_week(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *secret = renew(a, empty_secret(a), NOW);
    assert_string_equal(json_find_str(secret, "data", "other"), "eA==");
    assert_string_equal(json_find_str(secret, "metadata", "resourceVersion"), "7");
    static const char *const names[] = { "hook", "hook.kaito", HOST,
                                         "hook.kaito.svc.cluster.local" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct webhook_certs c = read_certs(a, secret, names[i], NOW);
        assert_int_equal(c.until_ns, NOW + 7 * DAY);
    }
    read_certs(a, secret, HOST, NOW + 7 * DAY - NS_PER_S);
    struct webhook_certs c;
    struct error *err = NULL;
    assert_error(certs_read(a, secret, HOST, NOW + 7 * DAY, &c, &err), err, ERROR_INVALID,
                 "expired");
    assert_error(certs_read(a, secret, HOST, NOW - DAY, &c, &err), err, ERROR_INVALID,
                 "not valid yet");
    assert_error(certs_read(a, secret, "other.kaito.svc", NOW, &c, &err), err, ERROR_INVALID,
                 "not for other.kaito.svc");
}

static void what_is_of_no_use_says_why(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *good = renew(a, empty_secret(a), NOW), *other = renew(a, empty_secret(a), NOW);
    static const struct {
        const char *name, *value, *part; /* value NULL: that of another pair */
    } rows[] = {
        { "server-key.pem", "", "server-key.pem is empty" },
        { "server-cert.pem", "", "server-cert.pem is empty" },
        { "ca-cert.pem", "", "ca-cert.pem is empty" },
        { "server-key.pem", "!!!", "server-key.pem is no text in base64" },
        { "server-cert.pem", "AAAA", "server-cert.pem is no text in base64" },
        { "server-key.pem", "eA==", "the key cannot be read" },
        { "server-cert.pem", "eA==", "the certificate cannot be read" },
        { "ca-cert.pem", "eA==", "no valid CA certificate" },
        { "server-key.pem", NULL, "another certificate's" },
        { "ca-cert.pem", NULL, "no valid CA certificate" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json *secret = json_clone(a, good);
        const char *value =
            rows[i].value ? rows[i].value : json_find_str(other, "data", rows[i].name);
        json_set_str(a, json_get(secret, "data"), rows[i].name, value);
        struct webhook_certs c;
        struct error *err = NULL;
        assert_error(certs_read(a, secret, HOST, NOW, &c, &err), err, ERROR_INVALID, rows[i].part);
    }
    struct webhook_certs c;
    struct error *err = NULL;
    assert_error(certs_read(a, OBJ("metadata", EMPTY_OBJ()), HOST, NOW, &c, &err), err,
                 ERROR_INVALID, "is empty");
}

static size_t count(const char *pem)
{
    size_t n = 0;
    for (; (pem = strstr(pem, "BEGIN CERTIFICATE")) != NULL; pem++)
        n++;
    return n;
}

static void the_old_ca_stays_as_long_as_it_is_good(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *first = renew(a, empty_secret(a), NOW), *second = renew(a, first, NOW + 6 * DAY);
    struct webhook_certs old = read_certs(a, first, HOST, NOW + 6 * DAY);
    struct webhook_certs new = read_certs(a, second, HOST, NOW + 6 * DAY);
    assert_int_equal(count(new.ca), 2);
    assert_string_not_equal(old.cert, new.cert);
    struct key_pair pair = { .cert_pem = (char *)(uintptr_t)old.cert,
                             .key_pem = (char *)(uintptr_t)old.key };
    int64_t until;
    assert_int_equal(cert_check_server(&pair, new.ca, HOST, NOW + 6 * DAY, &until, NULL), 0);
    /* by the next time it has expired */
    struct json *third = renew(a, second, NOW + 12 * DAY);
    assert_int_equal(count(read_certs(a, third, HOST, NOW + 12 * DAY).ca), 2);
    /* however often it is made anew, the bundle does not grow */
    for (int i = 0; i < 5; i++)
        third = renew(a, third, NOW + 12 * DAY);
    assert_int_equal(count(read_certs(a, third, HOST, NOW + 12 * DAY).ca), 3);
}

static void names_of_any_length_fit(void **state)
{
    AUTO_ARENA a = arena_new();
    char service[64], ns[64];
    memset(service, 's', 63);
    memset(ns, 'n', 63);
    service[63] = ns[63] = '\0';
    struct json *next = NULL;
    assert_int_equal(certs_renew(a, empty_secret(a), service, ns, NOW, &next, NULL), 0);
    read_certs(a, next, arena_printf(a, "%s.%s.svc", service, ns), NOW);
}

UNIT_TESTS(TEST(what_is_made_is_good_for_a_week), TEST(what_is_of_no_use_says_why),
           TEST(the_old_ca_stays_as_long_as_it_is_good), TEST(names_of_any_length_fit))
