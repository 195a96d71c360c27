/* A request target as a client may send it, up to the decoded path and query; and what else of
 * http/ decodes text. */
#include "base/mem.h"
#include "fuzz.h"
#include "http/crypto.h"
#include "http/server_internal.h"

static void try_target(const char *target)
{
    struct http_server server = { .max_body = 1 };
    void *x = exchange_on_request_line(&server, target, NULL);
    must(http_path(x)[0] == '/' || http_path(x)[0] == '\0');
    must(strlen(http_path(x)) <= strlen(target) + 1);
    const char *value = http_query(x, "a");
    must(!value || strlen(value) <= strlen(target));
    must(http_query(x, "a") == value);
    exchange_on_completed(&server, NULL, &x, MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

static void try_base64(const char *text, size_t len)
{
    AUTO_ARENA a = arena_new();
    char *plain;
    size_t plain_len;
    if (base64_decode(a, text, len, &plain, &plain_len) < 0)
        return;
    must(plain[plain_len] == '\0' && plain_len <= len / 4 * 3);
    /* Unused bits of the last digit are dropped: a second round changes nothing more. */
    const char *again = base64_encode(a, plain, plain_len);
    must(strlen(again) == len);
    char *twice;
    size_t twice_len;
    must(base64_decode(a, again, len, &twice, &twice_len) == 0);
    must(twice_len == plain_len && memcmp(twice, plain, plain_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = mem_strndup((const char *)data, size);
    AUTO_FREE char *out = mem_alloc(size + 1);
    if (http_url_decode((const char *)data, size, size & 1, out) == 0)
        must(strlen(out) <= size);
    must(crypto_equal(text, text));
    try_target(text);
    try_base64((const char *)data, size);
    return 0;
}
