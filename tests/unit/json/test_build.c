#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json_test.h"

static void objects_read_like_their_yaml(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *v =
        OBJ("apiVersion", STR("v1"), "metadata", OBJ("name", STRF("%s-%d", "w", 1), "labels", NULL),
            "spec", OBJ("ports", ARR(OBJ("port", INT(80)), NULL, NUL()), "headless", BOOL(true)),
            "empty", OBJ("o", EMPTY_OBJ(), "a", EMPTY_ARR()));
    assert_json(
        v,
        "{\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"w-1\"},"
        "\"spec\":{\"ports\":[{\"port\":80},null],\"headless\":true},\"empty\":{\"o\":{},\"a\":[]}}");
}

static void the_last_of_equal_keys_counts(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_json(OBJ("a", INT(1), "b", INT(2), "a", INT(3)), "{\"a\":3,\"b\":2}");
}

/* It would make one ring of two containers, and a walk over either would not end. */
static void a_second_place_for_a_value_ends_the_program(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        AUTO_ARENA a = arena_new();
        struct json *shared = INT(1);
        OBJ("x", shared, "y", shared);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

UNIT_TESTS(TEST(objects_read_like_their_yaml), TEST(the_last_of_equal_keys_counts),
           TEST(a_second_place_for_a_value_ends_the_program))
