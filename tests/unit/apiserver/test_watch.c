/* Watches through the transport in process: the same code serves those over HTTPS. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/informer.h"
#include "test_server.h"
#include "unit.h"

#define CMS "/api/v1/namespaces/default/configmaps"

static struct test_server t;
static struct clock_virtual now;

/* ---- a reader ----------------------------------------------------------------------------------------------------- */

struct reader {
    struct kube_stream *stream;
    pthread_mutex_t lock;
    int status;
    bool ended;
    struct buf text;
    bool blocked; /* holds up the delivery */
};

static void on_status(void *ctx, int status)
{
    struct reader *r = ctx;
    LOCK(&r->lock);
    r->status = status;
}

static bool on_data(void *ctx, const char *data, size_t len)
{
    struct reader *r = ctx;
    LOCK(&r->lock);
    buf_append(&r->text, data, len);
    return true;
}

static void on_end(void *ctx, const struct error *err)
{
    struct reader *r = ctx;
    LOCK(&r->lock);
    r->ended = true;
}

static void reader_open(struct reader *r, const char *path, const char *accept)
{
    *r = (struct reader){ .lock = PTHREAD_MUTEX_INITIALIZER, .text = BUF_INIT(64 * MIB) };
    struct kube_request request = { .method = "GET", .path = path, .accept = accept };
    struct kube_stream_handler handler = {
        .on_status = on_status, .on_data = on_data, .on_end = on_end, .ctx = r
    };
    struct error *err = NULL;
    if (t.transport->ops->stream(t.transport, &request, &handler, &r->stream, &err) < 0)
        fail_msg("%s", error_message(err));
}

static void reader_close(struct reader *r)
{
    kube_stream_close(r->stream);
    buf_done(&r->text);
}

static int status_of(struct reader *r)
{
    LOCK(&r->lock);
    return r->status;
}

/* "ADDED a, DELETED b": what has come, in a string of the arena. */
static const char *events(struct reader *r)
{
    LOCK(&r->lock);
    AUTO_BUF out = BUF_INIT(MIB);
    char **lines = str_split(t.a, buf_str(&r->text), '\n', NULL);
    for (size_t i = 0; lines[i] && *lines[i]; i++) {
        struct json *e = NULL;
        if (json_parse(t.a, lines[i], strlen(lines[i]), &e, NULL) < 0)
            return "no JSON";
        const char *name = json_find_str(e, "object", "metadata", "name");
        if (STREQ(json_find_str(e, "type"), "ERROR"))
            name = json_find_str(e, "object", "reason");
        buf_printf(&out, "%s%s %s", out.len ? ", " : "", json_find_str(e, "type"),
                   name ? name : "-");
    }
    return arena_strdup(t.a, buf_str(&out));
}

static void wait_events(struct reader *r, const char *expected)
{
    const char *have = "";
    for (int i = 0; i < 3000; i++) {
        have = events(r);
        if (STREQ(have, expected))
            return;
        usleep(1000);
    }
    assert_string_equal(have, expected);
}

static void wait_end(struct reader *r)
{
    for (int i = 0; i < 3000; i++) {
        pthread_mutex_lock(&r->lock);
        bool ended = r->ended;
        pthread_mutex_unlock(&r->lock);
        if (ended)
            return;
        usleep(1000);
    }
    fail_msg("the stream does not end");
}

static int start(void **state)
{
    clock_virtual_init(&now, 1700000000 * NS_PER_S);
    test_server_start(&t, &(struct apiserver_options){
                              .watch_history = 100, .clock = &now.clock, .max_watchers = 20 });
    return 0;
}

static int stop(void **state)
{
    test_server_stop(&t);
    return 0;
}

static void create(const char *name, const char *labels)
{
    const char *body = arena_printf(t.a, "{'metadata':{'name':'%s','labels':{%s}}}", name, labels);
    assert_int_equal(test_server_ask(&t, "POST", CMS, body), 201);
}

static void set_labels(const char *name, const char *labels)
{
    const char *body = arena_printf(t.a, "{'metadata':{'labels':{%s}}}", labels);
    assert_int_equal(test_server_ask(&t, "PATCH", arena_printf(t.a, CMS "/%s", name), body), 200);
}

static const char *newest(void)
{
    return arena_printf(t.a, "%llu", (unsigned long long)apiserver_resource_version(t.server));
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

static void a_watch_begins_with_what_there_is(void **state)
{
    create("a", "");
    create("b", "");
    struct reader r;
    reader_open(&r, CMS "?watch=1", NULL);
    wait_events(&r, "ADDED a, ADDED b");
    assert_int_equal(r.status, 200);
    create("c", "");
    test_server_ask(&t, "DELETE", CMS "/a", NULL);
    wait_events(&r, "ADDED a, ADDED b, ADDED c, DELETED a");
    reader_close(&r);
}

static void a_watch_goes_on_from_a_version(void **state)
{
    create("a", "");
    const char *then = newest();
    create("b", "");
    set_labels("a", "'x':'1'");
    struct reader r;
    reader_open(&r, arena_printf(t.a, CMS "?watch=true&resourceVersion=%s", then), NULL);
    wait_events(&r, "ADDED b, MODIFIED a");
    create("c", "");
    wait_events(&r, "ADDED b, MODIFIED a, ADDED c");
    reader_close(&r);
}

static void an_old_version_is_gone(void **state)
{
    create("a", "");
    const char *then = newest();
    for (int i = 0; i < 300; i++)
        set_labels("a", arena_printf(t.a, "'i':'%d'", i));
    struct reader r;
    reader_open(&r, arena_printf(t.a, CMS "?watch=true&resourceVersion=%s", then), NULL);
    wait_events(&r, "ERROR Expired");
    wait_end(&r);
    assert_non_null(strstr(buf_str(&r.text), "too old resource version: "));
    assert_non_null(strstr(buf_str(&r.text), "\"code\":410"));
    reader_close(&r);
}

static void selectors_make_adds_and_deletes(void **state)
{
    create("a", "");
    create("b", "'x':'1'");
    struct reader r;
    reader_open(&r, CMS "?watch=1&labelSelector=x", NULL);
    wait_events(&r, "ADDED b");
    set_labels("a", "'x':'1'");
    set_labels("b", "'x':null");
    set_labels("b", "'y':'1'");
    set_labels("a", "'x':'2'");
    wait_events(&r, "ADDED b, ADDED a, DELETED b, MODIFIED a");
    /* The last state that was selected, with the version of the change. */
    const char *deleted = strstr(buf_str(&r.text), "DELETED");
    assert_non_null(strstr(deleted, "\"x\":\"1\""));
    reader_close(&r);
}

static void fields_select(void **state)
{
    create("a", "");
    struct reader r;
    reader_open(&r, CMS "?watch=1&fieldSelector=metadata.name%3Db", NULL);
    create("c", "");
    create("b", "");
    wait_events(&r, "ADDED b");
    reader_close(&r);
    reader_open(&r, "/api/v1/namespaces/default/pods?watch=1&fieldSelector=spec.nodeName%3Dn",
                NULL);
    test_server_ask(&t, "POST", "/api/v1/namespaces/default/pods",
                    "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c','image':'i'}]}}");
    test_server_ask(
        &t, "POST", "/api/v1/namespaces/default/pods",
        "{'metadata':{'name':'q'},'spec':{'nodeName':'n','containers':[{'name':'c','image':'i'}]}}");
    wait_events(&r, "ADDED q");
    reader_close(&r);
    reader_open(&r, CMS "?watch=1&fieldSelector=foo%3Db", NULL);
    wait_end(&r);
    assert_int_equal(r.status, 400);
    reader_close(&r);
}

static void bookmarks_come_each_minute(void **state)
{
    struct reader r;
    reader_open(&r, CMS "?watch=1&allowWatchBookmarks=true", NULL);
    create("a", "");
    wait_events(&r, "ADDED a");
    test_server_ask(&t, "POST", "/api/v1/namespaces/default/secrets", "{'metadata':{'name':'s'}}");
    usleep(20000);
    clock_virtual_advance(&now, 61 * NS_PER_S);
    wait_events(&r, "ADDED a, BOOKMARK -");
    assert_non_null(
        strstr(buf_str(&r.text), arena_printf(t.a, "{\"resourceVersion\":\"%s\"}", newest())));
    reader_close(&r);
}

static void initial_events_end_with_a_bookmark(void **state)
{
    create("a", "");
    struct reader r;
    reader_open(
        &r,
        CMS
        "?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan",
        NULL);
    wait_events(&r, "ADDED a, BOOKMARK -");
    assert_non_null(strstr(buf_str(&r.text), "k8s.io/initial-events-end"));
    reader_close(&r);
    reader_open(&r, CMS "?watch=1&sendInitialEvents=true", NULL);
    wait_end(&r);
    assert_int_equal(r.status, 422);
    reader_close(&r);
}

static void watches_end_in_time(void **state)
{
    struct reader r;
    reader_open(&r, CMS "?watch=1&timeoutSeconds=30", NULL);
    create("a", "");
    wait_events(&r, "ADDED a");
    clock_virtual_advance(&now, 31 * NS_PER_S);
    wait_end(&r);
    reader_close(&r);
}

static void tables_are_watched(void **state)
{
    create("a", "");
    struct reader r;
    reader_open(&r, CMS "?watch=1", "application/json;as=Table;v=v1;g=meta.k8s.io");
    create("b", "");
    wait_events(&r, "ADDED -, ADDED -");
    char **lines = str_split(t.a, buf_str(&r.text), '\n', NULL);
    assert_non_null(strstr(lines[0], "\"columnDefinitions\":[{"));
    assert_null(strstr(lines[1], "\"columnDefinitions\":[{"));
    assert_non_null(strstr(lines[1], "\"cells\":[\"b\""));
    reader_close(&r);
}

static void many_watches_are_refused(void **state)
{
    struct reader readers[21];
    for (int i = 0; i < 21; i++)
        reader_open(&readers[i], CMS "?watch=1", NULL);
    wait_end(&readers[20]);
    assert_int_equal(readers[20].status, 429);
    for (int i = 0; i < 21; i++)
        reader_close(&readers[i]);
    /* Their places are free again. */
    struct reader r;
    for (int i = 0; i < 100; i++) {
        reader_open(&r, CMS "?watch=1", NULL);
        usleep(5000);
        bool fine = status_of(&r) == 200;
        reader_close(&r);
        if (fine)
            return;
    }
    fail_msg("no place is free");
}

/* ---- informers ---------------------------------------------------------------------------------------------------- */

static void informers_follow(void **state)
{
    create("a", "");
    struct kube_client *c = kube_client_new(t.transport, &(struct kube_client_options){ 0 });
    struct informer *i =
        informer_new(c, &KUBE_CONFIGMAPS, &(struct informer_options){ .ns = "default" });
    struct error *err = NULL;
    assert_int_equal(informer_start(i, &err), 0);
    assert_int_equal(informer_wait_synced(i, 5000, &err), 0);
    assert_int_equal(informer_count(i), 1);
    for (int n = 0; n < 50; n++)
        create(arena_printf(t.a, "c%d", n), "");
    for (int n = 0; n < 3000 && informer_count(i) != 51; n++)
        usleep(1000);
    assert_int_equal(informer_count(i), 51);
    informer_stop(i);
    informer_free(i);
    kube_client_free(c);
}

/* ---- order under load --------------------------------------------------------------------------------------------- */

#define WRITERS 4
#define ROUNDS 100

static void *write_rounds(void *arg)
{
    struct test_server mine = t;
    mine.a = arena_new();
    for (int i = 0; i < ROUNDS; i++)
        test_server_ask(&mine, "POST", CMS, "{'metadata':{'generateName':'w-'}}");
    arena_free(mine.a);
    return NULL;
}

static void check_order(struct reader *r)
{
    uint64_t last = 0;
    size_t n = 0;
    for (const char *p = buf_str(&r->text); (p = strstr(p, "\"resourceVersion\":\"")); n++) {
        p += strlen("\"resourceVersion\":\"");
        uint64_t version = strtoull(p, NULL, 10);
        assert_true(version > last);
        last = version;
    }
    assert_int_equal(n, WRITERS * ROUNDS);
}

static size_t lines_of(struct reader *r)
{
    LOCK(&r->lock);
    size_t n = 0;
    for (size_t i = 0; i < r->text.len; i++)
        n += r->text.data[i] == '\n';
    return n;
}

static void every_watch_sees_everything_in_order(void **state)
{
    struct reader readers[10];
    for (int i = 0; i < 5; i++)
        reader_open(&readers[i], CMS "?watch=1", NULL);
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(thread_start(&threads[i], "writer", write_rounds, NULL, NULL), 0);
    for (int i = 5; i < 10; i++)
        reader_open(&readers[i], CMS "?watch=1", NULL);
    for (int i = 0; i < WRITERS; i++)
        thread_join(threads[i]);
    for (int i = 0; i < 10; i++) {
        for (int n = 0; n < 5000 && lines_of(&readers[i]) < WRITERS * ROUNDS; n++)
            usleep(1000);
        if (i < 5)
            check_order(&readers[i]);
        assert_int_equal(lines_of(&readers[i]), WRITERS * ROUNDS);
        reader_close(&readers[i]);
    }
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(a_watch_begins_with_what_there_is), T(a_watch_goes_on_from_a_version),
           T(an_old_version_is_gone), T(selectors_make_adds_and_deletes), T(fields_select),
           T(bookmarks_come_each_minute), T(initial_events_end_with_a_bookmark),
           T(watches_end_in_time), T(tables_are_watched), T(many_watches_are_refused),
           T(informers_follow), T(every_watch_sees_everything_in_order))
