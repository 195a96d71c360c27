/* The most telling thing that keeps pods from being ready, as the reason of a condition. Kinds of
 * failure are tried in the order of the table, each over all pods, so that out of memory is named
 * rather than the restarts that follow from it. */
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "workspace/decide_internal.h"
#include "workspace/streaming.h"
#include "json/build.h"

#define MAX_MESSAGE 256

static const char *const image_reasons[] = { "ImagePullBackOff",
                                             "ErrImagePull",
                                             "InvalidImageName",
                                             "ErrImageNeverPull",
                                             "ImageInspectError",
                                             "RegistryUnavailable",
                                             NULL };
static const char *const start_reasons[] = { "CreateContainerConfigError",
                                             "PreCreateHookError",
                                             "CreateContainerError",
                                             "PreStartHookError",
                                             "RunContainerError",
                                             "PostStartHookError",
                                             NULL };

static bool one_of(const char *s, const char *const *list)
{
    for (; s && *list; list++)
        if (STREQ(s, *list))
            return true;
    return false;
}

/* Each of these says whether a container's status shows the failure, and puts it into words. */
typedef const char *container_test(struct arena *a, const struct json *status);

static const struct json *terminated(const struct json *status)
{
    const struct json *now = json_find(status, "state", "terminated");
    return now ? now : json_find(status, "lastState", "terminated");
}

static const char *out_of_memory(struct arena *a, const struct json *status)
{
    const struct json *now = json_find(status, "state", "terminated");
    const struct json *last = json_find(status, "lastState", "terminated");
    if (!str_eq(json_find_str(now, "reason"), "OOMKilled") &&
        !str_eq(json_find_str(last, "reason"), "OOMKilled"))
        return NULL;
    return arena_printf(
        a, "was killed because it used more memory than it may (OOMKilled), %lld restarts",
        (long long)json_find_int(status, 0, "restartCount"));
}

/* While an image is tried again and again the kubelet tells in turn that it failed and that it
 * waits; what failed stands at the end of both messages. Only that is told, so that the status is
 * not written at each try. */
static const char *image_pull(struct arena *a, const struct json *status)
{
    static const char failed[] = "ErrImagePull: ";
    const struct json *waiting = json_find(status, "state", "waiting");
    const char *reason = json_find_str(waiting, "reason");
    if (!one_of(reason, image_reasons))
        return NULL;
    const char *message = str_or_empty(json_find_str(waiting, "message"));
    const char *cause = strstr(message, failed);
    cause = cause ? cause + strlen(failed) : message;
    return arena_printf(a, "cannot get its image: %s", cause[0] ? cause : reason);
}

static const char *start_error(struct arena *a, const struct json *status)
{
    const struct json *waiting = json_find(status, "state", "waiting");
    const char *reason = json_find_str(waiting, "reason");
    if (!one_of(reason, start_reasons))
        return NULL;
    return arena_printf(a, "cannot be started (%s): %s", reason,
                        str_or_empty(json_find_str(waiting, "message")));
}

/* Also between two restarts, when nothing says CrashLoopBackOff: else the reason would come and go.
 */
static const char *crash_loop(struct arena *a, const struct json *status)
{
    const struct json *end = terminated(status);
    bool waits = str_eq(json_find_str(status, "state", "waiting", "reason"), "CrashLoopBackOff");
    bool failed = json_find_int(end, 0, "exitCode") != 0;
    if (!waits && (!failed || json_find_bool(status, false, "ready")))
        return NULL;
    const char *message = str_trim(a, str_or_empty(json_find_str(end, "message")));
    return arena_printf(a, "ended with exit code %lld, %lld restarts%s%s",
                        (long long)json_find_int(end, 0, "exitCode"),
                        (long long)json_find_int(status, 0, "restartCount"), message[0] ? ": " : "",
                        message);
}

/* Without leave to read the weights nothing else matters. */
static const char *no_leave(struct arena *a, const struct json *status)
{
    return str_eq(json_find_str(status, "name"), STREAMING_FETCHER) ? crash_loop(a, status) : NULL;
}

static const struct {
    container_test *test;
    const char *reason;
} container_failures[] = {
    { no_leave, "SASTokenFetchFailed" },
    { out_of_memory, "ContainerOOMKilled" },
    { image_pull, "ImagePullError" },
    { start_error, "ContainerStartError" },
    { crash_loop, "ContainerCrashLoopBackOff" },
};

static void found(struct arena *a, struct problem *ret, const char *reason, const char *message)
{
    size_t len = str_utf8_valid_len(message, strnlen(message, MAX_MESSAGE));
    *ret = (struct problem){ .reason = reason, .message = arena_strndup(a, message, len) };
}

static bool find_in_containers(struct arena *a, const struct json *pod, const char *list,
                               container_test *test, const char *reason, struct problem *ret)
{
    JSON_FOREACH(it, json_find(pod, "status", list)) {
        const char *text = test(a, it.value);
        if (text) {
            found(a, ret, reason,
                  arena_printf(a, "pod %s: container %s %s", meta_name(pod),
                               str_or_empty(json_find_str(it.value, "name")), text));
            return true;
        }
    }
    return false;
}

static bool evicted(struct arena *a, const struct json *pod, struct problem *ret)
{
    const char *reason = str_or_empty(json_find_str(pod, "status", "reason"));
    if (!str_eq(json_find_str(pod, "status", "phase"), "Failed") && !STREQ(reason, "Evicted"))
        return false;
    const char *message = str_or_empty(json_find_str(pod, "status", "message"));
    const char *lower = str_lower(a, message);
    const char *kind = strstr(lower, "ephemeral-storage") || strstr(lower, "disk")
                           ? "NodeDiskPressure"
                       : strstr(lower, "memory") ? "NodeMemoryPressure"
                                                 : "PodEvicted";
    found(a, ret, kind,
          arena_printf(a, "pod %s: %s%s%s", meta_name(pod), reason[0] ? reason : "failed",
                       message[0] ? ": " : "", message));
    return true;
}

static bool unschedulable(struct arena *a, const struct json *pod, struct problem *ret)
{
    const struct json *c = condition_find(json_find(pod, "status", "conditions"), "PodScheduled");
    if (!str_eq(json_find_str(pod, "status", "phase"), "Pending") ||
        !str_eq(json_find_str(c, "status"), "False") ||
        !str_eq(json_find_str(c, "reason"), "Unschedulable"))
        return false;
    found(a, ret, "Unschedulable",
          arena_printf(a, "pod %s: %s", meta_name(pod), str_or_empty(json_find_str(c, "message"))));
    return true;
}

bool pod_failure_find(struct arena *a, const struct json *pods, struct problem *ret)
{
    for (size_t i = 0; i < COUNT_OF(container_failures); i++) {
        JSON_FOREACH(it, pods) {
            if (find_in_containers(a, it.value, "initContainerStatuses", container_failures[i].test,
                                   container_failures[i].reason, ret) ||
                find_in_containers(a, it.value, "containerStatuses", container_failures[i].test,
                                   container_failures[i].reason, ret))
                return true;
        }
    }
    JSON_FOREACH(it, pods)
        if (evicted(a, it.value, ret))
            return true;
    JSON_FOREACH(it, pods)
        if (unschedulable(a, it.value, ret))
            return true;
    return false;
}
