/* Streamed replies of the server: slow readers, clients that leave, and every order of the ends. */
#include "http_test.h"

#define OUT_SIZE 65536
#define MAX_PENDING (256 * KIB)

struct source {
    struct http_server *server;
    uint16_t port;
    struct http_stream_out *outs[64];
    int count; /* atomic */
    struct test_event opened, closed;
    bool end_in_on_close;
};
static struct source source;

static void on_close(void *ctx)
{
    if (source.end_in_on_close) {
        if (http_stream_write(source.outs[0], "x", 1) != -ERROR_CANCELLED)
            abort();
        http_stream_end(source.outs[0]);
    }
    test_event_raise(&source.closed);
}

static void serve(struct http_exchange *x, void *ctx)
{
    int i = __atomic_fetch_add(&source.count, 1, __ATOMIC_SEQ_CST);
    source.outs[i] = http_reply_stream(x, 200, "text/plain", MAX_PENDING, on_close, NULL);
    test_event_raise(&source.opened);
}

static void source_start(void)
{
    source = (struct source){ .opened = TEST_EVENT_INIT, .closed = TEST_EVENT_INIT };
    struct http_server_options options = { .name = "source",
                                           .address = "127.0.0.1",
                                           .handler = serve };
    assert_int_equal(http_server_start(&options, &source.server, NULL), 0);
    source.port = http_server_port(source.server);
}

/* A client that has sent its request. */
static int source_connect(const char *version)
{
    int before = test_event_count(&source.opened);
    int fd = raw_connect(source.port);
    char request[128];
    snprintf(request, sizeof request, "GET / HTTP/%s\r\nHost: x\r\n\r\n", version);
    raw_send(fd, request);
    assert_true(test_event_wait(&source.opened, before + 1, 2000));
    return fd;
}

static void speaks_chunks_or_plain(void **state)
{
    source_start();
    char out[OUT_SIZE];
    int fd = source_connect("1.1");
    assert_true(raw_expect(fd, out, sizeof out, "\r\n\r\n"));
    assert_non_null(strstr(out, "Transfer-Encoding: chunked\r\n"));
    assert_int_equal(http_stream_write(source.outs[0], "hello", 5), 0);
    assert_true(raw_expect(fd, out, sizeof out, "5\r\nhello\r\n"));
    assert_int_equal(http_stream_write(source.outs[0], "", 0), 0); /* must not look like the end */
    assert_int_equal(http_stream_write(source.outs[0], "bye", 3), 0);
    http_stream_end(source.outs[0]);
    assert_true(raw_expect(fd, out, sizeof out, "3\r\nbye\r\n0\r\n\r\n"));
    /* The connection is as good as new. */
    raw_send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(test_event_wait(&source.opened, 2, 2000));
    http_stream_end(source.outs[1]);
    assert_true(raw_expect(fd, out, sizeof out, "\r\n\r\n0\r\n\r\n"));
    close(fd);

    fd = source_connect("1.0");
    http_stream_write(source.outs[2], "old", 3);
    http_stream_end(source.outs[2]);
    raw_read_all(fd, out, sizeof out);
    assert_true(str_has_suffix(out, "\r\n\r\nold"));
    close(fd);
    assert_int_equal(test_event_count(&source.closed), 0);
    http_server_stop(source.server, 0);
}

static void carries_much_to_a_slow_reader(void **state)
{
    source_start();
    struct http_stream_out *out = NULL;
    int fd = source_connect("1.0");
    out = source.outs[0];
    size_t sent = 0, got = 0, total = 8 * MIB;
    static char block[32 * KIB], in[32 * KIB];
    bool body = false;
    while (got < total) {
        /* The writer knows how far the reader is, and stays a little ahead. */
        if (sent < total && sent - got < 128 * KIB) {
            for (size_t i = 0; i < sizeof block; i++)
                block[i] = (char)((sent + i) * 31);
            assert_int_equal(http_stream_write(out, block, sizeof block), 0);
            sent += sizeof block;
        }
        ssize_t n = recv(fd, in, sizeof in, 0);
        assert_true(n > 0);
        char *from = in;
        if (!body) {
            char *end = memmem(in, (size_t)n, "\r\n\r\n", 4);
            assert_non_null(end);
            from = end + 4;
            body = true;
        }
        for (char *p = from; p < in + n; p++, got++)
            if (*p != (char)(got * 31))
                fail_msg("byte %zu", got);
    }
    http_stream_end(out);
    assert_int_equal(recv(fd, in, sizeof in, 0), 0);
    close(fd);
    http_server_stop(source.server, 0);
}

static void cuts_readers_that_are_too_slow(void **state)
{
    source_start();
    int fd = source_connect("1.1");
    static char block[16 * KIB];
    int r = 0;
    size_t taken = 0;
    while (r == 0 && taken < 64 * MIB) {
        r = http_stream_write(source.outs[0], block, sizeof block);
        taken += sizeof block;
        usleep(50); /* the socket's buffers have to fill first */
    }
    assert_int_equal(r, -ERROR_TOO_LARGE);
    assert_true(taken > MAX_PENDING);
    /* The reader finds no proper end. */
    static char in[64 * MIB];
    size_t n = 0;
    ssize_t got;
    while (n < sizeof in && (got = recv(fd, in + n, sizeof in - n, 0)) > 0)
        n += (size_t)got;
    assert_true(n < 5 || memcmp(in + n - 5, "0\r\n\r\n", 5) != 0);
    assert_true(test_event_wait(&source.closed, 1, 2000));
    http_stream_end(source.outs[0]);
    close(fd);

    fd = source_connect("1.1");
    static char too_much[MAX_PENDING + 1];
    assert_int_equal(http_stream_write(source.outs[1], too_much, sizeof too_much),
                     -ERROR_TOO_LARGE);
    http_stream_end(source.outs[1]);
    close(fd);
    http_server_stop(source.server, 0);
}

static void notices_clients_that_leave(void **state)
{
    source_start();
    for (int i = 0; i < 20; i++) {
        int fd = source_connect("1.1");
        if (i % 2) /* written to before, or never */
            http_stream_write(source.outs[i], "x", 1);
        test_sleep_ms(2);
        if (i % 3 == 0) {
            struct linger hard = { .l_onoff = 1 };
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        }
        close(fd);
        assert_true(test_event_wait(&source.closed, i + 1, 1000));
        assert_int_equal(http_stream_write(source.outs[i], "x", 1), -ERROR_CANCELLED);
        http_stream_end(source.outs[i]);
    }
    http_server_stop(source.server, 0);
    assert_int_equal(test_event_count(&source.closed), 20);
}

static void may_be_ended_by_on_close(void **state)
{
    source_start();
    source.end_in_on_close = true;
    int fd = source_connect("1.1");
    test_sleep_ms(20); /* outs[0] is set */
    close(fd);
    assert_true(test_event_wait(&source.closed, 1, 1000));
    http_server_stop(source.server, 0);
}

static void head_closes_at_once(void **state)
{
    source_start();
    char out[OUT_SIZE];
    int fd = raw_connect(source.port);
    raw_send(fd, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(raw_expect(fd, out, sizeof out, "\r\n\r\n"));
    assert_true(test_event_wait(&source.closed, 1, 1000));
    assert_int_equal(http_stream_write(source.outs[0], "x", 1), -ERROR_CANCELLED);
    http_stream_end(source.outs[0]);
    close(fd);
    http_server_stop(source.server, 0);
}

static void stop_ends_open_streams(void **state)
{
    source_start();
    char out[OUT_SIZE];
    int fds[10];
    for (int i = 0; i < 10; i++) {
        fds[i] = source_connect("1.1");
        if (i % 2)
            http_stream_write(source.outs[i], "last", 4);
    }
    int64_t start = test_now_ms();
    http_server_stop(source.server, 5000); /* streams get no grace */
    assert_true(test_now_ms() - start < 4000);
    assert_int_equal(test_event_count(&source.closed), 10);
    for (int i = 0; i < 10; i++) {
        raw_read_all(fds[i], out, sizeof out);
        assert_true(str_has_suffix(out, i % 2 ? "4\r\nlast\r\n0\r\n\r\n" : "\r\n\r\n0\r\n\r\n"));
        close(fds[i]);
        assert_int_equal(http_stream_write(source.outs[i], "x", 1), -ERROR_CANCELLED);
        http_stream_end(source.outs[i]);
    }
}

/* ---- everything at once: writers, clients that come and go, and a stop in the middle ---------------------------- */

struct feed {
    struct http_stream_out *out;
    bool closed; /* atomic */
};

static void feed_closed(void *ctx)
{
    struct feed *feed = ctx;
    __atomic_store_n(&feed->closed, true, __ATOMIC_SEQ_CST);
}

static void *feed_run(void *arg)
{
    struct feed *feed = arg;
    for (int i = 0; i < 200 && http_stream_write(feed->out, "tick\n", 5) == 0; i++)
        usleep(i % 8 * 20);
    http_stream_end(feed->out);
    free(feed); /* on_close must not run any more */
    return NULL;
}

static int feeds_running;

static void *feed_thread(void *arg)
{
    feed_run(arg);
    __atomic_sub_fetch(&feeds_running, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void serve_feed(struct http_exchange *x, void *ctx)
{
    struct feed *feed = NEW0(struct feed);
    feed->out = http_reply_stream(x, 200, "text/plain", MAX_PENDING, feed_closed, feed);
    __atomic_add_fetch(&feeds_running, 1, __ATOMIC_SEQ_CST);
    pthread_t thread;
    if (thread_start(&thread, "feed", feed_thread, feed, NULL) < 0)
        abort();
    pthread_detach(thread);
}

struct visitor {
    uint16_t port;
    unsigned seed;
};

static void *visit(void *arg)
{
    struct visitor *v = arg;
    for (int i = 0; i < 30; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in a = { .sin_family = AF_INET,
                                 .sin_port = htons(v->port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct timeval limit = { .tv_sec = 5 };
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
            const char *request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
            char in[512];
            send(fd, request, strlen(request), MSG_NOSIGNAL);
            for (unsigned n = rand_r(&v->seed) % 20; n > 0 && recv(fd, in, sizeof in, 0) > 0; n--)
                ;
        }
        close(fd);
    }
    return NULL;
}

static void survives_a_crowd_and_a_stop(void **state)
{
    for (int stop_after_ms = 10; stop_after_ms < 100; stop_after_ms += 40) {
        struct http_server_options options = {
            .name = "feed", .address = "127.0.0.1", .handler = serve_feed, .threads = 3
        };
        struct http_server *server = NULL;
        assert_int_equal(http_server_start(&options, &server, NULL), 0);
        struct visitor visitors[8];
        pthread_t threads[8];
        for (unsigned i = 0; i < COUNT_OF(threads); i++) {
            visitors[i] = (struct visitor){ http_server_port(server), i };
            assert_int_equal(thread_start(&threads[i], "visit", visit, &visitors[i], NULL), 0);
        }
        test_sleep_ms((unsigned)stop_after_ms);
        http_server_stop(server, 0);
        for (size_t i = 0; i < COUNT_OF(threads); i++)
            thread_join(threads[i]);
        for (int i = 0; i < 5000 && __atomic_load_n(&feeds_running, __ATOMIC_SEQ_CST) > 0; i++)
            test_sleep_ms(1);
        assert_int_equal(feeds_running, 0);
    }
}

UNIT_TESTS(TEST(speaks_chunks_or_plain), TEST(carries_much_to_a_slow_reader),
           TEST(cuts_readers_that_are_too_slow), TEST(notices_clients_that_leave),
           TEST(may_be_ended_by_on_close), TEST(head_closes_at_once), TEST(stop_ends_open_streams),
           TEST(survives_a_crowd_and_a_stop))
