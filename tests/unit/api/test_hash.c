/* The hash against what the Go operator gave: tests/data/hash-vectors.jsonl has the specifications
 * of recorded Workspaces, as applied and as kept, each with its hash. */
#include "api/hash.h"
#include "base/file.h"
#include "base/mem.h"
#include "unit.h"

static struct json *parse(struct arena *a, const char *text)
{
    char *copy = arena_strdup(a, text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct json *v = NULL;
    struct error *err = NULL;
    if (json_parse(a, copy, strlen(copy), &v, &err) < 0)
        fail_msg("%s: %s", text, error_message(err));
    return v;
}

static void recorded_workspaces_hash_the_same(void **state)
{
    CLEANUP(go_types_cleanup) struct go_types *types = go_types_new();
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    assert_int_equal(file_read(VECTORS, 16 * MIB, &text, &len, NULL), 0);
    size_t count = 0;
    AUTO_ARENA a = arena_new();
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        arena_reset(a);
        struct json *v = NULL;
        assert_int_equal(json_parse(a, line, (size_t)(end - line), &v, NULL), 0);
        struct workspace_identity id = { 0 };
        struct error *err = NULL;
        if (workspace_identify(a, types, json_get(v, "spec"), &id, &err) < 0)
            fail_msg("%s: %s", json_find_str(v, "from"), error_message(err));
        if (strcmp(id.hash, json_find_str(v, "hash")) != 0)
            fail_msg("%s: %s\n%s", json_find_str(v, "from"), json_find_str(v, "hash"),
                     json_text(a, id.data));
        count++;
    }
    assert_true(count > 400);
}

static const char *text_of(struct arena *a, const struct go_types *types, const char *type,
                           const char *value)
{
    AUTO_BUF out = BUF_INIT(MIB);
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (go_json_write(types, type, "x", value ? parse(a, value) : NULL, &out, &err) < 0)
        return arena_printf(a, "error: %s", error_message(err));
    return arena_strdup(a, buf_str(&out));
}

static void values_are_written_as_go_writes_them(void **state)
{
    static const char *const table[][3] = {
        { "Resource", NULL, "{\"labelSelector\":null}" },
        { "*Inference", NULL, "null" },
        { "*Inference", "{}", "{}" },
        { "*Inference", "{'adapters':[],'config':''}", "{}" },
        { "Preset", "{'presetOptions':null,'name':'a<b>&c'}",
          "{\"name\":\"a\\u003cb\\u003e\\u0026c\",\"presetOptions\":{}}" },
        { "Resource", "{'labelSelector':{'matchLabels':{'b':'2','a':'1'}},'count':0}",
          "{\"count\":0,\"labelSelector\":{\"matchLabels\":{\"a\":\"1\",\"b\":\"2\"}}}" },
        { "PodTemplateSpec", "{'metadata':{'creationTimestamp':null},'spec':{'containers':null}}",
          "{\"metadata\":{},\"spec\":{\"containers\":null}}" },
        { "PodTemplateSpec", "{'spec':{'containers':[{'name':'c','unknown':1}]}}",
          "{\"metadata\":{},\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{}}]}}" },
        { "ResourceRequirements", "{'limits':{'memory':'1024Mi','cpu':1.5,'nvidia.com/gpu':1}}",
          "{\"limits\":{\"cpu\":\"1500m\",\"memory\":\"1Gi\",\"nvidia.com/gpu\":\"1\"}}" },
        { "EnvVarSource", "{'resourceFieldRef':{'resource':'limits.cpu'}}",
          "{\"resourceFieldRef\":{\"resource\":\"limits.cpu\",\"divisor\":\"0\"}}" },
        { "Probe", "{'httpGet':{'port':'http'}}", "{\"httpGet\":{\"port\":\"http\"}}" },
        { "Probe", "{'tcpSocket':{'port':5000}}", "{\"tcpSocket\":{\"port\":5000}}" },
        { "ObjectMeta", "{'creationTimestamp':'2026-01-02T03:04:05.5+01:00'}",
          "{\"creationTimestamp\":\"2026-01-02T02:04:05Z\"}" },
        { "EmptyDirVolumeSource", "{'sizeLimit':'0.5Gi'}", "{\"sizeLimit\":\"512Mi\"}" },
        { "SecurityContext", "{'privileged':false}", "{\"privileged\":false}" },
        { "PodSpec", "{'hostNetwork':false,'containers':[]}", "{\"containers\":[]}" },
        { "PodSpec", "{'containers':{}}", "error: x.containers: object is not a list" },
        { "PodSpec", "{'containers':[{'image':5}]}",
          "error: x.containers[0].image: integer is not a string" },
        { "PodSpec", "{'containers':[],'hostNetwork':'yes'}",
          "error: x.hostNetwork: string is not a boolean" },
        { "ResourceRequirements", "{'limits':{'memory':'lots'}}",
          "error: x.limits.memory: string is not a quantity: \"lots\"" },
    };
    CLEANUP(go_types_cleanup) struct go_types *types = go_types_new();
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        const char *text = text_of(a, types, table[i][0], table[i][1]);
        if (strcmp(text, table[i][2]) != 0)
            fail_msg("%s %s\n   got %s\nwanted %s", table[i][0], table[i][1], text, table[i][2]);
    }
}

static void labels_and_status_are_no_part_of_it(void **state)
{
    CLEANUP(go_types_cleanup) struct go_types *types = go_types_new();
    AUTO_ARENA a = arena_new();
    struct workspace_identity x = { 0 }, y = { 0 };
    const char *spec = "'inference':{'preset':{'name':'p'}}";
    assert_int_equal(workspace_identify(a, types, parse(a, arena_printf(a, "{%s}", spec)), &x,
                                        NULL),
                     0);
    assert_int_equal(
        workspace_identify(a, types,
                           parse(a,
                                 arena_printf(a, "{'metadata':{'labels':{'a':'b'}},%s,'status':{}}",
                                              spec)),
                           &y, NULL),
        0);
    assert_string_equal(x.hash, y.hash);
    assert_true(json_is_null(json_get(x.data, "tuning")));
    assert_int_equal(json_size(x.data), 3);
}

UNIT_TESTS(TEST(recorded_workspaces_hash_the_same), TEST(values_are_written_as_go_writes_them),
           TEST(labels_and_status_are_no_part_of_it))
