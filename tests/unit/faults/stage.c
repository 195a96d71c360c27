#include "stage.h"

#include <unistd.h>

#include "base/str.h"
#include "cmd/crds.h"
#include "kube/meta.h"
#include "kube/selector.h"

#define QUIET_NS (120 * NS_PER_S)
#define MAX_LIST_MS 10000

/* ---- time that hurries ---------------------------------------------------------------------------------------------- */

/* For the waits inside calls, such as Retry-After, which would hold the test up. */
static int64_t hasty_wall(struct clock *c)
{
    return clock_wall(clock_system());
}
static int64_t hasty_mono(struct clock *c)
{
    return clock_mono(clock_system()) * 50;
}
static struct clock hasty = { hasty_wall, hasty_mono };

/* ---- life ----------------------------------------------------------------------------------------------------------- */

void stage_open(struct stage *s)
{
    *s = (struct stage){ .played = true };
    world_start(&s->w);
    clock_virtual_init(&s->clock, clock_wall(clock_system()));
    s->waits = (struct leader_options){ .ns = NS, .name = "leader", .identity = "this" };
    /* The threads of the manager wait for this lease for ever; the test does their work. */
    world_create(&s->w, &KUBE_LEASES,
                 world_parse(&s->w,
                             "{'metadata':{'name':'leader'},'spec':{'holderIdentity':'another',"
                             "'leaseDurationSeconds':1000000,"
                             "'acquireTime':'2026-01-01T00:00:00.000000Z',"
                             "'renewTime':'2026-01-01T00:00:00.000000Z'}}"));
}

void stage_provision(struct stage *s, enum node_provisioner p)
{
    struct operator_settings *o = &s->w.settings;
    o->models_dir = NULL;
    o->provisioner = p;
    o->image_family = "ubuntu";
    s->provisions = true;
    if (p == PROVISIONER_KARPENTER) {
        o->node_class_group = "example.com";
        o->node_class_kind = "Class";
        o->node_class_version = "v1";
        o->node_class_resource = "classes";
        o->node_classes = world_parse(&s->w, "[{'name':'c','default':true,'spec':{}}]");
    }
    struct error *err = NULL;
    if (crds_ensure_karpenter(s->w.client, o, &err) < 0)
        fail_msg("%s", error_message(err));
    if (p != PROVISIONER_KARPENTER)
        return;
    const struct kube_resource classes = { "example.com", "v1", "classes", "Class", false };
    world_create(&s->w, &classes, world_parse(&s->w, "{'metadata':{'name':'c'},'spec':{}}"));
    world_patch(&s->w, &classes, NULL, "c", "status",
                "{'status':{'conditions':[{'type':'Ready','status':'True'}]}}");
}

void stage_live(struct stage *s)
{
    s->lives++;
    fault_transport_init(&s->calls, s->w.transport);
    fault_transport_init(&s->caches, s->w.transport);
    s->client = kube_client_new(&s->calls.base, &(struct kube_client_options){ .clock = &hasty });
    s->cache_client = kube_client_new(&s->caches.base, NULL);
    s->manager = manager_new(&(struct manager_options){
        .client = s->cache_client, .clock = clock_system(), .leader = &s->waits });
    struct error *err = NULL;
    if (workspace_controller_add(s->manager, s->client, &s->w.settings, NULL, &s->clock.clock,
                                 &s->controller, &err) < 0 ||
        manager_start(s->manager, &err) < 0)
        fail_msg("controller: %s", error_message(err));
}

void stage_die(struct stage *s)
{
    if (!s->manager)
        return;
    s->made += s->calls.made;
    manager_stop(s->manager);
    manager_free(s->manager);
    s->manager = NULL;
    workspace_controller_free(s->controller);
    kube_client_free(s->client);
    kube_client_free(s->cache_client);
    fault_transport_done(&s->calls);
    fault_transport_done(&s->caches);
}

void stage_close(struct stage *s)
{
    stage_die(s);
    world_stop(&s->w);
}

/* ---- the played parts ----------------------------------------------------------------------------------------------- */

static struct json *all_of(struct stage *s, struct arena *a, const struct kube_resource *r)
{
    struct json *list = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    int rc = kube_list(s->w.client, r, NULL, a, &list, &err);
    if (rc < 0 && rc != -ERROR_NOT_FOUND)
        fail_msg("%s: %s", r->plural, error_message(err));
    return json_get(list, "items");
}

/* true: something was changed. */
static bool play_pods(struct stage *s, struct arena *a)
{
    bool changed = false;
    JSON_FOREACH(it, all_of(s, a, &KUBE_STATEFULSETS)) {
        int64_t want = json_find_int(it.value, 1, "spec", "replicas");
        if (json_find_int(it.value, -1, "status", "readyReplicas") == want ||
            meta_deleting(it.value))
            continue;
        world_patch(&s->w, &KUBE_STATEFULSETS, NS, meta_name(it.value), "status",
                    arena_printf(a, "{'status':{'replicas':%lld,'readyReplicas':%lld}}",
                                 (long long)want, (long long)want));
        changed = true;
    }
    return changed;
}

static bool play_jobs(struct stage *s, struct arena *a)
{
    bool changed = false;
    JSON_FOREACH(it, all_of(s, a, &KUBE_JOBS)) {
        const struct json *status = json_get(it.value, "status");
        if (meta_deleting(it.value) || json_find_int(status, 0, "active") > 0 ||
            json_find_int(status, 0, "succeeded") > 0)
            continue;
        world_patch(&s->w, &KUBE_JOBS, NS, meta_name(it.value), "status",
                    "{'status':{'active':1,'ready':1}}");
        changed = true;
    }
    return changed;
}

#define GPU_STATUS                                                                                 \
    "{'status':{'capacity':{'nvidia.com/gpu':'1'},'allocatable':{'nvidia.com/gpu':'1'},"           \
    "'conditions':[{'type':'Ready','status':'True','reason':'KubeletReady'}]}}"
#define CLAIM_STATUS                                                                               \
    "{'status':{'nodeName':'%s','providerID':'x','imageID':'x','conditions':["                     \
    "{'type':'Ready','status':'True','reason':'Ready','message':'',"                               \
    "'lastTransitionTime':'2026-01-01T00:00:00Z'}]}}"

static const char *instance_type(const struct json *requirements)
{
    JSON_FOREACH(it, requirements)
        if (str_eq(json_find_str(it.value, "key"), "node.kubernetes.io/instance-type"))
            return json_string(json_at(json_get(it.value, "values"), 0));
    return "";
}

/* A node for each NodeClaim, and none without. */
static bool play_claims(struct stage *s, struct arena *a)
{
    bool changed = false;
    struct json *claims = all_of(s, a, &KUBE_NODECLAIMS);
    JSON_FOREACH(it, claims) {
        if (json_find(it.value, "status", "nodeName") || meta_deleting(it.value))
            continue;
        const char *name = meta_name(it.value), *node = arena_printf(a, "n-%s", name);
        struct json *labels = json_clone(a, json_find(it.value, "metadata", "labels"));
        json_set_str(a, labels, "node.kubernetes.io/instance-type",
                     instance_type(json_find(it.value, "spec", "requirements")));
        if (!world_get(&s->w, &KUBE_NODES, NULL, node))
            world_create(&s->w, &KUBE_NODES,
                         OBJ("metadata", OBJ("name", STR(node), "labels", labels)));
        world_patch(&s->w, &KUBE_NODES, NULL, node, "status", GPU_STATUS);
        world_patch(&s->w, &KUBE_NODECLAIMS, NULL, name, "status",
                    arena_printf(a, CLAIM_STATUS, node));
        changed = true;
    }
    return changed;
}

static bool has_claim(const struct json *claims, const char *node)
{
    JSON_FOREACH(it, claims)
        if (STREQ(node + strlen("n-"), meta_name(it.value)))
            return true;
    return false;
}

static bool play_nodes(struct stage *s, struct arena *a)
{
    bool changed = false;
    struct json *claims = all_of(s, a, &KUBE_NODECLAIMS);
    JSON_FOREACH(it, all_of(s, a, &KUBE_NODES)) {
        const char *name = meta_name(it.value);
        if (!str_has_prefix(name, "n-") || has_claim(claims, name))
            continue;
        world_delete(&s->w, &KUBE_NODES, NULL, name);
        changed = true;
    }
    return changed;
}

/* As many NodeClaims as a NodePool asks for. */
static bool play_pools(struct stage *s, struct arena *a)
{
    bool changed = false;
    struct json *claims = all_of(s, a, &KUBE_NODECLAIMS);
    JSON_FOREACH(it, all_of(s, a, &KUBE_NODEPOOLS)) {
        int64_t replicas = json_find_int(it.value, 0, "spec", "replicas");
        for (int64_t i = 0; i < replicas && !meta_deleting(it.value); i++) {
            const char *name = arena_printf(a, "%s-%lld", meta_name(it.value), (long long)i);
            if (has_claim(claims, arena_printf(a, "n-%s", name)))
                continue;
            const struct json *template = json_find(it.value, "spec", "template");
            struct json *labels = json_clone(a, json_find(template, "metadata", "labels"));
            json_set_str(a, labels, "karpenter.sh/nodepool", meta_name(it.value));
            world_create(&s->w, &KUBE_NODECLAIMS,
                         OBJ("metadata",
                             OBJ("name", STR(name), "labels", labels, "ownerReferences",
                                 ARR(meta_controller_ref(a, it.value, &KUBE_NODEPOOLS))),
                             "spec",
                             OBJ("nodeClassRef",
                                 json_clone(a, json_find(template, "spec", "nodeClassRef")),
                                 "requirements",
                                 json_clone(a, json_find(template, "spec", "requirements")))));
            changed = true;
        }
    }
    return changed;
}

/* All of them act; true: one had something to do. */
static bool play(struct stage *s, struct arena *a)
{
    bool changed = play_pods(s, a);
    changed |= play_jobs(s, a);
    if (s->provisions && s->w.settings.provisioner == PROVISIONER_KARPENTER)
        changed |= play_pools(s, a);
    if (s->provisions) {
        changed |= play_claims(s, a);
        changed |= play_nodes(s, a);
    }
    return changed;
}

/* ---- steps ---------------------------------------------------------------------------------------------------------- */

static bool is_current(struct stage *s)
{
    return s->caches.held ||
           (fault_transport_watches(&s->caches) && workspace_controller_current(s->controller));
}

/* Watches bring what changed; and when a Workspace asks for nodes that no other one did, they are
 * listed. Each list is followed by a watch. */
static void catch_up(struct stage *s)
{
    apiserver_transport_flush(s->w.transport);
    for (int i = 0; !is_current(s); i++) {
        if (i == MAX_LIST_MS)
            fail_msg("the caches do not become current: %s",
                     fault_transport_watches(&s->caches) ? "nodes were not listed" : "no watch");
        usleep(1000);
    }
    apiserver_transport_flush(s->w.transport);
}

size_t stage_step(struct stage *s)
{
    catch_up(s);
    return controller_drain(workspace_controller_inner(s->controller));
}

bool stage_settle(struct stage *s)
{
    struct workqueue *q = controller_queue(workspace_controller_inner(s->controller));
    int64_t quiet_since = clock_mono(&s->clock.clock);
    uint64_t version = 0;
    for (;;) {
        AUTO_ARENA a = arena_new();
        stage_step(s);
        if (s->calls.dead)
            return false;
        uint64_t now = apiserver_resource_version(s->w.server);
        if (now != version)
            quiet_since = clock_mono(&s->clock.clock);
        version = now;
        if (s->played && play(s, a))
            continue;
        catch_up(s);
        int64_t due = workqueue_next_due_ns(q);
        if (due == INT64_MAX || due > quiet_since + QUIET_NS)
            return true;
        clock_virtual_advance(&s->clock, MAX(due - clock_mono(&s->clock.clock), (int64_t)0));
    }
}

/* ---- dump ----------------------------------------------------------------------------------------------------------- */

static bool differs_by_nature(const char *key)
{
    static const char *const keys[] = {
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "clusterIP",
        "clusterIPs",
        "lastTransitionTime",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
    };
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (STREQ(key, keys[i]))
            return true;
    return false;
}

static void strip(struct json *v)
{
    JSON_FOREACH(it, v) {
        if (it.key && differs_by_nature(it.key))
            json_iter_remove(&it);
        else
            strip(it.value);
    }
}

static void erase(char *text, const char *word)
{
    size_t len = strlen(word);
    for (char *at = text; len > 0 && (at = strstr(at, word));)
        memmove(at, at + len, strlen(at + len) + 1);
}

char *stage_dump(struct stage *s)
{
    static const struct kube_resource *const resources[] = {
        &KUBE_WORKSPACES,           &KUBE_STATEFULSETS, &KUBE_SERVICES,
        &KUBE_CONTROLLER_REVISIONS, &KUBE_CONFIGMAPS,   &KUBE_NODES,
        &KUBE_NODECLAIMS,           &KUBE_NODEPOOLS,    &KUBE_JOBS,
    };
    AUTO_ARENA a = arena_new();
    AUTO_BUF out = BUF_INIT(16 * MIB);
    for (size_t i = 0; i < COUNT_OF(resources); i++) {
        JSON_FOREACH(it, all_of(s, a, resources[i])) {
            buf_printf(&out, "%s %s ", resources[i]->kind, meta_name(it.value));
            strip(it.value);
            json_write_canonical(it.value, &out);
            buf_putc(&out, '\n');
        }
    }
    char *text = arena_strdup(s->w.a, buf_str(&out));
    erase(text, s->w.models_dir);
    JSON_FOREACH(it, all_of(s, a, &KUBE_SERVICES)) {
        const char *address = json_find_str(it.value, "spec", "clusterIP");
        if (address && !STREQ(address, "None"))
            erase(text, address);
    }
    /* The uid of the Workspace is in their names. */
    JSON_FOREACH(it, all_of(s, a, &KUBE_NODECLAIMS))
        erase(text, meta_name(it.value));
    return text;
}

unsigned stage_made(const struct stage *s)
{
    return s->made + (s->manager ? s->calls.made : 0);
}
