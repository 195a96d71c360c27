#include "apiserver/kinds/kinds.h"

static const struct api_kind end = { .resource = { .plural = NULL } };

const struct api_kind *const api_builtin_kinds[] = {
    &kind_config_map,
    &kind_controller_revision,
    &kind_crd,
    &kind_endpoints,
    &kind_event,
    &kind_lease,
    &kind_namespace,
    &kind_node,
    &kind_pod,
    &kind_pvc,
    &kind_secret,
    &kind_service,
    &kind_service_account,
    &kind_stateful_set,
    &kind_validating_webhook,
    &end,
};
