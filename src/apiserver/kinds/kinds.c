#include "apiserver/kinds/kinds.h"

static const struct api_kind end = { .resource = { .plural = NULL } };

const struct api_kind *const api_builtin_kinds[] = {
    &kind_config_map,
    &kind_controller_revision,
    &kind_crd,
    &kind_csi_driver,
    &kind_deployment,
    &kind_endpoint_slice,
    &kind_endpoints,
    &kind_event,
    &kind_job,
    &kind_lease,
    &kind_namespace,
    &kind_node,
    &kind_persistent_volume,
    &kind_pod,
    &kind_pvc,
    &kind_replica_set,
    &kind_role,
    &kind_role_binding,
    &kind_secret,
    &kind_service,
    &kind_service_account,
    &kind_stateful_set,
    &kind_storage_class,
    &kind_validating_webhook,
    &end,
};
