/* The built-in kinds: one file each, one table of them in kinds.c. */
#pragma once

#include "apiserver/kinds/cells.h"
#include "apiserver/strategy.h"

extern const struct api_kind kind_config_map, kind_controller_revision, kind_crd, kind_csi_driver,
    kind_deployment, kind_endpoint_slice, kind_endpoints, kind_event, kind_job, kind_lease,
    kind_namespace, kind_node, kind_persistent_volume, kind_pod, kind_pvc, kind_replica_set,
    kind_role, kind_role_binding, kind_secret, kind_service, kind_service_account,
    kind_stateful_set, kind_storage_class, kind_validating_webhook;

/* Columns that most kinds begin or end with. */
#define COLUMN_NAME                                                                                \
    {                                                                                              \
        "Name", "string", "name", 0, NAME_DESCRIPTION                                              \
    }
#define COLUMN_AGE                                                                                 \
    {                                                                                              \
        "Age", "string", "", 0, AGE_DESCRIPTION                                                    \
    }
