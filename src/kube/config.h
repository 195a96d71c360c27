/* Where the API server is and who we are: kubeconfig files and the in-cluster service account. */
#pragma once

#include "kube/transport.h"

struct kube_config {
    char *server; /* "https://127.0.0.1:6443" */
    char *ns;     /* namespace of the context, "default" when none */
    char *ca_pem; /* NULL: the system's */
    char *cert_pem;
    char *key_pem;
    char *token;
    char *token_file; /* read again when it changes, at most each 10 s */
    char *username;
    char *password;
    char *tls_server_name;
    char *proxy;
    char **exec_argv; /* credential plugin (client.authentication.k8s.io), NULL-terminated; NULL:
                         none */
    char **exec_env;  /* "NAME=value", NULL-terminated; NULL: none */
    char *exec_api_version;
    char *exec_install_hint;
    bool exec_cluster_info; /* the plugin is told about the cluster */
    bool insecure;
};

/* In this order: `path` if given; $KUBECONFIG (first file of the list that exists; one that names
 * no file is an error, for another cluster must not be used instead); in-cluster when
 * KUBERNETES_SERVICE_HOST is set and the account files exist;
 * ~/.kube/config. `context` NULL: current-context. The error says what was tried, and names file
 * and field. */
int kube_config_load(const char *path, const char *context, struct kube_config **ret,
                     struct error **err);
int kube_config_parse(const char *yaml, size_t len, const char *base_dir, const char *context,
                      struct kube_config **ret, struct error **err);
/* From the account files in dir ("token", "ca.crt", "namespace"). -ERROR_NOT_FOUND when there is no
 * token. */
int kube_config_in_cluster(const char *dir, const char *host, const char *port,
                           struct kube_config **ret, struct error **err);
void kube_config_free(struct kube_config *c);
DEFINE_CLEANUP(struct kube_config *, kube_config_free, kube_config_cleanup)

/* An HTTP transport with these credentials; takes the config over, also on failure. Runs its own
 * http_client. */
int kube_http_transport_new(struct kube_config *config, const char *user_agent,
                            struct kube_transport **ret, struct error **err);
