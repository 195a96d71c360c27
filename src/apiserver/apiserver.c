#include "apiserver/apiserver.h"
#include "apiserver/admission.h"

#include <stdlib.h>
#include <unistd.h>

#include "apiserver/bootstrap.h"
#include "apiserver/crd.h"
#include "apiserver/housekeeper.h"
#include "apiserver/server.h"
#include "apiserver/stream.h"
#include "apiserver/stream_internal.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define DEFAULT_MAX_BODY (3 * MIB)
#define DEFAULT_WATCHERS 4096

struct registry *apiserver_kinds(struct apiserver *s)
{
    LOCK(&s->kinds_lock);
    return registry_ref(s->kinds);
}

void apiserver_reload_kinds(struct apiserver *s)
{
    struct store_list crds;
    pthread_mutex_lock(&s->kinds_lock);
    store_list(s->store, CRDS_RESOURCE, NULL, NULL, 0, &crds);
    struct registry *old = s->kinds;
    s->kinds = registry_with_crds(old, crds.items, crds.count);
    pthread_mutex_unlock(&s->kinds_lock);
    registry_unref(old);
    store_list_done(&crds);
    if (s->streams)
        streams_wake(s->streams);
}

static void copy_options(struct apiserver *s, const struct apiserver_options *o)
{
    s->o = *o;
    s->o.data_dir = arena_strdup(s->a, o->data_dir);
    s->o.service_cidr = arena_strdup(s->a, o->service_cidr);
    s->o.service_address = arena_strdup(s->a, o->service_address);
    if (!s->o.max_body)
        s->o.max_body = DEFAULT_MAX_BODY;
    if (!s->o.max_watchers)
        s->o.max_watchers = DEFAULT_WATCHERS;
    s->clock = o->clock ? o->clock : clock_system();
}

static int lock_data_dir(struct apiserver *s, struct error **err)
{
    int r = file_mkdirs(s->o.data_dir, 0700, err);
    if (r < 0)
        return r;
    r = file_lock(arena_printf(s->a, "%s/lock", s->o.data_dir), &s->lock_fd, err);
    return r == -ERROR_CONFLICT ? error_prefix(err, r, "%s is in use", s->o.data_dir) : r;
}

static int open_store(struct apiserver *s, struct error **err)
{
    struct store_options options = {
        .path = s->o.data_dir ? arena_printf(s->a, "%s/store.db", s->o.data_dir) : NULL,
        .history = s->o.watch_history,
        /* The server's own watches come on top of those of clients. */
        .max_watchers = s->o.max_watchers + 16,
    };
    return store_open(&options, &s->store, err);
}

int apiserver_new(const struct apiserver_options *options, struct apiserver **ret,
                  struct error **err)
{
    struct apiserver *s = NEW0(struct apiserver);
    s->a = arena_new();
    s->lock_fd = -1;
    pthread_mutex_init(&s->kinds_lock, NULL);
    copy_options(s, options);
    s->kinds = registry_new();
    s->webhook_callers = webhook_callers_new();
    int r = s->o.data_dir ? lock_data_dir(s, err) : 0;
    if (r == 0)
        r = open_store(s, err);
    if (r == 0) {
        apiserver_reload_kinds(s);
        r = streams_new(s, &s->streams, err);
    }
    if (r == 0)
        r = bootstrap(s, err);
    if (r == 0)
        r = housekeeper_new(s, &s->housekeeper, err);
    if (r < 0) {
        apiserver_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void apiserver_free(struct apiserver *s)
{
    if (s->housekeeper)
        housekeeper_free(s->housekeeper);
    if (s->streams) {
        streams_stop(s->streams);
        streams_free(s->streams);
    }
    webhook_callers_free(s->webhook_callers);
    if (s->store)
        store_close(s->store);
    registry_unref(s->kinds);
    pthread_mutex_destroy(&s->kinds_lock);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    arena_free(s->a);
    free(s);
}

uint64_t apiserver_resource_version(struct apiserver *s)
{
    return store_version(s->store);
}

uint64_t apiserver_commits(struct apiserver *s)
{
    return store_commits(s->store);
}
