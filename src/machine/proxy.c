/* See proxy.h. This file: Services become listeners. */
#include "machine/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/meta.h"
#include "machine/proxy_internal.h"
#include "json/build.h"

#define DEFAULT_MAX_CONNECTIONS 8192
#define RETRY_NS (15 * NS_PER_S)
/* Without free descriptors, accepting rests this long. */
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

struct listener {
    struct proxy *proxy;
    struct loop_source source;
    int fd; /* -1: cannot be listened on */
    struct sockaddr_in address;
    struct backends *backends;
    size_t turn;
    bool wanted; /* while a Service is looked at */
    bool paused;
};

struct proxy {
    struct proxy_options o;
    struct loop *loop;
    struct proxy_connections connections;
    size_t connection_count; /* atomic, for proxy_connections() */
    struct map *services;    /* "ns/name" → map of "ip:port" → struct listener */
    struct map *failed;      /* "ns/name" of those with a port that could not be listened on */
    int64_t retry_at;
    int64_t resume_at; /* accepting goes on; INT64_MAX: it does */
    pthread_t thread;
    bool running;
    /* under lock */
    pthread_mutex_t lock;
    struct map *inbox;
    bool stopping;
};

/* ---- backends ------------------------------------------------------------------------------------------------------ */

static bool is_tcp(const struct json *port)
{
    const char *protocol = json_find_str(port, "protocol");
    return str_empty(protocol) || str_eq(protocol, "TCP");
}

struct json *proxy_backends(struct arena *a, const struct json *service_port,
                            const struct json *endpoints)
{
    struct json *list = EMPTY_ARR();
    const char *name = json_find_str(service_port, "name");
    JSON_FOREACH(subset, json_get(endpoints, "subsets")) {
        int64_t number = 0;
        JSON_FOREACH(it, json_get(subset.value, "ports")) {
            const char *port_name = json_find_str(it.value, "name");
            if (is_tcp(it.value) && str_eq(port_name ? port_name : "", name ? name : ""))
                number = json_find_int(it.value, 0, "port");
        }
        if (number < 1 || number > UINT16_MAX)
            continue;
        JSON_FOREACH(it, json_get(subset.value, "addresses")) {
            json_append(list, OBJ("ip", STR(json_find_str(it.value, "ip")), "port", INT(number)));
        }
    }
    return list;
}

static struct backends *backends_from(const struct json *list)
{
    struct backends *b = mem_zalloc(sizeof(*b) + json_size(list) * sizeof(b->addresses[0]));
    b->refs = 1;
    JSON_FOREACH(it, list) {
        struct sockaddr_in *address = &b->addresses[b->count];
        address->sin_family = AF_INET;
        address->sin_port = htons((uint16_t)json_find_int(it.value, 0, "port"));
        const char *ip = json_find_str(it.value, "ip");
        if (ip && inet_pton(AF_INET, ip, &address->sin_addr) == 1)
            b->count++;
    }
    return b;
}

/* ---- listeners ----------------------------------------------------------------------------------------------------- */

static void listener_free(void *value)
{
    struct listener *l = value;
    loop_remove(l->proxy->loop, &l->source);
    if (l->fd >= 0)
        close(l->fd);
    backends_unref(l->backends);
    free(l);
}

static void free_listeners(void *value)
{
    map_free(value);
}

static void pause_accepting(struct listener *l)
{
    loop_remove(l->proxy->loop, &l->source);
    l->paused = true;
    l->proxy->resume_at = clock_mono(clock_system()) + ACCEPT_PAUSE_NS;
}

static void on_accept(struct loop_source *source, uint32_t events)
{
    struct listener *l = LOOP_OWNER(source, struct listener, source);
    for (int i = 0; i < 64; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            pause_accepting(l);
            return;
        }
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd >= 0)
            connection_start(&l->proxy->connections, fd, l->backends, l->turn++);
    }
}

/* A descriptor, or the negative errno value. */
static int open_listener(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 && listen(fd, 1024) == 0)
        return fd;
    int errnum = errno;
    if (fd >= 0)
        close(fd);
    return -errnum;
}

static void report(struct proxy *p, const struct json *service, const char *where, int errnum)
{
    char text[128];
    const char *way_out = "";
    if (errnum == EACCES)
        way_out =
            "; ports below 1024 need root or, once, `sysctl net.ipv4.ip_unprivileged_port_start=0`";
    else if (errnum == EADDRINUSE)
        way_out = "; another program listens there";
    log_warn("a Service cannot be listened on", "service", meta_name(service), "address", where,
             "error", strerror_r(errnum, text, sizeof(text)), NULL);
    if (p->o.events)
        event_record(p->o.events, service, "Warning", "FailedToListen", "cannot listen on %s: %s%s",
                     where, strerror_r(errnum, text, sizeof(text)), way_out);
}

/* was_failed: it could not be listened on before, and that has been said. */
static struct listener *listener_new(struct proxy *p, const struct json *service, const char *where,
                                     const struct sockaddr_in *address, bool was_failed)
{
    int fd = open_listener(address);
    if (fd < 0) {
        if (!was_failed)
            report(p, service, where, -fd);
        return NULL;
    }
    struct listener *l = NEW0(struct listener);
    *l = (struct listener){
        .proxy = p, .source = { .on_event = on_accept, .fd = -1 }, .fd = fd, .address = *address
    };
    if (loop_add(p->loop, &l->source, fd, EPOLLIN, NULL) < 0) {
        listener_free(l);
        return NULL;
    }
    return l;
}

/* ---- Services ------------------------------------------------------------------------------------------------------ */

/* Makes the listener of one port, or gives it its new backends. False: it cannot be listened on. */
static bool sync_port(struct proxy *p, struct arena *a, const char *key, const struct json *service,
                      const struct json *port, const struct json *endpoints)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    const char *ip = json_find_str(service, "spec", "clusterIP");
    int64_t number = json_find_int(port, 0, "port");
    if (!is_tcp(port) || !ip || inet_pton(AF_INET, ip, &address.sin_addr) != 1 || number < 1 ||
        number > UINT16_MAX)
        return true;
    address.sin_port = htons((uint16_t)number);
    struct backends *b = backends_from(proxy_backends(a, port, endpoints));
    if (b->count == 0) {
        backends_unref(b);
        return true;
    }
    const char *where = arena_printf(a, "%s:%d", ip, (int)number);
    struct map *listeners = map_get(p->services, key);
    struct listener *l = map_get(listeners, where);
    if (!l) {
        l = listener_new(p, service, where, &address, map_has(p->failed, key));
        if (!l) {
            backends_unref(b);
            return false;
        }
        map_set(listeners, where, l);
    }
    backends_unref(l->backends);
    l->backends = b;
    l->wanted = true;
    return true;
}

static void sync_service(struct proxy *p, const char *key)
{
    AUTO_ARENA a = arena_new();
    const char *ns;
    const char *name;
    kube_key_split(a, key, &ns, &name);
    CLEANUP(kube_object_cleanup)
    struct kube_object *service = informer_get(p->o.services, ns, name);
    CLEANUP(kube_object_cleanup)
    struct kube_object *endpoints = informer_get(p->o.endpoints, ns, name);
    struct map *listeners = map_get(p->services, key);
    if (!listeners) {
        listeners = map_new(listener_free);
        map_set(p->services, key, listeners);
    }
    struct map_iter it = MAP_ITER_INIT;
    void *value;
    while (map_next(listeners, &it, NULL, &value))
        ((struct listener *)value)->wanted = false;
    bool all = true;
    if (service && endpoints && !service->deleting) {
        struct json *parsed = kube_object_parse(a, service);
        const struct json *targets = kube_object_parse(a, endpoints);
        json_set_str(a, parsed, "apiVersion", "v1");
        json_set_str(a, parsed, "kind", "Service");
        JSON_FOREACH(port, json_find(parsed, "spec", "ports")) {
            all = sync_port(p, a, key, parsed, port.value, targets) && all;
        }
    }
    const char *where;
    it = (struct map_iter)MAP_ITER_INIT;
    while (map_next(listeners, &it, &where, &value))
        if (!((struct listener *)value)->wanted)
            map_del(listeners, where);
    if (map_size(listeners) == 0)
        map_del(p->services, key);
    if (all)
        map_del(p->failed, key);
    else
        map_set(p->failed, key, p);
}

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

static void on_change(void *ctx, struct kube_object *old, struct kube_object *new)
{
    struct proxy *p = ctx;
    AUTO_ARENA a = arena_new();
    struct kube_object *o = new ? new : old;
    pthread_mutex_lock(&p->lock);
    map_set(p->inbox, kube_key(a, o->ns, o->name), p);
    pthread_mutex_unlock(&p->lock);
    loop_wake(p->loop);
}

/* What is to be looked at now; false: stop. */
static bool take_inbox(struct proxy *p, struct map **ret)
{
    LOCK(&p->lock);
    if (map_size(p->inbox) > 0) {
        *ret = p->inbox;
        p->inbox = map_new(NULL);
    }
    return !p->stopping;
}

static void retry_failed(struct proxy *p, int64_t now)
{
    if (map_size(p->failed) == 0) {
        p->retry_at = now + RETRY_NS;
        return;
    }
    if (now < p->retry_at)
        return;
    p->retry_at = now + RETRY_NS;
    AUTO_ARENA a = arena_new();
    size_t n = 0;
    const char **keys = arena_zalloc(a, (map_size(p->failed) + 1) * sizeof(*keys));
    struct map_iter it = MAP_ITER_INIT;
    const char *key;
    while (map_next(p->failed, &it, &key, NULL))
        keys[n++] = arena_strdup(a, key);
    for (size_t i = 0; i < n; i++)
        sync_service(p, keys[i]);
}

static void resume_accepting(struct proxy *p, int64_t now)
{
    if (now < p->resume_at)
        return;
    p->resume_at = INT64_MAX;
    struct map_iter it = MAP_ITER_INIT;
    void *listeners;
    while (map_next(p->services, &it, NULL, &listeners)) {
        struct map_iter it2 = MAP_ITER_INIT;
        void *value;
        while (map_next(listeners, &it2, NULL, &value)) {
            struct listener *l = value;
            if (l->paused && loop_add(p->loop, &l->source, l->fd, EPOLLIN, NULL) == 0)
                l->paused = false;
        }
    }
}

static void *proxy_main(void *arg)
{
    struct proxy *p = arg;
    for (;;) {
        struct map *inbox = NULL;
        if (!take_inbox(p, &inbox)) {
            map_free(inbox);
            return NULL;
        }
        struct map_iter it = MAP_ITER_INIT;
        const char *key;
        while (map_next(inbox, &it, &key, NULL))
            sync_service(p, key);
        map_free(inbox);
        int64_t now = clock_mono(clock_system());
        retry_failed(p, now);
        resume_accepting(p, now);
        int64_t until = MIN(map_size(p->failed) > 0 ? p->retry_at : INT64_MAX, p->resume_at);
        loop_wait(p->loop, until);
        __atomic_store_n(&p->connection_count, p->connections.count, __ATOMIC_RELAXED);
    }
}

int proxy_new(const struct proxy_options *options, struct proxy **ret, struct error **err)
{
    struct proxy *p = NEW0(struct proxy);
    p->o = *options;
    p->services = map_new(free_listeners);
    p->failed = map_new(NULL);
    p->inbox = map_new(NULL);
    p->resume_at = INT64_MAX;
    pthread_mutex_init(&p->lock, NULL);
    int r = loop_new(&p->loop, err);
    if (r < 0) {
        proxy_free(p);
        return r;
    }
    connections_init(&p->connections, p->loop,
                     options->max_connections ? options->max_connections : DEFAULT_MAX_CONNECTIONS);
    informer_add_handler(options->services, on_change, p);
    informer_add_handler(options->endpoints, on_change, p);
    *ret = p;
    return 0;
}

int proxy_start(struct proxy *p, struct error **err)
{
    int r = thread_start(&p->thread, "proxy", proxy_main, p, err);
    p->running = r == 0;
    return r;
}

void proxy_stop(struct proxy *p)
{
    if (!p->running)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_mutex_unlock(&p->lock);
    loop_wake(p->loop);
    thread_join(p->thread);
    p->running = false;
    map_clear(p->services);
    connections_done(&p->connections);
}

void proxy_free(struct proxy *p)
{
    if (!p)
        return;
    map_free(p->services);
    connections_done(&p->connections);
    map_free(p->failed);
    map_free(p->inbox);
    loop_free(p->loop);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

size_t proxy_connections(struct proxy *p)
{
    return __atomic_load_n(&p->connection_count, __ATOMIC_RELAXED);
}
