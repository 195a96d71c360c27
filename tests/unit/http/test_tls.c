/* Client and server over TLS: what is trusted, and what is said about what is not. */
#include <curl/curl.h>

#include "http_test.h"

#include "http/crypto.h"

struct world {
    struct key_pair ca, other_ca, local, named, expired;
};
static struct world world;

static struct key_pair make(const char *name, const char *dns, const char *ip, bool ca,
                            int64_t seconds_left, const struct key_pair *issuer)
{
    int64_t now = clock_wall(clock_system());
    const char *dns_names[] = { dns, NULL };
    const char *ips[] = { ip, NULL };
    struct cert_request request = {
        .common_name = name,
        .dns_names = dns_names,
        .ip_addresses = ips,
        .not_before_ns = now - 7200 * NS_PER_S,
        .not_after_ns = now + seconds_left * NS_PER_S,
        .is_ca = ca,
    };
    struct key_pair pair = { 0 };
    assert_int_equal(cert_make(&request, issuer, &pair, NULL), 0);
    return pair;
}

static int make_world(void **state)
{
    world.ca = make("our CA", NULL, NULL, true, 86400, NULL);
    world.other_ca = make("another CA", NULL, NULL, true, 86400, NULL);
    world.local = make("local", "localhost", "127.0.0.1", false, 86400, &world.ca);
    world.named = make("named", "kubernetes.default.svc", NULL, false, 86400, &world.ca);
    world.expired = make("expired", NULL, "127.0.0.1", false, -60, &world.ca);
    return 0;
}

static int free_world(void **state)
{
    struct key_pair *pairs[] = { &world.ca, &world.other_ca, &world.local, &world.named,
                                 &world.expired };
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        key_pair_done(pairs[i]);
    return 0;
}

static struct http_stream_out *stream_out;
static struct test_event opened;

static void handle(struct http_exchange *x, void *ctx)
{
    if (STREQ(http_path(x), "/stream")) {
        stream_out = http_reply_stream(x, 200, "text/plain", 1 * MIB, NULL, NULL);
        test_event_raise(&opened);
        return;
    }
    size_t len;
    const char *body = http_body(x, &len);
    http_set_header(x, "X-Host", http_header(x, "Host"));
    http_reply(x, 200, "text/plain", body, len);
}

static struct http_server *serve(const struct key_pair *pair)
{
    struct http_server_options options = { .name = "tls",
                                           .address = "127.0.0.1",
                                           .handler = handle };
    if (pair) {
        options.cert_pem = pair->cert_pem;
        options.key_pem = pair->key_pem;
    }
    struct http_server *s = NULL;
    struct error *err = NULL;
    if (http_server_start(&options, &s, &err) < 0)
        fail_msg("%s", error_message(err));
    return s;
}

static int get(struct http_client *c, struct http_server *s, const char *scheme,
               const struct http_tls *tls, struct http_response *ret, struct error **err)
{
    char url[URL_SIZE];
    struct http_request request = { .url = test_url(url, scheme, http_server_port(s), "/x"),
                                    .tls = tls };
    return http_call(c, &request, ret, err);
}

static void trusts_the_given_ca(void **state)
{
    struct http_server *s = serve(&world.local);
    struct http_client *c = test_client();
    struct http_tls tls = { .ca_pem = world.ca.cert_pem };
    for (int i = 0; i < 3; i++) {
        struct http_response r = HTTP_RESPONSE_INIT;
        assert_int_equal(get(c, s, "https", &tls, &r, NULL), 0);
        assert_int_equal(r.status, 200);
        http_response_done(&r);
    }
    size_t len = 1 * MIB;
    AUTO_FREE char *body = mem_alloc(len);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)(i * 13 + i / 256);
    char url[URL_SIZE];
    struct http_request request = {
        .method = "POST",
        .url = test_url(url, "https", http_server_port(s), "/x"),
        .tls = &tls,
        .body = body,
        .body_len = len,
    };
    struct http_response r = HTTP_RESPONSE_INIT;
    assert_int_equal(http_call(c, &request, &r, NULL), 0);
    assert_int_equal(r.body.len, len);
    assert_memory_equal(r.body.data, body, len);
    http_response_done(&r);
    http_client_free(c);
    http_server_stop(s, 0);
}

static void refuses_what_it_cannot_trust(void **state)
{
    struct http_server *s = serve(&world.local);
    struct http_server *expired = serve(&world.expired);
    struct http_server *named = serve(&world.named);
    struct http_client *c = test_client();
    struct http_response r = HTTP_RESPONSE_INIT;
    struct error *err = NULL;
    struct http_tls other = { .ca_pem = world.other_ca.cert_pem };
    struct http_tls ours = { .ca_pem = world.ca.cert_pem };
    char want[128];
    snprintf(want, sizeof want,
             "the TLS certificate of 127.0.0.1:%u cannot be trusted: ", http_server_port(s));
    assert_error(get(c, s, "https", &other, &r, &err), err, ERROR_FORBIDDEN, want);
    assert_error(get(c, s, "https", NULL, &r, &err), err, ERROR_FORBIDDEN, want);
    assert_error(get(c, expired, "https", &ours, &r, &err), err, ERROR_FORBIDDEN,
                 "certificate has expired");
    assert_error(get(c, named, "https", &ours, &r, &err), err, ERROR_FORBIDDEN, "127.0.0.1");
    /* A connection that was accepted under one CA is not lent to a caller with another. */
    assert_int_equal(get(c, s, "https", &ours, &r, NULL), 0);
    http_response_done(&r);
    assert_error(get(c, s, "https", &other, &r, &err), err, ERROR_FORBIDDEN, want);

    struct http_tls broken = { .ca_pem = "no PEM" };
    assert_error(get(c, s, "https", &broken, &r, &err), err, ERROR_FORBIDDEN,
                 "TLS credentials for 127.0.0.1");
    struct http_tls no_key = { .ca_pem = world.ca.cert_pem,
                               .cert_pem = world.local.cert_pem,
                               .key_pem = world.named.key_pem };
    assert_error(get(c, s, "https", &no_key, &r, &err), err, ERROR_FORBIDDEN,
                 "TLS credentials for 127.0.0.1");

    struct http_tls insecure = { .insecure = true };
    assert_int_equal(get(c, expired, "https", &insecure, &r, NULL), 0);
    http_response_done(&r);
    http_client_free(c);
    http_server_stop(named, 0);
    http_server_stop(expired, 0);
    http_server_stop(s, 0);
}

static void checks_another_name_when_told(void **state)
{
    struct http_server *s = serve(&world.named);
    struct http_client *c = test_client();
    struct http_tls tls = { .ca_pem = world.ca.cert_pem, .server_name = "kubernetes.default.svc" };
    struct http_response r = HTTP_RESPONSE_INIT;
    assert_int_equal(get(c, s, "https", &tls, &r, NULL), 0);
    char want[64];
    snprintf(want, sizeof want, "127.0.0.1:%u", http_server_port(s));
    assert_string_equal(http_response_header(&r, "x-host"), want);
    http_response_done(&r);
    struct error *err = NULL;
    tls.server_name = "example.com";
    assert_error(get(c, s, "https", &tls, &r, &err), err, ERROR_FORBIDDEN, "example.com");
    snprintf(want, sizeof want, "certificate of 127.0.0.1:%u", http_server_port(s));
    assert_error(get(c, s, "https", &tls, &r, &err), err, ERROR_FORBIDDEN, want);
    http_client_free(c);
    http_server_stop(s, 0);
}

static void tells_plain_from_tls(void **state)
{
    struct http_server *plain = serve(NULL);
    struct http_server *tls_server = serve(&world.local);
    struct http_client *c = test_client();
    struct http_tls tls = { .ca_pem = world.ca.cert_pem };
    struct http_response r = HTTP_RESPONSE_INIT;
    struct error *err = NULL;
    assert_error(get(c, plain, "https", &tls, &r, &err), err, ERROR_UNAVAILABLE,
                 "no TLS connection to 127.0.0.1");
    assert_error(get(c, tls_server, "http", NULL, &r, &err), err, ERROR_UNAVAILABLE, "127.0.0.1");
    http_client_free(c);
    http_server_stop(plain, 0);
    http_server_stop(tls_server, 0);
}

static size_t ignore(char *data, size_t size, size_t count, void *ctx)
{
    return size * count;
}

static CURLcode get_with_version(struct http_server *s, long version)
{
    char url[URL_SIZE];
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, test_url(url, "https", http_server_port(s), "/x"));
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, version);
    curl_easy_setopt(easy, CURLOPT_SSL_CIPHER_LIST, "DEFAULT:@SECLEVEL=0");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_cleanup(easy);
    return code;
}

static void speaks_nothing_older_than_tls_1_2(void **state)
{
    struct http_server *s = serve(&world.local);
    assert_int_equal(get_with_version(s, CURL_SSLVERSION_TLSv1_3), CURLE_OK);
    assert_int_equal(get_with_version(s, CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_2),
                     CURLE_OK);
    assert_int_equal(get_with_version(s, CURL_SSLVERSION_TLSv1_1 | CURL_SSLVERSION_MAX_TLSv1_1),
                     CURLE_SSL_CONNECT_ERROR);
    assert_int_equal(get_with_version(s, CURL_SSLVERSION_TLSv1_0 | CURL_SSLVERSION_MAX_TLSv1_0),
                     CURLE_SSL_CONNECT_ERROR);
    http_server_stop(s, 0);
}

static struct test_event received, ended;

static bool on_data(void *ctx, const char *data, size_t len)
{
    test_event_raise(&received);
    return true;
}

static void on_end(void *ctx, const struct error *err)
{
    if (!err)
        test_event_raise(&ended);
}

static void streams_go_out_at_once(void **state)
{
    struct http_server *s = serve(&world.local);
    struct http_client *c = test_client();
    struct http_tls tls = { .ca_pem = world.ca.cert_pem };
    char url[URL_SIZE];
    opened = received = ended = (struct test_event)TEST_EVENT_INIT;
    struct http_request request = { .url = test_url(url, "https", http_server_port(s), "/stream"),
                                    .tls = &tls };
    struct http_stream_handler handler = { .on_data = on_data, .on_end = on_end };
    struct http_stream *stream = NULL;
    assert_int_equal(http_stream_open(c, &request, &handler, &stream, NULL), 0);
    assert_true(test_event_wait(&opened, 1, 2000));
    int slow = 0;
    for (int i = 0; i < 10; i++) {
        int64_t start = test_now_ms();
        assert_int_equal(http_stream_write(stream_out, "tick", 4), 0);
        assert_true(test_event_wait(&received, i + 1, 2000));
        slow += test_now_ms() - start > 30;
    }
    assert_true(slow < 5);
    http_server_stop(s, 0);
    assert_true(test_event_wait(&ended, 1, 2000));
    http_stream_end(stream_out);
    http_stream_close(stream);
    http_client_free(c);
}

static void starts_fast(void **state)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        int64_t start = clock_mono(clock_system());
        struct http_server *s = serve(&world.local);
        best = MIN(best, clock_mono(clock_system()) - start);
        http_server_stop(s, 0);
    }
    assert_true(best < 50 * NS_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(trusts_the_given_ca),
        TEST(refuses_what_it_cannot_trust),
        TEST(checks_another_name_when_told),
        TEST(tells_plain_from_tls),
        TEST(speaks_nothing_older_than_tls_1_2),
        TEST(streams_go_out_at_once),
        TEST(starts_fast),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_world, free_world);
}
