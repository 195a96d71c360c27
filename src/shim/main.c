/* See shim.h. */
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/str.h"

/* Where a program could not be started: the code that container runtimes report. */
#define EXIT_START_ERROR 128
/* How long killed processes may take to vanish, and pipes that a stranger holds to be closed. */
#define KILL_TIMEOUT_MS 10000
#define DRAIN_TIMEOUT_MS 1000

struct shim {
    int dir_fd;
    int signal_fd;
    struct shim_spec spec;
    struct shim_log log;
    int pipes[2]; /* read ends of stdout and stderr; -1: closed */
    struct shim_state state;
    int64_t kill_at; /* mono; INT64_MAX: not stopping */
    bool exited;
    bool killed;       /* by us, so SIGKILL is no sign of missing memory */
    int64_t oom_kills; /* of the system, at the start */
};

static int64_t now_mono(void)
{
    return clock_mono(clock_system());
}

static int64_t now_wall(void)
{
    return clock_wall(clock_system());
}

/* How many processes the kernel has killed for lack of memory since boot; -1: unknown. */
static int64_t system_oom_kills(void)
{
    AUTO_FREE char *text = NULL;
    if (file_read("/proc/vmstat", 256 * KIB, &text, NULL, NULL) < 0)
        return -1;
    const char *line = strstr(text, "\noom_kill ");
    return line ? strtoll(line + strlen("\noom_kill "), NULL, 10) : -1;
}

static void handle_exit(void *ctx, pid_t pid, int status)
{
    struct shim *s = ctx;
    if (pid != s->state.pid || s->exited)
        return;
    s->exited = true;
    if (WIFSIGNALED(status)) {
        s->state.signal = WTERMSIG(status);
        s->state.exit_code = 128 + s->state.signal;
    } else {
        s->state.exit_code = WEXITSTATUS(status);
    }
    s->state.oom_killed = s->state.signal == SIGKILL && !s->killed && s->oom_kills >= 0 &&
                          system_oom_kills() > s->oom_kills;
}

static void reap(struct shim *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        handle_exit(s, pid, status);
}

static void signal_group(struct shim *s, int sig)
{
    kill(-s->state.pid, sig);
    if (getpgid(s->state.pid) != s->state.pid)
        kill(s->state.pid, sig);
}

static void handle_signals(struct shim *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int sig = (int)info.ssi_signo;
        if (sig == SIGCHLD) {
            reap(s);
        } else if (sig == SIGTERM) {
            int64_t grace_ms = info.ssi_code == SI_QUEUE ? info.ssi_int : s->spec.grace_ms;
            int64_t kill_at = now_mono() + MAX(grace_ms, 0) * NS_PER_MS;
            if (s->kill_at == INT64_MAX)
                signal_group(s, SIGTERM);
            s->kill_at = MIN(s->kill_at, kill_at);
        } else {
            kill(s->state.pid, sig);
        }
    }
}

/* Copies what is in a pipe to the log; false when nothing was there. */
static bool drain(struct shim *s, unsigned stream)
{
    char data[16 * KIB];
    ssize_t n = read(s->pipes[stream], data, sizeof(data));
    if (n > 0) {
        shim_log_append(&s->log, stream, data, (size_t)n, now_wall());
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    close(s->pipes[stream]);
    s->pipes[stream] = -1;
    return false;
}

static int wait_ms(const struct shim *s)
{
    if (s->kill_at == INT64_MAX)
        return -1;
    int64_t left = s->kill_at - now_mono();
    return left <= 0 ? 0 : (int)MIN(left / NS_PER_MS + 1, INT32_MAX);
}

static void run(struct shim *s)
{
    while (!s->exited) {
        struct pollfd fds[3] = {
            { .fd = s->signal_fd, .events = POLLIN },
            { .fd = s->pipes[0], .events = POLLIN },
            { .fd = s->pipes[1], .events = POLLIN },
        };
        if (poll(fds, 3, wait_ms(s)) < 0 && errno != EINTR)
            break;
        for (unsigned i = 0; i < 2; i++)
            if (fds[i + 1].revents)
                drain(s, i);
        if (fds[0].revents)
            handle_signals(s);
        if (!s->exited && now_mono() >= s->kill_at) {
            s->killed = true;
            signal_group(s, SIGKILL);
            break;
        }
    }
}

/* Everything below is dead, so both pipes end, unless one was handed to a stranger. */
static void drain_all(struct shim *s)
{
    int64_t deadline = now_mono() + DRAIN_TIMEOUT_MS * NS_PER_MS;
    for (unsigned i = 0; i < 2; i++) {
        while (s->pipes[i] >= 0 && now_mono() < deadline) {
            if (drain(s, i) || s->pipes[i] < 0)
                continue;
            struct pollfd fd = { .fd = s->pipes[i], .events = POLLIN };
            poll(&fd, 1, 10);
        }
    }
}

static int start_child(struct shim *s, struct error **err)
{
    int out[2];
    int errs[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "cannot make a pipe");
    if (pipe2(errs, O_CLOEXEC) < 0) {
        close(out[0]);
        close(out[1]);
        return error_set_errno(err, errno, "cannot make a pipe");
    }
    struct process_spec spec = {
        .path = s->spec.path,
        .argv = s->spec.argv,
        .env = s->spec.env,
        .cwd = s->spec.cwd,
        .stdin_fd = -1,
        .stdout_fd = out[1],
        .stderr_fd = errs[1],
        .new_session = true,
        .die_with_parent = true,
    };
    int r = process_spawn(&spec, &s->state.pid, err);
    close(out[1]);
    close(errs[1]);
    s->pipes[0] = out[0];
    s->pipes[1] = errs[0];
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(errs[0], F_SETFL, O_NONBLOCK);
    if (r == 0)
        process_start_time(s->state.pid, &s->state.start_ticks, NULL);
    return r;
}

/* Tells whoever started us that state.json is worth reading; it may be gone. */
static void notify(void)
{
    if (write(STDOUT_FILENO, "1", 1) < 0 && errno != EPIPE)
        fprintf(stderr, "kaito-shim: cannot notify: %s\n", strerror(errno));
    close(STDOUT_FILENO);
}

static int open_signals(struct error **err)
{
    static const int handled[] = { SIGCHLD, SIGTERM, SIGINT,  SIGHUP,
                                   SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH };
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(handled); i++)
        sigaddset(&set, handled[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? error_set_errno(err, errno, "signalfd") : fd;
}

/* Takes the lock for the rest of this process's life. 1: somebody has decided meanwhile that this
 * container does not run. */
static int take_lock(int dir_fd, struct error **err)
{
    int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot open the lock");
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return error_set_errno(err, errno, "cannot take the lock");
    return faccessat(dir_fd, "state.json", F_OK, 0) == 0 ? 1 : 0;
}

static int shim_main(struct shim *s, const char *dir, struct error **err)
{
    s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return error_set_errno(err, errno, "cannot open %s", dir);
    int r = take_lock(s->dir_fd, err);
    if (r != 0)
        return r;
    s->state.shim_pid = getpid();
    r = shim_state_write(&s->state, s->dir_fd, err);
    if (r < 0)
        return r;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    s->signal_fd = open_signals(err);
    if (s->signal_fd < 0)
        return s->signal_fd;
    r = shim_spec_read(STDIN_FILENO, &s->spec, err);
    close(STDIN_FILENO);
    if (r < 0)
        return r;
    r = shim_log_open(&s->log, s->dir_fd, SHIM_LOG_MAX, err);
    if (r < 0)
        return r;
    s->oom_kills = system_oom_kills();
    s->state.started_ns = now_wall();
    r = start_child(s, err);
    if (r < 0)
        return r;
    shim_state_write(&s->state, s->dir_fd, NULL);
    notify();
    run(s);
    shim_kill_tree(KILL_TIMEOUT_MS, handle_exit, s);
    if (!s->exited) { /* killed, and stuck in the kernel */
        s->state.signal = SIGKILL;
        s->state.exit_code = 128 + SIGKILL;
    }
    drain_all(s);
    shim_log_close(&s->log, now_wall());
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr,
                "usage: kaito-shim DIR < spec\nRuns one container; `kaito up` starts it.\n");
        return 2;
    }
    struct shim s = { .dir_fd = -1, .signal_fd = -1, .pipes = { -1, -1 }, .kill_at = INT64_MAX };
    struct error *err = NULL;
    int r = shim_main(&s, argv[1], &err);
    if (r > 0)
        return 0;
    if (r < 0) {
        s.state.exit_code = EXIT_START_ERROR;
        s.state.error = mem_strdup(error_message(err));
        if (s.state.started_ns == 0)
            s.state.started_ns = now_wall();
    }
    s.state.finished_ns = now_wall();
    if (s.dir_fd >= 0)
        shim_state_write(&s.state, s.dir_fd, NULL);
    if (r < 0)
        notify();
    shim_spec_done(&s.spec);
    free(s.state.error);
    error_free(err);
    return 0;
}
