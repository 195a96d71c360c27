/* Pods of the kubelet and what is on disk of them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "machine/kubelet_internal.h"
#include "json/build.h"

#define POD_FILE "pod.json"
#define STOPPED_FILE "stopped"
#define MAX_CONTAINERS 256

/* ---- memory -------------------------------------------------------------------------------------------------------- */

static struct pod *pod_alloc(struct kubelet *k, const char *ns, const char *name, const char *uid)
{
    struct pod *p = NEW0(struct pod);
    p->k = k;
    p->ns = mem_strdup(ns);
    p->name = mem_strdup(name);
    p->uid = mem_strdup(uid);
    p->dir = mem_printf("%s/%s", k->pods_dir, uid);
    p->wake_at = INT64_MAX;
    p->dirty = true;
    return p;
}

static void add_container(struct pod *p, const struct json *spec, bool init)
{
    p->containers = mem_array(p->containers, p->count + 1, sizeof(*p->containers));
    container_init(&p->containers[p->count], spec, init);
    p->count++;
}

/* After the last add_container: they point at each other from here on. */
static void make_processes(struct pod *p)
{
    p->processes = mem_zalloc(MAX(p->count, (size_t)1) * sizeof(*p->processes));
    for (size_t i = 0; i < p->count; i++) {
        struct pod_process *pp = &p->processes[i];
        *pp = (struct pod_process){ .pod = p, .index = i, .process = CONTAINER_PROCESS_INIT };
        pp->started.fd = -1;
        pp->ended.fd = -1;
        for (int kind = 0; kind < PROBE_KIND_COUNT; kind++)
            pp->probes[kind] = (struct pod_probe){ pp, (enum probe_kind)kind };
    }
}

static void containers_of_spec(struct pod *p, const struct json *pod)
{
    JSON_FOREACH(it, json_find(pod, "spec", "initContainers")) {
        if (p->count < MAX_CONTAINERS)
            add_container(p, it.value, true);
    }
    JSON_FOREACH(it, json_find(pod, "spec", "containers")) {
        if (p->count < MAX_CONTAINERS)
            add_container(p, it.value, false);
    }
    make_processes(p);
}

void pod_free(struct pod *p, bool remove_dir)
{
    for (size_t i = 0; i < p->count; i++) {
        pod_cancel_probes(p, i);
        loop_remove(p->k->loop, &p->processes[i].started);
        loop_remove(p->k->loop, &p->processes[i].ended);
        container_release(&p->processes[i].process);
        container_done(&p->containers[i]);
    }
    if (remove_dir)
        trash_put(p->k->o.trash, p->uid);
    if (p->ip[0] && !p->host_network)
        address_pool_release(p->k->addresses, p->ip);
    kube_object_unref(p->object);
    free(p->containers);
    free(p->processes);
    free(p->volumes_error);
    free(p->published);
    free(p->ns);
    free(p->name);
    free(p->uid);
    free(p->dir);
    free(p);
}

void pod_set_object(struct pod *p, struct kube_object *object)
{
    kube_object_unref(p->object);
    p->object = kube_object_ref(object);
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

static bool is_ours(const char *condition)
{
    return str_eq(condition, "PodReadyToStartContainers") || str_eq(condition, "Initialized") ||
           str_eq(condition, "Ready") || str_eq(condition, "ContainersReady");
}

/* Our last status, which the informer may not have seen yet, with what others have written
 * meanwhile. */
static void put_status(struct arena *a, const struct pod *p, struct json *pod)
{
    struct json *published = NULL;
    if (!p->published || json_parse(a, p->published, strlen(p->published), &published, NULL) < 0)
        return;
    struct json *conditions = json_ensure_array(a, published, "conditions");
    JSON_FOREACH(it, json_find(pod, "status", "conditions")) {
        const char *type = json_find_str(it.value, "type");
        if (!type || is_ours(type))
            continue;
        condition_remove(conditions, type);
        json_append(conditions, json_clone(a, it.value));
    }
    json_set(a, pod, "status", published);
}

struct json *pod_json(struct arena *a, const struct pod *p)
{
    if (!p->object)
        return OBJ("apiVersion", STR("v1"), "kind", STR("Pod"), "metadata",
                   OBJ("name", STR(p->name), "namespace", STR(p->ns), "uid", STR(p->uid)));
    struct json *pod = kube_object_parse(a, p->object);
    json_set(a, pod, "apiVersion", STR("v1"));
    json_set(a, pod, "kind", STR("Pod"));
    put_status(a, p, pod);
    return pod;
}

void pod_context_init(struct pod_context *x, struct arena *a, const struct pod *p,
                      const struct json *pod)
{
    *x = (struct pod_context){
        .pod = pod,
        .ip = p->ip,
        .host_ip = p->k->o.host_ip,
        .node_name = p->k->o.node_name,
        .models_dir = p->k->o.models_dir,
        .cpu_milli = p->k->o.cpu_milli,
        .memory_bytes = p->k->o.memory_bytes,
        .sources = &p->k->sources,
        .volumes_dir = arena_printf(a, "%s/volumes", p->dir),
    };
}

const char *pod_container_dir(struct arena *a, const struct pod *p, size_t index, unsigned attempt)
{
    return arena_printf(a, "%s/containers/%s/%u", p->dir, p->containers[index].name, attempt);
}

const struct json *pod_container_spec(const struct json *pod, const struct container *c)
{
    JSON_FOREACH(it, json_find(pod, "spec", c->init ? "initContainers" : "containers")) {
        if (str_eq(json_find_str(it.value, "name"), c->name))
            return it.value;
    }
    return NULL;
}

/* ---- pod.json ------------------------------------------------------------------------------------------------------ */

/* Not synced: it describes processes, which a power failure ends. */
static int write_pod_file(const struct pod *p, struct error **err)
{
    AUTO_ARENA a = arena_new();
    struct json *v = OBJ("namespace", STR(p->ns), "name", STR(p->name), "uid", STR(p->uid), "ip",
                         STR(p->ip), "startTime", INT(p->start_time_ns));
    const char *text = json_text(a, v);
    const char *path = arena_printf(a, "%s/" POD_FILE, p->dir);
    const char *tmp = arena_printf(a, "%s.tmp", path);
    AUTO_FD fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || rename(tmp, path) < 0)
        return error_set_errno(err, errno, "cannot write %s", path);
    return 0;
}

static void take_address(struct pod *p, const char *wanted, struct error **err)
{
    if (p->host_network) {
        snprintf(p->ip, sizeof(p->ip), "%s", p->k->o.host_ip);
    } else if (wanted && address_pool_claim(p->k->addresses, wanted)) {
        snprintf(p->ip, sizeof(p->ip), "%s", wanted);
    } else {
        address_pool_take(p->k->addresses, p->ip, err);
    }
}

static bool is_over(const struct json *pod)
{
    const char *phase = json_find_str(pod, "status", "phase");
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

struct pod *pod_new(struct kubelet *k, struct kube_object *object)
{
    AUTO_ARENA a = arena_new();
    struct json *pod = kube_object_parse(a, object);
    struct pod *p = pod_alloc(k, object->ns, object->name, object->uid);
    p->object = kube_object_ref(object);
    p->host_network = json_find_bool(pod, false, "spec", "hostNetwork");
    p->frozen = is_over(pod);
    containers_of_spec(p, pod);
    if (p->frozen)
        return p;
    const char *started = json_find_str(pod, "status", "startTime");
    if (!started || time_parse_rfc3339(started, &p->start_time_ns) < 0)
        p->start_time_ns = kubelet_wall(k);
    CLEANUP(error_cleanup) struct error *err = NULL;
    take_address(p, json_find_str(pod, "status", "podIP"), &err);
    if (!err && file_mkdirs(p->dir, 0750, &err) == 0)
        write_pod_file(p, &err);
    if (err)
        log_error("cannot set a pod up", "pod", p->name, "namespace", p->ns, "error",
                  error_message(err), NULL);
    return p;
}

/* ---- adoption ------------------------------------------------------------------------------------------------------ */

/* The two highest numbers of attempts in a container's directory. Returns how many there are (0 to
 * 2). */
static int newest_attempts(const char *dir, unsigned *ret_newest, unsigned *ret_before)
{
    DIR *d = opendir(dir);
    int found = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        uint64_t number;
        if (str_to_uint64(e->d_name, &number) < 0 || number > INT32_MAX)
            continue;
        unsigned n = (unsigned)number;
        if (found == 0 || n > *ret_newest) {
            *ret_before = *ret_newest;
            *ret_newest = n;
        } else if (found == 1 || n > *ret_before) {
            *ret_before = n;
        }
        found = MIN(found + 1, 2);
    }
    if (d)
        closedir(d);
    return found;
}

static void end_of(const struct container_state *s, unsigned attempt, struct container_end *ret)
{
    *ret = (struct container_end){
        .set = true,
        .attempt = attempt,
        .exit_code = s->exit_code,
        .oom_killed = s->oom_killed,
        .start_error = s->error != NULL,
        .lost = s->lost,
        .message = mem_strdup(s->error),
        .started_ns = s->started_ns,
        .finished_ns = s->finished_ns,
    };
}

/* What the API was last told of a container: whether it was started and ready decides what its
 * probes begin with, so that a model that serves is not taken out of its Service when `kaito up` is
 * replaced. */
static void restore_probes(struct container *c, const struct json *pod, int64_t now_mono)
{
    JSON_FOREACH(it, json_find(pod, "status",
                               c->init ? "initContainerStatuses" : "containerStatuses")) {
        if (!str_eq(json_find_str(it.value, "name"), c->name) ||
            json_find_int(it.value, -1, "restartCount") != (int64_t)c->attempt)
            continue;
        c->probes[PROBE_STARTUP].good = json_find_bool(it.value, false, "started");
        c->probes[PROBE_READINESS].good = json_find_bool(it.value, false, "ready");
    }
    for (int i = 0; i < PROBE_KIND_COUNT; i++)
        c->probes[i].next_ns = now_mono;
}

/* A clean stop of the machine leaves this mark: its containers were ended by the machine, not by
 * themselves. */
void pod_mark_stopped(struct arena *a, const char *dir)
{
    AUTO_FD fd =
        open(arena_printf(a, "%s/" STOPPED_FILE, dir), O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        log_warn("cannot mark a container as stopped", "dir", dir, "error", strerror(errno), NULL);
}

static bool was_stopped_by_us(struct arena *a, const char *dir)
{
    return file_exists(arena_printf(a, "%s/" STOPPED_FILE, dir));
}

/* Such a container runs again whatever the restart policy says, and without waiting. */
static bool forget_stop(struct arena *a, struct container *c, const char *dir)
{
    if (!was_stopped_by_us(a, dir))
        return false;
    c->phase = CONTAINER_WAITING;
    free(c->last.message);
    c->last = c->end;
    c->end = (struct container_end){ 0 };
    return true;
}

void pod_take_end(struct arena *a, struct pod *p, size_t index, const struct container_state *s)
{
    struct container *c = &p->containers[index];
    struct container_end end;
    end_of(s, c->attempt, &end);
    c->started_ns = s->started_ns;
    int64_t age = MAX(kubelet_wall(p->k) - s->finished_ns, (int64_t)0);
    container_set_exited(c, &end, kubelet_mono(p->k) - age);
    forget_stop(a, c, pod_container_dir(a, p, index, c->attempt));
}

static void adopt_container(struct arena *a, struct pod *p, size_t index, const struct json *pod)
{
    struct kubelet *k = p->k;
    struct container *c = &p->containers[index];
    unsigned newest = 0;
    unsigned before = 0;
    int n = newest_attempts(arena_printf(a, "%s/containers/%s", p->dir, c->name), &newest, &before);
    int64_t now = kubelet_mono(k);
    struct container_state s;
    if (n == 2 && container_state_read(a, pod_container_dir(a, p, index, before), &s, NULL) == 0 &&
        s.finished_ns != 0)
        end_of(&s, before, &c->last);
    if (n == 0)
        return;
    const char *dir = pod_container_dir(a, p, index, newest);
    enum container_life life =
        container_adopt(a, dir, kubelet_wall(k), &p->processes[index].process, &s);
    c->attempt = newest;
    c->has_run = true;
    if (life == CONTAINER_LIFE_ALIVE) {
        int64_t age = MAX(kubelet_wall(k) - s.started_ns, (int64_t)0);
        container_set_running(c, s.started_ns, now - age);
        restore_probes(c, pod, now);
        pod_watch_process(p, index);
        return;
    }
    pod_take_end(a, p, index, &s);
}

static void containers_of_dir(struct arena *a, struct pod *p)
{
    DIR *d = opendir(arena_printf(a, "%s/containers", p->dir));
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && p->count < MAX_CONTAINERS)
            add_container(p, OBJ("name", STR(e->d_name)), false);
    if (d)
        closedir(d);
    make_processes(p);
}

struct pod *pod_adopt(struct kubelet *k, const char *uid, struct kube_object *object)
{
    AUTO_ARENA a = arena_new();
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    struct json *file = NULL;
    const char *path = arena_printf(a, "%s/%s/" POD_FILE, k->pods_dir, uid);
    if (file_read(path, 64 * KIB, &text, &len, NULL) == 0)
        json_parse(a, text, len, &file, NULL);
    const char *ns = json_find_str(file, "namespace");
    const char *name = json_find_str(file, "name");
    struct pod *p = pod_alloc(k, ns ? ns : "", name ? name : "", uid);
    struct json *pod = object ? kube_object_parse(a, object) : NULL;
    p->object = object ? kube_object_ref(object) : NULL;
    p->gone = !object;
    p->start_time_ns = json_find_int(file, 0, "startTime");
    p->host_network = json_find_bool(pod, false, "spec", "hostNetwork");
    if (pod)
        containers_of_spec(p, pod);
    else
        containers_of_dir(a, p);
    take_address(p, json_find_str(file, "ip"), NULL);
    for (size_t i = 0; i < p->count; i++)
        adopt_container(a, p, i, pod);
    bool alive = false;
    bool stopped = false;
    for (size_t i = 0; i < p->count; i++) {
        alive = alive || container_alive(&p->containers[i]);
        stopped =
            stopped || (p->containers[i].has_run && p->containers[i].phase == CONTAINER_WAITING);
    }
    p->frozen = !alive && pod && is_over(pod);
    /* After a clean stop the pod begins anew, init containers included. */
    for (size_t i = 0; stopped && !p->frozen && i < p->count; i++) {
        struct container *c = &p->containers[i];
        if (c->init && c->phase == CONTAINER_EXITED)
            c->phase = CONTAINER_WAITING;
    }
    return p;
}
