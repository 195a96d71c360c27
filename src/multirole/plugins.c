#include "multirole/decide.h"

/* Each profile picks among the pods of its role. */
static void add_profile(struct buf *out, enum role role)
{
    buf_printf(out,
               "  - name: %s\n"
               "    plugins:\n"
               "      - pluginRef: %s-filter\n"
               "      - pluginRef: load-aware-scorer\n"
               "        weight: 10\n"
               "      - pluginRef: kv-cache-utilization-scorer\n"
               "        weight: 5\n"
               "      - pluginRef: max-score-picker\n",
               role_name(role), role_name(role));
}

static void add_filter(struct buf *out, enum role role)
{
    buf_printf(out,
               "  - type: by-label-selector\n"
               "    name: %s-filter\n"
               "    parameters:\n"
               "      matchLabels:\n"
               "        " WORKSPACE_ROLE ": %s\n",
               role_name(role), role_name(role));
}

const char *multi_role_plugins(struct arena *a)
{
    AUTO_BUF out = BUF_INIT(16 * KIB);
    buf_puts(&out, "apiVersion: inference.networking.x-k8s.io/v1alpha1\n"
                   "kind: EndpointPickerConfig\n"
                   "plugins:\n"
                   "  - type: disagg-headers-handler\n"
                   "  - type: approx-prefix-cache-producer\n"
                   "    parameters:\n"
                   "      blockSizeTokens: 64\n"
                   "      autoTune: true\n"
                   "  - type: prefix-based-pd-decider\n"
                   "    parameters:\n"
                   "      nonCachedTokens: 4\n"
                   "  - type: disagg-profile-handler\n"
                   "    parameters:\n"
                   "      deciders:\n"
                   "        prefill: prefix-based-pd-decider\n");
    add_filter(&out, ROLE_PREFILL);
    add_filter(&out, ROLE_DECODE);
    buf_puts(&out, "  - type: load-aware-scorer\n"
                   "    parameters:\n"
                   "      threshold: 10\n"
                   "  - type: kv-cache-utilization-scorer\n"
                   "  - type: max-score-picker\n"
                   "schedulingProfiles:\n");
    add_profile(&out, ROLE_PREFILL);
    add_profile(&out, ROLE_DECODE);
    return arena_strndup(a, buf_str(&out), out.len);
}
