/* The few things wanted from OpenSSL: hashes, base64, certificates. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#define SHA256_HEX_SIZE 65

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_SIZE]);

struct sha256;
struct sha256 *sha256_new(void);
void sha256_update(struct sha256 *h, const void *data, size_t len);
void sha256_final_hex(struct sha256 *h, char out[SHA256_HEX_SIZE]); /* and frees */

char *base64_encode(struct arena *a, const void *data, size_t len);
/* Standard alphabet, padding required, no white space. -ERROR_INVALID. The result is NUL-terminated
 * beyond *ret_len. */
int base64_decode(struct arena *a, const char *text, size_t len, char **ret, size_t *ret_len);

bool crypto_equal(const char *a, const char *b); /* constant time in the length of b */

struct cert_request {
    const char *common_name;
    const char *organization;     /* NULL: none */
    const char *const *dns_names; /* NULL-terminated; NULL: none */
    const char *const *ip_addresses;
    int64_t not_before_ns; /* wall clock, ns since 1970 */
    int64_t not_after_ns;
    bool is_ca;
    bool client; /* extended key usage clientAuth instead of serverAuth */
};

struct key_pair {
    char *cert_pem; /* free both with key_pair_done() */
    char *key_pem;
};

/* An ECDSA P-256 key and a certificate signed by issuer (or by itself when issuer is NULL). */
int cert_make(const struct cert_request *request, const struct key_pair *issuer,
              struct key_pair *ret, struct error **err);
void key_pair_done(struct key_pair *p);
/* End of validity of the first certificate in pem. */
int cert_not_after(const char *pem, int64_t *ret_ns, struct error **err);
/* Whether clients that trust the certificates in ca_pem will talk to a server with this pair under
 * this name at this time. -ERROR_INVALID says why not. *ret_until_ns: until when, as far as pair
 * and signer go. */
int cert_check_server(const struct key_pair *pair, const char *ca_pem, const char *dns_name,
                      int64_t now_ns, int64_t *ret_until_ns, struct error **err);
/* The certificates of pem that are valid now, the first `max` of them, each once. Text that cannot
 * be read ends the list. "" when there is none. */
char *cert_valid_ones(struct arena *a, const char *pem, size_t max, int64_t now_ns);
