#include "operator/decision.h"

#include <string.h>

#include "base/macros.h"
#include "json/build.h"

/* Room for one more in a list of the arena; the old copy stays in it until it dies. */
static void *grown(struct arena *a, void *list, size_t count, size_t *room, size_t most,
                   size_t size)
{
    if (count < *room || *room == most)
        return list;
    size_t larger = *room == 0 ? MIN((size_t)16, most) : MIN(*room * 2, most);
    char *copy = arena_zalloc(a, larger * size);
    if (count > 0)
        memcpy(copy, list, count * size);
    *room = larger;
    return copy;
}

struct write *decision_write(struct arena *a, struct decision *d, enum write_op op,
                             const struct kube_resource *r, const char *name, struct json *body)
{
    d->writes = grown(a, d->writes, d->write_count, &d->write_room, DECISION_MAX_WRITES,
                      sizeof(*d->writes));
    if (d->write_count < d->write_room)
        d->write_count++;
    struct write *w = &d->writes[d->write_count - 1];
    *w = (struct write){ .op = op, .resource = r, .name = name, .body = body };
    return w;
}

void decision_event(struct arena *a, struct decision *d, const char *type, const char *reason,
                    const char *message)
{
    d->events = grown(a, d->events, d->event_count, &d->event_room, DECISION_MAX_EVENTS,
                      sizeof(*d->events));
    if (d->event_count < d->event_room)
        d->events[d->event_count++] = (struct decided_event){ type, reason, message, NULL };
}

bool write_makes_machine(const struct write *w)
{
    return w->op == WRITE_CREATE &&
           (w->resource == &KUBE_NODECLAIMS || w->resource == &KUBE_NODEPOOLS);
}

bool decision_makes_machines(const struct decision *d)
{
    for (size_t i = 0; i < d->write_count; i++)
        if (write_makes_machine(&d->writes[i]))
            return true;
    return false;
}

void decision_requeue(struct decision *d, int64_t ms)
{
    if (ms > 0 && (d->requeue_ms == 0 || ms < d->requeue_ms))
        d->requeue_ms = ms;
}

struct json *decision_to_json(struct arena *a, const struct decision *d)
{
    static const char *const ops[] = { "create", "patch", "jsonPatch", "delete" };
    struct json *writes = EMPTY_ARR();
    for (size_t i = 0; i < d->write_count; i++) {
        const struct write *w = &d->writes[i];
        json_append(writes,
                    OBJ("op", STR(ops[w->op]), "kind", STR(w->resource->kind), "namespace",
                        STR(w->ns), "name", STR(w->name), "subresource", STR(w->subresource), "uid",
                        STR(w->uid), "body", json_clone(a, w->body)));
    }
    struct json *events = EMPTY_ARR();
    for (size_t i = 0; i < d->event_count; i++)
        json_append(events, OBJ("type", STR(d->events[i].type), "reason", STR(d->events[i].reason),
                                "message", STR(d->events[i].message)));
    return OBJ("writes", writes, "status", json_clone(a, d->status), "events", events, "requeueMs",
               INT(d->requeue_ms));
}
