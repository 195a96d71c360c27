/* `kaito estimate`: how many nodes a model needs, why, and how its engine is started there. */
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "cmd/command.h"
#include "cmd/estimate.h"
#include "cmd/offline.h"
#include "hub/hub.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "operator/nodes.h"
#include "json/build.h"

struct estimate_flags {
    struct offline_flags offline;
    const char *model;
    const char *instance_type;
    const char *node_labels;
    const char *selector;
    const char *mig_profile;
    const char *token;
    const char *output;
    int64_t context;
    int64_t count;
    int64_t accelerators;
    bool precise;
};

/* One run. */
struct run {
    struct arena *a;
    const struct estimate_flags *f;
    const struct operator_settings *settings;
    const struct catalog *catalog;
    struct hub *hub;
};

static int refuse(struct error **err, int r, const char *reason)
{
    if (r < 0 && err && *err)
        error_set_reason(*err, reason);
    return r;
}

/* ---- the model ------------------------------------------------------------------------------------------------ */

static int unknown_model(struct run *run, const char *name, struct error **err)
{
    const char *near[3];
    size_t n = catalog_nearest(run->catalog, name, near, COUNT_OF(near));
    const char *hint = n ? arena_printf(run->a, "; the nearest are %s",
                                        str_join(run->a, (char *const *)near, n, ", "))
                         : "; `kaito models catalog` lists them";
    bool retired = catalog_retired(run->catalog, name);
    return refuse(err,
                  error_set(err, ERROR_NOT_FOUND, "preset \"%s\" %s%s", name,
                            retired ? "was retired" : "does not exist", hint),
                  "PresetUnknown");
}

static int find_model(struct run *run, const struct preset **ret, struct error **err)
{
    const char *name = run->f->model;
    *ret = catalog_find(run->catalog, name);
    if (*ret && (*ret)->format == WEIGHTS_GGUF)
        return refuse(err,
                      error_set(err, ERROR_UNSUPPORTED,
                                "%s has GGUF weights: it runs with llama.cpp, on one node and "
                                "without a GPU",
                                name),
                      "RuntimeUnsupported");
    if (*ret)
        return 0;
    if (!strchr(name, '/'))
        return unknown_model(run, name, err);
    struct hub_options options = { .catalog = run->catalog };
    int r = run->hub ? 0 : hub_new(&options, &run->hub, err);
    struct hub_request q = { .id = name, .token = run->f->token };
    return r < 0 ? r : hub_find(run->hub, &q, run->a, ret, err);
}

/* ---- the GPUs ------------------------------------------------------------------------------------------------- */

/* "k=v,k=v" */
static int read_labels(struct arena *a, const char *text, struct json **ret, struct error **err)
{
    size_t n = 0;
    char **pairs = str_split(a, text, ',', &n);
    *ret = json_new_object(a);
    for (size_t i = 0; i < n; i++) {
        char *equals = strchr(pairs[i], '=');
        if (!equals || equals == pairs[i])
            return error_set(err, ERROR_INVALID,
                             "--node-labels has \"%s\"; it is a list of key=value", pairs[i]);
        *equals = '\0';
        json_set_str(a, *ret, str_trim(a, pairs[i]), str_trim(a, equals + 1));
    }
    return 0;
}

/* Nodes that people write into files have no conditions. */
static bool is_usable(const struct json *node)
{
    bool written = json_size(json_find(node, "status", "conditions")) == 0;
    return written ? !meta_deleting(node) : nodes_node_ready(node);
}

/* The first ready node stands for all, as in the controller. */
static int labels_of_nodes(struct run *run, const struct json **ret, struct error **err)
{
    struct offline_objects objects;
    CLEANUP(selector_cleanup) struct selector *selector = NULL;
    int r = selector_parse_labels(str_or_empty(run->f->selector), &selector, err);
    if (r < 0)
        return error_prefix(err, r, "--selector");
    r = offline_objects(run->a, &run->f->offline, &objects, err);
    if (r < 0)
        return r;
    JSON_FOREACH(it, objects.nodes) {
        const struct json *labels = json_find(it.value, "metadata", "labels");
        if (is_usable(it.value) && selector_matches_labels(selector, labels)) {
            *ret = labels;
            return 0;
        }
    }
    return refuse(err,
                  error_set(err, ERROR_NOT_FOUND,
                            "there is no ready node%s%s; name them with --node-labels, or with "
                            "--objects a file that has them",
                            str_empty(run->f->selector) ? "" : " with the labels ",
                            str_or_empty(run->f->selector)),
                  "NoReadyNodes");
}

static int gpu_of_nodes(struct run *run, struct gpu *ret, struct error **err)
{
    struct arena *a = run->a;
    const struct estimate_flags *f = run->f;
    const struct json *labels = NULL;
    struct json *partition = NULL;
    struct json *given = NULL;
    int r = 0;
    if (!str_empty(f->mig_profile))
        partition = OBJ("mode", STR("mig"), "profile", STR(f->mig_profile));
    else if (f->accelerators > 0)
        partition = OBJ("mode", STR("accelerator"), "count", INT(f->accelerators));
    if (!str_empty(f->node_labels)) {
        r = read_labels(a, f->node_labels, &given, err);
        labels = given;
    } else if (!gpu_partition_is_mig(partition)) {
        r = labels_of_nodes(run, &labels, err);
    }
    return r < 0 ? r : gpu_from_labels(a, labels, partition, ret, err);
}

static int find_gpu(struct run *run, const struct sku **ret_sku, struct gpu *ret,
                    struct error **err)
{
    *ret_sku = NULL;
    if (str_empty(run->f->instance_type))
        return gpu_of_nodes(run, ret, err);
    int r = sku_require(run->catalog, run->settings->cloud, run->f->instance_type, ret_sku, err);
    return r < 0 ? r : gpu_from_sku(*ret_sku, ret);
}

/* ---- the answer ----------------------------------------------------------------------------------------------- */

static struct json *warnings_of(struct run *run, const struct estimate_answer *e)
{
    struct arena *a = run->a;
    struct json *list = json_new_array(a);
    if (e->sku && !sku_runs_cuda(e->sku))
        json_append(list, STRF("%s has %s; the engine needs NVIDIA GPUs: a Workspace is refused",
                               e->sku->name, e->sku->gpu_model));
    if (run->f->count > 0 && run->f->count != e->estimate.nodes)
        json_append(list, STRF("a count of %lld is not used: the model gets as many nodes as "
                               "estimated",
                               (long long)run->f->count));
    if (run->f->context > e->preset->context_length)
        json_append(list, STRF("the model reads %lld tokens at most",
                               (long long)e->preset->context_length));
    return list;
}

/* transformers runs on as many nodes as the user says. */
static int without_vllm(struct run *run, struct estimate_answer *e, struct error **err)
{
    if (!e->preset->transformers)
        return refuse(err,
                      error_set(err, ERROR_UNSUPPORTED,
                                "%s cannot be run by transformers; switch the gate vLLM on",
                                e->preset->name),
                      "RuntimeUnsupported");
    e->estimate = (struct estimate){ .nodes = MAX(run->f->count, INT64_C(1)) };
    return 0;
}

static int answer(struct run *run, struct estimate_answer *e, struct error **err)
{
    bool precise = run->settings->precise_estimator;
    e->mode = precise ? "precise" : "reference";
    int r = find_model(run, &e->preset, err);
    if (r == 0)
        r = find_gpu(run, &e->sku, &e->gpu, err);
    if (r < 0)
        return r;
    if (!run->settings->gates.on[GATE_VLLM])
        return without_vllm(run, e, err);
    r = estimate_in_mode(precise, e->preset, &e->gpu, run->f->context, &e->estimate, err);
    if (r < 0)
        return r;
    if (e->estimate.gpu <= 0) /* nothing is known of the GPUs: the user has the word */
        e->estimate.nodes = MAX(run->f->count, INT64_C(1));
    struct layout layout =
        estimate_layout(precise, e->preset, &e->gpu, e->estimate.nodes, run->f->context);
    struct vllm_request q = {
        .preset = e->preset,
        .gpu = &e->gpu,
        .nodes = e->estimate.nodes,
        .layout = &layout,
        .served_name = e->preset->name,
    };
    e->flags = vllm_flags(run->a, &q);
    e->warnings = warnings_of(run, e);
    return 0;
}

/* ---- the command line ----------------------------------------------------------------------------------------- */

static int check(const struct estimate_flags *f, struct operator_settings *s, struct error **err)
{
    bool byo = s->provisioner == PROVISIONER_BYO;
    bool nodes = !str_empty(f->node_labels) || !str_empty(f->mig_profile) ||
                 !str_empty(f->offline.objects) || !str_empty(f->offline.kubeconfig);
    s->precise_estimator |= f->precise;
    if (str_empty(f->model))
        return error_set(err, ERROR_INVALID, "--model NAME is required");
    if (byo && !str_empty(f->instance_type))
        return error_set(err, ERROR_INVALID,
                         "with --node-provisioner=byo the GPUs are those of the nodes: give "
                         "--node-labels or --objects in place of --instance-type");
    if (!byo && str_empty(f->instance_type) && !nodes)
        return error_set(err, ERROR_INVALID,
                         "--instance-type NAME is required, or nodes: --node-labels, --objects");
    if (f->context < 0 || f->count < 0 || f->accelerators < 0)
        return error_set(err, ERROR_INVALID,
                         "--context, --count and --accelerators cannot be negative");
    if (!str_empty(f->instance_type) && (f->accelerators > 0 || !str_empty(f->mig_profile)))
        return error_set(err, ERROR_INVALID,
                         "--accelerators and --mig-profile are for nodes of your own: they do not "
                         "go with --instance-type");
    return 0;
}

static int tell(struct run *run, const struct estimate_answer *e, int r, struct error *err)
{
    const char *output = run->f->output;
    if (!str_empty(output))
        offline_print(r < 0 ? estimate_error_json(run->a, err) : estimate_json(run->a, e), output);
    else if (r == 0)
        estimate_print(e);
    else
        return command_fail("estimate", err);
    error_free(err);
    return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

int command_estimate(int argc, char **argv)
{
    struct estimate_flags f = { .offline = offline_flags_default() };
    struct flag flags[] = {
        { "model", FLAG_STRING, &f.model, "NAME", "preset, or a model of Hugging Face: org/model",
          'm' },
        { "instance-type", FLAG_STRING, &f.instance_type, "NAME", "machine type of the cloud",
          't' },
        { "context", FLAG_INT, &f.context, "TOKENS",
          "max-model-len of the configuration; 2048 when it has none", 0 },
        { "count", FLAG_INT, &f.count, "N",
          "resource.count; it matters only where nothing can be estimated", 0 },
        { "precise", FLAG_BOOL, &f.precise, NULL, "the same as --estimator=precise", 0 },
        { "node-labels", FLAG_STRING, &f.node_labels, "KEY=VALUE,...",
          "labels of nodes of your own: nvidia.com/gpu.product, .count, .memory", 0 },
        { "selector", FLAG_STRING, &f.selector, "KEY=VALUE,...",
          "which nodes of --objects or the cluster", 'l' },
        { "accelerators", FLAG_INT, &f.accelerators, "N",
          "resource.partition.count: GPUs of a node that are used", 0 },
        { "mig-profile", FLAG_STRING, &f.mig_profile, "NAME",
          "resource.partition.profile: a slice of a GPU, 1g.10gb", 0 },
        { "token", FLAG_STRING, &f.token, "TOKEN", "for models of Hugging Face; $HF_TOKEN", 0 },
        { "cloud", FLAG_STRING, &f.offline.cloud, "NAME", "azure, aws or arc; $CLOUD_PROVIDER", 0 },
        { "node-provisioner", FLAG_STRING, &f.offline.node_provisioner, "NAME",
          "azure-gpu-provisioner, karpenter or byo", 0 },
        { "feature-gates", FLAG_STRING, &f.offline.feature_gates, "GATE=BOOL,...",
          "feature gates of the operator", 0 },
        { "estimator", FLAG_STRING, &f.offline.estimator, "MODE", "reference or precise", 0 },
        { "objects", FLAG_STRING, &f.offline.objects, "FILE", "YAML with Nodes", 0 },
        { "kubeconfig", FLAG_STRING, &f.offline.kubeconfig, "FILE",
          "read the nodes from this cluster; only when given", 0 },
        { "kube-context", FLAG_STRING, &f.offline.context, "NAME", "context of the kubeconfig", 0 },
        { "output", FLAG_STRING, &f.output, "FORMAT", "json or yaml", 'o' },
        { .name = NULL },
    };
    struct flag_set set = {
        .usage = "kaito estimate --model NAME --instance-type NAME [flags]",
        .summary = "Says how many nodes a model needs, why, and how its engine is started there. "
                   "Exit code 1: it cannot run.",
        .flags = flags,
    };
    int done = command_flags(&set, argc, argv);
    if (done >= 0)
        return done;

    AUTO_ARENA a = arena_new();
    struct operator_settings settings;
    struct error *err = NULL;
    int r = offline_check_output(f.output, &err);
    if (r == 0)
        r = offline_settings(a, &f.offline, &settings, &err);
    if (r == 0)
        r = check(&f, &settings, &err);
    if (r < 0)
        return command_misused(argv[0], set.usage, err);
    CLEANUP(catalog_cleanup) struct catalog *catalog = catalog_new();
    struct run run = { .a = a, .f = &f, .settings = &settings, .catalog = catalog };
    struct estimate_answer e = { 0 };
    r = answer(&run, &e, &err);
    r = tell(&run, &e, r, err);
    if (run.hub)
        hub_free(run.hub);
    return r;
}
