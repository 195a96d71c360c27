#include "machine/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/meta.h"
#include "json/build.h"

struct scheduler {
    struct scheduler_sources src;
    pthread_mutex_t lock;
    struct map
        *waiting; /* keys of pods that did not fit: tried again when the node or its pods change */
};

/* ---- waiting pods -------------------------------------------------------------------------------------------------- */

static void set_waiting(struct scheduler *s, const char *key, bool waiting)
{
    LOCK(&s->lock);
    if (waiting)
        map_set(s->waiting, key, s);
    else
        map_del(s->waiting, key);
}

static void retry_waiting(struct scheduler *s, struct workqueue *q)
{
    LOCK(&s->lock);
    struct map_iter it = MAP_ITER_INIT;
    const char *key;
    while (map_next(s->waiting, &it, &key, NULL))
        workqueue_add(q, key);
}

static void on_node(void *ctx, struct workqueue *q, struct kube_object *old,
                    struct kube_object *new)
{
    retry_waiting(ctx, q);
}

static void on_pod(void *ctx, struct workqueue *q, struct kube_object *old, struct kube_object *new)
{
    struct scheduler *s = ctx;
    AUTO_ARENA a = arena_new();
    if (!new) {
        set_waiting(s, kube_key(a, old->ns, old->name), false);
        retry_waiting(s, q);
    } else if (!old) {
        workqueue_add(q, kube_key(a, new->ns, new->name));
    }
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static int post_binding(struct arena *a, struct scheduler *s, const struct json *pod,
                        int *ret_status, struct error **err)
{
    struct json *binding =
        OBJ("apiVersion", STR("v1"), "kind", STR("Binding"), "metadata",
            OBJ("name", STR(meta_name(pod)), "namespace", STR(meta_namespace(pod)), "uid",
                STR(meta_uid(pod))),
            "target",
            OBJ("apiVersion", STR("v1"), "kind", STR("Node"), "name", STR(s->src.node_name)));
    const char *body = json_text(a, binding);
    struct kube_request request = {
        .method = "POST",
        .path = kube_path(a, &KUBE_PODS, meta_namespace(pod), meta_name(pod), "binding"),
        .body = body,
        .body_len = strlen(body),
    };
    struct kube_transport *t = kube_client_transport(s->src.client);
    struct kube_response response = { 0 };
    int r = t->ops->call(t, &request, &response, err);
    if (r < 0)
        return r;
    *ret_status = response.status;
    if (response.status >= 300 && response.status != 404 && response.status != 409)
        r = error_set(err, ERROR_UNAVAILABLE, "binding of pod %s: status %d: %s", meta_name(pod),
                      response.status, buf_str(&response.body));
    buf_done(&response.body);
    return r;
}

static int write_condition(struct arena *a, struct scheduler *s, const struct json *pod,
                           const char *status, const char *reason, const char *message,
                           struct error **err)
{
    const struct json *old = condition_find(json_find(pod, "status", "conditions"), "PodScheduled");
    if (str_eq(json_find_str(old, "status"), status) &&
        str_eq(json_find_str(old, "message"), message))
        return 0;
    char now[TIME_RFC3339_SIZE];
    time_format_rfc3339(clock_wall(s->src.clock), now);
    bool same = str_eq(json_find_str(old, "status"), status);
    struct json *conditions = EMPTY_ARR();
    JSON_FOREACH(it, json_find(pod, "status", "conditions")) {
        if (!str_eq(json_find_str(it.value, "type"), "PodScheduled"))
            json_append(conditions, json_clone(a, it.value));
    }
    const char *since = json_find_str(old, "lastTransitionTime");
    json_append(conditions,
                OBJ("lastTransitionTime", STR(same && since ? since : now), "message", STR(message),
                    "reason", STR(reason), "status", STR(status), "type", STR("PodScheduled")));
    struct json *patch =
        OBJ("metadata", OBJ("uid", STR(meta_uid(pod))), "status", OBJ("conditions", conditions));
    return kube_patch(s->src.client, &KUBE_PODS, meta_namespace(pod), meta_name(pod), "status",
                      KUBE_PATCH_MERGE, patch, a, NULL, err);
}

static int bind_pod(struct arena *a, struct scheduler *s, const struct json *pod,
                    struct error **err)
{
    int status = 0;
    int r = post_binding(a, s, pod, &status, err);
    if (r < 0 || status >= 300)
        return r; /* gone, or bound already: the next event tells */
    event_record(s->src.events, pod, "Normal", "Scheduled", "Successfully assigned %s/%s to %s",
                 meta_namespace(pod), meta_name(pod), s->src.node_name);
    return 0;
}

/* ---- reconcile ----------------------------------------------------------------------------------------------------- */

static struct json *pods_on_node(struct arena *a, struct scheduler *s)
{
    struct json *list = EMPTY_ARR();
    struct kube_object_list objects = { 0 };
    informer_list(s->src.pods, NULL, NULL, &objects);
    for (size_t i = 0; i < objects.count; i++) {
        struct json *pod = kube_object_parse(a, objects.items[i]);
        if (str_eq(json_find_str(pod, "spec", "nodeName"), s->src.node_name))
            json_append(list, pod);
    }
    kube_object_list_done(&objects);
    return list;
}

static bool is_ours(const struct json *pod)
{
    const char *name = json_find_str(pod, "spec", "schedulerName");
    return str_empty(name) || str_eq(name, "default-scheduler");
}

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct scheduler *s = ctx;
    const char *ns;
    const char *name;
    kube_key_split(a, key, &ns, &name);
    CLEANUP(kube_object_cleanup) struct kube_object *object = informer_get(s->src.pods, ns, name);
    CLEANUP(kube_object_cleanup)
    struct kube_object *node = informer_get(s->src.nodes, NULL, s->src.node_name);
    struct json *pod = object ? kube_object_parse(a, object) : NULL;
    if (!pod || object->deleting || !str_empty(json_find_str(pod, "spec", "nodeName")) ||
        !is_ours(pod) || json_size(json_find(pod, "spec", "schedulingGates")) > 0) {
        set_waiting(s, key, false);
        return 0;
    }
    json_set_str(a, pod, "apiVersion", "v1");
    json_set_str(a, pod, "kind", "Pod");
    set_waiting(s, key, true); /* before looking, so that no change is missed */
    const char *reason =
        node ? scheduler_reason(a, pod, kube_object_parse(a, node), pods_on_node(a, s))
             : "no nodes available to schedule pods";
    if (!reason) {
        int r = bind_pod(a, s, pod, err);
        if (r == 0)
            set_waiting(s, key, false);
        return r;
    }
    event_record(s->src.events, pod, "Warning", "FailedScheduling", "%s", reason);
    return write_condition(a, s, pod, "False", "Unschedulable", reason, err);
}

struct scheduler *scheduler_new(const struct scheduler_sources *sources,
                                struct controller **ret_controller)
{
    struct scheduler *s = NEW0(struct scheduler);
    s->src = *sources;
    s->waiting = map_new(NULL);
    pthread_mutex_init(&s->lock, NULL);
    struct controller *c = controller_new(&(struct controller_options){ .name = "scheduler",
                                                                        .workers = 1,
                                                                        .reconcile = reconcile,
                                                                        .ctx = s,
                                                                        .clock = sources->clock });
    controller_watch_mapped(c, sources->pods, on_pod, s);
    controller_watch_mapped(c, sources->nodes, on_node, s);
    *ret_controller = c;
    return s;
}

void scheduler_free(struct scheduler *s)
{
    if (!s)
        return;
    map_free(s->waiting);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
