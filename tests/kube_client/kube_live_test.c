/* The Kubernetes library against an API server: any, but the answers that are compared are those of
 * a real one.
 *
 *     kube_live_test KUBECONFIG            the tests, as TAP
 *     kube_live_test KUBECONFIG follow NS  an informer of the ConfigMaps of a namespace: prints
 * "synced", then "+name",
 *                                          "~name", "-name" as they come, until stdin ends; then
 * "stopped in N ms" kube_live_test KUBECONFIG get PATH   one GET; prints the body or the error
 *     kube_live_test KUBECONFIG lead NS ID a candidate for a Lease: prints "leads", "lost", until
 * stdin ends */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/config.h"
#include "kube/events.h"
#include "kube/informer.h"
#include "kube/leader.h"
#include "kube/meta.h"
#include "kube/quantity.h"
#include "kube/selector.h"
#include "kube/watch.h"
#include "vectors.h"
#include "json/build.h"

static struct kube_transport *transport;
static struct kube_client *client;
static char ns[32];

static void connect_or_die(const char *path)
{
    struct kube_config *config = NULL;
    struct error *err = NULL;
    if (kube_config_load(path, NULL, &config, &err) < 0 ||
        kube_http_transport_new(config, "kube_live_test/1", &transport, &err) < 0) {
        fprintf(stderr, "%s\n", error_message(err));
        exit(2);
    }
    client = kube_client_new(transport, NULL);
}

static struct json *config_map(struct arena *a, const char *name, struct json *labels,
                               const char *value)
{
    return OBJ("metadata", OBJ("name", STR(name), "namespace", STR(ns), "labels", labels), "data",
               OBJ("k", STR(value)));
}

static void must(int r, struct error **err)
{
    if (r < 0)
        fail_msg("%s", error_message(*err));
}

static void create(const char *name, const char *label, const char *value)
{
    AUTO_ARENA a = arena_new();
    struct error *err = NULL;
    must(kube_create(client, &KUBE_CONFIGMAPS, ns,
                     config_map(a, name, label ? OBJ("l", STR(label)) : NULL, value), a, NULL,
                     &err),
         &err);
}

static int set_up(void **state)
{
    AUTO_ARENA a = arena_new();
    char suffix[9];
    rand_suffix(suffix, 8);
    snprintf(ns, sizeof(ns), "live-%s", suffix);
    struct error *err = NULL;
    must(kube_create(client, &KUBE_NAMESPACES, NULL, OBJ("metadata", OBJ("name", STR(ns))), a, NULL,
                     &err),
         &err);
    return 0;
}

static int tear_down(void **state)
{
    return kube_delete(client, &KUBE_NAMESPACES, NULL, ns, NULL, NULL);
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

static void objects_live_and_die(void **state)
{
    AUTO_ARENA a = arena_new();
    struct error *err = NULL;
    struct json *made = NULL, *got = NULL;
    must(kube_create(client, &KUBE_CONFIGMAPS, ns, config_map(a, "x", NULL, "1"), a, &made, &err),
         &err);
    assert_true(*meta_uid(made) && *meta_resource_version(made));
    assert_error(kube_create(client, &KUBE_CONFIGMAPS, ns, config_map(a, "x", NULL, "1"), a, NULL,
                             &err),
                 err, ERROR_ALREADY_EXISTS, "configmaps \"x\" already exists");

    json_set_str(a, json_get(made, "data"), "k", "2");
    must(kube_update(client, &KUBE_CONFIGMAPS, json_clone(a, made), NULL, a, &got, &err), &err);
    assert_string_equal(json_find_str(got, "data", "k"), "2");
    json_set_str(a, json_get(made, "data"), "k", "3");
    assert_int_equal(kube_update(client, &KUBE_CONFIGMAPS, made, NULL, a, &got, &err),
                     -ERROR_CONFLICT);
    assert_string_equal(error_reason(err), "Conflict");
    error_free(err);
    err = NULL;

    must(kube_patch(client, &KUBE_CONFIGMAPS, ns, "x", NULL, KUBE_PATCH_MERGE,
                    OBJ("data", OBJ("m", STR("1"))), a, &got, &err),
         &err);
    must(kube_patch(client, &KUBE_CONFIGMAPS, ns, "x", NULL, KUBE_PATCH_STRATEGIC,
                    OBJ("data", OBJ("s", STR("1"))), a, &got, &err),
         &err);
    must(kube_patch(client, &KUBE_CONFIGMAPS, ns, "x", NULL, KUBE_PATCH_JSON,
                    ARR(OBJ("op", STR("add"), "path", STR("/data/j"), "value", STR("1"))), a, &got,
                    &err),
         &err);
    assert_int_equal(json_size(json_get(got, "data")), 4);
    must(kube_get(client, &KUBE_CONFIGMAPS, ns, "x", a, &got, &err), &err);
    assert_int_equal(json_size(json_get(got, "data")), 4);

    struct kube_delete_options options = KUBE_DELETE_OPTIONS_INIT;
    options.uid = "somebody-else";
    assert_int_equal(kube_delete(client, &KUBE_CONFIGMAPS, ns, "x", &options, &err),
                     -ERROR_CONFLICT);
    error_free(err);
    err = NULL;
    options.uid = meta_uid(got);
    options.propagation = KUBE_BACKGROUND;
    must(kube_delete(client, &KUBE_CONFIGMAPS, ns, "x", &options, &err), &err);
    assert_error(kube_get(client, &KUBE_CONFIGMAPS, ns, "x", a, &got, &err), err, ERROR_NOT_FOUND,
                 "configmaps \"x\" not found");
}

static void refusals_are_explained(void **state)
{
    AUTO_ARENA a = arena_new();
    struct error *err = NULL;
    assert_error(kube_create(client, &KUBE_CONFIGMAPS, ns, config_map(a, "A", NULL, "1"), a, NULL,
                             &err),
                 err, ERROR_INVALID, "metadata.name");
    assert_error(kube_create(client, &KUBE_CONFIGMAPS, "nowhere",
                             OBJ("metadata", OBJ("name", STR("x"))), a, NULL, &err),
                 err, ERROR_NOT_FOUND, "namespaces \"nowhere\" not found");
    AUTO_BUF raw = { 0 };
    assert_error(kube_get_raw(client, "/nowhere", &raw, &err), err, ERROR_NOT_FOUND,
                 "404 page not found");
    must(kube_get_raw(client, "/version", &raw, &err), &err);
    assert_non_null(strstr(buf_str(&raw), "gitVersion"));
}

static void lists_are_paged_and_selected(void **state)
{
    AUTO_ARENA a = arena_new();
    struct error *err = NULL;
    for (int i = 0; i < 25; i++)
        create(arena_printf(a, "m%02d", i), i % 2 ? "odd" : "even", "1");
    static const struct {
        const char *labels, *fields;
        size_t count;
    } table[] = {
        { NULL, NULL, 25 },
        { "l=odd", NULL, 12 },
        { "l in (odd, even)", NULL, 25 },
        { "l notin (odd)", "metadata.name!=m00", 13 - 1 },
        { NULL, "metadata.name=m07", 1 },
        { "!l", NULL, 0 },
        { "l,l!=odd", NULL, 13 },
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct kube_list_options options = { .ns = ns,
                                             .label_selector = table[i].labels,
                                             .field_selector = table[i].fields,
                                             .limit = 7 };
        struct json *list = NULL;
        must(kube_list(client, &KUBE_CONFIGMAPS, &options, a, &list, &err), &err);
        size_t count = 0;
        JSON_FOREACH(it, json_get(list, "items")) {
            count += !STREQ(meta_name(it.value), "kube-root-ca.crt");
        }
        if (count != table[i].count && !(i == 5 && count == 0))
            fail_msg("%zu: %zu instead of %zu", i, count, table[i].count);
    }
}

/* ---- words -------------------------------------------------------------------------------------------------- */

static int list_with(const char *labels, const char *fields, struct error **err)
{
    AUTO_ARENA a = arena_new();
    struct json *list = NULL;
    return kube_list(client, &KUBE_CONFIGMAPS,
                     &(struct kube_list_options){
                         .ns = ns, .label_selector = labels, .field_selector = fields },
                     a, &list, err);
}

static void selectors_are_refused_in_the_same_words(void **state)
{
    AUTO_ARENA a = arena_new();
    int compared = 0;
    for (char **line = vector_lines(a, SELECTORS); *line; line++) {
        char **fields = str_split(a, *line, '\t', NULL);
        bool labels = STREQ(fields[0], "L");
        if (!labels && !STREQ(fields[0], "F"))
            continue;
        const char *text = vector_string(a, fields[1]);
        CLEANUP(selector_cleanup) struct selector *s = NULL;
        CLEANUP(error_cleanup) struct error *ours = NULL, *theirs = NULL;
        int r = labels ? selector_parse_labels(text, &s, &ours)
                       : selector_parse_fields(text, &s, &ours);
        int server = list_with(labels ? text : NULL, labels ? NULL : text, &theirs);
        if (!labels && r == 0)
            continue; /* the server goes on to look whether it knows the fields */
        if (r != server || (r < 0 && !strstr(error_message(theirs), error_message(ours))))
            fail_msg("%s:\n  ours   %d %s\n  theirs %d %s", text, r, error_message(ours), server,
                     error_message(theirs));
        compared++;
    }
    assert_true(compared > 100);
}

/* We put into one error what the server tells one by one. */
static bool has_all_parts(const char *theirs, const char *ours)
{
    AUTO_ARENA a = arena_new();
    char **parts = str_split(a, str_replace(a, ours, "; ", "\n"), '\n', NULL);
    for (size_t i = 0; parts[i]; i++)
        if (!strstr(theirs, parts[i]))
            return false;
    return true;
}

static void names_are_refused_in_the_same_words(void **state)
{
    static const char *const names[] = { "A",   "-", "a_b", "a..b",      ".a",
                                         "a/b", "é", "a-",  "valid.name" };
    static const char *const keys[] = { "-", "a/b/c", "/x", "x/", "UPPER.com/x", "a b", "fine" };
    static const char *const values[] = { "-", "a b", "é", "fine" };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(names) + COUNT_OF(keys) + COUNT_OF(values); i++) {
        CLEANUP(error_cleanup) struct error *ours = NULL, *theirs = NULL;
        struct json *labels = EMPTY_OBJ();
        const char *name = "labels", *text;
        int r;
        if (i < COUNT_OF(names)) {
            name = text = names[i];
            r = kube_validate_dns1123_subdomain(name, &ours);
        } else if (i < COUNT_OF(names) + COUNT_OF(keys)) {
            text = keys[i - COUNT_OF(names)];
            json_set_str(a, labels, text, "v");
            r = kube_validate_label_key(text, &ours);
        } else {
            text = values[i - COUNT_OF(names) - COUNT_OF(keys)];
            json_set_str(a, labels, "k", text);
            r = kube_validate_label_value(text, &ours);
        }
        int server = kube_create(client, &KUBE_CONFIGMAPS, ns, config_map(a, name, labels, "1"), a,
                                 NULL, &theirs);
        if (r == 0) {
            must(server, &theirs);
            kube_delete(client, &KUBE_CONFIGMAPS, ns, name, NULL, NULL);
        } else if (server != -ERROR_INVALID ||
                   !has_all_parts(error_message(theirs), error_message(ours))) {
            fail_msg("%s:\n  ours   %s\n  theirs %s", text, error_message(ours),
                     error_message(theirs));
        }
    }
    /* Services have names of their own. */
    CLEANUP(error_cleanup) struct error *ours = NULL, *theirs = NULL;
    struct json *service =
        OBJ("metadata", OBJ("name", STR("1a")), "spec", OBJ("ports", ARR(OBJ("port", INT(80)))));
    assert_int_equal(kube_create(client, &KUBE_SERVICES, ns, service, a, NULL, &theirs),
                     -ERROR_INVALID);
    kube_validate_dns1035_label("1a", &ours);
    if (!strstr(error_message(theirs), error_message(ours)))
        fail_msg("ours %s\ntheirs %s", error_message(ours), error_message(theirs));
}

/* A StatefulSet of no pods, with the quantity where the server leaves it as it is, and in a
 * resource list. */
static struct json *with_quantity(struct arena *a, int n, const char *text)
{
    struct json *labels = OBJ("a", STR("b"));
    struct json *volume = OBJ("name", STR("v"), "emptyDir", OBJ("sizeLimit", STR(text)));
    struct json *limits = OBJ("limits", OBJ("cpu", STR(text)));
    struct json *container = OBJ("name", STR("c"), "image", STR("i"), "resources", limits);
    struct json *pod = OBJ("containers", ARR(container), "volumes", ARR(volume));
    struct json *template = OBJ("metadata", OBJ("labels", labels), "spec", pod);
    /* clang-format off */
    return OBJ("metadata", OBJ("name", STRF("q%d", n)),
               "spec", OBJ("replicas", INT(0),
                           "serviceName", STR("s"),
                           "selector", OBJ("matchLabels", json_clone(a, labels)),
                           "template", template));
    /* clang-format on */
}

static void check_shown(const char *text, const char *ours, const char *theirs)
{
    if (!str_eq(ours, theirs))
        fail_msg("%s: ours %s, theirs %s", text, ours, theirs);
}

static void compare_quantity(struct arena *a, int n, const char *text)
{
    char *exact = NULL, *milli = NULL;
    CLEANUP(error_cleanup) struct error *ours = NULL, *theirs = NULL;
    int here = quantity_canonical(a, text, &exact, &ours);
    if (here == 0 && quantity_compare(text, "0") < 0)
        return; /* neither of them may be negative */
    struct json *made = NULL;
    int there =
        kube_create(client, &KUBE_STATEFULSETS, ns, with_quantity(a, n, text), a, &made, &theirs);
    if (here == 0) {
        must(there, &theirs);
        must(quantity_canonical_milli(a, text, &milli, &ours), &ours);
        const struct json *pod = json_find(made, "spec", "template", "spec");
        const struct json *container = json_at(json_get(pod, "containers"), 0);
        const struct json *volume = json_at(json_get(pod, "volumes"), 0);
        check_shown(text, exact, json_find_str(volume, "emptyDir", "sizeLimit"));
        check_shown(text, milli, json_find_str(container, "resources", "limits", "cpu"));
    } else if (there != -ERROR_INVALID || !strstr(error_message(theirs), error_message(ours))) {
        fail_msg("%s:\n  ours   %s\n  theirs %d %s", text, error_message(ours), there,
                 error_message(theirs));
    }
}

static void quantities_are_read_the_same(void **state)
{
    AUTO_ARENA a = arena_new();
    int n = 0;
    for (char **line = vector_lines(a, QUANTITIES); *line; line++) {
        char **fields = str_split(a, *line, '\t', NULL);
        if (**line && !STREQ(fields[0], "?"))
            compare_quantity(a, n++, vector_string(a, fields[0]));
    }
    assert_true(n > 150);
}

/* ---- cache -------------------------------------------------------------------------------------------------- */

struct seen {
    pthread_mutex_t lock;
    struct buf text;
};

static void on_change(void *ctx, struct kube_object *old, struct kube_object *new)
{
    struct seen *s = ctx;
    const char *name = (new ? new : old)->name;
    if (STREQ(name, "kube-root-ca.crt"))
        return;
    pthread_mutex_lock(&s->lock);
    buf_printf(&s->text, "%c%s ", !old ? '+' : !new ? '-' : '~', name);
    pthread_mutex_unlock(&s->lock);
}

static void expect_seen(struct seen *s, const char *wanted)
{
    for (int i = 0; i < 5000; i++) {
        pthread_mutex_lock(&s->lock);
        bool same = STREQ(buf_str(&s->text), wanted);
        pthread_mutex_unlock(&s->lock);
        if (same)
            return;
        usleep(1000);
    }
    fail_msg("saw \"%s\", wanted \"%s\"", buf_str(&s->text), wanted);
}

static void relabel(const char *name, const char *label)
{
    AUTO_ARENA a = arena_new();
    struct error *err = NULL;
    must(kube_patch(client, &KUBE_CONFIGMAPS, ns, name, NULL, KUBE_PATCH_MERGE,
                    OBJ("metadata", OBJ("labels", OBJ("l", STR(label)))), a, NULL, &err),
         &err);
}

static void an_informer_follows(void **state)
{
    struct seen all = { .lock = PTHREAD_MUTEX_INITIALIZER, .text = BUF_INIT(64 * KIB) };
    struct seen some = { .lock = PTHREAD_MUTEX_INITIALIZER, .text = BUF_INIT(64 * KIB) };
    create("a", "x", "1");
    create("b", "y", "1");
    struct informer *i =
        informer_new(client, &KUBE_CONFIGMAPS, &(struct informer_options){ .ns = ns });
    struct informer *j =
        informer_new(client, &KUBE_CONFIGMAPS,
                     &(struct informer_options){ .ns = ns, .label_selector = "l=x" });
    informer_add_handler(i, on_change, &all);
    informer_add_handler(j, on_change, &some);
    struct error *err = NULL;
    must(informer_start(i, &err), &err);
    must(informer_start(j, &err), &err);
    must(informer_wait_synced(i, 5000, &err), &err);
    must(informer_wait_synced(j, 5000, &err), &err);
    create("c", "x", "1");
    relabel("a", "z");
    relabel("b", "x");
    must(kube_delete(client, &KUBE_CONFIGMAPS, ns, "c", NULL, &err), &err);
    expect_seen(&all, "+a +b +c ~a ~b -c ");
    expect_seen(&some, "+a +c -a +b -c ");
    CLEANUP(kube_object_cleanup) struct kube_object *b = informer_get(j, ns, "b");
    assert_string_equal(kube_object_label(b, "l"), "x");
    assert_null(strstr(b->text, "managedFields"));
    assert_non_null(strstr(b->text, "\"kind\":\"ConfigMap\""));

    int64_t start = clock_mono(clock_system());
    informer_stop(i);
    informer_stop(j);
    assert_true(clock_mono(clock_system()) - start < 400 * NS_PER_MS);
    informer_free(i);
    informer_free(j);
    buf_done(&all.text);
    buf_done(&some.text);
}

static void many_objects_come_in_pages(void **state)
{
    AUTO_ARENA a = arena_new();
    struct error *err = NULL;
    for (int i = 0; i < 1100; i++)
        create(arena_printf(a, "m%04d", i), NULL, "1");
    struct informer *i =
        informer_new(client, &KUBE_CONFIGMAPS,
                     &(struct informer_options){
                         .ns = ns, .field_selector = "metadata.name!=kube-root-ca.crt" });
    must(informer_start(i, &err), &err);
    must(informer_wait_synced(i, 10000, &err), &err);
    assert_int_equal(informer_count(i), 1100);
    struct kube_object_list l;
    informer_list(i, ns, NULL, &l);
    for (size_t n = 0; n < l.count; n++)
        assert_string_equal(l.items[n]->name, arena_printf(a, "m%04zu", n));
    kube_object_list_done(&l);
    informer_stop(i);
    informer_free(i);
}

static atomic_int watch_code;

static void ignore_event(void *ctx, enum watch_event_type type, struct arena *a, struct json *obj)
{
}

static void keep_code(void *ctx, const struct error *err)
{
    atomic_store(&watch_code, err ? (int)error_code(err) : 0);
}

static int watch_from(const char *version, int64_t timeout_s)
{
    struct watch *w = NULL;
    struct error *err = NULL;
    atomic_store(&watch_code, -1);
    must(watch_open(client, &KUBE_CONFIGMAPS,
                    &(struct watch_options){
                        .ns = ns, .resource_version = version, .timeout_s = timeout_s },
                    &(struct watch_handler){ ignore_event, keep_code, NULL }, &w, &err),
         &err);
    for (int i = 0; i < 5000 && atomic_load(&watch_code) < 0; i++)
        usleep(1000);
    watch_close(w);
    return atomic_load(&watch_code);
}

static void watches_end_as_they_should(void **state)
{
    int code = watch_from("1", 1); /* a server that was just started may have it still */
    assert_true(code == ERROR_GONE || code == 0);
    assert_int_equal(watch_from("nonsense", 5), ERROR_INTERNAL);
    assert_int_equal(watch_from(NULL, 1), 0);
}

/* ---- leases and events --------------------------------------------------------------------------------------- */

static void a_lease_changes_hands(void **state)
{
    AUTO_ARENA a = arena_new();
    struct error *err = NULL;
    struct leader *one = NULL, *two = NULL;
    struct leader_options options = { .ns = ns,
                                      .name = "lease",
                                      .identity = "one",
                                      .lease_ms = 3000,
                                      .renew_deadline_ms = 2000,
                                      .retry_ms = 100 };
    must(leader_start(client, &options, &one, &err), &err);
    for (int i = 0; i < 3000 && !leader_is(one); i++)
        usleep(1000);
    assert_true(leader_is(one));
    options.identity = "two";
    must(leader_start(client, &options, &two, &err), &err);
    usleep(400000);
    assert_true(leader_is(one) && !leader_is(two));
    int64_t start = clock_mono(clock_system());
    leader_stop(one);
    for (int i = 0; i < 3000 && !leader_is(two); i++)
        usleep(1000);
    assert_true(leader_is(two));
    assert_true(clock_mono(clock_system()) - start < NS_PER_S);
    struct json *lease = NULL;
    must(kube_get(client, &KUBE_LEASES, ns, "lease", a, &lease, &err), &err);
    assert_string_equal(json_find_str(lease, "spec", "holderIdentity"), "two");
    assert_int_equal(json_find_int(lease, 0, "spec", "leaseTransitions"), 1);
    leader_stop(two);
    must(kube_get(client, &KUBE_LEASES, ns, "lease", a, &lease, &err), &err);
    assert_string_equal(json_find_str(lease, "spec", "holderIdentity"), "");
}

static void events_are_counted(void **state)
{
    AUTO_ARENA a = arena_new();
    struct error *err = NULL;
    create("about", NULL, "1");
    struct json *about = NULL;
    must(kube_get(client, &KUBE_CONFIGMAPS, ns, "about", a, &about, &err), &err);
    struct event_recorder *r = event_recorder_new(client, "live", "host", NULL);
    for (int i = 0; i < 3; i++)
        event_record(r, about, "Normal", "Same", "again");
    for (int i = 0; i < 14; i++)
        event_record(r, about, "Warning", "Many", "number %d", i);
    event_recorder_free(r);
    struct json *list = NULL;
    must(kube_list(client, &KUBE_EVENTS,
                   &(struct kube_list_options){ .ns = ns,
                                                .field_selector = "involvedObject.name=about" },
                   a, &list, &err),
         &err);
    int same = 0, single = 0, combined = 0;
    JSON_FOREACH(it, json_get(list, "items")) {
        const char *message = json_find_str(it.value, "message");
        int64_t count = json_find_int(it.value, 0, "count");
        if (str_has_prefix(message, "(combined from similar events): number 13"))
            combined += count == 4;
        else if (STREQ(json_find_str(it.value, "reason"), "Same"))
            same += count == 3;
        else
            single += count == 1;
        assert_string_equal(json_find_str(it.value, "involvedObject", "uid"), meta_uid(about));
        assert_string_equal(json_find_str(it.value, "source", "component"), "live");
        assert_string_equal(json_find_str(it.value, "reportingComponent"), "live");
    }
    assert_int_equal(same, 1);
    assert_int_equal(single, 10);
    assert_int_equal(combined, 1);
}

/* ---- modes -------------------------------------------------------------------------------------------------- */

static void print_change(void *ctx, struct kube_object *old, struct kube_object *new)
{
    printf("%c%s\n", !old ? '+' : !new ? '-' : '~', (new ? new : old)->name);
    fflush(stdout);
}

static void wait_for_end_of_input(void)
{
    while (getchar() != EOF)
        ;
}

static int follow(const char *where)
{
    struct error *err = NULL;
    struct informer *i =
        informer_new(client, &KUBE_CONFIGMAPS, &(struct informer_options){ .ns = where });
    informer_add_handler(i, print_change, NULL);
    if (informer_start(i, &err) < 0 || informer_wait_synced(i, 10000, &err) < 0) {
        printf("%s\n", error_message(err));
        return 1;
    }
    puts("synced");
    fflush(stdout);
    wait_for_end_of_input();
    int64_t start = clock_mono(clock_system());
    informer_stop(i);
    printf("stopped in %lld ms\n", (long long)((clock_mono(clock_system()) - start) / NS_PER_MS));
    informer_free(i);
    return 0;
}

static int get(const char *path)
{
    struct error *err = NULL;
    AUTO_BUF body = { 0 };
    int r = kube_get_raw(client, path, &body, &err);
    printf("%s\n", r < 0 ? error_message(err) : buf_str(&body));
    error_free(err);
    return r < 0 ? 1 : 0;
}

static void print_word(void *ctx)
{
    puts(ctx);
    fflush(stdout);
}

static void on_leads(void *ctx)
{
    print_word((void *)(uintptr_t) "leads");
}

static void on_lost(void *ctx)
{
    print_word((void *)(uintptr_t) "lost");
}

static int lead(const char *where, const char *identity)
{
    struct error *err = NULL;
    struct leader *l = NULL;
    struct leader_options options = { .ns = where,
                                      .name = "lead",
                                      .identity = identity,
                                      .lease_ms = 3000,
                                      .renew_deadline_ms = 2000,
                                      .retry_ms = 200,
                                      .on_started = on_leads,
                                      .on_stopped = on_lost };
    if (leader_start(client, &options, &l, &err) < 0) {
        printf("%s\n", error_message(err));
        return 1;
    }
    wait_for_end_of_input();
    leader_stop(l);
    return 0;
}

static int test_all(void)
{
#define LIVE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LIVE(objects_live_and_die),
        LIVE(refusals_are_explained),
        LIVE(lists_are_paged_and_selected),
        LIVE(selectors_are_refused_in_the_same_words),
        LIVE(names_are_refused_in_the_same_words),
        LIVE(quantities_are_read_the_same),
        LIVE(an_informer_follows),
        LIVE(many_objects_come_in_pages),
        LIVE(watches_end_as_they_should),
        LIVE(a_lease_changes_hands),
        LIVE(events_are_counted),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    connect_or_die(argv[1]);
    int r;
    if (argc == 4 && STREQ(argv[2], "follow"))
        r = follow(argv[3]);
    else if (argc == 4 && STREQ(argv[2], "get"))
        r = get(argv[3]);
    else if (argc == 5 && STREQ(argv[2], "lead"))
        r = lead(argv[3], argv[4]);
    else
        r = test_all();
    kube_client_free(client);
    kube_transport_free(transport);
    return r;
}
