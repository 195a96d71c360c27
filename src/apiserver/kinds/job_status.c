/* Writes of a Job's status: what has ended stays ended, and counts fit together. A rule is asked
 * only when what it is about changes. */
#include <inttypes.h>

#include "apiserver/kinds/job.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

struct transition {
    const struct json *obj, *status, *was;
    const struct json *conditions, *old_conditions;
    const struct field_path *p; /* status */
    struct field_errors *errors;
};

static bool is(const struct transition *t, const char *type)
{
    return condition_is(t->conditions, type, "True");
}

static bool was(const struct transition *t, const char *type)
{
    return condition_is(t->old_conditions, type, "True");
}

static bool turned(const struct transition *t, const char *type)
{
    return is(t, type) != was(t, type);
}

static bool finished(const struct json *conditions)
{
    return condition_is(conditions, "Complete", "True") ||
           condition_is(conditions, "Failed", "True");
}

static bool changed(const struct transition *t, const char *member)
{
    return !same_value(json_get(t->status, member), json_get(t->was, member));
}

/* "Invalid value" without the value. */
static void invalid(const struct transition *t, const char *member, const char *detail)
{
    field_errors_add(t->errors, "FieldValueInvalid",
                     field_path_text(t->errors->arena, FIELD(t->p, member)), "Invalid value: %s",
                     detail);
}

static void check_uncounted(const struct transition *t)
{
    static const char *const lists[] = { "succeeded", "failed" };
    const struct json *uncounted = json_get(t->status, "uncountedTerminatedPods");
    const struct field_path *path = FIELD(t->p, "uncountedTerminatedPods");
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        const struct json *list = json_get(uncounted, lists[i]);
        JSON_FOREACH(it, list) {
            const struct field_path *p = FIELD_AT(FIELD(path, lists[i]), it.index);
            bool seen = false;
            for (size_t l = 0; l <= i; l++)
                JSON_FOREACH(other, json_get(uncounted, lists[l]))
                    seen = seen || ((l < i || other.index < it.index) &&
                                    str_eq(json_string(other.value), json_string(it.value)));
            if (str_empty(json_string(it.value)))
                field_invalid(t->errors, p, it.value, "must not be empty");
            else if (seen)
                field_duplicate(t->errors, p, it.value);
        }
    }
}

static void check_outcome(const struct transition *t)
{
    const struct json *completed = json_get(t->status, "completionTime");
    const char *end = json_string(completed), *start = json_find_str(t->status, "startTime");
    bool complete = is(t, "Complete"), time_changed = changed(t, "completionTime");
    bool met_changed = turned(t, "SuccessCriteriaMet");
    if ((turned(t, "Complete") || turned(t, "Failed")) && complete && is(t, "Failed"))
        invalid(t, "conditions", "cannot set Complete=True and Failed=true conditions");
    if ((turned(t, "Complete") || turned(t, "FailureTarget")) && complete && is(t, "FailureTarget"))
        invalid(t, "conditions", "cannot set Complete=True and FailureTarget=true conditions");
    if ((turned(t, "Complete") || time_changed) && completed && !complete)
        field_invalid(t->errors, FIELD(t->p, "completionTime"), completed,
                      "cannot set completionTime when there is no Complete=True condition");
    if ((turned(t, "Complete") || time_changed) && !completed && complete)
        field_required(t->errors, FIELD(t->p, "completionTime"),
                       "completionTime is required for Complete jobs");
    if ((changed(t, "startTime") || time_changed) && start && end && strcmp(end, start) < 0)
        field_invalid(t->errors, FIELD(t->p, "completionTime"), completed,
                      "must be equal to or after `startTime`");
    if ((turned(t, "Failed") || changed(t, "failedIndexes")) && is(t, "Failed") &&
        !is(t, "FailureTarget"))
        invalid(t, "conditions",
                "cannot set Failed=True condition without the FailureTarget=true condition");
    if ((turned(t, "Complete") || met_changed) && complete && !is(t, "SuccessCriteriaMet"))
        invalid(t, "conditions",
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
}

static void check_finished(const struct transition *t)
{
    const struct json *uncounted = json_get(t->status, "uncountedTerminatedPods"),
                      *spec = json_get(t->obj, "spec");
    bool now = finished(t->conditions), ends = now != finished(t->old_conditions);
    bool empty = json_find_bool(spec, false, "suspend") && json_get(spec, "completions") &&
                 json_find_int(spec, 0, "completions") == 0;
    if (!now)
        return;
    if ((ends || changed(t, "active")) && json_find_int(t->status, 0, "active") > 0)
        field_invalid(t->errors, FIELD(t->p, "active"), json_get(t->status, "active"),
                      "active>0 is invalid for finished job");
    if ((ends || changed(t, "startTime")) && !empty && !json_get(t->status, "startTime"))
        field_required(t->errors, FIELD(t->p, "startTime"),
                       "startTime is required for finished job");
    if ((ends || changed(t, "uncountedTerminatedPods")) &&
        json_size(json_get(uncounted, "succeeded")) + json_size(json_get(uncounted, "failed")) > 0)
        field_invalid(t->errors, FIELD(t->p, "uncountedTerminatedPods"), uncounted,
                      "must be empty for finished job");
}

static void check_indexes(const struct transition *t)
{
    const struct json *spec = json_get(t->obj, "spec"), *all = json_get(spec, "completions");
    const char *done = json_find_str(t->status, "completedIndexes"),
               *failed = json_find_str(t->status, "failedIndexes");
    bool per_index = json_get(spec, "backoffLimitPerIndex");
    CLEANUP(error_cleanup) struct error *err = NULL;
    CLEANUP(error_cleanup) struct error *other = NULL;
    if (changed(t, "completedIndexes") && all && done &&
        job_count_indexes(done, json_int(all, 0), &err) < 0)
        field_invalid_str(t->errors, FIELD(t->p, "completedIndexes"), done,
                          "error parsing completedIndexes: %s", error_message(err));
    if (changed(t, "failedIndexes") && all && per_index && failed &&
        job_count_indexes(failed, json_int(all, 0), &other) < 0)
        field_invalid_str(t->errors, FIELD(t->p, "failedIndexes"), failed,
                          "error parsing failedIndexes: %s", error_message(other));
    if (changed(t, "completedIndexes") && !str_empty(done) && !job_is_indexed(t->obj))
        field_invalid_str(t->errors, FIELD(t->p, "completedIndexes"), done,
                          "cannot set non-empty completedIndexes when non-indexed completion mode");
    if (changed(t, "failedIndexes") && failed && !per_index)
        field_invalid_str(t->errors, FIELD(t->p, "failedIndexes"), failed,
                          "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
}

static void check_gauges(const struct transition *t)
{
    const struct json *terminating = json_get(t->status, "terminating"),
                      *ready = json_get(t->status, "ready");
    bool ends = finished(t->conditions) != finished(t->old_conditions);
    if ((ends || changed(t, "terminating")) && json_int(terminating, 0) > 0 &&
        finished(t->conditions))
        field_invalid(t->errors, FIELD(t->p, "terminating"), terminating,
                      "terminating>0 is invalid for finished job");
    if ((changed(t, "ready") || changed(t, "active")) &&
        json_int(ready, 0) > json_find_int(t->status, 0, "active"))
        field_invalid(t->errors, FIELD(t->p, "ready"), ready,
                      "cannot set more ready pods than active");
    if (is(t, "SuccessCriteriaMet") && is(t, "Failed"))
        invalid(t, "conditions", "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    if (is(t, "SuccessCriteriaMet") && is(t, "FailureTarget"))
        invalid(t, "conditions",
                "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    if (json_is_object(json_find(t->obj, "spec", "successPolicy")) &&
        !is(t, "SuccessCriteriaMet") && is(t, "Complete"))
        invalid(t, "conditions",
                "cannot set Complete=True for Job with SuccessPolicy unless "
                "SuccessCriteriaMet=True");
}

static void check_decrease(const struct transition *t, const char *member)
{
    int64_t now = json_int(json_get(t->status, member), 0);
    if (now < json_int(json_get(t->was, member), 0))
        field_invalid_int(t->errors, FIELD(t->p, member), now, "cannot decrease the %s counter",
                          member);
}

static void check_history(const struct transition *t)
{
    static const char *const terminal[] = { "Failed", "Complete", "FailureTarget" };
    const struct json *spec = json_get(t->obj, "spec"),
                      *completed = json_get(t->status, "completionTime"),
                      *started = json_get(t->was, "startTime");
    bool elastic = job_is_indexed(t->obj) &&
                   same_value(json_get(spec, "completions"), json_get(spec, "parallelism"));
    bool resumes = was(t, "Suspended") && condition_is(t->conditions, "Suspended", "False");
    for (size_t i = 0; i < COUNT_OF(terminal); i++)
        if (was(t, terminal[i]) && !is(t, terminal[i]))
            invalid(t, "conditions",
                    arena_printf(t->errors->arena, "cannot disable the terminal %s=True condition",
                                 terminal[i]));
    check_decrease(t, "failed");
    if (!elastic)
        check_decrease(t, "succeeded");
    if (completed && json_get(t->was, "completionTime") && changed(t, "completionTime"))
        field_invalid(t->errors, FIELD(t->p, "completionTime"), completed, "field is immutable");
    if (started && changed(t, "startTime") && !resumes && !json_find_bool(spec, false, "suspend"))
        field_required(t->errors, FIELD(t->p, "startTime"),
                       "startTime cannot be removed for unsuspended job");
    if (was(t, "SuccessCriteriaMet") && !is(t, "SuccessCriteriaMet"))
        invalid(t, "conditions", "cannot disable the SuccessCriteriaMet=True condition");
    if (was(t, "Complete") && !was(t, "SuccessCriteriaMet") && is(t, "SuccessCriteriaMet"))
        invalid(t, "conditions",
                "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
}

void job_validate_status(const struct json *obj, const struct json *old,
                         struct field_errors *errors)
{
    static const char *const counts[] = { "active", "succeeded", "failed", "ready", "terminating" };
    struct transition t = { .obj = obj,
                            .status = json_get(obj, "status"),
                            .was = json_get(old, "status"),
                            .conditions = json_find(obj, "status", "conditions"),
                            .old_conditions = json_find(old, "status", "conditions"),
                            .p = FIELD(NULL, "status"),
                            .errors = errors };
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        check_not_negative(json_get(t.status, counts[i]), FIELD(t.p, counts[i]), errors);
    check_uncounted(&t);
    check_outcome(&t);
    check_finished(&t);
    check_indexes(&t);
    check_gauges(&t);
    check_history(&t);
}
