/* A transport that plays what a test tells it to.
 *
 * Calls are answered by a function of the test, streams by scripts: each stream that is opened
 * takes the next script of the list (the last one again when the list is at its end) and plays its
 * steps on a thread of its own. */
#pragma once

#include <stdatomic.h>

#include "kube/transport.h"

enum fake_kind {
    FAKE_END,     /* clean end; also closes a script */
    FAKE_FAIL,    /* end with an error of code n */
    FAKE_STATUS,  /* n; 200 when a script has none */
    FAKE_DATA,    /* text, in pieces of n bytes (0: at once) */
    FAKE_SLEEP,   /* n ms */
    FAKE_SILENCE, /* nothing more until the stream is closed */
    FAKE_REFUSE,  /* opening fails with code n; only as the first step */
};

struct fake_step {
    enum fake_kind kind;
    int n;
    const char *text;
};

struct fake_transport {
    struct kube_transport transport; /* first */
    /* The answer to a call; body is appended to ret->body. Runs on the caller's thread, one at a
     * time. NULL: 404 for all. */
    int (*answer)(struct fake_transport *f, const struct kube_request *request,
                  struct kube_response *ret, struct error **err);
    void *ctx;
    const struct fake_step *const *scripts; /* ends with NULL */
    atomic_int streams;                     /* opened so far */
    atomic_int calls;
    char last_stream[2048]; /* path of the last stream; after it was opened */
    char last_call[4096];   /* "METHOD path body" */
    void *lock;
};

void fake_init(struct fake_transport *f);
void fake_done(struct fake_transport *f);

/* For answer functions. */
int fake_reply(struct kube_response *ret, int status, const char *body);
/* Blocks until the request is cancelled. */
int fake_hang(const struct kube_request *request, struct error **err);
/* Waits until the counter is at least n; false after ten seconds. */
bool fake_wait(atomic_int *counter, int n);
