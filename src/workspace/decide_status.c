/* The status: computed whole from what was observed and decided, never patched along the way. */
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "workspace/decide_internal.h"
#include "json/build.h"

#define MAX_ERROR 512

static void set_condition(const struct decider *d, struct json *conditions, const char *type,
                          bool status, const char *reason, const char *message)
{
    condition_set(d->a, conditions,
                  &(struct condition){ type, status ? "True" : "False", reason, message },
                  d->ws.generation, d->in->now_ns);
}

static void set_node_condition(const struct decider *d, struct json *conditions,
                               const struct condition *c)
{
    condition_set(d->a, conditions, c, d->ws.generation, d->in->now_ns);
}

static void set_resource_conditions(struct decider *d, struct json *conditions)
{
    if (d->nodes.claims.type)
        set_node_condition(d, conditions, &d->nodes.claims);
    else
        condition_remove(conditions, "NodeClaimReady");
    set_node_condition(d, conditions, &d->nodes.nodes);
    set_node_condition(d, conditions, &d->nodes.resource);
    decide_streaming_status(d, conditions);
}

/* Why inference is not ready. */
static struct problem inference_problem(struct decider *d)
{
    struct problem p = d->problem;
    if (p.reason)
        return p;
    if (!d->resource_ready)
        return (struct problem){ "WorkspaceInferenceStatusPending",
                                 d->nodes.ready ? "waiting for the model's mirror"
                                                : "waiting for nodes",
                                 false };
    if (pod_failure_find(d->a, d->o->pods, &p))
        return p;
    if (d->ws.config[0] && !d->o->config_map && !d->ws.template)
        return (struct problem){
            "ConfigMapNotFound",
            arena_printf(d->a, "ConfigMap %s of inference.config is not in namespace %s",
                         d->ws.config, d->ws.ns),
            false,
        };
    return (struct problem){ "WorkspaceInferenceStatusPending", "waiting for the pods to be ready",
                             false };
}

static const char *state_when_not_ready(const struct decider *d, const struct json *status,
                                        bool final)
{
    if (final)
        return "Failed";
    const char *state = json_find_str(status, "state");
    return str_eq(state, "Ready") || str_eq(state, "NotReady") ? "NotReady" : "Pending";
}

/* Where the model answers: by the name of its Service, on one box, where names are not resolved, by
 * its address; and where its load balancer is. */
static const char *endpoint_text(const struct decider *d)
{
    struct arena *a = d->a;
    const struct json *service = d->o->service;
    const char *address = json_find_str(service, "spec", "clusterIP");
    const struct json *ingress =
        json_at(json_find(service, "status", "loadBalancer", "ingress"), 0);
    const char *outside = json_find_str(ingress, "ip");
    outside = outside ? outside : json_find_str(ingress, "hostname");
    const char *host = d->in->settings->models_dir && address
                           ? address
                           : arena_printf(a, "%s.%s.svc.cluster.local", d->ws.name, d->ws.ns);
    return arena_printf(a, "http://%s/v1%s%s%s", host, outside ? " and http://" : "",
                        str_or_empty(outside), outside ? "/v1" : "");
}

/* A pod template may serve anything. */
static const char *serving_text(const struct decider *d)
{
    if (d->ws.template || !d->choice.engine || !d->choice.model[0])
        return "the pods are ready";
    return arena_printf(d->a, "model %s answers at %s (OpenAI API, %s)",
                        workspace_served_name(&d->ws, d->choice.model), endpoint_text(d),
                        d->choice.engine->name);
}

static void set_inference_conditions(struct decider *d, struct json *status,
                                     struct json *conditions)
{
    /* Pods that still run an earlier specification do not speak for one that cannot be started. */
    bool serving = d->resource_ready && decide_workload_ready(d) &&
                   (!d->problem.reason || decide_workload_current(d));
    struct problem p = { 0 };
    if (serving)
        set_condition(d, conditions, "InferenceReady", true, "WorkspaceInferenceStatusSuccess",
                      serving_text(d));
    else {
        p = inference_problem(d);
        set_condition(d, conditions, "InferenceReady", false, p.reason, p.message);
    }
    /* What serves, works, whatever is thought of its specification. */
    bool final = !serving && d->problem.reason && d->problem.final;
    if (serving && decide_benchmark(d, status, conditions) == BENCHMARK_FAILED) {
        set_condition(d, conditions, "WorkspaceSucceeded", false, "BenchmarkFailed",
                      json_find_str(condition_find(conditions, "BenchmarkCompleted"), "message"));
        json_set_str(d->a, status, "state", "NotReady");
        return;
    }
    if (serving) {
        set_condition(d, conditions, "WorkspaceSucceeded", true, "workspaceSucceeded",
                      "workspace succeeds");
        json_set_str(d->a, status, "state", "Ready");
        return;
    }
    set_condition(d, conditions, "WorkspaceSucceeded", false,
                  final ? "workspaceFailed" : "workspacePending",
                  final ? d->problem.message : p.message);
    json_set_str(d->a, status, "state", state_when_not_ready(d, status, final));
}

static void set_tuning_conditions(struct decider *d, struct json *status, struct json *conditions)
{
    static const struct {
        const char *reason, *state;
    } words[] = {
        [TUNING_PENDING] = { "workspacePending", "Pending" },
        [TUNING_RUNNING] = { "workspacePending", "Running" },
        [TUNING_DONE] = { "workspaceSucceeded", "Succeeded" },
        [TUNING_FAILED] = { "workspaceFailed", "Failed" },
    };
    struct tuning_status t = decide_tuning_status(d);
    bool done = t.state == TUNING_DONE;
    set_condition(d, conditions, "JobStarted", done || t.state == TUNING_RUNNING, t.reason,
                  t.message);
    set_condition(d, conditions, "WorkspaceSucceeded", done, words[t.state].reason,
                  done ? "workspace succeeds" : t.message);
    json_set_str(d->a, status, "state", words[t.state].state);
}

/* What was found earlier and still holds is of this generation too. Conditions of others are
 * theirs. */
static void refresh_generation(const struct decider *d, struct json *conditions)
{
    static const char *const own[] = { "NodeClaimReady",     "NodesReady",
                                       "ResourceReady",      "InferenceReady",
                                       "JobStarted",         "WorkspaceSucceeded",
                                       "BenchmarkCompleted", "WorkspaceDeleting",
                                       "ModelMirrorReady",   "LocalDiskReady" };
    JSON_FOREACH(it, conditions)
        for (size_t i = 0; i < COUNT_OF(own); i++)
            if (str_eq(json_find_str(it.value, "type"), own[i]))
                json_set_int(d->a, it.value, "observedGeneration", d->ws.generation);
}

void decide_status(struct decider *d)
{
    struct arena *a = d->a;
    struct json *status = json_clone(a, json_get(d->ws.json, "status"));
    if (!json_is_object(status))
        status = EMPTY_OBJ();
    struct json *conditions = json_ensure_array(a, status, "conditions");
    struct json *workers = EMPTY_ARR();
    JSON_FOREACH(it, d->nodes.nodes_counted)
        json_append(workers, STR(meta_name(it.value)));
    json_set(a, status, "workerNodes", json_size(workers) > 0 ? workers : NULL);
    if (d->target_nodes > 0)
        json_set_int(a, status, "targetNodeCount", d->target_nodes);
    set_resource_conditions(d, conditions);
    if (d->ws.tuning && !d->ws.inference)
        set_tuning_conditions(d, status, conditions);
    else
        set_inference_conditions(d, status, conditions);
    decide_weights_status(d, conditions);
    refresh_generation(d, conditions);
    d->out->status = status;
}

struct json *workspace_status_after_error(struct arena *a, const struct decide_input *in,
                                          const struct decision *d, const char *error)
{
    if (!d->status)
        return NULL;
    struct json *status = json_clone(a, d->status);
    error = arena_strndup(a, error, str_utf8_valid_len(error, strnlen(error, MAX_ERROR)));
    JSON_FOREACH(it, json_get(status, "conditions")) {
        const char *message = json_find_str(it.value, "message");
        if (str_eq(json_find_str(it.value, "status"), "False") && message &&
            !strstr(message, error))
            json_set(a, it.value, "message", STRF("%s (last reconcile error: %s)", message, error));
    }
    return status;
}
