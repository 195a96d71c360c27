#include "unit.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "http/crypto.h"

#define YEAR_2026_NS (INT64_C(1767225600) * NS_PER_S)
#define DAY_NS (INT64_C(86400) * NS_PER_S)

/* FIPS 180-2, appendix B. */
static void hashes_the_standard_vectors(void **state)
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    AUTO_FREE char *block = mem_alloc(1000);
    memset(block, 'a', 1000);
    struct sha256 *h = sha256_new();
    for (int i = 0; i < 1000; i++)
        sha256_update(h, block, 1000);
    sha256_final_hex(h, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* RFC 4648, section 10. */
static const char *const base64_vectors[][2] = {
    { "", "" },
    { "f", "Zg==" },
    { "fo", "Zm8=" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" },
    { "fooba", "Zm9vYmE=" },
    { "foobar", "Zm9vYmFy" },
};

static void base64_both_ways(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(base64_vectors); i++) {
        const char *plain = base64_vectors[i][0], *coded = base64_vectors[i][1];
        assert_string_equal(base64_encode(a, plain, strlen(plain)), coded);
        char *out;
        size_t len;
        assert_int_equal(base64_decode(a, coded, strlen(coded), &out, &len), 0);
        assert_int_equal(len, strlen(plain));
        assert_string_equal(out, plain);
    }
    unsigned char all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)i;
    const char *coded = base64_encode(a, all, sizeof all);
    char *out;
    size_t len;
    assert_int_equal(base64_decode(a, coded, strlen(coded), &out, &len), 0);
    assert_int_equal(len, sizeof all);
    assert_memory_equal(out, all, sizeof all);
}

static void base64_refuses(void **state)
{
    static const char *const bad[] = { "Z",    "Zg=",  "Zg",       "Zg==\n", " Zg==",
                                       "Z===", "====", "Zm9v=g==", "Zm-_",   "Zg==Zg==" };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char *out;
        size_t len;
        if (base64_decode(a, bad[i], strlen(bad[i]), &out, &len) != -ERROR_INVALID)
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void compares_whole_strings(void **state)
{
    assert_true(crypto_equal("", ""));
    assert_true(crypto_equal("token", "token"));
    assert_false(crypto_equal("token", "tokem"));
    assert_false(crypto_equal("token", "toke"));
    assert_false(crypto_equal("toke", "token"));
    assert_false(crypto_equal("", "token"));
    assert_false(crypto_equal("token", ""));
}

static X509 *parse(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static struct key_pair make_ca(void)
{
    struct cert_request request = {
        .common_name = "kaito-ca",
        .not_before_ns = YEAR_2026_NS,
        .not_after_ns = YEAR_2026_NS + 3650 * DAY_NS,
        .is_ca = true,
    };
    struct key_pair ca = { 0 };
    assert_int_equal(cert_make(&request, NULL, &ca, NULL), 0);
    return ca;
}

static void makes_a_ca(void **state)
{
    struct key_pair ca = make_ca();
    X509 *cert = parse(ca.cert_pem);
    assert_int_equal(X509_check_ca(cert), 1);
    assert_int_equal(X509_verify(cert, X509_get0_pubkey(cert)), 1);
    assert_int_equal(X509_get_key_usage(cert),
                     KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(cert)), 16);
    assert_non_null(strstr(ca.key_pem, "BEGIN PRIVATE KEY"));
    X509_free(cert);
    key_pair_done(&ca);
    assert_null(ca.cert_pem);
}

static void signs_leaves(void **state)
{
    struct key_pair ca = make_ca();
    const char *dns[] = { "localhost", "kubernetes.default.svc", NULL };
    const char *ip[] = { "127.0.0.1", "::1", NULL };
    struct cert_request request = {
        .common_name = "kube-apiserver",
        .organization = "system:masters",
        .dns_names = dns,
        .ip_addresses = ip,
        .not_before_ns = YEAR_2026_NS,
        .not_after_ns = YEAR_2026_NS + 365 * DAY_NS,
    };
    struct key_pair leaf = { 0 };
    assert_int_equal(cert_make(&request, &ca, &leaf, NULL), 0);

    X509 *issuer = parse(ca.cert_pem);
    X509 *cert = parse(leaf.cert_pem);
    assert_int_equal(X509_check_issued(issuer, cert), X509_V_OK);
    assert_int_equal(X509_verify(cert, X509_get0_pubkey(issuer)), 1);
    assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "kubernetes.default.svc", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "example.com", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.2", 0), 0);
    assert_int_equal(X509_check_ca(cert), 0);
    assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
    char subject[128];
    X509_NAME_oneline(X509_get_subject_name(cert), subject, sizeof subject);
    assert_string_equal(subject, "/O=system:masters/CN=kube-apiserver");

    int64_t end;
    assert_int_equal(cert_not_after(leaf.cert_pem, &end, NULL), 0);
    assert_int_equal(end, request.not_after_ns);

    request.client = true;
    struct key_pair client = { 0 };
    assert_int_equal(cert_make(&request, &ca, &client, NULL), 0);
    X509 *client_cert = parse(client.cert_pem);
    assert_int_equal(X509_get_extended_key_usage(client_cert), XKU_SSL_CLIENT);
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(cert),
                                          X509_get0_serialNumber(client_cert)),
                         0);

    X509_free(client_cert);
    X509_free(cert);
    X509_free(issuer);
    key_pair_done(&client);
    key_pair_done(&leaf);
    key_pair_done(&ca);
}

static void says_what_is_wrong(void **state)
{
    struct error *err = NULL;
    struct key_pair ca = make_ca(), other = make_ca(), out = { 0 };
    const char *ip[] = { "300.1.1.1", NULL };
    struct cert_request request = { .common_name = "x",
                                    .ip_addresses = ip,
                                    .not_after_ns = YEAR_2026_NS };
    assert_error(cert_make(&request, &ca, &out, &err), err, ERROR_INVALID,
                 "300.1.1.1 is not an IP address");

    request.ip_addresses = NULL;
    struct key_pair mixed = { ca.cert_pem, other.key_pem };
    assert_error(cert_make(&request, &mixed, &out, &err), err, ERROR_INVALID,
                 "key and certificate of the issuer");
    struct key_pair broken = { (char *)(uintptr_t) "no PEM", other.key_pem };
    assert_error(cert_make(&request, &broken, &out, &err), err, ERROR_INVALID,
                 "certificate of the issuer");
    assert_null(out.cert_pem);

    int64_t end;
    assert_error(cert_not_after("", &end, &err), err, ERROR_INVALID, "certificate");
    key_pair_done(&ca);
    key_pair_done(&other);
}

UNIT_TESTS(TEST(hashes_the_standard_vectors), TEST(base64_both_ways), TEST(base64_refuses),
           TEST(compares_whole_strings), TEST(makes_a_ca), TEST(signs_leaves),
           TEST(says_what_is_wrong))
