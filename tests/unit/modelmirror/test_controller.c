/* The ModelMirror controller with its threads against the embedded API server; the test plays the
 * provisioner of volumes, the Job controller and the kubelet. */
#include <unistd.h>

#include "apiserver/apiserver.h"
#include "base/clock.h"
#include "base/str.h"
#include "cmd/crds.h"
#include "kube/meta.h"
#include "modelmirror/decide.h"
#include "modelmirror/modelmirror.h"
#include "unit.h"
#include "json/build.h"

#define NS "default"
#define NAME "172f34"
#define MANAGED                                                                                    \
    "{'apiVersion':'kaito.sh/v1alpha1','kind':'ModelMirror','metadata':{'name':'" NAME             \
    "'},'spec':{'mode':'Managed','source':{'registry':'huggingface','modelID':'a/b'},'storage':{"  \
    "'size':'1Gi','storageClassName':'blob'},'jobNamespace':'default','serviceAccountName':'sa'}}"

struct world {
    struct arena *a;
    struct apiserver *server;
    struct kube_transport *transport;
    struct kube_client *client;
    struct event_recorder *events;
    struct manager *manager;
    struct operator_settings settings;
    struct model_mirror_controller *controller;
};

static struct json *parse(struct world *w, const char *text)
{
    char *copy = arena_strdup(w->a, text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct json *v = NULL;
    assert_int_equal(json_parse(w->a, copy, strlen(copy), &v, NULL), 0);
    return v;
}

static void live(struct world *w)
{
    struct error *err = NULL;
    w->events = event_recorder_new(w->client, "ModelMirror", NULL, clock_system());
    w->manager =
        manager_new(&(struct manager_options){ .client = w->client, .clock = clock_system() });
    if (model_mirror_controller_add(w->manager, w->client, &w->settings, w->events, clock_system(),
                                    &w->controller, &err) < 0 ||
        manager_start(w->manager, &err) < 0)
        fail_msg("controller: %s", error_message(err));
}

static void die(struct world *w)
{
    manager_stop(w->manager);
    manager_free(w->manager);
    model_mirror_controller_free(w->controller);
    event_recorder_free(w->events);
}

static void begin(struct world *w)
{
    struct error *err = NULL;
    *w = (struct world){ .a = arena_new() };
    struct apiserver_options options = { .service_cidr = "127.96.0.0/16" };
    if (apiserver_new(&options, &w->server, &err) < 0)
        fail_msg("API server: %s", error_message(err));
    w->transport = apiserver_transport(w->server);
    w->client = kube_client_new(w->transport, &(struct kube_client_options){ 0 });
    if (crds_ensure_mirrors(w->client, &err) < 0)
        fail_msg("CRD: %s", error_message(err));
    live(w);
}

static void end(struct world *w)
{
    die(w);
    kube_client_free(w->client);
    kube_transport_free(w->transport);
    apiserver_free(w->server);
    arena_free(w->a);
}

static void make(struct world *w, const struct kube_resource *r, const char *ns, const char *text)
{
    struct error *err = NULL;
    if (kube_create(w->client, r, ns, parse(w, text), w->a, NULL, &err) < 0)
        fail_msg("%s: %s", r->kind, error_message(err));
}

static void patch(struct world *w, const struct kube_resource *r, const char *ns, const char *name,
                  const char *text)
{
    struct error *err = NULL;
    if (kube_patch(w->client, r, ns, name, "status", KUBE_PATCH_MERGE, parse(w, text), w->a, NULL,
                   &err) < 0)
        fail_msg("%s %s: %s", r->kind, name, error_message(err));
}

static struct json *get(struct world *w, const struct kube_resource *r, const char *ns,
                        const char *name)
{
    struct json *found = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    kube_get(w->client, r, ns, name, w->a, &found, &err);
    return found;
}

static struct json *wait_for(struct world *w, const struct kube_resource *r, const char *ns,
                             const char *name, bool there)
{
    for (int i = 0; i < 2000; i++) {
        struct json *found = get(w, r, ns, name);
        if ((found != NULL) == there)
            return found;
        usleep(5000);
    }
    fail_msg("%s %s %s", r->kind, name, there ? "is not made" : "stays");
    return NULL;
}

static struct json *wait_condition(struct world *w, const char *type, const char *reason)
{
    for (int i = 0; i < 2000; i++) {
        struct json *mirror = get(w, &KUBE_MODEL_MIRRORS, NULL, NAME);
        const struct json *c = condition_find(json_find(mirror, "status", "conditions"), type);
        if (str_eq(json_find_str(c, "reason"), reason))
            return mirror;
        usleep(5000);
    }
    fail_msg("no condition %s with reason %s", type, reason);
    return NULL;
}

/* Claims are not watched: something else of the mirror wakes the controller. */
static void wake(struct world *w, const char *value)
{
    struct json *label = parse(w, arena_printf(w->a, "{'metadata':{'labels':{'x':'%s'}}}", value));
    assert_int_equal(kube_patch(w->client, &KUBE_MODEL_MIRRORS, NULL, NAME, NULL, KUBE_PATCH_MERGE,
                                label, w->a, NULL, NULL),
                     0);
}

static const char *up_to_job(struct world *w)
{
    make(w, &KUBE_MODEL_MIRRORS, NULL, MANAGED);
    struct json *claim = wait_for(w, &KUBE_PERSISTENT_VOLUME_CLAIMS, NS, NAME, true);
    assert_true(meta_has_finalizer(claim, MIRROR_PROTECTION));
    wait_condition(w, "StorageReady", "PVCPending");
    patch(w, &KUBE_PERSISTENT_VOLUME_CLAIMS, NS, NAME, "{'status':{'phase':'Bound'}}");
    wake(w, "1");
    struct json *mirror = wait_condition(w, "StorageReady", "PVCBound");
    assert_true(meta_has_finalizer(mirror, MIRROR_FINALIZER));
    const char *job = mirror_job_name(w->a, mirror);
    wait_for(w, &KUBE_JOBS, NS, job, true);
    return job;
}

static void a_model_is_mirrored_once(void **state)
{
    struct world w;
    begin(&w);
    const char *job = up_to_job(&w);
    die(&w); /* the next one finds all that this one made */
    live(&w);
    patch(&w, &KUBE_JOBS, NS, job, "{'status':{'active':1,'ready':1}}");
    patch(&w, &KUBE_JOBS, NS, job,
          "{'status':{'active':0,'ready':0,'succeeded':1,'startTime':'2026-01-01T00:00:00Z',"
          "'completionTime':'2026-01-01T01:00:00Z','conditions':["
          "{'type':'SuccessCriteriaMet','status':'True'},{'type':'Complete','status':'True'}]}}");
    struct json *mirror = wait_condition(&w, "Ready", "DownloadSucceeded");
    assert_string_equal(json_find_str(mirror, "status", "phase"), "Ready");
    assert_string_equal(json_find_str(mirror, "status", "modelPath"), "/models/a/b");
    assert_string_equal(json_find_str(mirror, "status", "lastDownloadTime"),
                        "2026-01-01T01:00:00Z");
    /* for good: nothing is made again, nothing is written */
    uint64_t commits = 0;
    struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
    options.propagation = KUBE_BACKGROUND;
    assert_int_equal(kube_delete(w.client, &KUBE_JOBS, NS, job, &options, NULL), 0);
    wait_for(&w, &KUBE_JOBS, NS, job, false);
    wake(&w, "2");
    usleep(200000);
    commits = apiserver_commits(w.server);
    usleep(500000);
    assert_true(apiserver_commits(w.server) == commits);
    assert_null(get(&w, &KUBE_JOBS, NS, job));
    end(&w);
}

static void a_failed_download_is_told(void **state)
{
    struct world w;
    begin(&w);
    const char *job = up_to_job(&w);
    make(&w, &KUBE_PODS, NS,
         arena_printf(w.a,
                      "{'metadata':{'name':'p','labels':{'job-name':'%s'}},'spec':{'containers':[{"
                      "'name':'downloader','image':'x'}]}}",
                      job));
    patch(&w, &KUBE_PODS, NS, "p",
          "{'status':{'phase':'Failed','containerStatuses':[{'name':'downloader','image':'x',"
          "'imageID':'','ready':false,'restartCount':0,'state':{'terminated':{'exitCode':137,"
          "'reason':'OOMKilled'}}}]}}");
    patch(&w, &KUBE_JOBS, NS, job,
          "{'status':{'failed':4,'startTime':'2026-01-01T00:00:00Z','conditions':["
          "{'type':'FailureTarget','status':'True'},{'type':'Failed','status':'True',"
          "'reason':'BackoffLimitExceeded','message':'limit','lastTransitionTime':"
          "'2126-01-01T00:00:00Z'}]}}");
    struct json *mirror = wait_condition(&w, "Ready", "DownloadOOMKilled");
    assert_string_equal(json_find_str(mirror, "status", "phase"), "Pending");
    assert_non_null(strstr(json_find_str(mirror, "status", "failureMessage"), "memory"));
    assert_non_null(get(&w, &KUBE_JOBS, NS, job));
    end(&w);
}

static void with_the_mirror_all_goes(void **state)
{
    struct world w;
    begin(&w);
    const char *job = up_to_job(&w);
    struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
    assert_int_equal(kube_delete(w.client, &KUBE_MODEL_MIRRORS, NULL, NAME, &options, NULL), 0);
    wait_for(&w, &KUBE_MODEL_MIRRORS, NULL, NAME, false);
    wait_for(&w, &KUBE_JOBS, NS, job, false);
    struct json *claim = get(&w, &KUBE_PERSISTENT_VOLUME_CLAIMS, NS, NAME);
    assert_true(!claim || (meta_deleting(claim) && !meta_has_finalizer(claim, MIRROR_PROTECTION)));
    end(&w);
}

static void one_of_others_is_ready_at_once(void **state)
{
    struct world w;
    begin(&w);
    make(&w, &KUBE_MODEL_MIRRORS, NULL,
         "{'apiVersion':'kaito.sh/v1alpha1','kind':'ModelMirror','metadata':{'name':'" NAME
         "'},'spec':{'mode':'Static','source':{'registry':'huggingface','modelID':'a/b'}}}");
    struct json *mirror = wait_condition(&w, "Ready", "StaticMirror");
    assert_string_equal(json_find_str(mirror, "status", "phase"), "Ready");
    assert_null(get(&w, &KUBE_PERSISTENT_VOLUME_CLAIMS, NS, NAME));
    end(&w);
}

UNIT_TESTS(TEST(a_model_is_mirrored_once), TEST(a_failed_download_is_told),
           TEST(with_the_mirror_all_goes), TEST(one_of_others_is_ready_at_once))
