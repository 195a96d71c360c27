/* The built-in kinds: one file each, one table of them in kinds.c. */
#pragma once

#include "apiserver/kinds/cells.h"
#include "apiserver/strategy.h"

extern const struct api_kind kind_config_map, kind_controller_revision, kind_crd, kind_endpoints,
    kind_event, kind_lease, kind_namespace, kind_node, kind_pod, kind_pvc, kind_secret,
    kind_service, kind_service_account, kind_stateful_set, kind_validating_webhook;

/* Columns that most kinds begin or end with. */
#define COLUMN_NAME                                                                                \
    {                                                                                              \
        "Name", "string", "name", 0, NAME_DESCRIPTION                                              \
    }
#define COLUMN_AGE                                                                                 \
    {                                                                                              \
        "Age", "string", "", 0, AGE_DESCRIPTION                                                    \
    }
