/* Pods: defaults that the admission of a real cluster adds, the quality-of-service class, what an
 * update may change, and the one-word status of `kubectl get`. */
#include <inttypes.h>
#include <string.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/podspec.h"
#include "base/clock.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/quantity.h"
#include "kube/selector.h"
#include "json/build.h"

/* ---- defaults -------------------------------------------------------------------------------- */

/* The first of podIPs is podIP, which is right where they differ. */
static void join_addresses(struct arena *a, struct json *status)
{
    const char *ip = json_find_str(status, "podIP");
    const struct json *first = json_at(json_get(status, "podIPs"), 0);
    if (str_empty(ip) && first)
        json_set_str(a, status, "podIP", json_find_str(first, "ip"));
    else if (!str_empty(ip) && !str_eq(json_find_str(first, "ip"), ip))
        json_set(a, status, "podIPs", ARR(OBJ("ip", STR(ip))));
}

static void set_defaults(struct strategy_context *x, struct json *obj)
{
    struct json *spec = json_get(obj, "spec");
    podspec_default(x->a, spec);
    podspec_default_pod(x->a, spec);
    join_addresses(x->a, json_get(obj, "status"));
}

static bool tolerates(const struct json *tolerations, const char *key)
{
    JSON_FOREACH(it, tolerations) {
        const char *own = json_find_str(it.value, "key"),
                   *effect = json_find_str(it.value, "effect");
        if ((str_empty(own) || STREQ(own, key)) &&
            (str_empty(effect) || STREQ(effect, "NoExecute")))
            return true;
    }
    return false;
}

/* A pod is given five minutes on a node that does not answer. */
static void add_tolerations(struct arena *a, struct json *spec)
{
    static const char *const keys[] = { "node.kubernetes.io/not-ready",
                                        "node.kubernetes.io/unreachable" };
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (!tolerates(json_get(spec, "tolerations"), keys[i]))
            json_append(json_ensure_array(a, spec, "tolerations"),
                        OBJ("key", STR(keys[i]), "operator", STR("Exists"), "effect",
                            STR("NoExecute"), "tolerationSeconds", INT(300)));
}

/* ---- quality of service ---------------------------------------------------------------------- */

static bool is_positive(const char *quantity)
{
    return quantity && quantity_compare(quantity, "0") > 0;
}

/* Guaranteed: each container has limits for both resources, and requests that equal them.
 * BestEffort: none has any. */
static const char *qos_class(const struct json *spec)
{
    static const char *const lists[] = { "containers", "initContainers" };
    static const char *const resources[] = { "cpu", "memory" };
    bool any = false, all_equal = true;
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        JSON_FOREACH(it, json_get(spec, lists[i])) {
            const struct json *limits = json_find(it.value, "resources", "limits");
            const struct json *requests = json_find(it.value, "resources", "requests");
            for (size_t k = 0; k < COUNT_OF(resources); k++) {
                const char *limit = json_find_str(limits, resources[k]),
                           *request = json_find_str(requests, resources[k]);
                any = any || is_positive(limit) || is_positive(request);
                all_equal = all_equal && is_positive(limit) && request &&
                            quantity_compare(limit, request) == 0;
            }
        }
    }
    return !any ? "BestEffort" : all_equal ? "Guaranteed" : "Burstable";
}

/* A gated pod says from the start why it does not run. */
static struct json *first_conditions(struct arena *a, const struct json *spec)
{
    if (json_size(json_get(spec, "schedulingGates")) == 0)
        return NULL;
    return ARR(OBJ("type", STR("PodScheduled"), "status", STR("False"), "lastProbeTime", NUL(),
                   "lastTransitionTime", NUL(), "reason", STR("SchedulingGated"), "message",
                   STR("Scheduling is blocked due to non-empty scheduling gates")));
}

/* ---- prepare --------------------------------------------------------------------------------- */

static void prepare_create(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    struct json *spec = json_get(obj, "spec");
    json_set(a, obj, "status",
             OBJ("phase", STR("Pending"), "conditions", first_conditions(a, spec), "qosClass",
                 STR(qos_class(spec))));
    if (str_empty(json_find_str(spec, "serviceAccountName"))) {
        json_set_str(a, spec, "serviceAccountName", "default");
        json_set_str(a, spec, "serviceAccount", "default");
    }
    add_tolerations(a, spec);
    if (!json_get(spec, "priority"))
        json_set_int(a, spec, "priority", 0);
    if (!json_get(spec, "preemptionPolicy"))
        json_set_str(a, spec, "preemptionPolicy", "PreemptLowerPriority");
    podspec_apply_label_keys(a, spec, json_find(obj, "metadata", "labels"));
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (x->old)
        return;
    if (kube_validate_dns1123_label(meta_name(obj), &err) < 0)
        json_append(
            x->warnings,
            json_new_stringf(
                x->a,
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a "
                "DNS label is recommended: [%s]",
                str_replace(x->a, error_message(err), "; ", " ")));
    podspec_warn(obj, "", x->warnings, x->a);
}

static const struct json *old_generation(const struct json *conditions, const char *type)
{
    const struct json *c = condition_find(conditions, type);
    return json_get(c, "observedGeneration");
}

/* Reporters that do not know of a field must not clear it. */
static void prepare_status(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    struct json *status = json_ensure_object(a, obj, "status");
    const struct json *was = json_get(x->old, "status");
    if (str_empty(json_find_str(status, "qosClass")))
        json_set(a, status, "qosClass", json_clone(a, json_get(was, "qosClass")));
    if (!json_get(status, "observedGeneration"))
        json_set(a, status, "observedGeneration",
                 json_clone(a, json_get(was, "observedGeneration")));
    JSON_FOREACH(it, json_get(status, "conditions"))
        if (!json_get(it.value, "observedGeneration"))
            json_set(a, it.value, "observedGeneration",
                     json_clone(a, old_generation(json_get(was, "conditions"),
                                                  json_find_str(it.value, "type"))));
    struct json *meta = json_get(obj, "metadata");
    json_set(a, meta, "ownerReferences",
             json_clone(a, json_find(x->old, "metadata", "ownerReferences")));
}

static void prepare(struct strategy_context *x, struct json *obj)
{
    if (!x->old)
        prepare_create(x, obj);
    else if (STREQ(x->subresource, "status"))
        prepare_status(x, obj);
    else if (STREQ(x->subresource, ""))
        add_tolerations(x->a, json_get(obj, "spec"));
}

/* ---- validation ------------------------------------------------------------------------------ */

static void check_images(const struct json *spec, const char *list, const struct field_path *p,
                         struct field_errors *errors)
{
    JSON_FOREACH(it, json_get(spec, list)) {
        const char *image = json_find_str(it.value, "image");
        if (image && *image && strlen(str_trim(errors->arena, image)) != strlen(image))
            field_invalid_str(errors, FIELD(FIELD_AT(FIELD(p, list), it.index), "image"), image,
                              "must not have leading or trailing whitespace");
    }
}

static void check_create(const struct json *spec, const struct field_path *p,
                         struct field_errors *errors)
{
    if (json_size(json_get(spec, "ephemeralContainers")) > 0)
        field_forbidden(errors, FIELD(p, "ephemeralContainers"), "cannot be set on create");
    if (!str_empty(json_find_str(spec, "nodeName")) &&
        json_size(json_get(spec, "schedulingGates")) > 0)
        field_forbidden(errors, FIELD(p, "nodeName"),
                        "cannot be set until all schedulingGates have been cleared");
}

static bool check_container_count(const struct json *spec, const struct json *old, const char *list,
                                  const struct field_path *p, struct field_errors *errors)
{
    if (json_size(json_get(spec, list)) == json_size(json_get(old, list)))
        return true;
    field_forbidden(errors, FIELD(p, list), "pod updates may not add or remove containers");
    return false;
}

static bool check_deadline(const struct json *spec, const struct json *old,
                           const struct field_path *path, struct field_errors *errors)
{
    const struct json *now = json_get(spec, "activeDeadlineSeconds"),
                      *was = json_get(old, "activeDeadlineSeconds");
    const struct field_path *p = FIELD(path, "activeDeadlineSeconds");
    if (now && (json_int(now, 0) < 0 || json_int(now, 0) > INT32_MAX)) {
        field_invalid(errors, p, now, "must be between 0 and %d, inclusive", INT32_MAX);
        return false;
    }
    if (now && was && json_int(now, 0) > json_int(was, 0)) {
        field_invalid(errors, p, now, "must be less than or equal to previous value");
        return false;
    }
    if (!now && was)
        field_invalid_raw(errors, p, "null",
                          "must not update from a positive integer to nil value");
    return true;
}

static bool same_but_seconds(struct arena *a, const struct json *x, const struct json *y)
{
    struct json *one = json_clone(a, x), *other = json_clone(a, y);
    json_del(one, "tolerationSeconds");
    json_del(other, "tolerationSeconds");
    return json_equal(one, other);
}

static void check_tolerations_kept(const struct json *now, const struct json *old,
                                   const struct field_path *p, struct field_errors *errors)
{
    JSON_FOREACH(was, old) {
        bool found = false;
        JSON_FOREACH(it, now)
            found = found || same_but_seconds(errors->arena, it.value, was.value);
        if (!found) {
            field_forbidden(errors, p,
                            "existing toleration can not be modified except its tolerationSeconds");
            return;
        }
    }
}

static void check_gates_only_removed(const struct json *now, const struct json *old,
                                     const struct field_path *p, struct field_errors *errors)
{
    JSON_FOREACH(it, now) {
        const char *name = json_find_str(it.value, "name");
        bool found = false;
        JSON_FOREACH(was, old)
            found = found || str_eq(json_find_str(was.value, "name"), name);
        if (!found)
            field_forbidden(errors, FIELD(FIELD_AT(p, it.index), "name"),
                            "only deletion is allowed, but found new scheduling gate '%s'",
                            name ? name : "");
    }
}

/* The spec with everything that may change put back to what it was. */
static struct json *with_old_parts(struct arena *a, const struct json *spec, const struct json *old)
{
    static const char *const lists[] = { "containers", "initContainers" };
    static const char *const whole[] = { "activeDeadlineSeconds", "schedulingGates",
                                         "tolerations" };
    struct json *munged = json_clone(a, spec);
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        struct json_iter was = json_iter(json_get(old, lists[i]));
        JSON_FOREACH(it, json_get(munged, lists[i]))
            if (json_next(&was))
                json_set(a, it.value, "image", json_clone(a, json_get(was.value, "image")));
    }
    for (size_t i = 0; i < COUNT_OF(whole); i++)
        json_set(a, munged, whole[i], json_clone(a, json_get(old, whole[i])));
    if (json_find_int(old, 0, "terminationGracePeriodSeconds") < 0 &&
        json_find_int(munged, 0, "terminationGracePeriodSeconds") == 1)
        json_set(a, munged, "terminationGracePeriodSeconds",
                 json_clone(a, json_get(old, "terminationGracePeriodSeconds")));
    /* a gated pod may still be steered to other nodes */
    if (json_size(json_get(old, "schedulingGates")) > 0) {
        json_set(a, munged, "nodeSelector", json_clone(a, json_get(old, "nodeSelector")));
        json_set(a, munged, "affinity", json_clone(a, json_get(old, "affinity")));
    }
    return munged;
}

static void check_update(const struct json *spec, const struct json *old,
                         const struct field_path *p, struct field_errors *errors)
{
    struct arena *a = errors->arena;
    if (!check_container_count(spec, old, "containers", p, errors) ||
        !check_container_count(spec, old, "initContainers", p, errors) ||
        !check_deadline(spec, old, p, errors))
        return;
    check_tolerations_kept(json_get(spec, "tolerations"), json_get(old, "tolerations"),
                           FIELD(p, "tolerations"), errors);
    check_gates_only_removed(json_get(spec, "schedulingGates"), json_get(old, "schedulingGates"),
                             FIELD(p, "schedulingGates"), errors);
    const struct json *munged = with_old_parts(a, spec, old);
    if (json_equal(munged, old))
        return;
    AUTO_BUF changes = BUF_INIT(64 * KIB);
    json_describe_diff(old, munged, 20, &changes);
    field_forbidden(
        errors, p,
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n%s",
        buf_str(&changes));
}

static void check_status(const struct json *obj, const struct json *old,
                         struct field_errors *errors)
{
    static const char *const system[] = { "PodScheduled", "Ready", "Initialized", NULL };
    const struct json *status = json_get(obj, "status");
    const struct field_path *p = FIELD(NULL, "status");
    JSON_FOREACH(it, json_get(status, "conditions")) {
        const char *type = json_find_str(it.value, "type");
        if (!is_one_of(type, system))
            check_text(type, kube_validate_label_key,
                       FIELD(FIELD_AT(FIELD(p, "conditions"), it.index), "Type"), errors);
    }
    check_immutable(json_get(status, "qosClass"), json_find(old, "status", "qosClass"),
                    FIELD(p, "qosClass"), errors);
    JSON_FOREACH(it, json_get(status, "podIPs"))
        check_ip(json_find_str(it.value, "ip"), FIELD_AT(FIELD(p, "podIPs"), it.index), errors);
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    const struct json *spec = json_get(obj, "spec");
    const struct field_path *p = FIELD(NULL, "spec");
    if (STREQ(x->subresource, "status")) {
        check_status(obj, x->old, errors);
        return;
    }
    podspec_validate(spec, true, p, errors);
    check_images(spec, "containers", p, errors);
    check_images(spec, "initContainers", p, errors);
    if (x->old)
        check_update(spec, json_get(x->old, "spec"), p, errors);
    else
        check_create(spec, p, errors);
}

/* ---- table ----------------------------------------------------------------------------------- */

struct summary {
    int64_t restarts;
    const char *last_restart; /* the latest time at which one ended */
    size_t ready;
    const char *reason;
};

static void count_restarts(const struct json *status, int64_t *restarts, const char **last)
{
    const char *finished = json_find_str(status, "lastState", "terminated", "finishedAt");
    *restarts += json_find_int(status, 0, "restartCount");
    if (finished && (!*last || strcmp(*last, finished) < 0))
        *last = finished;
}

static const char *ended_reason(struct arena *a, const struct json *terminated, const char *prefix)
{
    const char *reason = json_find_str(terminated, "reason");
    int64_t signal_number = json_find_int(terminated, 0, "signal");
    if (!str_empty(reason))
        return arena_printf(a, "%s%s", prefix, reason);
    return signal_number ? arena_printf(a, "%sSignal:%" PRId64, prefix, signal_number)
                         : arena_printf(a, "%sExitCode:%" PRId64, prefix,
                                        json_find_int(terminated, 0, "exitCode"));
}

/* Init containers that go on running beside the others. */
static bool is_sidecar(const struct json *spec, const char *name)
{
    JSON_FOREACH(it, json_get(spec, "initContainers"))
        if (str_eq(json_find_str(it.value, "name"), name))
            return str_eq(json_find_str(it.value, "restartPolicy"), "Always");
    return false;
}

/* True while an init container holds the others back. */
static bool summarise_init(struct arena *a, const struct json *obj, struct summary *s,
                           struct summary *sidecars)
{
    const struct json *spec = json_get(obj, "spec");
    JSON_FOREACH(it, json_find(obj, "status", "initContainerStatuses")) {
        const struct json *terminated = json_find(it.value, "state", "terminated");
        const char *waiting = json_find_str(it.value, "state", "waiting", "reason");
        bool sidecar = is_sidecar(spec, json_find_str(it.value, "name"));
        count_restarts(it.value, &s->restarts, &s->last_restart);
        if (sidecar)
            count_restarts(it.value, &sidecars->restarts, &sidecars->last_restart);
        if (terminated && json_find_int(terminated, 0, "exitCode") == 0)
            continue;
        if (sidecar && json_find_bool(it.value, false, "started")) {
            s->ready += json_find_bool(it.value, false, "ready");
            continue;
        }
        if (terminated)
            s->reason = ended_reason(a, terminated, "Init:");
        else if (!str_empty(waiting) && !STREQ(waiting, "PodInitializing"))
            s->reason = arena_printf(a, "Init:%s", waiting);
        else
            s->reason = arena_printf(a, "Init:%zu/%zu", it.index,
                                     json_size(json_get(spec, "initContainers")));
        return true;
    }
    return false;
}

static void summarise_containers(struct arena *a, const struct json *obj, struct summary *s)
{
    const struct json *statuses = json_find(obj, "status", "containerStatuses");
    const char *failed = NULL;
    bool running = false;
    for (size_t i = json_size(statuses); i-- > 0;) {
        const struct json *status = json_at(statuses, i),
                          *terminated = json_find(status, "state", "terminated");
        const char *waiting = json_find_str(status, "state", "waiting", "reason");
        count_restarts(status, &s->restarts, &s->last_restart);
        if (!str_empty(waiting)) {
            s->reason = waiting;
        } else if (terminated) {
            s->reason = ended_reason(a, terminated, "");
            if (json_find_int(terminated, 0, "exitCode") != 0)
                failed = s->reason;
        } else if (json_find_bool(status, false, "ready") &&
                   json_find(status, "state", "running")) {
            running = true;
            s->ready++;
        }
    }
    if (!STREQ(s->reason, "Completed"))
        return;
    if (running && condition_is(json_find(obj, "status", "conditions"), "Ready", "True"))
        s->reason = "Running";
    else if (failed)
        s->reason = failed;
    else if (running)
        s->reason = "NotReady";
}

static struct summary summarise(struct arena *a, const struct json *obj)
{
    const struct json *conditions = json_find(obj, "status", "conditions");
    const char *phase = json_find_str(obj, "status", "phase"),
               *reason = json_find_str(obj, "status", "reason");
    struct summary s = { .reason = !str_empty(reason) ? reason
                                   : phase            ? phase
                                                      : "" },
                   sidecars = { 0 };
    if (str_eq(json_find_str(condition_find(conditions, "PodScheduled"), "reason"),
               "SchedulingGated"))
        s.reason = "SchedulingGated";
    bool initializing = summarise_init(a, obj, &s, &sidecars);
    if (!initializing || condition_is(conditions, "Initialized", "True")) {
        s.restarts = sidecars.restarts;
        s.last_restart = sidecars.last_restart;
        summarise_containers(a, obj, &s);
    }
    if (meta_deleting(obj) && str_eq(reason, "NodeLost"))
        s.reason = "Unknown";
    else if (meta_deleting(obj) && !str_eq(phase, "Failed") && !str_eq(phase, "Succeeded"))
        s.reason = "Terminating";
    return s;
}

static size_t long_running(const struct json *spec)
{
    size_t n = json_size(json_get(spec, "containers"));
    JSON_FOREACH(it, json_get(spec, "initContainers"))
        n += str_eq(json_find_str(it.value, "restartPolicy"), "Always");
    return n;
}

static struct json *gates_cell(struct arena *a, const struct json *obj)
{
    const struct json *gates = json_find(obj, "spec", "readinessGates");
    size_t open = 0;
    JSON_FOREACH(it, gates)
        open += condition_is(json_find(obj, "status", "conditions"),
                             json_find_str(it.value, "conditionType"), "True");
    return json_size(gates) ? STRF("%zu/%zu", open, json_size(gates)) : STR("<none>");
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    const struct json *spec = json_get(obj, "spec"), *status = json_get(obj, "status");
    struct summary s = summarise(a, obj);
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, STRF("%zu/%zu", s.ready, long_running(spec)));
    json_append(cells, STR(s.reason));
    json_append(cells, s.restarts && s.last_restart
                           ? STRF("%" PRId64 " (%s ago)", s.restarts,
                                  json_string(cell_age(a, s.last_restart, now_wall_ns)))
                           : STRF("%" PRId64, s.restarts));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
    json_append(cells, cell_text(a, json_find_str(json_at(json_get(status, "podIPs"), 0), "ip"),
                                 "<none>"));
    json_append(cells, cell_text(a, json_find_str(spec, "nodeName"), "<none>"));
    json_append(cells, cell_text(a, json_find_str(status, "nominatedNodeName"), "<none>"));
    json_append(cells, gates_cell(a, obj));
}

static struct json *row_conditions(struct arena *a, const struct json *obj)
{
    const char *phase = json_find_str(obj, "status", "phase");
    bool failed = str_eq(phase, "Failed");
    if (!failed && !str_eq(phase, "Succeeded"))
        return NULL;
    return ARR(OBJ("type", STR("Completed"), "status", STR("True"), "reason", STR(phase), "message",
                   STR(failed ? "The pod failed." : "The pod has completed successfully.")));
}

static void selectable(struct arena *a, struct json *obj)
{
    struct json *spec = json_ensure_object(a, obj, "spec");
    json_set_bool(a, spec, "hostNetwork", json_find_bool(spec, false, "hostNetwork"));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Ready", "string", "", 0, "How many of the containers are ready." },
    { "Status", "string", "", 0, "What the pod is doing, or why it does not." },
    { "Restarts", "string", "", 0, "How often containers were started again, and when last." },
    COLUMN_AGE,
    { "IP", "string", "", 1, "Address of the pod." },
    { "Node", "string", "", 1, "Where it runs." },
    { "Nominated Node", "string", "", 1, "Where room is being made for it." },
    { "Readiness Gates", "string", "", 1,
      "How many of the extra conditions for readiness are met." },
};

const struct api_kind kind_pod = {
    .resource = { "", "v1", "pods", "Pod", true },
    .singular = "pod",
    .list_kind = "PodList",
    .short_names = (const char *const[]){ "po", NULL },
    .categories = (const char *const[]){ "all", NULL },
    .has_status = true,
    .has_generation = true,
    .deletes_gracefully = true,
    .builtin = true,
    .strategy =
        &(const struct api_strategy){
            .set_defaults = set_defaults, .prepare = prepare, .validate = validate, .warn = warn },
    .field_selectors =
        (const char *const[]){ "spec.nodeName", "spec.restartPolicy", "spec.schedulerName",
                               "spec.serviceAccountName", "spec.hostNetwork", "status.phase",
                               "status.podIP", "status.podIPs", "status.nominatedNodeName", NULL },
    .selectable = selectable,
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
    .row_conditions = row_conditions,
};
