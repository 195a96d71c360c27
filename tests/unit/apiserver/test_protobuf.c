/* Vectors that Go has made (tests/kube/cmd/protobuf-types) become the JSON that Go makes of the
 * same objects; what is broken is refused with a text. */
#include "unit.h"

#include "apiserver/protobuf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/crypto.h"
#include "test_server.h"

#define BYTES(text) (text), sizeof(text) - 1

/* ---- vectors ------------------------------------------------------------------------------------------------------ */

static struct json *vectors(struct arena *a)
{
    AUTO_FREE char *text = NULL;
    struct error *err = NULL;
    if (file_read(VECTORS, 8 * MIB, &text, NULL, &err) < 0)
        fail_msg("%s", error_message(err));
    struct json *all = json_new_array(a);
    char **lines = str_split(a, text, '\n', NULL);
    for (size_t i = 0; lines[i]; i++) {
        struct json *v = NULL;
        if (*lines[i] && json_parse(a, lines[i], strlen(lines[i]), &v, &err) < 0)
            fail_msg("%s", error_message(err));
        json_append(all, v);
    }
    return all;
}

static const char *wire_of(struct arena *a, const struct json *vector, size_t *ret_len)
{
    const struct json *text = json_get(vector, "protobuf");
    char *bytes = NULL;
    assert_int_equal(base64_decode(a, json_string(text), json_string_len(text), &bytes, ret_len),
                     0);
    return bytes;
}

static const struct api_type *type_of(const struct protobuf_envelope *e)
{
    return STREQ(e->kind, "DeleteOptions") ? api_type_find("meta.k8s.io/v1", e->kind)
                                           : api_type_find(e->api_version, e->kind);
}

static struct json *from_wire(struct arena *a, const char *data, size_t len,
                              const struct api_type **ret_type)
{
    struct error *err = NULL;
    struct protobuf_envelope e;
    if (protobuf_open(a, data, len, &e, &err) < 0)
        fail_msg("%s", error_message(err));
    *ret_type = type_of(&e);
    assert_non_null(*ret_type);
    struct json *obj = json_new_object(a);
    if (protobuf_decode(a, *ret_type, e.raw, e.raw_len, obj, &err) < 0)
        fail_msg("%s", error_message(err));
    json_set_str(a, obj, "kind", e.kind);
    json_set_str(a, obj, "apiVersion", e.api_version);
    return obj;
}

static void must_equal(const char *name, const struct json *want, const struct json *have)
{
    if (json_equal(want, have))
        return;
    AUTO_BUF lines = BUF_INIT(64 * KIB);
    json_describe_diff(want, have, 20, &lines);
    fail_msg("%s:\n%s", name, buf_str(&lines));
}

static void keep_what_counts(struct arena *a, const struct api_type *t, struct json *obj)
{
    struct error *err = NULL;
    struct json *unknown = json_new_array(a);
    if (api_type_decode(a, t, obj, unknown, &err) < 0)
        fail_msg("%s", error_message(err));
    assert_int_equal(json_size(unknown), 0);
}

static void reads_what_go_writes(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *all = vectors(a);
    assert_true(json_size(all) >= 30);
    JSON_FOREACH(it, all) {
        const char *name = json_find_str(it.value, "name");
        struct json *want = json_get(it.value, "json");
        const struct api_type *t;
        size_t len;
        const char *data = wire_of(a, it.value, &len);
        struct json *have = from_wire(a, data, len, &t);
        /* schemas within schemas are not filled */
        if (str_has_prefix(name, "full ") && !str_has_suffix(name, "CustomResourceDefinition"))
            must_equal(name, want, have);
        keep_what_counts(a, t, want);
        keep_what_counts(a, t, have);
        must_equal(name, want, have);
    }
}

/* Each length that a vector can be cut to, and each byte changed, ends in an answer. */
static void survives_cuts_and_changes(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *all = vectors(a);
    JSON_FOREACH(it, all) {
        size_t len;
        const char *whole = wire_of(a, it.value, &len);
        for (size_t i = 0; i < MIN(len, (size_t)3000); i++) {
            AUTO_ARENA b = arena_new();
            struct protobuf_envelope e;
            char *data = arena_alloc(b, len);
            memcpy(data, whole, len);
            data[i] ^= (char)(1u << (i % 8));
            if (protobuf_open(b, data, len, &e, NULL) == 0 && type_of(&e))
                protobuf_decode(b, type_of(&e), e.raw, e.raw_len, json_new_object(b), NULL);
            memcpy(data, whole, i);
            if (protobuf_open(b, data, i, &e, NULL) == 0 && type_of(&e))
                protobuf_decode(b, type_of(&e), e.raw, e.raw_len, json_new_object(b), NULL);
        }
    }
}

/* ---- bytes by hand ------------------------------------------------------------------------------------------------ */

static const char *decode(struct arena *a, const char *api_version, const char *kind,
                          const char *data, size_t len)
{
    struct json *obj = json_new_object(a);
    struct error *err = NULL;
    if (protobuf_decode(a, api_type_find(api_version, kind), data, len, obj, &err) == 0)
        return json_text(a, obj);
    char *text = arena_strdup(a, error_message(err));
    error_free(err);
    return text;
}

#define CONFIG_MAP(text) decode(a, "v1", "ConfigMap", BYTES(text))

static void the_last_one_counts(void **state)
{
    AUTO_ARENA a = arena_new();
    /* two pieces of metadata, with a label in each and one label in both */
    assert_string_equal(CONFIG_MAP("\x0a\x0b\x0a\x01n\x5a\x06\x0a\x01k\x12\x01v"
                                   "\x0a\x10\x5a\x06\x0a\x01k\x12\x01w\x5a\x06\x0a\x01"
                                   "a\x12\x01v"),
                        "{\"metadata\":{\"name\":\"n\",\"labels\":{\"a\":\"v\",\"k\":\"w\"}}}");
    assert_string_equal(CONFIG_MAP("\x12\x06\x0a\x01k\x12\x01v\x12\x06\x0a\x01k\x12\x01w"),
                        "{\"data\":{\"k\":\"w\"}}");
    /* no key, no value, nothing */
    assert_string_equal(CONFIG_MAP("\x12\x03\x12\x01v"), "{\"data\":{\"\":\"v\"}}");
    assert_string_equal(CONFIG_MAP("\x12\x03\x0a\x01k"), "{\"data\":{\"k\":\"\"}}");
    assert_string_equal(CONFIG_MAP(""), "{}");
}

static void unknown_fields_are_skipped(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_string_equal(CONFIG_MAP("\x98\x06\x01" /* 99: varint */
                                   "\x99\x06"
                                   "12345678"                                 /* fixed64 */
                                   "\x9a\x06\x01x"                            /* bytes */
                                   "\x9b\x06\x08\x01\x13\x08\x01\x14\x9c\x06" /* group in a group */
                                   "\x9d\x06"
                                   "1234\x20\x01"), /* fixed32; immutable */
                        "{\"immutable\":true}");
}

static void numbers_may_be_packed(void **state)
{
    AUTO_ARENA a = arena_new();
    /* spec.securityContext.supplementalGroups: 1 alone, 2 and 300 packed */
    assert_string_equal(decode(a, "v1", "Pod",
                               BYTES("\x12\x09\x72\x07\x20\x01\x22\x03\x02\xac\x02")),
                        "{\"spec\":{\"securityContext\":{\"supplementalGroups\":[1,2,300]}}}");
}

static void text_that_is_no_utf8_is_repaired(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_string_equal(CONFIG_MAP("\x12\x07\x0a\x01k\x12\x02\xff"
                                   "a"),
                        "{\"data\":{\"k\":\"\xef\xbf\xbd"
                        "a\"}}");
    assert_string_equal(CONFIG_MAP("\x12\x06\x0a\x01\xff\x12\x01v\x12\x06\x0a\x01\xfe\x12\x01w"),
                        "{\"data\":{\"\xef\xbf\xbd\":\"w\"}}");
}

static void broken_messages_say_why(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_string_equal(CONFIG_MAP("\x0a\x05\x0a"), "unexpected EOF");
    assert_string_equal(CONFIG_MAP("\x0a\x02\x0a\x05"), "unexpected EOF");
    assert_string_equal(CONFIG_MAP("\x08\x01"), "proto: wrong wireType = 0 for field metadata");
    assert_string_equal(CONFIG_MAP("\x02\x00"), "proto: ConfigMap: illegal tag 0 (wire type 2)");
    assert_string_equal(CONFIG_MAP("\x0c"), "proto: ConfigMap: wiretype end group for non-group");
    assert_string_equal(CONFIG_MAP("\x0a\x02\x02\x00"),
                        "proto: ObjectMeta: illegal tag 0 (wire type 2)");
    assert_string_equal(CONFIG_MAP("\x9f\x06"), "proto: illegal wireType 7");
    assert_string_equal(CONFIG_MAP("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
                        "proto: integer overflow");
    assert_string_equal(CONFIG_MAP("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                        "proto: negative length found during unmarshaling");
    assert_non_null(strstr(decode(a, "apps/v1", "ControllerRevision", BYTES("\x12\x04\x0a\x02{,")),
                           "the JSON of field data: "));
}

static void envelopes_say_why(void **state)
{
    AUTO_ARENA a = arena_new();
    struct protobuf_envelope e;
    struct error *err = NULL;
    assert_error(protobuf_open(a, "", 0, &e, &err), err, ERROR_INVALID, "empty data");
    assert_error(protobuf_open(a, BYTES("{}"), &e, &err), err, ERROR_INVALID,
                 "expected prefix [107 56 115 0]");
    assert_error(protobuf_open(a, BYTES("k8s\0"), &e, &err), err, ERROR_INVALID, "empty body");
    assert_error(protobuf_open(a, BYTES("k8s\0\x0a\x05"), &e, &err), err, ERROR_INVALID,
                 "unexpected EOF");
    assert_int_equal(protobuf_open(a, BYTES("k8s\0\x1a\x01x"), &e, &err), 0);
    assert_string_equal(e.kind, "");
    assert_int_equal(e.raw_len, 0);
}

/* ---- caps --------------------------------------------------------------------------------------------------------- */

/* Wraps what is in the buffer into a field of a message. */
static void wrap(struct buf *b, unsigned number)
{
    struct buf outer = BUF_INIT(4 * MIB);
    size_t n = b->len;
    for (unsigned tag = number << 3 | 2; tag; tag >>= 7)
        buf_putc(&outer, (char)(tag > 127 ? tag | 0x80 : tag));
    for (; n > 127; n >>= 7)
        buf_putc(&outer, (char)(n | 0x80));
    buf_putc(&outer, (char)n);
    buf_append(&outer, b->data, b->len);
    buf_done(b);
    *b = outer;
}

static void depth_has_an_end(void **state)
{
    AUTO_ARENA a = arena_new();
    static const unsigned path[] = { 1, 4, 7, 2 }; /* openAPIV3Schema, schema, versions, spec */
    for (int depth = 10; depth <= 1000; depth += 990) {
        AUTO_BUF b = BUF_INIT(1 * MIB);
        for (int i = 0; i < depth; i++)
            wrap(&b, 28); /* not */
        for (size_t i = 0; i < COUNT_OF(path); i++)
            wrap(&b, path[i]);
        const char *text =
            decode(a, "apiextensions.k8s.io/v1", "CustomResourceDefinition", b.data, b.len);
        assert_int_equal(strstr(text, "nested more than 128 deep") != NULL, depth > 128);
        assert_int_equal(strstr(text, "{\"not\":{\"not\":") != NULL, depth < 128);
    }
}

/* JSON within protobuf must not make the whole deeper than what can be read again. */
static void depth_counts_on_in_raw_json(void **state)
{
    AUTO_ARENA a = arena_new();
    for (int depth = 126; depth <= 128; depth++) {
        AUTO_BUF b = BUF_INIT(1 * MIB);
        for (int i = 0; i < depth; i++)
            buf_putc(&b, '[');
        for (int i = 0; i < depth; i++)
            buf_putc(&b, ']');
        wrap(&b, 1);
        wrap(&b, 2);
        const char *text = decode(a, "apps/v1", "ControllerRevision", b.data, b.len);
        struct json *again = NULL;
        bool reads = json_parse(a, text, strlen(text), &again, NULL) == 0;
        assert_int_equal(reads, depth < 128);
    }
}

static void values_and_pieces_have_an_end(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_BUF many = BUF_INIT(4 * MIB);
    for (int i = 0; i <= PROTOBUF_MAX_VALUES; i++)
        buf_append(&many, "\x12", 2); /* spec.containers: an empty one */
    wrap(&many, 2);
    assert_string_equal(decode(a, "v1", "Pod", many.data, many.len),
                        "proto: PodSpec: more than 1000000 values");
    AUTO_BUF pieces = BUF_INIT(4 * MIB);
    for (int i = 0; i <= PROTOBUF_MAX_MERGES + 1; i++)
        buf_append(&pieces, "\x0a", 2);
    assert_string_equal(decode(a, "v1", "Pod", pieces.data, pieces.len),
                        "proto: Pod: more than 16 messages in pieces");
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static const char *ask(struct test_server *t, const char *method, const char *path,
                       const char *body, size_t len, int *ret_status)
{
    struct kube_request request = {
        .method = method,
        .path = path,
        .content_type = PROTOBUF_MEDIA_TYPE,
        .body = body,
        .body_len = len,
    };
    struct kube_response response = { 0 };
    struct error *err = NULL;
    if (t->transport->ops->call(t->transport, &request, &response, &err) < 0)
        fail_msg("%s", error_message(err));
    char *text = arena_strdup(t->a, buf_str(&response.body));
    buf_done(&response.body);
    *ret_status = response.status;
    return text;
}

#define ASK(method, path, text) ask(&t, method, path, BYTES(text), &status)
#define CONFIG_MAPS "/api/v1/namespaces/default/configmaps"

static void the_server_takes_them(void **state)
{
    struct test_server t;
    int status;
    test_server_start(&t, NULL);
    const char *text = ASK("POST", CONFIG_MAPS,
                           "k8s\0\x0a\x0f\x0a\x02v1\x12\x09"
                           "ConfigMap"
                           "\x12\x0d\x0a\x03\x0a\x01"
                           "a\x12\x06\x0a\x01k\x12\x01v");
    assert_int_equal(status, 201);
    assert_non_null(strstr(text, "\"data\":{\"k\":\"v\"}"));
    /* without a type, it is what the path says */
    ASK("POST", CONFIG_MAPS,
        "k8s\0\x12\x05\x0a\x03\x0a\x01"
        "b");
    assert_int_equal(status, 201);
    text = ASK("POST", CONFIG_MAPS,
               "k8s\0\x0a\x0c\x0a\x02v1\x12\x06"
               "Secret\x12\x05\x0a\x03\x0a\x01"
               "c");
    assert_int_equal(status, 400);
    assert_non_null(strstr(text, "Secret in version \\\"v1\\\" cannot be handled as a ConfigMap"));
    text = ASK("POST", CONFIG_MAPS,
               "k8s\0\x12\x05\x0a\x04\x0a\x01"
               "b");
    assert_int_equal(status, 400);
    assert_non_null(
        strstr(text,
               "ConfigMap in version \\\"v1\\\" cannot be handled as a ConfigMap: unexpected EOF"));
    text = ASK("POST", CONFIG_MAPS, "{}");
    assert_int_equal(status, 400);
    assert_non_null(strstr(text, "does not appear to be a protobuf message"));
    ASK("DELETE", CONFIG_MAPS "/a",
        "k8s\0\x0a\x13\x0a\x02v1\x12\x0d"
        "DeleteOptions\x12\x06\x12\x04\x0a\x02no");
    assert_int_equal(status, 409);
    ASK("DELETE", CONFIG_MAPS "/a",
        "k8s\0\x0a\x13\x0a\x02v1\x12\x0d"
        "DeleteOptions\x12\x02\x08\x00");
    assert_int_equal(status, 200);
    test_server_stop(&t);
}

static void custom_resources_have_no_protobuf(void **state)
{
    struct test_server t;
    int status;
    test_server_start(&t, NULL);
    test_server_crds(&t, "workspaces.kaito.sh");
    const char *text = ASK("POST", "/apis/kaito.sh/v1beta1/namespaces/default/workspaces",
                           "k8s\0\x12\x05\x0a\x03\x0a\x01"
                           "a");
    assert_int_equal(status, 415);
    assert_non_null(strstr(text, "include: application/json, application/yaml\""));
    text = ASK("DELETE", "/apis/kaito.sh/v1beta1/namespaces/default/workspaces/a",
               "k8s\0\x12\x02\x08\x00");
    assert_int_equal(status, 404);
    assert_int_equal(test_server_ask_type(&t, "POST", CONFIG_MAPS, "text/plain", NULL, "x"), 415);
    assert_non_null(strstr(
        t.text,
        "include: application/json, application/yaml, application/vnd.kubernetes.protobuf\""));
    test_server_stop(&t);
}

UNIT_TESTS(TEST(reads_what_go_writes), TEST(survives_cuts_and_changes), TEST(the_last_one_counts),
           TEST(unknown_fields_are_skipped), TEST(numbers_may_be_packed),
           TEST(text_that_is_no_utf8_is_repaired), TEST(broken_messages_say_why),
           TEST(envelopes_say_why), TEST(depth_has_an_end), TEST(depth_counts_on_in_raw_json),
           TEST(values_and_pieces_have_an_end), TEST(the_server_takes_them),
           TEST(custom_resources_have_no_protobuf))
