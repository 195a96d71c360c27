/* HTTPS: certificates, the token, watches and logs over a real connection. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apiserver/apiserver.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/client.h"
#include "kube/config.h"
#include "kube/informer.h"
#include "unit.h"
#include "json/build.h"

struct fixture {
    char dir[64];
    char *kubeconfig;
    struct apiserver *server;
    struct apiserver_front *front;
    struct kube_config *config;
    struct http_client *http;
    struct arena *a;
};

static struct fixture f;
static struct apiserver_pod_logs *logs;
static bool is_ready = true;

static bool ready(void *ctx)
{
    return is_ready;
}

static void open_server(void)
{
    struct error *err = NULL;
    struct apiserver_options options = { .data_dir = f.dir,
                                         .service_cidr = "127.96.0.0/16",
                                         .service_address = "127.0.0.1",
                                         .pod_logs = logs };
    if (apiserver_new(&options, &f.server, &err) < 0)
        fail_msg("%s", error_message(err));
    struct apiserver_front_options front = { .address = "127.0.0.1",
                                             .kubeconfig_path = f.kubeconfig,
                                             .ready = ready };
    if (apiserver_front_start(f.server, &front, &f.front, &err) < 0)
        fail_msg("%s", error_message(err));
    if (kube_config_load(f.kubeconfig, NULL, &f.config, &err) < 0)
        fail_msg("%s", error_message(err));
}

static void close_server(void)
{
    kube_config_free(f.config);
    apiserver_front_stop(f.front);
    apiserver_free(f.server);
}

static int start(void **state)
{
    f = (struct fixture){ .dir = "/tmp/kaito-front-XXXXXX", .a = arena_new() };
    assert_non_null(mkdtemp(f.dir));
    f.kubeconfig = mem_printf("%s/kubeconfig", f.dir);
    assert_int_equal(http_client_new(&(struct http_client_options){ .user_agent = "test" }, &f.http,
                                     NULL),
                     0);
    open_server();
    return 0;
}

static int stop(void **state)
{
    close_server();
    http_client_free(f.http);
    file_remove_tree(f.dir, NULL);
    free(f.kubeconfig);
    arena_free(f.a);
    return 0;
}

/* The status; the body in *ret_body (the arena's). token NULL: none. */
static int ask(const char *path, const char *token, const char **ret_body)
{
    struct http_header header = { "Authorization",
                                  token ? arena_printf(f.a, "Bearer %s", token) : "" };
    /* The client keeps connections by the address of these strings. */
    struct http_tls *tls = arena_alloc(f.a, sizeof *tls);
    *tls = (struct http_tls){ .ca_pem = arena_strdup(f.a, f.config->ca_pem) };
    struct http_request request = {
        .url = arena_printf(f.a, "%s%s", f.config->server, path),
        .headers = &header,
        .header_count = token ? 1 : 0,
        .tls = tls,
        .timeout_ms = 5000,
    };
    struct http_response response = HTTP_RESPONSE_INIT;
    struct error *err = NULL;
    if (http_call(f.http, &request, &response, &err) < 0)
        fail_msg("%s", error_message(err));
    if (ret_body)
        *ret_body = arena_strdup(f.a, buf_str(&response.body));
    int status = response.status;
    http_response_done(&response);
    return status;
}

static void the_token_opens(void **state)
{
    const char *body = NULL;
    assert_int_equal(ask("/api/v1/namespaces", f.config->token, &body), 200);
    assert_non_null(strstr(body, "kube-system"));
    assert_int_equal(ask("/api/v1/namespaces", NULL, &body), 401);
    assert_non_null(strstr(body, "\"reason\":\"Unauthorized\""));
    assert_int_equal(ask("/api/v1/namespaces", "wrong", NULL), 401);
    assert_int_equal(ask("/api/v1/namespaces", arena_printf(f.a, "%sx", f.config->token), NULL),
                     401);
    assert_int_equal(ask("/nothing", NULL, NULL), 401);
}

static void health_needs_none(void **state)
{
    static const char *const paths[] = { "/healthz", "/livez", "/readyz", "/version" };
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        assert_int_equal(ask(paths[i], NULL, NULL), 200);
    is_ready = false;
    assert_int_equal(ask("/readyz", NULL, NULL), 503);
    assert_int_equal(ask("/livez", NULL, NULL), 200);
    is_ready = true;
}

static void secrets_are_kept_from_others(void **state)
{
    struct stat st;
    static const char *const files[] = { "token", "ca.pem", "kubeconfig" };
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        assert_int_equal(stat(arena_printf(f.a, "%s/%s", f.dir, files[i]), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
}

static void a_restart_keeps_ca_and_token(void **state)
{
    const char *ca = arena_strdup(f.a, f.config->ca_pem),
               *token = arena_strdup(f.a, f.config->token);
    close_server();
    open_server();
    assert_string_equal(f.config->ca_pem, ca);
    assert_string_equal(f.config->token, token);
    assert_int_equal(ask("/api/v1/namespaces", token, NULL), 200);
}

static void a_directory_has_one_server(void **state)
{
    struct apiserver *second = NULL;
    struct error *err = NULL;
    int r = apiserver_new(&(struct apiserver_options){ .data_dir = f.dir }, &second, &err);
    assert_non_null(strstr(error_message(err), arena_printf(f.a, "%d", (int)getpid())));
    assert_error(r, err, ERROR_CONFLICT, "is in use");
}

static void a_taken_port_is_said(void **state)
{
    struct apiserver_front *second = NULL;
    struct error *err = NULL;
    uint16_t port = apiserver_front_port(f.front);
    int r = apiserver_front_start(f.server,
                                  &(struct apiserver_front_options){ .address = "127.0.0.1",
                                                                     .port = port },
                                  &second, &err);
    assert_error(r, err, ERROR_CONFLICT, arena_printf(f.a, "%d", (int)port));
}

static void the_service_points_to_the_port(void **state)
{
    const char *body = NULL;
    assert_int_equal(ask("/api/v1/namespaces/default/services/kubernetes", f.config->token, &body),
                     200);
    assert_non_null(strstr(body, "\"clusterIP\":\"127.96.0.1\""));
    assert_int_equal(ask("/api/v1/namespaces/default/endpoints/kubernetes", f.config->token, &body),
                     200);
    assert_non_null(
        strstr(body, arena_printf(f.a, "\"port\":%d", (int)apiserver_front_port(f.front))));
}

/* The kubeconfig works for our own client, and watches arrive. */
static void informers_work_over_https(void **state)
{
    struct kube_config *config = NULL;
    struct kube_transport *transport = NULL;
    struct error *err = NULL;
    assert_int_equal(kube_config_load(f.kubeconfig, NULL, &config, &err), 0);
    assert_int_equal(kube_http_transport_new(config, "test", &transport, &err), 0);
    struct kube_client *c = kube_client_new(transport, &(struct kube_client_options){ 0 });
    struct informer *i =
        informer_new(c, &KUBE_CONFIGMAPS, &(struct informer_options){ .ns = "default" });
    assert_int_equal(informer_start(i, &err), 0);
    assert_int_equal(informer_wait_synced(i, 5000, &err), 0);
    for (int n = 0; n < 20; n++) {
        AUTO_ARENA a = arena_new();
        struct json *obj = OBJ("metadata", OBJ("name", STRF("c%d", n)));
        if (kube_create(c, &KUBE_CONFIGMAPS, "default", obj, a, NULL, &err) < 0)
            fail_msg("%s", error_message(err));
    }
    for (int n = 0; n < 3000 && informer_count(i) != 20; n++)
        usleep(1000);
    assert_int_equal(informer_count(i), 20);
    informer_stop(i);
    informer_free(i);
    kube_client_free(c);
    kube_transport_free(transport);
}

/* ---- logs --------------------------------------------------------------------------------------------------------- */

static struct pod_log_options asked;

static int open_log(void *ctx, const char *ns, const char *pod,
                    const struct pod_log_options *options, const struct pod_log_sink *sink,
                    struct error **err)
{
    asked = *options;
    if (options->container)
        return error_set(err, ERROR_INVALID, "container %s is not valid for pod %s",
                         options->container, pod);
    sink->write(sink->ctx, "one\n", 4);
    sink->write(sink->ctx, "two\n", 4);
    sink->end(sink->ctx, NULL);
    return 0;
}

static void logs_are_streamed(void **state)
{
    struct apiserver_pod_logs handler = { .open = open_log };
    close_server();
    logs = &handler;
    open_server();
    struct kube_transport *inside = apiserver_transport(f.server);
    const char *pod =
        "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}";
    struct kube_request request = { .method = "POST",
                                    .path = "/api/v1/namespaces/default/pods",
                                    .body = pod,
                                    .body_len = strlen(pod) };
    struct kube_response response = { 0 };
    assert_int_equal(inside->ops->call(inside, &request, &response, NULL), 0);
    assert_int_equal(response.status, 201);
    buf_done(&response.body);
    kube_transport_free(inside);

    const char *body = NULL, *path = "/api/v1/namespaces/default/pods/p/log";
    assert_int_equal(ask(arena_printf(f.a, "%s?tailLines=5&timestamps=true", path), f.config->token,
                         &body),
                     200);
    assert_string_equal(body, "one\ntwo\n");
    assert_int_equal(asked.tail_lines, 5);
    assert_true(asked.timestamps);
    assert_int_equal(ask(arena_printf(f.a, "%s?container=x", path), f.config->token, &body), 400);
    assert_non_null(strstr(body, "container x is not valid for pod p"));
    assert_int_equal(ask(arena_printf(f.a, "%s?tailLines=x", path), f.config->token, NULL), 400);
    assert_int_equal(ask("/api/v1/namespaces/default/pods/absent/log", f.config->token, NULL), 404);
    logs = NULL;
}

/* ---- many clients ------------------------------------------------------------------------------------------------- */

static void *create_some(void *arg)
{
    struct kube_config *config = NULL;
    struct kube_transport *transport = NULL;
    assert_int_equal(kube_config_load(f.kubeconfig, NULL, &config, NULL), 0);
    assert_int_equal(kube_http_transport_new(config, "test", &transport, NULL), 0);
    struct kube_client *c = kube_client_new(transport, &(struct kube_client_options){ 0 });
    for (int n = 0; n < 50; n++) {
        AUTO_ARENA a = arena_new();
        struct json *made = NULL;
        assert_int_equal(kube_create(c, &KUBE_CONFIGMAPS, "default",
                                     OBJ("metadata", OBJ("generateName", STR("x-"))), a, &made,
                                     NULL),
                         0);
    }
    kube_client_free(c);
    kube_transport_free(transport);
    return NULL;
}

static void many_clients_at_once(void **state)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        assert_int_equal(thread_start(&threads[i], "client", create_some, NULL, NULL), 0);
    for (int i = 0; i < 8; i++)
        thread_join(threads[i]);
    const char *body = NULL;
    assert_int_equal(ask("/api/v1/namespaces/default/configmaps", f.config->token, &body), 200);
    size_t n = 0;
    for (const char *p = body; (p = strstr(p, "\"generateName\"")); p++)
        n++;
    assert_int_equal(n, 400);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(the_token_opens), T(health_needs_none), T(secrets_are_kept_from_others),
           T(a_restart_keeps_ca_and_token), T(a_directory_has_one_server), T(a_taken_port_is_said),
           T(the_service_points_to_the_port), T(informers_work_over_https), T(logs_are_streamed),
           T(many_clients_at_once))
