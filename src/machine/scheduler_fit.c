/* Does a pod fit a node? The filters of Kubernetes' scheduler that mean something on one node, in
 * its order; the first that refuses gives the reason. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "kube/quantity.h"
#include "machine/scheduler.h"
#include "json/build.h"

/* ---- taints -------------------------------------------------------------------------------------------------------- */

static bool tolerates(const struct json *toleration, const struct json *taint)
{
    const char *key = json_find_str(toleration, "key");
    const char *operator= json_find_str(toleration, "operator");
    const char *effect = json_find_str(toleration, "effect");
    const char *value = json_find_str(toleration, "value");
    const char *taint_value = json_find_str(taint, "value");
    if (!str_empty(effect) && !str_eq(effect, json_find_str(taint, "effect")))
        return false;
    if (!str_empty(key) && !str_eq(key, json_find_str(taint, "key")))
        return false;
    if (str_eq(operator, "Exists"))
        return true;
    return !str_empty(key) && str_eq(value ? value : "", taint_value ? taint_value : "");
}

static const char *untolerated_taint(struct arena *a, const struct json *pod,
                                     const struct json *node)
{
    JSON_FOREACH(taint, json_find(node, "spec", "taints")) {
        if (str_eq(json_find_str(taint.value, "effect"), "PreferNoSchedule"))
            continue;
        bool tolerated = false;
        JSON_FOREACH(it, json_find(pod, "spec", "tolerations")) {
            tolerated = tolerated || tolerates(it.value, taint.value);
        }
        const char *value = json_find_str(taint.value, "value");
        if (!tolerated)
            return arena_printf(a, "node(s) had untolerated taint {%s: %s}",
                                json_find_str(taint.value, "key"), value ? value : "");
    }
    return NULL;
}

/* ---- node selector and affinity ------------------------------------------------------------------------------------ */

static bool in_list(const struct json *values, const char *value)
{
    JSON_FOREACH(it, values) {
        if (str_eq(json_string(it.value), value))
            return true;
    }
    return false;
}

static bool compare_number(const struct json *values, const char *value, bool greater)
{
    int64_t have;
    int64_t want;
    const char *text = json_string(json_at(values, 0));
    if (!value || !text || str_to_int64(value, &have) < 0 || str_to_int64(text, &want) < 0)
        return false;
    return greater ? have > want : have < want;
}

static bool requirement_holds(const struct json *r, const char *value)
{
    const char *operator= json_find_str(r, "operator");
    const struct json *values = json_get(r, "values");
    if (str_eq(operator, "In"))
        return value && in_list(values, value);
    if (str_eq(operator, "NotIn"))
        return !value || !in_list(values, value);
    if (str_eq(operator, "Exists"))
        return value != NULL;
    if (str_eq(operator, "DoesNotExist"))
        return value == NULL;
    if (str_eq(operator, "Gt") || str_eq(operator, "Lt"))
        return compare_number(values, value, str_eq(operator, "Gt"));
    return false;
}

/* All expressions of a term; a term without any selects nothing. */
static bool term_holds(const struct json *term, const struct json *node)
{
    const struct json *expressions = json_get(term, "matchExpressions");
    const struct json *fields = json_get(term, "matchFields");
    JSON_FOREACH(it, expressions) {
        const char *key = json_find_str(it.value, "key");
        if (!requirement_holds(it.value, meta_label(node, key ? key : "")))
            return false;
    }
    JSON_FOREACH(it, fields) {
        if (!str_eq(json_find_str(it.value, "key"), "metadata.name") ||
            !requirement_holds(it.value, meta_name(node)))
            return false;
    }
    return json_size(expressions) + json_size(fields) > 0;
}

static bool selectors_hold(const struct json *pod, const struct json *node)
{
    JSON_FOREACH(it, json_find(pod, "spec", "nodeSelector")) {
        if (!str_eq(meta_label(node, it.key), json_string(it.value)))
            return false;
    }
    const struct json *required = json_find(pod, "spec", "affinity", "nodeAffinity",
                                            "requiredDuringSchedulingIgnoredDuringExecution");
    if (!required)
        return true;
    JSON_FOREACH(it, json_get(required, "nodeSelectorTerms")) {
        if (term_holds(it.value, node))
            return true;
    }
    return false;
}

/* ---- resources ----------------------------------------------------------------------------------------------------- */

/* In thousandths for cpu, else whole units. Limits stand in for requests, as the API server
 * defaults them. */
static int64_t container_request(const struct json *container, const char *resource)
{
    const char *text = json_find_str(container, "resources", "requests", resource);
    int64_t value = 0;
    if (!text)
        text = json_find_str(container, "resources", "limits", resource);
    if (!text || (str_eq(resource, "cpu") ? quantity_milli(text, &value, NULL)
                                          : quantity_value(text, &value, NULL)) < 0)
        return 0;
    return value;
}

/* The sum of the containers, or the largest init container when that is more; and the overhead. */
static int64_t pod_request(const struct json *pod, const char *resource)
{
    int64_t sum = 0;
    int64_t largest = 0;
    JSON_FOREACH(it, json_find(pod, "spec", "containers")) {
        sum += container_request(it.value, resource);
    }
    JSON_FOREACH(it, json_find(pod, "spec", "initContainers")) {
        int64_t request = container_request(it.value, resource);
        if (str_eq(json_find_str(it.value, "restartPolicy"), "Always"))
            sum += request;
        else
            largest = MAX(largest, request);
    }
    return MAX(sum, largest);
}

static bool is_over(const struct json *pod)
{
    const char *phase = json_find_str(pod, "status", "phase");
    return str_eq(phase, "Failed") || str_eq(phase, "Succeeded");
}

/* Names of the resources that a pod asks for, each once. */
static struct json *resources_of(struct arena *a, const struct json *pod)
{
    static const char *const lists[] = { "containers", "initContainers" };
    static const char *const kinds[] = { "requests", "limits" };
    struct json *names = EMPTY_OBJ();
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        JSON_FOREACH(it, json_find(pod, "spec", lists[i])) {
            for (size_t k = 0; k < COUNT_OF(kinds); k++) {
                JSON_FOREACH(r, json_find(it.value, "resources", kinds[k])) {
                    json_set(a, names, r.key, BOOL(true));
                }
            }
        }
    }
    return names;
}

static void insufficient(struct arena *a, const struct json *pod, const struct json *node,
                         const struct json *others, struct json *reasons)
{
    int64_t count = 0;
    JSON_FOREACH(it, others) {
        count += !is_over(it.value);
    }
    const char *most = json_find_str(node, "status", "allocatable", "pods");
    int64_t max_pods = 0;
    if (most && quantity_value(most, &max_pods, NULL) == 0 && count + 1 > max_pods)
        json_append(reasons, STR("Too many pods"));
    struct json *names = resources_of(a, pod);
    json_sort_keys(names);
    JSON_FOREACH(it, names) {
        int64_t wanted = pod_request(pod, it.key);
        if (wanted == 0)
            continue;
        JSON_FOREACH(o, others) {
            if (!is_over(o.value))
                wanted += pod_request(o.value, it.key);
        }
        const char *text = json_find_str(node, "status", "allocatable", it.key);
        int64_t there = 0;
        if (text && (str_eq(it.key, "cpu") ? quantity_milli(text, &there, NULL)
                                           : quantity_value(text, &there, NULL)) < 0)
            there = 0;
        if (wanted > there)
            json_append(reasons, STRF("Insufficient %s", it.key));
    }
}

/* ---- the answer ---------------------------------------------------------------------------------------------------- */

static const char *verdict(struct arena *a, const struct json *reasons, bool preemption_helps)
{
    AUTO_BUF b = BUF_INIT(64 * KIB);
    buf_puts(&b, "0/1 nodes are available: ");
    JSON_FOREACH(it, reasons) {
        buf_printf(&b, "%s1 %s", it.index ? ", " : "", json_string(it.value));
    }
    buf_printf(&b, ". preemption: 0/1 nodes are available: 1 %s.",
               preemption_helps ? "No preemption victims found for incoming pod"
                                : "Preemption is not helpful for scheduling");
    return arena_strdup(a, buf_str(&b));
}

const char *scheduler_reason(struct arena *a, const struct json *pod, const struct json *node,
                             const struct json *others)
{
    struct json *unschedulable =
        OBJ("key", STR("node.kubernetes.io/unschedulable"), "effect", STR("NoSchedule"));
    bool cordoned = json_find_bool(node, false, "spec", "unschedulable");
    JSON_FOREACH(it, json_find(pod, "spec", "tolerations")) {
        cordoned = cordoned && !tolerates(it.value, unschedulable);
    }
    if (cordoned)
        return verdict(a, ARR(STR("node(s) were unschedulable")), false);
    const char *taint = untolerated_taint(a, pod, node);
    if (taint)
        return verdict(a, ARR(STR(taint)), false);
    if (!selectors_hold(pod, node))
        return verdict(a, ARR(STR("node(s) didn't match Pod's node affinity/selector")), false);
    struct json *reasons = EMPTY_ARR();
    insufficient(a, pod, node, others, reasons);
    return json_size(reasons) > 0 ? verdict(a, reasons, true) : NULL;
}
