/* Hashes, base64 (RFC 4648, section 4) and comparison of secrets. Certificates are in cert.c. */
#include "http/crypto.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct sha256 {
    EVP_MD_CTX *ctx;
};

static void hex_of(const unsigned char *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

/* OpenSSL fails here only for want of memory, or when its library is broken: nothing that a caller
 * could handle. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(data, len, digest);
    hex_of(digest, sizeof digest, out);
}

struct sha256 *sha256_new(void)
{
    struct sha256 *h = NEW0(struct sha256);
    h->ctx = EVP_MD_CTX_new();
    must(h->ctx != NULL);
    must(EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL));
    return h;
}

void sha256_update(struct sha256 *h, const void *data, size_t len)
{
    must(EVP_DigestUpdate(h->ctx, data, len));
}

void sha256_final_hex(struct sha256 *h, char out[SHA256_HEX_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    must(EVP_DigestFinal_ex(h->ctx, digest, NULL));
    hex_of(digest, sizeof digest, out);
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

char *base64_encode(struct arena *a, const void *data, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = data;
    char *out = arena_alloc(a, len / 3 * 4 + 5);
    char *o = out;
    size_t i = 0;
    for (; len - i >= 3; i += 3) {
        unsigned v = (unsigned)in[i] << 16 | (unsigned)in[i + 1] << 8 | in[i + 2];
        *o++ = alphabet[v >> 18];
        *o++ = alphabet[v >> 12 & 63];
        *o++ = alphabet[v >> 6 & 63];
        *o++ = alphabet[v & 63];
    }
    if (i < len) {
        bool two = len - i == 2;
        unsigned v = (unsigned)in[i] << 16 | (two ? (unsigned)in[i + 1] << 8 : 0);
        *o++ = alphabet[v >> 18];
        *o++ = alphabet[v >> 12 & 63];
        *o++ = two ? alphabet[v >> 6 & 63] : '=';
        *o++ = '=';
    }
    *o = '\0';
    return out;
}

static int sextet_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    if (c == '/')
        return 63;
    return -1;
}

int base64_decode(struct arena *a, const char *text, size_t len, char **ret, size_t *ret_len)
{
    if (len % 4 != 0)
        return -ERROR_INVALID;
    size_t padding = 0;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    size_t digits = len - padding;

    char *out = arena_alloc(a, len / 4 * 3 + 1);
    size_t n = 0;
    unsigned v = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < digits; i++) {
        int sextet = sextet_of(text[i]);
        if (sextet < 0)
            return -ERROR_INVALID;
        v = (v << 6 | (unsigned)sextet) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (char)(v >> bits & 0xff);
        }
    }
    out[n] = '\0';
    *ret = out;
    *ret_len = n;
    return 0;
}

bool crypto_equal(const char *a, const char *b)
{
    /* Every byte of b is looked at, whatever a holds; a is re-read at its end rather than left
     * early. */
    unsigned difference = 0;
    size_t i = 0;
    for (const char *p = b;; p++) {
        difference |= (unsigned char)a[i] ^ (unsigned char)*p;
        i += a[i] != '\0';
        if (*p == '\0')
            break;
    }
    return difference == 0;
}
