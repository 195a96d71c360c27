/* What a Job makes of pods that fail, and when it is content. */
#include <inttypes.h>

#include "apiserver/kinds/job.h"
#include "base/str.h"
#include "kube/selector.h"
#include "json/build.h"

#define RULES_MAX 20
#define EXIT_CODES_MAX 255
#define PATTERNS_MAX 20
#define INDEXES_TEXT_MAX (64 * 1024)

/* ---- failure --------------------------------------------------------------------------------- */

static bool has_container(const struct json *spec, const char *name)
{
    static const char *const lists[] = { "containers", "initContainers" };
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        JSON_FOREACH(it, json_find(spec, "template", "spec", lists[i]))
            if (str_eq(json_find_str(it.value, "name"), name))
                return true;
    return false;
}

static void check_codes(const struct json *values, bool in, const struct field_path *p,
                        struct field_errors *errors)
{
    bool ordered = true;
    if (json_size(values) == 0)
        field_invalid_raw(errors, p, "[]", "at least one value is required");
    else if (json_size(values) > EXIT_CODES_MAX)
        field_too_many(errors, p, (int64_t)json_size(values), EXIT_CODES_MAX);
    const struct json *before = NULL;
    bool seen[256] = { false };
    JSON_FOREACH(it, values) {
        int64_t code = json_int(it.value, 0);
        if (in && code == 0)
            field_invalid_int(errors, FIELD_AT(p, it.index), code,
                              "must not be 0 for the In operator");
        if (code >= 0 && code < (int64_t)COUNT_OF(seen)) {
            if (seen[code])
                field_duplicate(errors, FIELD_AT(p, it.index), it.value);
            seen[code] = true;
        }
        ordered = ordered && (!before || json_int(before, 0) <= code);
        before = it.value;
    }
    if (!ordered)
        field_invalid(errors, p, values, "must be ordered");
}

static void check_exit_codes(const struct json *spec, const struct json *codes,
                             const struct field_path *p, struct field_errors *errors)
{
    static const char *const operators[] = { "In", "NotIn", NULL };
    const char *operator= json_find_str(codes, "operator"),
               *container = json_find_str(codes, "containerName");
    if (str_empty(operator))
        field_required(errors, FIELD(p, "operator"), "valid values: [\"In\" \"NotIn\"]");
    else if (!is_one_of(operator, operators))
        field_not_supported_str(errors, FIELD(p, "operator"), operator, operators);
    if (container && !has_container(spec, container))
        field_invalid_str(
            errors, FIELD(p, "containerName"), container,
            "must be one of the container or initContainer names in the pod template");
    check_codes(json_get(codes, "values"), str_eq(operator, "In"), FIELD(p, "values"), errors);
}

static void check_conditions(const struct json *patterns, const struct field_path *path,
                             struct field_errors *errors)
{
    static const char *const states[] = { "False", "True", "Unknown", NULL };
    if (json_size(patterns) > PATTERNS_MAX)
        field_too_many(errors, path, (int64_t)json_size(patterns), PATTERNS_MAX);
    JSON_FOREACH(it, patterns) {
        const struct field_path *p = FIELD_AT(path, it.index);
        const char *type = json_find_str(it.value, "type"),
                   *status = json_find_str(it.value, "status");
        check_text(type ? type : "", kube_validate_label_key, FIELD(p, "type"), errors);
        if (str_empty(status))
            field_required(errors, FIELD(p, "status"),
                           "valid values: [\"False\" \"True\" \"Unknown\"]");
        else if (!is_one_of(status, states))
            field_not_supported_str(errors, FIELD(p, "status"), status, states);
    }
}

static void check_failure_rule(const struct json *spec, const struct json *rule,
                               const struct field_path *p, struct field_errors *errors)
{
    static const char *const actions[] = { "Count", "FailIndex", "FailJob", "Ignore", NULL };
    const char *action = json_find_str(rule, "action");
    const struct json *codes = json_get(rule, "onExitCodes"),
                      *patterns = json_get(rule, "onPodConditions");
    bool by_code = json_is_object(codes), by_condition = json_size(patterns) > 0;
    if (str_empty(action))
        field_required(errors, FIELD(p, "action"),
                       "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
    else if (!is_one_of(action, actions))
        field_not_supported_str(errors, FIELD(p, "action"), action, actions);
    else if (STREQ(action, "FailIndex") && !json_get(spec, "backoffLimitPerIndex"))
        field_invalid_str(errors, FIELD(p, "action"), action,
                          "requires the backoffLimitPerIndex to be set");
    if (by_code)
        check_exit_codes(spec, codes, FIELD(p, "onExitCodes"), errors);
    if (by_condition)
        check_conditions(patterns, FIELD(p, "onPodConditions"), errors);
    if (by_code == by_condition)
        field_errors_add(errors, "FieldValueInvalid", field_path_text(errors->arena, p),
                         "Invalid value: specifying %s",
                         by_code ? "both OnExitCodes and OnPodConditions is not supported"
                                 : "one of OnExitCodes and OnPodConditions is required");
}

/* ---- success --------------------------------------------------------------------------------- */

/* A number of digits that ends at `end`. */
static const char *read_index(const char *s, int64_t *ret)
{
    const char *start = s;
    for (*ret = 0; *s >= '0' && *s <= '9' && s - start < 10; s++)
        *ret = *ret * 10 + (*s - '0');
    return s == start || (*s >= '0' && *s <= '9') ? NULL : s;
}

/* One of the ranges between commas; returns where it ends, NULL with err. */
static const char *read_range(const char *s, int64_t *first, int64_t *last, struct error **err)
{
    size_t len = strcspn(s, ",");
    const char *end = read_index(s, first);
    *last = *first;
    if (end && *end == '-')
        end = read_index(end + 1, last);
    if (end && end == s + len)
        return end;
    error_set(err, ERROR_INVALID, "cannot convert string to integer for index: \"%.*s\"",
              (int)strcspn(s, ",-"), s);
    return NULL;
}

int64_t job_count_indexes(const char *text, int64_t completions, struct error **err)
{
    int64_t total = 0, before = -1;
    for (const char *s = text; *s;) {
        int64_t first, last;
        const char *end = read_range(s, &first, &last, err);
        if (!end)
            return -1;
        if (first >= completions || last >= completions) {
            error_set(err, ERROR_INVALID, "too large index: \"%" PRId64 "\"",
                      first >= completions ? first : last);
            return -1;
        }
        if (first <= before) {
            error_set(err, ERROR_INVALID,
                      "non-increasing order, previous: %" PRId64 ", current: %" PRId64, before,
                      first);
            return -1;
        }
        if (last < first || (last == first && memchr(s, '-', (size_t)(end - s)))) {
            error_set(err, ERROR_INVALID,
                      "non-increasing order, previous: %" PRId64 ", current: %" PRId64, first,
                      last);
            return -1;
        }
        total += last - first + 1;
        before = last;
        s = *end == ',' ? end + 1 : end;
    }
    return total;
}

bool job_has_index(const char *text, int64_t index)
{
    for (const char *s = text; s && *s;) {
        int64_t first, last;
        const char *end = read_range(s, &first, &last, NULL);
        if (!end)
            return false;
        if (index >= first && index <= last)
            return true;
        s = *end == ',' ? end + 1 : end;
    }
    return false;
}

static void check_success_rule(const struct json *spec, const struct json *rule,
                               const struct field_path *p, struct field_errors *errors)
{
    const struct json *count = json_get(rule, "succeededCount");
    const char *indexes = json_find_str(rule, "succeededIndexes");
    int64_t completions = json_find_int(spec, 0, "completions"), total = 0;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (!count && !indexes)
        field_required(errors, p,
                       "at least one of succeededCount or succeededIndexes must be specified");
    if (indexes && strlen(indexes) > INDEXES_TEXT_MAX)
        field_too_long(errors, FIELD(p, "succeededIndexes"), INDEXES_TEXT_MAX);
    if (indexes && (total = job_count_indexes(indexes, completions, &err)) < 0) {
        field_invalid_str(errors, FIELD(p, "succeededIndexes"), indexes,
                          "error parsing succeededIndexes: %s", error_message(err));
        total = 0;
    }
    check_not_negative(count, FIELD(p, "succeededCount"), errors);
    if (json_int(count, 0) > completions)
        field_invalid(errors, FIELD(p, "succeededCount"), count,
                      "must be less than or equal to %" PRId64
                      " (the number of specified completions)",
                      completions);
    if (indexes && json_int(count, 0) > total)
        field_invalid(errors, FIELD(p, "succeededCount"), count,
                      "must be less than or equal to %" PRId64
                      " (the number of indexes in the specified succeededIndexes field)",
                      total);
}

static void check_success(const struct json *spec, const struct json *policy,
                          const struct field_path *path, struct field_errors *errors)
{
    const struct json *rules = json_get(policy, "rules");
    const struct field_path *p = FIELD(path, "rules");
    if (!str_eq(json_find_str(spec, "completionMode"), "Indexed")) {
        field_invalid(errors, path, policy, "requires indexed completion mode");
        return;
    }
    if (json_size(rules) == 0)
        field_required(errors, p,
                       "at least one rules must be specified when the successPolicy is specified");
    if (json_size(rules) > RULES_MAX)
        field_too_many(errors, p, (int64_t)json_size(rules), RULES_MAX);
    JSON_FOREACH(it, rules)
        check_success_rule(spec, it.value, FIELD_AT(p, it.index), errors);
}

void job_validate_policies(const struct json *spec, const struct field_path *p,
                           struct field_errors *errors)
{
    static const char *const replacements[] = { "Failed", "TerminatingOrFailed", NULL };
    static const char *const failed_only[] = { "Failed", NULL };
    const struct json *failure = json_get(spec, "podFailurePolicy"),
                      *rules = json_get(failure, "rules"),
                      *success = json_get(spec, "successPolicy");
    const struct field_path *at = FIELD(FIELD(p, "podFailurePolicy"), "rules");
    const char *replacement = json_find_str(spec, "podReplacementPolicy");
    const char *const *known = json_is_object(failure) ? failed_only : replacements;
    if (json_size(rules) > RULES_MAX)
        field_too_many(errors, at, (int64_t)json_size(rules), RULES_MAX);
    JSON_FOREACH(it, rules)
        check_failure_rule(spec, it.value, FIELD_AT(at, it.index), errors);
    if (json_is_object(success))
        check_success(spec, success, FIELD(p, "successPolicy"), errors);
    if (replacement && !is_one_of(replacement, known))
        field_not_supported_str(errors, FIELD(p, "podReplacementPolicy"), replacement, known);
}
