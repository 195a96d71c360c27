/* What the operator was started with; the same for all its controllers, the webhook, `kaito plan`
 * and `kaito validate`. Immutable once the controllers run. */
#pragma once

#include "operator/gates.h"
#include "json/json.h"

struct hub;

enum node_provisioner { PROVISIONER_AZURE_GPU, PROVISIONER_KARPENTER, PROVISIONER_BYO };

struct operator_settings {
    enum node_provisioner provisioner;
    struct gates gates;
    const char *cloud;             /* "azure", "aws", "arc"; "" on one box */
    const char *image_registry;    /* PRESET_REGISTRY_NAME; "mcr.microsoft.com/aks/kaito" */
    const char *release_namespace; /* where the operator runs and its chart's ConfigMaps are; ""
                                      when unknown */
    const char *image_family;      /* --default-node-image-family: "ubuntu", "azurelinux" */

    /* Karpenter only. */
    const char *node_class_group, *node_class_kind, *node_class_version, *node_class_resource;
    const struct json
        *node_classes; /* array of {name, default, spec}; NULL with other provisioners */

    const char *mirror_storage_class;      /* --default-model-mirror-storage-class, "" when unset */
    const char *streaming_service_account; /* --default-streaming-service-account, "" when unset */
    const char *mirror_cpu, *mirror_memory; /* of download Jobs: quantities */

    const char *models_dir; /* one box: where weights are; NULL on a cluster */
    bool precise_estimator; /* --estimator=precise */
    struct hub *hub;        /* knows models that the catalogue does not have; NULL: nobody does */
};
