#include "apiserver/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "unit.h"
#include "json/build.h"

#define CMS "/configmaps"

/* ---- writes ------------------------------------------------------------------------------------------------------- */

struct put {
    const char *name;
    int64_t value;
    bool add; /* to what is there */
    bool unchanged;
    bool removes;
};

static int decide_put(void *ctx, const struct kube_object *current, struct arena *a,
                      struct json **ret_next, bool *ret_unchanged, struct error **err)
{
    struct put *p = ctx;
    if (p->removes)
        return 0;
    if (p->unchanged) {
        *ret_unchanged = true;
        return 0;
    }
    int64_t value = p->value;
    if (p->add && current)
        value += json_find_int(kube_object_parse(a, current), 0, "value");
    *ret_next =
        OBJ("metadata", OBJ("namespace", STR("ns"), "name", STR(p->name)), "value", INT(value));
    return 0;
}

static struct kube_object *put(struct store *s, const char *name, int64_t value)
{
    struct put p = { .name = name, .value = value };
    struct kube_object *o = NULL;
    assert_int_equal(store_write(s, CMS, "ns", name, decide_put, &p, &o, NULL), 0);
    return o;
}

static void put_away(struct store *s, const char *name)
{
    struct put p = { .name = name, .removes = true };
    assert_int_equal(store_write(s, CMS, "ns", name, decide_put, &p, NULL, NULL), 0);
}

static struct store *open_memory(size_t history)
{
    struct store *s = NULL;
    assert_int_equal(store_open(&(struct store_options){ .history = history }, &s, NULL), 0);
    return s;
}

static void writes_have_growing_versions(void **state)
{
    struct store *s = open_memory(0);
    uint64_t before = store_version(s);
    struct kube_object *a = put(s, "a", 1), *b = put(s, "b", 1), *again = put(s, "a", 2);
    assert_true(atoll(a->resource_version) > (long long)before);
    assert_true(atoll(b->resource_version) > atoll(a->resource_version));
    assert_true(atoll(again->resource_version) > atoll(b->resource_version));
    assert_int_equal(store_version(s), atoll(again->resource_version));
    kube_object_unref(a);
    kube_object_unref(b);

    a = store_get(s, CMS, "ns", "a");
    assert_string_equal(a->text, again->text);
    kube_object_unref(a);
    kube_object_unref(again);
    assert_null(store_get(s, CMS, "ns", "c"));
    assert_null(store_get(s, CMS, "other", "a"));
    assert_null(store_get(s, "/pods", "ns", "a"));

    uint64_t version = store_version(s);
    put_away(s, "a");
    assert_null(store_get(s, CMS, "ns", "a"));
    assert_true(store_version(s) > version);
    assert_int_equal(store_count(s, CMS), 1);
    store_close(s);
}

static void unchanged_writes_nothing(void **state)
{
    struct store *s = open_memory(0);
    kube_object_unref(put(s, "a", 1));
    uint64_t version = store_version(s), commits = store_commits(s);
    struct put p = { .name = "a", .unchanged = true };
    struct kube_object *o = NULL;
    assert_int_equal(store_write(s, CMS, "ns", "a", decide_put, &p, &o, NULL), 0);
    assert_string_equal(o->name, "a");
    kube_object_unref(o);
    put_away(s, "none");
    assert_int_equal(store_version(s), version);
    assert_int_equal(store_commits(s), commits);
    store_close(s);
}

static int decide_refuse(void *ctx, const struct kube_object *current, struct arena *a,
                         struct json **ret_next, bool *ret_unchanged, struct error **err)
{
    return error_set(err, ERROR_FORBIDDEN, "not today");
}

static void a_refusal_is_returned(void **state)
{
    struct store *s = open_memory(0);
    struct error *err = NULL;
    int r = store_write(s, CMS, "ns", "a", decide_refuse, NULL, NULL, &err);
    assert_error(r, err, ERROR_FORBIDDEN, "not today");
    store_close(s);
}

/* ---- lists -------------------------------------------------------------------------------------------------------- */

static void assert_names(const struct store_list *l, const char *names)
{
    AUTO_BUF have = BUF_INIT(KIB);
    for (size_t i = 0; i < l->count; i++)
        buf_printf(&have, "%s%s", i ? " " : "", l->items[i]->name);
    assert_string_equal(buf_str(&have), names);
}

static void lists_are_sorted_pages(void **state)
{
    struct store *s = open_memory(0);
    static const char *const names[] = { "d", "a", "c", "b", "a-b" };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        kube_object_unref(put(s, names[i], 1));
    struct store_list l;
    store_list(s, CMS, "ns", NULL, 0, &l);
    assert_names(&l, "a a-b b c d");
    assert_int_equal(l.version, store_version(s));
    store_list_done(&l);
    store_list(s, CMS, NULL, "ns/a-b", 2, &l);
    assert_names(&l, "b c");
    assert_int_equal(l.remaining, 1);
    store_list_done(&l);
    store_list(s, CMS, "n", NULL, 0, &l);
    assert_names(&l, "");
    store_list_done(&l);
    store_close(s);
}

static void lists_of_the_past(void **state)
{
    struct store *s = open_memory(0);
    kube_object_unref(put(s, "a", 1));
    kube_object_unref(put(s, "b", 1));
    kube_object_unref(put(s, "c", 1));
    uint64_t then = store_version(s);
    put_away(s, "b");
    kube_object_unref(put(s, "a", 2));
    kube_object_unref(put(s, "bb", 2));
    kube_object_unref(put(s, "b", 2));

    struct store_list l;
    assert_int_equal(store_list_at(s, CMS, "ns", NULL, 0, then, &l, NULL), 0);
    assert_names(&l, "a b c");
    assert_int_equal(l.version, then);
    assert_non_null(strstr(l.items[0]->text, "\"value\":1"));
    assert_non_null(strstr(l.items[1]->text, "\"value\":1"));
    store_list_done(&l);
    assert_int_equal(store_list_at(s, CMS, "ns", "ns/a", 1, then, &l, NULL), 0);
    assert_names(&l, "b");
    assert_int_equal(l.remaining, 1);
    store_list_done(&l);
    store_close(s);
}

static void the_past_is_forgotten(void **state)
{
    struct store *s = open_memory(4);
    kube_object_unref(put(s, "a", 1));
    uint64_t then = store_version(s);
    for (int i = 0; i < 20; i++)
        kube_object_unref(put(s, "b", i));
    struct store_list l;
    struct error *err = NULL;
    int r = store_list_at(s, CMS, "ns", NULL, 0, then, &l, &err);
    assert_error(r, err, ERROR_GONE, "too old resource version: 2 (");
    struct store_watch *w = NULL;
    r = store_watch(s, CMS, NULL, then, NULL, NULL, &w, &err);
    assert_error(r, err, ERROR_GONE, "too old resource version: 2 (");
    store_close(s);
}

/* ---- watches ------------------------------------------------------------------------------------------------------ */

struct seen {
    pthread_mutex_t lock;
    uint64_t last;
    size_t count;
    bool disorder;
    char text[512];
};

static void on_event(void *ctx, const struct store_event *e)
{
    struct seen *x = ctx;
    LOCK(&x->lock);
    x->disorder |= e->version <= x->last;
    x->last = e->version;
    x->count++;
    static const char *const types[] = { "+", "~", "-" };
    size_t len = strlen(x->text);
    snprintf(x->text + len, sizeof x->text - len, "%s%s ", types[e->type], e->object->name);
    if (e->type != STORE_ADDED)
        assert_non_null(e->previous);
}

static void wait_for(struct seen *x, size_t count)
{
    for (int i = 0; i < 5000; i++) {
        pthread_mutex_lock(&x->lock);
        bool done = x->count >= count;
        pthread_mutex_unlock(&x->lock);
        if (done)
            return;
        usleep(1000);
    }
    fail_msg("%zu events instead of %zu: %s", x->count, count, x->text);
}

static void watches_see_the_past_and_the_future(void **state)
{
    struct store *s = open_memory(0);
    kube_object_unref(put(s, "a", 1));
    uint64_t then = store_version(s);
    kube_object_unref(put(s, "b", 1));
    put_away(s, "a");
    struct seen x = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct store_watch *w = NULL;
    assert_int_equal(store_watch(s, CMS, "ns", then, on_event, &x, &w, NULL), 0);
    kube_object_unref(put(s, "b", 2));
    wait_for(&x, 3);
    assert_string_equal(x.text, "+b -a ~b ");
    store_watch_close(w);
    kube_object_unref(put(s, "c", 2));
    assert_int_equal(x.count, 3);
    store_close(s);
}

static void watches_are_narrow(void **state)
{
    struct store *s = open_memory(0);
    struct seen one = { .lock = PTHREAD_MUTEX_INITIALIZER },
                all = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct store_watch *w1 = NULL, *w2 = NULL;
    assert_int_equal(store_watch(s, CMS, "other", store_version(s), on_event, &one, &w1, NULL), 0);
    assert_int_equal(store_watch(s, NULL, NULL, store_version(s), on_event, &all, &w2, NULL), 0);
    kube_object_unref(put(s, "a", 1));
    wait_for(&all, 1);
    assert_int_equal(one.count, 0);
    store_watch_close(w1);
    store_watch_close(w2);
    store_close(s);
}

static void too_many_watches_are_refused(void **state)
{
    struct store *s = NULL;
    assert_int_equal(store_open(&(struct store_options){ .max_watchers = 1 }, &s, NULL), 0);
    struct seen x = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct store_watch *w = NULL, *w2 = NULL;
    struct error *err = NULL;
    assert_int_equal(store_watch(s, CMS, NULL, 1, on_event, &x, &w, NULL), 0);
    int r = store_watch(s, CMS, NULL, 1, on_event, &x, &w2, &err);
    assert_error(r, err, ERROR_TOO_MANY, "watches");
    store_watch_close(w);
    store_close(s);
}

/* ---- many writers ------------------------------------------------------------------------------------------------- */

#define WRITERS 8
#define ROUNDS 200

static void *write_rounds(void *arg)
{
    struct store *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct put p = { .name = "counter", .value = 1, .add = true };
        assert_int_equal(store_write(s, CMS, "ns", "counter", decide_put, &p, NULL, NULL), 0);
    }
    return NULL;
}

/* No increment is lost, each is one event, in order; a second watch that begins in the middle
 * misses none either. */
static void check_many_writers(struct store *s)
{
    struct seen x = { .lock = PTHREAD_MUTEX_INITIALIZER },
                late = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct store_watch *w = NULL, *w2 = NULL;
    uint64_t start = store_version(s);
    assert_int_equal(store_watch(s, CMS, NULL, start, on_event, &x, &w, NULL), 0);
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(thread_start(&threads[i], "writer", write_rounds, s, NULL), 0);
    usleep(2000);
    assert_int_equal(store_watch(s, CMS, NULL, start, on_event, &late, &w2, NULL), 0);
    for (int i = 0; i < WRITERS; i++)
        thread_join(threads[i]);
    wait_for(&x, WRITERS * ROUNDS);
    wait_for(&late, WRITERS * ROUNDS);
    assert_false(x.disorder || late.disorder);
    assert_int_equal(x.count, WRITERS * ROUNDS);
    assert_int_equal(late.count, WRITERS * ROUNDS);
    store_watch_close(w);
    store_watch_close(w2);
    AUTO_ARENA a = arena_new();
    struct kube_object *o = store_get(s, CMS, "ns", "counter");
    assert_int_equal(json_find_int(kube_object_parse(a, o), 0, "value"), WRITERS * ROUNDS);
    kube_object_unref(o);
}

static void many_writers_in_memory(void **state)
{
    struct store *s = open_memory(0);
    check_many_writers(s);
    store_close(s);
}

static void many_writers_share_commits(void **state)
{
    char dir[] = "/tmp/kaito-store-XXXXXX";
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *path = mem_printf("%s/store.db", dir);
    struct store *s = NULL;
    assert_int_equal(store_open(&(struct store_options){ .path = path }, &s, NULL), 0);
    check_many_writers(s);
    assert_true(store_commits(s) < WRITERS * ROUNDS / 2);
    store_close(s);
    file_remove_tree(dir, NULL);
}

/* ---- on disk ------------------------------------------------------------------------------------------------------ */

static void everything_is_there_again(void **state)
{
    char dir[] = "/tmp/kaito-store-XXXXXX";
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *path = mem_printf("%s/store.db", dir);
    struct store *s = NULL;
    assert_int_equal(store_open(&(struct store_options){ .path = path }, &s, NULL), 0);
    kube_object_unref(put(s, "a", 1));
    kube_object_unref(put(s, "b", 1));
    kube_object_unref(put(s, "a", 2));
    put_away(s, "b");
    uint64_t version = store_version(s);
    store_close(s);

    assert_int_equal(store_open(&(struct store_options){ .path = path }, &s, NULL), 0);
    assert_int_equal(store_version(s), version);
    struct store_list l;
    store_list(s, CMS, NULL, NULL, 0, &l);
    assert_names(&l, "a");
    assert_non_null(strstr(l.items[0]->text, "\"value\":2"));
    store_list_done(&l);
    kube_object_unref(put(s, "b", 3));
    kube_object_unref(put(s, "a", 3));
    assert_int_equal(store_version(s), version + 2);
    store_close(s);
    file_remove_tree(dir, NULL);
}

static void only_its_owner_reads_it(void **state)
{
    char dir[] = "/tmp/kaito-store-XXXXXX";
    assert_non_null(mkdtemp(dir));
    static const char *const files[] = { "store.db", "store.db-wal" };
    AUTO_FREE char *path = mem_printf("%s/store.db", dir);
    struct store *s = NULL;
    assert_int_equal(store_open(&(struct store_options){ .path = path }, &s, NULL), 0);
    kube_object_unref(put(s, "a", 1));
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        AUTO_FREE char *file = mem_printf("%s/%s", dir, files[i]);
        struct stat st;
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    store_close(s);
    file_remove_tree(dir, NULL);
}

static void several_writes_are_one_transaction(void **state)
{
    char dir[] = "/tmp/kaito-store-XXXXXX";
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *path = mem_printf("%s/store.db", dir);
    struct store *s = NULL;
    assert_int_equal(store_open(&(struct store_options){ .path = path }, &s, NULL), 0);
    struct store_ticket *tickets[100];
    for (int i = 0; i < 100; i++) {
        struct put p = { .name = "a", .value = 1, .add = true };
        assert_int_equal(store_stage(s, CMS, "ns", "a", decide_put, &p, &tickets[i], NULL), 0);
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(store_finish(tickets[i], NULL, NULL), 0);
    assert_true(store_commits(s) < 50);
    AUTO_ARENA a = arena_new();
    struct kube_object *o = store_get(s, CMS, "ns", "a");
    assert_int_equal(json_find_int(kube_object_parse(a, o), 0, "value"), 100);
    kube_object_unref(o);
    store_close(s);
    file_remove_tree(dir, NULL);
}

UNIT_TESTS(TEST(writes_have_growing_versions), TEST(unchanged_writes_nothing),
           TEST(a_refusal_is_returned), TEST(lists_are_sorted_pages), TEST(lists_of_the_past),
           TEST(the_past_is_forgotten), TEST(watches_see_the_past_and_the_future),
           TEST(watches_are_narrow), TEST(too_many_watches_are_refused),
           TEST(many_writers_in_memory), TEST(many_writers_share_commits),
           TEST(everything_is_there_again), TEST(several_writes_are_one_transaction),
           TEST(only_its_owner_reads_it))
