/* Spawning without fork: the child runs on its own small stack in the parent's memory while the
 * parent's thread stands still (CLONE_VM | CLONE_VFORK), as posix_spawn does. Nothing is copied, so
 * it takes the same time from a process with gigabytes mapped.
 *
 * The price: between clone and exec the child may only make system calls. No allocation, no locks,
 * and none of libc's set*id wrappers, which would ask the parent's other threads to change their
 * ids too.
 *
 * What went wrong the child writes next to its stack, which is shared memory in any case:
 * ThreadSanitizer believes that its own state is copied, so under it the child gets a copy of all
 * else. */
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
#if defined(__SANITIZE_THREAD__)
#define CHILD_FLAGS (CLONE_VFORK | SIGCHLD)
#else
#define CHILD_FLAGS (CLONE_VM | CLONE_VFORK | SIGCHLD)
#endif
#define FD_INHERIT (-2)

extern char **environ;

struct child {
    const struct process_spec *spec;
    const char *path;
    pid_t parent;
    sigset_t mask; /* for the parent to return to */
};

/* The mapping that parent and child share. */
struct nest {
    struct child child;
    int errnum; /* of the step that failed */
    const char *step;
    _Alignas(16) char stack[CHILD_STACK];
};

static void ATTR_NORETURN child_fail(struct nest *n, const char *step)
{
    n->errnum = errno;
    n->step = step;
    _exit(127);
}

static void child_reset_signals(void)
{
    /* The system call, since libc's sigaction() refuses its own signals (32, 33), which a parent
     * that used posix_spawn() may have left ignored. All zero: the default action. */
    static const unsigned long by_default[4];
    for (int sig = 1; sig < NSIG; sig++)
        syscall(SYS_rt_sigaction, sig, by_default, NULL, NSIG / 8);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A descriptor above the standard ones for what shall become `target`, so that no dup2 overwrites a
 * source. */
static int child_source_fd(struct nest *n, int fd, int target)
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
        child_fail(n, "cannot prepare the standard descriptors");
    return copy;
}

static void child_set_fds(struct nest *n)
{
    int source[3] = {
        child_source_fd(n, n->child.spec->stdin_fd, STDIN_FILENO),
        child_source_fd(n, n->child.spec->stdout_fd, STDOUT_FILENO),
        child_source_fd(n, n->child.spec->stderr_fd, STDERR_FILENO),
    };
    for (int fd = 0; fd < 3; fd++)
        if (source[fd] >= 0 && dup2(source[fd], fd) < 0)
            child_fail(n, "cannot set the standard descriptors");
    if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0)
        return;
    struct rlimit limit; /* kernels before 5.9 */
    rlim_t end =
        getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? limit.rlim_cur : 65536;
    for (int fd = 3; fd < (int)end; fd++)
        close(fd);
}

static void child_set_ids(struct nest *n)
{
    if (!n->child.spec->set_ids)
        return;
    gid_t gid = n->child.spec->gid;
    if (geteuid() == 0 && syscall(SYS_setgroups, 1, &gid) < 0)
        child_fail(n, "cannot set the groups");
    if (syscall(SYS_setresgid, gid, gid, gid) < 0)
        child_fail(n, "cannot set the group id");
    uid_t uid = n->child.spec->uid;
    if (syscall(SYS_setresuid, uid, uid, uid) < 0)
        child_fail(n, "cannot set the user id");
}

static int child_main(void *arg)
{
    struct nest *n = arg;
    const struct process_spec *spec = n->child.spec;

    if (spec->new_session && setsid() < 0)
        child_fail(n, "cannot start a session");
    if (spec->cwd && chdir(spec->cwd) < 0)
        child_fail(n, "cannot enter the working directory");
    child_set_fds(n);
    child_set_ids(n);
    if (spec->die_with_parent) { /* after the ids: changing them clears it */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            child_fail(n, "cannot tie it to its parent");
        if (getppid() != n->child.parent)
            _exit(127); /* the parent has gone meanwhile */
    }
    child_reset_signals();
    execve(n->child.path, spec->argv, spec->env ? spec->env : environ);
    child_fail(n, NULL);
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

static pid_t clone_child(struct nest *n)
{
    /* No signal handler of ours may run in the child, which shares our memory. */
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &n->child.mask);
    pid_t pid = clone(child_main, n->stack + CHILD_STACK, CHILD_FLAGS, n);
    int errnum = errno;
    pthread_sigmask(SIG_SETMASK, &n->child.mask, NULL);
    return pid < 0 ? -errnum : pid;
}

static int spawn_in(struct nest *n, pid_t *ret_pid, struct error **err)
{
    const char *name = n->child.spec->path;
    pid_t pid = clone_child(n);
    if (pid < 0)
        return error_set_errno(err, -pid, "cannot start a process for %s", name);
    if (n->errnum != 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        if (n->step)
            return error_set_errno(err, n->errnum, "cannot run %s: %s", name, n->step);
        return error_set_errno(err, n->errnum, "cannot run %s", name);
    }
    *ret_pid = pid;
    return 0;
}

int process_spawn(const struct process_spec *spec, pid_t *ret_pid, struct error **err)
{
    AUTO_FREE char *path = find_executable(spec->path);
    if (!path)
        return error_set_errno(err, errno, "cannot run %s", spec->path);
    struct nest *n =
        mmap(NULL, sizeof *n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (n == MAP_FAILED)
        return error_set_errno(err, errno, "cannot start a process for %s", spec->path);
    n->child = (struct child){ .spec = spec, .path = path, .parent = getpid() };
    int r = spawn_in(n, ret_pid, err);
    munmap(n, sizeof *n);
    return r;
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
