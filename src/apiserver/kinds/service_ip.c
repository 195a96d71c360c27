/* What is taken is not kept anywhere: it is what the Services in the store have. With the few that
 * one machine has, looking through them costs less than keeping a second truth in step. */
#include "apiserver/kinds/service_ip.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apiserver/kinds/rules.h"
#include "apiserver/server.h"
#include "base/map.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

#define SERVICES "/services"
#define DEFAULT_CIDR "127.96.0.0/16"
#define NODE_PORT_FIRST 30000
#define NODE_PORT_LAST 32767

struct range {
    uint32_t first; /* of those that can be given out */
    uint32_t count;
};

static char present;

static bool parse_range(const char *cidr, struct range *ret)
{
    char address[INET_ADDRSTRLEN];
    unsigned bits;
    struct in_addr in;
    if (sscanf(cidr, "%15[0-9.]/%u", address, &bits) != 2 || bits > 30 || bits < 8 ||
        inet_pton(AF_INET, address, &in) != 1)
        return false;
    uint32_t size = UINT32_C(1) << (32 - bits);
    ret->first = (ntohl(in.s_addr) & ~(size - 1)) + 1;
    ret->count = size - 2;
    return true;
}

static void ip_text(uint32_t ip, char out[INET_ADDRSTRLEN])
{
    struct in_addr in = { htonl(ip) };
    inet_ntop(AF_INET, &in, out, INET_ADDRSTRLEN);
}

/* Addresses and "port 30080" of all other Services. */
static struct map *find_taken(struct strategy_context *x, const struct json *obj)
{
    struct map *taken = map_new(NULL);
    struct store_list all;
    store_peek_list(x->store, SERVICES, NULL, &all);
    for (size_t i = 0; i < all.count; i++) {
        if (STREQ(all.items[i]->name, meta_name(obj)) &&
            STREQ(all.items[i]->ns, meta_namespace(obj)))
            continue;
        const struct json *spec = json_get(kube_object_parse(x->a, all.items[i]), "spec");
        JSON_FOREACH(it, json_get(spec, "clusterIPs"))
            map_set(taken, json_string(it.value), &present);
        JSON_FOREACH(it, json_get(spec, "ports")) {
            int64_t port = json_find_int(it.value, 0, "nodePort");
            if (port)
                map_set(taken, arena_printf(x->a, "port %" PRId64, port), &present);
        }
    }
    store_list_done(&all);
    return taken;
}

static void check_asked(const struct map *taken, const struct range *range, const char *ip,
                        struct field_errors *errors)
{
    struct in_addr in;
    const char *why = NULL;
    if (inet_pton(AF_INET, ip, &in) != 1 || ntohl(in.s_addr) - range->first >= range->count)
        why = "the provided network does not match the current range";
    else if (map_has(taken, ip))
        why = "provided IP is already allocated";
    if (why)
        field_invalid_raw(errors, FIELD(FIELD(NULL, "spec"), "clusterIPs"),
                          arena_printf(errors->arena, "[\"%s\"]", ip),
                          "failed to allocate IP %s: %s", ip, why);
}

static void check_port_asked(const struct map *taken, int64_t port, size_t index,
                             struct field_errors *errors)
{
    const struct field_path *ports = FIELD(FIELD(NULL, "spec"), "ports");
    const struct field_path *p = FIELD(FIELD_AT(ports, index), "nodePort");
    if (map_has(taken, arena_printf(errors->arena, "port %" PRId64, port)))
        field_invalid_int(errors, p, port, "provided port is already allocated");
    else if (port < NODE_PORT_FIRST || port > NODE_PORT_LAST)
        field_invalid_int(
            errors, p, port,
            "provided port is not in the valid range. The range of valid ports is %d-%d",
            NODE_PORT_FIRST, NODE_PORT_LAST);
}

/* From a random start, so that a new Service rarely gets the address that an old one just had. */
static bool take_free(const struct map *taken, const struct range *range, char out[INET_ADDRSTRLEN])
{
    /* the low addresses are for those who ask for one */
    uint32_t offset = MIN(MAX((uint32_t)16, range->count / 16), (uint32_t)256);
    uint32_t room = range->count > 2 * offset ? range->count - offset : range->count;
    uint32_t start = (uint32_t)(rand_u64() % room);
    for (uint32_t i = 0; i < range->count; i++) {
        uint32_t at = (range->count - room + start + i) % range->count;
        ip_text(range->first + at, out);
        if (!map_has(taken, out))
            return true;
    }
    return false;
}

static int fill_ip(struct strategy_context *x, struct json *obj, const struct map *taken,
                   struct field_errors *errors, struct error **err)
{
    struct arena *a = x->a;
    const struct apiserver *server = x->server;
    const char *cidr = server->o.service_cidr ? server->o.service_cidr : DEFAULT_CIDR;
    struct json *spec = json_get(obj, "spec");
    const char *asked = json_string(json_at(json_get(spec, "clusterIPs"), 0));
    struct range range;
    if (str_eq(asked, "None"))
        return 0;
    if (!parse_range(cidr, &range))
        return error_set(err, ERROR_INTERNAL, "the range of Service addresses cannot be read: %s",
                         cidr);
    if (asked) {
        if (!same_value(json_get(spec, "clusterIPs"), json_find(x->old, "spec", "clusterIPs")))
            check_asked(taken, &range, asked, errors);
        return 0;
    }
    char ip[INET_ADDRSTRLEN];
    if (!take_free(taken, &range, ip))
        return error_set(err, ERROR_INTERNAL, "failed to allocate a serviceIP: range is full");
    json_set_str(a, spec, "clusterIP", ip);
    json_set(a, spec, "clusterIPs", ARR(STR(ip)));
    return 0;
}

static bool take_free_port(struct arena *a, const struct map *taken, int64_t *ret)
{
    const int64_t room = NODE_PORT_LAST - NODE_PORT_FIRST + 1,
                  start = (int64_t)(rand_u64() % (uint64_t)room);
    for (int64_t i = 0; i < room; i++) {
        *ret = NODE_PORT_FIRST + (start + i) % room;
        if (!map_has(taken, arena_printf(a, "port %" PRId64, *ret)))
            return true;
    }
    return false;
}

static int fill_ports(struct strategy_context *x, struct json *obj, struct map *taken,
                      struct field_errors *errors, struct error **err)
{
    struct json *spec = json_get(obj, "spec");
    bool wanted = json_find_bool(spec, true, "allocateLoadBalancerNodePorts");
    JSON_FOREACH(it, json_get(spec, "ports")) {
        int64_t port = json_find_int(it.value, 0, "nodePort");
        if (port)
            check_port_asked(taken, port, it.index, errors);
        if (port || !wanted)
            continue;
        if (!take_free_port(x->a, taken, &port))
            return error_set(err, ERROR_INTERNAL, "failed to allocate a nodePort: range is full");
        json_set_int(x->a, it.value, "nodePort", port);
        map_set(taken, arena_printf(x->a, "port %" PRId64, port), &present);
    }
    return 0;
}

int service_ip_fill(struct strategy_context *x, struct json *obj, struct field_errors *errors,
                    struct error **err)
{
    const char *type = json_find_str(obj, "spec", "type");
    if (str_eq(type, "ExternalName"))
        return 0;
    AUTO_MAP taken = find_taken(x, obj);
    int r = fill_ip(x, obj, taken, errors, err);
    if (r == 0 && (str_eq(type, "NodePort") || str_eq(type, "LoadBalancer")))
        r = fill_ports(x, obj, taken, errors, err);
    return r == 0 && errors->count ? -ERROR_INVALID : r;
}
