/* Certificates that change while a server runs. libmicrohttpd knows the one that it was started
 * with; a connection that begins gets the credentials of the day put over it, and holds on to them
 * until it is closed. */
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "http/server_internal.h"

struct tls_identity {
    int refs;
    gnutls_certificate_credentials_t credentials;
};

static gnutls_datum_t datum_of(const char *text)
{
    return (gnutls_datum_t){ .data = (unsigned char *)(uintptr_t)text,
                             .size = (unsigned)strlen(text) };
}

static int identity_new(const char *cert_pem, const char *key_pem, struct tls_identity **ret,
                        struct error **err)
{
    gnutls_certificate_credentials_t credentials;
    int r = gnutls_certificate_allocate_credentials(&credentials);
    if (r < 0)
        return error_set(err, ERROR_INTERNAL, "TLS credentials: %s", gnutls_strerror(r));
    gnutls_datum_t cert = datum_of(cert_pem), key = datum_of(key_pem);
    r = gnutls_certificate_set_x509_key_mem(credentials, &cert, &key, GNUTLS_X509_FMT_PEM);
    if (r < 0) {
        gnutls_certificate_free_credentials(credentials);
        return error_set(err, ERROR_INVALID, "certificate and key: %s", gnutls_strerror(r));
    }
    struct tls_identity *i = NEW0(struct tls_identity);
    i->refs = 1;
    i->credentials = credentials;
    *ret = i;
    return 0;
}

void identity_unref(struct tls_identity *i)
{
    if (!i || __atomic_sub_fetch(&i->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    gnutls_certificate_free_credentials(i->credentials);
    free(i);
}

struct tls_identity *identity_give(struct http_server *s, struct MHD_Connection *connection)
{
    struct tls_identity *i;
    {
        LOCK(&s->mutex);
        i = s->identity;
        if (!i)
            return NULL;
        __atomic_add_fetch(&i->refs, 1, __ATOMIC_RELAXED);
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info && info->tls_session)
        gnutls_credentials_set(info->tls_session, GNUTLS_CRD_CERTIFICATE, i->credentials);
    return i;
}

int http_server_set_certificate(struct http_server *s, const char *cert_pem, const char *key_pem,
                                struct error **err)
{
    struct tls_identity *i = NULL;
    if (!s->tls)
        return error_set(err, ERROR_INVALID, "the server \"%s\" speaks plain HTTP", s->name);
    int r = identity_new(cert_pem, key_pem, &i, err);
    if (r < 0)
        return r;
    struct tls_identity *old;
    {
        LOCK(&s->mutex);
        old = s->identity;
        s->identity = i;
    }
    identity_unref(old);
    return 0;
}
