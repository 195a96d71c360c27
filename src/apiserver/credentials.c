#include "apiserver/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"

#define DAY_NS (24 * 3600 * NS_PER_S)
#define CA_DAYS 3650
#define RENEW_DAYS 30
#define MAX_PEM (64 * KIB)
#define TOKEN_BYTES 32

/* ---- CA ----------------------------------------------------------------------------------------------------------- */

/* Certificate and key are in one file, so that they are always a pair. */
static bool read_ca(const char *path, int64_t now, struct key_pair *ret)
{
    AUTO_FREE char *both = NULL;
    size_t len = 0;
    int64_t until = 0;
    if (file_read(path, MAX_PEM, &both, &len, NULL) < 0)
        return false;
    char *key = strstr(both, "-----BEGIN PRIVATE KEY-----");
    if (!key)
        key = strstr(both, "-----BEGIN EC PRIVATE KEY-----");
    if (!key || key == both || cert_not_after(both, &until, NULL) < 0 ||
        until - now < RENEW_DAYS * DAY_NS)
        return false;
    ret->key_pem = mem_strdup(key);
    ret->cert_pem = mem_strndup(both, (size_t)(key - both));
    return true;
}

static int make_ca(const char *path, int64_t now, struct key_pair *ret, struct error **err)
{
    struct cert_request request = {
        .common_name = "kaito",
        .not_before_ns = now - DAY_NS,
        .not_after_ns = now + CA_DAYS * DAY_NS,
        .is_ca = true,
    };
    int r = cert_make(&request, NULL, ret, err);
    if (r < 0 || !path)
        return r;
    AUTO_FREE char *both = mem_printf("%s%s", ret->cert_pem, ret->key_pem);
    return file_write_atomic(path, both, strlen(both), 0600, err);
}

/* The server's own certificate is new at each start: it lasts as long as the CA, and its addresses
 * are today's. */
static int make_server(struct apiserver *s, const struct key_pair *ca, const char *address,
                       int64_t now, struct key_pair *ret, struct error **err)
{
    int64_t until = 0;
    int r = cert_not_after(ca->cert_pem, &until, err);
    if (r < 0)
        return r;
    struct cert_request request = {
        .common_name = "kube-apiserver",
        .dns_names = (const char *const[]){ "localhost", "kubernetes", "kubernetes.default",
                                            "kubernetes.default.svc",
                                            "kubernetes.default.svc.cluster.local", NULL },
        .ip_addresses = (const char *const[]){ "127.0.0.1", "::1",
                                               STREQ(address, "127.0.0.1") ? NULL : address, NULL },
        .not_before_ns = now - DAY_NS,
        .not_after_ns = until,
    };
    return cert_make(&request, ca, ret, err);
}

/* ---- token -------------------------------------------------------------------------------------------------------- */

static char *new_token(void)
{
    unsigned char bytes[TOKEN_BYTES];
    rand_bytes(bytes, sizeof bytes);
    AUTO_BUF hex = BUF_INIT(4 * TOKEN_BYTES);
    for (size_t i = 0; i < sizeof bytes; i++)
        buf_printf(&hex, "%02x", bytes[i]);
    return buf_steal(&hex);
}

static int load_token(const char *path, char **ret, struct error **err)
{
    AUTO_FREE char *text = NULL;
    if (path && file_read(path, KIB, &text, NULL, NULL) == 0) {
        text[strcspn(text, " \r\n\t")] = '\0';
        if (strlen(text) >= TOKEN_BYTES) {
            *ret = TAKE_PTR(text);
            return 0;
        }
    }
    *ret = new_token();
    return path ? file_write_atomic(path, *ret, strlen(*ret), 0600, err) : 0;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

int front_credentials_load(struct apiserver *s, const char *address, struct front_credentials *ret,
                           struct error **err)
{
    *ret = (struct front_credentials){ 0 };
    const char *dir = s->o.data_dir;
    AUTO_FREE char *ca_path = dir ? mem_printf("%s/ca.pem", dir) : NULL;
    AUTO_FREE char *token_path = dir ? mem_printf("%s/token", dir) : NULL;
    int64_t now = clock_wall(clock_system());
    struct key_pair ca = { 0 };
    int r = ca_path && read_ca(ca_path, now, &ca) ? 0 : make_ca(ca_path, now, &ca, err);
    if (r == 0)
        r = make_server(s, &ca, address, now, &ret->server, err);
    if (r == 0)
        r = load_token(token_path, &ret->token, err);
    if (r == 0)
        ret->ca_pem = mem_strdup(ca.cert_pem);
    key_pair_done(&ca);
    if (r < 0)
        front_credentials_done(ret);
    return r;
}

void front_credentials_done(struct front_credentials *c)
{
    key_pair_done(&c->server);
    free(c->ca_pem);
    free(c->token);
    *c = (struct front_credentials){ 0 };
}

int front_kubeconfig_write(const struct front_credentials *c, const char *path, const char *address,
                           uint16_t port, struct error **err)
{
    AUTO_ARENA a = arena_new();
    bool v6 = strchr(address, ':') != NULL;
    AUTO_BUF text = BUF_INIT(64 * KIB);
    buf_printf(&text,
               "apiVersion: v1\n"
               "kind: Config\n"
               "clusters:\n"
               "- name: kaito\n"
               "  cluster:\n"
               "    server: https://%s%s%s:%d\n"
               "    certificate-authority-data: %s\n"
               "users:\n"
               "- name: kaito\n"
               "  user:\n"
               "    token: %s\n"
               "contexts:\n"
               "- name: kaito\n"
               "  context:\n"
               "    cluster: kaito\n"
               "    user: kaito\n"
               "current-context: kaito\n",
               v6 ? "[" : "", address, v6 ? "]" : "", (int)port,
               base64_encode(a, c->ca_pem, strlen(c->ca_pem)), c->token);
    /* The same text needs no write: a start must work on a full disk too. */
    AUTO_FREE char *now = NULL;
    size_t now_len = 0;
    if (file_read(path, 64 * KIB, &now, &now_len, NULL) == 0 && now_len == text.len &&
        memcmp(now, text.data, now_len) == 0)
        return 0;
    AUTO_FREE char *have = NULL;
    if (file_read(path, 64 * KIB, &have, NULL, NULL) == 0 && STREQ(have, text.data))
        return 0;
    return file_write_atomic(path, text.data, text.len, 0600, err);
}
