/* One attempt of a probe: HTTP GET, TCP connect, or a program. Runs in a loop, never blocks. */
#pragma once

#include "machine/loop.h"
#include "json/json.h"

struct probe_attempt;

struct probe_request {
    const struct json *spec;      /* livenessProbe and the like */
    const struct json *container; /* for named ports */
    const char *host;             /* where httpGet and tcpSocket go unless they say otherwise */
    int64_t timeout_ms;
    char *const *argv; /* exec: its command, translated; env of the container */
    char *const *env;
    const char *cwd;
};

/* message: what failed, in the kubelet's words, "" on success. The attempt is gone when it is
 * called. */
typedef void probe_done(void *ctx, bool success, const char *message);

/* Starts it. When it cannot even be started, `done` is called before this returns and *ret is NULL.
 */
void probe_attempt_start(struct loop *l, const struct probe_request *request, probe_done *done,
                         void *ctx, struct probe_attempt **ret);
/* When its time is up (mono). */
int64_t probe_attempt_deadline(const struct probe_attempt *p);
/* The time is up: ends it as failed. */
void probe_attempt_expire(struct probe_attempt *p);
/* Ends it without a call. */
void probe_attempt_cancel(struct probe_attempt *p);

/* A port by number or by the name that the container gives it; 0: there is none. */
int64_t probe_port(const struct json *port, const struct json *container);
