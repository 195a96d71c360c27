#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/thread.h"
#include "unit.h"

static int wait_status(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Runs a shell script with its output in *out. Returns the exit status. */
static int run_shell(struct process_spec spec, const char *script, struct buf *out)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
    spec.path = "sh";
    spec.argv = argv;
    spec.stdout_fd = fds[1];
    struct error *err = NULL;
    pid_t pid;
    if (process_spawn(&spec, &pid, &err) < 0)
        fail_msg("%s", error_message(err));
    close(fds[1]);
    char chunk[1024];
    ssize_t n;
    while ((n = read(fds[0], chunk, sizeof chunk)) > 0)
        buf_append(out, chunk, (size_t)n);
    close(fds[0]);
    return wait_status(pid);
}

static void runs_with_output_and_status(void **state)
{
    AUTO_BUF out = BUF_INIT(64 * KIB);
    struct process_spec spec = PROCESS_SPEC_INIT;
    assert_int_equal(run_shell(spec, "echo hello; exit 7", &out), 7);
    assert_string_equal(buf_str(&out), "hello\n");
}

static void environment_and_directory_are_set(void **state)
{
    AUTO_BUF out = BUF_INIT(64 * KIB);
    char *env[] = { (char *)"COLOR=blue", NULL };
    struct process_spec spec = PROCESS_SPEC_INIT;
    spec.env = env;
    spec.cwd = "/proc";
    assert_int_equal(run_shell(spec, "echo $COLOR $HOME; pwd", &out), 0);
    assert_string_equal(buf_str(&out), "blue\n/proc\n");
}

static void no_other_descriptor_gets_through(void **state)
{
    int leak = fcntl(STDOUT_FILENO, F_DUPFD, 50); /* without close-on-exec */
    AUTO_BUF out = BUF_INIT(64 * KIB);
    struct process_spec spec = PROCESS_SPEC_INIT;
    assert_int_equal(
        run_shell(spec,
                  "for i in 3 4 5 6 7 8 9 50; do [ -e /proc/$$/fd/$i ] && echo $i; done; true",
                  &out),
        0);
    assert_string_equal(buf_str(&out), "");
    close(leak);
}

static void standard_descriptors_can_be_crossed(void **state)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    char *argv[] = { (char *)"sh", (char *)"-c", (char *)"echo out; echo err >&2; cat", NULL };
    struct process_spec spec = PROCESS_SPEC_INIT;
    spec.path = "sh";
    spec.argv = argv;
    spec.stdout_fd = fds[1];
    spec.stderr_fd = fds[1];
    pid_t pid;
    assert_int_equal(process_spawn(&spec, &pid, NULL), 0);
    close(fds[1]);
    char text[64] = "";
    size_t len = 0;
    ssize_t n;
    while ((n = read(fds[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    close(fds[0]);
    assert_string_equal(text, "out\nerr\n");
    assert_int_equal(wait_status(pid), 0); /* cat met the end of /dev/null */
}

static void failures_have_their_own_reason(void **state)
{
    struct error *err = NULL;
    pid_t pid = -1;
    char *argv[] = { (char *)"x", NULL };
    struct process_spec spec = PROCESS_SPEC_INIT;
    spec.argv = argv;
    spec.path = "/nowhere/program";
    int r = process_spawn(&spec, &pid, &err);
    assert_error(r, err, ERROR_NOT_FOUND, "cannot run /nowhere/program: No such file");
    spec.path = "no-such-program-at-all";
    r = process_spawn(&spec, &pid, &err);
    assert_error(r, err, ERROR_NOT_FOUND, "no-such-program-at-all");
    spec.path = "/etc/passwd";
    r = process_spawn(&spec, &pid, &err);
    assert_error(r, err, ERROR_FORBIDDEN, "Permission denied");
    spec.path = "true";
    spec.cwd = "/nowhere";
    r = process_spawn(&spec, &pid, &err);
    assert_error(r, err, ERROR_NOT_FOUND, "working directory");
    assert_int_equal(pid, -1);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left to be waited for */
    assert_int_equal(errno, ECHILD);
}

static void signals_are_as_new(void **state)
{
    sigset_t some, before;
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &some, &before);
    signal(SIGINT, SIG_IGN);
    AUTO_BUF out = BUF_INIT(64 * KIB);
    struct process_spec spec = PROCESS_SPEC_INIT;
    int status = run_shell(spec, "grep -E 'Sig(Blk|Ign)' /proc/self/status", &out);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(status, 0);
    assert_string_equal(buf_str(&out), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static void a_session_is_a_group_to_end(void **state)
{
    char *argv[] = { (char *)"sh", (char *)"-c", (char *)"sleep 100 & sleep 100", NULL };
    struct process_spec spec = PROCESS_SPEC_INIT;
    spec.path = "sh";
    spec.argv = argv;
    spec.new_session = true;
    pid_t pid;
    assert_int_equal(process_spawn(&spec, &pid, NULL), 0);
    assert_int_equal(getsid(pid), pid);
    assert_int_equal(kill(-pid, SIGKILL), 0);
    assert_int_equal(wait_status(pid), 1000 + SIGKILL);
}

static void ids_can_be_dropped(void **state)
{
    if (geteuid() != 0)
        skip();
    AUTO_BUF out = BUF_INIT(64 * KIB);
    struct process_spec spec = PROCESS_SPEC_INIT;
    spec.set_ids = true;
    spec.uid = 12345;
    spec.gid = 23456;
    assert_int_equal(run_shell(spec, "id -u; id -g; id -G", &out), 0);
    assert_string_equal(buf_str(&out), "12345\n23456\n23456\n");
    assert_int_equal(geteuid(), 0);
}

static void *spawn_and_end(void *arg)
{
    char *argv[] = { (char *)"sleep", (char *)"100", NULL };
    struct process_spec spec = PROCESS_SPEC_INIT;
    spec.path = "sleep";
    spec.argv = argv;
    spec.die_with_parent = true;
    process_spawn(&spec, arg, NULL);
    return NULL;
}

static void a_child_can_be_tied_to_the_thread(void **state)
{
    pid_t pid = -1;
    pthread_t thread;
    assert_int_equal(thread_start(&thread, "spawner", spawn_and_end, &pid, NULL), 0);
    thread_join(thread);
    assert_true(pid > 0);
    assert_int_equal(wait_status(pid), 1000 + SIGKILL);
}

static void *spawn_many(void *arg)
{
    char *argv[] = { (char *)"true", NULL };
    struct process_spec spec = PROCESS_SPEC_INIT;
    spec.path = "true";
    spec.argv = argv;
    for (int i = 0; i < 50; i++) {
        pid_t pid;
        if (process_spawn(&spec, &pid, NULL) < 0 || wait_status(pid) != 0)
            return (void *)"failed";
    }
    return NULL;
}

static void threads_spawn_at_the_same_time(void **state)
{
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "spawner", spawn_many, NULL, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
}

static void a_process_is_known_by_its_start(void **state)
{
    uint64_t ticks = 0;
    assert_int_equal(process_start_time(getpid(), &ticks, NULL), 0);
    assert_true(ticks > 0);
    assert_true(process_alive(getpid(), ticks));
    assert_false(process_alive(getpid(), ticks + 1));
    assert_true(process_rss(getpid()) > 500 * KIB);

    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT); /* a zombie now */
    struct error *err = NULL;
    int r = process_start_time(pid, &ticks, &err);
    assert_error(r, err, ERROR_NOT_FOUND, "has ended");
    wait_status(pid);
    r = process_start_time(pid, &ticks, &err);
    assert_error(r, err, ERROR_NOT_FOUND, "no process");
    assert_int_equal(process_rss(pid), 0);
}

UNIT_TESTS(TEST(runs_with_output_and_status), TEST(environment_and_directory_are_set),
           TEST(no_other_descriptor_gets_through), TEST(standard_descriptors_can_be_crossed),
           TEST(failures_have_their_own_reason), TEST(signals_are_as_new),
           TEST(a_session_is_a_group_to_end), TEST(ids_can_be_dropped),
           TEST(a_child_can_be_tied_to_the_thread), TEST(threads_spawn_at_the_same_time),
           TEST(a_process_is_known_by_its_start))
