/* The status that the kubelet writes for a pod (pod.h). */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "kube/meta.h"
#include "machine/pod.h"
#include "json/build.h"

static struct json *stamp(struct arena *a, int64_t wall_ns)
{
    char text[TIME_RFC3339_SIZE];
    time_format_rfc3339(wall_ns, text);
    return STR(text);
}

/* ---- containers ---------------------------------------------------------------------------------------------------- */

static const char *container_id(struct arena *a, const struct pod_view *v,
                                const struct container *c, unsigned attempt)
{
    return arena_printf(a, "kaito://%s/%s/%u", meta_uid(v->pod), c->name, attempt);
}

static const char *end_reason(const struct container_end *e)
{
    if (e->start_error)
        return "StartError";
    if (e->lost)
        return "ContainerStatusUnknown";
    if (e->oom_killed)
        return "OOMKilled";
    return e->exit_code == 0 ? "Completed" : "Error";
}

static struct json *terminated(struct arena *a, const struct pod_view *v, const struct container *c,
                               const struct container_end *e)
{
    const char *lost = "The container could not be located when the pod was terminated";
    return OBJ("terminated", OBJ("containerID", STR(container_id(a, v, c, e->attempt)), "exitCode",
                                 INT(e->exit_code), "finishedAt", stamp(a, e->finished_ns),
                                 "message", STR(e->lost ? lost : e->message), "reason",
                                 STR(end_reason(e)), "startedAt", stamp(a, e->started_ns)));
}

static struct json *waiting(struct arena *a, const struct pod_view *v, const struct container *c,
                            const struct json *spec)
{
    const char *reason = c->wait_reason;
    const char *message = c->wait_message;
    if (c->phase != CONTAINER_WAITING || !reason) {
        bool initializing = !pod_initialized(v) && v->count > 0 && v->containers[0].init;
        reason = initializing ? "PodInitializing" : "ContainerCreating";
        message = NULL;
    } else if (str_eq(reason, "ErrImagePull") && v->now_mono >= c->waiting_since + NS_PER_S) {
        message = arena_printf(a, "Back-off pulling image \"%s\": ErrImagePull: %s",
                               json_find_str(spec, "image"), message);
        reason = "ImagePullBackOff";
    }
    return OBJ("waiting", OBJ("message", STR(message), "reason", STR(reason)));
}

static struct json *crash_loop(struct arena *a, const struct pod_view *v, const struct container *c)
{
    int64_t ms = (container_backoff_end(c) - c->finished_mono) / NS_PER_MS;
    const char *delay = ms >= 60000 && ms % 60000 == 0 ? arena_printf(a, "%dm0s", (int)(ms / 60000))
                        : ms >= 60000
                            ? arena_printf(a, "%dm%ds", (int)(ms / 60000), (int)(ms % 60000 / 1000))
                            : arena_printf(a, "%ds", (int)(ms / 1000));
    return OBJ("waiting",
               OBJ("message",
                   STRF("back-off %s restarting failed container=%s pod=%s_%s(%s)", delay, c->name,
                        meta_name(v->pod), meta_namespace(v->pod), meta_uid(v->pod)),
                   "reason", STR("CrashLoopBackOff")));
}

static struct json *container_status(struct arena *a, const struct pod_view *v,
                                     const struct container *c, const struct json *spec,
                                     bool terminal)
{
    struct json *state;
    const struct container_end *last = &c->last;
    switch (c->phase) {
    case CONTAINER_RUNNING:
        state = OBJ("running", OBJ("startedAt", stamp(a, c->started_ns)));
        break;
    case CONTAINER_EXITED:
        if (!terminal && container_will_restart(v, c) && container_backoff_end(c) > v->now_mono) {
            state = crash_loop(a, v, c);
            last = &c->end;
        } else {
            state = terminated(a, v, c, &c->end);
        }
        break;
    default:
        state = waiting(a, v, c, spec);
    }
    bool has_id = c->has_run && c->phase != CONTAINER_STARTING;
    struct json *status =
        OBJ("containerID", has_id ? STR(container_id(a, v, c, c->attempt)) : NULL, "image",
            STR(json_find_str(spec, "image")), "imageID", STR(c->image_id ? c->image_id : ""),
            "lastState", last->set ? terminated(a, v, c, last) : EMPTY_OBJ(), "name", STR(c->name),
            "ready",
            BOOL(c->init && !c->sidecar ? c->phase == CONTAINER_EXITED && c->end.exit_code == 0
                                        : container_ready(c)),
            "restartCount", INT(c->attempt), "started", BOOL(container_started(c)), "state", state);
    return status;
}

static struct json *container_statuses(struct arena *a, const struct pod_view *v, bool init,
                                       bool terminal)
{
    struct json *list = EMPTY_ARR();
    const struct json *specs = json_find(v->pod, "spec", init ? "initContainers" : "containers");
    size_t i = 0;
    while (i < v->count && v->containers[i].init != init)
        i++;
    JSON_FOREACH(it, specs) {
        if (i < v->count && v->containers[i].init == init)
            json_append(list, container_status(a, v, &v->containers[i], it.value, terminal));
        i++;
    }
    return list;
}

/* ---- conditions ---------------------------------------------------------------------------------------------------- */

struct verdict {
    bool good;
    const char *reason;
    const char *message;
};

static const char *names_where(struct arena *a, const struct pod_view *v, bool init,
                               bool (*pick)(const struct container *c))
{
    AUTO_BUF b = BUF_INIT(64 * KIB);
    for (size_t i = 0; i < v->count; i++)
        if (v->containers[i].init == init && pick(&v->containers[i]))
            buf_printf(&b, "%s%s", b.len ? " " : "", v->containers[i].name);
    return b.len ? arena_strdup(a, buf_str(&b)) : NULL;
}

static bool is_unready(const struct container *c)
{
    return !container_ready(c);
}

static bool is_incomplete(const struct container *c)
{
    return c->sidecar ? !container_started(c)
                      : !(c->phase == CONTAINER_EXITED && c->end.exit_code == 0);
}

static struct verdict verdict_initialized(struct arena *a, const struct pod_view *v,
                                          const char *phase)
{
    if (str_eq(phase, "Succeeded"))
        return (struct verdict){ true, "PodCompleted", NULL };
    if (pod_initialized(v))
        return (struct verdict){ .good = true };
    const char *names = names_where(a, v, true, is_incomplete);
    return (struct verdict){ false, "ContainersNotInitialized",
                             arena_printf(a, "containers with incomplete status: [%s]",
                                          names ? names : "") };
}

static struct verdict verdict_containers(struct arena *a, const struct pod_view *v,
                                         const char *phase)
{
    if (str_eq(phase, "Succeeded"))
        return (struct verdict){ false, "PodCompleted", NULL };
    if (str_eq(phase, "Failed"))
        return (struct verdict){ false, "PodFailed", NULL };
    const char *names = names_where(a, v, false, is_unready);
    if (!names)
        return (struct verdict){ .good = true };
    return (struct verdict){ false, "ContainersNotReady",
                             arena_printf(a, "containers with unready status: [%s]", names) };
}

static struct verdict verdict_ready(struct arena *a, const struct pod_view *v,
                                    struct verdict containers)
{
    if (!containers.good)
        return containers;
    JSON_FOREACH(it, json_find(v->pod, "spec", "readinessGates")) {
        const char *type = json_find_str(it.value, "conditionType");
        const struct json *c =
            condition_find(json_find(v->pod, "status", "conditions"), type ? type : "");
        if (!str_eq(json_find_str(c, "status"), "True"))
            return (struct verdict){
                false, "ReadinessGatesNotReady",
                arena_printf(a, "corresponding condition of pod readiness gate \"%s\" %s.",
                             type ? type : "", c ? "is not True" : "does not exist")
            };
    }
    return containers;
}

/* The condition as it is to be; its time is kept while its status stays. */
static struct json *condition(struct arena *a, const struct pod_view *v, const char *type,
                              struct verdict verdict)
{
    const struct json *old = condition_find(json_find(v->pod, "status", "conditions"), type);
    const char *status = verdict.good ? "True" : "False";
    const char *since = json_find_str(old, "lastTransitionTime");
    bool same = since && str_eq(json_find_str(old, "status"), status);
    return OBJ("lastTransitionTime", same ? STR(since) : stamp(a, v->now_wall), "message",
               STR(verdict.message), "reason", STR(verdict.reason), "status", STR(status), "type",
               STR(type));
}

static struct json *conditions(struct arena *a, const struct pod_view *v, const char *phase)
{
    struct verdict containers = verdict_containers(a, v, phase);
    bool over = v->gone || str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
    struct json *list =
        ARR(condition(a, v, "PodReadyToStartContainers",
                      (struct verdict){ .good = v->ip && !v->volumes_error && !over }),
            condition(a, v, "Initialized", verdict_initialized(a, v, phase)),
            condition(a, v, "Ready", verdict_ready(a, v, containers)),
            condition(a, v, "ContainersReady", containers));
    /* The scheduler's, and what others keep here. */
    JSON_FOREACH(it, json_find(v->pod, "status", "conditions")) {
        const char *type = json_find_str(it.value, "type");
        if (type && !condition_find(list, type))
            json_append(list, json_clone(a, it.value));
    }
    return list;
}

struct json *pod_status(struct arena *a, const struct pod_view *v, const char *phase)
{
    bool terminal = str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
    struct json *s = json_clone(a, json_get(v->pod, "status"));
    if (!json_is_object(s))
        s = EMPTY_OBJ();
    json_set(a, s, "phase", STR(phase));
    json_set(a, s, "conditions", conditions(a, v, phase));
    json_set(a, s, "hostIP", STR(v->host_ip));
    json_set(a, s, "hostIPs", ARR(OBJ("ip", STR(v->host_ip))));
    if (v->ip) {
        json_set(a, s, "podIP", STR(v->ip));
        json_set(a, s, "podIPs", ARR(OBJ("ip", STR(v->ip))));
    }
    if (v->start_time_ns != 0)
        json_set(a, s, "startTime", stamp(a, v->start_time_ns));
    struct json *init = container_statuses(a, v, true, terminal);
    json_set(a, s, "initContainerStatuses", json_size(init) > 0 ? init : NULL);
    json_set(a, s, "containerStatuses", container_statuses(a, v, false, terminal));
    return s;
}
