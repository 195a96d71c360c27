#include "base/clock.h"
#include "kube/meta.h"
#include "kube/object.h"
#include "unit.h"

static struct json *J(struct arena *a, const char *text)
{
    struct json *v = NULL;
    assert_int_equal(json_parse(a, text, strlen(text), &v, NULL), 0);
    return v;
}

static void paths_are_made(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_string_equal(kube_path(a, &KUBE_STATEFULSETS, "ns", "x", "status"),
                        "/apis/apps/v1/namespaces/ns/statefulsets/x/status");
    assert_string_equal(kube_path(a, &KUBE_PODS, "ns", NULL, NULL), "/api/v1/namespaces/ns/pods");
    assert_string_equal(kube_path(a, &KUBE_PODS, NULL, NULL, NULL), "/api/v1/pods");
    assert_string_equal(kube_path(a, &KUBE_PODS, "", NULL, NULL), "/api/v1/pods");
    assert_string_equal(kube_path(a, &KUBE_NODES, "ns", "n", NULL), "/api/v1/nodes/n");
    assert_string_equal(kube_path(a, &KUBE_PODS, "a/b", "c?d#e%f g", NULL),
                        "/api/v1/namespaces/a%2Fb/pods/c%3Fd%23e%25f%20g");
    assert_string_equal(kube_api_version(a, &KUBE_STATEFULSETS), "apps/v1");
    assert_string_equal(kube_api_version(a, &KUBE_PODS), "v1");
}

static void keys_are_split(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *ns, *name;
    assert_string_equal(kube_key(a, "ns", "x"), "ns/x");
    assert_string_equal(kube_key(a, "", "x"), "x");
    assert_string_equal(kube_key(a, NULL, "x"), "x");
    kube_key_split(a, "ns/x", &ns, &name);
    assert_string_equal(ns, "ns");
    assert_string_equal(name, "x");
    kube_key_split(a, "x", &ns, &name);
    assert_string_equal(ns, "");
    assert_string_equal(name, "x");
}

static void objects_carry_their_keys(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *text =
        "{\"metadata\":{\"name\":\"x\",\"namespace\":\"ns\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"generation\":3,"
        "\"labels\":{\"a\":\"1\",\"b\":\"\",\"bad\":5},\"ownerReferences\":[{\"uid\":\"o1\",\"kind\":\"K1\",\"name\":\"n1\"},"
        "{\"uid\":\"o2\",\"kind\":\"K2\",\"name\":\"n2\",\"controller\":true}],\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}";
    CLEANUP(kube_object_cleanup) struct kube_object *o = kube_object_new(J(a, text));
    assert_string_equal(o->ns, "ns");
    assert_string_equal(o->name, "x");
    assert_string_equal(o->uid, "u");
    assert_string_equal(o->resource_version, "7");
    assert_string_equal(o->controller_uid, "o2");
    assert_string_equal(o->controller_kind, "K2");
    assert_string_equal(o->controller_name, "n2");
    assert_int_equal(o->generation, 3);
    assert_true(o->deleting);
    assert_int_equal(o->label_count, 2);
    assert_string_equal(kube_object_label(o, "a"), "1");
    assert_string_equal(kube_object_label(o, "b"), "");
    assert_null(kube_object_label(o, "1"));
    assert_null(kube_object_label(o, "bad"));
    assert_string_equal(o->text, text);
    assert_int_equal(o->text_len, strlen(text));
    struct json *copy = kube_object_parse(a, o);
    json_set_str(a, copy, "kind", "Changed");
    assert_string_equal(o->text, text);
}

static void odd_objects_have_empty_keys(void **state)
{
    static const char *const odd[] = {
        "{}",
        "[]",
        "null",
        "\"x\"",
        "{\"metadata\":5}",
        "{\"metadata\":{\"name\":5,\"labels\":[1],\"ownerReferences\":{\"a\":1}}}",
        "{\"metadata\":{\"labels\":{\"a\\u0000b\":\"c\\u0000d\",\"e\":\"f\"},\"name\":\"x\\u0000y\"}}",
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        CLEANUP(kube_object_cleanup) struct kube_object *o = kube_object_new(J(a, odd[i]));
        assert_string_equal(o->ns, "");
        assert_string_equal(o->uid, "");
        assert_string_equal(o->controller_uid, "");
        assert_false(o->deleting);
        assert_string_equal(o->text, json_text(a, J(a, odd[i])));
        if (o->label_count > 0)
            assert_string_equal(kube_object_label(o, "e"), "f");
    }
}

static void metadata_is_read(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *obj = J(
        a,
        "{\"metadata\":{\"name\":\"x\",\"labels\":{\"l\":\"1\"},\"annotations\":{\"n\":\"2\"},\"finalizers\":[\"f\"]}}");
    assert_string_equal(meta_name(obj), "x");
    assert_string_equal(meta_namespace(obj), "");
    assert_string_equal(meta_label(obj, "l"), "1");
    assert_null(meta_label(obj, "n"));
    assert_string_equal(meta_annotation(obj, "n"), "2");
    assert_true(meta_has_finalizer(obj, "f"));
    assert_false(meta_has_finalizer(obj, "g"));
    assert_false(meta_deleting(obj));
    assert_int_equal(meta_generation(obj), 0);
    assert_string_equal(meta_name(NULL), "");
}

static void controllers_are_named(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *owner = J(a, "{\"metadata\":{\"name\":\"x\",\"uid\":\"u\"}}");
    struct json *ref = meta_controller_ref(a, owner, &KUBE_STATEFULSETS);
    assert_string_equal(
        json_text(a, ref),
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"StatefulSet\",\"name\":\"x\",\"uid\":\"u\","
        "\"controller\":true,\"blockOwnerDeletion\":true}");
    struct json *child = OBJ("metadata", OBJ("ownerReferences", ARR(ref)));
    assert_true(meta_controlled_by(child, "u"));
    assert_false(meta_controlled_by(child, "v"));
    assert_false(meta_controlled_by(owner, "u"));
}

static void a_condition_moves_its_time_only_when_its_status_flips(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *list = EMPTY_ARR();
    const int64_t t1 = INT64_C(1767225600) * NS_PER_S, t2 = t1 + 5 * NS_PER_S;
    condition_set(a, list, &(struct condition){ "Ready", "False", "Starting", "wait" }, 1, t1);
    assert_string_equal(
        json_text(a, list),
        "[{\"type\":\"Ready\",\"status\":\"False\",\"observedGeneration\":1,"
        "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\",\"reason\":\"Starting\",\"message\":\"wait\"}]");
    condition_set(a, list, &(struct condition){ "Ready", "False", "Pulling", "longer" }, 2, t2);
    assert_string_equal(json_find_str(condition_find(list, "Ready"), "lastTransitionTime"),
                        "2026-01-01T00:00:00Z");
    assert_string_equal(json_find_str(condition_find(list, "Ready"), "reason"), "Pulling");
    assert_int_equal(json_find_int(condition_find(list, "Ready"), 0, "observedGeneration"), 2);
    condition_set(a, list, &(struct condition){ "Ready", "True", "Running", NULL }, 2, t2);
    assert_string_equal(json_find_str(condition_find(list, "Ready"), "lastTransitionTime"),
                        "2026-01-01T00:00:05Z");
    assert_string_equal(json_find_str(condition_find(list, "Ready"), "message"), "");
    assert_true(condition_is(list, "Ready", "True"));
    assert_false(condition_is(list, "Other", "True"));
    assert_int_equal(json_size(list), 1);
    assert_false(condition_remove(list, "Other"));
    assert_true(condition_remove(list, "Ready"));
    assert_int_equal(json_size(list), 0);
}

UNIT_TESTS(TEST(paths_are_made), TEST(keys_are_split), TEST(objects_carry_their_keys),
           TEST(odd_objects_have_empty_keys), TEST(metadata_is_read), TEST(controllers_are_named),
           TEST(a_condition_moves_its_time_only_when_its_status_flips))
