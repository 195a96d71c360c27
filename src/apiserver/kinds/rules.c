#include "apiserver/kinds/rules.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "kube/quantity.h"
#include "kube/selector.h"
#include "schema/format.h"
#include "schema/metadata.h"

/* ---- texts ----------------------------------------------------------------------------------- */

#define PROBLEMS_MAX (4 * KIB)

static void problem(struct buf *out, const char *text)
{
    buf_printf(out, "%s%s", out->len ? "; " : "", text);
}

static int result(const struct buf *problems, struct error **err)
{
    return problems->len ? error_set(err, ERROR_INVALID, "%s", buf_str(problems)) : 0;
}

static void check_dots(struct buf *problems, const char *s)
{
    if (STREQ(s, "."))
        problem(problems, "must not be '.'");
    else if (STREQ(s, ".."))
        problem(problems, "must not be '..'");
    else if (str_has_prefix(s, ".."))
        problem(problems, "must not start with '..'");
}

static bool only(const char *s, const char *extra)
{
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr(extra, *s))
            return false;
    return true;
}

int rule_config_key(const char *key, struct error **err)
{
    AUTO_BUF problems = BUF_INIT(PROBLEMS_MAX);
    if (strlen(key) > 253)
        problem(&problems, "must be no more than 253 characters");
    if (!*key || !only(key, "-._"))
        problem(
            &problems,
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')");
    check_dots(&problems, key);
    return result(&problems, err);
}

/* Anything that can be printed but "=". */
int rule_env_name(const char *name, struct error **err)
{
    AUTO_BUF problems = BUF_INIT(PROBLEMS_MAX);
    if (!*name)
        problem(&problems, "environment variable name must be non-empty");
    for (const char *p = name; *p; p++) {
        if (*p < ' ' || *p > '~' || *p == '=') {
            problem(
                &problems,
                "a valid environment variable name must consist only of printable ASCII characters other than '='");
            break;
        }
    }
    return result(&problems, err);
}

int rule_port_name(const char *name, struct error **err)
{
    AUTO_BUF problems = BUF_INIT(PROBLEMS_MAX);
    size_t len = strlen(name);
    bool charset = len > 0, letter = false;
    for (const char *p = name; *p; p++) {
        charset =
            charset && (islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '-');
        letter = letter || islower((unsigned char)*p);
    }
    if (len > 15)
        problem(&problems, "must be no more than 15 characters");
    if (!charset)
        problem(&problems,
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    if (!letter)
        problem(&problems, "must contain at least one letter (a-z)");
    if (strstr(name, "--"))
        problem(&problems, "must not contain consecutive hyphens");
    if (len && (name[0] == '-' || name[len - 1] == '-'))
        problem(&problems, "must not begin or end with a hyphen");
    return result(&problems, err);
}

int rule_http_header_name(const char *name, struct error **err)
{
    if (*name && only(name, "-"))
        return 0;
    return error_set(
        err, ERROR_INVALID,
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
        "validation is '[-A-Za-z0-9]+')");
}

int rule_percent(const char *text, struct error **err)
{
    size_t digits = strspn(text, "0123456789");
    if (digits && STREQ(text + digits, "%"))
        return 0;
    return error_set(
        err, ERROR_INVALID,
        "a valid percent string must be a numeric string followed by an ending '%%' (e.g. '1%%',  or '93%%', regex "
        "used for validation is '[0-9]+%%')");
}

void check_text(const char *text, rule_text *rule, const struct field_path *p,
                struct field_errors *errors)
{
    struct error *err = NULL;
    rule(text ? text : "", &err);
    field_invalid_each(errors, p, text, err);
}

void check_joined(const char *checked, const char *shown, const char *prefix, rule_text *rule,
                  const struct field_path *p, struct field_errors *errors)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (rule(checked, &err) < 0)
        field_invalid_str(errors, p, shown, "%s%s", prefix,
                          str_replace(errors->arena, error_message(err), "; ", ","));
}

bool is_one_of(const char *s, const char *const *known)
{
    for (size_t i = 0; s && known[i]; i++)
        if (STREQ(known[i], s))
            return true;
    return false;
}

void check_enum(const char *value, const char *const *known, const struct field_path *p,
                struct field_errors *errors)
{
    if (str_empty(value))
        field_required(errors, p, NO_DETAIL);
    else if (!is_one_of(value, known))
        field_not_supported_str(errors, p, value, known);
}

/* ---- numbers --------------------------------------------------------------------------------- */

void check_not_negative(const struct json *v, const struct field_path *p,
                        struct field_errors *errors)
{
    if (json_int(v, 0) < 0)
        field_invalid(errors, p, v, "must be greater than or equal to 0");
}

void check_port_number(const struct json *v, const struct field_path *p,
                       struct field_errors *errors)
{
    int64_t port = json_int(v, 0);
    if (port < 1 || port > 65535)
        field_invalid_int(errors, p, port, "must be between 1 and 65535, inclusive");
}

void check_port(const struct json *v, const struct field_path *p, struct field_errors *errors)
{
    if (json_is_string(v))
        check_text(json_string(v), rule_port_name, p, errors);
    else
        check_port_number(v, p, errors);
}

void check_protocol(const char *protocol, const struct field_path *p, struct field_errors *errors)
{
    static const char *const known[] = { "SCTP", "TCP", "UDP", NULL };
    check_enum(protocol, known, p, errors);
}

/* ---- addresses ------------------------------------------------------------------------------- */

void check_cidr(const char *cidr, const struct field_path *p, struct field_errors *errors)
{
    if (!format_find("cidr")(cidr, strlen(cidr)))
        field_invalid_str(errors, p, cidr,
                          "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
}

bool is_ip(const char *s)
{
    unsigned char out[16];
    return s && (inet_pton(AF_INET, s, out) == 1 || inet_pton(AF_INET6, s, out) == 1);
}

void check_ip(const char *ip, const struct field_path *p, struct field_errors *errors)
{
    if (!is_ip(ip))
        field_invalid_str(errors, p, ip,
                          "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

void check_endpoint_ip(const char *ip, bool loopback_allowed, const struct field_path *p,
                       struct field_errors *errors)
{
    struct in_addr v4;
    struct in6_addr v6;
    bool unspecified, loopback, link_local, multicast;
    if (!ip)
        ip = "";
    if (inet_pton(AF_INET, ip, &v4) == 1) {
        uint32_t n = ntohl(v4.s_addr);
        unspecified = n == 0;
        loopback = n >> 24 == 127;
        link_local = n >> 16 == 0xa9fe;
        multicast = n >> 8 == 0xe00000;
    } else if (inet_pton(AF_INET6, ip, &v6) == 1) {
        unspecified = IN6_IS_ADDR_UNSPECIFIED(&v6);
        loopback = IN6_IS_ADDR_LOOPBACK(&v6);
        link_local = IN6_IS_ADDR_LINKLOCAL(&v6);
        multicast = IN6_IS_ADDR_MC_LINKLOCAL(&v6);
    } else {
        field_invalid_str(errors, p, ip, "must be a valid IP address");
        return;
    }
    if (unspecified)
        field_invalid_str(errors, p, ip, "may not be unspecified (%s)", ip);
    if (loopback && !loopback_allowed)
        field_invalid_str(errors, p, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    if (link_local)
        field_invalid_str(errors, p, ip,
                          "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    if (multicast)
        field_invalid_str(errors, p, ip,
                          "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

/* ---- quantities ------------------------------------------------------------------------------ */

bool quantity_is_negative(const char *quantity)
{
    return quantity && quantity[0] == '-' && quantity_compare(quantity, "0") < 0;
}

bool is_standard_resource(const char *name)
{
    static const char *const names[] = { "cpu",
                                         "memory",
                                         "ephemeral-storage",
                                         "requests.cpu",
                                         "requests.memory",
                                         "requests.ephemeral-storage",
                                         "limits.cpu",
                                         "limits.memory",
                                         "limits.ephemeral-storage",
                                         "pods",
                                         "resourcequotas",
                                         "services",
                                         "replicationcontrollers",
                                         "secrets",
                                         "configmaps",
                                         "persistentvolumeclaims",
                                         "storage",
                                         "requests.storage",
                                         "services.nodeports",
                                         "services.loadbalancers",
                                         NULL };
    return is_one_of(name, names) || str_has_prefix(name, "hugepages-");
}

/* Counts of objects, and resources with a domain that is not Kubernetes' own. */
bool is_integer_resource(const char *name)
{
    static const char *const counts[] = { "pods",
                                          "resourcequotas",
                                          "services",
                                          "replicationcontrollers",
                                          "secrets",
                                          "configmaps",
                                          "persistentvolumeclaims",
                                          "services.nodeports",
                                          "services.loadbalancers",
                                          NULL };
    const char *slash = strchr(name, '/');
    bool native = !slash || strstr(name, "kubernetes.io/");
    return is_one_of(name, counts) || (!native && !str_has_prefix(name, "requests."));
}

void check_resource_quantity(const char *resource, const char *quantity, const struct field_path *p,
                             struct field_errors *errors)
{
    if (quantity_is_negative(quantity))
        field_invalid_str(errors, p, quantity, "must be greater than or equal to 0");
    int64_t milli;
    if (is_integer_resource(resource) && quantity_milli(quantity, &milli, NULL) == 0 &&
        milli % 1000 != 0)
        field_invalid_str(errors, p, quantity, "must be an integer");
}

/* ---- changes --------------------------------------------------------------------------------- */

bool same_value(const struct json *x, const struct json *y)
{
    bool no_x = json_is_null(x) || (json_is_string(x) && !json_string_len(x));
    bool no_y = json_is_null(y) || (json_is_string(y) && !json_string_len(y));
    return no_x || no_y ? no_x == no_y : json_equal(x, y);
}

void check_immutable(const struct json *now, const struct json *old, const struct field_path *p,
                     struct field_errors *errors)
{
    if (same_value(now, old))
        return;
    if (!now || json_is_null(now))
        field_invalid_raw(errors, p, json_is_string(old) ? "\"\"" : "null", "field is immutable");
    else
        field_invalid(errors, p, now, "field is immutable");
}

void check_finalizer_name(const char *name, const struct field_path *p, struct field_errors *errors)
{
    check_text(name, kube_validate_label_key, p, errors);
    if (!strchr(name, '/') && !STREQ(name, "kubernetes") && !STREQ(name, "orphan") &&
        !STREQ(name, "foregroundDeletion"))
        field_invalid_str(errors, p, name,
                          "name is neither a standard finalizer name nor is it fully qualified");
}
