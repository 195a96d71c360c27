#include "machine/status_writer.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/meta.h"
#include "json/build.h"

#define WORKERS 2

/* What is to be written for one pod. The key of the queue is "ns/name/uid". */
struct pending {
    char *status;
    bool delete_it;
};

struct status_writer {
    struct kube_client *client;
    struct controller *controller;
    pthread_mutex_t lock;
    struct map *pending;
};

static void pending_free(void *value)
{
    struct pending *p = value;
    free(p->status);
    free(p);
}

static int write_status(struct arena *a, struct status_writer *w, const char *ns, const char *name,
                        const char *uid, const char *text, struct error **err)
{
    struct json *status = NULL;
    struct json *pod = NULL;
    int r = json_parse(a, text, strlen(text), &status, err);
    /* Not from a cache: that may be behind our own last write, and what seems to be equal would not
     * be written. */
    if (r == 0)
        r = kube_get(w->client, &KUBE_PODS, ns, name, a, &pod, err);
    if (r < 0)
        return r;
    if (!str_eq(meta_uid(pod), uid))
        return error_set(err, ERROR_NOT_FOUND, "pod %s/%s is another one now", ns, name);
    struct json *known = json_get(pod, "status");
    struct json *change = json_merge_diff(a, known ? known : EMPTY_OBJ(), status);
    if (!change)
        return 0;
    /* The uid makes sure that it is not another pod of the same name. */
    struct json *patch = OBJ("metadata", OBJ("uid", STR(uid)), "status", change);
    return kube_patch(w->client, &KUBE_PODS, ns, name, "status", KUBE_PATCH_MERGE, patch, a, NULL,
                      err);
}

static struct pending *take(struct status_writer *w, const char *key)
{
    LOCK(&w->lock);
    return map_take(w->pending, key);
}

/* Puts back what could not be written, unless there is something newer. */
static void put_back(struct status_writer *w, const char *key, struct pending *p)
{
    LOCK(&w->lock);
    struct pending *newer = map_get(w->pending, key);
    if (!newer) {
        map_set(w->pending, key, p);
        return;
    }
    newer->delete_it = newer->delete_it || p->delete_it;
    pending_free(p);
}

static bool is_over(int r)
{
    /* Gone, or replaced by another of the same name: nothing to be written any more. */
    return r == -ERROR_NOT_FOUND || r == -ERROR_CONFLICT;
}

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct status_writer *w = ctx;
    struct pending *p = take(w, key);
    if (!p)
        return 0;
    char **parts = str_split(a, key, '/', NULL);
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r = p->status ? write_status(a, w, parts[0], parts[1], parts[2], p->status, &e) : 0;
    if (r == 0 && p->delete_it) {
        struct kube_delete_options options = { .uid = parts[2], .grace_seconds = 0 };
        r = kube_delete(w->client, &KUBE_PODS, parts[0], parts[1], &options, &e);
    }
    if (r < 0 && !is_over(r)) {
        put_back(w, key, p);
        if (err)
            *err = TAKE_PTR(e);
        return r;
    }
    pending_free(p);
    return 0;
}

struct status_writer *status_writer_new(struct kube_client *client, struct clock *clock,
                                        struct controller **ret_controller)
{
    struct status_writer *w = NEW0(struct status_writer);
    w->client = client;
    pthread_mutex_init(&w->lock, NULL);
    w->pending = map_new(pending_free);
    w->controller = controller_new(&(struct controller_options){ .name = "pod-status",
                                                                 .workers = WORKERS,
                                                                 .reconcile = reconcile,
                                                                 .ctx = w,
                                                                 .clock = clock });
    *ret_controller = w->controller;
    return w;
}

void status_writer_free(struct status_writer *w)
{
    if (!w)
        return;
    map_free(w->pending);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void status_writer_set(struct status_writer *w, const char *ns, const char *name, const char *uid,
                       const struct json *status, bool delete_it)
{
    AUTO_ARENA a = arena_new();
    const char *key = arena_printf(a, "%s/%s/%s", ns, name, uid);
    struct pending *p = NEW0(struct pending);
    p->status = mem_strdup(json_text(a, status));
    pthread_mutex_lock(&w->lock);
    struct pending *old = map_get(w->pending, key);
    p->delete_it = delete_it || (old && old->delete_it);
    map_set(w->pending, key, p);
    pthread_mutex_unlock(&w->lock);
    workqueue_add(controller_queue(w->controller), key);
}
