/* The HTTPS side: POST /validate/NAME with an AdmissionReview, as API servers send it. A review
 * takes microseconds and is done on the thread that received it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "http/crypto.h"
#include "http/server.h"
#include "webhook/internal.h"

#define THREADS 4
#define MAX_CONNECTIONS 256
/* Two objects of at most 3 MiB each, which is what an API server takes, and their envelope. */
#define MAX_BODY (8 * MIB)
#define MAX_ANSWER (1 * MIB)
#define STOP_GRACE_MS 1000
#define NS_PER_HOUR (3600 * NS_PER_S)

struct webhook_server {
    struct http_server *http;
    const struct webhook_hook *hooks;
    webhook_review_fn *review;
    void *ctx;
};

static bool is_json(const char *content_type)
{
    static const char json[] = "application/json";
    if (!content_type || strncasecmp(content_type, json, sizeof json - 1) != 0)
        return false;
    const char *rest = content_type + sizeof json - 1;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}

static bool is_known(const struct webhook_hook *hooks, const char *path)
{
    for (const struct webhook_hook *h = hooks; h->name; h++) {
        if (STREQ(h->path, path))
            return true;
    }
    return false;
}

static void on_request(struct http_exchange *x, void *ctx)
{
    struct webhook_server *s = ctx;
    if (!is_known(s->hooks, http_path(x))) {
        http_reply_text(x, 404, "no webhook is at this path\n");
        return;
    }
    if (!STREQ(http_method(x), "POST")) {
        http_set_header(x, "Allow", "POST");
        http_reply_text(x, 405, "webhooks are called by POST\n");
        return;
    }
    if (!is_json(http_header(x, "Content-Type"))) {
        http_reply_text(x, 415, "the Content-Type of a review is application/json\n");
        return;
    }
    AUTO_ARENA a = arena_new();
    CLEANUP(error_cleanup) struct error *err = NULL;
    size_t len = 0;
    const char *body = http_body(x, &len);
    struct json *answer = NULL;
    if (review_answer(a, body, len, s->review, s->ctx, &answer, &err) < 0) {
        http_reply_text(x, 400, arena_printf(a, "%s\n", error_message(err)));
        return;
    }
    AUTO_BUF text = BUF_INIT(MAX_ANSWER);
    json_write(answer, &text);
    if (!buf_ok(&text))
        http_reply_text(x, 500, "the answer to the review is too large\n");
    else
        http_reply(x, 200, "application/json", buf_str(&text), text.len);
}

/* ---- start and stop ------------------------------------------------------------------------------------------- */

static int make_placeholder(struct clock *clock, struct key_pair *ret, struct error **err)
{
    int64_t now = clock_wall(clock);
    return cert_make(&(struct cert_request){ .common_name = "no certificate yet",
                                             .not_before_ns = now - NS_PER_HOUR,
                                             .not_after_ns = now + NS_PER_HOUR },
                     NULL, ret, err);
}

int webhook_server_start(const struct webhook_options *o, struct webhook_server **ret,
                         struct error **err)
{
    CLEANUP(key_pair_done) struct key_pair placeholder = { 0 };
    int r = make_placeholder(o->clock, &placeholder, err);
    if (r < 0)
        return r;
    struct webhook_server *s = NEW0(struct webhook_server);
    s->hooks = o->hooks;
    s->review = o->review;
    s->ctx = o->ctx;
    struct http_server_options options = {
        .name = "webhook",
        .address = o->address ? o->address : "::",
        .port = o->port,
        .cert_pem = placeholder.cert_pem,
        .key_pem = placeholder.key_pem,
        .tls13_only = !str_eq(o->tls_min_version, "1.2"),
        .threads = THREADS,
        .max_connections = MAX_CONNECTIONS,
        .max_body = MAX_BODY,
        .handler = on_request,
        .ctx = s,
    };
    struct error *why = NULL;
    r = http_server_start(&options, &s->http, &why);
    if (r < 0 && !o->address && r != -ERROR_CONFLICT && r != -ERROR_FORBIDDEN) {
        error_free(TAKE_PTR(why)); /* a machine without IPv6 */
        options.address = "0.0.0.0";
        r = http_server_start(&options, &s->http, &why);
    }
    if (r < 0) {
        free(s);
        if (err)
            *err = TAKE_PTR(why);
        error_free(why);
        return error_prefix(err, r, "webhook server");
    }
    *ret = s;
    return 0;
}

uint16_t webhook_server_port(const struct webhook_server *s)
{
    return http_server_port(s->http);
}

int webhook_server_set_certs(struct webhook_server *s, const struct webhook_certs *c,
                             struct error **err)
{
    return http_server_set_certificate(s->http, c->cert, c->key, err);
}

void webhook_server_stop(struct webhook_server *s)
{
    if (!s)
        return;
    http_server_stop(s->http, STOP_GRACE_MS);
    free(s);
}
