/* What to do about a Workspace. Pure: no clock, no I/O, no globals. */
#pragma once

#include "api/hash.h"
#include "workspace/engine.h"
#include "workspace/observe.h"

enum write_op { WRITE_CREATE, WRITE_PATCH, WRITE_JSON_PATCH, WRITE_DELETE };

/* One request to the API server. */
struct write {
    enum write_op op;
    const struct kube_resource *resource;
    const char *name;
    const char *uid;   /* deletes: only this very object; NULL: any */
    struct json *body; /* create: the object; patch: a merge patch; JSON patch: its operations */
};

struct workspace_event {
    const char *type; /* "Normal", "Warning" */
    const char *reason;
    const char *message;
};

#define DECISION_MAX_WRITES 24
#define DECISION_MAX_EVENTS 4

struct decision {
    struct write writes[DECISION_MAX_WRITES]; /* in this order */
    size_t write_count;
    struct json *status; /* the whole of it as it should be; NULL: leave it */
    struct workspace_event events[DECISION_MAX_EVENTS];
    size_t event_count;
    int64_t requeue_ms; /* 0: changes will tell */
};

struct decide_input {
    const struct workspace_settings *settings;
    const struct catalog *catalog;
    const struct go_types *types;
    int64_t now_ns; /* wall clock */
    const struct observed *observed;
};

/* Values of *ret live in the arena. */
void workspace_decide(struct arena *a, const struct decide_input *in, struct decision *ret);

/* The status to show when a write of the decision failed: the decided one, with the error where it
 * says that something is not ready. */
struct json *workspace_status_after_error(struct arena *a, const struct decide_input *in,
                                          const struct decision *d, const char *error);

/* Tests and `kaito plan`: the decision as {"writes": […], "status": …, "events": […], "requeueMs":
 * n}. */
struct json *decision_to_json(struct arena *a, const struct decision *d);
