/* What the files of the client share.
 *
 * A caller's thread makes the easy handle (client_request.c) and leaves the transfer in the queue
 * of commands; from then on the I/O thread alone touches the handle, until it marks the transfer as
 * done and wakes who waits for it. */
#pragma once

#include <curl/curl.h>
#include <pthread.h>

#include "http/client.h"

/* Handles are worth keeping: making one costs more than the rest of a small call's bookkeeping. */
#define SPARE_MAX 32

struct http_client {
    int refs; /* the user's and one per transfer: streams may be closed after the client is freed */
    char *user_agent;
    CURLM *multi;
    CURLSH *share;
    pthread_mutex_t share_mutex[CURL_LOCK_DATA_LAST];
    pthread_t thread;
    struct transfer *running; /* of the I/O thread */

    pthread_mutex_t mutex;
    struct transfer *commands; /* oldest first */
    struct transfer **commands_tail;
    bool stopping;
    CURL *spare[SPARE_MAX];
    size_t spare_count;
};

enum {
    COMMAND_ADD = 1,
    COMMAND_CANCEL = 2,
    COMMAND_PAUSE = 4, /* look at want_pause */
};

#define HEADERS_MAX 1000
#define HEADER_BYTES_MAX (256 * KIB)

#define TRANSFER_MAGIC 0x54524e53u

struct transfer {
    unsigned magic;
    struct http_client *client;

    /* Set by the caller's thread. */
    CURL *easy;
    CURLU *url;
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    char *target; /* "127.0.0.1:6443", for messages */
    char *host;
    bool follow_redirects;
    int64_t timeout_ms;      /* 0: none */
    int64_t idle_timeout_ms; /* 0: none */
    int64_t connect_timeout_ms;
    size_t max_response;
    struct http_stream_handler handler; /* streams */
    bool is_stream;

    /* Of the I/O thread. */
    struct transfer *prev, *next; /* those in the multi handle */
    int64_t deadline;             /* CLOCK_MONOTONIC, ns */
    int64_t last_byte;
    bool added;
    bool in_body; /* the headers of the final response are complete */
    bool too_large;
    bool refused; /* on_data wants no more */
    size_t header_bytes;
    size_t header_cap;
    uint64_t received;
    struct http_response response; /* streams use its headers only */
    char detail[CURL_ERROR_SIZE];

    bool want_pause; /* atomic */

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
int transfer_prepare(struct transfer *t, CURL *easy, CURLSH *share,
                     const struct http_request *request, const char *user_agent,
                     struct error **err);
/* Frees what transfer_prepare() made, but not the easy handle. */
void transfer_release(struct transfer *t);

/* ---- client.c ---- */

/* Keeps the handle for the next call. */
void client_give_handle(struct http_client *c, CURL *easy);

/* ---- client_io.c ---- */

/* False when the client is being stopped: the I/O thread will not look again. Under the transfer's
 * mutex, unless no other thread knows the transfer yet. */
bool client_send(struct transfer *t, unsigned command);
void *client_run(void *client);

/* ---- client_response.c: called by curl on the I/O thread ---- */

size_t transfer_on_header(char *data, size_t size, size_t count, void *ctx);
size_t transfer_on_body(char *data, size_t size, size_t count, void *ctx);

/* ---- client_error.c ---- */

/* What curl's code means for who made the request. NULL for success. */
struct error *transfer_error(struct transfer *t, CURLcode code);
struct error *transfer_timeout_error(struct transfer *t, bool idle);
