#include "machine/podenv.h"

#include "machine_test.h"

static int get(void *ctx, const char *resource, const char *ns, const char *name, struct arena *a,
               struct json **ret, struct error **err)
{
    if (str_eq(resource, "configmaps") && str_eq(name, "cm"))
        *ret = yaml_of(a, "{data: {color: red, 'bad=key': x, size: big}}");
    else if (str_eq(resource, "secrets") && str_eq(name, "sec"))
        *ret = yaml_of(a, "{data: {token: aGlkZGVu, broken: '*'}}");
    else if (str_eq(resource, "secrets") && str_eq(name, "good"))
        *ret = yaml_of(a, "{data: {token: aGlkZGVu}}");
    else
        return error_set(err, ERROR_NOT_FOUND, "%s \"%s\" not found",
                         str_eq(resource, "secrets") ? "secret" : "configmap", name);
    return 0;
}

static const struct pod_sources sources = { .get = get };

static const char pod_yaml[] =
    "metadata: {name: p, namespace: ns, uid: u1, labels: {app: x, b: 'q\"'}, annotations: {n: v}}\n"
    "spec:\n"
    "  serviceAccountName: sa\n"
    "  containers:\n"
    "  - {name: c, resources: {requests: {cpu: 250m, memory: 64Mi}, limits: {memory: 1Gi}}}\n";

static struct pod_context context(struct arena *a)
{
    return (struct pod_context){
        .pod = yaml_of(a, pod_yaml),
        .ip = "127.97.0.1",
        .host_ip = "127.0.0.1",
        .node_name = "n1",
        .cpu_milli = 2000,
        .memory_bytes = 8 * (int64_t)GIB,
        .sources = &sources,
        .volumes_dir = "/data/v",
    };
}

static int build(struct arena *a, const char *container, struct env_result *ret, struct error **err)
{
    struct pod_context x = context(a);
    static const struct mount mounts[] = { { "/mnt/config/deep", "/real/deep", false },
                                           { "/mnt/config", "/real/config", false } };
    struct env_request q = { .pod = &x,
                             .container = yaml_of(a, container),
                             .image_env = yaml_of(a, "{FROM_IMAGE: i, COLOR: image}"),
                             .path = "/engine:/bin",
                             .mounts = mounts,
                             .mount_count = 2 };
    return env_build(a, &q, ret, err);
}

static const char *value(const struct env_result *r, const char *name)
{
    for (char **e = r->env; *e; e++)
        if (str_has_prefix(*e, name) && (*e)[strlen(name)] == '=')
            return *e + strlen(name) + 1;
    return NULL;
}

static void values_come_from_everywhere(void **state)
{
    AUTO_ARENA a = arena_new();
    struct env_result r;
    int rc = build(
        a,
        "envFrom: [{configMapRef: {name: cm}}, {prefix: S_, secretRef: {name: good}}, {configMapRef: {name: none, optional: "
        "true}}]\n"
        "env:\n"
        "- {name: COLOR, value: own}\n"
        "- {name: A, value: '$(COLOR)-$(color)-$(NOPE)-$$(COLOR)'}\n"
        "- {name: KEY, valueFrom: {configMapKeyRef: {name: cm, key: size}}}\n"
        "- {name: TOKEN, valueFrom: {secretKeyRef: {name: good, key: token}}}\n"
        "- {name: ABSENT, valueFrom: {secretKeyRef: {name: none, key: token, optional: true}}}\n"
        "- {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}\n"
        "- {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}\n"
        "- {name: APP, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}\n"
        "- {name: FILE, value: /mnt/config/x}\n"
        "command: [run, '--c=$(COLOR)', '--f=/mnt/config/deep/a']\n"
        "args: ['$(UNKNOWN)', /mnt/configuration]\n",
        &r, NULL);
    assert_int_equal(rc, 0);
    assert_string_equal(value(&r, "FROM_IMAGE"), "i");
    assert_string_equal(value(&r, "COLOR"), "own");
    assert_string_equal(value(&r, "color"), "red");
    assert_null(value(&r, "bad=key"));
    assert_string_equal(value(&r, "A"), "own-red-$(NOPE)-$(COLOR)");
    assert_string_equal(value(&r, "KEY"), "big");
    assert_string_equal(value(&r, "TOKEN"), "hidden");
    assert_string_equal(value(&r, "S_token"), "hidden");
    assert_null(value(&r, "ABSENT"));
    assert_string_equal(value(&r, "IP"), "127.97.0.1");
    assert_string_equal(value(&r, "KAITO_POD_IP"), "127.97.0.1");
    assert_string_equal(value(&r, "NODE"), "n1");
    assert_string_equal(value(&r, "APP"), "x");
    assert_string_equal(value(&r, "PATH"), "/engine:/bin");
    assert_string_equal(value(&r, "HOSTNAME"), "p");
    assert_string_equal(value(&r, "FILE"), "/real/config/x");
    assert_string_equal(value(&r, "KAITO_MOUNTS"),
                        "/mnt/config/deep=/real/deep:/mnt/config=/real/config");
    assert_true(r.has_command);
    assert_string_equal(r.argv[1], "--c=own");
    assert_string_equal(r.argv[2], "--f=/real/deep/a");
    assert_string_equal(r.argv[3], "$(UNKNOWN)");
    assert_string_equal(r.argv[4], "/mnt/configuration");
    assert_null(r.argv[5]);
}

static void what_is_missing_is_said(void **state)
{
    static const char *const cases[][2] = {
        { "env: [{name: A, valueFrom: {configMapKeyRef: {name: none, key: k}}}]",
          "configmap \"none\" not found" },
        { "env: [{name: A, valueFrom: {configMapKeyRef: {name: cm, key: k}}}]",
          "couldn't find key k in ConfigMap ns/cm" },
        { "env: [{name: A, valueFrom: {secretKeyRef: {name: good, key: k}}}]",
          "couldn't find key k in Secret ns/good" },
        { "envFrom: [{secretRef: {name: none}}]", "secret \"none\" not found" },
        { "envFrom: [{secretRef: {name: sec}}]", "broken is not base64" },
        { "env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.x}}}]",
          "unsupported fieldPath: spec.x" },
        { "env: [{name: A, valueFrom: {resourceFieldRef: {containerName: z, resource: limits.cpu}}}]",
          "container z not found" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_ARENA a = arena_new();
        struct env_result r;
        struct error *err = NULL;
        assert_true(build(a, cases[i][0], &r, &err) < 0);
        assert_non_null(strstr(error_message(err), cases[i][1]));
        error_free(err);
    }
}

static void resources_are_divided(void **state)
{
    AUTO_ARENA a = arena_new();
    struct pod_context x = context(a);
    static const char *const cases[][3] = {
        { "limits.memory", "1", "1073741824" }, { "limits.memory", "1Mi", "1024" },
        { "requests.memory", "1Gi", "1" },      { "requests.cpu", "1m", "250" },
        { "requests.cpu", "1", "1" },           { "limits.cpu", "1", "2" },
        { "limits.cpu", "1m", "2000" },         { "limits.cpu", "0", "2" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *value = NULL;
        struct json *ref = OBJ("containerName", STR("c"), "resource", STR(cases[i][0]), "divisor",
                               STR(cases[i][1]));
        assert_int_equal(pod_resource_field(a, &x, NULL, ref, &value, NULL), 0);
        assert_string_equal(value, cases[i][2]);
    }
}

static void maps_are_lines(void **state)
{
    AUTO_ARENA a = arena_new();
    struct pod_context x = context(a);
    const char *text = NULL;
    assert_int_equal(pod_field(a, &x, "metadata.labels", &text, NULL), 0);
    assert_string_equal(text, "app=\"x\"\nb=\"q\\\"\"");
}

static void use_is_found(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const pods[] = {
        "spec: {volumes: [{name: v, configMap: {name: cm}}]}",
        "spec: {volumes: [{name: v, projected: {sources: [{configMap: {name: cm}}]}}]}",
        "spec: {containers: [{envFrom: [{configMapRef: {name: cm}}]}]}",
        "spec: {initContainers: [{env: [{name: A, valueFrom: {configMapKeyRef: {name: cm, key: k}}}]}]}",
    };
    for (size_t i = 0; i < COUNT_OF(pods); i++) {
        assert_true(pod_uses_source(yaml_of(a, pods[i]), "configmaps", "cm"));
        assert_false(pod_uses_source(yaml_of(a, pods[i]), "configmaps", "other"));
        assert_false(pod_uses_source(yaml_of(a, pods[i]), "secrets", "cm"));
    }
    assert_true(pod_uses_source(yaml_of(a, "spec: {volumes: [{name: v, secret: {secretName: s}}]}"),
                                "secrets", "s"));
}

UNIT_TESTS(TEST(values_come_from_everywhere), TEST(what_is_missing_is_said),
           TEST(resources_are_divided), TEST(maps_are_lines), TEST(use_is_found))
