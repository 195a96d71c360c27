/* Containers as processes: exit codes, signals, whole trees, and what is left of them when somebody
 * is killed. */
#include "machine/container.h"

#include <poll.h>
#include <sys/wait.h>

#include "machine_test.h"

struct box {
    struct arena *a;
    const char *root;
    const char *dir;
    struct container_process p;
};

static void box_init(struct box *b, void **state)
{
    *b = (struct box){ .a = arena_new(), .root = *state };
    b->dir = arena_printf(b->a, "%s/c/0", b->root);
    b->p = (struct container_process)CONTAINER_PROCESS_INIT;
}

static void box_done(struct box *b)
{
    container_release(&b->p);
    arena_free(b->a);
}

static int start(struct box *b, const char *script)
{
    char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
    char *env[] = { (char *)"PATH=/usr/bin:/bin", (char *)"GREETING=hello",
                    arena_printf(b->a, "OUT=%s", b->root), NULL };
    struct container_launch l = {
        .dir = b->dir, .path = "/bin/sh", .argv = argv, .env = env, .cwd = "/tmp", .grace_ms = 5000
    };
    return container_launch(test_shim(), &l, &b->p, NULL);
}

static bool readable(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, ms) == 1;
}

static struct container_state wait_end(struct box *b)
{
    struct container_state s;
    assert_true(readable(b->p.pidfd, 10000));
    container_collect(b->a, b->dir, clock_wall(clock_system()), &s);
    return s;
}

static void wait_started(struct box *b)
{
    assert_true(readable(b->p.started_fd, 5000));
}

static const char *out(struct box *b, const char *name)
{
    return arena_printf(b->a, "%s/%s", b->root, name);
}

static void the_exit_code_is_kept(void **state)
{
    struct box b;
    box_init(&b, state);
    assert_int_equal(start(&b, "echo $GREETING; pwd; echo oops >&2; exit 3"), 0);
    struct container_state s = wait_end(&b);
    assert_int_equal(s.exit_code, 3);
    assert_false(s.lost);
    assert_null(s.error);
    assert_true(s.started_ns > 0 && s.finished_ns >= s.started_ns);
    const char *log = read_all(b.a, arena_printf(b.a, "%s/log", b.dir));
    assert_non_null(strstr(log, " stdout F hello\n"));
    assert_non_null(strstr(log, " stdout F /tmp\n"));
    assert_non_null(strstr(log, " stderr F oops\n"));
    box_done(&b);
}

static void a_signal_becomes_128_plus(void **state)
{
    struct box b;
    box_init(&b, state);
    assert_int_equal(start(&b, "kill -SEGV $$"), 0);
    assert_int_equal(wait_end(&b).exit_code, 128 + SIGSEGV);
    box_done(&b);
}

static void a_missing_program_is_said(void **state)
{
    struct box b;
    box_init(&b, state);
    char *argv[] = { (char *)"nothing", NULL };
    struct container_launch l = {
        .dir = b.dir, .path = "/no/such/program", .argv = argv, .env = argv + 1, .grace_ms = 0
    };
    assert_int_equal(container_launch(test_shim(), &l, &b.p, NULL), 0);
    struct container_state s = wait_end(&b);
    assert_int_equal(s.exit_code, 128);
    assert_int_equal(s.pid, 0);
    assert_non_null(strstr(s.error, "/no/such/program"));
    assert_non_null(strstr(s.error, "No such file"));
    box_done(&b);
}

static void what_the_main_process_leaves_is_killed(void **state)
{
    struct box b;
    box_init(&b, state);
    /* One in the group, one in a session of its own, one that nobody is the parent of. */
    assert_int_equal(
        start(
            &b,
            "sleep 1000 & echo $! > $OUT/p1; setsid sleep 1000 & echo $! > $OUT/p2;"
            "(sh -c 'setsid sleep 1000 & echo $! > $OUT/p3' &) ; while ! test -s $OUT/p3; do :; done; exit 0"),
        0);
    assert_int_equal(wait_end(&b).exit_code, 0);
    for (int i = 1; i <= 3; i++) {
        pid_t pid = read_pid(b.a, out(&b, arena_printf(b.a, "p%d", i)));
        assert_true(pid > 0);
        assert_false(pid_alive(pid));
    }
    box_done(&b);
}

static void sigterm_reaches_the_group_and_gives_time(void **state)
{
    struct box b;
    box_init(&b, state);
    assert_int_equal(
        start(&b, "trap 'echo bye; exit 7' TERM; echo up > $OUT/up; while :; do sleep 0.02; done"),
        0);
    wait_started(&b);
    WAIT_FOR(5000, file_exists(out(&b, "up")));
    container_stop(&b.p, 5000);
    struct container_state s = wait_end(&b);
    assert_int_equal(s.exit_code, 7);
    assert_non_null(strstr(read_all(b.a, arena_printf(b.a, "%s/log", b.dir)), "bye"));
    box_done(&b);
}

static void who_ignores_sigterm_is_killed_after_the_grace(void **state)
{
    struct box b;
    box_init(&b, state);
    assert_int_equal(
        start(
            &b,
            "trap '' TERM; (setsid sleep 1000 & echo $! > $OUT/p1); while :; do sleep 1000; done"),
        0);
    wait_started(&b);
    WAIT_FOR(5000, read_pid(b.a, out(&b, "p1")) > 0);
    int64_t begin = clock_mono(clock_system());
    container_stop(&b.p, 200);
    assert_int_equal(wait_end(&b).exit_code, 137);
    int64_t ms = (clock_mono(clock_system()) - begin) / NS_PER_MS;
    assert_true(ms >= 190 && ms < 2000);
    assert_false(pid_alive(read_pid(b.a, out(&b, "p1"))));
    box_done(&b);
}

static void a_second_stop_brings_the_end_forward(void **state)
{
    struct box b;
    box_init(&b, state);
    assert_int_equal(start(&b, "trap '' TERM; echo up > $OUT/up; while :; do sleep 1000; done"), 0);
    WAIT_FOR(5000, file_exists(out(&b, "up")));
    container_stop(&b.p, 60000);
    assert_false(readable(b.p.pidfd, 100));
    container_stop(&b.p, 0);
    assert_int_equal(wait_end(&b).exit_code, 137);
    box_done(&b);
}

/* What `kaito up` does after it was killed: it finds the container by its directory. */
static void a_later_run_adopts_it(void **state)
{
    struct box b;
    box_init(&b, state);
    pid_t child = fork();
    if (child == 0) {
        start(&b, "echo up > $OUT/up; while ! test -e $OUT/go; do sleep 0.01; done; exit 42");
        wait_started(&b);
        kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
    WAIT_FOR(5000, file_exists(out(&b, "up")));
    struct container_state s;
    assert_int_equal(container_adopt(b.a, b.dir, 1, &b.p, &s), CONTAINER_LIFE_ALIVE);
    assert_true(s.pid > 0 && s.started_ns > 0 && s.finished_ns == 0);
    assert_true(pid_alive(s.pid));
    write_all(out(&b, "go"), "");
    assert_int_equal(wait_end(&b).exit_code, 42);
    /* And once more, when it is over. */
    struct container_process again = CONTAINER_PROCESS_INIT;
    assert_int_equal(container_adopt(b.a, b.dir, 1, &again, &s), CONTAINER_LIFE_DEAD);
    assert_int_equal(s.exit_code, 42);
    assert_false(s.lost);
    box_done(&b);
}

static void a_killed_shim_takes_the_container_with_it(void **state)
{
    struct box b;
    box_init(&b, state);
    assert_int_equal(start(&b, "setsid sleep 1000 & echo $! > $OUT/p1; exec sleep 1001"), 0);
    wait_started(&b);
    WAIT_FOR(5000, read_pid(b.a, out(&b, "p1")) > 0);
    struct container_state s;
    assert_int_equal(container_state_read(b.a, b.dir, &s, NULL), 0);
    kill(b.p.pid, SIGKILL);
    assert_true(readable(b.p.pidfd, 5000));
    WAIT_FOR(5000, !pid_alive(s.pid));
    container_collect(b.a, b.dir, 1000, &s);
    assert_int_equal(s.exit_code, 137);
    assert_true(s.lost);
    assert_false(pid_alive(read_pid(b.a, out(&b, "p1"))));
    assert_int_equal(container_state_read(b.a, b.dir, &s, NULL), 0);
    assert_int_equal(s.finished_ns, 1000);
    box_done(&b);
}

/* The launch was recorded, but the starter died before the shim came to life: it must not run when
 * it comes late. */
static void a_late_shim_does_not_run(void **state)
{
    struct box b;
    box_init(&b, state);
    assert_int_equal(file_mkdirs(b.dir, 0755, NULL), 0);
    struct container_state s;
    assert_int_equal(container_adopt(b.a, b.dir, 5, &b.p, &s), CONTAINER_LIFE_ABSENT);
    assert_int_equal(start(&b, "echo ran > $OUT/ran"), 0);
    assert_true(readable(b.p.pidfd, 5000));
    assert_false(file_exists(out(&b, "ran")));
    box_done(&b);
}

static void absent_is_absent(void **state)
{
    struct box b;
    box_init(&b, state);
    struct container_state s;
    assert_int_equal(container_adopt(b.a, "/no/such/dir", 5, &b.p, &s), CONTAINER_LIFE_ABSENT);
    box_done(&b);
}

static bool spare_none(void *ctx, const char *dir)
{
    return strstr(dir, ctx) != NULL;
}

static void strays_are_swept(void **state)
{
    struct box b;
    box_init(&b, state);
    assert_int_equal(start(&b, "exec sleep 1000"), 0);
    wait_started(&b);
    struct container_state s;
    assert_int_equal(container_state_read(b.a, b.dir, &s, NULL), 0);
    assert_int_equal(container_sweep("/no/such/dir", NULL, NULL), 0);
    assert_int_equal(container_sweep(b.root, spare_none, (void *)"/c/0"), 0);
    assert_true(pid_alive(s.pid));
    assert_true(container_sweep(b.root, NULL, NULL) >= 1);
    assert_int_equal(wait_end(&b).exit_code, 137);
    box_done(&b);
}

static void big_output_does_not_block(void **state)
{
    struct box b;
    box_init(&b, state);
    assert_int_equal(start(&b,
                           "i=0; while [ $i -lt 20000 ]; do echo line number $i; i=$((i+1)); done"),
                     0);
    assert_int_equal(wait_end(&b).exit_code, 0);
    size_t n = 0;
    str_split(b.a, read_all(b.a, arena_printf(b.a, "%s/log", b.dir)), '\n', &n);
    assert_int_equal(n, 20001);
    box_done(&b);
}

static void other_signals_are_passed_on(void **state)
{
    struct box b;
    box_init(&b, state);
    assert_int_equal(start(&b,
                           "trap 'exit 9' USR1; echo up > $OUT/up; while :; do sleep 0.02; done"),
                     0);
    WAIT_FOR(5000, file_exists(out(&b, "up")));
    kill(b.p.pid, SIGUSR1);
    assert_int_equal(wait_end(&b).exit_code, 9);
    box_done(&b);
}

UNIT_TESTS(TEST_IN_DIR(the_exit_code_is_kept), TEST_IN_DIR(a_signal_becomes_128_plus),
           TEST_IN_DIR(a_missing_program_is_said),
           TEST_IN_DIR(what_the_main_process_leaves_is_killed),
           TEST_IN_DIR(sigterm_reaches_the_group_and_gives_time),
           TEST_IN_DIR(who_ignores_sigterm_is_killed_after_the_grace),
           TEST_IN_DIR(a_second_stop_brings_the_end_forward), TEST_IN_DIR(a_later_run_adopts_it),
           TEST_IN_DIR(a_killed_shim_takes_the_container_with_it),
           TEST_IN_DIR(a_late_shim_does_not_run), TEST_IN_DIR(absent_is_absent),
           TEST_IN_DIR(strays_are_swept), TEST_IN_DIR(big_output_does_not_block),
           TEST_IN_DIR(other_signals_are_passed_on))
