/* Where a pod may run: affinity, tolerations, spreading. */
#include <inttypes.h>
#include <string.h>

#include "apiserver/kinds/podspec.h"
#include "base/str.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

/* ---- nodes ----------------------------------------------------------------------------------- */

static void check_node_requirement(const struct json *r, const struct field_path *p,
                                   struct field_errors *errors)
{
    const char *operator= json_find_str(r, "operator");
    const struct json *values = json_get(r, "values");
    if (str_eq(operator, "In") || str_eq(operator, "NotIn")) {
        if (json_size(values) == 0)
            field_required(errors, FIELD(p, "values"),
                           "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (str_eq(operator, "Exists") || str_eq(operator, "DoesNotExist")) {
        if (json_size(values) > 0)
            field_forbidden(errors, FIELD(p, "values"),
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (str_eq(operator, "Gt") || str_eq(operator, "Lt")) {
        if (json_size(values) != 1)
            field_required(errors, FIELD(p, "values"),
                           "must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else {
        field_invalid_str(errors, FIELD(p, "operator"), operator, "not a valid selector operator");
    }
    check_text(json_find_str(r, "key"), kube_validate_label_key, FIELD(p, "key"), errors);
    JSON_FOREACH(it, values)
        check_text(json_string(it.value), kube_validate_label_value,
                   FIELD_AT(FIELD(p, "values"), it.index), errors);
}

static void check_node_field(const struct json *r, const struct field_path *p,
                             struct field_errors *errors)
{
    const char *operator= json_find_str(r, "operator"), *key = json_find_str(r, "key");
    const struct json *values = json_get(r, "values");
    if (!str_eq(operator, "In") && !str_eq(operator, "NotIn"))
        field_invalid_str(errors, FIELD(p, "operator"), operator, "not a valid selector operator");
    else if (json_size(values) != 1)
        field_required(
            errors, FIELD(p, "values"),
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
    if (!str_eq(key, "metadata.name"))
        field_invalid_str(errors, FIELD(p, "key"), key, "not a valid field selector key");
    else
        JSON_FOREACH(it, values)
            check_text(json_string(it.value), kube_validate_dns1123_subdomain,
                       FIELD_AT(FIELD(p, "values"), it.index), errors);
}

static void check_node_term(const struct json *term, const struct field_path *p,
                            struct field_errors *errors)
{
    JSON_FOREACH(it, json_get(term, "matchExpressions"))
        check_node_requirement(it.value, FIELD_AT(FIELD(p, "matchExpressions"), it.index), errors);
    JSON_FOREACH(it, json_get(term, "matchFields"))
        check_node_field(it.value, FIELD_AT(FIELD(p, "matchFields"), it.index), errors);
}

void podspec_validate_node_terms(const struct json *terms, const struct field_path *p,
                                 struct field_errors *errors)
{
    if (json_size(terms) == 0)
        field_required(errors, p, "must have at least one node selector term");
    JSON_FOREACH(it, terms)
        check_node_term(it.value, FIELD_AT(p, it.index), errors);
}

static void check_weight(const struct json *weighted, const struct field_path *p,
                         struct field_errors *errors)
{
    int64_t weight = json_find_int(weighted, 0, "weight");
    if (weight < 1 || weight > 100)
        field_invalid_int(errors, FIELD(p, "weight"), weight, "must be in the range 1-100");
}

#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static void check_node_affinity(const struct json *affinity, const struct field_path *p,
                                struct field_errors *errors)
{
    const struct json *required = json_get(affinity, REQUIRED);
    if (required)
        podspec_validate_node_terms(json_get(required, "nodeSelectorTerms"),
                                    FIELD(FIELD(p, REQUIRED), "nodeSelectorTerms"), errors);
    JSON_FOREACH(it, json_get(affinity, PREFERRED)) {
        const struct field_path *here = FIELD_AT(FIELD(p, PREFERRED), it.index);
        check_weight(it.value, here, errors);
        check_node_term(json_get(it.value, "preference"), FIELD(here, "preference"), errors);
    }
}

/* ---- pods ------------------------------------------------------------------------------------ */

static bool has_string(const struct json *list, const char *s)
{
    JSON_FOREACH(it, list)
        if (str_eq(json_string(it.value), s))
            return true;
    return false;
}

/* Keys whose values are taken from the pod's own labels. */
static void check_label_keys(const struct json *term, const struct field_path *p,
                             struct field_errors *errors)
{
    static const char *const lists[] = { "matchLabelKeys", "mismatchLabelKeys" };
    const struct json *selector = json_get(term, "labelSelector"), *keys = json_get(term, lists[0]);
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        if (json_size(json_get(term, lists[i])) > 0 && !json_is_object(selector)) {
            field_forbidden(errors, FIELD(p, lists[i]),
                            "must not be specified when labelSelector is not set");
            continue;
        }
        JSON_FOREACH(it, json_get(term, lists[i]))
            check_text(json_string(it.value), kube_validate_label_key,
                       FIELD_AT(FIELD(p, lists[i]), it.index), errors);
    }
    JSON_FOREACH(expression, json_get(selector, "matchExpressions")) {
        const char *key = json_find_str(expression.value, "key");
        bool seen = json_find(selector, "matchLabels", key ? key : "");
        JSON_FOREACH(other, json_get(selector, "matchExpressions"))
            seen = seen || (other.index < expression.index &&
                            str_eq(json_find_str(other.value, "key"), key));
        JSON_FOREACH(it, seen ? keys : NULL)
            if (str_eq(json_string(it.value), key))
                field_invalid_str(errors, FIELD_AT(p, it.index), key,
                                  "exists in both matchLabelKeys and labelSelector");
    }
    JSON_FOREACH(it, keys)
        if (has_string(json_get(term, lists[1]), json_string(it.value)))
            field_invalid_str(errors, FIELD_AT(FIELD(p, lists[0]), it.index), json_string(it.value),
                              "exists in both matchLabelKeys and mismatchLabelKeys");
}

static void check_pod_term(const struct json *term, const struct field_path *p,
                           struct field_errors *errors)
{
    const char *key = json_find_str(term, "topologyKey");
    metadata_validate_selector(json_get(term, "labelSelector"), FIELD(p, "labelSelector"), errors);
    metadata_validate_selector(json_get(term, "namespaceSelector"), FIELD(p, "namespaceSelector"),
                               errors);
    JSON_FOREACH(it, json_get(term, "namespaces"))
        check_text(json_string(it.value), kube_validate_dns1123_label, FIELD(p, "namespace"),
                   errors);
    check_label_keys(term, p, errors);
    if (str_empty(key))
        field_required(errors, FIELD(p, "topologyKey"), "can not be empty");
    check_text(key, kube_validate_label_key, FIELD(p, "topologyKey"), errors);
}

static void check_pod_affinity(const struct json *affinity, const struct field_path *p,
                               struct field_errors *errors)
{
    JSON_FOREACH(it, json_get(affinity, REQUIRED))
        check_pod_term(it.value, FIELD_AT(FIELD(p, REQUIRED), it.index), errors);
    JSON_FOREACH(it, json_get(affinity, PREFERRED)) {
        const struct field_path *at = FIELD_AT(FIELD(p, PREFERRED), it.index);
        check_weight(it.value, at, errors);
        check_pod_term(json_get(it.value, "podAffinityTerm"), FIELD(at, "podAffinityTerm"), errors);
    }
}

/* ---- spreading ------------------------------------------------------------------------------- */

static void check_spread_repeats(const struct json *constraints, size_t index,
                                 const struct json *one, const struct field_path *p,
                                 struct field_errors *errors)
{
    JSON_FOREACH(it, constraints) {
        if (it.index <= index ||
            !same_value(json_get(it.value, "topologyKey"), json_get(one, "topologyKey")) ||
            !same_value(json_get(it.value, "whenUnsatisfiable"),
                        json_get(one, "whenUnsatisfiable")))
            continue;
        field_duplicate_str(errors, FIELD(p, "{topologyKey, whenUnsatisfiable}"),
                            arena_printf(errors->arena, "{%s, %s}",
                                         json_find_str(one, "topologyKey"),
                                         json_find_str(one, "whenUnsatisfiable")));
        return;
    }
}

static void check_spread(const struct json *constraints, const struct field_path *path,
                         struct field_errors *errors)
{
    static const char *const actions[] = { "DoNotSchedule", "ScheduleAnyway", NULL };
    static const char *const policies[] = { "Honor", "Ignore", NULL };
    static const char *const with_policy[] = { "nodeAffinityPolicy", "nodeTaintsPolicy" };
    JSON_FOREACH(it, constraints) {
        const struct field_path *p = FIELD_AT(path, it.index);
        int64_t skew = json_find_int(it.value, 0, "maxSkew");
        const char *action = json_find_str(it.value, "whenUnsatisfiable");
        const struct json *domains = json_get(it.value, "minDomains");
        if (skew <= 0)
            field_invalid_int(errors, FIELD(p, "maxSkew"), skew, "must be greater than zero");
        if (str_empty(json_find_str(it.value, "topologyKey")))
            field_required(errors, FIELD(p, "topologyKey"), "can not be empty");
        if (!is_one_of(action, actions))
            field_not_supported_str(errors, FIELD(p, "whenUnsatisfiable"), action, actions);
        check_spread_repeats(constraints, it.index, it.value, p, errors);
        if (domains && json_int(domains, 1) <= 0)
            field_invalid(errors, FIELD(p, "minDomains"), domains, "must be greater than zero");
        if (domains && !str_eq(action, "DoNotSchedule"))
            field_invalid(errors, FIELD(p, "minDomains"), domains,
                          "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %s",
                          action ? action : "");
        for (size_t i = 0; i < COUNT_OF(with_policy); i++) {
            const char *policy = json_find_str(it.value, with_policy[i]);
            if (policy && !is_one_of(policy, policies))
                field_not_supported_str(errors, FIELD(p, with_policy[i]), policy, policies);
        }
        check_label_keys(it.value, p, errors);
        metadata_validate_selector(json_get(it.value, "labelSelector"), FIELD(p, "labelSelector"),
                                   errors);
    }
}

void podspec_validate_scheduling(const struct json *spec, const struct field_path *p,
                                 struct field_errors *errors)
{
    const struct json *affinity = json_get(spec, "affinity");
    const struct field_path *at = FIELD(p, "affinity");
    check_node_affinity(json_get(affinity, "nodeAffinity"), FIELD(at, "nodeAffinity"), errors);
    check_pod_affinity(json_get(affinity, "podAffinity"), FIELD(at, "podAffinity"), errors);
    check_pod_affinity(json_get(affinity, "podAntiAffinity"), FIELD(at, "podAntiAffinity"), errors);
    check_spread(json_get(spec, "topologySpreadConstraints"), FIELD(p, "topologySpreadConstraints"),
                 errors);
}

/* ---- the pod's own labels -------------------------------------------------------------------- */

static void apply_keys(struct arena *a, struct json *term, const char *list, const char *operator,
                       const struct json * labels)
{
    struct json *selector = json_get(term, "labelSelector");
    JSON_FOREACH(it, json_is_object(selector) ? json_get(term, list) : NULL) {
        const char *key = json_string(it.value), *value = json_find_str(labels, key ? key : "");
        if (value)
            json_append(json_ensure_array(a, selector, "matchExpressions"),
                        OBJ("key", STR(key), "operator", STR(operator), "values", ARR(STR(value))));
    }
}

static void apply_to_term(struct arena *a, struct json *term, const struct json *labels)
{
    apply_keys(a, term, "matchLabelKeys", "In", labels);
    apply_keys(a, term, "mismatchLabelKeys", "NotIn", labels);
}

void podspec_apply_label_keys(struct arena *a, struct json *spec, const struct json *labels)
{
    static const char *const affinities[] = { "podAffinity", "podAntiAffinity" };
    for (size_t i = 0; i < COUNT_OF(affinities); i++) {
        struct json *affinity = json_find(spec, "affinity", affinities[i]);
        JSON_FOREACH(it, json_get(affinity, PREFERRED))
            apply_to_term(a, json_get(it.value, "podAffinityTerm"), labels);
        JSON_FOREACH(it, json_get(affinity, REQUIRED))
            apply_to_term(a, it.value, labels);
    }
    JSON_FOREACH(it, json_get(spec, "topologySpreadConstraints"))
        apply_keys(a, it.value, "matchLabelKeys", "In", labels);
}

/* ---- tolerations ----------------------------------------------------------------------------- */

void podspec_validate_tolerations(const struct json *tolerations, const struct field_path *path,
                                  struct field_errors *errors)
{
    static const char *const effects[] = { "NoSchedule", "PreferNoSchedule", "NoExecute", NULL };
    static const char *const operators[] = { "Equal", "Exists", NULL };
    static const char *const newer[] = { "Equal", "Exists", "Lt", "Gt", NULL };
    JSON_FOREACH(it, tolerations) {
        const struct field_path *p = FIELD_AT(path, it.index);
        const char *key = json_find_str(it.value, "key"),
                   *operator= json_find_str(it.value, "operator");
        const char *value = json_find_str(it.value, "value"),
                   *effect = json_find_str(it.value, "effect");
        if (!str_empty(key))
            check_text(key, kube_validate_label_key, FIELD(p, "key"), errors);
        else if (!str_eq(operator, "Exists"))
            field_invalid_str(
                errors, FIELD(p, "operator"), operator,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
        if (json_get(it.value, "tolerationSeconds") && !str_eq(effect, "NoExecute"))
            field_invalid_str(errors, FIELD(p, "effect"), effect,
                              "effect must be 'NoExecute' when `tolerationSeconds` is set");
        CLEANUP(error_cleanup) struct error *err = NULL;
        if (str_eq(operator, "Exists")) {
            if (!str_empty(value))
                field_invalid_str(errors, FIELD(p, "operator"), value,
                                  "value must be empty when `operator` is 'Exists'");
        } else if (!str_empty(operator) && !STREQ(operator, "Equal")) {
            bool is_newer = is_one_of(operator, newer); /* of a feature that is off */
            field_not_supported_str(errors, FIELD(p, "operator"), operator,
                                    is_newer ? newer : operators);
        } else if (kube_validate_label_value(value ? value : "", &err) < 0) {
            field_invalid_str(errors, FIELD(p, "operator"), value, "%s",
                              str_replace(errors->arena, error_message(err), "; ", ";"));
        }
        if (!str_empty(effect) && !is_one_of(effect, effects))
            field_not_supported_str(errors, FIELD(p, "effect"), effect, effects);
    }
}
