#include "base/arena.h"
#include "base/mem.h"
#include "unit.h"

static void gives_aligned_memory_that_stays(void **state)
{
    AUTO_ARENA a = arena_new();
    char *kept[500];
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        kept[i] = arena_alloc(a, i * 7);
        assert_int_equal((uintptr_t)kept[i] % 16, 0);
        memset(kept[i], (int)(i & 0xff), i * 7);
    }
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        for (size_t j = 0; j < i * 7; j++)
            assert_int_equal((unsigned char)kept[i][j], i & 0xff);
}

static void large_blocks_do_not_end_the_current_one(void **state)
{
    AUTO_ARENA a = arena_new();
    char *before = arena_alloc(a, 16);
    char *large = arena_zalloc(a, 5 * MIB);
    char *after = arena_alloc(a, 16);
    assert_true(after > before && after - before < 256);
    assert_int_equal(large[5 * MIB - 1], 0);
}

static void counts_and_resets(void **state)
{
    AUTO_ARENA a = arena_new();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++)
            memset(arena_alloc(a, 1000), 1, 1000);
        arena_zalloc(a, 3 * MIB);
        assert_int_equal(arena_used(a), 1000 * 1000 + 3 * MIB);
        arena_reset(a);
        assert_int_equal(arena_used(a), 0);
    }
}

static void a_reset_arena_may_have_had_only_large_blocks(void **state)
{
    AUTO_ARENA a = arena_new();
    for (int i = 0; i < 3; i++) {
        arena_zalloc(a, 2 * MIB);
        arena_reset(a);
    }
    assert_string_equal(arena_strdup(a, "still here"), "still here");
}

static void copies_and_formats_strings(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_null(arena_strdup(a, NULL));
    assert_string_equal(arena_strdup(a, ""), "");
    assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
    assert_string_equal(arena_printf(a, "%s-%d", "x", 7), "x-7");
    AUTO_FREE char *long_text = mem_alloc(5001);
    memset(long_text, 'y', 5000);
    long_text[5000] = '\0';
    char *copy = arena_printf(a, "<%s>", long_text);
    assert_int_equal(strlen(copy), 5002);
    assert_int_equal(copy[5001], '>');
}

UNIT_TESTS(TEST(gives_aligned_memory_that_stays), TEST(large_blocks_do_not_end_the_current_one),
           TEST(counts_and_resets), TEST(a_reset_arena_may_have_had_only_large_blocks),
           TEST(copies_and_formats_strings))
