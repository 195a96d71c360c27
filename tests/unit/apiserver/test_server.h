/* An API server for tests, in memory unless a directory is given, with the project's CRDs on
 * request. Tests of other folders use it too: test_server_dep. */
#pragma once

#include "apiserver/apiserver.h"
#include "json/json.h"

struct test_server {
    struct apiserver *server;
    struct kube_transport *transport;
    struct arena *a;     /* of answers; dies with the server */
    struct json *answer; /* the last one; NULL when it was no JSON */
    char *text;          /* the last body */
};

/* Aborts when it cannot be started. options may be NULL. */
void test_server_start(struct test_server *t, const struct apiserver_options *options);
void test_server_stop(struct test_server *t);
/* Creates data/crds/NAME.json: "workspaces.kaito.sh", … NULL: all of them. */
void test_server_crds(struct test_server *t, const char *name);

/* Sends a request; the status. body: NULL for none, else JSON with ' in the place of ". */
int test_server_ask(struct test_server *t, const char *method, const char *path, const char *body);
int test_server_ask_type(struct test_server *t, const char *method, const char *path,
                         const char *content_type, const char *accept, const char *body);
/* A string of the last answer by JSON Pointer; "" when it is not there. */
const char *test_server_get(struct test_server *t, const char *pointer);
/* Waits (5 s) until GET path answers with this status. */
int test_server_wait(struct test_server *t, const char *path, int status);
