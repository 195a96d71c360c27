/* Streams of the client: order of the handlers, limits, back-pressure, and every way to end one. */
#include "http_test.h"

/* What a stream saw. */
struct watcher {
    pthread_mutex_t mutex;
    struct buf data;
    int status;
    char type[64];
    enum error_code code;
    char message[256];
    size_t refuse_after; /* bytes; 0: never */
    struct test_event responses, chunks, ends;
};

static void watcher_init(struct watcher *w)
{
    *w = (struct watcher){
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .data = BUF_INIT(64 * MIB),
        .responses = TEST_EVENT_INIT,
        .chunks = TEST_EVENT_INIT,
        .ends = TEST_EVENT_INIT,
    };
}

static void on_response(void *ctx, int status, const struct http_header *headers, size_t count)
{
    struct watcher *w = ctx;
    w->status = status;
    for (size_t i = 0; i < count; i++)
        if (STREQ(headers[i].name, "content-type"))
            snprintf(w->type, sizeof w->type, "%s", headers[i].value);
    test_event_raise(&w->responses);
}

static bool on_data(void *ctx, const char *data, size_t len)
{
    struct watcher *w = ctx;
    bool more;
    {
        LOCK(&w->mutex);
        buf_append(&w->data, data, len);
        more = w->refuse_after == 0 || w->data.len < w->refuse_after;
    }
    test_event_raise(&w->chunks);
    return more;
}

static void on_end(void *ctx, const struct error *err)
{
    struct watcher *w = ctx;
    w->code = err ? error_code(err) : ERROR_OK;
    snprintf(w->message, sizeof w->message, "%s", error_message(err));
    test_event_raise(&w->ends);
}

static size_t received(struct watcher *w)
{
    LOCK(&w->mutex);
    return w->data.len;
}

static bool wait_text(struct watcher *w, const char *text)
{
    for (int i = 0; i < 2000; i++) {
        {
            LOCK(&w->mutex);
            if (STREQ(buf_str(&w->data), text))
                return true;
        }
        test_sleep_ms(1);
    }
    return false;
}

static struct http_stream *open_stream(struct http_client *c, struct http_request *request,
                                       struct watcher *w)
{
    struct http_stream_handler handler = { on_response, on_data, on_end, w };
    struct http_stream *s = NULL;
    assert_int_equal(http_stream_open(c, request, &handler, &s, NULL), 0);
    return s;
}

/* ---- a server whose streams are in the hands of the test ------------------------------------------------------ */

struct source {
    struct http_server *server;
    struct http_stream_out *out;
    struct test_event opened, closed;
    char body[64];
};

static void on_close(void *ctx)
{
    test_event_raise(&((struct source *)ctx)->closed);
}

static void serve(struct http_exchange *x, void *ctx)
{
    struct source *source = ctx;
    snprintf(source->body, sizeof source->body, "%s", http_body(x, NULL));
    source->out = http_reply_stream(x, 200, "application/json", 64 * MIB, on_close, source);
    test_event_raise(&source->opened);
}

static void source_start(struct source *s)
{
    *s = (struct source){ .opened = TEST_EVENT_INIT, .closed = TEST_EVENT_INIT };
    struct http_server_options options = {
        .name = "source", .address = "127.0.0.1", .handler = serve, .ctx = s
    };
    assert_int_equal(http_server_start(&options, &s->server, NULL), 0);
}

static void delivers_what_is_written_at_once(void **state)
{
    struct source source;
    source_start(&source);
    struct http_client *c = test_client();
    struct watcher w;
    watcher_init(&w);
    char url[URL_SIZE];
    char body[] = "copied";
    struct http_request request = {
        .method = "POST",
        .url = test_url(url, "http", http_server_port(source.server), "/"),
        .body = body,
        .body_len = strlen(body),
    };
    struct http_stream *s = open_stream(c, &request, &w);
    memset(body, 'x', strlen(body));
    /* The headers come before there is any data. */
    assert_true(test_event_wait(&w.responses, 1, 2000));
    assert_int_equal(w.status, 200);
    assert_string_equal(w.type, "application/json");
    assert_string_equal(source.body, "copied");
    assert_int_equal(test_event_count(&w.chunks), 0);

    int slow = 0;
    for (int i = 0; i < 20; i++) {
        int64_t start = clock_mono(clock_system());
        assert_int_equal(http_stream_write(source.out, "0123456789", 10), 0);
        while (received(&w) < (size_t)(i + 1) * 10)
            usleep(20);
        slow += clock_mono(clock_system()) - start > 30 * NS_PER_MS;
    }
    assert_true(slow < 10); /* Nagle and a delayed acknowledgement would take 40 ms each time */

    http_stream_end(source.out);
    assert_true(test_event_wait(&w.ends, 1, 2000));
    assert_int_equal(w.code, ERROR_OK);
    http_stream_close(s);
    assert_int_equal(test_event_count(&w.ends), 1);
    assert_int_equal(test_event_count(&source.closed), 0); /* the owner ended it */
    buf_done(&w.data);
    http_client_free(c);
    http_server_stop(source.server, 0);
}

static void close_ends_an_open_stream(void **state)
{
    struct source source;
    source_start(&source);
    struct http_client *c = test_client();
    struct watcher w;
    watcher_init(&w);
    char url[URL_SIZE];
    struct http_request request = { .url = test_url(url, "http", http_server_port(source.server),
                                                    "/") };
    struct http_stream *s = open_stream(c, &request, &w);
    assert_true(test_event_wait(&w.responses, 1, 2000));
    http_stream_close(s);
    assert_int_equal(test_event_count(&w.ends), 1);
    assert_int_equal(w.code, ERROR_CANCELLED);
    /* And the server hears of it although it had nothing to say. */
    assert_true(test_event_wait(&source.closed, 1, 1000));
    assert_int_equal(http_stream_write(source.out, "x", 1), -ERROR_CANCELLED);
    http_stream_end(source.out);
    buf_done(&w.data);
    http_client_free(c);
    http_server_stop(source.server, 0);
}

static void idle_streams_time_out(void **state)
{
    struct source source;
    source_start(&source);
    struct http_client *c = test_client();
    struct watcher w;
    watcher_init(&w);
    char url[URL_SIZE];
    struct http_request request = {
        .url = test_url(url, "http", http_server_port(source.server), "/"),
        .idle_timeout_ms = 200,
    };
    struct http_stream *s = open_stream(c, &request, &w);
    assert_true(test_event_wait(&w.responses, 1, 2000));
    for (int i = 0; i < 6; i++) { /* longer than the limit, but never idle */
        test_sleep_ms(60);
        http_stream_write(source.out, "x", 1);
    }
    assert_int_equal(test_event_count(&w.ends), 0);
    assert_true(test_event_wait(&w.ends, 1, 2000));
    assert_int_equal(w.code, ERROR_TIMEOUT);
    assert_non_null(strstr(w.message, "no data from 127.0.0.1"));
    assert_non_null(strstr(w.message, "for 200 ms"));
    http_stream_close(s);
    http_stream_end(source.out);
    buf_done(&w.data);
    http_client_free(c);
    http_server_stop(source.server, 0);
}

static void whole_streams_may_have_a_limit(void **state)
{
    struct source source;
    source_start(&source);
    struct http_client *c = test_client();
    struct watcher w;
    watcher_init(&w);
    char url[URL_SIZE];
    struct http_request request = {
        .url = test_url(url, "http", http_server_port(source.server), "/"),
        .timeout_ms = 100,
    };
    struct http_stream *s = open_stream(c, &request, &w);
    assert_true(test_event_wait(&w.ends, 1, 2000));
    assert_int_equal(w.code, ERROR_TIMEOUT);
    http_stream_close(s);
    http_stream_end(source.out);
    buf_done(&w.data);
    http_client_free(c);
    http_server_stop(source.server, 0);
}

static void the_handler_may_refuse_more(void **state)
{
    struct source source;
    source_start(&source);
    struct http_client *c = test_client();
    struct watcher w;
    watcher_init(&w);
    w.refuse_after = 1;
    char url[URL_SIZE];
    struct http_request request = { .url = test_url(url, "http", http_server_port(source.server),
                                                    "/") };
    struct http_stream *s = open_stream(c, &request, &w);
    assert_true(test_event_wait(&source.opened, 1, 2000));
    http_stream_write(source.out, "x", 1);
    assert_true(test_event_wait(&w.ends, 1, 2000));
    assert_int_equal(w.code, ERROR_CANCELLED);
    http_stream_close(s);
    http_stream_end(source.out);
    buf_done(&w.data);
    http_client_free(c);
    http_server_stop(source.server, 0);
}

static void a_paused_stream_reads_nothing(void **state)
{
    struct source source;
    source_start(&source);
    struct http_client *c = test_client();
    struct watcher w;
    watcher_init(&w);
    char url[URL_SIZE];
    struct http_request request = {
        .url = test_url(url, "http", http_server_port(source.server), "/"),
        .idle_timeout_ms = 200, /* does not count while paused */
    };
    struct http_stream *s = open_stream(c, &request, &w);
    assert_true(test_event_wait(&w.responses, 1, 2000));
    http_stream_pause(s, true);
    /* More than the sockets' buffers hold: the rest waits at the server. */
    size_t len = 16 * MIB;
    AUTO_FREE char *block = mem_zalloc(len);
    assert_int_equal(http_stream_write(source.out, block, len), 0);
    test_sleep_ms(400);
    assert_int_equal(received(&w), 0);
    assert_int_equal(test_event_count(&w.ends), 0);
    for (int i = 0; i < 10; i++) { /* any number of times */
        http_stream_pause(s, false);
        http_stream_pause(s, true);
    }
    http_stream_pause(s, false);
    for (int i = 0; i < 5000 && received(&w) < len; i++)
        test_sleep_ms(1);
    assert_int_equal(received(&w), len);
    http_stream_end(source.out);
    assert_true(test_event_wait(&w.ends, 1, 2000));
    assert_int_equal(w.code, ERROR_OK);
    http_stream_pause(s, true); /* harmless after the end */
    http_stream_close(s);
    buf_done(&w.data);
    http_client_free(c);
    http_server_stop(source.server, 0);
}

static void errors_come_through_on_end(void **state)
{
    static const struct {
        const char *reply;
        const char *message;
        int responses;
    } cases[] = {
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
          "cut off after 3 bytes", 1 },
        { NULL, "closed the connection without an answer", 0 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct raw_server raw = { .reply = cases[i].reply };
        raw_start(&raw);
        struct http_client *c = test_client();
        struct watcher w;
        watcher_init(&w);
        char url[URL_SIZE];
        struct http_request request = { .url = test_url(url, "http", raw.port, "/") };
        struct http_stream *s = open_stream(c, &request, &w);
        assert_true(test_event_wait(&w.ends, 1, 2000));
        assert_int_equal(w.code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(w.message, cases[i].message));
        assert_int_equal(test_event_count(&w.responses), cases[i].responses);
        http_stream_close(s);
        buf_done(&w.data);
        http_client_free(c);
        raw_stop(&raw);
    }
}

static void redirects_are_not_shown(void **state)
{
    struct raw_server target = {
        .reply = "HTTP/1.1 200 OK\r\nContent-Type: t\r\nContent-Length: 4\r\n\r\ndata"
    };
    raw_start(&target);
    char reply[256];
    snprintf(
        reply, sizeof reply,
        "HTTP/1.1 302 Found\r\nContent-Type: x\r\nLocation: http://127.0.0.1:%u/\r\nContent-Length: 3\r\n\r\nbad",
        target.port);
    struct raw_server first = { .reply = reply };
    raw_start(&first);
    struct http_client *c = test_client();
    struct watcher w;
    watcher_init(&w);
    char url[URL_SIZE];
    struct http_request request = { .url = test_url(url, "http", first.port, "/"),
                                    .follow_redirects = true };
    struct http_stream *s = open_stream(c, &request, &w);
    assert_true(wait_text(&w, "data"));
    assert_true(test_event_wait(&w.ends, 1, 2000));
    assert_int_equal(test_event_count(&w.responses), 1);
    assert_int_equal(w.status, 200);
    assert_string_equal(w.type, "t");
    http_stream_close(s);
    buf_done(&w.data);
    http_client_free(c);
    raw_stop(&first);
    raw_stop(&target);
}

static void streams_outlive_the_client(void **state)
{
    struct source source;
    source_start(&source);
    struct http_client *c = test_client();
    struct watcher w;
    watcher_init(&w);
    char url[URL_SIZE];
    struct http_request request = { .url = test_url(url, "http", http_server_port(source.server),
                                                    "/") };
    struct http_stream *s = open_stream(c, &request, &w);
    assert_true(test_event_wait(&w.responses, 1, 2000));
    http_client_free(c);
    assert_int_equal(test_event_count(&w.ends), 1);
    assert_int_equal(w.code, ERROR_CANCELLED);
    http_stream_pause(s, true);
    http_stream_close(s);
    http_stream_end(source.out);
    buf_done(&w.data);
    http_server_stop(source.server, 0);
}

static void refuses_bad_urls_at_once(void **state)
{
    struct http_client *c = test_client();
    struct http_stream_handler handler = { 0 };
    struct http_stream *s = NULL;
    struct error *err = NULL;
    struct http_request request = { .url = "gopher://x" };
    assert_error(http_stream_open(c, &request, &handler, &s, &err), err, ERROR_INVALID,
                 "neither http nor https");
    assert_null(s);
    http_client_free(c);
}

/* ---- opening and closing from many threads -------------------------------------------------------------------- */

struct churn {
    struct http_client *client;
    uint16_t port;
};

static void chatter(struct http_exchange *x, void *ctx)
{
    struct http_stream_out *out = http_reply_stream(x, 200, "text/plain", 1 * MIB, NULL, NULL);
    for (int i = 0; i < 5; i++)
        http_stream_write(out, "some text\n", 10);
    http_stream_end(out);
}

static void *open_and_close(void *arg)
{
    struct churn *churn = arg;
    for (int i = 0; i < 40; i++) {
        struct watcher w;
        watcher_init(&w);
        char url[URL_SIZE];
        struct http_request request = { .url = test_url(url, "http", churn->port, "/") };
        struct http_stream *s = open_stream(churn->client, &request, &w);
        if (i % 3 == 1)
            http_stream_pause(s, true);
        if (i % 3 == 2)
            test_event_wait(&w.ends, 1, 5000);
        else if (i % 2)
            usleep(200);
        http_stream_close(s);
        if (test_event_count(&w.ends) != 1)
            abort();
        buf_done(&w.data);
    }
    return NULL;
}

static void many_threads_open_and_close(void **state)
{
    struct http_server_options options = { .name = "chatter",
                                           .address = "127.0.0.1",
                                           .handler = chatter };
    struct http_server *server = NULL;
    assert_int_equal(http_server_start(&options, &server, NULL), 0);
    struct churn churn = { .client = test_client(), .port = http_server_port(server) };
    pthread_t threads[8];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "churn", open_and_close, &churn, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(threads[i]);
    http_client_free(churn.client);
    http_server_stop(server, 0);
}

UNIT_TESTS(TEST(delivers_what_is_written_at_once), TEST(close_ends_an_open_stream),
           TEST(idle_streams_time_out), TEST(whole_streams_may_have_a_limit),
           TEST(the_handler_may_refuse_more), TEST(a_paused_stream_reads_nothing),
           TEST(errors_come_through_on_end), TEST(redirects_are_not_shown),
           TEST(streams_outlive_the_client), TEST(refuses_bad_urls_at_once),
           TEST(many_threads_open_and_close))
