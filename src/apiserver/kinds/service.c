/* Services: address families, cluster addresses, what belongs to which type. Node ports are given
 * out so that objects look as they do in a cluster, but nothing opens them: the client is warned.
 */
#include <inttypes.h>
#include <string.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "apiserver/kinds/service_ip.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

static const char *type_of(const struct json *obj)
{
    const char *type = json_find_str(obj, "spec", "type");
    return type ? type : "";
}

static bool is_headless(const struct json *spec)
{
    const struct json *ips = json_get(spec, "clusterIPs");
    return json_size(ips) == 1 && str_eq(json_string(json_at(ips, 0)), "None");
}

static bool has_node_ports(const struct json *obj)
{
    return STREQ(type_of(obj), "NodePort") || STREQ(type_of(obj), "LoadBalancer");
}

/* Traffic from outside may come to it. */
static bool is_external(const struct json *obj)
{
    return has_node_ports(obj) || (STREQ(type_of(obj), "ClusterIP") &&
                                   json_size(json_find(obj, "spec", "externalIPs")) > 0);
}

/* ---- defaults -------------------------------------------------------------------------------- */

static void default_affinity(struct arena *a, struct json *spec)
{
    const char *affinity = json_find_str(spec, "sessionAffinity");
    if (str_eq(affinity, "None"))
        json_del(spec, "sessionAffinityConfig");
    else if (str_eq(affinity, "ClientIP") &&
             !json_find(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds"))
        json_set(a, spec, "sessionAffinityConfig",
                 OBJ("clientIP", OBJ("timeoutSeconds", INT(10800))));
}

static void default_target_ports(struct arena *a, const struct json *ports)
{
    JSON_FOREACH(it, ports) {
        const struct json *target = json_get(it.value, "targetPort");
        if (json_is_string(target) ? json_string_len(target) == 0 : json_int(target, 0) == 0)
            json_set(a, it.value, "targetPort", json_clone(a, json_get(it.value, "port")));
    }
}

/* clusterIP is the first of clusterIPs; older clients know only the first. */
static void join_cluster_ips(struct arena *a, struct json *spec, const struct json *old)
{
    const char *ip = json_find_str(spec, "clusterIP"),
               *was = json_find_str(old, "spec", "clusterIP");
    const struct json *ips = json_get(spec, "clusterIPs"),
                      *old_ips = json_find(old, "spec", "clusterIPs");
    if (!old) {
        if (!str_empty(ip) && json_size(ips) == 0)
            json_set(a, spec, "clusterIPs", ARR(STR(ip)));
    } else if (str_empty(ip)) {
        if (!str_empty(was) && same_value(ips, old_ips))
            json_del(spec, "clusterIPs");
    } else if (!str_eq(ip, was) && same_value(ips, old_ips)) {
        json_set(a, spec, "clusterIPs", ARR(STR(ip)));
    }
}

static void set_defaults(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    struct json *spec = json_get(obj, "spec");
    default_affinity(a, spec);
    default_target_ports(a, json_get(spec, "ports"));
    if (is_external(obj) && str_empty(json_find_str(spec, "externalTrafficPolicy")))
        json_set_str(a, spec, "externalTrafficPolicy", "Cluster");
    if (!json_get(spec, "internalTrafficPolicy") && !STREQ(type_of(obj), "ExternalName"))
        json_set_str(a, spec, "internalTrafficPolicy", "Cluster");
    if (!STREQ(type_of(obj), "LoadBalancer"))
        return;
    if (!json_get(spec, "allocateLoadBalancerNodePorts"))
        json_set_bool(a, spec, "allocateLoadBalancerNodePorts", true);
    JSON_FOREACH(it, json_find(obj, "status", "loadBalancer", "ingress"))
        if (!str_empty(json_find_str(it.value, "ip")) && !json_get(it.value, "ipMode"))
            json_set_str(a, it.value, "ipMode", "VIP");
}

/* ---- prepare --------------------------------------------------------------------------------- */

static const char *family_of(const char *ip)
{
    return strchr(ip, ':') ? "IPv6" : "IPv4";
}

static void set_families(struct arena *a, struct json *spec)
{
    bool without_selector = is_headless(spec) && json_size(json_get(spec, "selector")) == 0;
    if (!json_get(spec, "ipFamilyPolicy"))
        json_set_str(a, spec, "ipFamilyPolicy",
                     without_selector ? "RequireDualStack" : "SingleStack");
    struct json *families = json_ensure_array(a, spec, "ipFamilies");
    if (!is_headless(spec)) {
        JSON_FOREACH(it, json_get(spec, "clusterIPs"))
            if (it.index >= json_size(families) && is_ip(json_string(it.value)))
                json_append(families, STR(family_of(json_string(it.value))));
    }
    if (json_size(families) == 0)
        json_append(families, STR("IPv4"));
    if (without_selector && json_size(families) == 1 &&
        !str_eq(json_find_str(spec, "ipFamilyPolicy"), "SingleStack"))
        json_append(families,
                    STR(str_eq(json_string(json_at(families, 0)), "IPv4") ? "IPv6" : "IPv4"));
}

/* Fields of the old type that the writer has sent back unchanged go with the type. */
static void drop_old_type(struct json *obj, const struct json *old)
{
    static const char *const addresses[] = { "clusterIP", "clusterIPs", "ipFamilies",
                                             "ipFamilyPolicy" };
    struct json *spec = json_get(obj, "spec");
    const struct json *was = json_get(old, "spec");
    if (STREQ(type_of(obj), "ExternalName") && !STREQ(type_of(old), "ExternalName"))
        for (size_t i = 0; i < COUNT_OF(addresses); i++)
            if (same_value(json_get(spec, addresses[i]), json_get(was, addresses[i])))
                json_del(spec, addresses[i]);
    if (has_node_ports(old) && !has_node_ports(obj))
        JSON_FOREACH(it, json_get(spec, "ports"))
            json_del(it.value, "nodePort");
    if (STREQ(type_of(old), "LoadBalancer") && !STREQ(type_of(obj), "LoadBalancer")) {
        static const char *const of_balancers[] = { "allocateLoadBalancerNodePorts",
                                                    "loadBalancerClass", "healthCheckNodePort" };
        for (size_t i = 0; i < COUNT_OF(of_balancers); i++)
            if (same_value(json_get(spec, of_balancers[i]), json_get(was, of_balancers[i])))
                json_del(spec, of_balancers[i]);
    }
    if (is_external(old) && !is_external(obj) &&
        same_value(json_get(spec, "externalTrafficPolicy"), json_get(was, "externalTrafficPolicy")))
        json_del(spec, "externalTrafficPolicy");
}

/* What was given out and is not mentioned stays. */
static void keep_allocated(struct arena *a, struct json *obj, const struct json *old)
{
    struct json *spec = json_get(obj, "spec");
    const struct json *was = json_get(old, "spec");
    if (STREQ(type_of(obj), "ExternalName") || STREQ(type_of(old), "ExternalName"))
        return;
    if (str_empty(json_find_str(spec, "clusterIP")))
        json_set(a, spec, "clusterIP", json_clone(a, json_get(was, "clusterIP")));
    if (json_size(json_get(spec, "clusterIPs")) == 0)
        json_set(a, spec, "clusterIPs", json_clone(a, json_get(was, "clusterIPs")));
    if (!has_node_ports(obj) || !has_node_ports(old))
        return;
    JSON_FOREACH(it, json_get(spec, "ports")) {
        JSON_FOREACH(port, json_get(was, "ports"))
            if (!json_get(it.value, "nodePort") &&
                same_value(json_get(it.value, "port"), json_get(port.value, "port")) &&
                same_value(json_get(it.value, "protocol"), json_get(port.value, "protocol")))
                json_set(a, it.value, "nodePort", json_clone(a, json_get(port.value, "nodePort")));
    }
}

static void warn_ignored(struct strategy_context *x, const struct json *obj)
{
    struct arena *a = x->a;
    const struct json *spec = json_get(obj, "spec");
    const bool external = STREQ(type_of(obj), "ExternalName"),
               has_ips = json_size(json_get(spec, "externalIPs")) > 0;
    static const char hints[] = "service.kubernetes.io/topology-aware-hints";
    if (meta_annotation(obj, hints))
        json_append(x->warnings, STRF("annotation %s is deprecated, please use "
                                      "service.kubernetes.io/topology-mode instead",
                                      hints));
    if (is_headless(spec)) {
        if (!str_empty(json_find_str(spec, "loadBalancerIP")))
            json_append(x->warnings, STR("spec.loadBalancerIP is ignored for headless services"));
        if (has_ips)
            json_append(x->warnings, STR("spec.externalIPs is ignored for headless services"));
        if (!str_eq(json_find_str(spec, "sessionAffinity"), "None"))
            json_append(x->warnings, STR("spec.SessionAffinity is ignored for headless services"));
    }
    if (external && has_ips)
        json_append(x->warnings,
                    STR("spec.externalIPs is ignored when spec.type is \"ExternalName\""));
    if (!external && !str_empty(json_find_str(spec, "externalName")))
        json_append(x->warnings,
                    STR("spec.externalName is ignored when spec.type is not \"ExternalName\""));
    if (str_eq(json_find_str(spec, "trafficDistribution"), "PreferClose"))
        json_append(
            x->warnings,
            STR("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""));
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    struct arena *a = x->a;
    if (STREQ(x->subresource, "status"))
        return;
    warn_ignored(x, obj);
    if (x->old && STREQ(type_of(x->old), type_of(obj)))
        return;
    if (STREQ(type_of(obj), "NodePort"))
        json_append(
            x->warnings,
            STR("spec.type: node ports are not opened by this server; the Service is reached by its cluster IP"));
    else if (STREQ(type_of(obj), "LoadBalancer"))
        json_append(
            x->warnings,
            STR("spec.type: there is no load balancer here; the Service is reached by its cluster IP"));
}

static void prepare(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    struct json *spec = json_get(obj, "spec");
    if (STREQ(x->subresource, "status"))
        return;
    if (!x->old)
        json_set(a, obj, "status", OBJ("loadBalancer", EMPTY_OBJ()));
    join_cluster_ips(a, spec, x->old);
    if (x->old) {
        keep_allocated(a, obj, x->old);
        drop_old_type(obj, x->old);
        if (!STREQ(type_of(obj), "LoadBalancer"))
            json_set(a, obj, "status", OBJ("loadBalancer", EMPTY_OBJ()));
    }
    if (!STREQ(type_of(obj), "ExternalName"))
        set_families(a, spec);
}

/* ---- validation ------------------------------------------------------------------------------ */

static void check_service_port(const struct json *port, bool needs_name, struct map *names,
                               const struct field_path *p, struct field_errors *errors)
{
    static char present;
    const char *name = json_find_str(port, "name"), *protocol = json_find_str(port, "appProtocol");
    if (needs_name && str_empty(name)) {
        field_required(errors, FIELD(p, "name"), NO_DETAIL);
    } else if (!str_empty(name)) {
        check_text(name, kube_validate_dns1123_label, FIELD(p, "name"), errors);
        if (map_has(names, name))
            field_duplicate_str(errors, FIELD(p, "name"), name);
        map_set(names, name, &present);
    }
    check_port_number(json_get(port, "port"), FIELD(p, "port"), errors);
    check_protocol(json_find_str(port, "protocol"), FIELD(p, "protocol"), errors);
    check_port(json_get(port, "targetPort"), FIELD(p, "targetPort"), errors);
    if (protocol)
        check_text(protocol, kube_validate_label_key, FIELD(p, "appProtocol"), errors);
}

static void check_ports(const struct json *spec, const struct field_path *p,
                        struct field_errors *errors)
{
    const struct json *ports = json_get(spec, "ports");
    AUTO_MAP names = map_new(NULL);
    JSON_FOREACH(it, ports)
        check_service_port(it.value, json_size(ports) > 1, names, FIELD_AT(p, it.index), errors);
}

static bool same_protocol(const struct json *x, const struct json *y)
{
    return same_value(json_get(x, "protocol"), json_get(y, "protocol"));
}

static void check_repeated_ports(const struct json *obj, const struct field_path *path,
                                 struct field_errors *errors)
{
    const struct json *ports = json_find(obj, "spec", "ports");
    if (STREQ(type_of(obj), "ClusterIP"))
        JSON_FOREACH(it, ports)
            if (json_find_int(it.value, 0, "nodePort"))
                field_forbidden(errors, FIELD(FIELD_AT(path, it.index), "nodePort"),
                                "may not be used when `type` is 'ClusterIP'");
    JSON_FOREACH(it, ports) {
        int64_t node_port = json_find_int(it.value, 0, "nodePort");
        JSON_FOREACH(before, ports) {
            if (before.index >= it.index)
                break;
            if (node_port && node_port == json_find_int(before.value, 0, "nodePort") &&
                same_protocol(it.value, before.value)) {
                field_duplicate(errors, FIELD(FIELD_AT(path, it.index), "nodePort"),
                                json_get(it.value, "nodePort"));
                break;
            }
        }
    }
    JSON_FOREACH(it, ports) {
        JSON_FOREACH(before, ports) {
            if (before.index >= it.index)
                break;
            if (!same_value(json_get(it.value, "port"), json_get(before.value, "port")) ||
                !same_protocol(it.value, before.value))
                continue;
            /* shown as the API server's own struct */
            field_errors_add(
                errors, "FieldValueDuplicate",
                field_path_text(errors->arena, FIELD_AT(path, it.index)),
                "Duplicate value: {\"Name\":\"\",\"Protocol\":\"%s\",\"AppProtocol\":null,\"Port\":%" PRId64
                ",\"TargetPort\":0,\"NodePort\":0}",
                json_find_str(it.value, "protocol"), json_find_int(it.value, 0, "port"));
            break;
        }
    }
}

static void check_type(const struct json *obj, const struct field_path *p,
                       struct field_errors *errors)
{
    const struct json *spec = json_get(obj, "spec");
    const char *type = type_of(obj);
    if (has_node_ports(obj) && is_headless(spec))
        field_invalid_str(errors, FIELD_AT(FIELD(p, "clusterIPs"), 0), "None",
                          "may not be set to 'None' for %s services", type);
    if (!STREQ(type, "ExternalName"))
        return;
    static const char *const not_here[] = { "clusterIPs", "ipFamilies", "ipFamilyPolicy" };
    for (size_t i = 0; i < COUNT_OF(not_here); i++)
        if (!json_is_null(json_get(spec, not_here[i])))
            field_forbidden(errors, FIELD(p, not_here[i]),
                            "may not be set for ExternalName services");
    const char *name = json_find_str(spec, "externalName");
    size_t len = name ? strlen(name) : 0;
    if (len && name[len - 1] == '.')
        len--;
    if (!len)
        field_required(errors, FIELD(p, "externalName"), NO_DETAIL);
    else
        check_text(arena_strndup(errors->arena, name, len), kube_validate_dns1123_subdomain,
                   FIELD(p, "externalName"), errors);
}

static void check_affinity(const struct json *spec, const struct field_path *p,
                           struct field_errors *errors)
{
    static const char *const known[] = { "ClientIP", "None", NULL };
    const char *affinity = json_find_str(spec, "sessionAffinity");
    check_enum(affinity, known, FIELD(p, "sessionAffinity"), errors);
    if (!str_eq(affinity, "ClientIP"))
        return;
    const struct json *timeout =
        json_find(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds");
    int64_t seconds = json_int(timeout, 0);
    if (seconds <= 0 || seconds > 86400)
        field_invalid(errors,
                      FIELD(FIELD(FIELD(p, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds"),
                      timeout, "must be greater than 0 and less than 86400");
}

static void check_families(const struct json *spec, const struct field_path *p,
                           struct field_errors *errors)
{
    static const char *const families[] = { "IPv4", "IPv6", NULL };
    static const char *const policies[] = { "PreferDualStack", "RequireDualStack", "SingleStack",
                                            NULL };
    const struct json *list = json_get(spec, "ipFamilies");
    const char *policy = json_find_str(spec, "ipFamilyPolicy");
    JSON_FOREACH(it, list) {
        const char *family = json_string(it.value);
        const struct field_path *at = FIELD_AT(FIELD(p, "ipFamilies"), it.index);
        if (!is_one_of(family, families))
            field_not_supported_str(errors, at, family, families);
        JSON_FOREACH(before, list) {
            if (before.index >= it.index)
                break;
            if (str_eq(json_string(before.value), family)) {
                field_duplicate_str(errors, at, family);
                break;
            }
        }
    }
    if (policy && !is_one_of(policy, policies))
        field_not_supported_str(errors, FIELD(p, "ipFamilyPolicy"), policy, policies);
}

/* Addresses must be usable here: one family, IPv4, unless nothing is allocated. */
static void check_stack(const struct json *obj, const struct field_path *p,
                        struct field_errors *errors)
{
    const struct json *spec = json_get(obj, "spec");
    if (is_headless(spec) && json_size(json_get(spec, "selector")) == 0)
        return;
    if (str_eq(json_find_str(spec, "ipFamilyPolicy"), "RequireDualStack"))
        field_invalid_str(errors, FIELD(p, "ipFamilyPolicy"), "RequireDualStack",
                          "this cluster is not configured for dual-stack services");
    JSON_FOREACH(it, json_get(spec, "ipFamilies"))
        if (str_eq(json_string(it.value), "IPv6"))
            field_invalid_str(errors, FIELD_AT(FIELD(p, "ipFamilies"), it.index), "IPv6",
                              "not configured on this cluster");
}

static void check_cluster_ips(const struct json *obj, const struct field_path *p,
                              struct field_errors *errors)
{
    const struct json *spec = json_get(obj, "spec"), *ips = json_get(spec, "clusterIPs");
    const char *ip = json_find_str(spec, "clusterIP");
    const struct field_path *at = FIELD(p, "clusterIPs");
    if (STREQ(type_of(obj), "ExternalName"))
        return;
    if (str_empty(ip) && json_size(ips) > 0)
        field_invalid(errors, at, ips, "must be empty when `clusterIP` is not specified");
    else if (!str_empty(ip) && !str_eq(json_string(json_at(ips, 0)), ip))
        field_invalid(errors, at, ips, "first value must match `clusterIP`");
    check_families(spec, p, errors);
    size_t before = errors->count;
    JSON_FOREACH(it, ips) {
        const char *one = json_string(it.value);
        if (it.index == 0 && str_eq(one, "None")) {
            if (json_size(ips) > 1)
                field_invalid(errors, at, ips, "'None' must be the first and only value");
            continue;
        }
        check_ip(one, FIELD_AT(at, it.index), errors);
    }
    if (json_size(ips) > 2)
        field_invalid(errors, at, ips, "may only hold up to 2 values");
    if (errors->count == before && json_size(ips) > 1)
        field_invalid(errors, at, ips, "may specify no more than one IP for each IP family");
    check_stack(obj, p, errors);
}

static void check_traffic(const struct json *obj, const struct field_path *p,
                          struct field_errors *errors)
{
    static const char *const policies[] = { "Cluster", "Local", NULL };
    static const char *const distributions[] = { "PreferClose", "PreferSameZone", "PreferSameNode",
                                                 NULL };
    const struct json *spec = json_get(obj, "spec");
    const char *external = json_find_str(spec, "externalTrafficPolicy"),
               *internal = json_find_str(spec, "internalTrafficPolicy");
    const char *distribution = json_find_str(spec, "trafficDistribution");
    if (is_external(obj))
        check_enum(external, policies, FIELD(p, "externalTrafficPolicy"), errors);
    else if (!str_empty(external))
        field_invalid_str(errors, FIELD(p, "externalTrafficPolicy"), external,
                          "may only be set for externally-accessible services");
    const struct json *health = json_get(spec, "healthCheckNodePort");
    bool needs_health = STREQ(type_of(obj), "LoadBalancer") && str_eq(external, "Local");
    if (json_int(health, 0) && !needs_health)
        field_invalid(
            errors, FIELD(p, "healthCheckNodePort"), health,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
    if (internal && !is_one_of(internal, policies))
        field_not_supported_str(errors, FIELD(p, "internalTrafficPolicy"), internal, policies);
    if (distribution && !is_one_of(distribution, distributions))
        field_not_supported_str(errors, FIELD(p, "trafficDistribution"), distribution,
                                distributions);
}

static void check_balancer(const struct json *obj, const struct field_path *p,
                           struct field_errors *errors)
{
    static const char why[] = "may only be used when `type` is 'LoadBalancer'";
    const struct json *spec = json_get(obj, "spec"),
                      *ranges = json_get(spec, "loadBalancerSourceRanges");
    const struct field_path *ranges_path = FIELD(p, "LoadBalancerSourceRanges");
    const bool balanced = STREQ(type_of(obj), "LoadBalancer");
    if (json_size(ranges) > 0 && !balanced)
        field_forbidden(errors, ranges_path, why);
    JSON_FOREACH(it, ranges)
        check_cidr(str_trim(errors->arena, json_string(it.value) ? json_string(it.value) : ""),
                   FIELD_AT(ranges_path, it.index), errors);
    if (balanced) {
        if (json_get(spec, "loadBalancerClass"))
            check_text(json_find_str(spec, "loadBalancerClass"), kube_validate_label_key,
                       FIELD(p, "loadBalancerClass"), errors);
        return;
    }
    if (json_get(spec, "allocateLoadBalancerNodePorts"))
        field_forbidden(errors, FIELD(p, "allocateLoadBalancerNodePorts"), why);
    if (json_get(spec, "loadBalancerClass"))
        field_forbidden(errors, FIELD(p, "loadBalancerClass"), why);
}

static void check_update(const struct json *obj, const struct json *old, const struct field_path *p,
                         struct field_errors *errors)
{
    const struct json *spec = json_get(obj, "spec"), *was = json_get(old, "spec");
    const struct json *ips = json_get(spec, "clusterIPs"), *old_ips = json_get(was, "clusterIPs");
    if (STREQ(type_of(obj), "ExternalName") || STREQ(type_of(old), "ExternalName") ||
        (is_headless(spec) && is_headless(was)))
        return;
    if (json_size(old_ips) > 0 && !same_value(json_at(ips, 0), json_at(old_ips, 0)))
        field_invalid(errors, FIELD_AT(FIELD(p, "clusterIPs"), 0), ips, "may not change once set");
    const struct json *families = json_get(spec, "ipFamilies");
    if (is_headless(spec) == is_headless(was) && !is_headless(spec) &&
        json_size(json_get(was, "ipFamilies")) > 0 &&
        !same_value(json_at(families, 0), json_at(json_get(was, "ipFamilies"), 0)))
        field_invalid(errors, FIELD_AT(FIELD(p, "ipFamilies"), 0), families,
                      "may not change once set");
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    static const char *const types[] = { "ClusterIP", "ExternalName", "LoadBalancer", "NodePort",
                                         NULL };
    const struct json *spec = json_get(obj, "spec");
    const struct field_path *p = FIELD(NULL, "spec");
    if (STREQ(x->subresource, "status"))
        return;
    /* addresses are looked at before anything else, and their faults are told alone */
    size_t before = errors->count;
    check_cluster_ips(obj, p, errors);
    if (errors->count > before)
        return;
    if (x->old)
        check_update(obj, x->old, p, errors);
    if (json_size(json_get(spec, "ports")) == 0 && !is_headless(spec) &&
        !STREQ(type_of(obj), "ExternalName"))
        field_required(errors, FIELD(p, "ports"), NO_DETAIL);
    check_type(obj, p, errors);
    check_ports(spec, FIELD(p, "ports"), errors);
    metadata_validate_labels(json_get(spec, "selector"), FIELD(p, "selector"), errors);
    check_affinity(spec, p, errors);
    JSON_FOREACH(it, json_get(spec, "externalIPs")) {
        const struct field_path *at = FIELD_AT(FIELD(p, "externalIPs"), it.index);
        const size_t so_far = errors->count;
        check_ip(json_string(it.value), at, errors);
        if (errors->count == so_far)
            check_endpoint_ip(json_string(it.value), false, at, errors);
    }
    check_enum(type_of(obj), types, FIELD(p, "type"), errors);
    check_repeated_ports(obj, FIELD(p, "ports"), errors);
    check_balancer(obj, p, errors);
    check_traffic(obj, p, errors);
}

/* ---- table ----------------------------------------------------------------------------------- */

static void append_text(struct buf *out, const char *text)
{
    if (!str_empty(text))
        buf_printf(out, "%s%s", out->len ? "," : "", text);
}

static struct json *external_cell(struct arena *a, const struct json *obj)
{
    AUTO_BUF out = BUF_INIT(64 * KIB);
    if (STREQ(type_of(obj), "ExternalName"))
        return cell_text(a, json_find_str(obj, "spec", "externalName"), "");
    if (STREQ(type_of(obj), "LoadBalancer")) {
        JSON_FOREACH(it, json_find(obj, "status", "loadBalancer", "ingress")) {
            const char *ip = json_find_str(it.value, "ip");
            append_text(&out, str_empty(ip) ? json_find_str(it.value, "hostname") : ip);
        }
    }
    JSON_FOREACH(it, json_find(obj, "spec", "externalIPs"))
        append_text(&out, json_string(it.value));
    return cell_text(a, buf_str(&out),
                     STREQ(type_of(obj), "LoadBalancer") ? "<pending>" : "<none>");
}

static struct json *ports_cell(struct arena *a, const struct json *ports)
{
    AUTO_BUF out = BUF_INIT(64 * KIB);
    JSON_FOREACH(it, ports) {
        int64_t node_port = json_find_int(it.value, 0, "nodePort");
        buf_printf(&out, "%s%" PRId64, out.len ? "," : "", json_find_int(it.value, 0, "port"));
        if (node_port)
            buf_printf(&out, ":%" PRId64, node_port);
        buf_printf(&out, "/%s", json_find_str(it.value, "protocol"));
    }
    return cell_text(a, buf_str(&out), "<none>");
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    const struct json *spec = json_get(obj, "spec");
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, STR(type_of(obj)));
    json_append(cells,
                cell_text(a, json_string(json_at(json_get(spec, "clusterIPs"), 0)), "<none>"));
    json_append(cells, external_cell(a, obj));
    json_append(cells, ports_cell(a, json_get(spec, "ports")));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
    json_append(cells, cell_labels(a, json_get(spec, "selector")));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Type", "string", "", 0, "How the Service can be reached." },
    { "Cluster-IP", "string", "", 0, "Address inside of the cluster." },
    { "External-IP", "string", "", 0, "Addresses outside of the cluster." },
    { "Port(s)", "string", "", 0, "Ports, and the node's after the colon." },
    COLUMN_AGE,
    { "Selector", "string", "", 1, "Labels of the pods behind it." },
};

const struct api_kind kind_service = {
    .resource = { "", "v1", "services", "Service", true },
    .singular = "service",
    .list_kind = "ServiceList",
    .short_names = (const char *const[]){ "svc", NULL },
    .categories = (const char *const[]){ "all", NULL },
    .has_status = true,
    .builtin = true,
    .strategy = &(const struct api_strategy){ .set_defaults = set_defaults,
                                              .prepare = prepare,
                                              .validate = validate,
                                              .warn = warn,
                                              .allocate = service_ip_fill },
    .field_selectors = (const char *const[]){ "spec.clusterIP", "spec.type", NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
