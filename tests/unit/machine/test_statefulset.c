#include "machine/statefulset.h"

#include "kube/meta.h"
#include "machine_test.h"

#define T0 (INT64_C(1767366245) * NS_PER_S)

struct world {
    struct arena *a;
    struct json *set;
    struct json *pods;
    struct json *revisions;
    struct statefulset_plan plan;
};

static void world_init(struct world *w, const char *policy, int replicas)
{
    struct arena *a = arena_new();
    *w = (struct world){ .a = a, .pods = EMPTY_ARR(), .revisions = EMPTY_ARR() };
    w->set = yaml_of(a, "metadata: {name: web, namespace: ns, uid: s1, generation: 3}\n"
                        "spec:\n"
                        "  serviceName: svc\n"
                        "  selector: {matchLabels: {app: web}}\n"
                        "  template:\n"
                        "    metadata: {labels: {app: web}, annotations: {note: x}}\n"
                        "    spec: {containers: [{name: c, image: one}]}\n");
    json_set_str(a, json_get(w->set, "spec"), "podManagementPolicy", policy);
    json_set_int(a, json_get(w->set, "spec"), "replicas", replicas);
}

static void decide(struct world *w)
{
    struct statefulset_view v = {
        .set = w->set, .pods = w->pods, .revisions = w->revisions, .now_wall = T0
    };
    statefulset_decide(w->a, &v, &w->plan);
}

/* Does what was decided, as the API server and a kubelet would: pods appear, and disappear at once.
 */
static void apply(struct world *w)
{
    struct arena *a = w->a;
    if (w->plan.create_revision)
        json_append(w->revisions, json_clone(a, w->plan.create_revision));
    JSON_FOREACH(it, w->plan.create_pods) {
        json_append(w->pods, json_clone(a, it.value));
    }
    JSON_FOREACH(it, w->plan.delete_pods) {
        JSON_FOREACH(pod, w->pods) {
            if (str_eq(meta_name(pod.value), json_find_str(it.value, "name")))
                json_iter_remove(&pod);
        }
    }
    json_set(a, w->set, "status", json_clone(a, w->plan.status));
}

static struct json *pod(struct world *w, const char *name)
{
    JSON_FOREACH(it, w->pods) {
        if (str_eq(meta_name(it.value), name))
            return it.value;
    }
    return NULL;
}

static void set_ready(struct world *w, const char *name, bool ready)
{
    struct arena *a = w->a;
    json_set(a, pod(w, name), "status",
             OBJ("phase", STR("Running"), "conditions",
                 ARR(OBJ("type", STR("Ready"), "status", STR(ready ? "True" : "False"),
                         "lastTransitionTime", STR("2026-01-02T15:04:00Z")))));
}

static const char *names(struct world *w, const struct json *list)
{
    AUTO_BUF b = BUF_INIT(4096);
    JSON_FOREACH(it, list) {
        const char *name = json_find_str(it.value, "name");
        buf_printf(&b, "%s%s", it.index ? " " : "", name ? name : meta_name(it.value));
    }
    return arena_strdup(w->a, buf_str(&b));
}

#define CREATES(w) names((w), (w)->plan.create_pods)
#define DELETES(w) names((w), (w)->plan.delete_pods)

static void set_image(struct world *w, const char *image)
{
    struct json *c = json_at(json_find(w->set, "spec", "template", "spec", "containers"), 0);
    json_set_str(w->a, c, "image", image);
}

static void parallel_makes_all_at_once(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 3);
    decide(&w);
    assert_string_equal(CREATES(&w), "web-0 web-1 web-2");
    assert_non_null(w.plan.create_revision);
    const struct json *p = json_at(w.plan.create_pods, 1);
    assert_string_equal(meta_label(p, "app"), "web");
    assert_string_equal(meta_label(p, "statefulset.kubernetes.io/pod-name"), "web-1");
    assert_string_equal(meta_label(p, "apps.kubernetes.io/pod-index"), "1");
    assert_string_equal(meta_label(p, "controller-revision-hash"),
                        meta_name(w.plan.create_revision));
    assert_string_equal(meta_annotation(p, "note"), "x");
    assert_string_equal(json_find_str(p, "spec", "hostname"), "web-1");
    assert_string_equal(json_find_str(p, "spec", "subdomain"), "svc");
    assert_true(meta_controlled_by(p, "s1"));
    assert_true(str_has_prefix(meta_name(w.plan.create_revision), "web-"));
    assert_true(meta_controlled_by(w.plan.create_revision, "s1"));
    assert_int_equal(json_find_int(w.plan.create_revision, 0, "revision"), 1);
    assert_string_equal(json_find_str(w.plan.create_revision, "data", "spec", "template", "$patch"),
                        "replace");
    arena_free(w.a);
}

static void ordered_waits_for_each(void **state)
{
    struct world w;
    world_init(&w, "OrderedReady", 3);
    decide(&w);
    assert_string_equal(CREATES(&w), "web-0");
    apply(&w);
    decide(&w);
    assert_string_equal(CREATES(&w), "");
    assert_null(w.plan.create_revision);
    set_ready(&w, "web-0", true);
    decide(&w);
    assert_string_equal(CREATES(&w), "web-1");
    apply(&w);
    set_ready(&w, "web-0", false);
    set_ready(&w, "web-1", true);
    decide(&w);
    assert_string_equal(CREATES(&w), "");
    arena_free(w.a);
}

static void make_all(struct world *w)
{
    for (int i = 0; i < 8; i++) {
        decide(w);
        apply(w);
        JSON_FOREACH(it, w->pods) {
            set_ready(w, meta_name(it.value), true);
        }
    }
    decide(w);
    apply(w);
}

static void the_status_counts(void **state)
{
    struct world w;
    world_init(&w, "OrderedReady", 2);
    make_all(&w);
    assert_string_equal(
        json_text(w.a, json_get(w.set, "status")),
        arena_printf(
            w.a,
            "{\"observedGeneration\":3,\"replicas\":2,\"currentRevision\":\"%s\",\"updateRevision\":\"%s\","
            "\"collisionCount\":0,\"availableReplicas\":2,\"readyReplicas\":2,\"currentReplicas\":2,"
            "\"updatedReplicas\":2}",
            meta_name(json_at(w.revisions, 0)), meta_name(json_at(w.revisions, 0))));
    struct json *before = json_clone(w.a, json_get(w.set, "status"));
    decide(&w);
    assert_true(json_equal(before, w.plan.status));
    assert_string_equal(CREATES(&w), "");
    assert_string_equal(DELETES(&w), "");
    assert_int_equal(w.plan.requeue_after_ms, 0);
    arena_free(w.a);
}

static void scaling_down_takes_the_highest(void **state)
{
    struct world w;
    world_init(&w, "OrderedReady", 4);
    make_all(&w);
    json_set_int(w.a, json_get(w.set, "spec"), "replicas", 1);
    decide(&w);
    assert_string_equal(DELETES(&w), "web-3");
    struct arena *a = w.a;
    json_set_str(a, json_get(pod(&w, "web-3"), "metadata"), "deletionTimestamp",
                 "2026-01-02T15:04:00Z");
    decide(&w);
    assert_string_equal(DELETES(&w), "");
    arena_free(w.a);

    world_init(&w, "Parallel", 4);
    make_all(&w);
    json_set_int(w.a, json_get(w.set, "spec"), "replicas", 1);
    decide(&w);
    assert_string_equal(DELETES(&w), "web-3 web-2 web-1");
    arena_free(w.a);
}

static void a_failed_pod_is_replaced(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 2);
    make_all(&w);
    json_set_str(w.a, json_get(pod(&w, "web-1"), "status"), "phase", "Failed");
    decide(&w);
    assert_string_equal(DELETES(&w), "web-1");
    apply(&w);
    decide(&w);
    assert_string_equal(CREATES(&w), "web-1");
    arena_free(w.a);
}

static void a_rolling_update_goes_down_from_the_highest(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 3);
    make_all(&w);
    const char *old = arena_strdup(w.a, json_find_str(w.set, "status", "currentRevision"));
    set_image(&w, "two");
    decide(&w);
    assert_non_null(w.plan.create_revision);
    assert_int_equal(json_find_int(w.plan.create_revision, 0, "revision"), 2);
    const char *new = arena_strdup(w.a, meta_name(w.plan.create_revision));
    assert_string_not_equal(old, new);
    assert_string_equal(DELETES(&w), "web-2");
    assert_string_equal(json_find_str(w.plan.status, "currentRevision"), old);
    assert_string_equal(json_find_str(w.plan.status, "updateRevision"), new);
    apply(&w);
    decide(&w);
    assert_string_equal(CREATES(&w), "web-2");
    assert_string_equal(meta_label(json_at(w.plan.create_pods, 0), "controller-revision-hash"),
                        new);
    apply(&w);
    decide(&w);
    assert_string_equal(DELETES(&w), ""); /* until it is ready */
    assert_int_equal(json_find_int(w.plan.status, -1, "updatedReplicas"), 1);
    assert_int_equal(json_find_int(w.plan.status, -1, "currentReplicas"), 2);
    set_ready(&w, "web-2", true);
    decide(&w);
    assert_string_equal(DELETES(&w), "web-1");
    make_all(&w);
    make_all(&w);
    assert_string_equal(json_find_str(w.set, "status", "currentRevision"), new);
    assert_int_equal(json_find_int(w.set, -1, "status", "updatedReplicas"), 3);
    arena_free(w.a);
}

static void a_partition_holds_the_update(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 3);
    struct arena *a = w.a;
    json_set(a, json_get(w.set, "spec"), "updateStrategy",
             OBJ("type", STR("RollingUpdate"), "rollingUpdate", OBJ("partition", INT(2))));
    make_all(&w);
    const char *old = arena_strdup(a, json_find_str(w.set, "status", "currentRevision"));
    set_image(&w, "two");
    make_all(&w);
    assert_string_equal(json_find_str(w.set, "status", "currentRevision"), old);
    assert_int_equal(json_find_int(w.set, -1, "status", "updatedReplicas"), 1);
    assert_int_equal(json_find_int(w.set, -1, "status", "currentReplicas"), 2);
    /* One below the partition that is lost comes back as it was. */
    JSON_FOREACH(it, w.pods) {
        if (str_eq(meta_name(it.value), "web-0"))
            json_iter_remove(&it);
    }
    decide(&w);
    assert_string_equal(CREATES(&w), "web-0");
    assert_string_equal(meta_label(json_at(w.plan.create_pods, 0), "controller-revision-hash"),
                        old);
    assert_string_equal(json_find_str(json_at(json_find(json_at(w.plan.create_pods, 0), "spec",
                                                        "containers"),
                                              0),
                                      "image"),
                        "one");
    arena_free(w.a);
}

static void on_delete_changes_nothing_by_itself(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 2);
    struct arena *a = w.a;
    json_set(a, json_get(w.set, "spec"), "updateStrategy", OBJ("type", STR("OnDelete")));
    make_all(&w);
    set_image(&w, "two");
    make_all(&w);
    assert_string_equal(DELETES(&w), "");
    assert_int_equal(json_size(w.revisions), 2);
    arena_free(w.a);
}

static void going_back_uses_the_old_revision_again(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 1);
    make_all(&w);
    set_image(&w, "two");
    make_all(&w);
    make_all(&w);
    set_image(&w, "one");
    decide(&w);
    assert_null(w.plan.create_revision);
    assert_non_null(w.plan.bump_revision);
    assert_int_equal(json_find_int(w.plan.bump_revision, 0, "revision"), 3);
    assert_string_equal(DELETES(&w), "web-0");
    arena_free(w.a);
}

static void history_is_limited(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 1);
    json_set_int(w.a, json_get(w.set, "spec"), "revisionHistoryLimit", 1);
    for (int i = 0; i < 4; i++) {
        set_image(&w, arena_printf(w.a, "v%d", i));
        make_all(&w);
        make_all(&w);
    }
    assert_int_equal(json_size(w.revisions), 4);
    assert_int_equal(json_size(w.plan.delete_revisions), 2);
    assert_string_equal(json_string(json_at(w.plan.delete_revisions, 0)),
                        meta_name(json_at(w.revisions, 0)));
    arena_free(w.a);
}

static void ordinals_may_start_higher(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 2);
    struct arena *a = w.a;
    json_set(a, json_get(w.set, "spec"), "ordinals", OBJ("start", INT(5)));
    decide(&w);
    assert_string_equal(CREATES(&w), "web-5 web-6");
    arena_free(w.a);
}

static void availability_waits_min_ready_seconds(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 1);
    json_set_int(w.a, json_get(w.set, "spec"), "minReadySeconds", 8);
    make_all(&w); /* ready for five seconds */
    assert_int_equal(json_find_int(w.plan.status, -1, "readyReplicas"), 1);
    assert_int_equal(json_find_int(w.plan.status, -1, "availableReplicas"), 0);
    assert_int_equal(w.plan.requeue_after_ms, 3000);
    arena_free(w.a);
}

static void claim_templates_are_refused(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 1);
    struct arena *a = w.a;
    json_set(a, json_get(w.set, "spec"), "volumeClaimTemplates",
             ARR(OBJ("metadata", OBJ("name", STR("x")))));
    decide(&w);
    assert_non_null(w.plan.unsupported);
    assert_string_equal(CREATES(&w), "");
    arena_free(w.a);
}

static void claims_are_made_where_somebody_binds_them(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 2);
    struct arena *a = w.a;
    struct json *spec = json_get(w.set, "spec");
    json_set(a, spec, "volumeClaimTemplates",
             ARR(yaml_of(a, "metadata: {name: data, labels: {tier: fast}}\n"
                            "spec: {storageClassName: disk}\n"
                            "status: {phase: Pending}\n")));
    struct statefulset_view v = {
        .set = w.set, .pods = w.pods, .revisions = w.revisions, .now_wall = T0, .volumes = true
    };
    statefulset_decide(a, &v, &w.plan);
    assert_null(w.plan.unsupported);
    assert_string_equal(CREATES(&w), "web-0 web-1");
    assert_string_equal(names(&w, w.plan.create_claims), "data-web-0 data-web-1");
    const struct json *claim = json_at(w.plan.create_claims, 1);
    assert_string_equal(meta_label(claim, "tier"), "fast");
    assert_string_equal(meta_label(claim, "app"), "web");
    assert_string_equal(meta_namespace(claim), "ns");
    assert_string_equal(json_find_str(claim, "spec", "storageClassName"), "disk");
    assert_null(json_get(claim, "status"));
    assert_false(meta_controlled_by(claim, "s1")); /* they stay when the set goes */
    const struct json *volume =
        json_at(json_find(json_at(w.plan.create_pods, 1), "spec", "volumes"), 0);
    assert_string_equal(json_find_str(volume, "name"), "data");
    assert_string_equal(json_find_str(volume, "persistentVolumeClaim", "claimName"), "data-web-1");
    json_set(a, spec, "persistentVolumeClaimRetentionPolicy", OBJ("whenDeleted", STR("Delete")));
    statefulset_decide(a, &v, &w.plan);
    assert_true(meta_controlled_by(json_at(w.plan.create_claims, 0), "s1"));
    arena_free(w.a);
}

static void the_hash_depends_on_the_template_only(void **state)
{
    struct world w;
    world_init(&w, "Parallel", 1);
    const char *one = arena_strdup(w.a, meta_name(statefulset_revision(w.a, w.set, 1, 0)));
    json_set_int(w.a, json_get(w.set, "spec"), "replicas", 9);
    assert_string_equal(meta_name(statefulset_revision(w.a, w.set, 7, 0)), one);
    assert_string_not_equal(meta_name(statefulset_revision(w.a, w.set, 1, 1)), one);
    set_image(&w, "two");
    assert_string_not_equal(meta_name(statefulset_revision(w.a, w.set, 1, 0)), one);
    arena_free(w.a);
}

UNIT_TESTS(TEST(parallel_makes_all_at_once), TEST(ordered_waits_for_each), TEST(the_status_counts),
           TEST(scaling_down_takes_the_highest), TEST(a_failed_pod_is_replaced),
           TEST(a_rolling_update_goes_down_from_the_highest), TEST(a_partition_holds_the_update),
           TEST(on_delete_changes_nothing_by_itself), TEST(going_back_uses_the_old_revision_again),
           TEST(history_is_limited), TEST(ordinals_may_start_higher),
           TEST(availability_waits_min_ready_seconds), TEST(claim_templates_are_refused),
           TEST(claims_are_made_where_somebody_binds_them),
           TEST(the_hash_depends_on_the_template_only))
