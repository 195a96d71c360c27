/* Spawning without fork: the child runs on its own small stack in the parent's memory while the
 * parent's thread stands still (CLONE_VM | CLONE_VFORK), as posix_spawn does. Nothing is copied, so
 * it takes the same time from a process with gigabytes mapped; and the child can say what went
 * wrong by writing into the parent's request.
 *
 * The price: between clone and exec the child may only make system calls. No allocation, no locks,
 * and none of libc's set*id wrappers, which would ask the parent's other threads to change their
 * ids too. */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define CHILD_STACK (64 * KIB)
#define FD_INHERIT (-2)

extern char **environ;

struct child {
    const struct process_spec *spec;
    const char *path;
    pid_t parent;
    sigset_t mask; /* for the parent to return to */
    int errnum;    /* written by the child when a step fails */
    const char *step;
};

static void ATTR_NORETURN child_fail(struct child *c, const char *step)
{
    c->errnum = errno;
    c->step = step;
    _exit(127);
}

static void child_reset_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &action,
                  NULL); /* refuses KILL, STOP and libc's own: nothing to do about it */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A descriptor above the standard ones for what shall become `target`, so that no dup2 overwrites a
 * source. */
static int child_source_fd(struct child *c, int fd, int target)
{
    if (fd == FD_INHERIT)
        fd = target;
    int copy;
    if (fd >= 0)
        copy = fcntl(fd, F_DUPFD, 3);
    else
        copy = open("/dev/null", target == STDIN_FILENO ? O_RDONLY : O_WRONLY);
    if (copy >= 0 && copy < 3)
        copy = fcntl(copy, F_DUPFD, 3);
    if (copy < 0 &&
        !(fd == target && errno == EBADF)) /* inheriting a closed one leaves it closed */
        child_fail(c, "cannot prepare the standard descriptors");
    return copy;
}

static void child_set_fds(struct child *c)
{
    int source[3] = {
        child_source_fd(c, c->spec->stdin_fd, STDIN_FILENO),
        child_source_fd(c, c->spec->stdout_fd, STDOUT_FILENO),
        child_source_fd(c, c->spec->stderr_fd, STDERR_FILENO),
    };
    for (int fd = 0; fd < 3; fd++)
        if (source[fd] >= 0 && dup2(source[fd], fd) < 0)
            child_fail(c, "cannot set the standard descriptors");
    if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0)
        return;
    struct rlimit limit; /* kernels before 5.9 */
    rlim_t end =
        getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? limit.rlim_cur : 65536;
    for (int fd = 3; fd < (int)end; fd++)
        close(fd);
}

static void child_set_ids(struct child *c)
{
    if (!c->spec->set_ids)
        return;
    gid_t gid = c->spec->gid;
    if (geteuid() == 0 && syscall(SYS_setgroups, 1, &gid) < 0)
        child_fail(c, "cannot set the groups");
    if (syscall(SYS_setresgid, gid, gid, gid) < 0)
        child_fail(c, "cannot set the group id");
    uid_t uid = c->spec->uid;
    if (syscall(SYS_setresuid, uid, uid, uid) < 0)
        child_fail(c, "cannot set the user id");
}

static int child_main(void *arg)
{
    struct child *c = arg;
    const struct process_spec *spec = c->spec;

    if (spec->new_session && setsid() < 0)
        child_fail(c, "cannot start a session");
    if (spec->cwd && chdir(spec->cwd) < 0)
        child_fail(c, "cannot enter the working directory");
    child_set_fds(c);
    child_set_ids(c);
    if (spec->die_with_parent) { /* after the ids: changing them clears it */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            child_fail(c, "cannot tie it to its parent");
        if (getppid() != c->parent)
            _exit(127); /* the parent has gone meanwhile */
    }
    child_reset_signals();
    execve(c->path, spec->argv, spec->env ? spec->env : environ);
    child_fail(c, NULL);
}

/* The executable's path as execvp would find it; NULL when nothing fits (errno says why). free()
 * it. */
static char *find_executable(const char *name)
{
    if (strchr(name, '/'))
        return mem_strdup(name);
    const char *path = getenv("PATH");
    if (str_empty(path))
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    bool denied = false;
    while (path) {
        const char *end = strchrnul(path, ':');
        int len = (int)(end - path);
        char *candidate =
            len > 0 ? mem_printf("%.*s/%s", len, path, name) : mem_printf("./%s", name);
        if (access(candidate, X_OK) == 0)
            return candidate;
        denied = denied || errno == EACCES;
        free(candidate);
        path = *end ? end + 1 : NULL;
    }
    errno = denied ? EACCES : ENOENT;
    return NULL;
}

static pid_t clone_child(struct child *c)
{
    char *stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    /* No signal handler of ours may run in the child, which shares our memory. */
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &c->mask);
    pid_t pid = clone(child_main, stack + CHILD_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, c);
    int errnum = errno;
    pthread_sigmask(SIG_SETMASK, &c->mask, NULL);
    munmap(stack, CHILD_STACK);
    return pid < 0 ? -errnum : pid;
}

int process_spawn(const struct process_spec *spec, pid_t *ret_pid, struct error **err)
{
    AUTO_FREE char *path = find_executable(spec->path);
    if (!path)
        return error_set_errno(err, errno, "cannot run %s", spec->path);
    struct child c = { .spec = spec, .path = path, .parent = getpid() };
    pid_t pid = clone_child(&c);
    if (pid < 0)
        return error_set_errno(err, -pid, "cannot start a process for %s", spec->path);
    if (c.errnum != 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        if (c.step)
            return error_set_errno(err, c.errnum, "cannot run %s: %s", spec->path, c.step);
        return error_set_errno(err, c.errnum, "cannot run %s", spec->path);
    }
    *ret_pid = pid;
    return 0;
}

int process_start_time(pid_t pid, uint64_t *ret_ticks, struct error **err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    AUTO_FREE char *text = NULL;
    int r = file_read(path, 4 * KIB, &text, NULL, NULL);
    /* The second field is the name in parentheses, which may hold anything; the last parenthesis
     * closes it. */
    char *at = r == 0 ? strrchr(text, ')') : NULL;
    if (!at || at[1] == '\0' || at[2] == '\0')
        return error_set(err, ERROR_NOT_FOUND, "there is no process %ld", (long)pid);
    at += 2; /* field 3, the state */
    if (*at == 'Z' || *at == 'X')
        return error_set(err, ERROR_NOT_FOUND, "process %ld has ended", (long)pid);
    for (int field = 3; field < 22; field++) {
        at = strchr(at, ' ');
        if (!at)
            return error_set(err, ERROR_INTERNAL, "cannot read %s", path);
        at++;
    }
    *ret_ticks = strtoull(at, NULL, 10);
    return 0;
}

bool process_alive(pid_t pid, uint64_t start_ticks)
{
    uint64_t ticks;
    return process_start_time(pid, &ticks, NULL) == 0 && ticks == start_ticks;
}

uint64_t process_rss(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    AUTO_FREE char *text = NULL;
    if (file_read(path, 4 * KIB, &text, NULL, NULL) < 0)
        return 0;
    unsigned long long size, resident;
    if (sscanf(text, "%llu %llu", &size, &resident) != 2)
        return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
