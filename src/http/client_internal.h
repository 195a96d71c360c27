/* What the files of the client share.
 *
 * A caller's thread makes the easy handle (client_request.c) and leaves the transfer in the queue of commands; from then on the
 * I/O thread alone touches the handle, until it marks the transfer as done and wakes who waits for it. */
#pragma once

#include <curl/curl.h>
#include <pthread.h>

#include "http/client.h"

enum {
    COMMAND_ADD = 1,
    COMMAND_CANCEL = 2,
    COMMAND_PAUSE = 4, /* look at want_pause */
};

#define HEADERS_MAX 1000
#define HEADER_BYTES_MAX (256 * KIB)

struct transfer {
    unsigned magic;
    struct http_client *client;

    /* Set by the caller's thread. */
    CURL *easy;
    CURLU *url;
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    char *target;                  /* "127.0.0.1:6443", for messages */
    char *host;
    bool follow_redirects;
    int64_t timeout_ms;            /* 0: none */
    int64_t idle_timeout_ms;       /* 0: none */
    int64_t connect_timeout_ms;
    size_t max_response;
    struct http_stream_handler handler; /* streams */
    bool is_stream;

    /* Of the I/O thread. */
    struct transfer *prev, *next;  /* those in the multi handle */
    int64_t deadline;              /* CLOCK_MONOTONIC, ns */
    int64_t last_byte;
    bool added;
    bool in_body;                  /* the headers of the final response are complete */
    bool too_large;
    bool refused;                  /* on_data wants no more */
    size_t header_bytes;
    size_t header_cap;
    uint64_t received;
    struct http_response response; /* streams use its headers only */
    char detail[CURL_ERROR_SIZE];

    bool want_pause;               /* atomic */

    /* Under the client's mutex. */
    unsigned commands;
    bool queued;
    struct transfer *next_command;

    /* The end; under its own mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
    struct error *error;
};

/* ---- client_request.c: the caller's thread ---- */

/* Fills t from the request; easy is a fresh or reset handle. -ERROR_INVALID. */
int transfer_prepare(struct transfer *t, CURL *easy, CURLSH *share, const struct http_request *request,
                     const char *user_agent, struct error **err);
/* Frees what transfer_prepare() made, but not the easy handle. */
void transfer_release(struct transfer *t);

/* ---- client.c: called by curl on the I/O thread ---- */

size_t transfer_on_header(char *data, size_t size, size_t count, void *ctx);
size_t transfer_on_body(char *data, size_t size, size_t count, void *ctx);

/* ---- client_error.c ---- */

/* What curl's code means for who made the request. NULL for success. */
struct error *transfer_error(struct transfer *t, CURLcode code);
struct error *transfer_timeout_error(struct transfer *t, bool idle);
