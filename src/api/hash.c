#include "api/hash.h"

#include "http/crypto.h"
#include "json/build.h"

#define MAX_TEXT (8 * MIB)

static const struct part {
    const char *key;
    const char *type;
} parts[] = {
    { "resource", "Resource" },
    { "inference", "*Inference" },
    { "tuning", "*Tuning" },
};

int workspace_identify(struct arena *a, const struct go_types *types, const struct json *workspace,
                       struct workspace_identity *ret, struct error **err)
{
    AUTO_BUF text = BUF_INIT(MAX_TEXT);
    struct json *values[COUNT_OF(parts)];
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        size_t start = text.len;
        int r = go_json_write(types, parts[i].type, parts[i].key, json_get(workspace, parts[i].key),
                              &text, err);
        if (r == 0)
            r = json_parse(a, text.data + start, text.len - start, &values[i], err);
        if (r < 0)
            return r;
        buf_putc(&text, '\n');
    }
    char hex[SHA256_HEX_SIZE];
    sha256_hex(text.data, text.len, hex);
    *ret = (struct workspace_identity){
        .hash = arena_strdup(a, hex),
        .data = OBJ("inference", values[1], "resource", values[0], "tuning", values[2]),
    };
    return 0;
}
