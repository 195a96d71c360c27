#include "json_test.h"

static void absent_values_can_be_asked_anything(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_true(json_is_null(NULL));
    assert_int_equal(json_type(NULL), JSON_NULL);
    assert_null(json_string(NULL));
    assert_int_equal(json_size(NULL), 0);
    assert_int_equal(json_int(NULL, 7), 7);
    assert_true(json_bool(NULL, true));
    assert_null(json_get(NULL, "x"));
    assert_null(json_at(NULL, 0));
    assert_null(json_last(NULL));
    assert_null(json_clone(a, NULL));
    JSON_FOREACH(it, NULL)
        fail();
    json_append(NULL, INT(1));
    json_set(a, NULL, "x", INT(1));
    assert_false(json_del(NULL, "x"));
    json_clear(NULL);
    json_sort_keys(NULL);
}

static void types_have_the_words_of_schemas(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const texts[][2] = { { "null", "null" },   { "true", "boolean" },
                                            { "1", "integer" },   { "1.5", "number" },
                                            { "\"\"", "string" }, { "[]", "array" },
                                            { "{}", "object" } };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        assert_string_equal(json_type_name(json_type(J(texts[i][0]))), texts[i][1]);
}

static void numbers_convert_when_they_fit(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_int_equal(json_int(J("3.0"), -1), 3);
    assert_int_equal(json_int(J("3.5"), -1), -1);
    assert_int_equal(json_int(J("1e300"), -1), -1);
    assert_true(json_int(J("-9223372036854775808"), 0) == INT64_MIN);
    assert_int_equal(json_int(J("9223372036854775808"), -1), -1);
    assert_true(json_int(J("-9223372036854775808.0"), 0) == INT64_MIN);
    assert_int_equal(json_type(J("9223372036854775808")), JSON_DOUBLE);
    assert_true(json_double(J("5"), 0) > 4.9);
    assert_true(json_double(J("\"5\""), 1.5) < 1.6);
}

static void paths_end_where_a_key_is_absent(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = J("{\"a\":{\"b\":{\"s\":\"x\",\"n\":5,\"t\":true}},\"l\":[1]}");
    assert_string_equal(json_find_str(v, "a", "b", "s"), "x");
    assert_int_equal(json_find_int(v, 0, "a", "b", "n"), 5);
    assert_true(json_find_bool(v, false, "a", "b", "t"));
    assert_null(json_find(v, "a", "x", "s"));
    assert_null(json_find(v, "l", "b"));
    assert_null(json_find_str(v, "a", "b", "n"));
    assert_ptr_equal(json_find(v, "a"), json_get(v, "a"));
    assert_ptr_equal(json_get_n(v, "abc", 1), json_get(v, "a"));
}

static void members_are_set_replaced_and_removed(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = EMPTY_OBJ();
    json_set_int(a, v, "b", 1);
    json_set_str(a, v, "a", "x");
    json_set_bool(a, v, "c", true);
    json_set_str(a, v, "a", NULL);
    assert_json(v, "{\"b\":1,\"a\":\"x\",\"c\":true}");
    json_set(a, v, "a", EMPTY_ARR());
    assert_json(v, "{\"b\":1,\"a\":[],\"c\":true}");
    json_set(a, v, "b", NULL);
    assert_json(v, "{\"a\":[],\"c\":true}");
    assert_true(json_del(v, "c"));
    assert_false(json_del(v, "c"));
    json_add(a, v, "dd", 1, INT(4));
    assert_json(v, "{\"a\":[],\"d\":4}");
    json_set(a, v, "a", json_get(v, "a")); /* its own value */
    assert_json(v, "{\"a\":[],\"d\":4}");
    assert_true(json_del(v, "a"));
    assert_true(json_del(v, "d"));
    assert_json(v, "{}");
    json_set_int(a, v, "again", 1);
    assert_json(v, "{\"again\":1}");
}

static void elements_are_inserted_replaced_and_removed(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = EMPTY_ARR();
    json_append(v, INT(1));
    json_append(v, NULL);
    json_append(v, INT(3));
    json_insert(v, 1, INT(2));
    json_insert(v, 0, INT(0));
    json_insert(v, 99, INT(4));
    assert_json(v, "[0,1,2,3,4]");
    assert_int_equal(json_int(json_last(v), 0), 4);
    json_replace_at(v, 0, STR("a"));
    json_replace_at(v, 4, STR("z"));
    json_replace_at(v, 5, STR("no"));
    assert_json(v, "[\"a\",1,2,3,\"z\"]");
    json_remove_at(v, 4);
    json_remove_at(v, 0);
    json_remove_at(v, 9);
    assert_json(v, "[1,2,3]");
    assert_int_equal(json_int(json_at(v, 2), 0), 3);
    assert_null(json_at(v, 3));
    json_clear(v);
    assert_json(v, "[]");
    json_append(v, INT(9));
    json_replace_at(v, 0, INT(8));
    assert_json(v, "[8]");
    json_append(v, INT(9));
    assert_json(v, "[8,9]");
}

static void a_removed_value_can_go_elsewhere(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = J("{\"a\":[{\"x\":1},2],\"b\":{\"y\":3}}"), *to = EMPTY_ARR();
    struct json *x = json_at(json_get(v, "a"), 0), *b = json_get(v, "b");
    json_remove_at(json_get(v, "a"), 0);
    json_append(to, x);
    json_del(v, "b");
    json_append(to, b);
    assert_json(to, "[{\"x\":1},{\"y\":3}]");
    assert_json(v, "{\"a\":[2]}");
    json_clear(to);
    json_set(a, v, "x", x);
    assert_json(v, "{\"a\":[2],\"x\":{\"x\":1}}");
}

static void iteration_gives_all_in_order(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = J("{\"x\":1,\"y\":2,\"z\":3}");
    size_t n = 0;
    JSON_FOREACH(it, v) {
        assert_int_equal(it.index, n);
        assert_int_equal(it.key_len, 1);
        assert_int_equal(it.key[0], 'x' + (int)n);
        assert_int_equal(json_int(it.value, 0), n + 1);
        n++;
    }
    assert_int_equal(n, 3);
    JSON_FOREACH(it, J("[5]")) {
        assert_null(it.key);
        n++;
    }
    assert_int_equal(n, 4);
    JSON_FOREACH(it, J("5"))
        fail();
}

/* Every subset of members, removed during iteration, leaves the others in order and the container
 * whole. */
static void any_value_may_be_removed_while_iterating(void **state)
{
    AUTO_ARENA a = arena_new();
    for (unsigned mask = 0; mask < 64; mask++) {
        struct json *o = J("{\"0\":0,\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5}"),
                    *l = J("[0,1,2,3,4,5]");
        JSON_FOREACH(it, o)
            if (mask >> json_int(it.value, 0) & 1)
                json_iter_remove(&it);
        JSON_FOREACH(it, l)
            if (mask >> json_int(it.value, 0) & 1)
                json_iter_remove(&it);
        json_set(a, o, "6", INT(6));
        json_append(l, INT(6));
        struct json_iter in_o = json_iter(o), in_l = json_iter(l);
        for (int i = 0; i <= 6; i++) {
            if (i < 6 && mask >> i & 1)
                continue;
            assert_true(json_next(&in_o) && json_next(&in_l));
            assert_int_equal(json_int(in_o.value, -1), i);
            assert_int_equal(json_int(in_l.value, -1), i);
        }
        assert_false(json_next(&in_o) || json_next(&in_l));
    }
}

static void the_current_value_may_be_replaced_while_iterating(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *o = J("{\"a\":1,\"b\":2}"), *l = J("[1,2,3]"), *one = J("[1]");
    JSON_FOREACH(it, o)
        json_set(a, o, it.key, STRF("%d", (int)json_int(it.value, 0)));
    JSON_FOREACH(it, l)
        json_replace_at(l, it.index, STRF("%d", (int)json_int(it.value, 0)));
    JSON_FOREACH(it, one)
        json_replace_at(one, it.index, STR("x"));
    assert_json(o, "{\"a\":\"1\",\"b\":\"2\"}");
    assert_json(l, "[\"1\",\"2\",\"3\"]");
    assert_json(one, "[\"x\"]");
}

static void clones_share_nothing(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_ARENA b = arena_new();
    struct json *v = J("{\"a\":[1,2.5,null,true,\"s\\u0000t\",{}],\"b\":{}}");
    struct json *copy = json_clone(b, v);
    char *text = json_text(b, v);
    json_clear(v);
    arena_reset(a);
    memset(arena_alloc(a, 4000), 0xff, 4000);
    assert_string_equal(json_text(b, copy), text);
}

static void strings_are_made_valid(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_null(STR(NULL));
    struct json *v = json_new_string_n(a, "a\xff\xc3\xa9\xc3", 5);
    assert_string_equal(json_string(v), "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd");
    assert_int_equal(json_string_len(v), 9);
    assert_string_equal(json_string(STRF("%s", "\xff")), "\xef\xbf\xbd");
    assert_int_equal(json_string_len(json_new_string_n(a, "a\0b", 3)), 3);
    struct json *o = EMPTY_OBJ();
    json_set(a, o, "\xff", INT(1));
    assert_json(o, "{\"\xef\xbf\xbd\":1}");
}

static void ensured_containers_are_made_once(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = J("{\"a\":{\"b\":1},\"c\":5}");
    json_set_int(a, json_ensure_object(a, v, "a"), "d", 2);
    json_set_int(a, json_ensure_object(a, v, "c"), "e", 3);
    json_append(json_ensure_array(a, v, "f"), INT(1));
    json_append(json_ensure_array(a, v, "f"), INT(2));
    assert_json(v, "{\"a\":{\"b\":1,\"d\":2},\"c\":{\"e\":3},\"f\":[1,2]}");
}

static int by_n(const struct json *x, const struct json *y)
{
    int64_t p = json_find_int(x, 0, "n"), q = json_find_int(y, 0, "n");
    return p < q ? -1 : p > q;
}

static void sorting_is_stable(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t n = 0; n < 40; n++) {
        struct json *v = EMPTY_ARR();
        for (size_t i = 0; i < n; i++)
            json_append(v, OBJ("n", INT((int64_t)(i * 7919 % 5)), "i", INT((int64_t)i)));
        json_sort(v, by_n);
        assert_int_equal(json_size(v), n);
        const struct json *before = NULL;
        size_t seen = 0;
        JSON_FOREACH(it, v) {
            int order = before ? by_n(before, it.value) : -1;
            assert_true(order < 0 || (order == 0 && json_find_int(before, 0, "i") <
                                                        json_find_int(it.value, 0, "i")));
            before = it.value;
            seen++;
        }
        assert_int_equal(seen, n);
        json_append(v, INT(1));
        assert_int_equal(json_size(v), n + 1);
    }
}

static void keys_sort_by_bytes(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v = J("{\"b\":{\"z\":1,\"a\":2},\"\":0,\"ab\":1,\"a\":2,\"B\":3,\"é\":4}");
    json_sort_keys(v);
    assert_json(v, "{\"\":0,\"B\":3,\"a\":2,\"ab\":1,\"b\":{\"z\":1,\"a\":2},\"é\":4}");
    json_set_int(a, v, "last", 5);
    assert_json(v, "{\"\":0,\"B\":3,\"a\":2,\"ab\":1,\"b\":{\"z\":1,\"a\":2},\"é\":4,\"last\":5}");
}

UNIT_TESTS(TEST(absent_values_can_be_asked_anything), TEST(types_have_the_words_of_schemas),
           TEST(numbers_convert_when_they_fit), TEST(paths_end_where_a_key_is_absent),
           TEST(members_are_set_replaced_and_removed),
           TEST(elements_are_inserted_replaced_and_removed), TEST(a_removed_value_can_go_elsewhere),
           TEST(iteration_gives_all_in_order), TEST(any_value_may_be_removed_while_iterating),
           TEST(the_current_value_may_be_replaced_while_iterating), TEST(clones_share_nothing),
           TEST(strings_are_made_valid), TEST(ensured_containers_are_made_once),
           TEST(sorting_is_stable), TEST(keys_sort_by_bytes))
