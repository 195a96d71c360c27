#include "machine/endpoints.h"

#include "machine/proxy.h"
#include "machine_test.h"

static const char pods_yaml[] =
    "- {metadata: {name: b, namespace: ns, uid: u2}, spec: {nodeName: node, hostname: b, subdomain: web, containers: [{ports: [{name: "
    "http, containerPort: 8080}]}]}, status: {phase: Running, podIP: 127.97.0.2, conditions: [{type: Ready, status: 'True'}]}}\n"
    "- {metadata: {name: a, namespace: ns, uid: u1}, spec: {nodeName: node, containers: [{ports: [{name: http, containerPort: "
    "8080}]}]}, status: {phase: Running, podIP: 127.97.0.1, conditions: [{type: Ready, status: 'True'}]}}\n"
    "- {metadata: {name: c, namespace: ns, uid: u3}, spec: {nodeName: node, containers: [{ports: [{name: http, containerPort: "
    "9090}]}]}, status: {phase: Running, podIP: 127.97.0.3, conditions: [{type: Ready, status: 'False'}]}}\n"
    "- {metadata: {name: d, namespace: ns, deletionTimestamp: '2026-01-01T00:00:00Z'}, spec: {nodeName: node, containers: []}, status: "
    "{phase: Running, podIP: 127.97.0.4, conditions: [{type: Ready, status: 'True'}]}}\n"
    "- {metadata: {name: e, namespace: ns}, spec: {nodeName: node}, status: {phase: Pending}}\n"
    "- {metadata: {name: f, namespace: ns}, spec: {nodeName: node}, status: {phase: Failed, podIP: 127.97.0.6}}\n";

static struct json *service(struct arena *a, const char *spec)
{
    return yaml_of(a,
                   arena_printf(a,
                                "{metadata: {name: web, namespace: ns, labels: {l: x}}, spec: %s}",
                                spec));
}

static void ready_pods_are_addresses(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *svc = service(
        a,
        "{clusterIP: 127.96.0.5, ports: [{name: w, port: 80, targetPort: 5000, protocol: TCP}]}");
    struct json *e = endpoints_decide(a, svc, yaml_of(a, pods_yaml), NULL);
    assert_string_equal(
        json_text(a, json_get(e, "subsets")),
        "[{\"ports\":[{\"name\":\"w\",\"port\":5000,\"protocol\":\"TCP\"}],"
        "\"addresses\":[{\"ip\":\"127.97.0.1\",\"nodeName\":\"node\",\"targetRef\":{\"kind\":\"Pod\",\"name\":\"a\",\"namespace\":\"ns\","
        "\"uid\":\"u1\"}},{\"hostname\":\"b\",\"ip\":\"127.97.0.2\",\"nodeName\":\"node\",\"targetRef\":{\"kind\":\"Pod\",\"name\":\"b\","
        "\"namespace\":\"ns\",\"uid\":\"u2\"}}],"
        "\"notReadyAddresses\":[{\"ip\":\"127.97.0.3\",\"nodeName\":\"node\",\"targetRef\":{\"kind\":\"Pod\",\"name\":\"c\",\"namespace\":"
        "\"ns\",\"uid\":\"u3\"}}]}]");
    assert_string_equal(json_find_str(e, "metadata", "labels", "l"), "x");
    assert_null(endpoints_decide(a, svc, yaml_of(a, pods_yaml), e));
}

static void named_ports_may_differ_per_pod(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *svc = service(
        a,
        "{clusterIP: 127.96.0.5, ports: [{port: 80, targetPort: http}, {name: x, port: 81, targetPort: none}]}");
    struct json *e = endpoints_decide(a, svc, yaml_of(a, pods_yaml), NULL);
    const struct json *subsets = json_get(e, "subsets");
    assert_int_equal(json_size(subsets), 2);
    assert_int_equal(json_find_int(json_at(json_get(json_at(subsets, 0), "ports"), 0), 0, "port"),
                     8080);
    assert_int_equal(json_find_int(json_at(json_get(json_at(subsets, 1), "ports"), 0), 0, "port"),
                     9090);
}

static void headless_services_too(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *svc = service(a, "{clusterIP: None, publishNotReadyAddresses: true}");
    struct json *e = endpoints_decide(a, svc, yaml_of(a, pods_yaml), NULL);
    const struct json *subset = json_at(json_get(e, "subsets"), 0);
    assert_int_equal(json_size(json_get(subset, "addresses")),
                     4); /* also the one that is not ready, and the one on its way out */
    assert_null(json_get(subset, "notReadyAddresses"));
    assert_null(json_get(subset, "ports"));
    assert_string_equal(json_find_str(e, "metadata", "labels", "service.kubernetes.io/headless"),
                        "");
}

static void no_pods_no_subsets(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *svc = service(a, "{clusterIP: 127.96.0.5, ports: [{port: 80}]}");
    struct json *e = endpoints_decide(a, svc, EMPTY_ARR(), NULL);
    assert_non_null(e);
    assert_null(json_get(e, "subsets"));
    assert_null(endpoints_decide(a, svc, EMPTY_ARR(), e));
}

static void backends_follow_the_port_name(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *e = yaml_of(
        a,
        "subsets:\n"
        "- {addresses: [{ip: 127.97.0.1}], notReadyAddresses: [{ip: 127.97.0.9}], ports: [{name: w, port: "
        "5000}, {name: m, port: 9000}]}\n"
        "- {addresses: [{ip: 127.97.0.2}], ports: [{name: w, port: 5001}, {name: u, port: 53, protocol: "
        "UDP}]}\n");
    assert_string_equal(
        json_text(a, proxy_backends(a, yaml_of(a, "{name: w, port: 80}"), e)),
        "[{\"ip\":\"127.97.0.1\",\"port\":5000},{\"ip\":\"127.97.0.2\",\"port\":5001}]");
    assert_string_equal(json_text(a, proxy_backends(a, yaml_of(a, "{name: m, port: 80}"), e)),
                        "[{\"ip\":\"127.97.0.1\",\"port\":9000}]");
    assert_string_equal(json_text(a, proxy_backends(a, yaml_of(a, "{name: u, port: 80}"), e)),
                        "[]");
}

UNIT_TESTS(TEST(ready_pods_are_addresses), TEST(named_ports_may_differ_per_pod),
           TEST(headless_services_too), TEST(no_pods_no_subsets),
           TEST(backends_follow_the_port_name))
