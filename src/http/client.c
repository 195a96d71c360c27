/* The I/O thread, its queue of commands, calls and streams. See client_internal.h. */
#include "http/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/client_internal.h"

#define TRANSFER_MAGIC 0x54524e53u
#define DEFAULT_CONNECTIONS 64
/* Handles are worth keeping: making one costs more than the rest of a small call's bookkeeping. */
#define SPARE_MAX 32

struct http_client {
    int refs;                    /* the user's, and one per transfer: a stream may be closed after http_client_free() */
    char *user_agent;
    CURLM *multi;
    CURLSH *share;
    pthread_mutex_t share_mutex[CURL_LOCK_DATA_LAST];
    pthread_t thread;
    struct transfer *running;    /* of the I/O thread */

    pthread_mutex_t mutex;
    struct transfer *commands;   /* oldest first */
    struct transfer **commands_tail;
    bool stopping;
    CURL *spare[SPARE_MAX];
    size_t spare_count;
};

struct http_stream {
    struct transfer transfer;
};

static int64_t now_ns(void)
{
    return clock_mono(clock_system());
}

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

static void *run_io(void *arg);

int http_client_new(const struct http_client_options *options, struct http_client **ret, struct error **err)
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
    long connections = options && options->max_connections ? (long)options->max_connections : DEFAULT_CONNECTIONS;
    curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, connections);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_share_setopt(c->share, CURLSHOPT_USERDATA, c);
    curl_share_setopt(c->share, CURLSHOPT_LOCKFUNC, lock_share);
    curl_share_setopt(c->share, CURLSHOPT_UNLOCKFUNC, unlock_share);
    curl_share_setopt(c->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);

    int r = thread_start(&c->thread, "http-client", run_io, c, err);
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

static void give_handle(struct http_client *c, CURL *easy)
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

/* ---- commands ------------------------------------------------------------------------------------------------ */

/* False when the client is being stopped: the I/O thread will not look again. */
static bool send_command(struct transfer *t, unsigned command)
{
    struct http_client *c = t->client;
    bool wake;
    {
        LOCK(&c->mutex);
        if (c->stopping)
            return false;
        t->commands |= command;
        wake = !c->commands;
        if (!t->queued) {
            t->queued = true;
            t->next_command = NULL;
            *c->commands_tail = t;
            c->commands_tail = &t->next_command;
        }
        /* Under the lock: http_client_free() destroys the multi handle once stopping is set. */
        if (wake)
            curl_multi_wakeup(c->multi);
    }
    return true;
}

/* A transfer that ended must not be found in the queue by the next round. Under the transfer's mutex, so that no command
 * comes between this and `done`. */
static void drop_commands(struct transfer *t)
{
    struct http_client *c = t->client;
    LOCK(&c->mutex);
    if (!t->queued)
        return;
    struct transfer **p = &c->commands;
    while (*p != t)
        p = &(*p)->next_command;
    *p = t->next_command;
    if (!*p)
        c->commands_tail = p;
    t->queued = false;
    t->commands = 0;
}

/* ---- the I/O thread ------------------------------------------------------------------------------------------ */

/* The last act for a transfer: it belongs to its waiter afterwards. Takes error over. */
static void finish(struct transfer *t, struct error *error)
{
    struct http_client *c = t->client;
    if (t->added) {
        curl_multi_remove_handle(c->multi, t->easy);
        if (t->prev)
            t->prev->next = t->next;
        else
            c->running = t->next;
        if (t->next)
            t->next->prev = t->prev;
        t->added = false;
    }
    give_handle(c, TAKE_PTR(t->easy));
    if (t->is_stream && t->handler.on_end)
        t->handler.on_end(t->handler.ctx, error);
    LOCK(&t->mutex);
    drop_commands(t);
    t->error = error;
    t->done = true;
    pthread_cond_signal(&t->cond);
}

static void finish_code(struct transfer *t, CURLcode code)
{
    if (code == CURLE_OK && !t->is_stream) {
        long status = 0;
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        t->response.status = (int)status;
    }
    finish(t, transfer_error(t, code));
}

static struct error *cancelled(void)
{
    struct error *e = NULL;
    error_set(&e, ERROR_CANCELLED, "cancelled");
    return e;
}

static void add(struct http_client *c, struct transfer *t)
{
    int64_t now = now_ns();
    t->last_byte = now;
    t->deadline = t->timeout_ms > 0 ? now + t->timeout_ms * NS_PER_MS : INT64_MAX;
    if (curl_multi_add_handle(c->multi, t->easy) != CURLM_OK)
        abort();
    t->added = true;
    t->prev = NULL;
    t->next = c->running;
    if (t->next)
        t->next->prev = t;
    c->running = t;
}

static void apply_pause(struct transfer *t)
{
    bool pause = __atomic_load_n(&t->want_pause, __ATOMIC_ACQUIRE);
    t->last_byte = now_ns();
    /* Without a connection there is nothing to pause yet: transfer_on_body() looks at want_pause itself. */
    CURLcode code = curl_easy_pause(t->easy, pause ? CURLPAUSE_RECV : CURLPAUSE_CONT);
    if (code != CURLE_OK && code != CURLE_BAD_FUNCTION_ARGUMENT)
        finish_code(t, code);
}

/* Returns false when the thread has to end. */
static bool take_commands(struct http_client *c)
{
    while (true) {
        struct transfer *t;
        unsigned commands;
        {
            LOCK(&c->mutex);
            if (c->stopping)
                return false;
            t = c->commands;
            if (!t)
                return true;
            c->commands = t->next_command;
            if (!c->commands)
                c->commands_tail = &c->commands;
            commands = t->commands;
            t->commands = 0;
            t->queued = false;
        }
        if (commands & COMMAND_CANCEL) {
            finish(t, cancelled());
            continue;
        }
        if (commands & COMMAND_ADD)
            add(c, t);
        if (commands & COMMAND_PAUSE)
            apply_pause(t);
    }
}

static void take_results(struct http_client *c)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(c->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct transfer *t = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
        assert(t && t->magic == TRANSFER_MAGIC);
        finish_code(t, code);
    }
}

static int64_t idle_limit(const struct transfer *t)
{
    if (t->idle_timeout_ms <= 0 || __atomic_load_n(&t->want_pause, __ATOMIC_ACQUIRE))
        return INT64_MAX;
    return t->last_byte + t->idle_timeout_ms * NS_PER_MS;
}

/* Ends what is overdue and returns the time of the next limit. */
static int64_t check_limits(struct http_client *c)
{
    int64_t next_limit = INT64_MAX;
    int64_t now = now_ns();
    for (struct transfer *t = c->running, *next; t; t = next) {
        next = t->next;
        int64_t idle = idle_limit(t);
        if (now >= t->deadline || now >= idle)
            finish(t, transfer_timeout_error(t, now < t->deadline));
        else
            next_limit = MIN(next_limit, MIN(t->deadline, idle));
    }
    return next_limit;
}

static void *run_io(void *arg)
{
    struct http_client *c = arg;
    while (take_commands(c)) {
        int running;
        curl_multi_perform(c->multi, &running);
        take_results(c);
        int64_t limit = check_limits(c);
        int64_t wait_ms = limit == INT64_MAX ? 60000 : (limit - now_ns() + NS_PER_MS - 1) / NS_PER_MS;
        curl_multi_poll(c->multi, NULL, 0, (int)MIN(MAX(wait_ms, INT64_C(0)), INT64_C(60000)), NULL);
    }
    while (c->running)
        finish(c->running, cancelled());
    while (true) {
        struct transfer *t;
        {
            LOCK(&c->mutex);
            t = c->commands;
        }
        if (!t)
            return NULL;
        finish(t, cancelled()); /* takes it out of the queue */
    }
}

/* ---- what curl calls on the I/O thread ----------------------------------------------------------------------- */

static struct transfer *transfer_of(void *ctx)
{
    struct transfer *t = ctx;
    assert(t->magic == TRANSFER_MAGIC);
    return t;
}

static void clear_headers(struct http_response *r)
{
    for (size_t i = 0; i < r->header_count; i++)
        free((char *)(uintptr_t)r->headers[i].name); /* the value lies in the same block */
    r->header_count = 0;
}

/* "Name: value\r\n". What has no colon is skipped. */
static bool keep_header(struct transfer *t, const char *line, size_t len)
{
    struct http_response *r = &t->response;
    const char *colon = memchr(line, ':', len);
    if (!colon)
        return true;
    t->header_bytes += len;
    if (r->header_count >= HEADERS_MAX || t->header_bytes > HEADER_BYTES_MAX) {
        t->too_large = true;
        t->max_response = HEADER_BYTES_MAX;
        return false;
    }
    size_t name_len = (size_t)(colon - line);
    const char *value = colon + 1;
    const char *end = line + len;
    while (value < end && strchr(" \t", *value))
        value++;
    while (end > value && strchr(" \t\r\n", end[-1]))
        end--;
    size_t value_len = (size_t)(end - value);
    char *name = mem_alloc(name_len + 1 + value_len + 1);
    for (size_t i = 0; i < name_len; i++)
        name[i] = line[i] >= 'A' && line[i] <= 'Z' ? (char)(line[i] + 'a' - 'A') : line[i];
    name[name_len] = '\0';
    memcpy(name + name_len + 1, value, value_len);
    name[name_len + 1 + value_len] = '\0';
    if (r->header_count == t->header_cap) {
        t->header_cap = MAX(t->header_cap * 2, (size_t)16);
        r->headers = mem_array(r->headers, t->header_cap, sizeof *r->headers);
    }
    r->headers[r->header_count++] = (struct http_header){ name, name + name_len + 1 };
    return true;
}

/* The blank line: are these the headers of the response, or of one that comes before it? */
static bool is_final(struct transfer *t, long status)
{
    if (status < 200)
        return false;
    bool redirect = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    return !(redirect && t->follow_redirects && http_response_header(&t->response, "location"));
}

size_t transfer_on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct transfer *t = transfer_of(ctx);
    size_t len = size * count;
    t->last_byte = now_ns();
    if (t->in_body) /* trailers */
        return len;
    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        clear_headers(&t->response);
        t->header_bytes = 0;
        return len;
    }
    if (len > 0 && data[0] != '\r' && data[0] != '\n')
        return keep_header(t, data, len) ? len : 0;

    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!is_final(t, status))
        return len;
    t->in_body = true;
    if (t->is_stream && t->handler.on_response)
        t->handler.on_response(t->handler.ctx, (int)status, t->response.headers, t->response.header_count);
    return len;
}

size_t transfer_on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct transfer *t = transfer_of(ctx);
    size_t len = size * count;
    if (t->is_stream) {
        if (__atomic_load_n(&t->want_pause, __ATOMIC_ACQUIRE))
            return CURL_WRITEFUNC_PAUSE;
        t->received += len;
        t->last_byte = now_ns();
        return !t->handler.on_data || t->handler.on_data(t->handler.ctx, data, len) ? len : 0;
    }
    t->received += len;
    t->last_byte = now_ns();
    buf_append(&t->response.body, data, len);
    t->too_large = !buf_ok(&t->response.body);
    return t->too_large ? 0 : len;
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
        give_handle(c, TAKE_PTR(t->easy));
    return r;
}

static int start(struct transfer *t, struct error **err)
{
    if (send_command(t, COMMAND_ADD))
        return 0;
    give_handle(t->client, TAKE_PTR(t->easy));
    return error_set(err, ERROR_CANCELLED, "cancelled");
}

int http_call(struct http_client *c, const struct http_request *request, struct http_response *ret, struct error **err)
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

void http_response_done(struct http_response *r)
{
    buf_done(&r->body);
    clear_headers(r);
    free(TAKE_PTR(r->headers));
}

const char *http_response_header(const struct http_response *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (str_case_eq(r->headers[i].name, name))
            return r->headers[i].value;
    return NULL;
}

int http_stream_open(struct http_client *c, const struct http_request *request, const struct http_stream_handler *handler,
                     struct http_stream **ret, struct error **err)
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
        send_command(&s->transfer, COMMAND_PAUSE);
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
            send_command(t, COMMAND_CANCEL);
    }
    wait_done(t);
    transfer_done(t);
    free(s);
}
