/* A watch stream gives the same events and ends the same way however its bytes are cut. The first
 * byte chooses the status. */
#include "fuzz.h"
#include "kube/meta.h"
#include "kube/watch.h"

static struct kube_stream_handler handler;
static struct kube_stream stream;

static int open_stream(struct kube_transport *t, const struct kube_request *request,
                       const struct kube_stream_handler *h, struct kube_stream **ret,
                       struct error **err)
{
    handler = *h;
    *ret = &stream;
    return 0;
}

static void close_stream(struct kube_stream *s) {}

static const struct kube_transport_ops ops = { .stream = open_stream,
                                               .stream_close = close_stream };

static void on_event(void *ctx, enum watch_event_type type, struct arena *a, struct json *obj)
{
    buf_printf(ctx, "%d %s\n", type, json_text(a, obj));
    meta_resource_version(obj);
}

static void on_end(void *ctx, const struct error *err)
{
    buf_printf(ctx, "end %s\n", err ? error_message(err) : "in order");
}

static void play(const uint8_t *data, size_t size, size_t piece, int status, struct buf *out)
{
    struct kube_transport t = { &ops };
    stream.ops = &ops;
    struct kube_client *c = kube_client_new(&t, NULL);
    struct watch *w = NULL;
    must(watch_open(c, &KUBE_PODS, &(struct watch_options){ .max_line = 4096 },
                    &(struct watch_handler){ on_event, on_end, out }, &w, NULL) == 0);
    handler.on_status(handler.ctx, status);
    bool more = true;
    for (size_t at = 0; at < size && more; at += piece)
        more = handler.on_data(handler.ctx, (const char *)data + at,
                               size - at < piece ? size - at : piece);
    struct error *err = NULL;
    if (!more)
        error_set(&err, ERROR_CANCELLED, "cancelled");
    handler.on_end(handler.ctx, err);
    error_free(err);
    watch_close(w);
    kube_client_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    int status = data[0] == 'e' ? 500 : data[0] == 'g' ? 410 : 200;
    AUTO_BUF whole = BUF_INIT(4 * MIB), cut = BUF_INIT(4 * MIB);
    play(data + 1, size - 1, size, status, &whole);
    play(data + 1, size - 1, 1 + data[0] % 7, status, &cut);
    must(strcmp(buf_str(&whole), buf_str(&cut)) == 0);
    return 0;
}
