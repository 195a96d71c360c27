/* The server as its own files see it. */
#pragma once

#include <stdatomic.h>

#include "apiserver/apiserver.h"
#include "apiserver/registry.h"
#include "apiserver/request.h"
#include "apiserver/store.h"
#include "base/thread.h"

struct streams;
struct housekeeper;
struct webhook_callers;

struct apiserver {
    struct arena *a;
    struct apiserver_options o; /* strings are the arena's */
    struct clock *clock;
    int lock_fd; /* of the data directory; -1: none */
    struct store *store;
    pthread_mutex_t kinds_lock; /* of kinds; and one reload at a time */
    struct registry *kinds;
    struct streams *streams;
    struct housekeeper *housekeeper;
    struct webhook_callers *webhook_callers;
};

struct registry *apiserver_kinds(struct apiserver *s); /* a reference */
/* Serves the CRDs that are in the store now; returns when requests see them. */
void apiserver_reload_kinds(struct apiserver *s);
