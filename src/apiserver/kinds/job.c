/* Jobs. */
#include "apiserver/kinds/job.h"

#include <inttypes.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/podspec.h"
#include "apiserver/kinds/workload.h"
#include "base/clock.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

#define INDEXED_PARALLELISM_MAX 100000
#define FAILED_INDEXES_MAX 100000
/* Above so many completions a Job whose indexes fail by themselves must be narrower. */
#define MANY_COMPLETIONS 100000
#define NARROW_PARALLELISM_MAX 10000
#define NARROW_FAILED_INDEXES_MAX 10000
#define MANAGED_BY_MAX 63

bool job_is_indexed(const struct json *obj)
{
    return str_eq(json_find_str(obj, "spec", "completionMode"), "Indexed");
}

/* ---- defaults -------------------------------------------------------------------------------- */

static void take_labels(struct arena *a, struct json *obj)
{
    const struct json *labels = json_find(obj, "spec", "template", "metadata", "labels");
    json_set(a, json_ensure_object(a, obj, "metadata"), "labels", json_clone(a, labels));
}

static void set_defaults(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    struct json *spec = json_get(obj, "spec");
    bool per_index = json_get(spec, "backoffLimitPerIndex");
    if (!json_get(spec, "completions") && !json_get(spec, "parallelism"))
        json_set_int(a, spec, "completions", 1);
    if (!json_get(spec, "parallelism"))
        json_set_int(a, spec, "parallelism", 1);
    if (!json_get(spec, "backoffLimit"))
        json_set_int(a, spec, "backoffLimit", per_index ? INT32_MAX : 6);
    if (!json_get(spec, "podReplacementPolicy"))
        json_set_str(a, spec, "podReplacementPolicy",
                     json_get(spec, "podFailurePolicy") ? "Failed" : "TerminatingOrFailed");
    podspec_default(a, json_find(spec, "template", "spec"));
    /* a Job without labels has those of its pods */
    x->labels_of_template = json_size(json_find(obj, "metadata", "labels")) == 0;
    if (x->labels_of_template && json_find(spec, "template", "metadata", "labels"))
        take_labels(a, obj);
}

static void set_if_absent(struct arena *a, struct json *obj, const char *key, const char *value)
{
    if (!json_get(obj, key))
        json_set_str(a, obj, key, value);
}

/* The labels that tell its pods from all others, and the selector for them. */
static void generate_selector(struct arena *a, struct json *obj)
{
    struct json *spec = json_get(obj, "spec"),
                *meta = json_ensure_object(a, json_ensure_object(a, spec, "template"), "metadata");
    struct json *labels = json_ensure_object(a, meta, "labels"),
                *selector = json_ensure_object(a, spec, "selector");
    const char *uid = json_find_str(obj, "metadata", "uid");
    set_if_absent(a, labels, "job-name", meta_name(obj));
    set_if_absent(a, labels, "batch.kubernetes.io/job-name", meta_name(obj));
    set_if_absent(a, labels, "controller-uid", uid);
    set_if_absent(a, labels, "batch.kubernetes.io/controller-uid", uid);
    set_if_absent(a, json_ensure_object(a, selector, "matchLabels"),
                  "batch.kubernetes.io/controller-uid", uid);
    json_sort_keys(labels);
}

static void prepare(struct strategy_context *x, struct json *obj)
{
    if (x->old)
        return;
    json_set(x->a, obj, "status", json_new_object(x->a));
    if (!json_find_bool(obj, false, "spec", "manualSelector"))
        generate_selector(x->a, obj);
    if (x->labels_of_template)
        take_labels(x->a, obj);
}

/* ---- validation ------------------------------------------------------------------------------ */

static void check_label(const struct json *labels, const char *key, const char *value,
                        struct field_errors *errors)
{
    const struct field_path *p = FIELD(FIELD(FIELD(NULL, "spec"), "template"), "metadata");
    const char *has = json_string(json_get(labels, key));
    if (!has)
        field_required(errors, FIELD_KEY(FIELD(p, "labels"), key), "must be '%s'", value);
    else if (!STREQ(has, value))
        field_invalid(errors, FIELD_KEY(FIELD(p, "labels"), key), labels, "must be '%s'", value);
}

static void check_generated(const struct json *obj, struct field_errors *errors)
{
    struct arena *a = errors->arena;
    const struct json *labels = json_find(obj, "spec", "template", "metadata", "labels"),
                      *json = json_find(obj, "spec", "selector");
    const char *uid = json_find_str(obj, "metadata", "uid"), *name = meta_name(obj);
    CLEANUP(selector_cleanup) struct selector *selector = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (json_find_bool(obj, false, "spec", "manualSelector") || !json_is_object(json))
        return;
    check_label(labels, "controller-uid", uid, errors);
    check_label(labels, "job-name", name, errors);
    check_label(labels, "batch.kubernetes.io/controller-uid", uid, errors);
    check_label(labels, "batch.kubernetes.io/job-name", name, errors);
    struct json *generated = OBJ("controller-uid", STR(uid), "job-name", STR(name));
    json_set_str(a, generated, "batch.kubernetes.io/controller-uid", uid);
    json_set_str(a, generated, "batch.kubernetes.io/job-name", name);
    if (selector_from_object(json, &selector, &err) == 0 &&
        !selector_matches_labels(selector, generated))
        field_invalid(errors, FIELD(FIELD(NULL, "spec"), "selector"), json,
                      "`selector` not auto-generated");
}

static void check_at_most(const struct json *v, int64_t max, const struct field_path *p,
                          const char *when, struct field_errors *errors)
{
    if (v && json_int(v, 0) > max)
        field_invalid(errors, p, v, "must be less than or equal to %" PRId64 "%s", max, when);
}

static void check_indexed(const struct json *spec, const struct field_path *p,
                          struct field_errors *errors)
{
    static const char mode[] = " when completion mode is Indexed",
                      many[] = " when completions are above 100000 and used with backoff limit "
                               "per index";
    const struct json *completions = json_get(spec, "completions"),
                      *parallelism = json_get(spec, "parallelism"),
                      *failed = json_get(spec, "maxFailedIndexes");
    if (!completions)
        field_required(errors, FIELD(p, "completions"), "when completion mode is Indexed");
    check_at_most(parallelism, INDEXED_PARALLELISM_MAX, FIELD(p, "parallelism"), mode, errors);
    if (completions && failed && json_int(failed, 0) > json_int(completions, 0))
        field_invalid(errors, FIELD(p, "maxFailedIndexes"), failed,
                      "must be less than or equal to completions");
    check_at_most(failed, FAILED_INDEXES_MAX, FIELD(p, "maxFailedIndexes"), "", errors);
    if (json_int(completions, 0) <= MANY_COMPLETIONS || !json_get(spec, "backoffLimitPerIndex"))
        return;
    if (!failed)
        field_required(errors, FIELD(p, "maxFailedIndexes"),
                       "must be specified when completions is above 100000");
    check_at_most(parallelism, NARROW_PARALLELISM_MAX, FIELD(p, "parallelism"), many, errors);
    check_at_most(failed, NARROW_FAILED_INDEXES_MAX, FIELD(p, "maxFailedIndexes"), many, errors);
}

static void check_not_indexed(const struct json *spec, const struct field_path *p,
                              struct field_errors *errors)
{
    static const char *const members[] = { "backoffLimitPerIndex", "maxFailedIndexes" };
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        if (json_get(spec, members[i]))
            field_invalid(errors, FIELD(p, members[i]), json_get(spec, members[i]),
                          "requires indexed completion mode");
    }
}

/* DOMAIN/PATH */
static void check_managed_by(const char *name, const struct field_path *p,
                             struct field_errors *errors)
{
    const char *slash = strchr(name, '/');
    if (*name == '\0')
        field_required(errors, p, NO_DETAIL);
    else if (!slash || slash == name || !slash[1])
        field_invalid_str(errors, p, name,
                          "must be a domain-prefixed path (such as \"acme.io/foo\")");
    else
        check_text(arena_strndup(errors->arena, name, (size_t)(slash - name)),
                   kube_validate_dns1123_subdomain, p, errors);
    if (strlen(name) > MANAGED_BY_MAX)
        field_too_long(errors, p, MANAGED_BY_MAX);
}

static void check_counts(const struct json *spec, const struct field_path *p,
                         struct field_errors *errors)
{
    static const char *const counts[] = { "parallelism",
                                          "completions",
                                          "activeDeadlineSeconds",
                                          "backoffLimit",
                                          "ttlSecondsAfterFinished",
                                          "backoffLimitPerIndex",
                                          "maxFailedIndexes" };
    static const char *const modes[] = { "NonIndexed", "Indexed", NULL };
    const char *mode = json_find_str(spec, "completionMode"),
               *managed_by = json_find_str(spec, "managedBy");
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        check_not_negative(json_get(spec, counts[i]), FIELD(p, counts[i]), errors);
    if (json_get(spec, "maxFailedIndexes") && !json_get(spec, "backoffLimitPerIndex"))
        field_required(errors, FIELD(p, "backoffLimitPerIndex"),
                       "when maxFailedIndexes is specified");
    if (managed_by)
        check_managed_by(managed_by, FIELD(p, "managedBy"), errors);
    if (!is_one_of(mode, modes))
        field_not_supported_str(errors, FIELD(p, "completionMode"), mode, modes);
    else if (STREQ(mode, "Indexed"))
        check_indexed(spec, p, errors);
    else
        check_not_indexed(spec, p, errors);
}

static void check_restart_policy(const struct json *spec, const struct field_path *path,
                                 struct field_errors *errors)
{
    static const char *const known[] = { "OnFailure", "Never", NULL };
    const char *policy = json_find_str(spec, "template", "spec", "restartPolicy");
    const struct field_path *p = FIELD(FIELD(FIELD(path, "template"), "spec"), "restartPolicy");
    if (str_empty(policy) || STREQ(policy, "Always"))
        field_required(errors, p, "valid values: \"OnFailure\", \"Never\"");
    else if (!is_one_of(policy, known))
        field_not_supported_str(errors, p, policy, known);
    else if (json_is_object(json_get(spec, "podFailurePolicy")) && !STREQ(policy, "Never"))
        field_invalid_str(errors, p, policy,
                          "only \"Never\" is supported when podFailurePolicy is specified");
}

static void check_spec(const struct json *spec, const struct field_path *p,
                       struct field_errors *errors)
{
    const struct json *json = json_get(spec, "selector"),
                      *labels = json_find(spec, "template", "metadata", "labels");
    CLEANUP(selector_cleanup) struct selector *selector = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    check_counts(spec, p, errors);
    job_validate_policies(spec, p, errors);
    podspec_validate_template(json_get(spec, "template"), FIELD(p, "template"), errors);
    check_restart_policy(spec, p, errors);
    if (!json_is_object(json))
        field_required(errors, FIELD(p, "selector"), NO_DETAIL);
    else
        metadata_validate_selector(json, FIELD(p, "selector"), errors);
    if (selector_from_object(json, &selector, &err) == 0 &&
        !selector_matches_labels(selector, labels))
        field_invalid(errors, FIELD(FIELD(FIELD(p, "template"), "metadata"), "labels"), labels,
                      "`selector` does not match template `labels`");
}

/* Pods of an Indexed Job have its name and their index as hostname. */
static void check_hostname(const struct json *obj, struct field_errors *errors)
{
    int64_t completions = json_find_int(obj, 0, "spec", "completions");
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (!job_is_indexed(obj) || completions <= 0)
        return;
    const char *host = arena_printf(errors->arena, "%s-%" PRId64, meta_name(obj), completions - 1);
    if (kube_validate_dns1123_label(host, &err) < 0)
        field_invalid_str(errors, FIELD(FIELD(NULL, "metadata"), "name"), meta_name(obj),
                          "will not able to create pod with invalid DNS label: %s", host);
}

/* While a Job has not begun, its pods may still be sent elsewhere: the old template with what may
 * be changed as it is now. */
static struct json *movable_template(struct arena *a, const struct json *now,
                                     const struct json *old)
{
    static const char *const of_spec[] = { "nodeSelector", "tolerations", "schedulingGates" };
    static const char *const of_meta[] = { "labels", "annotations" };
    struct json *munged = json_clone(a, old), *spec = json_ensure_object(a, munged, "spec"),
                *meta = json_ensure_object(a, munged, "metadata");
    const struct json *affinity = json_find(now, "spec", "affinity");
    for (size_t i = 0; i < COUNT_OF(of_spec); i++)
        json_set(a, spec, of_spec[i], json_clone(a, json_find(now, "spec", of_spec[i])));
    for (size_t i = 0; i < COUNT_OF(of_meta); i++)
        json_set(a, meta, of_meta[i], json_clone(a, json_find(now, "metadata", of_meta[i])));
    struct json *was = json_get(spec, "affinity");
    if (affinity)
        was = json_ensure_object(a, spec, "affinity");
    if (was)
        json_set(a, was, "nodeAffinity", json_clone(a, json_get(affinity, "nodeAffinity")));
    if (!affinity && json_size(was) == 0)
        json_del(spec, "affinity");
    return munged;
}

/* How many pods end a Job may change only with how many run at a time, both being the same. */
static void check_completions(const struct json *spec, const struct json *old,
                              const struct field_path *p, struct field_errors *errors)
{
    const struct json *now = json_get(spec, "completions"), *was = json_get(old, "completions");
    if (!str_eq(json_find_str(spec, "completionMode"), "Indexed"))
        check_immutable(now, was, p, errors);
    else if (now && !same_value(now, was) && !same_value(now, json_get(spec, "parallelism")))
        field_invalid(errors, p, now, "can only be modified in tandem with spec.parallelism");
}

static void check_update(const struct json *obj, const struct json *old_obj,
                         struct field_errors *errors)
{
    static const char *const fixed[] = { "completionMode", "podFailurePolicy",
                                         "backoffLimitPerIndex", "managedBy", "successPolicy" };
    struct arena *a = errors->arena;
    const struct json *spec = json_get(obj, "spec"), *old = json_get(old_obj, "spec");
    const struct json *template = json_get(spec, "template"), *was = json_get(old, "template");
    const struct field_path *p = FIELD(NULL, "spec");
    check_spec(spec, p, errors); /* the API server does so twice */
    check_completions(spec, old, FIELD(p, "completions"), errors);
    check_immutable(json_get(spec, "selector"), json_get(old, "selector"), FIELD(p, "selector"),
                    errors);
    bool movable =
        json_find_bool(old, false, "suspend") && !json_find(old_obj, "status", "startTime");
    check_immutable(template, movable ? movable_template(a, template, was) : was,
                    FIELD(p, "template"), errors);
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        check_immutable(json_get(spec, fixed[i]), json_get(old, fixed[i]), FIELD(p, fixed[i]),
                        errors);
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    if (STREQ(x->subresource, "status")) {
        job_validate_status(obj, x->old, errors);
        return;
    }
    check_generated(obj, errors);
    check_spec(json_get(obj, "spec"), FIELD(NULL, "spec"), errors);
    check_hostname(obj, errors);
    if (x->old)
        check_update(obj, x->old, errors);
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    struct arena *a = x->a;
    const struct json *spec = json_get(obj, "spec");
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (STREQ(x->subresource, "status"))
        return;
    if (!x->old && kube_validate_dns1123_label(meta_name(obj), &err) < 0)
        json_append(x->warnings,
                    STRF("metadata.name: this is used in Pod names and hostnames, which can result "
                         "in surprising behavior; a DNS label is recommended: [%s]",
                         error_message(err)));
    if (job_is_indexed(obj) && json_find_int(spec, 0, "completions") > MANY_COMPLETIONS &&
        json_find_int(spec, 0, "parallelism") > NARROW_PARALLELISM_MAX)
        json_append(x->warnings,
                    STR("spec: In Indexed Jobs with a number of completions higher than 10^5 and a "
                        "parallelism higher than 10^4, Kubernetes might not be able to track "
                        "completedIndexes when a big number of indexes fail"));
    if (!x->old || meta_generation(obj) != meta_generation(x->old))
        podspec_warn(json_get(spec, "template"), "spec.template.", x->warnings, a);
}

/* ---- table ----------------------------------------------------------------------------------- */

static void selectable(struct arena *a, struct json *obj)
{
    json_set(a, json_ensure_object(a, obj, "status"), "successful",
             STRF("%" PRId64, json_find_int(obj, 0, "status", "succeeded")));
}

static const char *state(const struct json *obj)
{
    static const char *const ended[] = { "Complete", "Failed" };
    static const char *const others[] = { "Suspended", "FailureTarget", "SuccessCriteriaMet" };
    const struct json *conditions = json_find(obj, "status", "conditions");
    for (size_t i = 0; i < COUNT_OF(ended); i++)
        if (condition_is(conditions, ended[i], "True"))
            return ended[i];
    if (meta_deleting(obj))
        return "Terminating";
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (condition_is(conditions, others[i], "True"))
            return others[i];
    return "Running";
}

static struct json *completions_cell(struct arena *a, const struct json *obj)
{
    const struct json *completions = json_find(obj, "spec", "completions");
    int64_t done = json_find_int(obj, 0, "status", "succeeded"),
            parallelism = json_find_int(obj, 0, "spec", "parallelism");
    if (completions)
        return STRF("%" PRId64 "/%" PRId64, done, json_int(completions, 0));
    if (parallelism > 1)
        return STRF("%" PRId64 "/1 of %" PRId64, done, parallelism);
    return STRF("%" PRId64 "/1", done);
}

static struct json *duration_cell(struct arena *a, const struct json *obj, int64_t now_wall_ns)
{
    const char *started = json_find_str(obj, "status", "startTime"),
               *ended = json_find_str(obj, "status", "completionTime");
    int64_t end = now_wall_ns;
    if (str_empty(started))
        return STR("");
    if (!str_empty(ended) && time_parse_rfc3339(ended, &end) < 0)
        return STR("");
    return cell_age(a, started, end);
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, STR(state(obj)));
    json_append(cells, completions_cell(a, obj));
    json_append(cells, duration_cell(a, obj, now_wall_ns));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
    json_append(cells, workload_containers_cell(a, obj, "name"));
    json_append(cells, workload_containers_cell(a, obj, "image"));
    json_append(cells, workload_selector_cell(a, json_find(obj, "spec", "selector"), "<none>"));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Status", "string", "", 0, "How far it has come." },
    { "Completions", "string", "", 0, "How many pods have succeeded." },
    { "Duration", "string", "", 0, "How long it took, or has taken until now." },
    COLUMN_AGE,
    { "Containers", "string", "", 1, "Names of the containers." },
    { "Images", "string", "", 1, "Images of the containers." },
    { "Selector", "string", "", 1, "Labels of its pods." },
};

const struct api_kind kind_job = {
    .resource = { "batch", "v1", "jobs", "Job", true },
    .singular = "job",
    .list_kind = "JobList",
    .short_names = (const char *const[]){ NULL },
    .categories = (const char *const[]){ "all", NULL },
    .has_status = true,
    .has_generation = true,
    .orphans_by_default = "child pods are preserved by default when jobs are deleted; set "
                          "propagationPolicy=Background to remove them or set "
                          "propagationPolicy=Orphan to suppress this warning",
    .builtin = true,
    .strategy =
        &(const struct api_strategy){
            .set_defaults = set_defaults, .prepare = prepare, .validate = validate, .warn = warn },
    .field_selectors = (const char *const[]){ "status.successful", NULL },
    .selectable = selectable,
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
