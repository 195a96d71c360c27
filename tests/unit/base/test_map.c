#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "unit.h"

static int freed;

static void count_free(void *value)
{
    freed++;
    free(value);
}

static void finds_what_was_put_in(void **state)
{
    AUTO_MAP m = map_new(NULL);
    int one = 1, two = 2;
    assert_null(map_get(m, "a"));
    map_set(m, "a", &one);
    map_set(m, "", &two);
    assert_ptr_equal(map_get(m, "a"), &one);
    assert_ptr_equal(map_get(m, ""), &two);
    assert_ptr_equal(map_get_n(m, "abc", 1), &one);
    map_set(m, "a", &two);
    assert_ptr_equal(map_get(m, "a"), &two);
    assert_int_equal(map_size(m), 2);
    map_set(m, "null", NULL);
    assert_true(map_has(m, "null"));
    assert_null(map_get(m, "null"));
    assert_false(map_has(m, "b"));
    assert_null(map_get(m, NULL));
    assert_int_equal(map_size(NULL), 0);
}

static void keys_are_copied(void **state)
{
    AUTO_MAP m = map_new(NULL);
    char key[] = "key";
    map_set(m, key, key);
    key[0] = 'x';
    assert_non_null(map_get(m, "key"));
}

static void frees_values_once(void **state)
{
    freed = 0;
    struct map *m = map_new(count_free);
    map_set(m, "a", mem_alloc(1));
    map_set(m, "a", mem_alloc(1));
    assert_int_equal(freed, 1);
    void *same = map_get(m, "a");
    map_set(m, "a", same);
    assert_int_equal(freed, 1);
    map_set(m, "b", mem_alloc(1));
    assert_true(map_del(m, "b"));
    assert_false(map_del(m, "b"));
    assert_int_equal(freed, 2);
    map_set(m, "c", mem_alloc(1));
    AUTO_FREE void *taken = map_take(m, "c");
    assert_non_null(taken);
    assert_null(map_take(m, "c"));
    assert_int_equal(freed, 2);
    map_set(m, "d", mem_alloc(1));
    map_clear(m);
    assert_int_equal(freed, 4);
    assert_int_equal(map_size(m), 0);
    map_set(m, "e", mem_alloc(1));
    map_free(m);
    assert_int_equal(freed, 5);
    map_free(NULL);
}

static void iterates_in_insertion_order(void **state)
{
    AUTO_MAP m = map_new(NULL);
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        map_set(m, key, (void *)(intptr_t)(i + 1));
    }
    map_set(m, "k5", (void *)(intptr_t)6); /* replacing keeps the place */
    map_del(m, "k7");
    map_set(m, "k7", (void *)(intptr_t)8); /* coming back does not */
    struct map_iter it = MAP_ITER_INIT;
    const char *k;
    void *v;
    int expected = 0, seen = 0;
    while (map_next(m, &it, &k, &v)) {
        if (expected == 7)
            expected++;
        if (seen < 99)
            assert_int_equal((intptr_t)v, expected + 1);
        else
            assert_string_equal(k, "k7");
        expected++;
        seen++;
    }
    assert_int_equal(seen, 100);
}

static void entries_may_be_deleted_while_iterating(void **state)
{
    AUTO_MAP m = map_new(NULL);
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        map_set(m, key, (void *)(intptr_t)i);
    }
    struct map_iter it = MAP_ITER_INIT;
    const char *k;
    void *v;
    while (map_next(m, &it, &k, &v))
        if ((intptr_t)v % 3 != 0)
            assert_true(map_del(m, k));
    assert_int_equal(map_size(m), 334);
    assert_true(map_has(m, "k999"));
    assert_false(map_has(m, "k998"));
}

/* Random operations against a plain array. */
static void behaves_like_an_array_of_slots(void **state)
{
    enum { KEYS = 200 };
    bool present[KEYS] = { 0 };
    size_t size = 0;
    AUTO_MAP m = map_new(NULL);
    uint32_t random = 12345;
    for (int round = 0; round < 200000; round++) {
        random = random * 1664525 + 1013904223;
        unsigned i = (random >> 8) % KEYS;
        char key[16];
        snprintf(key, sizeof key, "%u", i);
        if (random >> 30 == 0) {
            assert_int_equal(map_del(m, key), present[i]);
            size -= present[i];
            present[i] = false;
        } else if (random >> 30 == 1) {
            map_set(m, key, &present[i]);
            size += !present[i];
            present[i] = true;
        } else {
            assert_ptr_equal(map_get(m, key), present[i] ? &present[i] : NULL);
        }
        assert_int_equal(map_size(m), size);
    }
}

static void a_queue_does_not_grow(void **state)
{
    AUTO_MAP m = map_new(NULL);
    char key[16];
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "%d", i);
        map_set(m, key, m);
        if (i >= 10) {
            snprintf(key, sizeof key, "%d", i - 10);
            assert_true(map_del(m, key));
        }
    }
    assert_int_equal(map_size(m), 10);
    struct map_iter it = MAP_ITER_INIT;
    const char *k;
    assert_true(map_next(m, &it, &k, NULL));
    assert_string_equal(k, "99990");
    assert_true(it.next < 100); /* holes are closed */
}

UNIT_TESTS(TEST(finds_what_was_put_in), TEST(keys_are_copied), TEST(frees_values_once),
           TEST(iterates_in_insertion_order), TEST(entries_may_be_deleted_while_iterating),
           TEST(behaves_like_an_array_of_slots), TEST(a_queue_does_not_grow))
