/* What a controller decided to do about one object: requests to the API server, the object's
 * status, events, and when to look again. Made by decide (pure), carried out by apply.h. */
#pragma once

#include "kube/client.h"
#include "json/json.h"

enum write_op { WRITE_CREATE, WRITE_PATCH, WRITE_JSON_PATCH, WRITE_DELETE };

struct decided_event {
    const char *type; /* "Normal", "Warning"; NULL: no event */
    const char *reason;
    const char *message;
    const char *component; /* NULL: the controller's own */
};

/* One request to the API server. */
struct write {
    enum write_op op;
    const struct kube_resource *resource;
    const char *ns; /* NULL: the namespace of the object that the decision is about */
    const char *name;
    const char *subresource;           /* patches: "status", "scale"; NULL: none */
    const char *uid;                   /* deletes: only this very object; NULL: any */
    enum kube_propagation propagation; /* deletes */
    bool best_effort;                  /* when it fails, the rest is carried out all the same */
    bool shared; /* creates: one that is there already will do, whoever owns it */
    const struct json *same_labels; /* creates: one that is there already will do if it has these */
    struct json *body; /* create: the object; patch: a merge patch; JSON patch: its operations */
    struct decided_event done;   /* recorded when it was carried out */
    struct decided_event failed; /* recorded when it was not; the error follows the message */
};

/* Far more than any decision needs: what would be beyond is left to the next reconcile. */
#define DECISION_MAX_WRITES 2048
#define DECISION_MAX_EVENTS 64

struct decision {
    struct write *writes; /* in this order */
    size_t write_count, write_room;
    struct json *status; /* the whole of it as it should be; NULL: leave it */
    struct decided_event *events;
    size_t event_count, event_room;
    int64_t requeue_ms; /* 0: changes will tell */
};

/* The last of them is overwritten when there are too many. Valid until the next call. */
struct write *decision_write(struct arena *a, struct decision *d, enum write_op op,
                             const struct kube_resource *r, const char *name, struct json *body);
void decision_event(struct arena *a, struct decision *d, const char *type, const char *reason,
                    const char *message);
/* It asks for NodeClaims or NodePools that are not there. */
bool write_makes_machine(const struct write *w);
bool decision_makes_machines(const struct decision *d);
/* The earlier of the two; 0 is never. */
void decision_requeue(struct decision *d, int64_t ms);

/* Tests and `kaito plan`: {"writes": […], "status": …, "events": […], "requeueMs": n}. */
struct json *decision_to_json(struct arena *a, const struct decision *d);
