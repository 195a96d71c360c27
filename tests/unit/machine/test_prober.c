#include "machine/prober.h"

#include "net_test.h"

struct outcome {
    bool done;
    bool success;
    char message[512];
};

static void on_done(void *ctx, bool success, const char *message)
{
    struct outcome *o = ctx;
    o->done = true;
    o->success = success;
    snprintf(o->message, sizeof(o->message), "%s", message);
}

/* One attempt, to its end. */
static struct outcome probe(const char *yaml, const char *host, int64_t timeout_ms)
{
    AUTO_ARENA a = arena_new();
    struct loop *l = NULL;
    assert_int_equal(loop_new(&l, NULL), 0);
    struct outcome o = { 0 };
    char *argv[] = { (char *)"/bin/sh", (char *)"-c", NULL, NULL };
    char *env[] = { (char *)"PATH=/bin:/usr/bin", NULL };
    struct json *spec = yaml_of(a, yaml);
    argv[2] = (char *)(uintptr_t)json_string(json_at(json_find(spec, "exec", "command"), 0));
    struct probe_request q = {
        .spec = spec,
        .container = yaml_of(a, "{ports: [{name: web, containerPort: 1}]}"),
        .host = host,
        .timeout_ms = timeout_ms,
        .argv = argv,
        .env = env,
        .cwd = "/",
    };
    struct probe_attempt *p = NULL;
    probe_attempt_start(l, &q, on_done, &o, &p);
    while (!o.done) {
        loop_wait(l, probe_attempt_deadline(p));
        if (!o.done && clock_mono(clock_system()) >= probe_attempt_deadline(p))
            probe_attempt_expire(p);
    }
    loop_free(l);
    return o;
}

static void answer(struct net_server *s, int client)
{
    char request[2048] = "";
    ssize_t n = recv(client, request, sizeof(request) - 1, 0);
    request[MAX(n, (ssize_t)0)] = '\0';
    const char *want = strstr(s->text, "\n--\n");
    /* Before "--" what the request must contain, after it the answer. */
    char *need = mem_strndup(s->text, (size_t)(want - s->text));
    const char *reply = strstr(request, need) ? want + 4 : "HTTP/1.1 400 Bad Request\r\n\r\n";
    send(client, reply, strlen(reply), MSG_NOSIGNAL);
    free(need);
}

static struct outcome ask(const char *text, const char *fields)
{
    struct net_server s = { 0 };
    net_server_start(&s, "127.97.200.1", answer, text);
    AUTO_FREE char *yaml = mem_printf("httpGet: {port: %d, path: /health%s}", (int)s.port, fields);
    struct outcome o = probe(yaml, "127.97.200.1", 2000);
    net_server_stop(&s);
    return o;
}

static void http_answers_are_judged(void **state)
{
    assert_true(
        ask("GET /health HTTP/1.1\r\n\n--\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "")
            .success);
    assert_true(ask("User-Agent: kube-probe/\n--\nHTTP/1.0 302 Found\r\n\r\n", "").success);
    assert_true(
        ask("X-A: b\r\n\n--\nHTTP/1.1 204 No\r\n\r\n", ", httpHeaders: [{name: X-A, value: b}]")
            .success);
    assert_true(ask("Host: example\r\n\n--\nHTTP/1.1 200 OK\r\n\r\n",
                    ", httpHeaders: [{name: Host, value: example}]")
                    .success);
    struct outcome o = ask("\n--\nHTTP/1.1 503 Service Unavailable\r\n\r\nloading", "");
    assert_false(o.success);
    assert_string_equal(o.message, "HTTP probe failed with statuscode: 503");
    assert_non_null(strstr(ask("\n--\nSSH-2.0\r\n", "").message, "malformed HTTP response"));
    assert_non_null(strstr(ask("\n--\n", "").message, ": EOF"));
}

static void nobody_listens(void **state)
{
    struct outcome o = probe("httpGet: {port: 1, path: x}", "127.97.200.1", 1000);
    assert_false(o.success);
    assert_string_equal(
        o.message,
        "Get \"http://127.97.200.1:1/x\": dial tcp 127.97.200.1:1: connect: connection refused");
    o = probe("tcpSocket: {port: web}", "127.97.200.1", 1000);
    assert_string_equal(o.message, "dial tcp 127.97.200.1:1: connect: connection refused");
}

static void a_connection_is_enough_for_tcp(void **state)
{
    uint16_t port = 0;
    AUTO_FD fd = net_listen("127.97.200.2", &port);
    AUTO_FREE char *yaml = mem_printf("tcpSocket: {port: %d}", (int)port);
    assert_true(probe(yaml, "127.97.200.2", 1000).success);
    AUTO_FREE char *other = mem_printf("tcpSocket: {port: %d, host: 127.97.200.2}", (int)port);
    assert_true(probe(other, "127.97.200.3", 1000).success);
}

static void silence_times_out(void **state)
{
    uint16_t port = 0;
    AUTO_FD fd = net_listen("127.97.200.2", &port);
    AUTO_FREE char *yaml = mem_printf("httpGet: {port: %d}", (int)port);
    struct outcome o = probe(yaml, "127.97.200.2", 50);
    assert_false(o.success);
    assert_non_null(strstr(o.message, "context deadline exceeded"));
}

static void programs_are_run(void **state)
{
    assert_true(probe("exec: {command: [exit 0]}", "", 2000).success);
    struct outcome o = probe("exec: {command: ['echo sick; exit 2']}", "", 2000);
    assert_false(o.success);
    assert_string_equal(o.message, "sick\n");
    int64_t begin = clock_mono(clock_system());
    o = probe("exec: {command: ['sleep 100 & sleep 100']}", "", 50);
    assert_false(o.success);
    assert_string_equal(o.message, "command timed out");
    assert_true(clock_mono(clock_system()) - begin < 2 * NS_PER_S);
}

static void what_cannot_be_asked_fails(void **state)
{
    assert_false(probe("{}", "127.0.0.1", 100).success);
    assert_false(probe("httpGet: {port: none}", "127.0.0.1", 100).success);
    assert_false(probe("httpGet: {port: 1, host: example.invalid}", "127.0.0.1", 100).success);
    assert_false(probe("tcpSocket: {port: 70000}", "127.0.0.1", 100).success);
}

static void ports_have_names(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *c = yaml_of(a, "{ports: [{name: web, containerPort: 8080}]}");
    assert_int_equal(probe_port(yaml_of(a, "web"), c), 8080);
    assert_int_equal(probe_port(yaml_of(a, "'80'"), c), 80);
    assert_int_equal(probe_port(yaml_of(a, "81"), c), 81);
    assert_int_equal(probe_port(yaml_of(a, "other"), c), 0);
    assert_int_equal(probe_port(NULL, c), 0);
}

UNIT_TESTS(TEST(http_answers_are_judged), TEST(nobody_listens),
           TEST(a_connection_is_enough_for_tcp), TEST(silence_times_out), TEST(programs_are_run),
           TEST(what_cannot_be_asked_fails), TEST(ports_have_names))
