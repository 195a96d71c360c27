/* Endpoints. */
#include <inttypes.h>
#include <string.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "json/build.h"

static void check_address(const struct json *address, const struct field_path *p,
                          struct field_errors *errors)
{
    const char *ip = json_find_str(address, "ip"), *hostname = json_find_str(address, "hostname");
    const char *node = json_find_str(address, "nodeName");
    check_ip(ip, FIELD(p, "ip"), errors);
    if (!str_empty(hostname))
        check_text(hostname, kube_validate_dns1123_label, FIELD(p, "hostname"), errors);
    if (node)
        check_text(node, kube_validate_dns1123_subdomain, FIELD(p, "nodeName"), errors);
    /* pods of this machine have loopback addresses */
    check_endpoint_ip(ip, true, FIELD(p, "ip"), errors);
}

static void check_endpoint_port(const struct json *port, bool needs_name,
                                const struct field_path *p, struct field_errors *errors)
{
    const char *name = json_find_str(port, "name"), *protocol = json_find_str(port, "appProtocol");
    if (needs_name && str_empty(name))
        field_required(errors, FIELD(p, "name"), NO_DETAIL);
    else if (!str_empty(name))
        check_text(name, kube_validate_dns1123_label, FIELD(p, "name"), errors);
    check_port_number(json_get(port, "port"), FIELD(p, "port"), errors);
    check_protocol(json_find_str(port, "protocol"), FIELD(p, "protocol"), errors);
    if (protocol)
        check_text(protocol, kube_validate_label_key, FIELD(p, "appProtocol"), errors);
}

static void check_subset(const struct json *subset, const struct field_path *p,
                         struct field_errors *errors)
{
    static const char *const lists[] = { "addresses", "notReadyAddresses" };
    const struct json *ports = json_get(subset, "ports");
    if (json_size(json_get(subset, lists[0])) == 0 && json_size(json_get(subset, lists[1])) == 0)
        field_required(errors, p, "must specify `addresses` or `notReadyAddresses`");
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        JSON_FOREACH(it, json_get(subset, lists[i]))
            check_address(it.value, FIELD_AT(FIELD(p, lists[i]), it.index), errors);
    JSON_FOREACH(it, ports)
        check_endpoint_port(it.value, json_size(ports) > 1, FIELD_AT(FIELD(p, "ports"), it.index),
                            errors);
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    const struct json *subsets = json_get(obj, "subsets");
    if (x->old && same_value(subsets, json_get(x->old, "subsets")))
        return;
    JSON_FOREACH(it, subsets)
        check_subset(it.value, FIELD_AT(FIELD(NULL, "subsets"), it.index), errors);
}

/* ---- table ----------------------------------------------------------------------------------- */

#define SHOWN 3

static void append_address(struct buf *out, size_t *count, const char *ip, const struct json *port)
{
    if ((*count)++ >= SHOWN || !ip)
        return;
    bool v6 = strchr(ip, ':') && port;
    buf_printf(out, "%s%s%s%s", *count > 1 ? "," : "", v6 ? "[" : "", ip, v6 ? "]" : "");
    if (port)
        buf_printf(out, ":%" PRId64, json_int(port, 0));
}

static struct json *endpoints_cell(struct arena *a, const struct json *subsets)
{
    AUTO_BUF out = BUF_INIT(64 * KIB);
    size_t count = 0;
    JSON_FOREACH(subset, subsets) {
        const struct json *ports = json_get(subset.value, "ports"),
                          *addresses = json_get(subset.value, "addresses");
        if (json_size(ports) == 0)
            JSON_FOREACH(it, addresses)
                append_address(&out, &count, json_find_str(it.value, "ip"), NULL);
        JSON_FOREACH(port, ports)
            JSON_FOREACH(it, addresses)
                append_address(&out, &count, json_find_str(it.value, "ip"),
                               json_get(port.value, "port"));
    }
    if (json_size(subsets) == 0)
        return STR("<none>");
    return count > SHOWN ? STRF("%s + %zu more...", buf_str(&out), count - SHOWN)
                         : STR(buf_str(&out));
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, endpoints_cell(a, json_get(obj, "subsets")));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Endpoints", "string", "", 0, "Addresses and ports that are ready." },
    COLUMN_AGE,
};

const struct api_kind kind_endpoints = {
    .resource = { "", "v1", "endpoints", "Endpoints", true },
    .singular = "endpoints",
    .list_kind = "EndpointsList",
    .short_names = (const char *const[]){ "ep", NULL },
    .categories = (const char *const[]){ NULL },
    .builtin = true,
    .strategy = &(const struct api_strategy){ .validate = validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
