#include "cmd/plan_print.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

/* ---- objects ---------------------------------------------------------------------------------------------------- */

static void clean(struct json *obj)
{
    static const char *const metadata[] = { "uid", "resourceVersion", "creationTimestamp",
                                            "generation", "managedFields" };
    for (size_t i = 0; i < COUNT_OF(metadata); i++)
        json_del(json_get(obj, "metadata"), metadata[i]);
    JSON_FOREACH(it, json_find(obj, "metadata", "ownerReferences"))
        json_del(it.value, "uid");
    json_del(obj, "status");
    json_del(json_get(obj, "spec"), "clusterIPs");
    if (!str_eq(json_find_str(obj, "spec", "clusterIP"), "None"))
        json_del(json_get(obj, "spec"), "clusterIP");
}

struct json *plan_objects(struct arena *a, const struct plan *p)
{
    struct json *list = EMPTY_ARR();
    JSON_FOREACH(it, p->created) {
        struct json *copy = json_clone(a, it.value);
        clean(copy);
        json_append(list, copy);
    }
    return list;
}

struct json *plan_json(struct arena *a, const struct plan *p)
{
    return OBJ("refused", json_clone(a, p->refused), "workspaces", json_clone(a, p->workspaces),
               "objects", plan_objects(a, p), "warnings", json_clone(a, p->warnings));
}

bool plan_fails(const struct plan *p)
{
    if (json_size(p->refused) > 0)
        return true;
    JSON_FOREACH(it, p->workspaces)
        if (json_get(it.value, "problem"))
            return true;
    return false;
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static double number(const struct json *v, const char *key)
{
    return json_double(json_get(v, key), 0);
}

static void print_nodes(const struct json *w)
{
    const struct json *gpu = json_get(w, "gpu");
    const char *type = json_find_str(w, "instanceType");
    int64_t nodes = json_find_int(w, 0, "nodes");
    if (nodes == 0)
        return;
    printf("  nodes   %lld", (long long)nodes);
    if (type)
        printf(" of %s", type);
    if (gpu)
        printf(", each %lld x %s with %g GiB", (long long)json_find_int(gpu, 0, "count"),
               json_find_str(gpu, "product"),
               number(gpu, "gib") / (double)json_find_int(gpu, 1, "count"));
    putchar('\n');
}

static void print_memory(const struct json *w)
{
    const struct json *m = json_get(w, "memory");
    if (!m)
        return;
    int64_t gpus = json_find_int(w, 1, "nodes") * json_find_int(w, 1, "gpu", "count");
    int64_t needed = json_find_int(m, 0, "gpusNeeded");
    printf("  memory  %s: %g GiB of weights need %lld GPU%s, there %s %lld\n",
           needed <= gpus ? "fits" : "does not fit", number(m, "weightsGiB"), (long long)needed,
           needed == 1 ? "" : "s", gpus == 1 ? "is" : "are", (long long)gpus);
    printf("          each GPU has %g GiB: %g for the engine, %g for a context of %lld tokens, %g "
           "left for weights; the rest stays free\n",
           number(m, "gpuGiB"), number(m, "engineGiB"), number(m, "cacheGiB"),
           (long long)json_find_int(m, 0, "context"), number(m, "roomGiB"));
}

static bool owned_by(const struct json *obj, const char *kind, const char *name)
{
    JSON_FOREACH(it, json_find(obj, "metadata", "ownerReferences"))
        if (str_eq(json_find_str(it.value, "kind"), kind) &&
            str_eq(json_find_str(it.value, "name"), name))
            return true;
    return false;
}

/* Nobody owns the mirror of a model and its claim: other Workspaces may stream it too. */
static bool is_mirror(const struct json *obj, const char *mirror)
{
    const char *kind = json_find_str(obj, "kind");
    return mirror && STREQ(meta_name(obj), mirror) &&
           (str_eq(kind, "ModelMirror") || str_eq(kind, "PersistentVolumeClaim"));
}

/* Nodes have labels in the place of an owner. */
static bool made_for(const struct json *obj, const char *ns, const char *name)
{
    static const char *const labels[][2] = {
        { "kaito.sh/workspace", "kaito.sh/workspacenamespace" },
        { "karpenter.kaito.sh/workspace-name", "karpenter.kaito.sh/workspace-namespace" },
    };
    for (size_t i = 0; i < COUNT_OF(labels); i++)
        if (str_eq(meta_label(obj, labels[i][0]), name) &&
            str_eq(meta_label(obj, labels[i][1]), ns))
            return true;
    return STREQ(meta_namespace(obj), ns) && owned_by(obj, "Workspace", name);
}

static void print_created(const struct plan *p, const char *ns, const char *name,
                          const char *mirror)
{
    const char *before = NULL;
    JSON_FOREACH(it, p->created) {
        const char *kind = json_find_str(it.value, "kind");
        if (!made_for(it.value, ns, name) && !is_mirror(it.value, mirror))
            continue;
        if (!str_eq(kind, before))
            printf("%s%s %s", before ? "\n          " : "  makes   ", kind, meta_name(it.value));
        else
            printf(", %s", meta_name(it.value));
        before = kind;
    }
    if (before)
        putchar('\n');
}

static void print_workspace(const struct plan *p, const struct json *w)
{
    const char *ns = json_find_str(w, "namespace"), *name = json_find_str(w, "name");
    const char *model = json_find_str(w, "model"), *engine = json_find_str(w, "engine");
    const struct json *problem = json_get(w, "problem"), *waiting = json_get(w, "waiting");
    printf("Workspace %s/%s", ns, name);
    if (!str_empty(model) && engine)
        printf(": %s with %s", model, engine);
    putchar('\n');
    print_nodes(w);
    print_memory(w);
    if (problem)
        printf("  cannot run (%s): %s\n", json_find_str(problem, "reason"),
               json_find_str(problem, "message"));
    if (waiting)
        printf("  waits (%s): %s\n", json_find_str(waiting, "reason"),
               json_find_str(waiting, "message"));
    print_created(p, ns, name, json_find_str(w, "mirror"));
    JSON_FOREACH(it, p->warnings)
        if (str_eq(json_find_str(it.value, "name"), name) &&
            str_eq(json_find_str(it.value, "namespace"), ns))
            printf("  warning (%s): %s\n", json_find_str(it.value, "reason"),
                   json_find_str(it.value, "message"));
}

/* The condition that says why a set or a role is not as it should be is about its Workspaces. */
static void print_set(const struct plan *p, const struct json *set)
{
    printf("%s %s/%s makes", json_find_str(set, "kind"), meta_namespace(set), meta_name(set));
    const char *sign = " ";
    JSON_FOREACH(it, p->created) {
        if (!STREQ(meta_namespace(it.value), meta_namespace(set)) ||
            !owned_by(it.value, json_find_str(set, "kind"), meta_name(set)))
            continue;
        printf("%s%s %s", sign, json_find_str(it.value, "kind"), meta_name(it.value));
        sign = ", ";
    }
    printf("%s\n", STREQ(sign, " ") ? " nothing" : "");
}

void plan_print_text(struct arena *a, const struct plan *p)
{
    JSON_FOREACH(it, p->refused)
        printf("%s %s\n  is refused: %s\n", json_find_str(it.value, "kind"),
               json_find_str(it.value, "name"), json_find_str(it.value, "message"));
    JSON_FOREACH(it, p->subjects)
        if (!str_eq(json_find_str(it.value, "kind"), "Workspace") &&
            str_has_prefix(json_find_str(it.value, "apiVersion"), "kaito.sh/"))
            print_set(p, it.value);
    JSON_FOREACH(it, p->created)
        if (str_eq(json_find_str(it.value, "kind"), "InferenceSet"))
            print_set(p, it.value);
    JSON_FOREACH(it, p->workspaces)
        print_workspace(p, it.value);
}
