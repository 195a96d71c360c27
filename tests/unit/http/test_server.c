/* The server: what a handler sees of a request, replies now and later, caps, and the stop. */
#include "http_test.h"

#define OUT_SIZE 65536

/* Requests that the test answers itself. */
struct desk {
    struct http_server *server;
    struct http_exchange *kept[256];
    int kept_count; /* atomic */
    struct test_event arrived, released;
};

static void release(void *ctx)
{
    test_event_raise(&((struct desk *)ctx)->released);
}

static void handle(struct http_exchange *x, void *ctx)
{
    struct desk *desk = ctx;
    const char *path = http_path(x);
    size_t len;
    const char *body = http_body(x, &len);
    if (STREQ(path, "/later")) {
        desk->kept[__atomic_fetch_add(&desk->kept_count, 1, __ATOMIC_SEQ_CST)] = x;
        test_event_raise(&desk->arrived);
    } else if (STREQ(path, "/owned")) {
        http_reply_owned(x, 200, "text/plain", "owned", 5, release, desk);
    } else if (STREQ(path, "/close")) {
        http_set_header(x, "Connection", "close");
        http_reply_text(x, 200, "last words");
    } else if (STREQ(path, "/nothing")) {
        http_reply(x, 204, NULL, NULL, 0);
    } else {
        AUTO_BUF text = BUF_INIT(1 * MIB);
        const char *a = http_query(x, "a");
        buf_printf(&text, "%s|%s|%s|%s|%zu|%s", http_method(x), path, http_raw_query(x),
                   a ? a : "NULL", len, http_peer(x));
        if (len > 0 && len < 100)
            buf_printf(&text, "|%s", body);
        http_reply(x, 200, "text/plain", text.data, text.len);
    }
}

static struct desk desk;

static uint16_t desk_open_with(struct http_server_options options)
{
    desk = (struct desk){ .arrived = TEST_EVENT_INIT, .released = TEST_EVENT_INIT };
    options.name = "desk";
    options.address = options.address ? options.address : "127.0.0.1";
    options.handler = handle;
    options.ctx = &desk;
    assert_int_equal(http_server_start(&options, &desk.server, NULL), 0);
    return http_server_port(desk.server);
}

static uint16_t desk_open(void)
{
    return desk_open_with((struct http_server_options){ 0 });
}

static void desk_close(void)
{
    http_server_stop(desk.server, 0);
}

/* Sends the text on a new connection and compares what comes back until the server closes it, or
 * until `part`. */
static void expect(uint16_t port, const char *request, const char *part)
{
    char out[OUT_SIZE];
    int fd = raw_connect(port);
    raw_send(fd, request);
    if (!raw_expect(fd, out, sizeof out, part))
        fail_msg("no \"%s\" in \"%s\"", part, out);
    close(fd);
}

#define HOST "Host: x\r\n"

static void shows_the_request(void **state)
{
    uint16_t port = desk_open();
    expect(port, "GET /a/b%20c?a=1%2B2+3&b HTTP/1.1\r\n" HOST "\r\n",
           "GET|/a/b c|a=1%2B2+3&b|1+2 3|0|127.0.0.1");
    expect(port, "GET / HTTP/1.1\r\n" HOST "\r\n", "GET|/||NULL|0|127.0.0.1");
    expect(port, "GET /p%2Fq HTTP/1.1\r\n" HOST "\r\n", "GET|/p/q||NULL|");
    expect(port, "GET /%2541+b HTTP/1.1\r\n" HOST "\r\n", "GET|/%41+b||NULL|");
    expect(port, "GET /x?b=1&&a&a=2 HTTP/1.1\r\n" HOST "\r\n", "GET|/x|b=1&&a&a=2||");
    expect(port, "GET /x?a=%zz&a=2 HTTP/1.1\r\n" HOST "\r\n", "GET|/x|a=%zz&a=2|2|");
    expect(port, "GET http://other:80/abs?a=1 HTTP/1.1\r\n" HOST "\r\n", "GET|/abs|a=1|1|");
    expect(port, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello",
           "POST|/x||NULL|5|127.0.0.1|hello");
    expect(port,
           "POST /x HTTP/1.1\r\n" HOST
           "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
           "POST|/x||NULL|5|127.0.0.1|abcde");
    expect(port, "PATCH /x HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
           "PATCH|/x||NULL|2|127.0.0.1|hi");
    desk_close();
}

static void refuses_bad_targets(void **state)
{
    uint16_t port = desk_open();
    expect(port, "GET /a%00b HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400 ");
    expect(port, "GET /a%2 HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400 ");
    expect(port, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400 ");
    expect(port, "CONNECT x:80 HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400 ");
    expect(port, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "); /* no Host */
    expect(port, "ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 501 ");
    desk_close();
}

static void takes_long_targets_and_headers(void **state)
{
    uint16_t port = desk_open();
    AUTO_BUF request = BUF_INIT(1 * MIB);
    buf_puts(&request, "GET /x?a=");
    for (int i = 0; i < 6000; i++)
        buf_putc(&request, 'q');
    buf_puts(&request, " HTTP/1.1\r\n" HOST "Authorization: Bearer ");
    for (int i = 0; i < 6000; i++)
        buf_putc(&request, 'h');
    buf_puts(&request, "\r\n\r\n");
    expect(port, buf_str(&request), "qqqq|0|127.0.0.1");
    buf_clear(&request);
    buf_puts(&request, "GET /");
    for (int i = 0; i < 100000; i++)
        buf_putc(&request, 'x');
    int fd = raw_connect(port);
    send(fd, request.data, request.len, MSG_NOSIGNAL);
    char out[OUT_SIZE];
    raw_read_all(fd, out, sizeof out); /* refused or reset, but not served */
    assert_null(strstr(out, " 200 "));
    close(fd);
    desk_close();
}

static void head_gets_headers_only(void **state)
{
    uint16_t port = desk_open();
    char out[OUT_SIZE];
    int fd = raw_connect(port);
    raw_send(fd, "HEAD /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    raw_read_all(fd, out, sizeof out);
    close(fd);
    assert_non_null(strstr(out, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(out, "Content-Length: 25\r\n"));
    assert_true(str_has_suffix(out, "\r\n\r\n"));
    desk_close();
}

static void keeps_or_closes_the_connection(void **state)
{
    uint16_t port = desk_open();
    char out[OUT_SIZE];
    int fd = raw_connect(port);
    raw_send(fd, "GET /1 HTTP/1.1\r\n" HOST "\r\n");
    assert_true(raw_expect(fd, out, sizeof out, "GET|/1|"));
    /* Two at once, and a third that is the last. */
    raw_send(fd, "GET /2 HTTP/1.1\r\n" HOST "\r\nGET /nothing HTTP/1.1\r\n" HOST
                 "\r\nGET /close HTTP/1.1\r\n" HOST "\r\n");
    raw_read_all(fd, out, sizeof out);
    assert_non_null(strstr(out, "GET|/2|"));
    assert_non_null(strstr(out, "HTTP/1.1 204 No Content\r\n"));
    assert_true(str_has_suffix(out, "last words"));
    close(fd);

    fd = raw_connect(port);
    raw_send(fd, "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    raw_read_all(fd, out, sizeof out); /* returns since the server closes */
    assert_non_null(strstr(out, "Connection: close\r\n"));
    close(fd);
    desk_close();
}

static void hands_owned_bodies_back(void **state)
{
    uint16_t port = desk_open();
    expect(port, "GET /owned HTTP/1.1\r\n" HOST "\r\n", "\r\n\r\nowned");
    assert_true(test_event_wait(&desk.released, 1, 1000));
    desk_close();
    assert_int_equal(test_event_count(&desk.released), 1);
}

static void caps_bodies(void **state)
{
    uint16_t port = desk_open_with((struct http_server_options){ .max_body = 10 });
    char out[OUT_SIZE];
    expect(port, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n0123456789",
           "POST|/x||NULL|10|");
    /* A little too much: read to its end, and the connection goes on. */
    int fd = raw_connect(port);
    raw_send(fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n01234567890");
    assert_true(raw_expect(fd, out, sizeof out, "is too large\n"));
    assert_non_null(strstr(out, "HTTP/1.1 413 "));
    raw_send(fd, "GET /next HTTP/1.1\r\n" HOST "\r\n");
    assert_true(raw_expect(fd, out, sizeof out, "GET|/next|"));
    close(fd);
    expect(port,
           "POST /x HTTP/1.1\r\n" HOST
           "Transfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n8\r\n01234567\r\n0\r\n\r\n",
           "HTTP/1.1 413 ");
    /* Far too much, or asked for first: refused unread. */
    expect(port, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n", "HTTP/1.1 413 ");
    expect(port, "POST /x HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 11\r\n\r\n",
           "HTTP/1.1 413 ");
    expect(port, "POST /x HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
           "HTTP/1.1 100 ");
    desk_close();
}

static void an_endless_body_is_cut(void **state)
{
    uint16_t port = desk_open_with((struct http_server_options){ .max_body = 10 });
    int fd = raw_connect(port);
    raw_send(fd, "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    static char chunk[8 + 65536 + 2];
    memcpy(chunk, "010000\r\n", 8);
    memset(chunk + 8, 'x', 65536);
    memcpy(chunk + 8 + 65536, "\r\n", 2);
    size_t sent = 0;
    while (sent < 64 * MIB) {
        ssize_t n = send(fd, chunk, sizeof chunk, MSG_NOSIGNAL);
        if (n < (ssize_t)sizeof chunk)
            break;
        sent += (size_t)n;
    }
    assert_true(sent >= 8 * MIB && sent < 32 * MIB);
    close(fd);
    desk_close();
}

static void replies_later_from_another_thread(void **state)
{
    uint16_t port = desk_open();
    enum { COUNT = 100 };
    int fds[COUNT];
    char out[OUT_SIZE];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = raw_connect(port);
        raw_send(fds[i], "GET /later HTTP/1.1\r\n" HOST "X-Probe: seen\r\n\r\n");
    }
    assert_true(test_event_wait(&desk.arrived, COUNT, 5000));
    expect(port, "GET /other HTTP/1.1\r\n" HOST "\r\n", "GET|/other|"); /* no thread is held */
    for (int i = 0; i < COUNT; i++) {
        struct http_exchange *x = desk.kept[i];
        assert_string_equal(http_path(x), "/later");
        assert_string_equal(http_header(x, "x-probe"), "seen");
        assert_null(http_header(x, "x-absent"));
        assert_string_equal(http_peer(x), "127.0.0.1");
        http_reply_text(x, 202, "at last");
    }
    for (int i = 0; i < COUNT; i++) {
        assert_true(raw_expect(fds[i], out, sizeof out, "at last"));
        assert_non_null(strstr(out, "HTTP/1.1 202 Accepted"));
        close(fds[i]);
    }
    desk_close();
}

/* The race between a reply and going to sleep: the replies come from a thread that waits for
 * nothing. */
static void *answer_all(void *arg)
{
    for (int done = 0; done < 200;) {
        struct http_exchange *x = __atomic_exchange_n(&desk.kept[0], NULL, __ATOMIC_SEQ_CST);
        if (!x)
            continue;
        http_reply_text(x, 200, "quick");
        done++;
    }
    return NULL;
}

static void keep_first(struct http_exchange *x, void *ctx)
{
    struct http_exchange *expected = NULL;
    while (!__atomic_compare_exchange_n(&desk.kept[0], &expected, x, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
        expected = NULL;
}

static void replies_while_the_handler_returns(void **state)
{
    desk = (struct desk){ 0 };
    struct http_server_options options = { .name = "race",
                                           .address = "127.0.0.1",
                                           .handler = keep_first };
    assert_int_equal(http_server_start(&options, &desk.server, NULL), 0);
    pthread_t thread;
    assert_int_equal(thread_start(&thread, "answer", answer_all, NULL, NULL), 0);
    struct http_client *c = test_client();
    for (int i = 0; i < 200; i++) {
        struct http_response r = HTTP_RESPONSE_INIT;
        assert_int_equal(test_get(c, http_server_port(desk.server), "/", &r, NULL), 0);
        assert_string_equal(buf_str(&r.body), "quick");
        http_response_done(&r);
    }
    thread_join(thread);
    http_client_free(c);
    desk_close();
}

static void clients_may_leave_before_the_reply(void **state)
{
    uint16_t port = desk_open();
    for (int i = 0; i < 10; i++) {
        int fd = raw_connect(port);
        raw_send(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
        assert_true(test_event_wait(&desk.arrived, i + 1, 2000));
        close(fd);
        http_reply_text(desk.kept[i], 200, "to nobody");
    }
    expect(port, "GET /other HTTP/1.1\r\n" HOST "\r\n", "GET|/other|");
    desk_close();
}

/* ---- start and stop ------------------------------------------------------------------------------------------ */

static void says_why_it_cannot_listen(void **state)
{
    uint16_t port = desk_open();
    struct http_server *s = NULL;
    struct error *err = NULL;
    char want[64];
    struct http_server_options options = { .address = "127.0.0.1",
                                           .port = port,
                                           .handler = handle };
    snprintf(want, sizeof want, "port %u of 127.0.0.1 is in use", port);
    assert_error(http_server_start(&options, &s, &err), err, ERROR_CONFLICT, want);
    options.address = "localhost";
    assert_error(http_server_start(&options, &s, &err), err, ERROR_INVALID,
                 "localhost is not an IP address");
    options.address = "192.0.2.1";
    assert_error(http_server_start(&options, &s, &err), err, ERROR_INVALID,
                 "192.0.2.1 is not an address of this machine");
    options.address = "127.0.0.1";
    options.port = 0;
    options.cert_pem = "no certificate";
    options.key_pem = "no key";
    assert_error(http_server_start(&options, &s, &err), err, ERROR_INVALID, "cannot serve on port");
    assert_null(s);
    desk_close();
    /* The port is free again at once. */
    options =
        (struct http_server_options){ .address = "127.0.0.1", .port = port, .handler = handle };
    assert_int_equal(http_server_start(&options, &s, NULL), 0);
    http_server_stop(s, 0);
}

static void starts_fast_and_with_any_number_of_threads(void **state)
{
    int64_t best = INT64_MAX;
    for (unsigned threads = 1; threads <= 4; threads++) {
        int64_t start = clock_mono(clock_system());
        uint16_t port = desk_open_with((struct http_server_options){ .threads = threads });
        best = MIN(best, clock_mono(clock_system()) - start);
        expect(port, "GET /x HTTP/1.1\r\n" HOST "\r\n", "GET|/x|");
        desk_close();
    }
    assert_true(best < 20 * NS_PER_MS);
}

static void listens_on_ipv6(void **state)
{
    struct http_server_options options = { .address = "::1", .handler = handle, .ctx = &desk };
    struct http_server *s = NULL;
    if (http_server_start(&options, &s, NULL) < 0) {
        skip(); /* no IPv6 here */
        return;
    }
    struct http_client *c = test_client();
    char url[URL_SIZE];
    snprintf(url, sizeof url, "http://[::1]:%u/x", http_server_port(s));
    struct http_request request = { .url = url };
    struct http_response r = HTTP_RESPONSE_INIT;
    assert_int_equal(http_call(c, &request, &r, NULL), 0);
    assert_string_equal(buf_str(&r.body), "GET|/x||NULL|0|::1");
    http_response_done(&r);
    http_client_free(c);
    http_server_stop(s, 0);
}

static void stop_answers_what_still_waits(void **state)
{
    uint16_t port = desk_open();
    char out[OUT_SIZE];
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = raw_connect(port);
        raw_send(fds[i], "GET /later HTTP/1.1\r\n" HOST "X-Probe: seen\r\n\r\n");
    }
    assert_true(test_event_wait(&desk.arrived, 5, 2000));
    assert_string_equal(http_header(desk.kept[0], "X-Probe"), "seen");
    int64_t start = test_now_ms();
    http_server_stop(desk.server, 100);
    assert_in_range(test_now_ms() - start, 95, 4000);
    for (int i = 0; i < 5; i++) {
        raw_read_all(fds[i], out, sizeof out);
        assert_non_null(strstr(out, "HTTP/1.1 503 "));
        close(fds[i]);
    }
    /* Their owners do not know yet. */
    assert_string_equal(http_header(desk.kept[0], "X-Probe"), "seen");
    assert_null(http_header(desk.kept[1], "X-Probe"));
    http_reply_text(desk.kept[0], 200, "too late");
    http_reply_owned(desk.kept[1], 200, NULL, "too late", 8, release, &desk);
    assert_int_equal(test_event_count(&desk.released), 1);
    struct http_stream_out *out_stream = http_reply_stream(desk.kept[2], 200, NULL, 10, NULL, NULL);
    assert_int_equal(http_stream_write(out_stream, "x", 1), -ERROR_CANCELLED);
    http_stream_end(out_stream);
    http_reply_text(desk.kept[3], 200, "too late");
    http_reply_text(desk.kept[4], 200, "too late");
}

static void *reply_soon(void *arg)
{
    test_sleep_ms(50);
    http_reply_text(desk.kept[0], 200, "in time");
    return NULL;
}

static void stop_lets_replies_come_within_the_grace(void **state)
{
    uint16_t port = desk_open();
    char out[OUT_SIZE];
    int fd = raw_connect(port);
    raw_send(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_true(test_event_wait(&desk.arrived, 1, 2000));
    pthread_t thread;
    assert_int_equal(thread_start(&thread, "reply", reply_soon, NULL, NULL), 0);
    int64_t start = test_now_ms();
    http_server_stop(desk.server, 5000);
    assert_true(test_now_ms() - start < 4000);
    thread_join(thread);
    raw_read_all(fd, out, sizeof out);
    assert_non_null(strstr(out, "in time"));
    close(fd);
}

static void stop_is_fast_when_idle(void **state)
{
    uint16_t port = desk_open();
    int idle = raw_connect(port);
    expect(port, "GET /x HTTP/1.1\r\n" HOST "\r\n", "GET|/x|");
    int64_t start = test_now_ms();
    http_server_stop(desk.server, 5000);
    assert_true(test_now_ms() - start < 2000);
    close(idle);
    http_server_stop(NULL, 0);
}

UNIT_TESTS(TEST(shows_the_request), TEST(refuses_bad_targets), TEST(takes_long_targets_and_headers),
           TEST(head_gets_headers_only), TEST(keeps_or_closes_the_connection),
           TEST(hands_owned_bodies_back), TEST(caps_bodies), TEST(an_endless_body_is_cut),
           TEST(replies_later_from_another_thread), TEST(replies_while_the_handler_returns),
           TEST(clients_may_leave_before_the_reply), TEST(says_why_it_cannot_listen),
           TEST(starts_fast_and_with_any_number_of_threads), TEST(listens_on_ipv6),
           TEST(stop_answers_what_still_waits), TEST(stop_lets_replies_come_within_the_grace),
           TEST(stop_is_fast_when_idle))
