/* What the commands share that say what a cluster would do (`kaito validate`, `plan`, `estimate`):
 * how its operator is started, and what there is in it. Nothing is asked of a cluster unless
 * --kubeconfig names one. */
#pragma once

#include "base/flags.h"
#include "operator/settings.h"

struct offline_flags {
    const char *cloud;
    const char *node_provisioner;
    const char *feature_gates;
    const char *node_classes;
    const char *release_namespace;
    const char *image_family;
    const char *estimator;
    const char *mirror_storage_class;
    const char *streaming_service_account;
    const char *objects;
    const char *kubeconfig;
    const char *context;
    const char *ns; /* of objects that name none */
};

/* Environment variables that the operator reads are defaults here, too. */
struct offline_flags offline_flags_default(void);

/* Rows of a flag table. */
#define OFFLINE_FLAG_ROWS(f)                                                                       \
    { "cloud", FLAG_STRING, &(f).cloud, "NAME", "azure, aws or arc; $CLOUD_PROVIDER", 0 },         \
        { "node-provisioner",                                                                      \
          FLAG_STRING,                                                                             \
          &(f).node_provisioner,                                                                   \
          "NAME",                                                                                  \
          "how the operator gets nodes: azure-gpu-provisioner, karpenter or byo",                  \
          0 },                                                                                     \
        { "feature-gates",                                                                         \
          FLAG_STRING,                                                                             \
          &(f).feature_gates,                                                                      \
          "GATE=BOOL,...",                                                                         \
          "feature gates of the operator",                                                         \
          0 },                                                                                     \
        { "karpenter-node-classes",                                                                \
          FLAG_STRING,                                                                             \
          &(f).node_classes,                                                                       \
          "JSON",                                                                                  \
          "node classes of the operator: [{\"name\", \"default\", \"spec\"}]",                     \
          0 },                                                                                     \
        { "release-namespace",                                                                     \
          FLAG_STRING,                                                                             \
          &(f).release_namespace,                                                                  \
          "NAME",                                                                                  \
          "namespace of the operator; $RELEASE_NAMESPACE",                                         \
          0 },                                                                                     \
        { "default-node-image-family", FLAG_STRING,                                                \
          &(f).image_family,           "NAME",                                                     \
          "ubuntu or azurelinux",      0 },                                                        \
        { "estimator", FLAG_STRING, &(f).estimator, "MODE", "reference or precise", 0 },           \
        { "default-model-mirror-storage-class",                                                    \
          FLAG_STRING,                                                                             \
          &(f).mirror_storage_class,                                                               \
          "NAME",                                                                                  \
          "storage class of model mirrors",                                                        \
          0 },                                                                                     \
        { "default-streaming-service-account",                                                     \
          FLAG_STRING,                                                                             \
          &(f).streaming_service_account,                                                          \
          "NAME",                                                                                  \
          "service account of pods that stream",                                                   \
          0 },                                                                                     \
        { "objects",                                                                               \
          FLAG_STRING,                                                                             \
          &(f).objects,                                                                            \
          "FILE",                                                                                  \
          "YAML of Nodes, ConfigMaps, Secrets, StorageClasses and CSIDrivers of the cluster",      \
          0 },                                                                                     \
        { "kubeconfig",                                                                            \
          FLAG_STRING,                                                                             \
          &(f).kubeconfig,                                                                         \
          "FILE",                                                                                  \
          "read these from this cluster instead; only when given",                                 \
          0 },                                                                                     \
        { "context", FLAG_STRING, &(f).context, "NAME", "context of the kubeconfig", 0 },          \
    {                                                                                              \
        "namespace", FLAG_STRING, &(f).ns, "NAME", "namespace of objects that name none", 'n'      \
    }

/* What the flags say about the operator; what they do not is as in KAITO's chart. Strings are
 * borrowed from the flags. -ERROR_INVALID names the flag. */
int offline_settings(struct arena *a, const struct offline_flags *f, struct operator_settings *ret,
                     struct error **err);

/* What there is in the cluster: of --kubeconfig, else of --objects, else nothing. Each is an array,
 * `all` has the objects of the others and of other kinds; objects in two arrays are two values.
 * Without a kubeconfig `all` is as it stands in the file. */
struct offline_objects {
    struct json *all;
    struct json *nodes, *config_maps, *secrets, *storage_classes, *csi_drivers;
};
int offline_objects(struct arena *a, const struct offline_flags *f, struct offline_objects *ret,
                    struct error **err);

/* The objects of a YAML or JSON file ("-": standard input), those of Lists one by one, with a
 * namespace where they need one. */
int offline_read(struct arena *a, const char *file, const char *ns, struct json **ret,
                 struct error **err);

/* A client of the cluster of --kubeconfig; *ret is NULL when there is none. Free the transport
 * behind the client. */
struct kube_client;
struct kube_transport;
int offline_connect(const struct offline_flags *f, struct kube_transport **ret_transport,
                    struct kube_client **ret, struct error **err);

/* Prints as -o says: "json", "yaml". */
int offline_check_output(const char *output, struct error **err); /* NULL and "" are fine: text */
void offline_print(const struct json *v, const char *output);
