#include "kube/informer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "fake_transport.h"
#include "kube/selector.h"
#include "timing.h"
#include "unit.h"
#include "json/build.h"

/* ---- a server in a few lines -------------------------------------------------------------------------------- */

struct answer {
    int status;
    const char *body;
    bool hang;
    enum error_code fails;
};

struct fixture {
    struct fake_transport f;
    struct answer answers[8]; /* of lists, in order; the last one again and again */
    int next;
    char paths[4][1024]; /* of the first lists */
    struct kube_client *c;
    struct informer *i;
    pthread_mutex_t lock;
    struct buf seen; /* what the handlers saw: "+a@1 ~a@1>2 -a@2 " */
    atomic_int seen_count;
    struct arena *a;
};

static int play(struct fake_transport *f, const struct kube_request *request,
                struct kube_response *ret, struct error **err)
{
    struct fixture *x = f->ctx;
    struct answer *answer = &x->answers[x->next];
    if (x->next < 4)
        snprintf(x->paths[x->next], sizeof(x->paths[0]), "%s", request->path);
    if (x->next < 7 && (answer[1].status || answer[1].hang || answer[1].fails))
        x->next++;
    if (answer->hang)
        return fake_hang(request, err);
    if (answer->fails)
        return error_set(err, answer->fails, "list failed by the script");
    return fake_reply(ret, answer->status, answer->body);
}

static void on_change(void *ctx, struct kube_object *old, struct kube_object *new)
{
    struct fixture *x = ctx;
    LOCK(&x->lock);
    if (old && new)
        buf_printf(&x->seen, "~%s@%s>%s ", new->name, old->resource_version, new->resource_version);
    else if (new)
        buf_printf(&x->seen, "+%s@%s ", new->name, new->resource_version);
    else
        buf_printf(&x->seen, "-%s@%s ", old->name, old->resource_version);
    atomic_fetch_add(&x->seen_count, 1);
}

static int set_up(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));
    fake_init(&x->f);
    x->f.answer = play;
    x->f.ctx = x;
    static const struct fake_step silence[] = { { FAKE_SILENCE } };
    static const struct fake_step *const scripts[] = { silence, NULL };
    x->f.scripts = scripts;
    x->c = kube_client_new(&x->f.transport, NULL);
    x->seen = (struct buf)BUF_INIT(64 * KIB);
    pthread_mutex_init(&x->lock, NULL);
    x->a = arena_new();
    log_setup(LOG_ERROR, LOG_TEXT);
    *state = x;
    return 0;
}

/* Before the scripts of the test go out of scope. */
static void stop(struct fixture *x)
{
    int64_t start = clock_mono(clock_system());
    informer_stop(x->i);
    assert_true(within(start, 200));
}

static int tear_down(void **state)
{
    struct fixture *x = *state;
    informer_free(x->i);
    kube_client_free(x->c);
    fake_done(&x->f);
    buf_done(&x->seen);
    arena_free(x->a);
    pthread_mutex_destroy(&x->lock);
    free(x);
    return 0;
}

static void start(struct fixture *x, const struct informer_options *options)
{
    x->i = informer_new(x->c, &KUBE_PODS, options);
    informer_add_handler(x->i, on_change, x);
    assert_int_equal(informer_start(x->i, NULL), 0);
}

static void expect(struct fixture *x, const char *wanted)
{
    for (int n = 0; n < 10000; n++) {
        {
            LOCK(&x->lock);
            if (STREQ(buf_str(&x->seen), wanted))
                return;
        }
        usleep(1000);
    }
    LOCK(&x->lock);
    fail_msg("saw \"%s\", wanted \"%s\"", buf_str(&x->seen), wanted);
}

/* Watches are counted when they are opened. */
static void expect_streams(struct fixture *x, int n, const char *last_version)
{
    assert_true(fake_wait(&x->f.streams, n));
    LOCK(x->f.lock);
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "resourceVersion=%s&", last_version);
    if (!strstr(x->f.last_stream, wanted))
        fail_msg("%s has no %s", x->f.last_stream, wanted);
}

#define OBJECT(name, version)                                                                      \
    "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"" name "\",\"uid\":\"" name                    \
    "\",\"resourceVersion\":\"" version "\"}}"
#define LIST(version, items)                                                                       \
    "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" version "\"},\"items\":[" items   \
    "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define BOOKMARK(version)                                                                          \
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"" version "\"}}}\n"
#define GONE                                                                                       \
    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}}\n"
#define SCRIPT(...) ((const struct fake_step[]){ __VA_ARGS__ })
#define SCRIPTS(...) ((const struct fake_step *const[]){ __VA_ARGS__, NULL })
#define SILENCE SCRIPT({ FAKE_SILENCE })

/* ---- list --------------------------------------------------------------------------------------------------- */

static void drop_spec(struct arena *a, struct json *obj)
{
    json_del(obj, "spec");
}

static void the_first_list_fills_the_cache(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){
        200,
        "{\"metadata\":{\"resourceVersion\":\"9\",\"continue\":\"next page\"},\"items\":[" OBJECT(
            "b",
            "2") ",{\"metadata\":{\"namespace\":\"ns\",\"name\":\"a\",\"uid\":\"a\",\"resourceVersion\":\"1\","
                 "\"managedFields\":[1]},\"spec\":{\"x\":1}}]}"
    };
    x->answers[1] = (struct answer){ 200, LIST("9", OBJECT("c", "3")) };
    start(x,
          &(struct informer_options){ .ns = "ns", .label_selector = "a=b", .project = drop_spec });
    assert_int_equal(informer_wait_synced(x->i, 2000, NULL), 0);
    assert_true(informer_synced(x->i));
    expect(x, "+a@1 +b@2 +c@3 ");
    assert_string_equal(x->paths[0], "/api/v1/namespaces/ns/pods?labelSelector=a%3Db&limit=500");
    assert_string_equal(
        x->paths[1],
        "/api/v1/namespaces/ns/pods?labelSelector=a%3Db&limit=500&continue=next%20page");
    expect_streams(x, 1, "9");

    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(x->i, "ns", "a");
    assert_string_equal(
        o->text,
        "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"a\",\"uid\":\"a\",\"resourceVersion\":\"1\"},"
        "\"apiVersion\":\"v1\",\"kind\":\"Pod\"}");
    assert_null(informer_get(x->i, "ns", "z"));
    assert_null(informer_get(x->i, "other", "a"));
    assert_int_equal(informer_count(x->i), 3);
    stop(x);
}

static void a_list_that_fails_is_tried_again(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ .fails = ERROR_UNAVAILABLE };
    x->answers[1] =
        (struct answer){ 403, "{\"kind\":\"Status\",\"message\":\"pods is forbidden\"}" };
    x->answers[2] = (struct answer){ 200, "{\"items\":[]}" };
    x->answers[3] = (struct answer){ 200, LIST("9", OBJECT("a", "1")) };
    start(x, NULL);
    struct error *err = NULL;
    assert_int_equal(informer_wait_synced(x->i, 20, &err), -ERROR_TIMEOUT);
    assert_non_null(
        strstr(error_message(err), "the first list of pods did not come within 0.02 s"));
    error_free(err);
    assert_false(informer_synced(x->i));
    assert_int_equal(informer_wait_synced(x->i, 5000, NULL), 0);
    expect(x, "+a@1 ");
    stop(x);
}

static void who_waits_is_told_why_the_list_fails(void **state)
{
    struct fixture *x = *state;
    x->answers[0] =
        (struct answer){ 403, "{\"kind\":\"Status\",\"message\":\"pods is forbidden\"}" };
    start(x, NULL);
    assert_true(fake_wait(&x->f.calls, 2));
    struct error *err = NULL;
    assert_error(informer_wait_synced(x->i, 10, &err), err, ERROR_TIMEOUT, "pods is forbidden");
    stop(x);
}

static void pages_that_expire_are_asked_for_at_once(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){
        200,
        "{\"metadata\":{\"resourceVersion\":\"9\",\"continue\":\"c\"},\"items\":[" OBJECT("a",
                                                                                          "1") "]}"
    };
    x->answers[1] =
        (struct answer){ 410, "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}" };
    x->answers[2] = (struct answer){ 200, LIST("12", OBJECT("b", "2")) };
    start(x, NULL);
    assert_int_equal(informer_wait_synced(x->i, 2000, NULL), 0);
    expect(x, "+b@2 ");
    assert_string_equal(x->paths[2], "/api/v1/pods");
    expect_streams(x, 1, "12");
    stop(x);
}

static void large_objects_come_in_smaller_pages(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ .fails = ERROR_TOO_LARGE };
    x->answers[1] = (struct answer){ .fails = ERROR_TOO_LARGE };
    x->answers[2] = (struct answer){ 200, LIST("12", OBJECT("b", "2")) };
    start(x, NULL);
    expect(x, "+b@2 ");
    assert_string_equal(x->paths[1], "/api/v1/pods?limit=50");
    assert_string_equal(x->paths[2], "/api/v1/pods?limit=5");
    stop(x);
}

/* ---- watch -------------------------------------------------------------------------------------------------- */

static void events_change_the_cache(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ 200, LIST("5", OBJECT("a", "1") "," OBJECT("b", "2")) };
    x->f.scripts =
        SCRIPTS(SCRIPT({ FAKE_DATA, 10,
                         EVENT("ADDED", OBJECT("c", "6")) EVENT("MODIFIED", OBJECT("a", "7"))
                             EVENT("MODIFIED", OBJECT("a", "7")) EVENT("DELETED", OBJECT("b", "8"))
                                 EVENT("DELETED", OBJECT("b", "8")) EVENT("ADDED", OBJECT("a", "7"))
                                     EVENT("MODIFIED", OBJECT("d", "9")) },
                       { FAKE_SILENCE }));
    start(x, NULL);
    expect(x, "+a@1 +b@2 +c@6 ~a@1>7 -b@2 +d@9 ");
    assert_int_equal(informer_count(x->i), 3);
    stop(x);
}

static void a_new_uid_is_another_object(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ 200, LIST("5", OBJECT("a", "1")) };
    x->f.scripts = SCRIPTS(
        SCRIPT({ FAKE_DATA, 0,
                 EVENT("MODIFIED",
                       "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"a\",\"uid\":\"other\","
                       "\"resourceVersion\":\"6\"}}") },
               { FAKE_SILENCE }));
    start(x, NULL);
    expect(x, "+a@1 -a@1 +a@6 ");
    stop(x);
}

static void the_next_watch_goes_on_where_the_last_one_ended(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ 200, LIST("5", OBJECT("a", "1")) };
    x->f.scripts =
        SCRIPTS(SCRIPT({ FAKE_DATA, 0, EVENT("ADDED", OBJECT("b", "6")) }, { FAKE_END }),
                SCRIPT({ FAKE_DATA, 0, BOOKMARK("17") }, { FAKE_FAIL, ERROR_UNAVAILABLE }),
                SCRIPT({ FAKE_SLEEP, 300 }, { FAKE_END }),
                SCRIPT({ FAKE_DATA, 0, EVENT("MODIFIED", OBJECT("b", "20")) }, { FAKE_SILENCE }));
    start(x, NULL);
    expect_streams(x, 1, "5");
    expect_streams(x, 2, "6");
    expect_streams(x, 3, "17");
    expect(x, "+a@1 +b@6 ~b@6>20 ");
    assert_int_equal(atomic_load(&x->f.calls), 1);
    stop(x);
}

static void a_version_that_is_gone_means_a_new_list(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){
        200,
        LIST("5", OBJECT("a", "1") "," OBJECT("b", "2") "," OBJECT("c", "3") "," OBJECT("e", "4"))
    };
    x->answers[1] = (struct answer){
        200,
        LIST(
            "50",
            "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"e\",\"uid\":\"new\",\"resourceVersion\":\"40\"}}," OBJECT(
                "d", "30") "," OBJECT("c", "3") "," OBJECT("b", "20"))
    };
    x->f.scripts = SCRIPTS(SCRIPT({ FAKE_DATA, 0, GONE }, { FAKE_SILENCE }), SILENCE);
    start(x, NULL);
    expect(x, "+a@1 +b@2 +c@3 +e@4 -a@1 ~b@2>20 +d@30 -e@4 +e@40 ");
    expect_streams(x, 2, "50");
    assert_int_equal(informer_count(x->i), 4);
    stop(x);
}

static void the_status_410_means_a_new_list_too(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ 200, LIST("5", "") };
    x->answers[1] = (struct answer){ 200, LIST("50", OBJECT("a", "1")) };
    x->f.scripts =
        SCRIPTS(SCRIPT({ FAKE_STATUS, 410 }, { FAKE_DATA, 0, "{\"kind\":\"Status\",\"code\":410}" },
                       { FAKE_END }),
                SILENCE);
    start(x, NULL);
    expect(x, "+a@1 ");
    expect_streams(x, 2, "50");
    stop(x);
}

static void every_kind_of_break_is_survived(void **state)
{
    static const char *const broken[] = {
        "{\"type\":\"ADDED\",\"obj",
        "<html>502</html>\n",
        "[]\n",
        "{\"type\":\"ADDED\",\"object\":5}\n",
        "{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"etcd\"}}\n",
        "\xff\xfe\n",
        "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"\xff\"}}}\n",
    };
    for (size_t n = 0; n < COUNT_OF(broken) + 3; n++) {
        set_up(state);
        struct fixture *x = *state;
        x->answers[0] = (struct answer){ 200, LIST("5", OBJECT("a", "1")) };
        struct fake_step bad[] = { { FAKE_DATA, 3, n < COUNT_OF(broken) ? broken[n] : "" },
                                   { FAKE_END } };
        struct fake_step status[] = { { FAKE_STATUS, 500 }, { FAKE_DATA, 0, "x" }, { FAKE_END } };
        struct fake_step refuse[] = { { FAKE_REFUSE, ERROR_UNAVAILABLE } };
        struct fake_step fail[] = { { FAKE_FAIL, ERROR_TIMEOUT } };
        const struct fake_step *others[] = { status, refuse, fail };
        const struct fake_step *first = n < COUNT_OF(broken) ? bad : others[n - COUNT_OF(broken)];
        x->f.scripts = SCRIPTS(first, SCRIPT({ FAKE_DATA, 0, EVENT("ADDED", OBJECT("b", "6")) },
                                             { FAKE_SILENCE }));
        start(x, NULL);
        expect(x, "+a@1 +b@6 ");
        assert_int_equal(atomic_load(&x->f.calls), 1);
        stop(x);
        tear_down(state);
    }
}

static void a_server_that_ends_every_watch_is_not_hammered(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ 200, LIST("5", "") };
    x->f.scripts = SCRIPTS(SCRIPT({ FAKE_END }));
    start(x, NULL);
    usleep(1000000);
    int streams = atomic_load(&x->f.streams);
    assert_true(streams >= 3 &&
                streams <= 8); /* at 0, then after 50…100, 100…200, 200…400, 400…800 ms */
    assert_int_equal(atomic_load(&x->f.calls), 1);
    stop(x);
}

/* ---- stop --------------------------------------------------------------------------------------------------- */

static void it_stops_while_a_list_hangs(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ .hang = true };
    start(x, NULL);
    assert_true(fake_wait(&x->f.calls, 1));
    stop(x);
}

static void it_stops_while_it_waits(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ .fails = ERROR_UNAVAILABLE };
    start(x, NULL);
    usleep(700000);
    stop(x);
}

static void it_stops_before_it_was_started(void **state)
{
    struct fixture *x = *state;
    x->i = informer_new(x->c, &KUBE_PODS, NULL);
    stop(x);
}

/* ---- what may be absent, what is not kept ------------------------------------------------------------------- */

#define ABSENT "{\"kind\":\"Status\",\"code\":404,\"message\":\"404 page not found\"}"

static void on_served(void *ctx, bool served)
{
    struct fixture *x = ctx;
    LOCK(&x->lock);
    buf_puts(&x->seen, served ? "served " : "absent ");
}

static void start_optional(struct fixture *x)
{
    x->i = informer_new(x->c, &KUBE_NODECLAIMS,
                        &(struct informer_options){ .optional = true, .absent_poll_ms = 20 });
    informer_add_handler(x->i, on_change, x);
    informer_on_served(x->i, on_served, x);
    assert_int_equal(informer_start(x->i, NULL), 0);
}

static void an_absent_resource_is_an_empty_one_until_it_comes(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ 404, ABSENT };
    x->answers[1] = (struct answer){ 404, ABSENT };
    x->answers[2] = (struct answer){ 200, LIST("5", OBJECT("a", "1")) };
    x->answers[3] = (struct answer){ 404, ABSENT };
    x->answers[4] = (struct answer){ 200, LIST("50", OBJECT("b", "2")) };
    /* removed while it is watched */
    x->f.scripts = SCRIPTS(SCRIPT({ FAKE_SLEEP, 50 }, { FAKE_STATUS, 404 },
                                  { FAKE_DATA, 0, ABSENT }, { FAKE_END }),
                           SILENCE);
    start_optional(x);
    assert_int_equal(informer_wait_synced(x->i, 2000, NULL), 0);
    expect(x, "absent served +a@1 -a@1 absent served +b@2 ");
    expect_streams(x, 2, "50");
    assert_true(informer_served(x->i));
    stop(x);
}

static void an_absent_resource_is_asked_for_ever_less_often(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ 404, ABSENT };
    x->i = informer_new(x->c, &KUBE_NODECLAIMS, &(struct informer_options){ .optional = true });
    assert_int_equal(informer_start(x->i, NULL), 0);
    assert_int_equal(informer_wait_synced(x->i, 2000, NULL), 0);
    assert_false(informer_served(x->i));
    usleep(1000000); /* after 125 to 250 ms, 250 to 500, 500 to 1000 */
    int calls = atomic_load(&x->f.calls);
    if (calls < 2 || calls > 4)
        fail_msg("%d calls", calls);
    stop(x);
}

static void what_must_be_there_is_missed(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ 404, ABSENT };
    start(x, NULL);
    assert_true(fake_wait(&x->f.calls, 2));
    assert_false(informer_synced(x->i));
    assert_true(informer_served(x->i));
    stop(x);
}

/* Keeps the name in ctx. */
static bool keep_named(void *ctx, const struct json *obj)
{
    const char *const *wanted = ctx;
    return STREQ(json_find_str(obj, "metadata", "name"), *wanted);
}

static void count_list(void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void it_waits_for_what_it_depends_on(void **state)
{
    struct fixture *x = *state;
    x->answers[0] = (struct answer){ 200, LIST("5", OBJECT("a", "1")) };
    struct informer *first = informer_new(x->c, &KUBE_NODES, NULL);
    x->i = informer_new(x->c, &KUBE_PODS, &(struct informer_options){ .after = first });
    informer_add_handler(x->i, on_change, x);
    assert_int_equal(informer_start(x->i, NULL), 0);
    usleep(60000);
    assert_int_equal(atomic_load(&x->f.calls), 0);
    assert_int_equal(informer_start(first, NULL), 0);
    expect(x, "+a@1 ");
    stop(x);
    informer_free(first);
}

static void what_is_not_kept_does_not_exist(void **state)
{
    struct fixture *x = *state;
    const char *wanted = "a";
    x->answers[0] = (struct answer){ 200, LIST("5", OBJECT("a", "1") "," OBJECT("b", "2")) };
    x->answers[1] = (struct answer){ 200, LIST("60", OBJECT("a", "50") "," OBJECT("b", "52")) };
    x->f.scripts =
        SCRIPTS(SCRIPT({ FAKE_DATA, 0, EVENT("MODIFIED", OBJECT("b", "8")) },
                       { FAKE_DATA, 0, EVENT("MODIFIED", OBJECT("a", "9")) }, { FAKE_SILENCE }),
                SILENCE);
    x->i = informer_new(x->c, &KUBE_PODS,
                        &(struct informer_options){ .keep = keep_named, .keep_ctx = &wanted });
    informer_add_handler(x->i, on_change, x);
    atomic_int listed = 0;
    informer_on_listed(x->i, count_list, &listed);
    assert_int_equal(informer_start(x->i, NULL), 0);
    expect(x, "+a@1 ~a@1>9 ");
    assert_int_equal(informer_count(x->i), 1);
    wanted = "b";
    uint64_t ticket = informer_relist(x->i);
    expect(x, "+a@1 ~a@1>9 -a@9 +b@52 ");
    expect_streams(x, 2, "60");
    assert_true(informer_relisted(x->i, ticket));
    assert_false(informer_relisted(x->i, ticket + 1));
    assert_int_equal(atomic_load(&listed), 2);
    stop(x);
}

/* ---- reads -------------------------------------------------------------------------------------------------- */

#define OWNED(ns, name, owner)                                                                     \
    "{\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"" name "\",\"uid\":\"" ns name             \
    "\",\"resourceVersion\":\"1\","                                                                \
    "\"labels\":{\"n\":\"" name                                                                    \
    "\"},\"ownerReferences\":[{\"controller\":true,\"kind\":\"K\",\"name\":\"o\",\"uid\":\"" owner \
    "\"}]}}"

static const char *names(struct fixture *x, struct kube_object_list *l)
{
    AUTO_BUF out = BUF_INIT(KIB);
    for (size_t n = 0; n < l->count; n++)
        buf_printf(&out, "%s/%s ", l->items[n]->ns, l->items[n]->name);
    kube_object_list_done(l);
    return arena_strdup(x->a, buf_str(&out));
}

static void lists_are_sorted_and_selected(void **state)
{
    struct fixture *x = *state;
    x->answers[0] =
        (struct answer){ 200, LIST("5", OWNED("b", "z", "u1") "," OWNED("b", "a", "u2") "," OWNED(
                                            "a", "z", "u1") "," OWNED("c", "m", "u1")) };
    x->f.scripts = SCRIPTS(SCRIPT(
        { FAKE_DATA, 0,
          EVENT(
              "MODIFIED",
              "{\"metadata\":{\"namespace\":\"c\",\"name\":\"m\",\"uid\":\"cm\",\"resourceVersion\":\"6\","
              "\"ownerReferences\":[{\"controller\":true,\"uid\":\"u2\"}]}}") },
        { FAKE_SILENCE }));
    start(x, NULL);
    expect(x, "+z@1 +a@1 +z@1 +m@1 ~m@1>6 ");
    struct kube_object_list l;
    informer_list(x->i, NULL, NULL, &l);
    assert_string_equal(names(x, &l), "a/z b/a b/z c/m ");
    informer_list(x->i, "b", NULL, &l);
    assert_string_equal(names(x, &l), "b/a b/z ");
    informer_list(x->i, "bb", NULL, &l);
    assert_string_equal(names(x, &l), "");
    CLEANUP(selector_cleanup) struct selector *s = NULL;
    assert_int_equal(selector_parse_labels("n=z", &s, NULL), 0);
    informer_list(x->i, NULL, s, &l);
    assert_string_equal(names(x, &l), "a/z b/z ");
    informer_list_owned(x->i, "u1", &l);
    assert_string_equal(names(x, &l), "a/z b/z ");
    informer_list_owned(x->i, "u2", &l);
    assert_string_equal(names(x, &l), "b/a c/m ");
    informer_list_owned(x->i, "u3", &l);
    assert_string_equal(names(x, &l), "");
    informer_list_owned(x->i, "", &l);
    assert_string_equal(names(x, &l), "");
    stop(x);
}

static void *reader(void *arg)
{
    struct fixture *x = arg;
    while (atomic_load(&x->seen_count) < 4000) {
        struct kube_object_list l;
        informer_list(x->i, "ns", NULL, &l);
        for (size_t n = 0; n < l.count; n++)
            assert_string_equal(l.items[n]->ns, "ns");
        kube_object_list_done(&l);
        CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(x->i, "ns", "o5");
        if (o)
            assert_string_equal(o->name, "o5");
        sched_yield();
    }
    return NULL;
}

static void reads_and_changes_mix(void **state)
{
    struct fixture *x = *state;
    AUTO_BUF events = BUF_INIT(2 * MIB);
    for (int n = 0; n < 4000; n++)
        buf_printf(
            &events,
            "{\"type\":\"%s\",\"object\":{\"metadata\":{\"namespace\":\"ns\",\"name\":\"o%d\",\"uid\":\"u\",\"resourceVersion\":\"%d\"}}}\n",
            n % 200 < 100 ? "ADDED" : "DELETED", n % 100, n);
    x->answers[0] = (struct answer){ 200, LIST("5", "") };
    x->f.scripts = SCRIPTS(SCRIPT({ FAKE_DATA, 777, buf_str(&events) }, { FAKE_SILENCE }));
    x->seen.max = 0;
    start(x, NULL);
    pthread_t threads[3];
    for (size_t n = 0; n < COUNT_OF(threads); n++)
        assert_int_equal(thread_start(&threads[n], "reader", reader, x, NULL), 0);
    for (size_t n = 0; n < COUNT_OF(threads); n++)
        thread_join(threads[n]);
    assert_int_equal(informer_count(x->i), 0);
    stop(x);
}

#define INFORMER_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
UNIT_TESTS(INFORMER_TEST(the_first_list_fills_the_cache),
           INFORMER_TEST(a_list_that_fails_is_tried_again),
           INFORMER_TEST(who_waits_is_told_why_the_list_fails),
           INFORMER_TEST(pages_that_expire_are_asked_for_at_once),
           INFORMER_TEST(large_objects_come_in_smaller_pages),
           INFORMER_TEST(events_change_the_cache), INFORMER_TEST(a_new_uid_is_another_object),
           INFORMER_TEST(the_next_watch_goes_on_where_the_last_one_ended),
           INFORMER_TEST(a_version_that_is_gone_means_a_new_list),
           INFORMER_TEST(the_status_410_means_a_new_list_too),
           TEST(every_kind_of_break_is_survived),
           INFORMER_TEST(a_server_that_ends_every_watch_is_not_hammered),
           INFORMER_TEST(it_stops_while_a_list_hangs), INFORMER_TEST(it_stops_while_it_waits),
           INFORMER_TEST(it_stops_before_it_was_started),
           INFORMER_TEST(an_absent_resource_is_an_empty_one_until_it_comes),
           INFORMER_TEST(an_absent_resource_is_asked_for_ever_less_often),
           INFORMER_TEST(what_must_be_there_is_missed),
           INFORMER_TEST(it_waits_for_what_it_depends_on),
           INFORMER_TEST(what_is_not_kept_does_not_exist),
           INFORMER_TEST(lists_are_sorted_and_selected), INFORMER_TEST(reads_and_changes_mix))
