/* Expressions and their values, as cel-go with the libraries of Kubernetes has them. */
#include "unit.h"

#include <string.h>

#include "cel/cel.h"
#include "json/build.h"

#define SELF                                                                                         \
    "{\"n\":3,\"d\":2.5,\"s\":\"h\xc3\xa9llo\",\"b\":true,\"z\":null,\"list\":[1,2,3],\"empty\":[]," \
    "\"names\":[\"b\",\"a\"],\"m\":{\"x\":1,\"a-b\":2,\"c.d/e\":3,\"in\":4},"                        \
    "\"items\":[{\"k\":\"a\",\"v\":1},{\"k\":\"b\"}],\"port\":\"1024 60999\"}"
#define OLD "{\"n\":2}"

static struct json *parse(struct arena *a, const char *text)
{
    struct json *v = NULL;
    assert_int_equal(json_parse(a, text, strlen(text), &v, NULL), 0);
    return v;
}

/* The value as JSON, or "! fault", or "!! fault" when it does not compile. */
static const char *result(struct arena *a, const char *expression)
{
    const struct cel_program *p = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (cel_compile(a, expression, NULL, &p, &err) < 0)
        return arena_printf(a, "!! %s", error_message(err));
    const struct json *v = NULL;
    if (cel_eval(a, p, parse(a, SELF), parse(a, OLD), &v, &err) < 0)
        return arena_printf(a, "! %s", error_message(err));
    return json_text(a, v);
}

static const char *const values[][2] = {
    { "1 + 2 * 3", "7" },
    { "(1 + 2) * 3", "9" },
    { "7 / 2", "3" },
    { "-7 / 2", "-3" },
    { "-7 % 3", "-1" },
    { "7.0 / 2.0", "3.5" },
    { "0x1F", "31" },
    { "1e3", "1000" },
    { "5u", "5" },
    { "1 == 1.0", "true" },
    { "2 < 2.5", "true" },
    { "'a' < 'b'", "true" },
    { "'a' + 'b'", "\"ab\"" },
    { "[1] + [2, 3]", "[1,2,3]" },
    { "!true || true", "true" },
    { "true && false || true", "true" },
    { "self.n > 2 ? 'big' : 'small'", "\"big\"" },
    { "false ? 1 : true ? 2 : 3", "2" },
    { "self.n > oldSelf.n", "true" },
    { "has(self.n) && !has(self.none)", "true" },
    { "has(self.z)", "true" },
    { "self.z == null", "true" },
    { "self.m.x", "1" },
    { "self.m['a-b']", "2" },
    { "self.m.a__dash__b", "2" },
    { "self.m.c__dot__d__slash__e", "3" },
    { "self.m.__in__", "4" },
    { "'x' in self.m && !('y' in self.m)", "true" },
    { "2 in self.list", "true" },
    { "4 in self.list", "false" },
    { "self.list[1]", "2" },
    { "size(self.list) + self.s.size()", "8" },
    { "size(self.m)", "4" },
    { "self.list.all(x, x > 0)", "true" },
    { "self.list.all(x, x > 1)", "false" },
    { "self.empty.all(x, x > 1)", "true" },
    { "self.list.exists(x, x == 2)", "true" },
    { "self.empty.exists(x, true)", "false" },
    { "self.list.exists_one(x, x > 2)", "true" },
    { "self.list.exists_one(x, x > 1)", "false" },
    { "self.list.filter(x, x != 2)", "[1,3]" },
    { "self.list.map(x, x * x)", "[1,4,9]" },
    { "self.list.map(x, x > 1, x * x)", "[4,9]" },
    { "self.m.all(k, self.m[k] > 0)", "true" },
    { "self.m.exists(k, k == 'x')", "true" },
    { "self.items.all(i, self.items.exists(j, j.k == i.k))", "true" },
    { "['a', 'b'].all(z, self.items.exists(x, x.k == z))", "true" },
    { "self.items.exists(x, x.v == 1)", "true" },
    { "{'a': 1, 'b': [2]}.b[0]", "2" },
    { "int(self.port.split(' ')[0]) >= 1024", "true" },
    { "int('42') + int(2.9)", "44" },
    { "double('1.5')", "1.5" },
    { "string(12) + string(true)", "\"12true\"" },
    { "bool('true')", "true" },
    { "self.s.startsWith('h') && self.s.endsWith('llo') && self.s.contains('\xc3\xa9l')", "true" },
    { "self.s.matches('^h.l+o$')", "true" },
    { "'a/b/c'.find('^([^/]+)')", "\"a\"" },
    { "'node.kubernetes.io/x'.find('^([^/]+)').endsWith('kubernetes.io')", "true" },
    { "'xyz'.find('[0-9]+')", "\"\"" },
    { "'a1b22c333'.findAll('[0-9]+')", "[\"1\",\"22\",\"333\"]" },
    { "'a1b22c333'.findAll('[0-9]+', 2)", "[\"1\",\"22\"]" },
    { "'aab'.find('a+?')", "\"a\"" },
    { "'aab'.find('a|aa')", "\"a\"" },
    { "'xaab'.find('aa|a')", "\"aa\"" },
    { "'abcd'.find('b(c|cd)?')", "\"bc\"" },
    { "self.s.charAt(1)", "\"\xc3\xa9\"" },
    { "self.s.substring(1, 3)", "\"\xc3\xa9l\"" },
    { "self.s.substring(3)", "\"lo\"" },
    { "self.s.indexOf('l')", "2" },
    { "self.s.indexOf('l', 3)", "3" },
    { "self.s.lastIndexOf('l')", "3" },
    { "self.s.indexOf('z')", "-1" },
    { "'a,b,c'.split(',')", "[\"a\",\"b\",\"c\"]" },
    { "'a,b,c'.split(',', 2)", "[\"a\",\"b,c\"]" },
    { "'abc'.split('')", "[\"a\",\"b\",\"c\"]" },
    { "self.names.join('-')", "\"b-a\"" },
    { "'aXbX'.replace('X', '--')", "\"a--b--\"" },
    { "'aXbX'.replace('X', '', 1)", "\"abX\"" },
    { "'ab'.replace('', '_')", "\"_a_b_\"" },
    { "'AbC'.lowerAscii() + 'AbC'.upperAscii()", "\"abcABC\"" },
    { "' \\t x '.trim()", "\"x\"" },
    { "self.list.sum() + self.list.max() - self.list.min()", "8" },
    { "self.list.isSorted() && !self.names.isSorted()", "true" },
    { "self.list.indexOf(3)", "2" },
    { "'\\x41\\u00e9\\\\\\n' == 'A\xc3\xa9\\\\\\n'", "true" },
    { "r'\\d' == '\\\\d'", "true" },
    { "'''a'b\"c''' == \"a'b\\\"c\"", "true" },
    { "true // a comment\n && true", "true" },
    { "dyn(1) == 1", "true" },
    /* the other side decides */
    { "self.none == 1 || true", "true" },
    { "true || self.none == 1", "true" },
    { "false && self.none == 1", "false" },
    { "self.none == 1 && false", "false" },
    { "self.items.exists(x, x.v == 2 || x.k == 'b')", "true" },
    /* faults of values */
    { "self.none", "! no such key: none" },
    { "self.m['y']", "! no such key: y" },
    { "self.none == 1 || false", "! no such key: none" },
    { "self.items.all(x, x.v == 1)", "! no such key: v" },
    { "self.list[3]", "! index out of bounds: 3" },
    { "self.list[-1]", "! index out of bounds: -1" },
    { "1 / 0", "! division by zero" },
    { "1 % 0", "! modulus by zero" },
    { "9223372036854775807 + 1", "! integer overflow" },
    { "1 + 'a'", "! no such overload" },
    { "1 + 1.0", "! no such overload" },
    { "self.s.x", "! no such overload" },
    { "!1", "! no such overload" },
    { "int('x')", "! cannot convert \"x\" to an int" },
    { "'a'.matches('(')", "! error parsing regexp: missing closing ): `(`" },
    { "'abc'.substring(2, 1)", "! invalid substring range. start: 2, end: 1" },
    { "'abc'.charAt(9)", "! index out of range: 9" },
};

static void expressions_have_their_values(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        const char *got = result(a, values[i][0]);
        const char *want = values[i][1];
        if (strcmp(got, want) != 0)
            fail_msg("%s: %s, not %s", values[i][0], got, want);
    }
}

static void what_does_not_compile_is_told_with_its_place(void **state)
{
    static const char *const faults[][2] = {
        { "", "1:1: Syntax error" },
        { "1 +", "1:4: Syntax error: unexpected end of the expression" },
        { "(1", "1:3: Syntax error: ')' expected" },
        { "1 2", "1:3: Syntax error: unexpected literal" },
        { "self.", "1:6: Syntax error: a field name expected" },
        { "'abc", "1:1: Syntax error: string without an end" },
        { "'\\q'", "1:1: Syntax error: invalid escape" },
        { "b'x'", "1:1: Syntax error: bytes are not supported" },
        { "99999999999999999999", "1:1: Syntax error: invalid int literal" },
        { "a && #", "1:6: Syntax error: unexpected character" },
        { "nobody", "1:1: undeclared reference to 'nobody'" },
        { "self.x &&\n  quantity('1')", "2:11: undeclared reference to 'quantity'" },
        { "duration('1s') == duration('1s')", "1:9: undeclared reference to 'duration'" },
        { "self.x.isURL()", "1:13: undeclared reference to 'isURL'" },
        { "has(1)", "1:4: invalid argument to has()" },
        { "self.list.all(1, true)", "1:15: Syntax error: argument must be a simple name" },
        { "size(1, 2)", "1:5: found no matching overload for 'size'" },
        { "self.list.all(x, x) && x", "1:24: undeclared reference to 'x'" },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        const char *got = result(a, faults[i][0]);
        const char *place = strchr(faults[i][1], ' ') + 1;
        if (strncmp(got, "!! ERROR: <input>:", 18) != 0 || !strstr(got, place) ||
            strncmp(got + 18, faults[i][1], (size_t)(place - faults[i][1])) != 0)
            fail_msg("%s: %s, not %s", faults[i][0], got, faults[i][1]);
    }
}

/* A type that has the fields n and list only. */
static const void *member(const void *type, const char *name, bool *ret_known)
{
    *ret_known = strcmp(name, "n") == 0 || strcmp(name, "list") == 0;
    return strcmp(name, "list") == 0 ? type : NULL;
}
static const void *element(const void *type)
{
    return type;
}

static void fields_that_can_never_be_are_found(void **state)
{
    AUTO_ARENA a = arena_new();
    const struct cel_types types = { .self = "T", .member = member, .element = element };
    const struct cel_program *p = NULL;
    assert_int_equal(cel_compile(a, "self.n == 1 && self.list[0].n == 2", &types, &p, NULL), 0);
    assert_false(cel_uses_old_self(p));
    assert_int_equal(cel_compile(a, "self.list.all(x, x.n == oldSelf.n)", &types, &p, NULL), 0);
    assert_true(cel_uses_old_self(p));
    static const char *const wrong[] = { "self.x == 1",
                                         "has(self.x)",
                                         "self.list[0].x == 1",
                                         "self.list.exists(e, e.x == 1)",
                                         "self.list.filter(e, e.n == 1).all(e, e.x == 1)",
                                         "oldSelf.x == 1" };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        if (cel_compile(a, wrong[i], &types, &p, &err) == 0)
            fail_msg("%s compiles", wrong[i]);
        assert_non_null(strstr(error_message(err), "undefined field 'x'"));
    }
}

static void work_has_an_end(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *list = EMPTY_ARR();
    for (int i = 0; i < 2000; i++)
        json_append(list, INT(i));
    const struct cel_program *p = NULL;
    const struct json *v = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    assert_int_equal(cel_compile(a, "self.all(x, self.all(y, x + y >= 0))", NULL, &p, NULL), 0);
    assert_int_equal(cel_eval(a, p, list, NULL, &v, &err), -ERROR_INVALID);
    assert_non_null(strstr(error_message(err), "cost limit exceeded"));
    char deep[4096];
    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    error_free(TAKE_PTR(err));
    assert_int_equal(cel_compile(a, deep, NULL, &p, &err), -ERROR_INVALID);
    assert_non_null(strstr(error_message(err), "nests too deeply"));
}

UNIT_TESTS(TEST(expressions_have_their_values), TEST(what_does_not_compile_is_told_with_its_place),
           TEST(fields_that_can_never_be_are_found), TEST(work_has_an_end))
