/* Jobs: pods until so many have succeeded, or too many have failed. The decision is a function of
 * what was observed (job_decide.c); job.c observes and applies.
 *
 * No pod is counted twice or lost, whatever moment the process ends at: each has a finalizer until
 * its uid stands in status.uncountedTerminatedPods; only then is the finalizer taken off, and only
 * when it is off does the uid become a number. Names of pods are drawn from the Job's uid and the
 * lowest free number, so that a decision made from an old cache makes the same pod again, which the
 * API server refuses. */
#pragma once

#include "kube/controller.h"
#include "kube/events.h"

#define JOB_FINALIZER "batch.kubernetes.io/job-tracking"

struct job_view {
    const struct json *job;
    const struct json *pods; /* array: those that it controls */
    int64_t now_wall;
};

struct job_plan {
    struct json *status;       /* the whole status; what it has now: no write */
    struct json *events;       /* array of {type, reason, message}: once status is written */
    struct json *release_pods; /* array of pods whose finalizer is to go */
    struct json *delete_pods;  /* array of {name, uid}, after that */
    struct json *create_pods;
    bool delete_job;         /* its time to live is over */
    const char *unsupported; /* why no pods are made; NULL: they are */
    int64_t requeue_after_ms;
};

void job_decide(struct arena *a, const struct job_view *v, struct job_plan *ret);

struct job_sources {
    struct kube_client *client;
    struct informer *jobs;
    struct informer *pods;
    struct event_recorder *events;
    struct clock *clock;
};
struct jobs;
struct jobs *jobs_new(const struct job_sources *sources, struct controller **ret_controller);
void jobs_free(struct jobs *j);
