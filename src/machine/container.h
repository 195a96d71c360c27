/* A container: a process tree under kaito-shim (shim/shim.h says what the shim keeps in the
 * directory). Everything here works on the container's directory, so that a later `kaito up` can
 * take over what an earlier one started. Any thread. */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

/* In the environment of every container: its directory. It marks the processes that belong to one,
 * should their shim die. */
#define CONTAINER_ENV "KAITO_CONTAINER_DIR"

struct container_launch {
    const char *dir;   /* absolute; made */
    const char *path;  /* program, absolute */
    char *const *argv; /* NULL-terminated */
    char *const *env;
    const char *cwd;  /* NULL: "/" */
    int64_t grace_ms; /* when nobody says another */
};

/* The shim of a container. */
struct container_process {
    pid_t pid;      /* of the shim; 0: none */
    int pidfd;      /* readable when the shim has gone */
    int started_fd; /* readable when the state tells more than the shim's own pid; -1 when adopted
                     */
};
#define CONTAINER_PROCESS_INIT                                                                     \
    {                                                                                              \
        .pidfd = -1, .started_fd = -1                                                              \
    }

int container_launch(const char *shim_path, const struct container_launch *launch,
                     struct container_process *ret, struct error **err);
/* SIGTERM, and SIGKILL after the grace. Once more with a shorter grace brings the end forward. */
void container_stop(const struct container_process *p, int64_t grace_ms);
/* Closes the descriptors and reaps the shim if it is a child of ours. The container goes on if it
 * runs. */
void container_release(struct container_process *p);

enum container_life {
    CONTAINER_LIFE_ABSENT, /* no such directory, or nothing was ever started in it */
    CONTAINER_LIFE_ALIVE,  /* the shim runs */
    CONTAINER_LIFE_DEAD,   /* it has ended; the state tells how, as far as that is known */
};

struct container_state {
    pid_t shim_pid;
    pid_t pid;           /* first process of the container; 0: it was not started */
    int64_t started_ns;  /* wall clock */
    int64_t finished_ns; /* 0: it runs */
    int exit_code;
    bool oom_killed;
    bool lost; /* the shim was killed, or the system went down: the exit code is made up (137) */
    const char *error; /* why it could not be started; NULL: it could. In the arena */
};

/* Reads the state; -ERROR_NOT_FOUND when there is none. */
int container_state_read(struct arena *a, const char *dir, struct container_state *ret,
                         struct error **err);

/* What an earlier run left in the directory. ALIVE fills in ret_process. A container that ended
 * without a word (its shim was killed) gets an end now: what is left of its processes is killed,
 * exit code 137, and the state says so from then on. A launch that has not come as far as a state
 * is called off for good: the shim, should it come late, will not start it. */
enum container_life container_adopt(struct arena *a, const char *dir, int64_t now_wall_ns,
                                    struct container_process *ret_process,
                                    struct container_state *ret_state);

/* After a shim has gone: the final state, made up as above when the shim could not write it. */
void container_collect(struct arena *a, const char *dir, int64_t now_wall_ns,
                       struct container_state *ret);

/* Kills every process that is marked as part of a container below `prefix` (a directory), and
 * reports how many. `spare` says of a container's directory whether its processes are in order;
 * NULL: none is. */
unsigned container_sweep(const char *prefix, bool (*spare)(void *ctx, const char *dir), void *ctx);
