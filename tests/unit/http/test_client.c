/* Calls: against our own server, and against servers that misbehave. */
#include "http_test.h"

static void echo(struct http_exchange *x, void *ctx)
{
    const char *path = http_path(x);
    size_t len;
    const char *body = http_body(x, &len);
    if (STREQ(path, "/echo")) {
        http_set_header(x, "X-Method", http_method(x));
        http_set_header(x, "X-Type",
                        http_header(x, "content-type") ? http_header(x, "content-type") : "none");
        http_set_header(x, "X-Agent", http_header(x, "User-Agent"));
        http_set_header(x, "X-Probe",
                        http_header(x, "x-probe") ? http_header(x, "x-probe") : "none");
        http_reply(x, 200, "application/octet-stream", body, len);
    } else if (STREQ(path, "/big")) {
        AUTO_FREE char *big = mem_zalloc(100000);
        http_reply(x, 200, "application/octet-stream", big, 100000);
    } else if (STREQ(path, "/redirect")) {
        http_set_header(x, "Location", http_query(x, "to"));
        http_reply_text(x, 302, "over there");
    } else if (STREQ(path, "/slow")) {
        test_sleep_ms(20);
        http_reply_text(x, 200, "slow");
    } else if (STREQ(path, "/auth")) {
        http_reply_text(x, 200,
                        http_header(x, "Authorization") ? http_header(x, "Authorization") : "none");
    } else {
        http_reply_text(x, 404, "nothing here");
    }
}

static struct http_server *start_echo(void)
{
    struct http_server_options options = { .name = "echo",
                                           .address = "127.0.0.1",
                                           .handler = echo };
    struct http_server *s = NULL;
    assert_int_equal(http_server_start(&options, &s, NULL), 0);
    return s;
}

static void any_status_is_a_success(void **state)
{
    struct http_server *s = start_echo();
    struct http_client *c = test_client();
    struct http_response r = HTTP_RESPONSE_INIT;
    assert_int_equal(test_get(c, http_server_port(s), "/nowhere", &r, NULL), 0);
    assert_int_equal(r.status, 404);
    assert_string_equal(buf_str(&r.body), "nothing here");
    assert_string_equal(http_response_header(&r, "Content-Type"), "text/plain; charset=utf-8");
    assert_string_equal(http_response_header(&r, "content-LENGTH"), "12");
    assert_null(http_response_header(&r, "content"));
    http_response_done(&r);
    assert_null(http_response_header(&r, "content-type"));
    http_client_free(c);
    http_server_stop(s, 0);
}

static void sends_methods_bodies_and_headers(void **state)
{
    static const char *const methods[] = { "POST", "PUT", "PATCH", "DELETE", "GET", "PROPFIND" };
    struct http_server *s = start_echo();
    struct http_client *c = test_client();
    char url[URL_SIZE];
    test_url(url, "http", http_server_port(s), "/echo");
    for (size_t i = 0; i < COUNT_OF(methods) * 2; i++) {
        const char *body = i % 2 ? "{\"a\":1}" : "";
        struct http_header headers[] = { { "Content-Type", "application/json" },
                                         { "X-Probe", "a: b" } };
        struct http_request request = {
            .method = methods[i / 2],
            .url = url,
            .headers = headers,
            .header_count = i % 2 ? 2 : 0,
            .body = body,
            .body_len = strlen(body),
        };
        struct http_response r = HTTP_RESPONSE_INIT;
        assert_int_equal(http_call(c, &request, &r, NULL), 0);
        assert_int_equal(r.status, 200);
        assert_string_equal(http_response_header(&r, "x-method"), methods[i / 2]);
        assert_string_equal(http_response_header(&r, "x-type"),
                            i % 2 ? "application/json" : "none");
        assert_string_equal(http_response_header(&r, "x-agent"), "kaito-test");
        assert_string_equal(http_response_header(&r, "x-probe"), i % 2 ? "a: b" : "none");
        assert_string_equal(buf_str(&r.body), body);
        http_response_done(&r);
    }
    struct http_request head = { .method = "HEAD", .url = url };
    struct http_response r = HTTP_RESPONSE_INIT;
    assert_int_equal(http_call(c, &head, &r, NULL), 0);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body.len, 0);
    assert_string_equal(http_response_header(&r, "x-method"), "HEAD");
    http_response_done(&r);
    http_client_free(c);
    http_server_stop(s, 0);
}

static void sends_large_bodies(void **state)
{
    struct http_server *s = start_echo();
    struct http_client *c = test_client();
    char url[URL_SIZE];
    size_t len = 2 * MIB;
    AUTO_FREE char *body = mem_alloc(len);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)(i * 7 + i / 256);
    struct http_request request = {
        .method = "POST",
        .url = test_url(url, "http", http_server_port(s), "/echo"),
        .body = body,
        .body_len = len,
    };
    struct http_response r = HTTP_RESPONSE_INIT;
    int64_t start = test_now_ms();
    assert_int_equal(http_call(c, &request, &r, NULL), 0);
    assert_true(test_now_ms() - start < 900); /* no wait for a "continue" */
    assert_int_equal(r.body.len, len);
    assert_memory_equal(r.body.data, body, len);
    http_response_done(&r);
    http_client_free(c);
    http_server_stop(s, 0);
}

static void refuses_bad_requests(void **state)
{
    struct http_client *c = test_client();
    struct http_response r = HTTP_RESPONSE_INIT;
    struct error *err = NULL;
    struct http_request request = { .url = "ftp://127.0.0.1/x" };
    assert_error(http_call(c, &request, &r, &err), err, ERROR_INVALID, "neither http nor https");
    request.url = "not a url";
    assert_error(http_call(c, &request, &r, &err), err, ERROR_INVALID, "not a url");
    request.url = "file:///etc/passwd";
    assert_error(http_call(c, &request, &r, &err), err, ERROR_INVALID, "file:///etc/passwd");
    request.url = "http://127.0.0.1:1/";
    request.method = "GET / HTTP/1.1\r\nX: y";
    assert_error(http_call(c, &request, &r, &err), err, ERROR_INVALID, "method");
    request.method = NULL;
    struct http_header header = { "X-Probe", "a\r\nX-Evil: b" };
    request.headers = &header;
    request.header_count = 1;
    assert_error(http_call(c, &request, &r, &err), err, ERROR_INVALID, "X-Probe");
    header = (struct http_header){ "X Probe", "a" };
    assert_error(http_call(c, &request, &r, &err), err, ERROR_INVALID, "X Probe");
    http_client_free(c);
}

static void caps_the_response(void **state)
{
    struct http_server *s = start_echo();
    struct http_client *c = test_client();
    char url[URL_SIZE];
    struct http_request request = {
        .url = test_url(url, "http", http_server_port(s), "/big"),
        .max_response = 99999,
    };
    struct http_response r = HTTP_RESPONSE_INIT;
    struct error *err = NULL;
    assert_error(http_call(c, &request, &r, &err), err, ERROR_TOO_LARGE, "larger than 99999 bytes");
    request.max_response = 100000;
    assert_int_equal(http_call(c, &request, &r, NULL), 0);
    assert_int_equal(r.body.len, 100000);
    http_response_done(&r);
    http_client_free(c);
    http_server_stop(s, 0);
}

static void keeps_connections(void **state)
{
    struct raw_server s = { .reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                            .keep_open = true };
    raw_start(&s);
    struct http_client *c = test_client();
    for (int i = 0; i < 20; i++) {
        struct http_response r = HTTP_RESPONSE_INIT;
        assert_int_equal(test_get(c, s.port, "/", &r, NULL), 0);
        assert_string_equal(buf_str(&r.body), "hi");
        http_response_done(&r);
    }
    assert_int_equal(__atomic_load_n(&s.connections, __ATOMIC_SEQ_CST), 1);
    http_client_free(c);
    raw_stop(&s);
}

static void survives_connections_that_went_stale(void **state)
{
    struct raw_server s = {
        .reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    }; /* and closes without a word */
    raw_start(&s);
    struct http_client *c = test_client();
    for (int i = 0; i < 20; i++) {
        struct http_response r = HTTP_RESPONSE_INIT;
        assert_int_equal(test_get(c, s.port, "/", &r, NULL), 0);
        http_response_done(&r);
    }
    http_client_free(c);
    raw_stop(&s);
}

static void names_who_refused(void **state)
{
    struct raw_server s = { 0 };
    raw_start(&s);
    raw_stop(&s); /* now nobody listens there */
    struct http_client *c = test_client();
    struct http_response r = HTTP_RESPONSE_INIT;
    struct error *err = NULL;
    char want[64];
    snprintf(want, sizeof want, "connection to 127.0.0.1:%u refused", s.port);
    assert_error(test_get(c, s.port, "/", &r, &err), err, ERROR_UNAVAILABLE, want);

    char url[URL_SIZE], proxy[URL_SIZE];
    struct raw_server live = { .reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" };
    raw_start(&live);
    struct http_request request = {
        .url = test_url(url, "http", live.port, "/"),
        .proxy = test_url(proxy, "http", s.port, ""),
    };
    request.url = "http://198.51.100.1:80/";
    assert_error(http_call(c, &request, &r, &err), err, ERROR_UNAVAILABLE,
                 "through the proxy: Failed to connect to 127.0.0.1");
    http_client_free(c);
    raw_stop(&live);
}

static void uses_a_proxy(void **state)
{
    struct raw_server s = { .reply = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nproxied" };
    raw_start(&s);
    struct http_client *c = test_client();
    char proxy[URL_SIZE];
    struct http_request request = {
        .url = "http://example.invalid/x",
        .proxy = test_url(proxy, "http", s.port, ""),
    };
    struct http_response r = HTTP_RESPONSE_INIT;
    assert_int_equal(http_call(c, &request, &r, NULL), 0);
    assert_string_equal(buf_str(&r.body), "proxied");
    assert_true(str_has_prefix(s.request, "GET http://example.invalid/x HTTP/1.1\r\n"));
    http_response_done(&r);

    /* The environment's proxy is not asked for this machine itself. */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    request = (struct http_request){ .url = test_url(proxy, "http", s.port, "/y") };
    assert_int_equal(http_call(c, &request, &r, NULL), 0);
    assert_true(str_has_prefix(s.request, "GET /y HTTP/1.1\r\n"));
    http_response_done(&r);
    unsetenv("http_proxy");
    http_client_free(c);
    raw_stop(&s);
}

static void says_how_a_response_broke(void **state)
{
    static const struct {
        const char *reply;
        const char *text;
    } cases[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour", "was cut off after 4 bytes" },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
          "was cut off after 5 bytes" },
        { NULL, "closed the connection without an answer" },
        { "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/0.9" },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "was lost: Illegal" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct raw_server s = { .reply = cases[i].reply };
        raw_start(&s);
        struct http_client *c = test_client();
        struct http_response r = HTTP_RESPONSE_INIT;
        struct error *err = NULL;
        assert_error(test_get(c, s.port, "/", &r, &err), err, ERROR_UNAVAILABLE, cases[i].text);
        http_client_free(c);
        raw_stop(&s);
    }
}

static void caps_headers(void **state)
{
    struct buf reply = BUF_INIT(4 * MIB);
    buf_puts(&reply, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 1100; i++)
        buf_printf(&reply, "X-%d: v\r\n", i);
    buf_puts(&reply, "Content-Length: 0\r\n\r\n");
    struct raw_server s = { .reply = buf_str(&reply) };
    raw_start(&s);
    struct http_client *c = test_client();
    struct http_response r = HTTP_RESPONSE_INIT;
    struct error *err = NULL;
    assert_error(test_get(c, s.port, "/", &r, &err), err, ERROR_TOO_LARGE, "is larger than");
    http_client_free(c);
    raw_stop(&s);
    buf_done(&reply);
}

static void gives_up_in_time(void **state)
{
    struct raw_server silent = { .hold_ms = 5000 };
    struct raw_server slow = { .reply = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour",
                               .hold_ms = 5000 };
    raw_start(&silent);
    raw_start(&slow);
    struct http_client *c = test_client();
    char url[URL_SIZE];
    struct http_request request = { .url = test_url(url, "http", silent.port, "/"),
                                    .timeout_ms = 150 };
    struct http_response r = HTTP_RESPONSE_INIT;
    struct error *err = NULL;
    int64_t start = test_now_ms();
    assert_error(http_call(c, &request, &r, &err), err, ERROR_TIMEOUT,
                 "no response from 127.0.0.1");
    assert_in_range(test_now_ms() - start, 140, 2000);
    request.url = test_url(url, "http", slow.port, "/");
    assert_error(http_call(c, &request, &r, &err), err, ERROR_TIMEOUT,
                 "not complete after 150 ms (4 bytes so far)");
    /* An address of the documentation block: packets to it are lost or refused at once. */
    request.url = "http://192.0.2.1:9/";
    request.proxy = "";
    request.connect_timeout_ms = 100;
    request.timeout_ms = 5000;
    start = test_now_ms();
    assert_true(http_call(c, &request, &r, &err) < 0);
    assert_true(error_code(err) == ERROR_TIMEOUT || error_code(err) == ERROR_UNAVAILABLE);
    assert_non_null(strstr(error_message(err), "192.0.2.1:9"));
    assert_true(test_now_ms() - start < 4000);
    error_free(err);
    http_client_free(c);
    raw_stop(&silent);
    raw_stop(&slow);
}

static void follows_redirects_when_told(void **state)
{
    struct http_server *s = start_echo();
    struct http_server *other = start_echo();
    struct http_client *c = test_client();
    char url[URL_SIZE], path[128];
    struct http_header auth = { "Authorization", "Bearer secret" };
    struct http_response r = HTTP_RESPONSE_INIT;
    struct http_request request = {
        .url = test_url(url, "http", http_server_port(s), "/redirect?to=/auth"),
        .headers = &auth,
        .header_count = 1,
    };
    assert_int_equal(http_call(c, &request, &r, NULL), 0);
    assert_int_equal(r.status, 302);
    assert_string_equal(http_response_header(&r, "location"), "/auth");
    http_response_done(&r);

    request.follow_redirects = true;
    assert_int_equal(http_call(c, &request, &r, NULL), 0);
    assert_int_equal(r.status, 200);
    assert_string_equal(buf_str(&r.body), "Bearer secret");
    assert_null(http_response_header(&r, "location"));
    http_response_done(&r);

    /* Another port is another host. */
    snprintf(path, sizeof path, "/redirect?to=http://127.0.0.1:%u/auth", http_server_port(other));
    request.url = test_url(url, "http", http_server_port(s), path);
    assert_int_equal(http_call(c, &request, &r, NULL), 0);
    assert_string_equal(buf_str(&r.body), "none");
    http_response_done(&r);

    struct error *err = NULL;
    request.url = test_url(url, "http", http_server_port(s), "/redirect?to=file:///etc/passwd");
    assert_error(http_call(c, &request, &r, &err), err, ERROR_UNAVAILABLE, "not supported");

    struct raw_server loop = {
        .reply = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
        .keep_open = true
    };
    raw_start(&loop);
    request.url = test_url(url, "http", loop.port, "/");
    assert_error(http_call(c, &request, &r, &err), err, ERROR_UNAVAILABLE, "redirects too often");
    http_client_free(c);
    raw_stop(&loop);
    http_server_stop(other, 0);
    http_server_stop(s, 0);
}

/* ---- many at once -------------------------------------------------------------------------------------------- */

struct crowd {
    struct http_client *client;
    uint16_t port;
    int failures; /* atomic */
};

static void *call_many(void *arg)
{
    struct crowd *crowd = arg;
    for (int i = 0; i < 200 / 16 + 1; i++) {
        struct http_response r = HTTP_RESPONSE_INIT;
        if (test_get(crowd->client, crowd->port, i % 4 ? "/big" : "/slow", &r, NULL) < 0 ||
            r.status != 200 || r.body.len != (i % 4 ? 100000u : 4u))
            __atomic_add_fetch(&crowd->failures, 1, __ATOMIC_SEQ_CST);
        http_response_done(&r);
    }
    return NULL;
}

static void serves_many_threads(void **state)
{
    struct http_server *s = start_echo();
    struct crowd crowd = { .client = test_client(), .port = http_server_port(s) };
    pthread_t threads[16];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "crowd", call_many, &crowd, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(threads[i]);
    assert_int_equal(crowd.failures, 0);
    http_client_free(crowd.client);
    http_server_stop(s, 0);
}

struct cancelled {
    struct http_client *client;
    uint16_t port;
    int r;
};

static void *call_silent(void *arg)
{
    struct cancelled *x = arg;
    struct http_response r = HTTP_RESPONSE_INIT;
    x->r = test_get(x->client, x->port, "/", &r, NULL);
    return NULL;
}

static void free_cancels_calls(void **state)
{
    struct raw_server s = { .hold_ms = 5000 };
    raw_start(&s);
    struct cancelled x = { .client = test_client(), .port = s.port };
    pthread_t thread;
    assert_int_equal(thread_start(&thread, "call", call_silent, &x, NULL), 0);
    test_sleep_ms(50);
    int64_t start = test_now_ms();
    http_client_free(x.client);
    thread_join(thread);
    assert_true(test_now_ms() - start < 2000);
    assert_int_equal(x.r, -ERROR_CANCELLED);
    raw_stop(&s);
}

UNIT_TESTS(TEST(any_status_is_a_success), TEST(sends_methods_bodies_and_headers),
           TEST(sends_large_bodies), TEST(refuses_bad_requests), TEST(caps_the_response),
           TEST(keeps_connections), TEST(survives_connections_that_went_stale),
           TEST(names_who_refused), TEST(uses_a_proxy), TEST(says_how_a_response_broke),
           TEST(caps_headers), TEST(gives_up_in_time), TEST(follows_redirects_when_told),
           TEST(serves_many_threads), TEST(free_cancels_calls))
