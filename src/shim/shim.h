/* kaito-shim: the parent of one container's processes, and their memory.
 *
 *     kaito-shim DIR < spec
 *
 * It outlives `kaito up`, so that a crash there neither ends the container nor loses how it ended:
 * the next `kaito up` finds DIR with everything it needs. DIR holds
 *
 *     lock         flock()ed as long as the shim lives: who can lock it knows that the shim is gone
 *     state.json   replaced by rename(2): pids and start, later the end
 *     log, log.1   what the container printed, in the CRI format, at most 10 MiB each
 *
 * The shim is the sub-reaper of everything the container starts. When the container's first process
 * has ended it ends the rest, writes the end into state.json and leaves; when it is told to stop
 * (SIGTERM, sigqueue(3)'s value is the grace in milliseconds) it passes SIGTERM on to the
 * container's process group and kills whatever is there after the grace. Other signals go to the
 * first process. When the shim itself is killed, the kernel kills the first process. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

/* The log is cut into pieces of this size, of which one old piece is kept. */
#define SHIM_LOG_MAX (10 * MIB)
/* Longer lines are split, as container runtimes do. */
#define SHIM_LINE_MAX (16 * KIB)
/* Bytes of a spec: arguments and environment, which the kernel limits to less. */
#define SHIM_SPEC_MAX (8 * MIB)

/* What to run: records that end with NUL, the first byte says which: p path, a argument, e
 * environment, c directory to run in, g grace in milliseconds when SIGTERM brings none. */
struct shim_spec {
    char *data; /* owns the bytes that the others point into */
    const char *path;
    char **argv;
    char **env;
    const char *cwd;
    int64_t grace_ms;
};
int shim_spec_read(int fd, struct shim_spec *ret, struct error **err);
int shim_spec_parse(char *data, size_t len, struct shim_spec *ret,
                    struct error **err); /* takes data over on success */
void shim_spec_done(struct shim_spec *s);

/* The log of both streams. */
struct shim_log {
    int dir_fd;
    int fd;
    size_t size;
    size_t max;     /* bytes per file */
    struct buf out; /* lines to be written */
    struct shim_stream {
        const char *name;
        struct buf line; /* the part of a line that is there */
    } streams[2];        /* stdout, stderr */
};
int shim_log_open(struct shim_log *l, int dir_fd, size_t max, struct error **err);
/* Never fails: what cannot be written (full disk) is dropped, the container goes on. */
void shim_log_append(struct shim_log *l, unsigned stream, const char *data, size_t len,
                     int64_t now_wall_ns);
void shim_log_close(struct shim_log *l, int64_t now_wall_ns);

/* Kills and reaps every descendant of this process; `on_exit` hears of each. False when some are
 * left after timeout_ms (uninterruptible in the kernel). */
bool shim_kill_tree(int64_t timeout_ms, void (*on_exit)(void *ctx, pid_t pid, int status),
                    void *ctx);

struct shim_state {
    pid_t shim_pid;
    pid_t pid;            /* 0: not started */
    uint64_t start_ticks; /* of pid */
    int64_t started_ns;   /* wall clock; 0: not yet */
    int64_t finished_ns;
    int exit_code; /* 128 + signal for signals */
    int signal;
    bool oom_killed; /* killed by another's SIGKILL while the kernel counted out-of-memory kills */
    char *error;     /* why it could not be started; NULL: it could */
};
int shim_state_write(const struct shim_state *s, int dir_fd, struct error **err);
