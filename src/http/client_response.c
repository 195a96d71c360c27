/* What curl delivers, on the I/O thread: the headers of the final response, and its body. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/client_internal.h"

static int64_t now_ns(void)
{
    return clock_mono(clock_system());
}

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
    bool redirect =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
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
        t->handler.on_response(t->handler.ctx, (int)status, t->response.headers,
                               t->response.header_count);
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
