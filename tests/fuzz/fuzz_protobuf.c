/* A body is refused, or becomes JSON that can be written and read again, and that the decoder of
 * the kind takes or refuses. Without an envelope the bytes are a message of the kind that the first
 * byte chooses. */
#include "apiserver/protobuf.h"
#include "fuzz.h"

static const char *const kinds[][2] = {
    { "v1", "Pod" },
    { "v1", "Secret" },
    { "apps/v1", "StatefulSet" },
    { "apiextensions.k8s.io/v1", "CustomResourceDefinition" },
    { "v1", "ConfigMap" },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    struct protobuf_envelope e = { 0 };
    const struct api_type *t = NULL;
    if (protobuf_open(a, (const char *)data, size, &e, NULL) == 0) {
        t = api_type_find(e.api_version, e.kind);
    } else if (size > 0) {
        t = api_type_find(kinds[data[0] % COUNT_OF(kinds)][0], kinds[data[0] % COUNT_OF(kinds)][1]);
        e.raw = (const char *)data + 1;
        e.raw_len = size - 1;
    }
    if (!t)
        return 0;
    struct json *obj = json_new_object(a), *again = NULL;
    struct error *err = NULL;
    int r = protobuf_decode(a, t, e.raw, e.raw_len, obj, &err);
    must((r < 0) == (err != NULL));
    error_free(err);
    if (r < 0)
        return 0;
    AUTO_BUF text = BUF_INIT(256 * MIB);
    json_write(obj, &text);
    must(json_parse(a, text.data, text.len, &again, NULL) == 0);
    must(json_equal(obj, again));
    struct json *unknown = json_new_array(a);
    if (api_type_decode(a, t, obj, unknown, NULL) == 0)
        must(json_size(unknown) == 0);
    return 0;
}
