/* See kubelet.h. This file: the thread, what wakes it, and carrying out what pod_decide() says. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "machine/kubelet_internal.h"

/* After SIGKILL to everything, how long processes may take to go before they are given up. */
#define KILL_WAIT_MS 3000

int64_t kubelet_mono(const struct kubelet *k)
{
    return clock_mono(k->o.clock);
}

int64_t kubelet_wall(const struct kubelet *k)
{
    return clock_wall(k->o.clock);
}

void pod_mark(struct pod *p)
{
    p->dirty = true;
}

/* ---- one pod ------------------------------------------------------------------------------------------------------- */

static void view_of(const struct pod *p, const struct json *pod, struct pod_view *ret)
{
    *ret = (struct pod_view){
        .pod = pod,
        .containers = p->containers,
        .count = p->count,
        .gone = p->gone,
        .volumes_error = p->volumes_error,
        .ip = p->ip[0] ? p->ip : NULL,
        .host_ip = p->k->o.host_ip,
        .start_time_ns = p->start_time_ns,
        .now_wall = kubelet_wall(p->k),
        .now_mono = kubelet_mono(p->k),
    };
}

static void stop_container(struct pod *p, const struct json *pod, const struct pod_action *action)
{
    struct container *c = &p->containers[action->index];
    if (action->message)
        event_record(p->k->o.events, pod, "Normal", "Killing", "%s", action->message);
    c->stop_grace_ms = action->grace_ms;
    container_stop(&p->processes[action->index].process, action->grace_ms);
}

static void publish(struct pod *p, const struct json *pod, const struct json *status,
                    bool delete_it)
{
    if (!p->object || p->gone)
        return;
    AUTO_ARENA a = arena_new();
    bool same = p->frozen || json_equal(json_get(pod, "status"), status);
    if ((same && !delete_it) || (delete_it && p->deletion_sent))
        return;
    if (!p->frozen) {
        free(p->published);
        p->published = mem_strdup(json_text(a, status));
    }
    p->deletion_sent = p->deletion_sent || delete_it;
    status_writer_set(p->k->o.writer, p->ns, p->name, p->uid,
                      p->frozen ? json_get(pod, "status") : status, delete_it);
}

/* Carries out what there is to do; true when that may have changed what comes next. */
static bool carry_out(struct pod *p, struct arena *a, struct json *pod, const struct pod_plan *plan)
{
    for (size_t i = 0; i < plan->action_count; i++) {
        const struct pod_action *action = &plan->actions[i];
        if (action->what == POD_STOP)
            stop_container(p, pod, action);
        else
            pod_start_container(p, a, pod, action->index);
    }
    return plan->action_count > 0;
}

/* Looks at a pod until there is nothing to do; true when it is over and can be forgotten. */
static bool pod_sync(struct pod *p)
{
    AUTO_ARENA a = arena_new();
    struct json *pod = pod_json(a, p);
    struct pod_view view;
    struct pod_plan plan;
    p->dirty = false;
    p->wake_at = INT64_MAX;
    for (int round = 0;; round++) {
        view_of(p, pod, &view);
        pod_decide(a, &view, &plan);
        /* Twice is enough: what was started or stopped now says by itself when it is time for more.
         */
        if (!carry_out(p, a, pod, &plan) || round == 1)
            break;
    }
    p->wake_at = MIN(p->wake_at, plan.wake_at);
    publish(p, pod, plan.status, plan.finished);
    return plan.finished && p->gone;
}

/* Probes that are due, and the time of the next one. */
static int64_t run_probes(struct pod *p, int64_t now)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < p->count; i++) {
        struct pod_process *pp = &p->processes[i];
        enum probe_kind kind = PROBE_STARTUP;
        for (int n = 0; n < PROBE_KIND_COUNT && probe_next(&p->containers[i], &kind) <= now; n++) {
            AUTO_ARENA a = arena_new();
            pod_start_probe(p, a, pod_json(a, p), i, kind);
        }
        next = MIN(next, probe_next(&p->containers[i], &kind));
        for (int j = 0; j < PROBE_KIND_COUNT; j++) {
            if (pp->attempts[j] && probe_attempt_deadline(pp->attempts[j]) <= now)
                probe_attempt_expire(pp->attempts[j]);
            if (pp->attempts[j])
                next = MIN(next, probe_attempt_deadline(pp->attempts[j]));
        }
    }
    return next;
}

/* ---- the inbox ----------------------------------------------------------------------------------------------------- */

/* Any thread. */
static void put_inbox(struct kubelet *k, char kind, const struct kube_object *object)
{
    AUTO_ARENA a = arena_new();
    const char *key = arena_printf(a, "%c/%s/%s", kind, object->ns, object->name);
    pthread_mutex_lock(&k->lock);
    map_set(k->inbox, key, k);
    pthread_mutex_unlock(&k->lock);
    loop_wake(k->loop);
}

static void on_pod(void *ctx, struct kube_object *old, struct kube_object *new)
{
    put_inbox(ctx, 'p', new ? new : old);
}

static void on_configmap(void *ctx, struct kube_object *old, struct kube_object *new)
{
    put_inbox(ctx, 'c', new ? new : old);
}

static void on_secret(void *ctx, struct kube_object *old, struct kube_object *new)
{
    put_inbox(ctx, 's', new ? new : old);
}

static bool is_mine(const struct kubelet *k, struct kube_object *object)
{
    AUTO_ARENA a = arena_new();
    return str_eq(json_find_str(kube_object_parse(a, object), "spec", "nodeName"), k->o.node_name);
}

static void pod_changed(struct kubelet *k, const char *ns, const char *name)
{
    CLEANUP(kube_object_cleanup) struct kube_object *object = informer_get(k->o.pods, ns, name);
    struct map_iter it = MAP_ITER_INIT;
    void *value;
    while (map_next(k->pods, &it, NULL, &value)) {
        struct pod *p = value;
        if (!str_eq(p->name, name) || !str_eq(p->ns, ns) || (object && str_eq(object->uid, p->uid)))
            continue;
        p->gone = true;
        pod_mark(p);
    }
    if (!object)
        return;
    struct pod *p = map_get(k->pods, object->uid);
    if (p) {
        pod_set_object(p, object);
        pod_mark(p);
    } else if (is_mine(k, object)) {
        map_set(k->pods, object->uid, pod_new(k, object));
    }
}

static void source_changed(struct kubelet *k, const char *resource, const char *ns,
                           const char *name)
{
    struct map_iter it = MAP_ITER_INIT;
    void *value;
    while (map_next(k->pods, &it, NULL, &value)) {
        struct pod *p = value;
        AUTO_ARENA a = arena_new();
        if (!str_eq(p->ns, ns) || p->frozen || p->gone)
            continue;
        const struct json *pod = pod_json(a, p);
        if (!pod_uses_source(pod, resource, name))
            continue;
        pod_refresh_volumes(p, a, pod);
        for (size_t i = 0; i < p->count; i++)
            if (str_eq(p->containers[i].wait_reason, "CreateContainerConfigError"))
                p->containers[i].retry_at = 0;
        pod_mark(p);
    }
}

static void take_inbox(struct kubelet *k)
{
    pthread_mutex_lock(&k->lock);
    struct map *inbox = k->inbox;
    bool empty = map_size(inbox) == 0;
    if (!empty)
        k->inbox = map_new(NULL);
    pthread_mutex_unlock(&k->lock);
    if (empty)
        return;
    AUTO_ARENA a = arena_new();
    struct map_iter it = MAP_ITER_INIT;
    const char *key;
    while (map_next(inbox, &it, &key, NULL)) {
        char **parts = str_split(a, key, '/', NULL);
        if (key[0] == 'p')
            pod_changed(k, parts[1], parts[2]);
        else
            source_changed(k, key[0] == 'c' ? "configmaps" : "secrets", parts[1], parts[2]);
    }
    map_free(inbox);
}

/* Who waits for a program tries again soon, but no more than once a second. */
static void on_images(struct loop_source *source, uint32_t events)
{
    struct kubelet *k = LOOP_OWNER(source, struct kubelet, images);
    char data[4096];
    while (read(source->fd, data, sizeof(data)) > 0)
        ;
    struct map_iter it = MAP_ITER_INIT;
    void *value;
    while (map_next(k->pods, &it, NULL, &value)) {
        struct pod *p = value;
        for (size_t i = 0; i < p->count; i++) {
            struct container *c = &p->containers[i];
            if (c->phase != CONTAINER_WAITING || !str_eq(c->wait_reason, "ErrImagePull"))
                continue;
            c->retry_at = MIN(c->retry_at, c->waiting_since + NS_PER_S);
            pod_mark(p);
        }
    }
}

static void watch_images(struct kubelet *k)
{
    k->images.on_event = on_images;
    k->images.fd = -1;
    int fd = images_watch(k->o.images);
    if (fd >= 0 && loop_add(k->loop, &k->images, fd, EPOLLIN, NULL) < 0)
        close(fd);
}

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

/* Looks at every pod that needs it; returns when the next one does. */
static int64_t sync_pods(struct kubelet *k)
{
    int64_t next = INT64_MAX;
    struct map_iter it = MAP_ITER_INIT;
    const char *uid;
    void *value;
    while (map_next(k->pods, &it, &uid, &value)) {
        struct pod *p = value;
        int64_t now = kubelet_mono(k);
        int64_t probes = run_probes(p, now);
        if ((p->dirty || p->wake_at <= now) && pod_sync(p)) {
            map_take(k->pods, uid);
            pod_free(p, true);
            continue;
        }
        if (p->dirty)
            next = 0;
        next = MIN(next, MIN(p->wake_at, probes));
    }
    return next;
}

static bool is_stopping(struct kubelet *k)
{
    LOCK(&k->lock);
    return k->stopping;
}

static size_t count_alive(struct kubelet *k)
{
    size_t n = 0;
    struct map_iter it = MAP_ITER_INIT;
    void *value;
    while (map_next(k->pods, &it, NULL, &value)) {
        struct pod *p = value;
        for (size_t i = 0; i < p->count; i++)
            n += container_alive(&p->containers[i]);
    }
    return n;
}

static void stop_pod(struct pod *p, int64_t grace_ms)
{
    AUTO_ARENA a = arena_new();
    const struct json *pod = pod_json(a, p);
    int64_t own_ms = pod_spec_grace_ms(pod);
    for (size_t i = 0; i < p->count; i++) {
        pod_cancel_probes(p, i);
        if (!container_alive(&p->containers[i]))
            continue;
        /* A pod that is being deleted does not come back, and its end is its own. */
        if (!p->gone && !meta_deleting(pod))
            pod_mark_stopped(a, pod_container_dir(a, p, i, p->containers[i].attempt));
        container_stop(&p->processes[i].process, MIN(own_ms, grace_ms));
    }
}

static void stop_all(struct kubelet *k)
{
    struct map_iter it = MAP_ITER_INIT;
    void *value;
    while (map_next(k->pods, &it, NULL, &value))
        stop_pod(value, k->stop_grace_ms);
    int64_t deadline = kubelet_mono(k) + (k->stop_grace_ms + KILL_WAIT_MS) * NS_PER_MS;
    while (count_alive(k) > 0 && kubelet_mono(k) < deadline)
        loop_wait(k->loop, deadline);
    /* Shims that did not do it; and whoever escaped from them. */
    if (container_sweep(k->pods_dir, NULL, NULL) > 0)
        log_warn("processes of containers were left after the stop and have been killed", NULL);
}

static void *kubelet_main(void *arg)
{
    struct kubelet *k = arg;
    while (!is_stopping(k)) {
        take_inbox(k);
        int64_t next = sync_pods(k);
        loop_wait(k->loop, next);
    }
    stop_all(k);
    return NULL;
}

/* ---- adoption ------------------------------------------------------------------------------------------------------ */

static struct kube_object *find_by_uid(struct kube_object_list *list, const char *uid)
{
    for (size_t i = 0; i < list->count; i++)
        if (str_eq(list->items[i]->uid, uid))
            return list->items[i];
    return NULL;
}

/* Only containers of pods that we hold are in order. */
static bool is_adopted(void *ctx, const char *dir)
{
    struct kubelet *k = ctx;
    AUTO_ARENA a = arena_new();
    const char *rest = str_skip_prefix(dir, k->pods_dir);
    if (!rest || rest[0] != '/')
        return false;
    struct pod *p = map_get_n(k->pods, rest + 1, strcspn(rest + 1, "/"));
    for (size_t i = 0; p && i < p->count; i++)
        if (container_alive(&p->containers[i]) &&
            str_eq(dir, pod_container_dir(a, p, i, p->containers[i].attempt)))
            return true;
    return false;
}

static void adopt_all(struct kubelet *k)
{
    struct kube_object_list list = { 0 };
    informer_list(k->o.pods, NULL, NULL, &list);
    DIR *d = opendir(k->pods_dir);
    size_t adopted = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        struct kube_object *object = find_by_uid(&list, e->d_name);
        struct pod *p = pod_adopt(k, e->d_name, object);
        map_set(k->pods, e->d_name, p);
        for (size_t i = 0; i < p->count; i++)
            adopted += container_alive(&p->containers[i]);
    }
    if (d)
        closedir(d);
    kube_object_list_done(&list);
    unsigned killed = container_sweep(k->pods_dir, is_adopted, k);
    if (adopted > 0 || killed > 0) {
        char text[2][24];
        snprintf(text[0], sizeof(text[0]), "%zu", adopted);
        snprintf(text[1], sizeof(text[1]), "%u", killed);
        log_info("took over what an earlier run left", "containers", text[0], "strays_killed",
                 text[1], NULL);
    }
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

/* Kubernetes' words for what is missing: `configmap "x" not found`. */
static int get_source(void *ctx, const char *resource, const char *ns, const char *name,
                      struct arena *a, struct json **ret, struct error **err)
{
    struct kubelet *k = ctx;
    bool secret = str_eq(resource, "secrets");
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r = kube_get(k->o.client, secret ? &KUBE_SECRETS : &KUBE_CONFIGMAPS, ns, name, a, ret, &e);
    if (r == -ERROR_NOT_FOUND)
        return error_set(err, ERROR_NOT_FOUND, "%s \"%s\" not found",
                         secret ? "secret" : "configmap", name);
    if (r < 0 && err)
        *err = TAKE_PTR(e);
    return r;
}

/* The same for the same directory, at every start. */
static uint32_t seed_of(const char *data_dir)
{
    uint32_t h = 2166136261u;
    for (const char *c = data_dir; *c; c++)
        h = (h ^ (unsigned char)*c) * 16777619u;
    return h ^ h >> 16;
}

int kubelet_new(const struct kubelet_options *options, struct kubelet **ret, struct error **err)
{
    struct kubelet *k = NEW0(struct kubelet);
    struct arena *a = arena_new();
    k->images.fd = -1;
    k->strings = a;
    k->o = *options;
    k->o.data_dir = arena_strdup(a, options->data_dir);
    k->o.shim_path = arena_strdup(a, options->shim_path);
    k->o.node_name = arena_strdup(a, options->node_name);
    k->o.host_ip = arena_strdup(a, options->host_ip);
    k->o.models_dir = arena_strdup(a, options->models_dir);
    k->pods_dir = arena_printf(a, "%s/pods", options->data_dir);
    k->sources = (struct pod_sources){ .get = get_source, .ctx = k };
    k->pods = map_new(NULL);
    k->inbox = map_new(NULL);
    pthread_mutex_init(&k->lock, NULL);
    int r = loop_new(&k->loop, err);
    if (r == 0)
        r = address_pool_new(options->pod_cidr, seed_of(options->data_dir), &k->addresses, err);
    if (r == 0)
        r = file_mkdirs(k->pods_dir, 0750, err);
    if (r < 0) {
        kubelet_free(k);
        return r;
    }
    informer_add_handler(options->pods, on_pod, k);
    informer_add_handler(options->configmaps, on_configmap, k);
    informer_add_handler(options->secrets, on_secret, k);
    *ret = k;
    return 0;
}

int kubelet_start(struct kubelet *k, struct error **err)
{
    adopt_all(k);
    trash_recover(k->o.trash);
    watch_images(k);
    int r = thread_start(&k->thread, "kubelet", kubelet_main, k, err);
    k->running = r == 0;
    return r;
}

void kubelet_stop(struct kubelet *k, int64_t stop_grace_ms)
{
    if (!k->running)
        return;
    pthread_mutex_lock(&k->lock);
    k->stopping = true;
    k->stop_grace_ms = stop_grace_ms;
    pthread_mutex_unlock(&k->lock);
    loop_wake(k->loop);
    thread_join(k->thread);
    k->running = false;
}

void kubelet_free(struct kubelet *k)
{
    if (!k)
        return;
    struct map_iter it = MAP_ITER_INIT;
    void *value;
    while (map_next(k->pods, &it, NULL, &value))
        pod_free(value, false);
    map_free(k->pods);
    map_free(k->inbox);
    int watched = k->images.fd;
    if (watched >= 0) {
        loop_remove(k->loop, &k->images);
        close(watched);
    }
    address_pool_free(k->addresses);
    loop_free(k->loop);
    pthread_mutex_destroy(&k->lock);
    arena_free(k->strings);
    free(k);
}
