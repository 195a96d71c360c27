/* Ending everything below this process. It is the sub-reaper: when a process ends, its children
 * become ours. So killing our direct children until there are none reaches all of them, however
 * they were detached. */
#include "shim/shim.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

/* Parent of a process, -1 when it is gone. */
static pid_t parent_of(const char *pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
    AUTO_FREE char *text = NULL;
    if (file_read(path, 4 * KIB, &text, NULL, NULL) < 0)
        return -1;
    const char *at = strrchr(text, ')');
    int parent = -1;
    char state;
    return at && sscanf(at + 1, " %c %d", &state, &parent) == 2 ? parent : -1;
}

/* For kernels that do not list children. */
static void kill_children_by_scan(pid_t self)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && parent_of(e->d_name) == self)
            kill((pid_t)strtol(e->d_name, NULL, 10), SIGKILL);
    closedir(dir);
}

static void kill_children(void)
{
    pid_t self = getpid();
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)self, (int)self);
    AUTO_FREE char *text = NULL;
    if (file_read(path, 1 * MIB, &text, NULL, NULL) < 0) {
        kill_children_by_scan(self);
        return;
    }
    for (char *at = text; *at;) {
        char *end = NULL;
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        kill((pid_t)pid, SIGKILL);
        at = end;
        while (*at == ' ')
            at++;
    }
}

bool shim_kill_tree(int64_t timeout_ms, void (*on_exit)(void *ctx, pid_t pid, int status),
                    void *ctx)
{
    int64_t deadline = clock_mono(clock_system()) + timeout_ms * NS_PER_MS;
    for (;;) {
        kill_children();
        for (;;) {
            int status;
            pid_t pid = waitpid(-1, &status, WNOHANG);
            if (pid < 0 && errno == EINTR)
                continue;
            if (pid < 0)
                return true; /* ECHILD: nothing is left */
            if (pid == 0)
                break;
            on_exit(ctx, pid, status);
        }
        if (clock_mono(clock_system()) > deadline)
            return false;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
}
