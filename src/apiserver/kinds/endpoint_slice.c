/* EndpointSlices. */
#include <inttypes.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

#define ENDPOINTS_MAX 1000
#define ADDRESSES_MAX 100
#define PORTS_MAX 20000
#define HINTS_MAX 8
/* More than so many are counted in a table, and not shown. */
#define SHOWN 3

/* What older versions had in the place of nodeName is not written any more. */
static void prepare(struct strategy_context *x, struct json *obj)
{
    if (x->old && same_value(json_get(obj, "endpoints"), json_get(x->old, "endpoints")))
        return;
    JSON_FOREACH(it, json_get(obj, "endpoints"))
        json_del(it.value, "deprecatedTopology");
}

/* ---- validation ------------------------------------------------------------------------------ */

static void check_address(const char *address, const char *type, const struct field_path *list,
                          size_t index, struct field_errors *errors)
{
    const struct field_path *p = FIELD_AT(list, index);
    bool four = str_eq(type, "IPv4");
    if (str_eq(type, "FQDN")) {
        check_text(address, kube_validate_dns1123_subdomain, p, errors);
        return;
    }
    if (!four && !str_eq(type, "IPv6"))
        return;
    if (!is_ip(address)) {
        check_ip(address, p, errors);
        return;
    }
    if (four == (strchr(address, ':') != NULL))
        field_invalid_str(errors, list, address, "must be an %s address", type);
    check_endpoint_ip(address, true, p, errors);
}

static void check_hints(const struct json *hints, const char *member, rule_text *rule,
                        const struct field_path *path, struct field_errors *errors)
{
    const struct json *list = json_get(hints, member);
    const struct field_path *all = FIELD(path, member);
    if (json_size(list) > HINTS_MAX) {
        field_too_many(errors, all, (int64_t)json_size(list), HINTS_MAX);
        return;
    }
    JSON_FOREACH(it, list) {
        const struct field_path *p = FIELD(FIELD_AT(all, it.index), "name");
        const char *name = json_find_str(it.value, "name");
        for (size_t i = 0; i < it.index; i++) {
            if (str_eq(json_find_str(json_at(list, i), "name"), name)) {
                field_duplicate_str(errors, p, name);
                break;
            }
        }
        check_text(name ? name : "", rule, p, errors);
    }
}

static void check_endpoint(const struct json *endpoint, const char *type,
                           const struct field_path *p, struct field_errors *errors)
{
    const struct json *addresses = json_get(endpoint, "addresses"),
                      *hints = json_get(endpoint, "hints");
    const char *node = json_find_str(endpoint, "nodeName"),
               *host = json_find_str(endpoint, "hostname");
    if (json_size(addresses) == 0)
        field_required(errors, FIELD(p, "addresses"), "must contain at least 1 address");
    else if (json_size(addresses) > ADDRESSES_MAX)
        field_too_many(errors, FIELD(p, "addresses"), (int64_t)json_size(addresses), ADDRESSES_MAX);
    JSON_FOREACH(it, addresses)
        check_address(json_string(it.value) ? json_string(it.value) : "", type,
                      FIELD(p, "addresses"), it.index, errors);
    if (node)
        check_text(node, kube_validate_dns1123_subdomain, FIELD(p, "nodeName"), errors);
    if (host)
        check_text(host, kube_validate_dns1123_label, FIELD(p, "hostname"), errors);
    check_hints(hints, "forZones", kube_validate_label_value, FIELD(p, "hints"), errors);
    check_hints(hints, "forNodes", kube_validate_dns1123_subdomain, FIELD(p, "hints"), errors);
}

static void check_ports(const struct json *ports, const struct field_path *path,
                        struct field_errors *errors)
{
    static const char *const protocols[] = { "SCTP", "TCP", "UDP", NULL };
    if (json_size(ports) > PORTS_MAX) {
        field_too_many(errors, path, (int64_t)json_size(ports), PORTS_MAX);
        return;
    }
    JSON_FOREACH(it, ports) {
        const struct field_path *p = FIELD_AT(path, it.index);
        const char *name = json_find_str(it.value, "name"),
                   *protocol = json_find_str(it.value, "protocol"),
                   *app = json_find_str(it.value, "appProtocol");
        if (!str_empty(name))
            check_text(name, kube_validate_dns1123_label, FIELD(p, "name"), errors);
        for (size_t i = 0; i < it.index; i++) {
            if (str_eq(json_find_str(json_at(ports, i), "name"), name)) {
                field_duplicate_str(errors, FIELD(p, "name"), name);
                break;
            }
        }
        if (!is_one_of(protocol, protocols))
            field_not_supported_str(errors, FIELD(p, "protocol"), protocol, protocols);
        if (app)
            check_text(app, kube_validate_label_key, FIELD(p, "appProtocol"), errors);
    }
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    static const char *const types[] = { "FQDN", "IPv4", "IPv6", NULL };
    const struct json *endpoints = json_get(obj, "endpoints");
    const struct field_path *p = FIELD(NULL, "endpoints");
    const char *type = json_find_str(obj, "addressType");
    if (str_empty(type))
        field_required(errors, FIELD(NULL, "addressType"), NO_DETAIL);
    else if (!is_one_of(type, types))
        field_not_supported_str(errors, FIELD(NULL, "addressType"), type, types);
    check_ports(json_get(obj, "ports"), FIELD(NULL, "ports"), errors);
    if (json_size(endpoints) > ENDPOINTS_MAX)
        field_too_many(errors, p, (int64_t)json_size(endpoints), ENDPOINTS_MAX);
    else if (!x->old || !same_value(endpoints, json_get(x->old, "endpoints")))
        JSON_FOREACH(it, endpoints)
            check_endpoint(it.value, type, FIELD_AT(p, it.index), errors);
    if (x->old)
        check_immutable(json_get(obj, "addressType"), json_get(x->old, "addressType"),
                        FIELD(NULL, "addressType"), errors);
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    if (!x->old && str_eq(json_find_str(obj, "addressType"), "FQDN"))
        json_append(x->warnings,
                    json_new_string(x->a, "spec.addressType: FQDN endpoints are deprecated"));
}

/* ---- table ----------------------------------------------------------------------------------- */

static void add(struct buf *out, size_t index, const char *text)
{
    if (index < SHOWN)
        buf_printf(out, "%s%s", index ? "," : "", text);
}

static struct json *counted(struct arena *a, const struct buf *out, size_t count)
{
    if (count > SHOWN)
        return STRF("%s + %zu more...", buf_str(out), count - SHOWN);
    return STR(out->len ? buf_str(out) : "<unset>");
}

static struct json *ports_cell(struct arena *a, const struct json *ports)
{
    AUTO_BUF out = BUF_INIT(64 * KIB);
    JSON_FOREACH(it, ports) {
        const struct json *port = json_get(it.value, "port");
        const char *name = json_find_str(it.value, "name");
        add(&out, it.index,
            port   ? arena_printf(a, "%" PRId64, json_int(port, 0))
            : name ? name
                   : "*");
    }
    return counted(a, &out, json_size(ports));
}

static struct json *endpoints_cell(struct arena *a, const struct json *endpoints)
{
    AUTO_BUF out = BUF_INIT(64 * KIB);
    size_t count = 0;
    JSON_FOREACH(it, endpoints) {
        JSON_FOREACH(address, json_get(it.value, "addresses"))
            add(&out, count++, json_string(address.value) ? json_string(address.value) : "");
    }
    return counted(a, &out, count);
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, cell_text(a, json_find_str(obj, "addressType"), ""));
    json_append(cells, ports_cell(a, json_get(obj, "ports")));
    json_append(cells, endpoints_cell(a, json_get(obj, "endpoints")));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "AddressType", "string", "", 0, "IPv4, IPv6 or FQDN." },
    { "Ports", "string", "", 0, "Ports of the endpoints." },
    { "Endpoints", "string", "", 0, "Addresses of the endpoints." },
    COLUMN_AGE,
};

const struct api_kind kind_endpoint_slice = {
    .resource = { "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true },
    .singular = "endpointslice",
    .list_kind = "EndpointSliceList",
    .short_names = (const char *const[]){ NULL },
    .categories = (const char *const[]){ NULL },
    .has_generation = true,
    .builtin = true,
    .strategy =
        &(const struct api_strategy){ .prepare = prepare, .validate = validate, .warn = warn },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
