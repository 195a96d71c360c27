#include "kube/object.h"
#include "kube/selector.h"
#include "vectors.h"
#include "json/build.h"

typedef int parse_fn(const char *text, struct selector **ret, struct error **err);

static void check_parse(struct arena *a, char **fields, parse_fn *parse)
{
    const char *input = vector_string(a, fields[1]);
    CLEANUP(selector_cleanup) struct selector *s = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    int r = parse(input, &s, &err);
    if (STREQ(fields[2], "!")) {
        const char *wanted = vector_string(a, fields[3]);
        if (r != -ERROR_INVALID || !STREQ(error_message(err), wanted))
            fail_msg("\"%s\":\n  \"%s\", wanted\n  \"%s\"", input, error_message(err), wanted);
        return;
    }
    if (r < 0)
        fail_msg("\"%s\": %s", input, error_message(err));
    const char *wanted = vector_string(a, fields[2]);
    if (!STREQ(selector_text(a, s), wanted))
        fail_msg("\"%s\": \"%s\", wanted \"%s\"", input, selector_text(a, s), wanted);
    /* Its text means the same. */
    CLEANUP(selector_cleanup) struct selector *again = NULL;
    assert_int_equal(parse(wanted, &again, NULL), 0);
    assert_string_equal(selector_text(a, again), wanted);
}

static void check_name(struct arena *a, char **fields)
{
    static const struct {
        const char *name;
        int (*check)(const char *text, struct error **err);
    } checks[] = {
        { "key", kube_validate_label_key },       { "value", kube_validate_label_value },
        { "label", kube_validate_dns1123_label }, { "subdomain", kube_validate_dns1123_subdomain },
        { "1035", kube_validate_dns1035_label },
    };
    const char *input = vector_string(a, fields[2]);
    const char *wanted = vector_string(a, fields[3]);
    for (size_t i = 0; i < COUNT_OF(checks); i++) {
        if (!STREQ(checks[i].name, fields[1]))
            continue;
        CLEANUP(error_cleanup) struct error *err = NULL;
        int r = checks[i].check(input, &err);
        if (r != (*wanted ? -ERROR_INVALID : 0) || !STREQ(error_message(err), wanted))
            fail_msg("%s \"%s\":\n  \"%s\", wanted\n  \"%s\"", fields[1], input, error_message(err),
                     wanted);
        return;
    }
    fail_msg("no check %s", fields[1]);
}

static void agrees_with_kubernetes(void **state)
{
    AUTO_ARENA a = arena_new();
    for (char **line = vector_lines(a, SELECTORS); *line; line++) {
        if (!**line)
            continue;
        char **fields = str_split(a, *line, '\t', NULL);
        if (STREQ(fields[0], "L"))
            check_parse(a, fields, selector_parse_labels);
        else if (STREQ(fields[0], "F"))
            check_parse(a, fields, selector_parse_fields);
        else
            check_name(a, fields);
    }
}

static struct json *J(struct arena *a, const char *text)
{
    struct json *v = NULL;
    assert_int_equal(json_parse(a, text, strlen(text), &v, NULL), 0);
    return v;
}

static void labels_are_matched(void **state)
{
    static const struct {
        const char *selector;
        bool matches;
    } table[] = {
        { "", true },
        { "app=web", true },
        { "app!=web", false },
        { "app!=db", true },
        { "none!=db", true },
        { "none=", false },
        { "empty=", true },
        { "app", true },
        { "!app", false },
        { "!none", true },
        { "app in (db,web)", true },
        { "app in (db)", false },
        { "app notin (db,cache)", true },
        { "app notin (db,web)", false },
        { "none notin (db)", true },
        { "none in (db)", false },
        { "size>4", true },
        { "size>5", false },
        { "size<6", true },
        { "app<6", false },
        { "none<6", false },
        { "app=web,size=5,!none", true },
        { "app=web,size=6", false },
    };
    AUTO_ARENA a = arena_new();
    struct json *obj = J(
        a,
        "{\"metadata\":{\"name\":\"x\",\"labels\":{\"app\":\"web\",\"size\":\"5\",\"empty\":\"\"}}}");
    CLEANUP(kube_object_cleanup) struct kube_object *o = kube_object_new(obj);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        CLEANUP(selector_cleanup) struct selector *s = NULL;
        assert_int_equal(selector_parse_labels(table[i].selector, &s, NULL), 0);
        if (selector_matches_labels(s, json_find(obj, "metadata", "labels")) != table[i].matches)
            fail_msg("%s", table[i].selector);
        assert_int_equal(selector_matches_object(s, o), table[i].matches);
        assert_int_equal(selector_empty(s), i == 0);
    }
}

static void fields_are_matched(void **state)
{
    static const struct {
        const char *selector;
        bool matches;
    } table[] = {
        { "", true },
        { "metadata.name=x", true },
        { "metadata.name!=x", false },
        { "status.phase=Running,spec.nodeName=", true },
        { "spec.unschedulable=true", true },
        { "spec.n=3", true },
        { "spec.list=", true },
        { "metadata.name.deeper=", true },
        { "a\\,b=", true },
    };
    AUTO_ARENA a = arena_new();
    struct json *obj =
        J(a,
          "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"unschedulable\":true,\"n\":3,\"list\":[1]},"
          "\"status\":{\"phase\":\"Running\"}}");
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        CLEANUP(selector_cleanup) struct selector *s = NULL;
        assert_int_equal(selector_parse_fields(table[i].selector, &s, NULL), 0);
        if (selector_matches_fields(s, obj) != table[i].matches)
            fail_msg("%s", table[i].selector);
    }
}

static void label_selector_objects_are_read(void **state)
{
    AUTO_ARENA a = arena_new();
    CLEANUP(selector_cleanup) struct selector *none = NULL, *all = NULL, *some = NULL;
    assert_int_equal(selector_from_object(NULL, &none, NULL), 0);
    assert_false(selector_matches_labels(none, NULL));
    assert_false(selector_empty(none));
    assert_int_equal(selector_from_object(J(a, "{}"), &all, NULL), 0);
    assert_true(selector_matches_labels(all, NULL));
    assert_true(selector_empty(all));

    assert_int_equal(
        selector_from_object(J(a, "{\"matchLabels\":{\"b\":\"1\"},\"matchExpressions\":["
                                  "{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"y\",\"x\"]},"
                                  "{\"key\":\"c\",\"operator\":\"NotIn\",\"values\":[\"z\"]},"
                                  "{\"key\":\"d\",\"operator\":\"Exists\"},"
                                  "{\"key\":\"e\",\"operator\":\"DoesNotExist\"}]}"),
                             &some, NULL),
        0);
    assert_string_equal(selector_text(a, some), "a in (x,y),b=1,c notin (z),d,!e");
    assert_true(selector_matches_labels(some, J(a, "{\"a\":\"x\",\"b\":\"1\",\"d\":\"\"}")));
    assert_false(
        selector_matches_labels(some, J(a, "{\"a\":\"x\",\"b\":\"1\",\"d\":\"\",\"e\":\"\"}")));
    assert_int_equal(selector_count(some), 5);
    const char *key, *op, *value;
    selector_get(some, 0, &key, &op, &value);
    assert_string_equal(key, "a");
    assert_string_equal(op, "in");
    assert_string_equal(value, "x");
    selector_get(some, 4, &key, &op, &value);
    assert_string_equal(op, "!");
    assert_null(value);
}

static void wrong_label_selector_objects_are_refused(void **state)
{
    static const char *const table[][2] = {
        { "{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Foo\"}]}",
          "\"Foo\" is not a valid label selector operator" },
        { "{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\"}]}",
          "values set can't be empty" },
        { "{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\",\"values\":[\"b\"]}]}",
          "values: Invalid value: [\"b\"]: values set must be empty for exists and does not exist" },
        { "{\"matchLabels\":{\"-\":\"b\"}}",
          "key: Invalid value: \"-\": name part must consist of" },
        { "{\"matchLabels\":{\"a\":\"b!\"}}",
          "values[0][a]: Invalid value: \"b!\": a valid label must be" },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct selector *s = NULL;
        struct error *err = NULL;
        assert_error(selector_from_object(J(a, table[i][0]), &s, &err), err, ERROR_INVALID,
                     table[i][1]);
    }
}

static void long_text_takes_linear_time(void **state)
{
    AUTO_BUF text = BUF_INIT(MIB);
    buf_puts(&text, "a in (");
    for (int i = 0; i < 40000; i++)
        buf_printf(&text, "%d,", i);
    buf_puts(&text, "x)");
    CLEANUP(selector_cleanup) struct selector *s = NULL;
    assert_int_equal(selector_parse_labels(buf_str(&text), &s, NULL), 0);
    AUTO_ARENA a = arena_new();
    assert_true(selector_matches_labels(s, J(a, "{\"a\":\"39999\"}")));
    assert_false(selector_matches_labels(s, J(a, "{\"a\":\"40000\"}")));
    while (text.len < 300 * KIB)
        buf_puts(&text, ",a");
    struct error *err = NULL;
    struct selector *none = NULL;
    assert_error(selector_parse_labels(buf_str(&text), &none, &err), err, ERROR_TOO_LARGE,
                 "at most");
}

UNIT_TESTS(TEST(agrees_with_kubernetes), TEST(labels_are_matched), TEST(fields_are_matched),
           TEST(label_selector_objects_are_read), TEST(wrong_label_selector_objects_are_refused),
           TEST(long_text_takes_linear_time))
