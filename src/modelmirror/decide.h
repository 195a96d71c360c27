/* What to do about a ModelMirror. Pure: no clock, no I/O, no globals. */
#pragma once

#include "operator/decision.h"
#include "operator/settings.h"

#define MIRROR_FINALIZER "kaito.sh/model-mirror-cleanup"
#define MIRROR_PROTECTION "kaito.sh/model-mirror-protection" /* finalizer of its claim */
#define MIRROR_SAMPLER_PORT 9100                             /* of its Jobs' pods */
#define MIRROR_LABEL "kaito.sh/model-mirror-name"            /* of its Jobs */

/* How a download goes; -1: unknown. */
struct mirror_download {
    int64_t bytes_per_second, remaining_seconds;
};
/* Of the text that the sampler serves. */
void mirror_read_download(const char *metrics, struct mirror_download *ret);

struct mirror_observed {
    const struct json *mirror;
    const struct json *claim; /* PersistentVolumeClaim; NULL when absent, as the following */
    const struct json *job;   /* the newest of its Jobs */
    const struct json *pods;  /* of a Job that runs or failed: array, maybe empty */
    const char *metrics;      /* what its sampler serves; NULL: no answer */
};

struct mirror_input {
    const struct operator_settings *settings;
    const struct mirror_observed *observed;
    int64_t now_ns; /* wall clock */
};

/* Values of *ret live in the arena. */
void mirror_decide(struct arena *a, const struct mirror_input *in, struct decision *ret);

/* ctx: the input. For operator_apply(): the status when the claim or the Job could not be made. */
struct json *mirror_status_after_error(void *ctx, struct arena *a, const struct decision *d,
                                       const char *error);

/* The Job that fills the mirror (job.c), and its name, which is the same each time. */
const char *mirror_job_name(struct arena *a, const struct json *mirror);
struct json *mirror_job(struct arena *a, const struct operator_settings *settings,
                        const struct json *mirror);
