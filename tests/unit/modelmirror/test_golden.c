/* What the Go operator was seen to make of a ModelMirror, in the recorded scenario
 * gate-streaming-managed: claim, Job and status. The server's own defaults are left out of what was
 * recorded, names that are drawn and scripts out of both. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "modelmirror/decide.h"
#include "unit.h"
#include "json/build.h"

static const char *const defaults[] = {
    "annotations",
    "batch.kubernetes.io/job-name",
    "completionMode",
    "completions",
    "dnsPolicy",
    "hadGenerateName",
    "imagePullPolicy",
    "job-name",
    "manualSelector",
    "parallelism",
    "podReplacementPolicy",
    "schedulerName",
    "securityContext",
    "serviceAccount",
    "status",
    "suspend",
    "terminationGracePeriodSeconds",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "volumeMode",
};

static bool is_default(const char *key, const struct json *value)
{
    for (size_t i = 0; i < COUNT_OF(defaults); i++)
        if (STREQ(key, defaults[i]))
            return true;
    return json_is_object(value) && json_size(value) == 0;
}

static void strip(struct json *v)
{
    JSON_FOREACH(it, v) {
        const char *text = json_string(it.value);
        if ((it.key && is_default(it.key, it.value)) ||
            (text && str_has_prefix(text, "kubernetes.io/pvc-protection")))
            json_iter_remove(&it);
        else
            strip(it.value);
    }
}

/* Scripts by one word: of the recorded ones only that is known. */
static void hide_scripts(struct arena *a, struct json *list)
{
    JSON_FOREACH(it, list) {
        if (json_get(it.value, "args"))
            json_set(a, it.value, "args", ARR(STR("SCRIPT")));
        JSON_FOREACH(variable, json_get(it.value, "env"))
            if (str_eq(json_find_str(variable.value, "name"), "SAMPLER_SCRIPT"))
                json_set_str(a, variable.value, "value", "SCRIPT");
    }
}

static struct json *made(struct arena *a, const struct write *w)
{
    struct json *obj = json_clone(a, w->body);
    struct json *pod = (struct json *)json_find(obj, "spec", "template", "spec");
    hide_scripts(a, json_get(pod, "containers"));
    hide_scripts(a, json_get(pod, "initContainers"));
    if (w->resource == &KUBE_JOBS) { /* the recording has left out what names are made from */
        json_set_str(a, json_get(obj, "metadata"), "name", "172f34-download-RAND");
        assert_true(json_del(json_get(obj, "metadata"), "generateName"));
    }
    strip(obj);
    return obj;
}

static struct json *recorded(struct arena *a, const struct json *stage, const char *kind)
{
    JSON_FOREACH(it, json_get(stage, "objects"))
        if (str_eq(json_find_str(it.value, "kind"), kind))
            return json_clone(a, it.value);
    fail_msg("the recording has no %s", kind);
    return NULL;
}

static void expect(struct arena *a, const struct json *wanted, const struct json *got)
{
    AUTO_BUF text = BUF_INIT(MIB);
    if (json_equal(wanted, got))
        return;
    json_describe_diff(wanted, got, 40, &text);
    fail_msg("%s: %s", json_find_str(wanted, "kind"), buf_str(&text));
}

static const struct write *write_of(const struct decision *d, const struct kube_resource *r)
{
    for (size_t i = 0; i < d->write_count; i++)
        if (d->writes[i].resource == r && d->writes[i].op == WRITE_CREATE)
            return &d->writes[i];
    fail_msg("no %s is made", r->kind);
    return NULL;
}

/* The mirror as the Workspace controller made it. */
static struct json *fresh(struct arena *a, const struct json *mirror)
{
    struct json *obj = json_clone(a, mirror);
    json_del(obj, "status");
    struct json *metadata = json_get(obj, "metadata");
    json_del(metadata, "finalizers");
    json_set_str(a, metadata, "uid", "u");
    json_set_str(a, metadata, "resourceVersion", "1");
    return obj;
}

static struct json *short_conditions(struct arena *a, const struct json *status)
{
    struct json *list = EMPTY_ARR();
    JSON_FOREACH(it, json_get(status, "conditions"))
        json_append(list, OBJ("reason", json_clone(a, json_get(it.value, "reason")), "status",
                              json_clone(a, json_get(it.value, "status")), "type",
                              json_clone(a, json_get(it.value, "type"))));
    return list;
}

static void a_mirror_is_as_recorded(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    struct json *stage = NULL;
    assert_int_equal(file_read(RECORDED, MIB, &text, &len, NULL), 0);
    assert_int_equal(json_parse(a, text, strcspn(text, "\n"), &stage, NULL), 0);
    struct json *wanted = recorded(a, stage, "ModelMirror");
    struct json *claim = recorded(a, stage, "PersistentVolumeClaim");
    struct json *job = recorded(a, stage, "Job");

    struct operator_settings settings = { 0 };
    struct mirror_observed o = { .mirror = fresh(a, wanted), .pods = EMPTY_ARR() };
    const struct mirror_input in = { &settings, &o, 0 };
    struct decision d;
    mirror_decide(a, &in, &d);
    assert_true(json_equal(json_find(d.writes[0].body, "metadata", "finalizers"),
                           json_find(wanted, "metadata", "finalizers")));
    const struct write *w = write_of(&d, &KUBE_PERSISTENT_VOLUME_CLAIMS);
    o.claim = claim;
    json_set(a, (struct json *)o.mirror, "status", json_clone(a, d.status));
    struct json *bare = json_clone(a, claim);
    strip(bare);
    struct json *got = made(a, w);
    expect(a, bare, got);

    mirror_decide(a, &in, &d);
    w = write_of(&d, &KUBE_JOBS);
    bare = json_clone(a, job);
    strip(bare);
    got = made(a, w);
    expect(a, bare, got);

    json_set(a, (struct json *)o.mirror, "status", json_clone(a, d.status));
    o.job = job;
    mirror_decide(a, &in, &d);
    assert_true(
        json_equal(short_conditions(a, d.status), json_find(wanted, "status", "conditions")));
    assert_null(json_get(d.status, "phase"));
}

UNIT_TESTS(TEST(a_mirror_is_as_recorded))
