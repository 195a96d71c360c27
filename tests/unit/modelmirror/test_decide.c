/* A ModelMirror from its claim to Ready, and what goes wrong between. */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "kube/meta.h"
#include "modelmirror/decide.h"
#include "unit.h"
#include "json/build.h"

#define NOW "2026-01-02T03:04:05Z"

struct fixture {
    struct arena *a;
    struct operator_settings settings;
    struct mirror_observed o;
    struct decision d;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){ .a = arena_new() };
    struct arena *a = f->a;
    struct json *spec =
        OBJ("mode", STR("Managed"), "source",
            OBJ("registry", STR("huggingface"), "modelID", STR("microsoft/phi-4-mini-instruct")),
            "storage", OBJ("size", STR("87Gi"), "storageClassName", STR("blob")), "jobNamespace",
            STR("n"), "serviceAccountName", STR("sa"));
    f->o.mirror = OBJ("metadata",
                      OBJ("name", STR("172f34"), "uid", STR("u"), "resourceVersion", STR("5"),
                          "generation", INT(1), "finalizers", ARR(STR(MIRROR_FINALIZER))),
                      "spec", spec);
    f->o.pods = EMPTY_ARR();
}

static void end(struct fixture *f)
{
    arena_free(f->a);
}

static struct json *parse(struct fixture *f, const char *text)
{
    char *copy = arena_strdup(f->a, text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct json *v = NULL;
    assert_int_equal(json_parse(f->a, copy, strlen(copy), &v, NULL), 0);
    return v;
}

/* "create Job …; patch ModelMirror …" */
static const char *decided(struct fixture *f)
{
    static const char *const ops[] = { "create", "patch", "jsonPatch", "delete" };
    struct mirror_input in = { &f->settings, &f->o, 0 };
    time_parse_rfc3339(NOW, &in.now_ns);
    mirror_decide(f->a, &in, &f->d);
    const char *text = "";
    for (size_t i = 0; i < f->d.write_count; i++)
        text = arena_printf(f->a, "%s%s%s %s", text, i > 0 ? "; " : "", ops[f->d.writes[i].op],
                            f->d.writes[i].resource->kind);
    return text;
}

static void expect_condition(struct fixture *f, const char *type, const char *status,
                             const char *reason)
{
    const struct json *c = condition_find(json_get(f->d.status, "conditions"), type);
    assert_string_equal(json_find_str(c, "status"), status);
    assert_string_equal(json_find_str(c, "reason"), reason);
}

static void from_claim_to_ready(void **state)
{
    struct fixture f;
    begin(&f);
    json_del(json_get((struct json *)f.o.mirror, "metadata"), "finalizers");
    assert_string_equal(decided(&f), "patch ModelMirror; create PersistentVolumeClaim");
    const struct json *claim = f.d.writes[1].body;
    assert_string_equal(json_find_str(claim, "spec", "resources", "requests", "storage"), "87Gi");
    assert_true(meta_has_finalizer(claim, MIRROR_PROTECTION));
    expect_condition(&f, "StorageReady", "False", "PVCPending");
    assert_true(f.d.requeue_ms > 0);
    end(&f);

    begin(&f);
    f.o.claim = parse(&f, "{'metadata':{'name':'172f34'},'status':{'phase':'Bound'}}");
    assert_string_equal(decided(&f), "create Job");
    expect_condition(&f, "StorageReady", "True", "PVCBound");
    const struct json *pod = json_find(f.d.writes[0].body, "spec", "template", "spec");
    assert_string_equal(json_find_str(pod, "serviceAccountName"), "sa");
    assert_string_equal(f.d.writes[0].ns, "n");

    f.o.job = parse(&f, "{'metadata':{'name':'j','uid':'k'},'status':{'active':1}}");
    assert_string_equal(decided(&f), "");
    assert_null(condition_find(json_get(f.d.status, "conditions"), "Ready"));
    f.o.job = parse(&f, "{'metadata':{'name':'j'},'status':{'succeeded':1,'completionTime':'" NOW
                        "','conditions':[{'type':'Complete','status':'True'}]}}");
    assert_string_equal(decided(&f), "");
    expect_condition(&f, "Ready", "True", "DownloadSucceeded");
    assert_string_equal(json_find_str(f.d.status, "phase"), "Ready");
    assert_string_equal(json_find_str(f.d.status, "modelPath"),
                        "/models/microsoft/phi-4-mini-instruct");
    assert_int_equal(f.d.requeue_ms, 0);

    /* for good */
    json_set(f.a, (struct json *)f.o.mirror, "status", f.d.status);
    f.o.job = NULL;
    f.o.claim = NULL;
    assert_string_equal(decided(&f), "");
    end(&f);
}

static void a_failure_is_explained_and_tried_again(void **state)
{
    static const struct {
        const char *pods, *reason, *part;
    } rows[] = {
        { "[]", "DownloadFailed", "limit" },
        { "[{'status':{'containerStatuses':[{'state':{'terminated':{'exitCode':1,'message':'cannot "
          "download x'}}}]}}]",
          "DownloadFailed", "cannot download x" },
        { "[{'status':{'containerStatuses':[{'state':{'terminated':{'reason':'OOMKilled'}}}]}}]",
          "DownloadOOMKilled", "memory" },
        { "[{'status':{'reason':'Evicted','message':'low on disk'}}]", "DownloadEvicted", "disk" },
    };
    static const char *const job =
        "{'metadata':{'name':'j','uid':'k','namespace':'n'},'status':{'failed':4,'conditions':[{"
        "'type':'Failed','status':'True','message':'limit','lastTransitionTime':'%s'}]}}";
    struct fixture f;
    begin(&f);
    f.o.claim = parse(&f, "{'metadata':{'name':'172f34'},'status':{'phase':'Bound'}}");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        f.o.job = parse(&f, str_replace(f.a, job, "%s", "2026-01-02T03:03:05Z"));
        f.o.pods = parse(&f, rows[i].pods);
        assert_string_equal(decided(&f), "");
        expect_condition(&f, "Ready", "False", rows[i].reason);
        assert_non_null(strstr(json_find_str(f.d.status, "failureMessage"), rows[i].part));
        assert_true(f.d.requeue_ms > 0);
    }
    /* five minutes later */
    f.o.job = parse(&f, str_replace(f.a, job, "%s", "2026-01-02T02:59:04Z"));
    assert_string_equal(decided(&f), "delete Job");
    assert_string_equal(f.d.writes[0].uid, "k");
    end(&f);
}

static void a_failed_creation_is_told(void **state)
{
    struct fixture f;
    begin(&f);
    decided(&f);
    struct mirror_input in = { &f.settings, &f.o, 0 };
    struct json *status = mirror_status_after_error(&in, f.a, &f.d, "quota exceeded");
    const struct json *c = condition_find(json_get(status, "conditions"), "Ready");
    assert_string_equal(json_find_str(c, "reason"), "PVCCreateFailed");
    assert_string_equal(json_find_str(status, "failureMessage"), "quota exceeded");
    end(&f);
}

static void a_download_tells_how_far_it_is(void **state)
{
    static const struct {
        const char *metrics;
        int64_t speed, remaining; /* -1: not told */
    } rows[] = {
        { "model_mirror_download_speed_bytes_per_second 1000\n"
          "model_mirror_download_remaining_seconds 60\n",
          1000, 60 },
        { "# HELP x\nmodel_mirror_download_remaining_seconds 6e1\r\n"
          "model_mirror_download_speed_bytes_per_second 0.9\n",
          0, 60 },
        { "model_mirror_download_speed_bytes_per_second -1\n"
          "model_mirror_download_remaining_seconds -1\n",
          -1, -1 },
        { "model_mirror_download_speed_bytes_per_second 5\n", -1, -1 },
        { "model_mirror_download_speed_bytes_per_second NaN\n"
          "model_mirror_download_remaining_seconds inf\n",
          -1, -1 },
        { "<html>", -1, -1 },
        { "", -1, -1 },
    };
    struct fixture f;
    begin(&f);
    f.o.claim = parse(&f, "{'metadata':{'name':'172f34'},'status':{'phase':'Bound'}}");
    f.o.job = parse(&f, "{'metadata':{'name':'j','uid':'k'},'status':{'active':1}}");
    f.o.pods = parse(&f, "[{'metadata':{'name':'j-1'},'status':{'phase':'Running'}}]");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        f.o.metrics = rows[i].metrics;
        assert_string_equal(decided(&f), "");
        const struct json *download = json_get(f.d.status, "download");
        assert_int_equal(json_find_int(download, -1, "speedBytesPerSecond"), rows[i].speed);
        assert_int_equal(json_find_int(download, -1, "remainingSeconds"), rows[i].remaining);
    }
    /* no answer: as it was; no pod: nothing */
    json_set(f.a, (struct json *)f.o.mirror, "status",
             parse(&f, "{'download':{'speedBytesPerSecond':1,'remainingSeconds':2}}"));
    f.o.metrics = NULL;
    decided(&f);
    assert_int_equal(json_find_int(f.d.status, -1, "download", "remainingSeconds"), 2);
    f.o.pods = parse(&f, "[]");
    decided(&f);
    assert_null(json_get(f.d.status, "download"));
    end(&f);
}

static void what_cannot_work_is_said(void **state)
{
    struct fixture f;
    begin(&f);
    json_del(json_get((struct json *)f.o.mirror, "spec"), "jobNamespace");
    assert_string_equal(decided(&f), "");
    expect_condition(&f, "Ready", "False", "InvalidSpec");
    end(&f);

    begin(&f);
    json_set_str(f.a, json_get((struct json *)f.o.mirror, "spec"), "mode", "Static");
    assert_string_equal(decided(&f), "");
    expect_condition(&f, "Ready", "True", "StaticMirror");
    end(&f);
}

static void deletion_takes_all_of_it(void **state)
{
    struct fixture f;
    begin(&f);
    json_set_str(f.a, json_get((struct json *)f.o.mirror, "metadata"), "deletionTimestamp", NOW);
    f.o.claim = parse(&f, "{'metadata':{'name':'172f34','uid':'c','finalizers':['"
                          "kubernetes.io/pvc-protection','" MIRROR_PROTECTION "']}}");
    f.o.job = parse(&f, "{'metadata':{'name':'j','uid':'k'}}");
    assert_string_equal(decided(&f), "delete Job; patch PersistentVolumeClaim; delete "
                                     "PersistentVolumeClaim; patch ModelMirror");
    assert_string_equal(json_string(
                            json_at(json_find(f.d.writes[1].body, "metadata", "finalizers"), 0)),
                        "kubernetes.io/pvc-protection");
    assert_null(f.d.status);
    end(&f);
}

UNIT_TESTS(TEST(from_claim_to_ready), TEST(a_failure_is_explained_and_tried_again),
           TEST(a_failed_creation_is_told), TEST(a_download_tells_how_far_it_is),
           TEST(what_cannot_work_is_said), TEST(deletion_takes_all_of_it))
