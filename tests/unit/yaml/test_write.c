#include "base/file.h"
#include "base/mem.h"
#include "unit.h"
#include "yaml/yaml.h"
#include "json/build.h"

/* write.txt: JSON in one line, the YAML that kubectl prints for it, and a line "====". */
static void text_is_what_kubectl_prints(void **state)
{
    AUTO_FREE char *text = NULL;
    assert_int_equal(file_read(VECTORS "/write.txt", 1 * MIB, &text, NULL, NULL), 0);
    int count = 0;
    char *at = text;
    for (char *end; (end = strstr(at, "====\n")); at = end + 5, count++) {
        AUTO_ARENA a = arena_new();
        char *yaml = strchr(at, '\n') + 1;
        *end = '\0';
        struct json *v, *back;
        assert_int_equal(json_parse(a, at, (size_t)(yaml - at), &v, NULL), 0);
        AUTO_BUF b = BUF_INIT(1 * MIB);
        yaml_write(v, &b);
        assert_string_equal(buf_str(&b), yaml);
        assert_int_equal(yaml_parse(a, b.data, b.len, &back, NULL), 0);
        assert_true(json_equal(v, back));
    }
    assert_int_equal(count, 100);
}

static void an_object_looks_familiar(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v =
        OBJ("kind", STR("ConfigMap"), "apiVersion", STR("v1"), "metadata",
            OBJ("name", STR("w"), "creationTimestamp", STR("2026-01-02T15:04:05Z"), "labels",
                EMPTY_OBJ()),
            "data",
            OBJ("script", STR("#!/bin/sh\necho hi\n"), "port", STR("5000"), "on", STR("off"), "n",
                NUL()),
            "items",
            ARR(OBJ("a10", INT(1), "a9", BOOL(true)), ARR(INT(1), EMPTY_ARR()), STR("- x")));
    AUTO_BUF b = BUF_INIT(4096);
    yaml_write(v, &b);
    assert_string_equal(buf_str(&b), "apiVersion: v1\n"
                                     "data:\n"
                                     "  \"n\": null\n"
                                     "  \"on\": \"off\"\n"
                                     "  port: \"5000\"\n"
                                     "  script: |\n"
                                     "    #!/bin/sh\n"
                                     "    echo hi\n"
                                     "items:\n"
                                     "- a9: true\n"
                                     "  a10: 1\n"
                                     "- - 1\n"
                                     "  - []\n"
                                     "- '- x'\n"
                                     "kind: ConfigMap\n"
                                     "metadata:\n"
                                     "  creationTimestamp: \"2026-01-02T15:04:05Z\"\n"
                                     "  labels: {}\n"
                                     "  name: w\n");
}

/* Each string of up to four of these pieces reads back as itself, as value, element, key and
 * document. */
static void any_string_reads_back(void **state)
{
    static const char *const pieces[] = {
        "a", "1",  "y",    "null", "~",      ".",      "-",      "--- ",     "?",
        ":", "#",  " ",    "\n",   "\t",     "'",      "\"",     "\\",       "[",
        "{", ",",  "&",    "*",    "!",      "|",      ">",      "%",        "@",
        "`", "<<", "=",    "0x",   "_",      "e3",     "12:3",   "é",        "☺",
        "😀", "\r", "\x01", "\x7f", "\u2028", "\u00a0", "\ufeff", "\xc2\x85", "...",
    };
    const size_t n = COUNT_OF(pieces);
    uint32_t random = 1;
    AUTO_ARENA a = arena_new();
    for (int round = 0; round < 60000; round++) {
        arena_reset(a);
        AUTO_BUF s = BUF_INIT(256);
        random = random * 1664525 + 1013904223;
        for (unsigned left = random >> 29 & 3; left != UINT32_MAX; left--) {
            random = random * 1664525 + 1013904223;
            buf_puts(&s, pieces[(random >> 10) % n]);
        }
        struct json *values[] = { STR(buf_str(&s)), OBJ(buf_str(&s), INT(1)),
                                  ARR(STR(buf_str(&s)), ARR(STR(buf_str(&s)))),
                                  OBJ("k", OBJ("k", STR(buf_str(&s)), "l", STR(buf_str(&s)))) };
        for (size_t i = 0; i < COUNT_OF(values); i++) {
            AUTO_BUF b = BUF_INIT(4096);
            yaml_write(values[i], &b);
            struct json *back = NULL;
            struct error *err = NULL;
            if (yaml_parse(a, b.data, b.len, &back, &err) < 0)
                fail_msg("%s\n%s", error_message(err), buf_str(&b));
            if (!json_equal(values[i], back))
                fail_msg("%s is not\n%s", json_text(a, values[i]), buf_str(&b));
        }
    }
}

static void long_keys_are_asked_for(void **state)
{
    AUTO_ARENA a = arena_new();
    char *key = arena_alloc(a, 2001);
    memset(key, 'k', 2000);
    key[2000] = '\0';
    struct json *v = ARR(OBJ(key, OBJ("a", INT(1)), "b", OBJ(key, STR("x\ny")), "c",
                             OBJ(key, ARR(INT(1))))),
                *back;
    AUTO_BUF b = BUF_INIT(64 * KIB);
    yaml_write(v, &b);
    assert_int_equal(yaml_parse(a, b.data, b.len, &back, NULL), 0);
    assert_true(json_equal(v, back));
}

UNIT_TESTS(TEST(text_is_what_kubectl_prints), TEST(an_object_looks_familiar),
           TEST(any_string_reads_back), TEST(long_keys_are_asked_for))
