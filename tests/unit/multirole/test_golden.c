/* MultiRoleInferences as the Go operator was recorded: the same InferenceSets and objects of the
 * gateway are made, and over the same InferenceSets the same conditions come out.
 *
 * tests/data/inferenceset-golden.jsonl: {"scenario", "stage", "role", "sets": {NAME: {"labels",
 * "spec", "status"}}, "status", "pool": {KIND: spec}}. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "multirole/decide.h"
#include "unit.h"

static void expect_equal(const char *where, const char *what, const struct json *want,
                         const struct json *got)
{
    if (json_equal(want, got))
        return;
    AUTO_BUF diff = BUF_INIT(MIB);
    json_describe_diff(want, got, 30, &diff);
    fail_msg("%s: %s:\n%s", where, what, buf_str(&diff));
}

/* Without what the API server adds and what Go writes of empty structs. */
static struct json *plain(struct arena *a, const struct json *spec)
{
    struct json *copy = json_clone(a, spec);
    struct json *preset = json_find(copy, "template", "inference", "preset");
    json_del(preset, "accessMode");
    if (json_size(json_get(preset, "presetOptions")) == 0)
        json_del(preset, "presetOptions");
    return copy;
}

static const struct json *created(const struct decision *d, const char *kind, const char *name)
{
    for (size_t i = 0; i < d->write_count; i++)
        if (d->writes[i].op == WRITE_CREATE && STREQ(d->writes[i].resource->kind, kind) &&
            (!name || STREQ(d->writes[i].name, name)))
            return d->writes[i].body;
    return NULL;
}

static struct json *brief(struct arena *a, const struct json *status)
{
    struct json *conditions = EMPTY_OBJ();
    JSON_FOREACH(it, json_get(status, "conditions"))
        json_set(a, conditions, json_find_str(it.value, "type"),
                 STRF("%s %s", json_find_str(it.value, "status"),
                      json_find_str(it.value, "reason")));
    return conditions;
}

static const struct operator_settings settings = {
    .gates.on = { [GATE_VLLM] = true, [GATE_MULTI_ROLE] = true, [GATE_GATEWAY_API] = true },
};

static void decide(struct arena *a, const struct multi_role_observed *o, struct decision *ret)
{
    multi_role_decide(a, &(struct multi_role_input){ .settings = &settings, .observed = o }, ret);
}

static void made_anew(struct arena *a, const char *where, const struct json *record)
{
    const struct multi_role_observed o = { .object = json_get(record, "role"),
                                           .pool.served = true };
    struct decision d;
    decide(a, &o, &d);
    assert_int_equal(json_size(json_get(record, "sets")), 2);
    JSON_FOREACH(it, json_get(record, "sets")) {
        const struct json *set = created(&d, "InferenceSet", it.key);
        expect_equal(where, it.key, plain(a, json_get(it.value, "spec")),
                     plain(a, json_get(set, "spec")));
        expect_equal(where, "labels", json_get(it.value, "labels"),
                     json_find(set, "metadata", "labels"));
    }
    JSON_FOREACH(it, json_get(record, "pool"))
        expect_equal(where, it.key, it.value, json_get(created(&d, it.key, NULL), "spec"));
}

static void taken_over(struct arena *a, const char *where, const struct json *record)
{
    struct json *object = json_clone(a, json_get(record, "role"));
    json_set_str(a, json_get(object, "metadata"), "uid", "u");
    struct multi_role_observed o = { .object = object, .pool.served = true };
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        const char *name = multi_role_child_name(a, meta_name(object), role);
        const struct json *set = json_find(record, "sets", name);
        o.children[role] =
            OBJ("metadata",
                OBJ("name", STR(name), "labels", json_clone(a, json_get(set, "labels")),
                    "ownerReferences",
                    ARR(meta_controller_ref(a, object, &KUBE_MULTI_ROLE_INFERENCES))),
                "spec", json_clone(a, json_get(set, "spec")), "status",
                json_clone(a, json_get(set, "status")));
    }
    struct decision d;
    decide(a, &o, &d);
    for (size_t i = 0; i < d.write_count; i++)
        if (d.writes[i].resource == &KUBE_INFERENCE_SETS)
            fail_msg("%s: InferenceSet %s is not left alone: %s", where, d.writes[i].name,
                     json_text(a, d.writes[i].body));
    expect_equal(where, "conditions", brief(a, json_get(record, "status")), brief(a, d.status));
}

static void as_recorded(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_FREE char *text = NULL;
    size_t len = 0, count = 0;
    assert_int_equal(file_read(GOLDEN, 16 * MIB, &text, &len, NULL), 0);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        struct json *record = NULL;
        assert_int_equal(json_parse(a, line, (size_t)(end - line), &record, NULL), 0);
        if (!json_get(record, "role"))
            continue;
        const char *where = arena_printf(a, "%s/%s", json_find_str(record, "scenario"),
                                         json_find_str(record, "stage"));
        made_anew(a, where, record);
        taken_over(a, where, record);
        count++;
    }
    assert_int_equal(count, 2);
}

static void names_and_roles_are_checked(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *object =
        OBJ("metadata", OBJ("name", STR("9"), "generation", INT(1)), "spec",
            OBJ("roles", ARR(OBJ("type", STR("prefill")), OBJ("type", STR("decode")))));
    const struct multi_role_observed o = { .object = object };
    struct decision d;
    decide(a, &o, &d);
    assert_null(created(&d, "InferenceSet", NULL));
    assert_string_equal(json_find_str(brief(a, d.status), "Ready"), "False NotReady");
    assert_string_equal(d.events[0].reason, "ReconcileFailed");
    json_set_str(a, json_get(object, "metadata"), "name", "ok");
    json_remove_at(json_find(object, "spec", "roles"), 1);
    decide(a, &o, &d);
    assert_null(created(&d, "InferenceSet", NULL));
    assert_non_null(strstr(d.events[0].message, "decode"));
}

UNIT_TESTS(TEST(as_recorded), TEST(names_and_roles_are_checked))
