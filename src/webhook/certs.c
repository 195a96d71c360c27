/* Certificates of a webhook, kept in its Secret under the keys that KAITO's chart names. They live
 * for a week: a CA without a future (its key is thrown away) and one leaf. */
#include "base/str.h"
#include "http/crypto.h"
#include "webhook/internal.h"
#include "json/build.h"

#define KEY_ITEM "server-key.pem"
#define CERT_ITEM "server-cert.pem"
#define CA_ITEM "ca-cert.pem"

#define NS_PER_HOUR (3600 * NS_PER_S)
#define BACKDATED_NS (5 * 60 * NS_PER_S) /* clocks of API servers may be behind ours */
#define OLD_CAS 2

static int item(struct arena *a, const struct json *secret, const char *name, const char **ret,
                struct error **err)
{
    const char *text = json_find_str(secret, "data", name);
    char *data = NULL;
    size_t len = 0;
    if (str_empty(text))
        return error_set(err, ERROR_INVALID, "%s is empty", name);
    if (base64_decode(a, text, strlen(text), &data, &len) < 0 || strlen(data) != len)
        return error_set(err, ERROR_INVALID, "%s is no text in base64", name);
    *ret = data;
    return 0;
}

int certs_read(struct arena *a, const struct json *secret, const char *dns_name, int64_t now_ns,
               struct webhook_certs *ret, struct error **err)
{
    struct webhook_certs c = { 0 };
    int r = item(a, secret, KEY_ITEM, &c.key, err);
    if (r == 0)
        r = item(a, secret, CERT_ITEM, &c.cert, err);
    if (r == 0)
        r = item(a, secret, CA_ITEM, &c.ca, err);
    if (r < 0)
        return r;
    struct key_pair pair = { .cert_pem = (char *)(uintptr_t)c.cert,
                             .key_pem = (char *)(uintptr_t)c.key };
    r = cert_check_server(&pair, c.ca, dns_name, now_ns, &c.until_ns, err);
    if (r < 0)
        return r;
    *ret = c;
    return 0;
}

static int make_leaf(struct arena *a, const char *service, const char *ns,
                     const struct cert_request *validity, const struct key_pair *ca,
                     struct key_pair *ret, struct error **err)
{
    const char *const names[] = {
        service,
        arena_printf(a, "%s.%s", service, ns),
        arena_printf(a, "%s.%s.svc", service, ns),
        arena_printf(a, "%s.%s.svc.cluster.local", service, ns),
        NULL,
    };
    struct cert_request request = *validity;
    request.common_name = service;
    request.dns_names = names;
    return cert_make(&request, ca, ret, err);
}

static void set_item(struct arena *a, struct json *data, const char *name, const char *text)
{
    json_set_str(a, data, name, base64_encode(a, text, strlen(text)));
}

int certs_renew(struct arena *a, const struct json *secret, const char *service, const char *ns,
                int64_t now_ns, struct json **ret, struct error **err)
{
    const struct cert_request validity = {
        .organization = "kaito.sh",
        .not_before_ns = now_ns - BACKDATED_NS,
        .not_after_ns = now_ns + CERT_DAYS * 24 * NS_PER_HOUR,
    };
    struct cert_request ca_request = validity;
    ca_request.common_name =
        arena_printf(a, "%.40s CA %.16llx", service, (unsigned long long)(now_ns / NS_PER_S));
    ca_request.is_ca = true;
    CLEANUP(key_pair_done) struct key_pair ca = { 0 }, leaf = { 0 };
    int r = cert_make(&ca_request, NULL, &ca, err);
    if (r == 0)
        r = make_leaf(a, service, ns, &validity, &ca, &leaf, err);
    if (r < 0)
        return r;
    const char *old = "";
    if (item(a, secret, CA_ITEM, &old, NULL) == 0)
        old = cert_valid_ones(a, old, OLD_CAS, now_ns);
    struct json *next = json_clone(a, secret);
    struct json *data = json_ensure_object(a, next, "data");
    set_item(a, data, KEY_ITEM, leaf.key_pem);
    set_item(a, data, CERT_ITEM, leaf.cert_pem);
    set_item(a, data, CA_ITEM, arena_printf(a, "%s%s", ca.cert_pem, old));
    *ret = next;
    return 0;
}
