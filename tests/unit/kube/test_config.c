#include "kube/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/credentials.h"
#include "timing.h"
#include "unit.h"

struct fixture {
    char dir[64];
    struct arena *a;
};

static int set_up(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));
    snprintf(x->dir, sizeof(x->dir), "/tmp/kube-config-XXXXXX");
    assert_non_null(mkdtemp(x->dir));
    x->a = arena_new();
    unsetenv("KUBECONFIG");
    unsetenv("KUBERNETES_SERVICE_HOST");
    setenv("HOME", x->dir, 1);
    *state = x;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(file_remove_tree(x->dir, NULL), 0);
    arena_free(x->a);
    free(x);
    return 0;
}

static const char *write_file(struct fixture *x, const char *name, const char *text)
{
    char *path = arena_printf(x->a, "%s/%s", x->dir, name);
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
    return path;
}

static int parse(struct fixture *x, const char *context, const char *yaml, struct kube_config **ret,
                 struct error **err)
{
    return kube_config_parse(yaml, strlen(yaml), x->dir, context, ret, err);
}

#define CONTEXTS                                                                                   \
    "contexts: [{name: c, context: {cluster: k, user: u, namespace: team}}]\ncurrent-context: c\n"

static void a_whole_file_is_read(void **state)
{
    struct fixture *x = *state;
    write_file(x, "ca.pem", "CA\n");
    CLEANUP(kube_config_cleanup) struct kube_config *c = NULL;
    assert_int_equal(
        parse(
            x, NULL,
            CONTEXTS
            "clusters:\n- name: k\n  cluster: {server: 'https://h:1/sub/', certificate-authority: ca.pem, tls-server-name: name, proxy-url: 'http://p:1'}\n"
            "users:\n- name: u\n  user: {client-certificate-data: 'Q0VS\n VA==', client-key-data: S0VZ, tokenFile: tok}\n",
            &c, NULL),
        0);
    assert_string_equal(c->server, "https://h:1/sub");
    assert_string_equal(c->ns, "team");
    assert_string_equal(c->ca_pem, "CA\n");
    assert_string_equal(c->tls_server_name, "name");
    assert_string_equal(c->proxy, "http://p:1");
    assert_string_equal(c->cert_pem, "CERT");
    assert_string_equal(c->key_pem, "KEY");
    assert_string_equal(c->token_file, arena_printf(x->a, "%s/tok", x->dir));
    assert_false(c->insecure);
}

static void contexts_are_chosen(void **state)
{
    struct fixture *x = *state;
    static const char yaml[] =
        "clusters: [{name: k1, cluster: {server: 'https://one'}}, {name: k2, cluster: {server: two:8080, insecure-skip-tls-verify: true}}, {name: k3, cluster: {server: three}}]\n"
        "users: [{name: u, user: {token: t}}, {name: basic, user: {username: me, password: pw}}]\n"
        "contexts: [{name: a, context: {cluster: k1, user: u}}, {name: b, context: {cluster: k2, user: basic}}, {name: d, context: {cluster: k3}}]\n"
        "current-context: a\n";
    CLEANUP(kube_config_cleanup) struct kube_config *a = NULL, *b = NULL, *d = NULL, *e = NULL;
    assert_int_equal(parse(x, NULL, yaml, &a, NULL), 0);
    assert_string_equal(a->server, "https://one");
    assert_string_equal(a->token, "t");
    assert_string_equal(a->ns, "default");
    assert_int_equal(parse(x, "b", yaml, &b, NULL), 0);
    assert_string_equal(b->server, "https://two:8080");
    assert_true(b->insecure);
    assert_string_equal(b->username, "me");
    assert_int_equal(parse(x, "d", yaml, &d, NULL), 0);
    assert_string_equal(d->server, "http://three");
    assert_null(d->token);
    struct error *err = NULL;
    assert_error(parse(x, "z", yaml, &e, &err), err, ERROR_NOT_FOUND,
                 "contexts: there is no \"z\" (there are: a, b, d)");
}

static void faults_are_named(void **state)
{
    static const char *const table[][2] = {
        { "", "has no fields" },
        { "[1]", "has no fields" },
        { "{", "line" },
        { "contexts: [{name: c}]", "current-context is not set (contexts: c)" },
        { "current-context: c", "contexts: there is no \"c\" (there are: none)" },
        { "current-context: c\ncontexts: [{name: c, context: {}}]",
          "contexts[c].context.cluster: is missing" },
        { CONTEXTS, "clusters: there is no \"k\"" },
        { CONTEXTS "clusters: [{name: k, cluster: {}}]", "clusters[k].cluster.server: is missing" },
        { CONTEXTS "clusters: [{name: k, cluster: {server: 5}}]",
          "clusters[k].cluster.server: must be a string" },
        { CONTEXTS "clusters: [{name: k, cluster: {server: 'ftp://x'}}]",
          "clusters[k].cluster.server: must be an https:// or http:// URL" },
        { CONTEXTS "clusters: [{name: k, cluster: {server: 'https://x?y'}}]",
          "clusters[k].cluster.server: must be a URL without" },
        { CONTEXTS "clusters: [{name: k, cluster: {server: s, insecure-skip-tls-verify: 1}}]",
          "clusters[k].cluster.insecure-skip-tls-verify: must be true or false" },
        { CONTEXTS "clusters: [{name: k, cluster: {server: s, certificate-authority: no.pem}}]",
          "clusters[k].cluster.certificate-authority: " },
        { CONTEXTS "clusters: [{name: k, cluster: {server: s, certificate-authority-data: '!'}}]",
          "clusters[k].cluster.certificate-authority-data: is not base64" },
        { CONTEXTS
          "clusters: [{name: k, cluster: {server: s, certificate-authority-data: Q0E=, insecure-skip-tls-verify: true}}]",
          "remove one of them" },
        { CONTEXTS "clusters: [{name: k, cluster: {server: s}}]", "users: there is no \"u\"" },
#define USER CONTEXTS "clusters: [{name: k, cluster: {server: s}}]\nusers: [{name: u, user: "
        { USER "{client-certificate-data: Q0E=}}]", "users[u].user.client-key: is missing" },
        { USER "{client-key-data: Q0E=}}]", "users[u].user.client-certificate: is missing" },
        { USER "{token: t, username: me, password: pw}}]",
          "users[u].user.username: a token is given as well" },
        { USER "{token: \"a\\nb\"}}]", "users[u].user.token: must be one line" },
        { USER "{as: root}}]", "users[u].user.as: is not supported" },
        { USER "{auth-provider: {name: gcp}}}]", "users[u].user.auth-provider: is not supported" },
        { USER "{exec: {}}}]", "users[u].user.exec.command: is missing" },
        { USER "{exec: {command: c}}}]", "users[u].user.exec.apiVersion: must be" },
        { USER "{exec: {command: c, apiVersion: client.authentication.k8s.io/v1alpha1}}}]",
          "users[u].user.exec.apiVersion: must be" },
        { USER
          "{exec: {command: c, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}}}]",
          "nobody to ask" },
        { USER "{exec: {command: c, apiVersion: client.authentication.k8s.io/v1, args: [a, 5]}}}]",
          "users[u].user.exec.args: each item must be a string" },
        { USER
          "{exec: {command: c, apiVersion: client.authentication.k8s.io/v1, env: [{value: x}]}}}]",
          "users[u].user.exec.env: each item needs a name" },
        { USER "{exec: {command: c, apiVersion: client.authentication.k8s.io/v1, env: x}}}]",
          "users[u].user.exec.env: must be a list" },
    };
    struct fixture *x = *state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        CLEANUP(kube_config_cleanup) struct kube_config *c = NULL;
        CLEANUP(error_cleanup) struct error *err = NULL;
        int r = parse(x, NULL, table[i][0], &c, &err);
        if (r >= 0 || !strstr(error_message(err), table[i][1]))
            fail_msg("%s:\n  \"%s\", wanted\n  \"%s\"", table[i][0], error_message(err),
                     table[i][1]);
    }
}

/* ---- where it is looked for --------------------------------------------------------------------------------- */

#define MINIMAL(server)                                                                            \
    "clusters: [{name: k, cluster: {server: '" server                                              \
    "'}}]\ncontexts: [{name: c, context: {cluster: k}}]\ncurrent-context: c\n"

static void files_are_found_in_order(void **state)
{
    struct fixture *x = *state;
    struct error *err = NULL;
    CLEANUP(kube_config_cleanup) struct kube_config *a = NULL, *b = NULL, *c = NULL, *none = NULL;
    assert_error(kube_config_load(NULL, NULL, &none, &err), err, ERROR_NOT_FOUND,
                 "$KUBECONFIG is not set, this is not a pod");
    assert_error(kube_config_load("/nowhere/config", NULL, &none, &err), err, ERROR_NOT_FOUND,
                 "/nowhere/config");

    assert_int_equal(mkdir(arena_printf(x->a, "%s/.kube", x->dir), 0700), 0);
    write_file(x, ".kube/config", MINIMAL("https://home"));
    assert_int_equal(kube_config_load(NULL, NULL, &a, NULL), 0);
    assert_string_equal(a->server, "https://home");

    const char *second = write_file(x, "second", MINIMAL("https://env"));
    setenv("KUBECONFIG", arena_printf(x->a, "/nowhere::%s:/also/nowhere", second), 1);
    assert_int_equal(kube_config_load(NULL, NULL, &b, NULL), 0);
    assert_string_equal(b->server, "https://env");
    setenv("KUBECONFIG", "/nowhere", 1);
    assert_error(kube_config_load(NULL, NULL, &none, &err), err, ERROR_NOT_FOUND,
                 "no file that $KUBECONFIG names exists: /nowhere");

    const char *path = write_file(x, "third", MINIMAL("https://given"));
    assert_int_equal(kube_config_load(path, NULL, &c, NULL), 0);
    assert_string_equal(c->server, "https://given");
    write_file(x, "third", "contexts: 5");
    assert_error(kube_config_load(path, NULL, &none, &err), err, ERROR_INVALID,
                 arena_printf(x->a, "kubeconfig %s: current-context", path));
}

static void a_pod_finds_its_account(void **state)
{
    struct fixture *x = *state;
    struct error *err = NULL;
    CLEANUP(kube_config_cleanup) struct kube_config *c = NULL, *six = NULL;
    assert_error(kube_config_in_cluster(x->dir, "10.0.0.1", "443", &c, &err), err, ERROR_NOT_FOUND,
                 "token");
    write_file(x, "token", "t1\n");
    assert_error(kube_config_in_cluster(x->dir, "10.0.0.1", "443", &c, &err), err, ERROR_NOT_FOUND,
                 "ca.crt");
    write_file(x, "ca.crt", "CA");
    write_file(x, "namespace", "kaito\n");
    assert_int_equal(kube_config_in_cluster(x->dir, "10.0.0.1", "6443", &c, NULL), 0);
    assert_string_equal(c->server, "https://10.0.0.1:6443");
    assert_string_equal(c->ns, "kaito");
    assert_string_equal(c->ca_pem, "CA");
    assert_int_equal(kube_config_in_cluster(x->dir, "fd00::1", NULL, &six, NULL), 0);
    assert_string_equal(six->server, "https://[fd00::1]:443");
}

/* ---- credentials -------------------------------------------------------------------------------------------- */

static void expect_authorization(struct fixture *x, struct kube_credentials *c, const char *wanted)
{
    struct kube_credential k;
    struct error *err = NULL;
    if (kube_credentials_get(c, x->a, NULL, &k, &err) < 0)
        fail_msg("%s", error_message(err));
    assert_true(str_eq(k.authorization, wanted));
}

static void static_credentials_are_sent(void **state)
{
    struct fixture *x = *state;
    struct kube_config nobody = { 0 }, token = { .token = (char *)"t" },
                       basic = { .username = (char *)"user", .password = (char *)"pass" };
    struct kube_config *configs[] = { &nobody, &token, &basic };
    static const char *const wanted[] = { NULL, "Bearer t", "Basic dXNlcjpwYXNz" };
    for (size_t i = 0; i < 3; i++) {
        struct kube_credentials *c = kube_credentials_new(configs[i]);
        expect_authorization(x, c, wanted[i]);
        kube_credentials_free(c);
    }
}

static void a_token_file_is_read_again(void **state)
{
    struct fixture *x = *state;
    struct error *err = NULL;
    struct kube_credential k;
    struct kube_config config = { .token_file = arena_printf(x->a, "%s/token", x->dir) };
    struct kube_credentials *c = kube_credentials_new(&config);
    assert_error(kube_credentials_get(c, x->a, NULL, &k, &err), err, ERROR_UNAUTHORIZED,
                 "token file: ");
    write_file(x, "token", " \n");
    assert_error(kube_credentials_get(c, x->a, NULL, &k, &err), err, ERROR_UNAUTHORIZED,
                 "does not hold one token");
    write_file(x, "token", "t1\n");
    expect_authorization(x, c, "Bearer t1");
    write_file(x, "token", "t2\n");
    expect_authorization(x, c, "Bearer t1"); /* within ten seconds */
    kube_credentials_rejected(c);
    expect_authorization(x, c, "Bearer t2");
    unlink(config.token_file);
    kube_credentials_rejected(c);
    expect_authorization(x, c, "Bearer t2"); /* better than none */
    kube_credentials_free(c);
}

static struct kube_config *plugin_config(struct fixture *x, const char *script, const char *hint)
{
    const char *path = write_file(x, "plugin", script);
    assert_int_equal(chmod(path, 0700), 0);
    struct kube_config *c = NULL;
    const char *yaml = arena_printf(
        x->a,
        USER
        "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: [a b, c], "
        "env: [{name: GREETING, value: hello}], provideClusterInfo: true, installHint: '%s'}}}]",
        hint);
    struct error *err = NULL;
    if (parse(x, NULL, yaml, &c, &err) < 0)
        fail_msg("%s", error_message(err));
    return c;
}

#define ANSWER(status)                                                                                                        \
    "{\\\"kind\\\":\\\"ExecCredential\\\",\\\"apiVersion\\\":\\\"client.authentication.k8s.io/v1\\\",\\\"status\\\":{" status \
    "}}"

static void a_plugin_gives_a_token(void **state)
{
    struct fixture *x = *state;
    CLEANUP(kube_config_cleanup)
    struct kube_config *config = plugin_config(
        x,
        "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho run >> runs\necho \"$1|$2|$GREETING|$KUBERNETES_EXEC_INFO\" > seen\n"
        "echo \"" ANSWER("\\\"token\\\":\\\"t$(wc -l < runs)\\\"") "\"\n",
        "");
    struct kube_credentials *c = kube_credentials_new(config);
    expect_authorization(x, c, "Bearer t1");
    expect_authorization(x, c, "Bearer t1"); /* without an expiry it lasts */
    kube_credentials_rejected(c);
    expect_authorization(x, c, "Bearer t1"); /* not more than once in ten seconds */
    AUTO_FREE char *seen = NULL;
    assert_int_equal(file_read(arena_printf(x->a, "%s/seen", x->dir), KIB, &seen, NULL, NULL), 0);
    assert_string_equal(
        seen,
        "a b|c|hello|{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\","
        "\"spec\":{\"cluster\":{\"server\":\"http://s\"},\"interactive\":false}}\n");
    kube_credentials_free(c);
}

static void an_expired_answer_is_asked_for_again(void **state)
{
    struct fixture *x = *state;
    CLEANUP(kube_config_cleanup)
    struct kube_config *config = plugin_config(
        x,
        "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho run >> runs\n"
        "echo \"" ANSWER(
            "\\\"token\\\":\\\"t$(wc -l < runs)\\\",\\\"expirationTimestamp\\\":\\\"2020-01-01T00:00:00Z\\\"") "\"\n",
        "");
    struct kube_credentials *c = kube_credentials_new(config);
    expect_authorization(x, c, "Bearer t1");
    expect_authorization(x, c, "Bearer t2");
    kube_credentials_free(c);
}

static void plugins_that_fail_are_explained(void **state)
{
    static const char *const table[][2] = {
        { "#!/bin/sh\necho 'please log in' >&2\nexit 3\n",
          "failed with exit status 3: please log in; install it with care" },
        { "#!/bin/sh\nkill -9 $$\n", "was killed by signal 9" },
        { "#!/bin/sh\necho hello\n", "its output is not JSON" },
        { "#!/bin/sh\necho '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1beta1\"}'\n",
          "not with an ExecCredential of" },
        { "#!/bin/sh\necho '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\"}'\n",
          "has neither status.token" },
        { "#!/nowhere/sh\n", "plugin: No such file" },
    };
    struct fixture *x = *state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        CLEANUP(kube_config_cleanup)
        struct kube_config *config = plugin_config(x, table[i][0], "install it with care");
        struct kube_credentials *c = kube_credentials_new(config);
        struct kube_credential k;
        CLEANUP(error_cleanup) struct error *err = NULL;
        assert_true(kube_credentials_get(c, x->a, NULL, &k, &err) < 0);
        if (!strstr(error_message(err), table[i][1]) ||
            !strstr(error_message(err), "credential plugin "))
            fail_msg("\"%s\" has no \"%s\"", error_message(err), table[i][1]);
        kube_credentials_free(c);
    }
}

static void *cancel_later(void *arg)
{
    usleep(100000);
    kube_cancel_set(arg, true);
    return NULL;
}

static void a_plugin_that_hangs_can_be_interrupted(void **state)
{
    struct fixture *x = *state;
    CLEANUP(kube_config_cleanup)
    struct kube_config *config = plugin_config(x, "#!/bin/sh\nsleep 30 &\nsleep 30\n", "");
    struct kube_credentials *c = kube_credentials_new(config);
    struct kube_cancel cancel;
    kube_cancel_init(&cancel);
    pthread_t thread;
    assert_int_equal(thread_start(&thread, "cancel", cancel_later, &cancel, NULL), 0);
    struct kube_credential k;
    int64_t start = clock_mono(clock_system());
    assert_int_equal(kube_credentials_get(c, x->a, &cancel, &k, NULL), -ERROR_CANCELLED);
    assert_true(within(start, 400));
    thread_join(thread);
    kube_cancel_done(&cancel);
    kube_credentials_free(c);
}

#define CONFIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
UNIT_TESTS(CONFIG_TEST(a_whole_file_is_read), CONFIG_TEST(contexts_are_chosen),
           CONFIG_TEST(faults_are_named), CONFIG_TEST(files_are_found_in_order),
           CONFIG_TEST(a_pod_finds_its_account), CONFIG_TEST(static_credentials_are_sent),
           CONFIG_TEST(a_token_file_is_read_again), CONFIG_TEST(a_plugin_gives_a_token),
           CONFIG_TEST(an_expired_answer_is_asked_for_again),
           CONFIG_TEST(plugins_that_fail_are_explained),
           CONFIG_TEST(a_plugin_that_hangs_can_be_interrupted))
