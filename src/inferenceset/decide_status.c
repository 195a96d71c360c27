#include "inferenceset/decide_internal.h"

#include "base/str.h"
#include "kube/meta.h"
#include "workspace/engine.h"

#define MAX_ERROR 1024
#define METRIC "peakTokensPerMinute"
#define AGGREGATED "aggregatedPeakTokensPerMinute"

static void set_condition(struct set_decider *d, struct json *conditions, const char *type,
                          bool status, const char *reason, const char *message)
{
    condition_set(d->a, conditions,
                  &(struct condition){ type, status ? "True" : "False", reason, message },
                  d->set.generation, d->in->now_ns);
}

/* ---- benchmark ------------------------------------------------------------------------------------------------------- */

/* Whether its Workspaces measure themselves. When no engine can be chosen they do not start either,
 * and the result is awaited. */
static bool measures(struct set_decider *d)
{
    struct engine_choice choice = { 0 };
    struct workspace ws;
    if (d->set.no_benchmark || !json_get(d->set.inference, "preset") ||
        str_eq(d->set.runtime, "transformers"))
        return false;
    workspace_read(d->a, set_child(d->a, d->in, ""), &ws);
    if (engine_choose(d->a, &ws, d->in->catalog, d->in->settings, false, &choice, NULL) < 0)
        return !d->in->settings->models_dir;
    return choice.engine->benchmarks;
}

static void add_performance(struct set_decider *d, struct json *status)
{
    struct arena *a = d->a;
    double sum = 0;
    const struct json *first = NULL;
    for (size_t i = 0; i < d->count; i++) {
        const struct json *metric =
            json_find(d->children[i].json, "status", "performance", "metrics", METRIC);
        double value = 0;
        const char *text = json_find_str(metric, "value");
        if (!child_live(&d->children[i]) || !text || str_to_double(text, &value) < 0)
            continue;
        sum += value;
        first = first ? first : metric;
    }
    if (!first) {
        json_del(status, "performance");
        return;
    }
    static const char *const kept[] = { "engine", "engineVersion", "quantization" };
    struct json *config = EMPTY_OBJ();
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        json_set(a, config, kept[i], json_clone(a, json_find(first, "config", kept[i])));
    struct json *metric = OBJ("description", json_clone(a, json_get(first, "description")), "unit",
                              json_clone(a, json_get(first, "unit")), "value", STRF("%.2f", sum),
                              "config", json_size(config) > 0 ? config : NULL);
    json_set(a, status, "performance", OBJ("metrics", OBJ(AGGREGATED, metric)));
}

static void add_benchmark(struct set_decider *d, struct json *status, struct json *conditions)
{
    int64_t done = 0;
    if (d->problem || !measures(d)) {
        condition_remove(conditions, "BenchmarkCompleted");
        json_del(status, "performance");
        return;
    }
    for (size_t i = 0; i < d->count; i++)
        done += child_live(&d->children[i]) &&
                condition_is(json_find(d->children[i].json, "status", "conditions"),
                             "BenchmarkCompleted", "True");
    bool completed = d->set.replicas > 0 && done >= d->set.replicas;
    set_condition(d, conditions, "BenchmarkCompleted", completed,
                  completed ? "BenchmarkCompleted" : "BenchmarkPending",
                  arena_printf(d->a, "%lld/%lld replicas benchmarked", (long long)done,
                               (long long)d->set.replicas));
    add_performance(d, status);
}

/* ---- ready ----------------------------------------------------------------------------------------------------------- */

/* What the first Workspace that is not ready says about itself. */
static const char *first_trouble(const struct set_decider *d)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct child *c = &d->children[i];
        const struct json *succeeded =
            condition_find(json_find(c->json, "status", "conditions"), "WorkspaceSucceeded");
        const char *message = str_or_empty(json_find_str(succeeded, "message"));
        if (child_live(c) && !c->ready && *message)
            return arena_printf(d->a, "; %s: %.*s", c->name,
                                (int)str_utf8_valid_len(message, strnlen(message, MAX_WORDS)),
                                message);
    }
    return "";
}

static void add_ready(struct set_decider *d, struct json *conditions)
{
    const char *type = "InferenceSetReady";
    int64_t ready = (int64_t)set_ready(d);
    if (d->problem) {
        set_condition(d, conditions, type, false, "inferencesetFailed", d->problem);
        return;
    }
    if (ready >= d->set.replicas && !d->pool) {
        set_condition(d, conditions, type, true, "inferencesetReady", "inferenceset is ready");
        return;
    }
    const char *message =
        arena_printf(d->a, "%lld/%lld replicas are ready%s%s%s%s%s", (long long)ready,
                     (long long)d->set.replicas, d->limited ? "; " : "", str_or_empty(d->limited),
                     d->pool ? "; " : "", str_or_empty(d->pool), first_trouble(d));
    set_condition(d, conditions, type, false, "inferencesetNotReady", message);
}

/* Conditions that are there only while what they say is so. */
static void add_notice(struct set_decider *d, struct json *conditions, const char *type,
                       const char *reason, const char *message)
{
    if (!message) {
        condition_remove(conditions, type);
        return;
    }
    if (!condition_is(conditions, type, "True"))
        decision_event(d->a, d->out, "Warning", reason, message);
    set_condition(d, conditions, type, true, reason, message);
}

static void add_upgrade(struct set_decider *d, struct json *status)
{
    struct json *upgrade = json_get(status, "autoUpgrade");
    if (!d->in->settings->gates.on[GATE_BASE_IMAGE_UPGRADE] || !d->set.upgrades ||
        (d->drifted == 0 && !upgrade))
        return;
    upgrade = json_ensure_object(d->a, status, "autoUpgrade");
    if (d->drifted == 0 && json_find_int(upgrade, 0, "numDriftedWorkspaces") > 0) {
        char now[TIME_RFC3339_SIZE];
        time_format_rfc3339(d->in->now_ns, now);
        json_set_str(d->a, upgrade, "lastSuccessfulUpgradeTime", now);
    }
    json_set_int(d->a, upgrade, "numDriftedWorkspaces", (int64_t)d->drifted);
}

static void set_or_drop(struct arena *a, struct json *status, const char *key, int64_t value)
{
    if (value > 0)
        json_set_int(a, status, key, value);
    else
        json_del(status, key);
}

void set_decide_status(struct set_decider *d)
{
    struct arena *a = d->a;
    struct json *status = json_clone(a, json_get(d->set.json, "status"));
    if (!json_is_object(status))
        status = EMPTY_OBJ();
    struct json *conditions = json_ensure_array(a, status, "conditions");
    set_or_drop(a, status, "replicas", d->set.replicas);
    set_or_drop(a, status, "readyReplicas", (int64_t)set_ready(d));
    json_set(a, status, "selector", STRF("%s=%s", WORKSPACE_CREATED_BY, d->set.name));
    add_benchmark(d, status, conditions);
    add_ready(d, conditions);
    add_notice(d, conditions, "NodeCountLimited", "NodeCountLimitReached", d->limited);
    add_notice(d, conditions, "AutoUpgradeStalled", "AutoUpgradeStalled", d->stalled);
    add_upgrade(d, status);
    d->out->status = status;
}

struct json *set_status_after_error(struct arena *a, const struct set_input *in,
                                    const struct decision *d, const char *error)
{
    if (!d->status)
        return NULL;
    struct json *status = json_clone(a, d->status);
    error = arena_strndup(a, error, str_utf8_valid_len(error, strnlen(error, MAX_ERROR)));
    JSON_FOREACH(it, json_get(status, "conditions")) {
        const char *message = json_find_str(it.value, "message");
        if (str_eq(json_find_str(it.value, "type"), "InferenceSetReady") &&
            str_eq(json_find_str(it.value, "status"), "False") && message &&
            !strstr(message, error))
            json_set(a, it.value, "message", STRF("%s (last reconcile error: %s)", message, error));
    }
    return status;
}
