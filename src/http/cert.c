/* X.509 certificates (RFC 5280) for the servers of one machine: a CA of our own, and leaves signed
 * by it. */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rand.h"
#include "http/crypto.h"

DEFINE_CLEANUP(BIO *, BIO_free_all, bio_cleanup)
DEFINE_CLEANUP(X509 *, X509_free, x509_cleanup)
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free, pkey_cleanup)
DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free, names_cleanup)

/* What OpenSSL says about its last failure; the queue is emptied. */
static int fail(struct error **err, enum error_code code, const char *what)
{
    char text[256] = "no reason given";
    unsigned long last = ERR_peek_last_error();
    if (last != 0)
        ERR_error_string_n(last, text, sizeof text);
    ERR_clear_error();
    return error_set(err, code, "%s: %s", what, text);
}

static X509 *read_cert(const char *pem)
{
    CLEANUP(bio_cleanup) BIO *bio = BIO_new_mem_buf(pem, -1);
    return bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
}

/* Without this, OpenSSL would ask for the pass phrase of an encrypted key on the terminal. */
static int no_password(char *buffer, int size, int writing, void *ctx)
{
    return -1;
}

static EVP_PKEY *read_key(const char *pem)
{
    CLEANUP(bio_cleanup) BIO *bio = BIO_new_mem_buf(pem, -1);
    return bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
}

static bool add_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (!name || !value) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        return false;
    }
    return true;
}

static int add_alternative_names(X509 *cert, const struct cert_request *request, struct error **err)
{
    CLEANUP(names_cleanup) GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    if (!names)
        return fail(err, ERROR_INTERNAL, "subject alternative names");
    for (const char *const *dns = request->dns_names; dns && *dns; dns++) {
        ASN1_IA5STRING *value = ASN1_IA5STRING_new();
        if (value && !ASN1_STRING_set(value, *dns, -1)) {
            ASN1_IA5STRING_free(value);
            value = NULL;
        }
        if (!add_name(names, GEN_DNS, value))
            return fail(err, ERROR_INTERNAL, "subject alternative name");
    }
    for (const char *const *ip = request->ip_addresses; ip && *ip; ip++) {
        ASN1_OCTET_STRING *value = a2i_IPADDRESS(*ip);
        if (!value) {
            ERR_clear_error();
            return error_set(err, ERROR_INVALID, "%s is not an IP address", *ip);
        }
        if (!add_name(names, GEN_IPADD, value))
            return fail(err, ERROR_INTERNAL, "subject alternative name");
    }
    if (sk_GENERAL_NAME_num(names) == 0)
        return 0;
    if (X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1)
        return fail(err, ERROR_INTERNAL, "subject alternative names");
    return 0;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (!extension)
        return false;
    int ok = X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    return ok == 1;
}

static bool set_serial(X509 *cert)
{
    /* At most 20 bytes and positive (RFC 5280, 4.1.2.2): the top bit is off, and a bit below it is
     * on, so that the length is always the same. */
    unsigned char bytes[16];
    rand_bytes(bytes, sizeof bytes);
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

static bool add_subject(X509 *cert, const struct cert_request *request)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    if (request->organization &&
        X509_NAME_add_entry_by_NID(subject, NID_organizationName, MBSTRING_UTF8,
                                   (const unsigned char *)request->organization, -1, -1, 0) != 1)
        return false;
    return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)request->common_name, -1, -1, 0) == 1;
}

static int fill(X509 *cert, const struct cert_request *request, X509 *issuer, EVP_PKEY *key,
                struct error **err)
{
    if (X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) ||
        X509_set_pubkey(cert, key) != 1 ||
        !ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(request->not_before_ns / NS_PER_S)) ||
        !ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(request->not_after_ns / NS_PER_S)))
        return fail(err, ERROR_INTERNAL, "certificate");
    if (!add_subject(cert, request))
        return fail(err, ERROR_INVALID, "subject of the certificate");
    if (X509_set_issuer_name(cert, X509_get_subject_name(issuer)) != 1)
        return fail(err, ERROR_INTERNAL, "issuer of the certificate");

    bool ok = request->is_ca
                  ? add_extension(cert, issuer, NID_basic_constraints, "critical,CA:TRUE") &&
                        add_extension(cert, issuer, NID_key_usage,
                                      "critical,digitalSignature,keyCertSign,cRLSign")
                  : add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
                        add_extension(cert, issuer, NID_key_usage, "critical,digitalSignature") &&
                        add_extension(cert, issuer, NID_ext_key_usage,
                                      request->client ? "clientAuth" : "serverAuth");
    if (!ok || !add_extension(cert, issuer, NID_subject_key_identifier, "hash") ||
        !add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always"))
        return fail(err, ERROR_INTERNAL, "extensions of the certificate");
    return add_alternative_names(cert, request, err);
}

static char *text_of(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    return mem_strndup(data, (size_t)MAX(len, 0L));
}

static int to_pem(X509 *cert, EVP_PKEY *key, struct key_pair *ret, struct error **err)
{
    CLEANUP(bio_cleanup) BIO *cert_bio = BIO_new(BIO_s_mem());
    CLEANUP(bio_cleanup) BIO *key_bio = BIO_new(BIO_s_mem());
    if (!cert_bio || !key_bio || PEM_write_bio_X509(cert_bio, cert) != 1 ||
        PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return fail(err, ERROR_INTERNAL, "certificate in PEM form");
    ret->cert_pem = text_of(cert_bio);
    ret->key_pem = text_of(key_bio);
    return 0;
}

int cert_make(const struct cert_request *request, const struct key_pair *issuer,
              struct key_pair *ret, struct error **err)
{
    CLEANUP(x509_cleanup) X509 *issuer_cert = NULL;
    CLEANUP(pkey_cleanup) EVP_PKEY *issuer_key = NULL;
    if (issuer) {
        issuer_cert = read_cert(issuer->cert_pem);
        if (!issuer_cert)
            return fail(err, ERROR_INVALID, "certificate of the issuer");
        issuer_key = read_key(issuer->key_pem);
        if (!issuer_key)
            return fail(err, ERROR_INVALID, "key of the issuer");
        if (X509_check_private_key(issuer_cert, issuer_key) != 1)
            return fail(err, ERROR_INVALID, "key and certificate of the issuer");
    }
    CLEANUP(pkey_cleanup) EVP_PKEY *key = EVP_EC_gen("P-256");
    CLEANUP(x509_cleanup) X509 *cert = X509_new();
    if (!key || !cert)
        return fail(err, ERROR_INTERNAL, "new key");
    int r = fill(cert, request, issuer ? issuer_cert : cert, key, err);
    if (r < 0)
        return r;
    if (X509_sign(cert, issuer ? issuer_key : key, EVP_sha256()) == 0)
        return fail(err, ERROR_INTERNAL, "signature of the certificate");
    return to_pem(cert, key, ret, err);
}

void key_pair_done(struct key_pair *p)
{
    free(TAKE_PTR(p->cert_pem));
    if (p->key_pem)
        OPENSSL_cleanse(p->key_pem, strlen(p->key_pem));
    free(TAKE_PTR(p->key_pem));
}

/* ---- what others made --------------------------------------------------------------------------------------- */

static int time_of(const ASN1_TIME *time, int64_t *ret_ns, struct error **err)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return fail(err, ERROR_INVALID, "end of validity of the certificate");
    *ret_ns = (int64_t)timegm(&tm) * NS_PER_S;
    return 0;
}

int cert_not_after(const char *pem, int64_t *ret_ns, struct error **err)
{
    CLEANUP(x509_cleanup) X509 *cert = read_cert(pem);
    if (!cert)
        return fail(err, ERROR_INVALID, "certificate");
    return time_of(X509_get0_notAfter(cert), ret_ns, err);
}

/* 1 before its time, -1 after it, 0 within. *ret_until_ns: its end. */
static int phase_of(const X509 *cert, int64_t now_ns, int64_t *ret_until_ns)
{
    int64_t from = 0, until = 0;
    if (time_of(X509_get0_notBefore(cert), &from, NULL) < 0 ||
        time_of(X509_get0_notAfter(cert), &until, NULL) < 0)
        return -1;
    *ret_until_ns = until;
    return now_ns < from ? 1 : now_ns >= until ? -1 : 0;
}

/* The signer of cert among those of pem that are valid now. Not a chain of OpenSSL's making: that
 * takes a leaf that is named like its signer for self-signed, and other operators make such. */
static X509 *find_signer(X509 *cert, const char *pem, int64_t now_ns, int64_t *ret_until_ns)
{
    CLEANUP(bio_cleanup) BIO *bio = BIO_new_mem_buf(pem, -1);
    for (X509 *ca; bio && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL;) {
        if (phase_of(ca, now_ns, ret_until_ns) == 0 && X509_check_ca(ca) > 0 &&
            X509_NAME_cmp(X509_get_subject_name(ca), X509_get_issuer_name(cert)) == 0 &&
            X509_verify(cert, X509_get0_pubkey(ca)) == 1)
            return ca;
        X509_free(ca);
    }
    return NULL;
}

int cert_check_server(const struct key_pair *pair, const char *ca_pem, const char *dns_name,
                      int64_t now_ns, int64_t *ret_until_ns, struct error **err)
{
    CLEANUP(x509_cleanup) X509 *cert = read_cert(pair->cert_pem);
    if (!cert)
        return fail(err, ERROR_INVALID, "the certificate cannot be read");
    CLEANUP(pkey_cleanup) EVP_PKEY *key = read_key(pair->key_pem);
    if (!key)
        return fail(err, ERROR_INVALID, "the key cannot be read");
    if (X509_check_private_key(cert, key) != 1) {
        ERR_clear_error();
        return error_set(err, ERROR_INVALID, "the key is another certificate's");
    }
    int64_t until = 0, signer_until = 0;
    int phase = phase_of(cert, now_ns, &until);
    if (phase != 0)
        return error_set(err, ERROR_INVALID, "the certificate is %s",
                         phase > 0 ? "not valid yet" : "expired");
    if (X509_check_host(cert, dns_name, 0, 0, NULL) != 1) {
        ERR_clear_error();
        return error_set(err, ERROR_INVALID, "the certificate is not for %s", dns_name);
    }
    CLEANUP(x509_cleanup) X509 *ca = find_signer(cert, ca_pem, now_ns, &signer_until);
    ERR_clear_error();
    if (!ca)
        return error_set(err, ERROR_INVALID,
                         "no valid CA certificate is there that has signed the certificate");
    *ret_until_ns = MIN(until, signer_until);
    return 0;
}

char *cert_valid_ones(struct arena *a, const char *pem, size_t max, int64_t now_ns)
{
    CLEANUP(bio_cleanup) BIO *bio = BIO_new_mem_buf(pem, -1);
    CLEANUP(bio_cleanup) BIO *out = BIO_new(BIO_s_mem());
    unsigned char seen[8][EVP_MAX_MD_SIZE];
    size_t count = 0;
    max = MIN(max, COUNT_OF(seen));
    for (X509 *cert;
         bio && out && count < max && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL;) {
        int64_t until = 0;
        unsigned len = 0;
        bool wanted = phase_of(cert, now_ns, &until) == 0 &&
                      X509_digest(cert, EVP_sha256(), seen[count], &len) == 1;
        for (size_t i = 0; i < count && wanted; i++)
            wanted = memcmp(seen[i], seen[count], len) != 0;
        if (wanted && PEM_write_bio_X509(out, cert) == 1)
            count++;
        X509_free(cert);
    }
    ERR_clear_error();
    char *data = NULL;
    long len = out ? BIO_get_mem_data(out, &data) : 0;
    return arena_strndup(a, len > 0 ? data : "", (size_t)MAX(len, 0L));
}
