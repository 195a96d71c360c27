/* The I/O thread of the client: takes commands, lets curl run, hands results over, and ends what is
 * overdue.
 *
 * curl's own limit on the time of a transfer does not know silence from work, nor a pause from
 * silence, so the limits are kept here.
 *
 * A stream over HTTP/2 that is cancelled stays open on the server's side until the next use of its
 * connection: this curl (7.88) leaves the frame that says so in its buffer. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/thread.h"
#include "http/client_internal.h"

/* curl takes an int of milliseconds; waking up once a minute costs nothing. */
#define WAIT_MAX_MS INT64_C(60000)

static int64_t now_ns(void)
{
    return clock_mono(clock_system());
}

/* ---- commands ------------------------------------------------------------------------------------------------ */

bool client_send(struct transfer *t, unsigned command)
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

/* A transfer that ended must not be found in the queue by the next round. Under the transfer's
 * mutex, so that no command comes between this and `done`. */
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
    client_give_handle(c, TAKE_PTR(t->easy));
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
    /* Without a connection there is nothing to pause yet: transfer_on_body() looks at want_pause
     * itself. */
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

void *client_run(void *arg)
{
    struct http_client *c = arg;
    while (take_commands(c)) {
        int running;
        curl_multi_perform(c->multi, &running);
        take_results(c);
        int64_t limit = check_limits(c);
        int64_t wait_ms =
            limit == INT64_MAX ? WAIT_MAX_MS : (limit - now_ns() + NS_PER_MS - 1) / NS_PER_MS;
        curl_multi_poll(c->multi, NULL, 0, (int)MIN(MAX(wait_ms, INT64_C(0)), WAIT_MAX_MS), NULL);
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
