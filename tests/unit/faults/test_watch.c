/* Watches that break, at every byte and in other ways: no change is lost, none is told twice. */
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "../workspace/world.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "fault_transport.h"
#include "kube/informer.h"
#include "kube/meta.h"

#define WATCHERS 150

/* An informer behind a transport of its own, and what its handlers were told. */
struct watcher {
    struct fault_transport t;
    struct kube_client *client;
    struct informer *informer;
    struct buf told; /* "+a@5 ~a@6 -a@7 ": names and versions */
    pthread_mutex_t lock;
    atomic_bool blocked; /* its handler does not return */
};

static void on_change(void *ctx, struct kube_object *old, struct kube_object *new)
{
    struct watcher *w = ctx;
    while (atomic_load(&w->blocked))
        usleep(1000);
    struct kube_object *o = new ? new : old;
    LOCK(&w->lock);
    buf_printf(&w->told, "%c%s@%s ", !old ? '+' : new ? '~' : '-', o->name, o->resource_version);
}

static void watcher_init(struct watcher *w, struct kube_transport *inner)
{
    fault_transport_init(&w->t, inner);
    w->client = kube_client_new(&w->t.base, NULL);
    w->told = (struct buf)BUF_INIT(16 * MIB);
    pthread_mutex_init(&w->lock, NULL);
    atomic_init(&w->blocked, false);
    w->informer = informer_new(w->client, &KUBE_CONFIGMAPS, NULL);
    informer_add_handler(w->informer, on_change, w);
}

static void watcher_start(struct watcher *w)
{
    struct error *err = NULL;
    if (informer_start(w->informer, &err) < 0)
        fail_msg("%s", error_message(err));
}

static void watcher_done(struct watcher *w)
{
    informer_stop(w->informer);
    informer_free(w->informer);
    kube_client_free(w->client);
    fault_transport_done(&w->t);
    buf_done(&w->told);
    pthread_mutex_destroy(&w->lock);
}

static void wait_watching(struct watcher *w)
{
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&w->t.lock);
        bool open = w->t.streams || w->t.opened > 1;
        pthread_mutex_unlock(&w->t.lock);
        if (open)
            return;
        usleep(500);
    }
    fail_msg("the watch was not opened");
}

/* ---- what is in the server, and in a cache -------------------------------------------------------------------------- */

static char *in_server(struct world *w, struct arena *a)
{
    struct json *list = NULL;
    struct error *err = NULL;
    if (kube_list(w->client, &KUBE_CONFIGMAPS, NULL, a, &list, &err) < 0)
        fail_msg("%s", error_message(err));
    AUTO_BUF out = BUF_INIT(MIB);
    JSON_FOREACH(it, json_get(list, "items"))
        buf_printf(&out, "%s@%s ", meta_name(it.value), meta_resource_version(it.value));
    return arena_strdup(a, buf_str(&out));
}

static char *in_cache(struct watcher *w, struct arena *a)
{
    struct kube_object_list list = { 0 };
    informer_list(w->informer, NULL, NULL, &list);
    AUTO_BUF out = BUF_INIT(MIB);
    for (size_t i = 0; i < list.count; i++)
        buf_printf(&out, "%s@%s ", list.items[i]->name, list.items[i]->resource_version);
    kube_object_list_done(&list);
    return arena_strdup(a, buf_str(&out));
}

static void wait_current(struct world *world, struct watcher *w, const char *what)
{
    AUTO_ARENA a = arena_new();
    char *want = in_server(world, a), *have = NULL;
    for (int i = 0; i < 60000; i++) { /* informers wait up to 30 s between attempts */
        have = in_cache(w, a);
        if (STREQ(have, want))
            return;
        usleep(1000);
    }
    fail_msg("%s: the cache has %s, the server %s", what, have, want);
}

static char *told(struct watcher *w, struct arena *a)
{
    LOCK(&w->lock);
    return arena_strdup(a, buf_str(&w->told));
}

/* ---- changes -------------------------------------------------------------------------------------------------------- */

static void put(struct world *w, const char *name, const char *text)
{
    struct arena *a = w->a;
    world_create(w, &KUBE_CONFIGMAPS,
                 OBJ("metadata", OBJ("name", STR(name)), "data", OBJ("k", STR(text))));
}

static void change(struct world *w, const char *name, int i)
{
    world_patch(w, &KUBE_CONFIGMAPS, NS, name, NULL, arena_printf(w->a, "{'data':{'k':'%d'}}", i));
}

static void make_changes(struct world *w)
{
    put(w, "a", "one");
    put(w, "b", "line\nbreak \"quoted\" \xc3\xa9\xe2\x82\xac");
    change(w, "a", 2);
    world_delete(w, &KUBE_CONFIGMAPS, NS, "b");
    put(w, "b", "another of the same name");
    change(w, "b", 3);
    world_delete(w, &KUBE_CONFIGMAPS, NS, "a");
}

static void undo_changes(struct world *w)
{
    world_delete(w, &KUBE_CONFIGMAPS, NS, "b");
}

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

/* WATCHERS informers see the same changes; what they are told is what the first, undisturbed one is
 * told. */
static void compare_all(struct world *world, struct watcher *all, size_t count,
                        const char *(*what)(struct arena *a, const struct watcher *w))
{
    for (size_t i = 0; i < count; i++)
        watcher_start(&all[i]);
    for (size_t i = 0; i < count; i++)
        wait_watching(&all[i]);
    make_changes(world);
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < count; i++)
        wait_current(world, &all[i], what(a, &all[i]));
    char *expected = told(&all[0], a);
    assert_non_null(strstr(expected, "-a@"));
    for (size_t i = 1; i < count; i++)
        if (!STREQ(told(&all[i], a), expected))
            fail_msg("%s: told %s, not %s", what(a, &all[i]), told(&all[i], a), expected);
    undo_changes(world);
}

static const char *where_cut(struct arena *a, const struct watcher *w)
{
    return arena_printf(a, "cut after %zu bytes%s", w->t.cut_after, w->t.cut_hard ? ", hard" : "");
}

static void a_cut_at_every_byte(void **state)
{
    struct world world;
    world_start(&world);
    size_t length = SIZE_MAX;
    for (size_t from = 0; from < length; from += WATCHERS - 1) {
        struct watcher *all = mem_array(NULL, WATCHERS, sizeof(*all));
        for (size_t i = 0; i < WATCHERS; i++) {
            watcher_init(&all[i], world.transport);
            all[i].t.cut_after = i == 0 ? SIZE_MAX : from + i - 1;
            all[i].t.cut_hard = i % 2;
        }
        compare_all(&world, all, WATCHERS, where_cut);
        length = fault_transport_bytes(&all[0].t);
        assert_true(length > 1000);
        for (size_t i = 0; i < WATCHERS; i++)
            watcher_done(&all[i]);
        free(all);
    }
    world_stop(&world);
}

static const char *how_torn(struct arena *a, const struct watcher *w)
{
    return arena_printf(a, "pieces of %zu bytes%s", w->t.piece, w->t.twice ? ", twice" : "");
}

static void pieces_and_repetitions(void **state)
{
    enum { COUNT = 12 };
    struct world world;
    world_start(&world);
    struct watcher all[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        watcher_init(&all[i], world.transport);
        all[i].t.piece = i / 2;
        all[i].t.twice = i % 2;
    }
    compare_all(&world, all, COUNT, how_torn);
    for (size_t i = 0; i < COUNT; i++)
        watcher_done(&all[i]);
    world_stop(&world);
}

/* Versions of one object only grow, and what was deleted is not changed. */
static void assert_in_order(const char *text)
{
    AUTO_ARENA a = arena_new();
    char *rest = arena_strdup(a, text);
    struct map *seen = map_new(NULL);
    for (char *word = strtok_r(rest, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *at = strchr(word, '@');
        *at++ = '\0';
        int64_t version = 0;
        assert_int_equal(str_to_int64(at, &version), 0);
        bool known = map_get(seen, word + 1);
        if ((word[0] == '+') == known || version < (intptr_t)map_get(seen, word + 1))
            fail_msg("%s@%s is out of order in %s", word, at, text);
        if (word[0] == '-')
            map_del(seen, word + 1);
        else
            map_set(seen, word + 1, (void *)(intptr_t)version);
    }
    map_free(seen);
}

/* It loses its history: what it is asked to go on from, it does not know any more. */
static void a_server_that_is_started_again(void **state)
{
    enum { ROUNDS = 6, COUNT = 20 };
    struct world world = { .a = arena_new() };
    char dir[] = "/tmp/kaito-faults-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct apiserver_options options = { .data_dir = dir, .service_cidr = "127.96.0.0/16" };
    struct watcher all[COUNT];
    for (int round = 0; round < ROUNDS; round++) {
        struct error *err = NULL;
        if (apiserver_new(&options, &world.server, &err) < 0)
            fail_msg("%s", error_message(err));
        world.transport = apiserver_transport(world.server);
        world.client = kube_client_new(world.transport, NULL);
        for (size_t i = 0; i < COUNT; i++) {
            if (round > 0) {
                fault_transport_up(&all[i].t, world.transport);
                continue;
            }
            watcher_init(&all[i], world.transport);
            watcher_start(&all[i]);
        }
        make_changes(&world); /* some see them in the list, others in the watch */
        for (size_t i = round % 2; i < COUNT; i += 2)
            wait_current(&world, &all[i], "after a restart");
        undo_changes(&world);
        if (round == ROUNDS - 1)
            for (size_t i = 0; i < COUNT; i++)
                wait_current(&world, &all[i], "in the end");
        for (size_t i = 0; i < COUNT; i++)
            fault_transport_down(&all[i].t);
        kube_client_free(world.client);
        kube_transport_free(world.transport);
        apiserver_free(world.server);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_in_order(told(&all[i], world.a));
        watcher_done(&all[i]);
    }
    file_remove_tree(dir, NULL);
    arena_free(world.a);
}

/* The server does not keep what a reader does not take. */
static void a_reader_that_is_too_slow(void **state)
{
    struct world world;
    world_start(&world);
    struct watcher w;
    watcher_init(&w, world.transport);
    watcher_start(&w);
    put(&world, "large", "");
    wait_current(&world, &w, "at the start");
    wait_watching(&w);
    atomic_store(&w.blocked, true);
    char *text = arena_alloc(world.a, 200 * KIB + 1);
    memset(text, 'x', 200 * KIB);
    text[200 * KIB] = '\0';
    for (int i = 0; i < 40; i++)
        world_patch(&world, &KUBE_CONFIGMAPS, NS, "large", NULL,
                    arena_printf(world.a, "{'data':{'k':'%s','n':'%d'}}", text, i));
    atomic_store(&w.blocked, false);
    wait_current(&world, &w, "after it was slow");
    assert_true(fault_transport_opened(&w.t) > 1);
    assert_in_order(told(&w, world.a));
    watcher_done(&w);
    world_stop(&world);
}

static void drop_line(const char *line, size_t len, void *ctx) {}

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(a_cut_at_every_byte), TEST(pieces_and_repetitions),
                                        TEST(a_server_that_is_started_again),
                                        TEST(a_reader_that_is_too_slow) };
    log_set_sink(drop_line, NULL);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
