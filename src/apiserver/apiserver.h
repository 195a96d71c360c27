/* The embedded API server: the Kubernetes API for the kinds that KAITO and its users touch, durable
 * in one SQLite file.
 *
 *   request → handler.c (route, auth, content types) → rest.c (verbs) → strategy.c + strategies/
 * (per kind: defaults, validation, what a write may change) → store.c (versions, durability) →
 * watchers
 *
 * What it does not implement it refuses by name. Its truth is the real kube-apiserver. */
#pragma once

#include "base/clock.h"
#include "http/server.h"
#include "kube/transport.h"
#include "json/json.h"

struct apiserver;

struct apiserver_options {
    const char
        *data_dir; /* holds store.db, certificates and tokens; NULL: everything in memory (tests) */
    struct clock *clock;         /* NULL: system */
    size_t max_body;             /* 0: 3 MiB */
    size_t watch_history;        /* events kept for watches from an old version; 0: 10,000 */
    size_t max_watchers;         /* 0: 4096 */
    const char *service_cidr;    /* "127.96.0.0/16": where ClusterIPs are allocated */
    const char *service_address; /* of the Service `kubernetes`, which the front makes when it
                                    starts; NULL: none */
    uint16_t service_port;       /* told in discovery; the Service's endpoint has the front's own */
    /* Admission, in process, before the webhooks of ValidatingWebhookConfigurations: an array that
     * ends with name NULL; it must outlive the server. NULL: none. */
    const struct apiserver_admission *admission;
    /* GET of pods/NAME/log is passed to whoever runs the pods. NULL: refused. */
    struct apiserver_pod_logs *pod_logs;
};

/* A validating webhook without the wire: asked about creates and updates of the resource, in
 * whatever version they come, once they are otherwise valid. */
struct apiserver_admission {
    const char *name; /* of the webhook, as users see it when it denies something */
    const char *group, *plural;
    /* From the `request` of an AdmissionReview (admission.k8s.io/v1) to its `response`; the uid is
     * not looked at. On several threads at once; may read from this server. */
    int (*review)(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                  struct error **err);
    void *ctx;
};

struct pod_log_options {
    const char *container; /* NULL: the only one */
    bool follow;
    bool previous;
    bool timestamps;
    int64_t tail_lines;  /* -1: all */
    int64_t since_ns;    /* wall clock; 0: all */
    int64_t limit_bytes; /* 0: all */
};
struct pod_log_sink {
    /* 0; negative: the reader has gone or is too slow, stop. Thread-safe, never blocks. */
    int (*write)(void *ctx, const char *data, size_t len);
    void (*end)(void *ctx,
                const struct error *err); /* last call; sink and ctx are dead afterwards */
    bool (*cancelled)(void *ctx); /* the reader has gone; for those who have nothing to write */
    void *ctx;
};
struct apiserver_pod_logs {
    /* Checks container names and so on (errors become the HTTP status; then `end` is not called),
     * else serves the sink, which lives until `end`, from a thread of its own or right away. */
    int (*open)(void *ctx, const char *ns, const char *pod, const struct pod_log_options *options,
                const struct pod_log_sink *sink, struct error **err);
    void *ctx;
};

/* Opens or makes the store. -ERROR_CONFLICT: another process uses the directory; other errors say
 * which file and why. */
int apiserver_new(const struct apiserver_options *options, struct apiserver **ret,
                  struct error **err);
/* Ends watches, waits for running requests, commits, closes. */
void apiserver_free(struct apiserver *s);

/* The version of the last write; and how many transactions were committed since the start (for "no
 * writes when idle"). */
uint64_t apiserver_resource_version(struct apiserver *s);
uint64_t apiserver_commits(struct apiserver *s);

/* ---- in process ---------------------------------------------------------------------------------------------- */

/* A transport straight into this server, as administrator. Free it before the server. */
struct kube_transport *apiserver_transport(struct apiserver *s);
/* For tests: returns when all that was written before the call has been told to the streams of this
 * transport, and their handlers have returned. */
void apiserver_transport_flush(struct kube_transport *t);

/* ---- over HTTPS ---------------------------------------------------------------------------------------------- */

struct apiserver_front_options {
    const char *address;         /* "127.0.0.1" */
    uint16_t port;               /* 0: any */
    const char *kubeconfig_path; /* written (0600) with the address, CA and token; NULL: none */
    bool (*ready)(void *ctx);    /* /readyz beyond the server's own state; NULL: none */
    void *ready_ctx;
};
struct apiserver_front;

/* Serves with a certificate from the data directory's own CA (made at the first start, renewed when
 * less than 30 days are left) and a random bearer token kept in DATA_DIR/token (0600). */
int apiserver_front_start(struct apiserver *s, const struct apiserver_front_options *options,
                          struct apiserver_front **ret, struct error **err);
uint16_t apiserver_front_port(const struct apiserver_front *f);
void apiserver_front_stop(struct apiserver_front *f);
