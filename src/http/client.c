/* The life of a client, its calls and its streams, as their callers see them. See
 * client_internal.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/thread.h"
#include "http/client_internal.h"

#define DEFAULT_CONNECTIONS 64

struct http_stream {
    struct transfer transfer;
};

/* ---- life of the client -------------------------------------------------------------------------------------- */

static void init_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
}

static void lock_share(CURL *easy, curl_lock_data data, curl_lock_access access, void *ctx)
{
    struct http_client *c = ctx;
    pthread_mutex_lock(&c->share_mutex[data]);
}

static void unlock_share(CURL *easy, curl_lock_data data, void *ctx)
{
    struct http_client *c = ctx;
    pthread_mutex_unlock(&c->share_mutex[data]);
}

static void client_ref(struct http_client *c)
{
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
}

static void client_unref(struct http_client *c)
{
    if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < c->spare_count; i++)
        curl_easy_cleanup(c->spare[i]);
    curl_share_cleanup(c->share);
    for (size_t i = 0; i < COUNT_OF(c->share_mutex); i++)
        pthread_mutex_destroy(&c->share_mutex[i]);
    pthread_mutex_destroy(&c->mutex);
    free(c->user_agent);
    free(c);
}

int http_client_new(const struct http_client_options *options, struct http_client **ret,
                    struct error **err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);

    struct http_client *c = NEW0(struct http_client);
    c->refs = 1;
    c->user_agent = mem_strdup(options ? options->user_agent : NULL);
    c->commands_tail = &c->commands;
    pthread_mutex_init(&c->mutex, NULL);
    for (size_t i = 0; i < COUNT_OF(c->share_mutex); i++)
        pthread_mutex_init(&c->share_mutex[i], NULL);
    c->multi = curl_multi_init();
    c->share = curl_share_init();
    if (!c->multi || !c->share)
        abort();
    long connections =
        options && options->max_connections ? (long)options->max_connections : DEFAULT_CONNECTIONS;
    curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, connections);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_share_setopt(c->share, CURLSHOPT_USERDATA, c);
    curl_share_setopt(c->share, CURLSHOPT_LOCKFUNC, lock_share);
    curl_share_setopt(c->share, CURLSHOPT_UNLOCKFUNC, unlock_share);
    curl_share_setopt(c->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);

    int r = thread_start(&c->thread, "http-client", client_run, c, err);
    if (r < 0) {
        curl_multi_cleanup(c->multi);
        client_unref(c);
        return r;
    }
    *ret = c;
    return 0;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    {
        LOCK(&c->mutex);
        c->stopping = true;
    }
    curl_multi_wakeup(c->multi);
    thread_join(c->thread);
    curl_multi_cleanup(c->multi);
    client_unref(c);
}

static CURL *take_handle(struct http_client *c)
{
    {
        LOCK(&c->mutex);
        if (c->spare_count > 0)
            return c->spare[--c->spare_count];
    }
    CURL *easy = curl_easy_init();
    if (!easy)
        abort();
    return easy;
}

void client_give_handle(struct http_client *c, CURL *easy)
{
    curl_easy_reset(easy);
    {
        LOCK(&c->mutex);
        if (c->spare_count < SPARE_MAX) {
            c->spare[c->spare_count++] = easy;
            return;
        }
    }
    curl_easy_cleanup(easy);
}

/* ---- calls and streams (on the caller's thread) -------------------------------------------------------------- */

static void transfer_init(struct transfer *t, struct http_client *c)
{
    t->magic = TRANSFER_MAGIC;
    t->client = c;
    client_ref(c);
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->cond, NULL);
}

static void transfer_done(struct transfer *t)
{
    struct http_client *c = t->client;
    http_response_done(&t->response);
    transfer_release(t);
    error_free(t->error);
    pthread_cond_destroy(&t->cond);
    pthread_mutex_destroy(&t->mutex);
    t->magic = 0;
    client_unref(c);
}

static void wait_done(struct transfer *t)
{
    LOCK(&t->mutex);
    while (!t->done)
        pthread_cond_wait(&t->cond, &t->mutex);
}

static int prepare(struct transfer *t, const struct http_request *request, struct error **err)
{
    struct http_client *c = t->client;
    CURL *easy = take_handle(c);
    int r = transfer_prepare(t, easy, c->share, request, c->user_agent, err);
    if (r < 0)
        client_give_handle(c, TAKE_PTR(t->easy));
    return r;
}

static int start(struct transfer *t, struct error **err)
{
    if (client_send(t, COMMAND_ADD))
        return 0;
    client_give_handle(t->client, TAKE_PTR(t->easy));
    return error_set(err, ERROR_CANCELLED, "cancelled");
}

int http_call(struct http_client *c, const struct http_request *request, struct http_response *ret,
              struct error **err)
{
    struct transfer t = { 0 };
    transfer_init(&t, c);
    int r = prepare(&t, request, err);
    if (r == 0)
        r = start(&t, err);
    if (r == 0) {
        wait_done(&t);
        if (t.error) {
            r = -(int)error_code(t.error);
            if (err)
                *err = TAKE_PTR(t.error);
        } else {
            *ret = t.response;
            t.response = (struct http_response)HTTP_RESPONSE_INIT;
        }
    }
    transfer_done(&t);
    return r;
}

int http_stream_open(struct http_client *c, const struct http_request *request,
                     const struct http_stream_handler *handler, struct http_stream **ret,
                     struct error **err)
{
    struct http_stream *s = NEW0(struct http_stream);
    transfer_init(&s->transfer, c);
    s->transfer.is_stream = true;
    s->transfer.handler = *handler;
    int r = prepare(&s->transfer, request, err);
    if (r == 0) {
        *ret = s; /* before the first handler can run */
        r = start(&s->transfer, err);
        if (r < 0)
            *ret = NULL;
    }
    if (r < 0) {
        transfer_done(&s->transfer);
        free(s);
    }
    return r;
}

void http_stream_pause(struct http_stream *s, bool pause)
{
    __atomic_store_n(&s->transfer.want_pause, pause, __ATOMIC_RELEASE);
    LOCK(&s->transfer.mutex);
    if (!s->transfer.done)
        client_send(&s->transfer, COMMAND_PAUSE);
}

void http_stream_close(struct http_stream *s)
{
    if (!s)
        return;
    struct transfer *t = &s->transfer;
    {
        LOCK(&t->mutex);
        /* A command that is refused means that the client stops and ends every transfer anyway. */
        if (!t->done)
            client_send(t, COMMAND_CANCEL);
    }
    wait_done(t);
    transfer_done(t);
    free(s);
}
