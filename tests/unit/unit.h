/* What every unit test needs: cmocka with the headers it wants before it, and a main that speaks
 * TAP.
 *
 *     static void does_a_thing(void **state) { … }
 *     UNIT_TESTS(TEST(does_a_thing), TEST(refuses_another)) */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TEST(fn) cmocka_unit_test(fn)

#define UNIT_TESTS(...)                                                                            \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = { __VA_ARGS__ };                                         \
        cmocka_set_message_output(CM_OUTPUT_TAP);                                                  \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }

/* Fails unless the call returned -code, and its error's text has `part` in it; frees the error. */
#define assert_error(r, err, code, part)                                                           \
    do {                                                                                           \
        assert_int_equal((r), -(int)(code));                                                       \
        assert_non_null(err);                                                                      \
        if (!strstr(error_message(err), (part)))                                                   \
            fail_msg("\"%s\" has no \"%s\"", error_message(err), (part));                          \
        error_free(err);                                                                           \
        (err) = NULL;                                                                              \
    } while (0)
