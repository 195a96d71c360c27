#include "machine/container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/str.h"
#include "json/json.h"

#define EXIT_KILLED 137
#define STATE_MAX (64 * KIB)
/* Environment blocks of processes that are searched for the mark. The kernel's limit for one is
 * larger; the mark is put first, so that it is found in what is read. */
#define ENVIRON_MAX (256 * KIB)
/* A shim that has just been started takes this long, at the very most, until it has written its
 * first state. */
#define FIRST_STATE_MS 2000

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

static int write_spec(const struct container_launch *l, struct error **err)
{
    AUTO_BUF b = BUF_INIT(8 * MIB);
    buf_printf(&b, "p%s%c", l->path, '\0');
    for (char *const *arg = l->argv; *arg; arg++)
        buf_printf(&b, "a%s%c", *arg, '\0');
    buf_printf(&b, "e" CONTAINER_ENV "=%s%c", l->dir, '\0');
    for (char *const *env = l->env; *env; env++)
        buf_printf(&b, "e%s%c", *env, '\0');
    buf_printf(&b, "c%s%c", l->cwd ? l->cwd : "/", '\0');
    buf_printf(&b, "g%lld%c", (long long)l->grace_ms, '\0');
    if (!buf_ok(&b))
        return error_set(err, ERROR_TOO_LARGE, "arguments and environment take more than 8 MiB");
    /* Not a file: the environment may hold secrets. Not a pipe: it may be larger than one. */
    int fd = memfd_create("kaito-shim-spec", MFD_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot make the container's spec");
    if (write(fd, b.data, b.len) != (ssize_t)b.len || lseek(fd, 0, SEEK_SET) != 0) {
        int errnum = errno;
        close(fd);
        return error_set_errno(err, errnum, "cannot make the container's spec");
    }
    return fd;
}

int container_launch(const char *shim_path, const struct container_launch *l,
                     struct container_process *ret, struct error **err)
{
    int r = file_mkdirs(l->dir, 0750, err);
    if (r < 0)
        return r;
    AUTO_FD spec_fd = write_spec(l, err);
    if (spec_fd < 0)
        return spec_fd;
    int notify[2];
    if (pipe2(notify, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_set_errno(err, errno, "cannot make a pipe");
    char *argv[] = { (char *)"kaito-shim", (char *)l->dir, NULL };
    char *env[] = { NULL };
    struct process_spec spec = {
        .path = shim_path,
        .argv = argv,
        .env = env,
        .cwd = "/",
        .stdin_fd = spec_fd,
        .stdout_fd = notify[1],
        .stderr_fd = -1,
        .new_session = true,
    };
    struct container_process p = { .started_fd = notify[0] };
    r = process_spawn(&spec, &p.pid, err);
    close(notify[1]);
    if (r < 0) {
        close(notify[0]);
        return r;
    }
    p.pidfd = (int)syscall(SYS_pidfd_open, p.pid, 0);
    if (p.pidfd < 0) {
        int errnum = errno;
        kill(p.pid, SIGTERM);
        close(notify[0]);
        return error_set_errno(err, errnum, "cannot watch a process");
    }
    *ret = p;
    return 0;
}

void container_stop(const struct container_process *p, int64_t grace_ms)
{
    if (p->pidfd < 0)
        return;
    siginfo_t info = { .si_signo = SIGTERM, .si_code = SI_QUEUE };
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = (int)MIN(MAX(grace_ms, (int64_t)0), (int64_t)INT32_MAX);
    syscall(SYS_pidfd_send_signal, p->pidfd, SIGTERM, &info, 0);
}

void container_release(struct container_process *p)
{
    if (p->pidfd >= 0) {
        siginfo_t info;
        waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG); /* ECHILD when adopted */
        close(p->pidfd);
    }
    if (p->started_fd >= 0)
        close(p->started_fd);
    *p = (struct container_process)CONTAINER_PROCESS_INIT;
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

int container_state_read(struct arena *a, const char *dir, struct container_state *ret,
                         struct error **err)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    const char *path = arena_printf(a, "%s/state.json", dir);
    int r = file_read(path, STATE_MAX, &text, &len, err);
    if (r < 0)
        return r;
    struct json *v = NULL;
    r = json_parse(a, text, len, &v, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    *ret = (struct container_state){
        .shim_pid = (pid_t)json_find_int(v, 0, "shimPid"),
        .pid = (pid_t)json_find_int(v, 0, "pid"),
        .started_ns = json_find_int(v, 0, "startedAt"),
        .finished_ns = json_find_int(v, 0, "finishedAt"),
        .exit_code = (int)json_find_int(v, 0, "exitCode"),
        .oom_killed = json_find_bool(v, false, "oomKilled"),
        .lost = json_find_bool(v, false, "lost"),
        .error = arena_strdup(a, json_find_str(v, "error")),
    };
    return 0;
}

/* Tries to take the lock that a living shim holds. The descriptor, or -1: it is held. */
static int try_lock(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    close(fd);
    return -1;
}

static void write_lost(struct arena *a, const char *dir, const struct container_state *s)
{
    const char *text = arena_printf(
        a,
        "{\"shimPid\":%d,\"pid\":%d,\"startedAt\":%lld,\"finishedAt\":%lld,\"exitCode\":%d,"
        "\"signal\":%d,\"oomKilled\":false,\"lost\":true}\n",
        (int)s->shim_pid, (int)s->pid, (long long)s->started_ns, (long long)s->finished_ns,
        EXIT_KILLED, SIGKILL);
    file_write_atomic(arena_printf(a, "%s/state.json", dir), text, strlen(text), 0640, NULL);
}

void container_collect(struct arena *a, const char *dir, int64_t now_wall_ns,
                       struct container_state *ret)
{
    struct container_state s = { 0 };
    int r = container_state_read(a, dir, &s, NULL);
    if (r < 0 || s.finished_ns == 0) {
        container_sweep(dir, NULL, NULL);
        s.finished_ns = now_wall_ns;
        s.started_ns = s.started_ns ? s.started_ns : now_wall_ns;
        s.exit_code = EXIT_KILLED;
        s.lost = true;
        write_lost(a, dir, &s);
    }
    *ret = s;
}

/* The shim holds the lock, so the pid in the state, once there, is the shim's and is not used by
 * anybody else. */
static bool adopt_living(struct arena *a, const char *dir, struct container_process *ret_process,
                         struct container_state *ret_state)
{
    int64_t deadline = clock_mono(clock_system()) + FIRST_STATE_MS * NS_PER_MS;
    do {
        struct container_state s;
        /* Not yet started is not worth knowing: a moment later it is, or has failed. */
        if (container_state_read(a, dir, &s, NULL) == 0 && s.shim_pid > 0 &&
            (s.pid > 0 || s.finished_ns > 0)) {
            int pidfd = (int)syscall(SYS_pidfd_open, s.shim_pid, 0);
            AUTO_FD lock = try_lock(dir);
            if (lock >= 0) { /* it has ended meanwhile; the pid may be another's */
                if (pidfd >= 0)
                    close(pidfd);
                return false;
            }
            if (pidfd >= 0) {
                *ret_process = (struct container_process){ .pid = s.shim_pid,
                                                           .pidfd = pidfd,
                                                           .started_fd = -1 };
                *ret_state = s;
                return true;
            }
        }
        usleep(2000);
    } while (clock_mono(clock_system()) < deadline);
    return false;
}

enum container_life container_adopt(struct arena *a, const char *dir, int64_t now_wall_ns,
                                    struct container_process *ret_process,
                                    struct container_state *ret_state)
{
    if (!file_exists(dir))
        return CONTAINER_LIFE_ABSENT;
    AUTO_FD lock = try_lock(dir);
    if (lock < 0 && adopt_living(a, dir, ret_process, ret_state))
        return CONTAINER_LIFE_ALIVE;
    struct container_state s;
    bool has_state = container_state_read(a, dir, &s, NULL) == 0;
    container_collect(a, dir, now_wall_ns, ret_state);
    return has_state ? CONTAINER_LIFE_DEAD : CONTAINER_LIFE_ABSENT;
}

/* ---- sweeping ---------------------------------------------------------------------------------------------------- */

static size_t read_environ(const char *pid, char data[ENVIRON_MAX])
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n;
    while (fd >= 0 && len < ENVIRON_MAX - 1 &&
           (n = read(fd, data + len, ENVIRON_MAX - 1 - len)) > 0)
        len += (size_t)n;
    data[len] = '\0';
    return len;
}

/* Neither a zombie nor a thread of the kernel. */
static bool has_program(const char *pid)
{
    char path[64], byte;
    snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
    return readlink(path, &byte, 1) > 0;
}

/* The directory of the container that a process belongs to, or NULL. In the middle of execve() a
 * process has its new program already and no environment yet, so that is looked at again. */
static char *marked_dir(const char *pid)
{
    AUTO_FREE char *data = mem_alloc(ENVIRON_MAX);
    size_t len = read_environ(pid, data);
    for (int again = 0; len == 0 && again < 10 && has_program(pid); again++) {
        usleep(500);
        len = read_environ(pid, data);
    }
    for (char *at = data; at < data + len; at += strlen(at) + 1) {
        const char *dir = str_skip_prefix(at, CONTAINER_ENV "=");
        if (dir)
            return mem_strdup(dir);
    }
    return NULL;
}

static bool is_below(const char *dir, const char *prefix)
{
    const char *rest = str_skip_prefix(dir, prefix);
    return rest && (*rest == '\0' || *rest == '/');
}

static unsigned sweep_once(const char *prefix, bool (*spare)(void *ctx, const char *dir), void *ctx)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return 0;
    unsigned killed = 0;
    pid_t self = getpid();
    for (struct dirent *e; (e = readdir(proc));) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9')
            continue;
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        /* Held before it is looked at, so that the one that is killed is the one that was seen. */
        AUTO_FD pidfd = pid != self ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
        AUTO_FREE char *dir = pidfd >= 0 ? marked_dir(e->d_name) : NULL;
        if (dir && is_below(dir, prefix) && !(spare && spare(ctx, dir)) &&
            syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0)
            killed++;
    }
    closedir(proc);
    return killed;
}

unsigned container_sweep(const char *prefix, bool (*spare)(void *ctx, const char *dir), void *ctx)
{
    unsigned all = 0;
    /* Again, as what was killed may have had time to fork; a few rounds, as zombies keep no
     * environment. */
    for (int round = 0; round < 5; round++) {
        unsigned killed = sweep_once(prefix, spare, ctx);
        all += killed;
        if (killed == 0)
            break;
        usleep(2000);
    }
    return all;
}
