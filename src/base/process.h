/* Child processes: spawn with everything set before exec, look at them, and end whole groups. */
#pragma once

#include <sys/types.h>

#include "base/error.h"

struct process_spec {
    const char *path;  /* executable; searched in PATH when it has no slash */
    char *const *argv; /* NULL-terminated, argv[0] included */
    char *const *env;  /* NULL-terminated; NULL: inherit */
    const char *cwd;   /* NULL: inherit */
    int stdin_fd;      /* -1: /dev/null */
    int stdout_fd;     /* -1: /dev/null; -2: inherit */
    int stderr_fd;
    bool new_session;     /* setsid: the child leads its own group */
    bool die_with_parent; /* SIGKILL when the thread that spawned it ends */
    bool set_ids;         /* with uid and gid */
    uid_t uid;
    gid_t gid;
};
#define PROCESS_SPEC_INIT                                                                          \
    {                                                                                              \
        .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1                                           \
    }

/* Returns once the child runs its program, or with the reason why it does not (ENOENT, EACCES …).
 * All other descriptors are closed in the child. Signals are reset to default and unblocked. */
int process_spawn(const struct process_spec *spec, pid_t *ret_pid, struct error **err);

/* Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat): with the pid and
 * the boot id it names a process for ever. -ERROR_NOT_FOUND when it is gone or a zombie. */
int process_start_time(pid_t pid, uint64_t *ret_ticks, struct error **err);
bool process_alive(pid_t pid, uint64_t start_ticks);
/* Resident set in bytes, 0 when gone. */
uint64_t process_rss(pid_t pid);
