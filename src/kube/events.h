/* Events about objects, aggregated: the same (object, type, reason, message) within ten minutes
 * raises the count of one Event; more than ten different messages of one reason become one
 * "(combined from similar events)". Written by a thread of its own, never blocks a reconcile; at
 * most 1,000 wait, further ones are counted and dropped. 25 at once, then one each 5 min per object
 * (token bucket), as Kubernetes does. */
#pragma once

#include "kube/client.h"

struct event_recorder;
/* component: source.component and reportingComponent. */
struct event_recorder *event_recorder_new(struct kube_client *c, const char *component,
                                          const char *host, struct clock *clock);
void event_recorder_free(struct event_recorder *r); /* writes what waits, at most 2 s */
/* about: apiVersion, kind, metadata.{name,namespace,uid,resourceVersion}. type: "Normal" or
 * "Warning". */
void event_record(struct event_recorder *r, const struct json *about, const char *type,
                  const char *reason, const char *fmt, ...) ATTR_PRINTF(5, 6);
/* The same in the name of another component than the recorder's own; NULL: its own. */
void event_record_as(struct event_recorder *r, const char *component, const struct json *about,
                     const char *type, const char *reason, const char *fmt, ...) ATTR_PRINTF(6, 7);
