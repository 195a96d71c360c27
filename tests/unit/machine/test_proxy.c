/* The proxy between clients and servers on loopback addresses, led by Services and Endpoints of the
 * API server in memory. */
#include "machine/proxy.h"

#include "apiserver/apiserver.h"
#include "net_test.h"

struct world {
    struct arena *a;
    struct apiserver *server;
    struct kube_transport *transport;
    struct kube_client *client;
    struct informer *services;
    struct informer *endpoints;
    struct event_recorder *events;
    struct proxy *proxy;
};

static int world_setup(void **state)
{
    struct world *w = NEW0(struct world);
    w->a = arena_new();
    assert_int_equal(apiserver_new(&(struct apiserver_options){ .service_cidr = "127.96.0.0/16" },
                                   &w->server, NULL),
                     0);
    w->transport = apiserver_transport(w->server);
    w->client = kube_client_new(w->transport, &(struct kube_client_options){ 0 });
    w->services = informer_new(w->client, &KUBE_SERVICES, &(struct informer_options){ 0 });
    w->endpoints = informer_new(w->client, &KUBE_ENDPOINTS, &(struct informer_options){ 0 });
    w->events = event_recorder_new(w->client, "kube-proxy", "box", clock_system());
    struct proxy_options o = { .services = w->services,
                               .endpoints = w->endpoints,
                               .events = w->events,
                               .max_connections = 50 };
    assert_int_equal(proxy_new(&o, &w->proxy, NULL), 0);
    assert_int_equal(informer_start(w->services, NULL), 0);
    assert_int_equal(informer_start(w->endpoints, NULL), 0);
    assert_int_equal(proxy_start(w->proxy, NULL), 0);
    *state = w;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *w = *state;
    informer_stop(w->services);
    informer_stop(w->endpoints);
    proxy_stop(w->proxy);
    proxy_free(w->proxy);
    informer_free(w->services);
    informer_free(w->endpoints);
    event_recorder_free(w->events);
    kube_client_free(w->client);
    kube_transport_free(w->transport);
    apiserver_free(w->server);
    arena_free(w->a);
    free(w);
    return 0;
}

#define IN_WORLD(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

static void put(struct world *w, const struct kube_resource *r, const char *yaml)
{
    struct error *err = NULL;
    struct json *v = yaml_of(w->a, yaml);
    if (kube_create(w->client, r, "default", v, w->a, NULL, &err) < 0)
        fail_msg("%s", error_message(err));
}

#define SERVICE_IP "127.96.77.1"
#define SERVICE_PORT 7001

/* A Service without a selector, and its Endpoints: "127.97.1.1:80 127.97.1.2:81". */
static void expose(struct world *w, const char *backends)
{
    struct arena *a = w->a;
    put(w, &KUBE_SERVICES,
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {clusterIP: 127.96.77.1, ports: [{port: 7001}]}\n");
    struct json *subsets = EMPTY_ARR();
    char **list = str_split(a, backends, ' ', NULL);
    for (size_t i = 0; list[i] && *list[i]; i++) {
        char **parts = str_split(a, list[i], ':', NULL);
        json_append(subsets, OBJ("addresses", ARR(OBJ("ip", STR(parts[0]))), "ports",
                                 ARR(OBJ("port", INT(strtol(parts[1], NULL, 10))))));
    }
    struct json *e = OBJ("apiVersion", STR("v1"), "kind", STR("Endpoints"), "metadata",
                         OBJ("name", STR("s")), "subsets", subsets);
    struct error *err = NULL;
    if (kube_create(w->client, &KUBE_ENDPOINTS, "default", e, a, NULL, &err) < 0)
        fail_msg("%s", error_message(err));
}

static int dial(void)
{
    int fd = -1;
    WAIT_FOR(5000, (fd = net_connect(SERVICE_IP, SERVICE_PORT)) >= 0);
    return fd;
}

static void say_name(struct net_server *s, int client)
{
    send(client, s->text, strlen(s->text), MSG_NOSIGNAL);
}

static void echo(struct net_server *s, int client)
{
    char data[65536];
    ssize_t n;
    while ((n = recv(client, data, sizeof(data), 0)) > 0)
        send(client, data, (size_t)n, MSG_NOSIGNAL);
    /* Only now, after the client's end was seen. */
    send(client, "end", 3, MSG_NOSIGNAL);
}

static size_t read_to_end(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;
    while (len < size && (n = recv(fd, out + len, size - len, 0)) > 0)
        len += (size_t)n;
    return len;
}

static const char *ask(struct world *w)
{
    char text[64] = "";
    AUTO_FD fd = dial();
    read_to_end(fd, text, sizeof(text) - 1);
    return arena_strdup(w->a, text);
}

static void connections_go_round(void **state)
{
    struct world *w = *state;
    struct net_server one = { 0 };
    struct net_server two = { 0 };
    net_server_start(&one, "127.97.201.1", say_name, "one");
    net_server_start(&two, "127.97.201.2", say_name, "two");
    expose(w, arena_printf(w->a, "127.97.201.1:%d 127.97.201.2:%d", (int)one.port, (int)two.port));
    const char *first = ask(w);
    for (int i = 0; i < 6; i++) {
        const char *name = ask(w);
        assert_true(str_eq(name, first) == (i % 2 == 1));
    }
    net_server_stop(&one);
    net_server_stop(&two);
}

static void a_dead_endpoint_is_passed_over(void **state)
{
    struct world *w = *state;
    struct net_server one = { 0 };
    net_server_start(&one, "127.97.201.1", say_name, "one");
    expose(w, arena_printf(w->a, "127.97.201.9:9 127.97.201.1:%d 127.97.201.9:10", (int)one.port));
    for (int i = 0; i < 6; i++)
        assert_string_equal(ask(w), "one");
    net_server_stop(&one);
}

static void all_dead_is_a_reset(void **state)
{
    struct world *w = *state;
    expose(w, "127.97.201.9:9 127.97.201.9:10");
    AUTO_FD fd = dial();
    char c;
    assert_true(recv(fd, &c, 1, 0) < 0);
    assert_int_equal(errno, ECONNRESET);
}

static void without_endpoints_it_is_refused(void **state)
{
    struct world *w = *state;
    struct net_server one = { 0 };
    net_server_start(&one, "127.97.201.1", say_name, "one");
    expose(w, "");
    usleep(50000);
    assert_int_equal(net_connect(SERVICE_IP, SERVICE_PORT), -1);
    struct json *patch =
        yaml_of(w->a,
                arena_printf(w->a,
                             "subsets: [{addresses: [{ip: 127.97.201.1}], ports: [{port: %d}]}]",
                             (int)one.port));
    assert_int_equal(kube_patch(w->client, &KUBE_ENDPOINTS, "default", "s", NULL, KUBE_PATCH_MERGE,
                                patch, w->a, NULL, NULL),
                     0);
    assert_string_equal(ask(w), "one");
    struct kube_delete_options o = KUBE_DELETE_OPTIONS_INIT;
    assert_int_equal(kube_delete(w->client, &KUBE_SERVICES, "default", "s", &o, NULL), 0);
    int fd = -1;
    WAIT_FOR(2000, (fd = net_connect(SERVICE_IP, SERVICE_PORT)) < 0 || close(fd) < 0);
    net_server_stop(&one);
}

/* What is sent comes back whole; the end of one direction does not end the other. */
static void much_data_and_a_half_close(void **state)
{
    struct world *w = *state;
    struct net_server s = { 0 };
    net_server_start(&s, "127.97.201.1", echo, NULL);
    expose(w, arena_printf(w->a, "127.97.201.1:%d", (int)s.port));
    size_t size = 8 * MIB;
    char *sent = arena_alloc(w->a, size);
    char *got = arena_alloc(w->a, size + 3);
    for (size_t i = 0; i < size; i++)
        sent[i] = (char)(i * 31 >> 5);
    AUTO_FD fd = dial();
    pid_t writer = fork();
    if (writer == 0) { /* while we read */
        size_t done = 0;
        ssize_t n;
        while (done < size && (n = send(fd, sent + done, size - done, 0)) > 0)
            done += (size_t)n;
        shutdown(fd, SHUT_WR);
        _exit(0);
    }
    usleep(100000); /* buffers fill up first */
    assert_int_equal(read_to_end(fd, got, size + 3), size + 3);
    assert_memory_equal(got, sent, size);
    assert_memory_equal(got + size, "end", 3);
    kill(writer, SIGKILL);
    WAIT_FOR(2000, proxy_connections(w->proxy) == 0);
    net_server_stop(&s);
}

static void swallow(struct net_server *s, int client)
{
    char c;
    recv(client, &c, 1, 0);
    struct linger linger = { .l_onoff = 1 };
    setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void a_reset_is_passed_on(void **state)
{
    struct world *w = *state;
    struct net_server s = { 0 };
    net_server_start(&s, "127.97.201.1", swallow, NULL);
    expose(w, arena_printf(w->a, "127.97.201.1:%d", (int)s.port));
    AUTO_FD fd = dial();
    send(fd, "xyz", 3, 0);
    char c;
    assert_true(recv(fd, &c, 1, 0) < 0);
    assert_int_equal(errno, ECONNRESET);
    net_server_stop(&s);
}

static void connections_have_a_limit(void **state)
{
    struct world *w = *state;
    uint16_t port = 0;
    AUTO_FD backend = net_listen("127.97.201.1", &port);
    expose(w, arena_printf(w->a, "127.97.201.1:%d", (int)port));
    int fds[60];
    for (int i = 0; i < 60; i++)
        fds[i] = dial();
    size_t closed = 0;
    usleep(100000);
    for (int i = 0; i < 60; i++) {
        char c;
        closed += recv(fds[i], &c, 1, MSG_DONTWAIT) == 0;
        close(fds[i]);
    }
    assert_int_equal(closed, 10);
}

static bool has_event(struct world *w, const char *part)
{
    struct json *list = NULL;
    if (kube_list(w->client, &KUBE_EVENTS, &(struct kube_list_options){ .ns = "default" }, w->a,
                  &list, NULL) < 0)
        return false;
    JSON_FOREACH(it, json_get(list, "items")) {
        const char *message = json_find_str(it.value, "message");
        if (message && strstr(message, part))
            return true;
    }
    return false;
}

static void a_taken_port_is_reported(void **state)
{
    struct world *w = *state;
    uint16_t port = SERVICE_PORT;
    AUTO_FD taken = net_listen(SERVICE_IP, &port);
    expose(w, "127.97.201.1:80");
    WAIT_FOR(
        3000,
        has_event(
            w,
            "cannot listen on 127.96.77.1:7001: Address already in use; another program listens there"));
}

UNIT_TESTS(IN_WORLD(connections_go_round), IN_WORLD(a_dead_endpoint_is_passed_over),
           IN_WORLD(all_dead_is_a_reset), IN_WORLD(without_endpoints_it_is_refused),
           IN_WORLD(much_data_and_a_half_close), IN_WORLD(a_reset_is_passed_on),
           IN_WORLD(connections_have_a_limit), IN_WORLD(a_taken_port_is_reported))
