/* The operator comes to a cluster that the Go operator ran: everything that it left for ready
 * Workspaces, as recorded, is there when ours starts. No pod may be restarted, no Job run again, no
 * node asked for: the objects stay as they are, to the generation. */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/crds.h"
#include "kube/meta.h"
#include "world.h"

#define MAX_SCENARIOS 150

static const struct kube_resource *const kinds[] = {
    &KUBE_WORKSPACES, &KUBE_CONTROLLER_REVISIONS, &KUBE_NODECLAIMS,
    &KUBE_NODES,      &KUBE_CONFIGMAPS,           &KUBE_SECRETS,
    &KUBE_SERVICES,   &KUBE_STATEFULSETS,
};

/* ---- what was recorded --------------------------------------------------------------------------------------------- */

/* The stage in which all pods are ready; NULL when there is none, or a Workspace of it is not. */
static struct json *ready_stage(struct arena *a, const char *path, size_t number)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    if (file_read(path, 16 * MIB, &text, &len, NULL) < 0)
        return NULL;
    struct json *found = NULL;
    for (char *line = text, *end; !found && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        if (!strstr(line, "\"stage\":\"c\""))
            continue;
        /* claims and nodes of all scenarios are in one cluster here */
        AUTO_BUF renamed = BUF_INIT(16 * MIB);
        for (const char *at = line, *claim;; at = claim + strlen("CLAIM-")) {
            claim = strstr(at, "CLAIM-");
            buf_append(&renamed, at, claim ? (size_t)(claim - at) : strlen(at));
            if (!claim)
                break;
            buf_printf(&renamed, "c%zu-", number);
        }
        assert_int_equal(json_parse(a, renamed.data, renamed.len, &found, NULL), 0);
    }
    bool any = false;
    JSON_FOREACH(it, json_get(found, "objects")) {
        if (!str_eq(json_find_str(it.value, "kind"), "Workspace"))
            continue;
        any = true;
        if (!str_eq(json_find_str(it.value, "status", "state"), "Ready"))
            return NULL;
    }
    return any ? found : NULL;
}

static const char *config_of(struct arena *a, const char *folder)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    struct json *scenario = NULL;
    const char *path = arena_printf(a, "%s/scenario.json", folder);
    if (file_read(path, MIB, &text, &len, NULL) < 0 ||
        json_parse(a, text, len, &scenario, NULL) < 0)
        return "";
    return arena_strdup(a, json_find_str(scenario, "config"));
}

/* ---- back into a cluster --------------------------------------------------------------------------------------------- */

/* What the recording left out or replaced. */
static void restore(struct arena *a, struct json *v)
{
    JSON_FOREACH(it, v) {
        if (it.key && STREQ(it.key, "observedGeneration"))
            json_set_int(a, v, "observedGeneration", 1);
        else if (it.key &&
                 (STREQ(it.key, "clusterIP") || STREQ(it.key, "clusterIPs") ||
                  STREQ(it.key, "nodePort")) &&
                 strstr(json_text(a, it.value), "ALLOCATED"))
            json_iter_remove(&it);
        else
            restore(a, it.value);
    }
    if (json_is_object(v) && json_get(v, "reason") && json_get(v, "status") &&
        json_get(v, "type")) {
        json_set_str(a, v, "lastTransitionTime", "2026-01-01T00:00:00Z");
        json_set_str(a, v, "message", "as recorded");
    }
}

static const char *uid_of_owner(struct world *w, const char *ns, const struct json *owner)
{
    struct json *found = world_get(w, &KUBE_WORKSPACES, ns, json_find_str(owner, "name"));
    return found ? meta_uid(found) : NULL;
}

static void load(struct world *w, const struct kube_resource *kind, struct json *obj)
{
    struct error *err = NULL;
    const char *ns = kind->namespaced ? meta_namespace(obj) : NULL;
    struct json *status = json_clone(w->a, json_get(obj, "status"));
    restore(w->a, obj);
    JSON_FOREACH(it, kind == &KUBE_CONFIGMAPS ? json_get(obj, "data") : NULL)
        if (!json_is_string(it.value)) /* YAML that was read */
            json_set_str(w->a, json_get(obj, "data"), it.key, json_text(w->a, it.value));
    JSON_FOREACH(it, json_find(obj, "metadata", "ownerReferences"))
        json_set_str(w->a, it.value, "uid", uid_of_owner(w, ns, it.value));
    if (kube_create(w->client, kind, ns, obj, w->a, NULL, &err) < 0)
        fail_msg("%s %s/%s: %s", kind->kind, ns ? ns : "", meta_name(obj), error_message(err));
    restore(w->a, status);
    struct arena *a = w->a;
    if (status && kube_patch(w->client, kind, ns, meta_name(obj), "status", KUBE_PATCH_MERGE,
                             OBJ("status", status), a, NULL, &err) < 0)
        fail_msg("status of %s %s: %s", kind->kind, meta_name(obj), error_message(err));
}

static void load_stage(struct world *w, struct json *stage)
{
    struct arena *a = w->a;
    const char *ns = json_find_str(stage, "scenario");
    kube_create(w->client, &KUBE_NAMESPACES, NULL, OBJ("metadata", OBJ("name", STR(ns))), a, NULL,
                NULL);
    for (size_t k = 0; k < COUNT_OF(kinds); k++)
        JSON_FOREACH(it, json_get(stage, "objects"))
            if (str_eq(json_find_str(it.value, "kind"), kinds[k]->kind))
                load(w, kinds[k], it.value);
}

/* ---- the test --------------------------------------------------------------------------------------------------------- */

/* "KIND NS/NAME uid generation", a line each; what has no generation has its version. */
static const char *fingerprint(struct world *w, bool workspaces)
{
    struct arena *a = w->a;
    AUTO_BUF out = BUF_INIT(16 * MIB);
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct json *list = NULL;
        if ((kinds[k] == &KUBE_WORKSPACES) != workspaces)
            continue;
        assert_int_equal(kube_list(w->client, kinds[k], &(struct kube_list_options){ 0 }, a, &list,
                                   NULL),
                         0);
        JSON_FOREACH(it, json_get(list, "items")) {
            int64_t generation = meta_generation(it.value);
            buf_printf(&out, "%s %s/%s %s %lld %s %s\n", kinds[k]->kind, meta_namespace(it.value),
                       meta_name(it.value), meta_uid(it.value), (long long)generation,
                       generation ? "" : json_text(a, json_get(it.value, "data")),
                       json_text(a, json_get(it.value, "spec")));
        }
    }
    return arena_strdup(a, buf_str(&out));
}

static void assert_same_lines(const char *before, const char *after)
{
    if (strcmp(before, after) == 0)
        return;
    size_t at = 0;
    while (before[at] == after[at])
        at++;
    while (at > 0 && before[at - 1] != '\n')
        at--;
    fail_msg("before: %.600s\nafter: %.600s", before + at, after + at);
}

/* Those of the Workspace controller; without the one whose annotation the Go operator does not
 * understand, and gets its load balancer here. */
static bool counts(const char *name, const char *config, const char *const *configs)
{
    bool known = false;
    for (; *configs; configs++)
        known |= STREQ(config, *configs);
    return known && !STREQ(name, "ann-enablelb-lower") && !str_has_prefix(name, "rag-") &&
           !str_has_prefix(name, "is-") && !str_has_prefix(name, "ex-is-") &&
           !str_has_prefix(name, "kp-is-") && !str_has_prefix(name, "byo-inferenceset") &&
           !str_has_prefix(name, "byo-ex-is-");
}

static size_t load_scenarios(struct world *w, const char *const *configs)
{
    DIR *folder = opendir(SCENARIOS);
    assert_non_null(folder);
    size_t count = 0;
    for (struct dirent *e; (e = readdir(folder)) && count < MAX_SCENARIOS;) {
        const char *path = arena_printf(w->a, "%s/%s", SCENARIOS, e->d_name);
        if (e->d_name[0] == '.' || !counts(e->d_name, config_of(w->a, path), configs))
            continue;
        struct json *stage =
            ready_stage(w->a, arena_printf(w->a, "%s/expected.jsonl", path), count);
        if (!stage)
            continue;
        load_stage(w, stage);
        count++;
    }
    closedir(folder);
    return count;
}

static void assert_still_ready(struct world *w)
{
    struct json *list = NULL;
    assert_int_equal(kube_list(w->client, &KUBE_WORKSPACES, &(struct kube_list_options){ 0 }, w->a,
                               &list, NULL),
                     0);
    JSON_FOREACH(it, json_get(list, "items"))
        if (!STREQ(workspace_state(it.value), "Ready"))
            fail_msg("%s/%s is %s: %s", meta_namespace(it.value), meta_name(it.value),
                     workspace_state(it.value),
                     json_text(w->a, json_find(it.value, "status", "conditions")));
}

static void take_over(const struct operator_settings *settings, const char *const *configs,
                      size_t least)
{
    struct world w;
    world_start(&w);
    w.settings = *settings;
    w.settings.cloud = "azure";
    w.settings.image_registry = "mcr.microsoft.com/aks/kaito";
    w.settings.release_namespace = "kaito-workspace";
    w.settings.image_family = "ubuntu";
    struct error *err = NULL;
    if (crds_ensure_karpenter(w.client, &w.settings, &err) < 0)
        fail_msg("%s", error_message(err));
    size_t scenarios = load_scenarios(&w, configs);
    print_message("# %zu clusters\n", scenarios);
    assert_true(scenarios >= least);
    const char *before = fingerprint(&w, false), *workspaces = fingerprint(&w, true);

    world_start_controller(&w);
    world_settle(&w);
    assert_true(controller_idle(workspace_controller_inner(w.controller), 0));
    assert_same_lines(before, fingerprint(&w, false));
    assert_same_lines(workspaces, fingerprint(&w, true));
    assert_still_ready(&w);
    world_stop(&w);
}

static void node_claims_stay(void **state)
{
    static const char *const configs[] = { "azure", "azurelinux", "registry", NULL };
    struct operator_settings s = { .provisioner = PROVISIONER_AZURE_GPU, .gates = GATES_DEFAULT };
    take_over(&s, configs, 90);
}

static void nodes_of_users_stay(void **state)
{
    static const char *const configs[] = { "byo", "byo-partition", NULL };
    struct operator_settings s = { .provisioner = PROVISIONER_BYO, .gates = GATES_DEFAULT };
    s.gates.on[GATE_MIG] = s.gates.on[GATE_ACCELERATOR] = true;
    take_over(&s, configs, 6);
}

UNIT_TESTS(TEST(node_claims_stay), TEST(nodes_of_users_stay))
