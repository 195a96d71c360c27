/* The webhook server beside an API server: what it writes there, what it serves, and how it changes
 * from one certificate to the next. Its clock is virtual, and behind the real one, so that what it
 * makes in the course of a test is valid for TLS clients, which know real time only. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/client.h"
#include "http/crypto.h"
#include "test_server.h"
#include "unit.h"
#include "webhook/internal.h"
#include "json/build.h"

#define HOUR (3600 * NS_PER_S)
#define SECRETS "/api/v1/namespaces/kaito/secrets"
#define SECRET SECRETS "/workspace-webhook-cert"
#define CONFIGS "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
#define CONFIG CONFIGS "/validation.workspace.kaito.sh"
#define PATIENCE_MS 10000

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEDIAN_MAX_NS (50 * NS_PER_MS)
#else
#define MEDIAN_MAX_NS (5 * NS_PER_MS)
#endif

static struct test_server t;
static struct kube_client *client;
static struct clock_virtual now;
static struct http_client *http;

#define ASK(...) test_server_ask(&t, __VA_ARGS__)

/* ---- the world ---------------------------------------------------------------------------------------------------- */

static void make_secret(void)
{
    assert_int_equal(
        ASK("POST", SECRETS,
            "{'metadata':{'name':'workspace-webhook-cert'},'data':{'server-key.pem':'',"
            "'server-cert.pem':'','ca-cert.pem':''}}"),
        201);
}

/* As the chart installs it. */
static void make_config(void)
{
    assert_int_equal(
        ASK("POST", CONFIGS,
            "{'metadata':{'name':'validation.workspace.kaito.sh'},'webhooks':[{'name':"
            "'validation.workspace.kaito.sh','clientConfig':{'service':{'name':'hook','namespace':"
            "'kaito','port':9443}},'failurePolicy':'Fail','sideEffects':'None',"
            "'admissionReviewVersions':['v1'],'rules':[{'apiGroups':['kaito.sh'],'apiVersions':["
            "'v1alpha1','v1beta1'],'operations':['CREATE','UPDATE'],'resources':['workspaces']}]}]}"),
        201);
}

static void no_log(const char *line, size_t len, void *ctx) {}

static int start(void **state)
{
    log_set_sink(no_log, NULL);
    test_server_start(&t, NULL);
    client = kube_client_new(t.transport, &(struct kube_client_options){ 0 });
    clock_virtual_init(&now, clock_wall(clock_system()) - 150 * HOUR);
    if (http_client_new(&(struct http_client_options){ .user_agent = "test" }, &http, NULL) < 0)
        return -1;
    return ASK("POST", "/api/v1/namespaces", "{'metadata':{'name':'kaito'}}") == 201 ? 0 : -1;
}

/* What a test that failed has left. */
static struct webhook *running[8];
static struct asker *asking;
static void stop_asking(void);

static int stop(void **state)
{
    stop_asking();
    for (size_t i = 0; i < COUNT_OF(running); i++)
        webhook_stop(TAKE_PTR(running[i]));
    http_client_free(http);
    kube_client_free(client);
    test_server_stop(&t);
    log_set_sink(NULL, NULL);
    return 0;
}

static int review(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                  struct error **err)
{
    *ret = OBJ("allowed", BOOL(json_find_int(request, 0, "object", "n") != 13));
    return 0;
}

static struct webhook *start_webhook(void)
{
    struct webhook *w = NULL;
    struct error *err = NULL;
    struct webhook_options options = { .client = client,
                                       .clock = &now.clock,
                                       .address = "127.0.0.1",
                                       .service = "hook",
                                       .ns = "kaito",
                                       .review = review };
    if (webhook_start(&options, &w, &err) < 0)
        fail_msg("%s", error_message(err));
    for (size_t i = 0; i < COUNT_OF(running); i++) {
        if (!running[i]) {
            running[i] = w;
            return w;
        }
    }
    fail_msg("too many of them");
    return NULL;
}

static void stop_webhook(struct webhook *w)
{
    for (size_t i = 0; i < COUNT_OF(running); i++) {
        if (running[i] == w)
            running[i] = NULL;
    }
    webhook_stop(w);
}

static void wait_ready(struct webhook *w)
{
    char why[512] = "";
    for (int i = 0; i < PATIENCE_MS / 5; i++) {
        if (webhook_ready(w, why, sizeof why))
            return;
        usleep(5000);
    }
    fail_msg("not ready: %s", why);
}

static void wait_not_ready(struct webhook *w, const char *part)
{
    char why[512] = "";
    for (int i = 0; i < PATIENCE_MS / 5; i++) {
        if (!webhook_ready(w, why, sizeof why) && strstr(why, part))
            return;
        usleep(5000);
    }
    fail_msg("\"%s\" is not \"%s\"", why, part);
}

/* The CA bundle that API servers go by; "" when there is none. Lives as long as the server. */
static const char *bundle(void)
{
    assert_int_equal(ASK("GET", CONFIG, NULL), 200);
    const char *text = test_server_get(&t, "/webhooks/0/clientConfig/caBundle");
    char *pem = NULL;
    size_t len = 0;
    assert_int_equal(base64_decode(t.a, text, strlen(text), &pem, &len), 0);
    return pem;
}

/* Until the bundle is another than `old`. */
static const char *wait_bundle(const char *old)
{
    for (int i = 0; i < PATIENCE_MS / 5; i++) {
        const char *b = bundle();
        if (*b && !STREQ(b, old))
            return b;
        usleep(5000);
    }
    fail_msg("the bundle stays as it is");
    return NULL;
}

/* Until nothing was written for 200 ms; the version then. */
static uint64_t settle(void)
{
    uint64_t version = apiserver_resource_version(t.server);
    for (int still = 0; still < 20; still++) {
        usleep(10000);
        uint64_t next = apiserver_resource_version(t.server);
        still = next == version ? still : 0;
        version = next;
    }
    return version;
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

#define BODY(n)                                                                                    \
    "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":"   \
    "\"u\",\"operation\":\"CREATE\",\"object\":{\"n\":" #n "}}}"

struct call {
    const char *method, *path, *type, *body;
    size_t len; /* 0: of the string */
};
#define REVIEW(n)                                                                                  \
    {                                                                                              \
        "POST", "/validate/workspace.kaito.sh?timeout=10s", "application/json", BODY(n), 0         \
    }

/* The HTTP status, or a negative error. tls must live as long as the client. */
static int call(struct http_client *c, uint16_t port, const struct http_tls *tls,
                const struct call *what, char *ret_body, size_t size)
{
    char url[256];
    snprintf(url, sizeof url, "https://127.0.0.1:%u%s", port, what->path);
    struct http_header type = { "Content-Type", what->type };
    struct http_request request = { .method = what->method,
                                    .url = url,
                                    .headers = &type,
                                    .header_count = what->type ? 1 : 0,
                                    .body = what->body,
                                    .body_len = what->len ? what->len : strlen(what->body),
                                    .tls = tls,
                                    .timeout_ms = 10000,
                                    .proxy = "" };
    struct http_response response = HTTP_RESPONSE_INIT;
    int r = http_call(c, &request, &response, NULL);
    if (r < 0)
        return r;
    if (ret_body)
        snprintf(ret_body, size, "%s", buf_str(&response.body));
    http_response_done(&response);
    return response.status;
}

/* On a connection of its own, as somebody who trusts these certificates only. */
static int call_trusting(uint16_t port, const char *ca_pem, const char *name)
{
    struct http_client *c = NULL;
    assert_int_equal(http_client_new(&(struct http_client_options){ .user_agent = "t" }, &c, NULL),
                     0);
    struct http_tls tls = { .ca_pem = ca_pem, .server_name = name };
    int r = call(c, port, &tls, &(struct call)REVIEW(1), NULL, 0);
    http_client_free(c);
    return r;
}

/* ---- tests --------------------------------------------------------------------------------------------------------- */

static void it_fills_in_and_serves(void **state)
{
    make_secret();
    make_config();
    struct webhook *w = start_webhook();
    wait_ready(w);
    const char *ca = bundle();
    static const char *const names[] = { "hook.kaito.svc", "hook", "hook.kaito",
                                         "hook.kaito.svc.cluster.local" };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_int_equal(call_trusting(webhook_port(w), ca, names[i]), 200);
    assert_true(call_trusting(webhook_port(w), ca, "other.kaito.svc") < 0);

    struct http_tls tls = { .ca_pem = ca, .server_name = "hook.kaito.svc" };
    char body[512];
    assert_int_equal(call(http, webhook_port(w), &tls, &(struct call)REVIEW(13), body, sizeof body),
                     200);
    assert_non_null(strstr(body, "\"allowed\":false"));
    assert_non_null(strstr(body, "\"uid\":\"u\""));
    stop_webhook(w);
}

static void nothing_is_written_when_all_is_right(void **state)
{
    make_secret();
    make_config();
    struct webhook *w = start_webhook();
    wait_ready(w);
    uint64_t version = settle();
    for (int i = 0; i < 3; i++)
        webhook_poke(w);
    assert_int_equal(settle(), version);
    stop_webhook(w);
    w = start_webhook();
    wait_ready(w);
    assert_int_equal(settle(), version);
    stop_webhook(w);
}

/* Somebody who keeps asking, on one connection and on new ones, as API servers do with the bundle
 * that the configuration has. */
struct asker {
    uint16_t port;
    const char *ca[2]; /* then, and since the change */
    atomic_int stage;
    atomic_bool done;
    atomic_int asked, failed;
    pthread_t thread;
};

static void stop_asking(void)
{
    if (!asking)
        return;
    atomic_store(&asking->done, true);
    thread_join(asking->thread);
    asking = NULL;
}

static void *ask(void *arg)
{
    struct asker *k = arg;
    struct http_client *c = NULL;
    if (http_client_new(&(struct http_client_options){ .user_agent = "t" }, &c, NULL) < 0)
        return NULL;
    struct http_tls kept = { .ca_pem = k->ca[0], .server_name = "hook.kaito.svc" };
    while (!atomic_load(&k->done)) {
        k->failed += call(c, k->port, &kept, &(struct call)REVIEW(1), NULL, 0) != 200;
        k->failed += call_trusting(k->port, k->ca[atomic_load(&k->stage)], "hook.kaito.svc") != 200;
        k->asked++;
    }
    http_client_free(c);
    return NULL;
}

static const char *first_of(const char *pem)
{
    const char *end = strstr(pem, "-----END CERTIFICATE-----");
    assert_non_null(end);
    return arena_strndup(t.a, pem, (size_t)(end - pem) + strlen("-----END CERTIFICATE-----\n"));
}

static void certificates_change_without_a_lost_request(void **state)
{
    make_secret();
    make_config();
    struct webhook *w = start_webhook();
    wait_ready(w);
    settle();
    const char *old = bundle();
    clock_virtual_advance(&now, 143 * HOUR); /* a day and an hour before its end */
    webhook_poke(w);
    settle();
    assert_string_equal(bundle(), old);

    static struct asker asker;
    asker = (struct asker){ .port = webhook_port(w), .ca = { old, old } };
    assert_int_equal(thread_start(&asker.thread, "asker", ask, &asker, NULL), 0);
    asking = &asker;
    clock_virtual_advance(&now, 2 * HOUR);
    webhook_poke(w);
    const char *both = wait_bundle(old);
    assert_non_null(strstr(both, first_of(old))); /* API servers trust both for now */
    const char *new = first_of(both);
    asker.ca[1] = both;
    atomic_store(&asker.stage, 1);
    settle();
    assert_int_equal(call_trusting(webhook_port(w), old, "hook.kaito.svc"), 200);
    assert_true(call_trusting(webhook_port(w), new, "hook.kaito.svc") < 0);

    clock_virtual_advance(&now, 6 * NS_PER_S); /* they know by now */
    webhook_poke(w);
    int r = -1;
    for (int i = 0; i < PATIENCE_MS / 10 && r != 200; i++) {
        usleep(10000);
        r = call_trusting(webhook_port(w), new, "hook.kaito.svc");
    }
    assert_int_equal(r, 200);
    assert_true(call_trusting(webhook_port(w), old, "hook.kaito.svc") < 0);
    int asked = atomic_load(&asker.asked); /* some more, with the new one */
    for (int i = 0; i < PATIENCE_MS / 5 && atomic_load(&asker.asked) < asked + 4; i++)
        usleep(5000);
    assert_true(atomic_load(&asker.asked) >= asked + 4);
    stop_asking();
    assert_int_equal(asker.failed, 0);
    wait_ready(w);
    uint64_t version = settle();
    webhook_poke(w);
    assert_int_equal(settle(), version);
    stop_webhook(w);
}

static void an_absent_secret_is_told_and_waited_for(void **state)
{
    make_config();
    struct webhook *w = start_webhook();
    wait_not_ready(w, "Secret kaito/workspace-webhook-cert does not exist");
    assert_int_equal(ASK("GET", SECRET, NULL), 404);
    make_secret();
    wait_ready(w);
    assert_int_equal(call_trusting(webhook_port(w), bundle(), "hook.kaito.svc"), 200);
    stop_webhook(w);
}

static void junk_is_replaced_and_deletion_survived(void **state)
{
    make_secret();
    assert_int_equal(ASK("PATCH", SECRET,
                         "{'data':{'server-key.pem':'eA==','server-cert.pem':'eA==',"
                         "'ca-cert.pem':'eA=='}}"),
                     200);
    struct webhook *w = start_webhook();
    wait_ready(w);
    make_config(); /* installed later than the process was started */
    const char *ca = wait_bundle("");
    assert_int_equal(call_trusting(webhook_port(w), ca, "hook.kaito.svc"), 200);
    assert_int_equal(ASK("DELETE", SECRET, NULL), 200);
    settle();
    assert_int_equal(call_trusting(webhook_port(w), ca, "hook.kaito.svc"), 200);
    assert_true(webhook_ready(w, NULL, 0));
    stop_webhook(w);
}

static void what_an_upgrade_of_the_chart_resets_is_set_again(void **state)
{
    make_secret();
    make_config();
    struct webhook *w = start_webhook();
    wait_ready(w);
    const char *ca = bundle();
    settle();
    assert_int_equal(ASK("DELETE", CONFIG, NULL), 200);
    settle();
    assert_int_equal(ASK("GET", CONFIG, NULL), 404); /* it never makes one */
    make_config();
    assert_string_equal(wait_bundle(""), ca);
    stop_webhook(w);
}

static void replicas_agree(void **state)
{
    make_secret();
    make_config();
    struct webhook *w[4];
    for (size_t i = 0; i < COUNT_OF(w); i++)
        w[i] = start_webhook();
    for (size_t i = 0; i < COUNT_OF(w); i++)
        wait_ready(w[i]);
    settle();
    const char *ca = bundle();
    for (size_t i = 0; i < COUNT_OF(w); i++)
        assert_int_equal(call_trusting(webhook_port(w[i]), first_of(ca), "hook.kaito.svc"), 200);
    clock_virtual_advance(&now, 145 * HOUR);
    for (size_t i = 0; i < COUNT_OF(w); i++)
        webhook_poke(w[i]);
    const char *both = wait_bundle(ca);
    settle();
    assert_string_equal(bundle(), both); /* one of them made it, once */
    for (size_t i = 0; i < COUNT_OF(w); i++)
        assert_int_equal(call_trusting(webhook_port(w[i]), both, "hook.kaito.svc"), 200);
    for (size_t i = 0; i < COUNT_OF(w); i++)
        stop_webhook(w[i]);
}

static void other_requests_are_refused(void **state)
{
    make_secret();
    make_config();
    struct webhook *w = start_webhook();
    wait_ready(w);
    size_t large = 9 * MIB;
    AUTO_FREE char *much = mem_zalloc(large + 1);
    memset(much, ' ', large);
    const struct {
        struct call call;
        int status;
        const char *part;
    } rows[] = {
        { { "POST", "/", "application/json", BODY(1), 0 }, 404, "no webhook" },
        { { "POST", "/validate/other.kaito.sh", "application/json", BODY(1), 0 },
          404,
          "no webhook" },
        { { "POST", "/validate/workspace.kaito.sh", "text/plain", BODY(1), 0 }, 415, "json" },
        { { "POST", "/validate/workspace.kaito.sh", "application/jsonx", BODY(1), 0 },
          415,
          "json" },
        { { "POST", "/validate/workspace.kaito.sh", "application/json; charset=utf-8", BODY(1), 0 },
          200,
          "allowed" },
        { { "PUT", "/validate/workspace.kaito.sh", "application/json", BODY(1), 0 }, 405, "POST" },
        { { "POST", "/validate/workspace.kaito.sh", "application/json", "{}", 0 },
          400,
          "AdmissionReview" },
        { { "POST", "/validate/workspace.kaito.sh", "application/json", "\0{}", 3 }, 400, "JSON" },
        { { "POST", "/validate/workspace.kaito.sh", "application/json", much, large },
          413,
          "too large" },
    };
    struct http_tls tls = { .ca_pem = bundle(), .server_name = "hook.kaito.svc" };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char body[512] = "";
        int status = call(http, webhook_port(w), &tls, &rows[i].call, body, sizeof body);
        if (rows[i].status == 413 && status < 0)
            continue; /* cut off in the middle, before the answer was read */
        if (status != rows[i].status || !strstr(body, rows[i].part))
            fail_msg("%zu: %d %s", i, status, body);
    }
    stop_webhook(w);
}

static int compare_times(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

static void an_answer_takes_no_time(void **state)
{
    make_secret();
    make_config();
    struct webhook *w = start_webhook();
    wait_ready(w);
    struct http_tls tls = { .ca_pem = bundle(), .server_name = "hook.kaito.svc" };
    int64_t times[200];
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        int64_t before = clock_mono(clock_system());
        assert_int_equal(call(http, webhook_port(w), &tls, &(struct call)REVIEW(1), NULL, 0), 200);
        times[i] = clock_mono(clock_system()) - before;
    }
    qsort(times, COUNT_OF(times), sizeof times[0], compare_times);
    print_message("# p50 %lld us, p99 %lld us\n", (long long)times[100] / 1000,
                  (long long)times[197] / 1000);
    assert_true(times[COUNT_OF(times) / 2] < MEDIAN_MAX_NS);
    stop_webhook(w);
}

static void what_cannot_be_is_said_at_the_start(void **state)
{
    make_secret();
    struct webhook *first = start_webhook(), *w = NULL;
    struct error *err = NULL;
    struct webhook_options good = {
        .client = client, .address = "127.0.0.1", .service = "hook", .ns = "kaito", .review = review
    };
    struct webhook_options o = good;
    o.port = webhook_port(first);
    assert_error(webhook_start(&o, &w, &err), err, ERROR_CONFLICT, "is in use");
    o = good;
    o.service = NULL;
    assert_error(webhook_start(&o, &w, &err), err, ERROR_INVALID, "WEBHOOK_SERVICE");
    o = good;
    o.ns = "";
    assert_error(webhook_start(&o, &w, &err), err, ERROR_INVALID, "SYSTEM_NAMESPACE");
    o = good;
    o.tls_min_version = "1.1";
    assert_error(webhook_start(&o, &w, &err), err, ERROR_INVALID, "WEBHOOK_TLS_MIN_VERSION");
    stop_webhook(first);
    webhook_stop(NULL);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(it_fills_in_and_serves), T(nothing_is_written_when_all_is_right),
           T(certificates_change_without_a_lost_request),
           T(an_absent_secret_is_told_and_waited_for), T(junk_is_replaced_and_deletion_survived),
           T(what_an_upgrade_of_the_chart_resets_is_set_again), T(replicas_agree),
           T(other_requests_are_refused), T(an_answer_takes_no_time),
           T(what_cannot_be_is_said_at_the_start))
