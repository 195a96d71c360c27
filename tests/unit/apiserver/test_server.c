#include "test_server.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static void die(const char *what, const struct error *err)
{
    fprintf(stderr, "test server: %s: %s\n", what, error_message(err));
    abort();
}

void test_server_start(struct test_server *t, const struct apiserver_options *options)
{
    *t = (struct test_server){ .a = arena_new() };
    struct apiserver_options o = options ? *options : (struct apiserver_options){ 0 };
    if (!o.service_cidr)
        o.service_cidr = "127.96.0.0/16";
    struct error *err = NULL;
    if (apiserver_new(&o, &t->server, &err) < 0)
        die("start", err);
    t->transport = apiserver_transport(t->server);
}

void test_server_stop(struct test_server *t)
{
    kube_transport_free(t->transport);
    apiserver_free(t->server);
    arena_free(t->a);
}

int test_server_ask_type(struct test_server *t, const char *method, const char *path,
                         const char *content_type, const char *accept, const char *body)
{
    struct kube_request request = {
        .method = method,
        .path = path,
        .content_type = content_type,
        .accept = accept,
        .body = body,
        .body_len = body ? strlen(body) : 0,
    };
    struct kube_response response = { 0 };
    struct error *err = NULL;
    if (t->transport->ops->call(t->transport, &request, &response, &err) < 0)
        die(path, err);
    t->text = arena_strdup(t->a, buf_str(&response.body));
    t->answer = NULL;
    json_parse(t->a, t->text, strlen(t->text), &t->answer, NULL);
    buf_done(&response.body);
    return response.status;
}

int test_server_ask(struct test_server *t, const char *method, const char *path, const char *body)
{
    char *json = arena_strdup(t->a, body);
    for (char *p = json; p && *p; p++) {
        if (*p == '\'')
            *p = '"';
    }
    const char *type = STREQ(method, "PATCH") ? "application/merge-patch+json" : NULL;
    return test_server_ask_type(t, method, path, type, NULL, json);
}

const char *test_server_get(struct test_server *t, const char *pointer)
{
    struct json *v = json_pointer(t->answer, pointer);
    if (!v)
        return "";
    return json_is_string(v) ? json_string(v) : json_text(t->a, v);
}

int test_server_wait(struct test_server *t, const char *path, int status)
{
    int have = 0;
    for (int i = 0; i < 1000; i++) {
        have = test_server_ask(t, "GET", path, NULL);
        if (have == status)
            return have;
        usleep(5000);
    }
    return have;
}

static void create_crd(struct test_server *t, const char *file)
{
    AUTO_FREE char *path = mem_printf("%s/%s", CRDS, file);
    AUTO_FREE char *text = NULL;
    struct error *err = NULL;
    if (file_read(path, 8 * MIB, &text, NULL, &err) < 0)
        die(path, err);
    int status =
        test_server_ask_type(t, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                             NULL, NULL, text);
    if (status != 201) {
        fprintf(stderr, "test server: %s: %s\n", file, t->text);
        abort();
    }
}

void test_server_crds(struct test_server *t, const char *name)
{
    if (name) {
        create_crd(t, arena_printf(t->a, "%s.json", name));
        return;
    }
    DIR *d = opendir(CRDS);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (str_has_suffix(e->d_name, ".json"))
            create_crd(t, e->d_name);
    }
    if (d)
        closedir(d);
}
