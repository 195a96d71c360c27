#include "machine/endpointslice.h"

#include "kube/meta.h"
#include "machine_test.h"

static struct json *service(struct arena *a)
{
    return yaml_of(a, "apiVersion: v1\n"
                      "kind: Service\n"
                      "metadata: {name: web, namespace: ns, uid: s1, labels: {team: a}}\n"
                      "spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}\n");
}

static struct json *pod(struct arena *a, const char *name, const char *ip, int port, bool ready)
{
    struct json *p = yaml_of(a, "metadata: {namespace: ns}\n"
                                "spec: {nodeName: n1}\n"
                                "status: {phase: Running}\n");
    json_set_str(a, json_get(p, "metadata"), "name", name);
    json_set_str(a, json_get(p, "metadata"), "uid", name);
    json_set(a, json_get(p, "spec"), "containers",
             ARR(OBJ("ports", ARR(OBJ("name", STR("http"), "containerPort", INT(port))))));
    json_set_str(a, json_get(p, "status"), "podIP", ip);
    json_set(a, json_get(p, "status"), "conditions",
             ARR(OBJ("type", STR("Ready"), "status", STR(ready ? "True" : "False"))));
    return p;
}

static const char *address(const struct json *slice, size_t i)
{
    return json_string(json_at(json_get(json_at(json_get(slice, "endpoints"), i), "addresses"), 0));
}

static void one_slice(void **state)
{
    AUTO_ARENA a = arena_new();
    struct endpointslices_plan plan;
    struct json *pods =
        ARR(pod(a, "b", "127.0.1.2", 8080, false), pod(a, "a", "127.0.1.1", 8080, true));
    endpointslices_decide(a, service(a), pods, EMPTY_ARR(), &plan);
    assert_int_equal(json_size(plan.create), 1);
    const struct json *slice = json_at(plan.create, 0);
    assert_true(str_has_prefix(meta_name(slice), "web-"));
    assert_string_equal(meta_label(slice, "kubernetes.io/service-name"), "web");
    assert_string_equal(meta_label(slice, "team"), "a");
    assert_true(meta_controlled_by(slice, "s1"));
    assert_string_equal(address(slice, 0), "127.0.1.1");
    assert_string_equal(address(slice, 1), "127.0.1.2");
    const struct json *first = json_at(json_get(slice, "endpoints"), 0);
    assert_true(json_find_bool(first, false, "conditions", "ready"));
    assert_false(
        json_find_bool(json_at(json_get(slice, "endpoints"), 1), true, "conditions", "ready"));
    assert_int_equal(json_find_int(json_at(json_get(slice, "ports"), 0), 0, "port"), 8080);
    /* what was decided is not decided again */
    endpointslices_decide(a, service(a), pods, plan.create, &plan);
    assert_int_equal(json_size(plan.create) + json_size(plan.change) + json_size(plan.remove), 0);
}

static void no_pods_are_an_empty_slice(void **state)
{
    AUTO_ARENA a = arena_new();
    struct endpointslices_plan plan;
    endpointslices_decide(a, service(a), EMPTY_ARR(), EMPTY_ARR(), &plan);
    assert_int_equal(json_size(plan.create), 1);
    assert_int_equal(json_size(json_get(json_at(plan.create, 0), "endpoints")), 0);
}

static void a_pod_that_leaves_serves_no_more(void **state)
{
    AUTO_ARENA a = arena_new();
    struct endpointslices_plan plan, next;
    struct json *p = pod(a, "a", "127.0.1.1", 8080, true);
    endpointslices_decide(a, service(a), ARR(json_clone(a, p)), EMPTY_ARR(), &plan);
    json_set_str(a, json_get(p, "metadata"), "deletionTimestamp", "2026-01-02T15:04:05Z");
    endpointslices_decide(a, service(a), ARR(p), plan.create, &next);
    assert_int_equal(json_size(next.change), 1);
    const struct json *e = json_at(json_find(json_at(next.change, 0), "patch", "endpoints"), 0);
    assert_false(json_find_bool(e, true, "conditions", "ready"));
    assert_true(json_find_bool(e, false, "conditions", "terminating"));
}

static void other_ports_are_another_slice(void **state)
{
    AUTO_ARENA a = arena_new();
    struct endpointslices_plan plan, next;
    struct json *one = pod(a, "a", "127.0.1.1", 8080, true),
                *two = pod(a, "b", "127.0.1.2", 9090, true);
    endpointslices_decide(a, service(a), ARR(json_clone(a, one), two), EMPTY_ARR(), &plan);
    assert_int_equal(json_size(plan.create), 2);
    endpointslices_decide(a, service(a), ARR(one), plan.create, &next);
    assert_int_equal(json_size(next.remove), 1);
    assert_int_equal(json_size(next.change), 0);
}

static void many_are_more_slices(void **state)
{
    AUTO_ARENA a = arena_new();
    struct endpointslices_plan plan;
    struct json *pods = EMPTY_ARR();
    for (int i = 0; i < 101; i++)
        json_append(pods,
                    pod(a, arena_printf(a, "p%d", i), arena_printf(a, "127.0.2.%d", i), 80, true));
    endpointslices_decide(a, service(a), pods, EMPTY_ARR(), &plan);
    assert_int_equal(json_size(plan.create), 2);
    assert_int_equal(json_size(json_get(json_at(plan.create, 0), "endpoints")), 100);
    assert_int_equal(json_size(json_get(json_at(plan.create, 1), "endpoints")), 1);
}

UNIT_TESTS(TEST(one_slice), TEST(no_pods_are_an_empty_slice),
           TEST(a_pod_that_leaves_serves_no_more), TEST(other_ports_are_another_slice),
           TEST(many_are_more_slices))
