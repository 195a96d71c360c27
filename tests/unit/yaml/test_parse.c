#include "base/file.h"
#include "base/mem.h"
#include "unit.h"
#include "yaml/yaml.h"
#include "json/build.h"

static char *canonical(struct arena *a, const struct json *v)
{
    AUTO_BUF b = BUF_INIT(SIZE_MAX);
    json_write_canonical(v, &b);
    return arena_strndup(a, buf_str(&b), b.len);
}

/* read.txt: documents, each followed by a line "==> " with the JSON that sigs.k8s.io/yaml 1.4, the
 * reader of kubectl, makes of it in strict mode, or "error". */
static void documents_mean_what_kubernetes_reads(void **state)
{
    AUTO_FREE char *text = NULL;
    assert_int_equal(file_read(VECTORS "/read.txt", 1 * MIB, &text, NULL, NULL), 0);
    int count = 0;
    char *document = text;
    for (char *answer; (answer = strstr(document, "==> ")); count++) {
        *answer = '\0';
        answer += 4;
        char *end = strchr(answer, '\n');
        *end = '\0';
        AUTO_ARENA a = arena_new();
        struct json *v;
        bool good = yaml_parse(a, document, strlen(document), &v, NULL) == 0;
        const char *ours = good ? canonical(a, v) : "error";
        if (strcmp(ours, answer) != 0)
            fail_msg("%s\nis %s\nfor Kubernetes %s", document, ours, answer);
        document = end + 1;
    }
    assert_int_equal(count, 1504);
}

static struct json *read_all(struct arena *a, const char *text)
{
    struct json *v = NULL;
    struct error *err = NULL;
    if (yaml_parse_all(a, text, strlen(text), NULL, &v, &err) < 0)
        fail_msg("%s: %s", text, error_message(err));
    return v;
}

static void a_stream_has_many_documents(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_string_equal(
        json_text(a, read_all(a, "---\na: 1\n---\n# nothing\n---\n- b\n...\n--- c\n---\nnull\n")),
        "[{\"a\":1},[\"b\"],\"c\"]");
    assert_string_equal(json_text(a, read_all(a, "")), "[]");
    assert_string_equal(json_text(a, read_all(a, "# only a comment\n")), "[]");
    struct json *v;
    assert_int_equal(yaml_parse(a, "", 0, &v, NULL), 0);
    assert_true(v && json_is_null(v));
    assert_int_equal(yaml_parse(a, NULL, 0, &v, NULL), 0);
    assert_true(json_is_null(v));
    struct error *err = NULL;
    int r = yaml_parse(a, "a: 1\n---\nb: 2\n", 14, &v, &err);
    assert_error(r, err, ERROR_INVALID, "found 2");
    assert_int_equal(yaml_parse(a, "--- a: 1\n", 0, &v, NULL), 0);
    assert_int_equal(yaml_parse(a, "a: 1\n", 5, &v, NULL), 0);
    json_append(EMPTY_ARR(), v); /* it has no other parent */
}

static void anchors_end_with_their_document(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v;
    struct error *err = NULL;
    static const char text[] = "a: &x 1\n---\nb: *x\n";
    int r = yaml_parse_all(a, text, strlen(text), NULL, &v, &err);
    assert_error(r, err, ERROR_INVALID, "line 3, column 4: there is no anchor \"x\"");
}

static void merged_keys_give_way(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const table[][2] = {
        { "x: &x {a: 1, b: 2}\nr:\n  <<: *x\n  a: 3\n", "{\"a\":3,\"b\":2}" },
        { "x: &x {a: 1, b: 2}\nr:\n  a: 3\n  <<: *x\n", "{\"a\":3,\"b\":2}" },
        { "x: &x {a: 1}\nz: &z {a: 2, c: 4}\nr:\n  <<: [*x, *z]\n", "{\"a\":1,\"c\":4}" },
        { "r: {<<: &m {a: 1}, b: 2}\nz: *m\n", "{\"a\":1,\"b\":2}" },
        { "r: {<<: {<<: {a: 1}, b: 2}, c: 3}\n", "{\"a\":1,\"b\":2,\"c\":3}" },
        { "x: &x {a: {b: 1}}\nw: {<<: *x}\nr: {<<: *x}\n", "{\"a\":{\"b\":1}}" },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct json *v = json_at(read_all(a, table[i][0]), 0);
        assert_string_equal(canonical(a, json_get(v, "r")), table[i][1]);
        if (i == 3)
            assert_string_equal(canonical(a, json_get(v, "z")), "{\"a\":1}");
    }
}

static void large_mappings_are_quick(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF b = BUF_INIT(16 * MIB);
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, "k%d: %d\n", i, i);
    struct json *v;
    assert_int_equal(yaml_parse(a, b.data, b.len, &v, NULL), 0);
    assert_int_equal(json_size(v), 100000);
    buf_puts(&b, "k5: again\n");
    struct error *err = NULL;
    int r = yaml_parse(a, b.data, b.len, &v, &err);
    assert_error(r, err, ERROR_INVALID, "line 100001, column 1: the key \"k5\" is there twice");
}

static void the_last_of_repeated_keys_counts(void **state)
{
    AUTO_ARENA a = arena_new();
    const struct yaml_limits limits = { .repeated = json_new_array(a) };
    static const char text[] = "a: 1\nb: {c: 1, c: {d: 2}}\na: 3\n<<: {b: 5, e: 6}\n";
    struct json *v = NULL;
    assert_int_equal(yaml_parse_all(a, text, strlen(text), &limits, &v, NULL), 0);
    assert_string_equal(json_text(a, v), "[{\"a\":3,\"b\":{\"c\":{\"d\":2}},\"e\":6}]");
    assert_string_equal(json_text(a, limits.repeated),
                        "[\"line 2: key \\\"c\\\" already set in map\","
                        "\"line 3: key \\\"a\\\" already set in map\"]");
    AUTO_BUF many = BUF_INIT(MIB);
    for (int i = 0; i < 102; i++)
        buf_puts(&many, "k: 1\n");
    struct error *err = NULL;
    const struct yaml_limits again = { .repeated = json_new_array(a) };
    int r = yaml_parse_all(a, many.data, many.len, &again, &v, &err);
    assert_error(r, err, ERROR_INVALID, "line 102, column 1: the key \"k\" is there twice");
}

static void mistakes_have_a_place(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const bad[][2] = {
        { "a: 1\nb: 2\na: 3\n", "line 3, column 1: the key \"a\" is there twice" },
        { "1: a\n0x1: b\n", "line 2, column 1: the key \"1\" is there twice" },
        { "{\"a\":1,\"a\":2}", "line 1, column 8: the key \"a\" is there twice" },
        { "a:\n\t- b\n", "line 2, column 1" },
        { "a: [1\nb: 2\n", "line 2" },
        { "a: b: c\n", "line 1, column 5" },
        { "? [a]\n: b\n", "line 1, column 3: a key must be" },
        { "~: b\n", "line 1, column 1: a key must be" },
        { "\"a\\0b\": 1\n", "NUL" },
        { "a: *x\n", "there is no anchor \"x\"" },
        { "a: &x\n  b: *x\n", "line 2, column 6: the value of the anchor \"x\" contains itself" },
        { "a: !!int x\n", "\"x\" is no !!int" },
        { "a: .inf\n", "JSON has no infinity" },
        { "a: {<<: 5}\n", "<< takes a mapping" },
        { "a: {<<: [{b: 1}, 2]}\n", "<< takes a mapping" },
        { "ok: 1\na: \x01\n", "line 2, column 4" },
        { "a: \xff\n", "line 1, column 4" },
        { "a: !!binary aGk=\n", "!!binary is not supported" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct json *v = NULL;
        struct error *err = NULL;
        int r = yaml_parse_all(a, bad[i][0], strlen(bad[i][0]), NULL, &v, &err);
        assert_true(r == -ERROR_INVALID || r == -ERROR_UNSUPPORTED);
        if (!strstr(error_message(err), bad[i][1]))
            fail_msg("\"%s\" has no \"%s\"", error_message(err), bad[i][1]);
        error_free(err);
        assert_null(v);
    }
}

static void refused(const char *text, size_t len, const struct yaml_limits *limits, const char *why)
{
    AUTO_ARENA a = arena_new();
    struct json *v;
    struct error *err = NULL;
    int r = yaml_parse_all(a, text, len, limits, &v, &err);
    assert_error(r, err, ERROR_TOO_LARGE, why);
    assert_true(arena_used(a) < 200 * MIB);
}

static void sizes_have_caps(void **state)
{
    static const char text[] = "a: [1, 2, [3, {b: 4}]]\n---\nc: 5\n";
    AUTO_ARENA a = arena_new();
    struct json *v;
    struct yaml_limits exact = {
        .max_bytes = strlen(text), .max_depth = 4, .max_values = 13, .max_documents = 2
    };
    assert_int_equal(yaml_parse_all(a, text, strlen(text), &exact, &v, NULL), 0);
    struct yaml_limits l = exact;
    l.max_bytes--;
    refused(text, strlen(text), &l, "at most 31 are read");
    l = exact;
    l.max_depth--;
    refused(text, strlen(text), &l, "deeper than 3");
    l = exact;
    l.max_values--;
    refused(text, strlen(text), &l, "more than 12 values");
    l = exact;
    l.max_documents--;
    refused(text, strlen(text), &l, "more than 1 documents");

    /* the same for JSON text, which has a way of its own */
    l = (struct yaml_limits){ .max_depth = 2 };
    refused("{\"a\":{\"b\":[]}}", 14, &l, "deeper than 2");
    l = (struct yaml_limits){ .max_values = 4 };
    refused("{\"a\":[1,2]}", 11, &l, "more than 4 values");
}

static void aliases_cannot_fill_the_memory(void **state)
{
    AUTO_BUF b = BUF_INIT(16 * MIB);
    buf_puts(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        buf_printf(&b, "a%d: &a%d [", i, i);
        for (int j = 0; j < 9; j++)
            buf_printf(&b, "%s*a%d", j ? ", " : "", i - 1);
        buf_puts(&b, "]\n");
    }
    refused(b.data, b.len, NULL, "more than 1000000 values");

    buf_clear(&b);
    buf_puts(&b, "a: &a \"");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%01000d", 0);
    buf_puts(&b, "\"\nb:\n");
    for (int i = 0; i < 10000; i++)
        buf_puts(&b, "- *a\n");
    refused(b.data, b.len, NULL, "too much text");

    buf_clear(&b);
    buf_puts(&b, "a: &a {k: [");
    for (int i = 0; i < 1000; i++)
        buf_puts(&b, "1, ");
    buf_puts(&b, "]}\nb:\n");
    for (int i = 0; i < 2000; i++)
        buf_puts(&b, "- {<<: *a}\n");
    refused(b.data, b.len, NULL, "more than 1000000 values");
}

static void tag_directives_are_few(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF b = BUF_INIT(1 * MIB);
    for (int i = 0; i < 65; i++)
        buf_printf(&b, "%%TAG !a%d! b\n", i);
    refused(b.data, b.len, NULL, "more than 64 %TAG directives");

    buf_clear(&b); /* in the middle of a line it is text */
    for (int i = 0; i < 100; i++)
        buf_printf(&b, "- see %%TAG %d\n", i);
    assert_int_equal(json_size(json_at(read_all(a, buf_str(&b)), 0)), 100);
    assert_string_equal(json_text(a, read_all(a, "%TAG !a! b\n---\nc: !a!d 5\n")),
                        "[{\"c\":\"5\"}]");
}

static void json_is_yaml(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v =
        json_at(read_all(a, "{\n\t\"a\": \"\\ud83d\\ude00\",\n\t\"b\": [1.0, \"yes\"]\n}\n"), 0);
    assert_string_equal(json_text(a, v), "{\"a\":\"😀\",\"b\":[1,\"yes\"]}");
    assert_string_equal(json_text(a, read_all(a, "{a: yes}")), "[{\"a\":true}]");
}

UNIT_TESTS(TEST(documents_mean_what_kubernetes_reads), TEST(a_stream_has_many_documents),
           TEST(anchors_end_with_their_document), TEST(merged_keys_give_way),
           TEST(large_mappings_are_quick), TEST(the_last_of_repeated_keys_counts),
           TEST(mistakes_have_a_place), TEST(sizes_have_caps), TEST(aliases_cannot_fill_the_memory),
           TEST(tag_directives_are_few), TEST(json_is_yaml))
