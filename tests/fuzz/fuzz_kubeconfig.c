/* A kubeconfig file is read or refused with a reason; so is the answer of a credential plugin. */
#include "fuzz.h"
#include "kube/config.h"
#include "kube/credentials.h"

static bool names_a_file(const uint8_t *data, size_t size)
{
    /* A file of this machine, a device even: nothing to be read here. */
    return memmem(data, size, "certificate-authority:", 22) ||
           memmem(data, size, "client-certificate:", 19) || memmem(data, size, "client-key:", 11) ||
           memmem(data, size, "\\", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    AUTO_ARENA a = arena_new();
    struct kube_credential credential;
    int64_t expires;
    CLEANUP(error_cleanup) struct error *plugin_err = NULL, *err = NULL;
    int r = kube_exec_parse(a, text, size, "client.authentication.k8s.io/v1", &credential, &expires,
                            &plugin_err);
    must(r < 0 ? *error_message(plugin_err)
               : credential.authorization || (credential.cert_pem && credential.key_pem));

    if (names_a_file(data, size))
        return 0;
    CLEANUP(kube_config_cleanup) struct kube_config *c = NULL;
    r = kube_config_parse(text, size, "/nonexistent", NULL, &c, &err);
    if (r < 0) {
        must(*error_message(err) && !c);
        return 0;
    }
    must(strncmp(c->server, "http", 4) == 0 && *c->ns);
    must(!c->cert_pem == !c->key_pem);
    must(!c->exec_argv || c->exec_argv[0]);
    return 0;
}
