/* One look-up at the hub: the requests, and what their answers mean. */
#pragma once

#include "http/client.h"
#include "hub/config.h"

struct hub_fetch {
    struct http_client *client;
    const struct hub_rules *rules;
    const struct catalog *catalog;
    const char *endpoint; /* without a slash at the end */
    const char *proxy;
    const char *id;
    const char *revision; /* NULL: main */
    const char *token;    /* "": none */
    int64_t call_timeout_ms;
    int64_t deadline_ns; /* monotonic */
    /* Waits before another try; false: give up. */
    bool (*pause)(void *ctx, int64_t ms);
    void *ctx;
};

/* Errors have reasons: hub/hub.h. */
int hub_fetch_preset(const struct hub_fetch *f, struct arena *a, struct preset **ret,
                     struct error **err);
