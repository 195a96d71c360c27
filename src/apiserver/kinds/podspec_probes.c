/* Probes and lifecycle hooks. */
#include <inttypes.h>

#include "apiserver/kinds/podspec.h"
#include "base/str.h"

static void check_exec(const struct json *exec, int64_t grace, const struct field_path *p,
                       struct field_errors *errors)
{
    if (json_size(json_get(exec, "command")) == 0)
        field_required(errors, FIELD(p, "command"), NO_DETAIL);
}

static void check_http(const struct json *http, int64_t grace, const struct field_path *p,
                       struct field_errors *errors)
{
    static const char *const schemes[] = { "HTTP", "HTTPS", NULL };
    const char *scheme = json_find_str(http, "scheme");
    if (str_empty(json_find_str(http, "path")))
        field_required(errors, FIELD(p, "path"), NO_DETAIL);
    check_port(json_get(http, "port"), FIELD(p, "port"), errors);
    if (!is_one_of(scheme, schemes))
        field_not_supported_str(errors, FIELD(p, "scheme"), scheme, schemes);
    JSON_FOREACH(it, json_get(http, "httpHeaders"))
        check_text(json_find_str(it.value, "name"), rule_http_header_name, FIELD(p, "httpHeaders"),
                   errors);
}

static void check_socket(const struct json *socket, int64_t grace, const struct field_path *p,
                         struct field_errors *errors)
{
    check_port(json_get(socket, "port"), FIELD(p, "port"), errors);
}

static void check_sleep(const struct json *sleep, int64_t grace, const struct field_path *p,
                        struct field_errors *errors)
{
    int64_t seconds = json_find_int(sleep, 0, "seconds");
    if (grace >= 0 && (seconds < 0 || seconds > grace))
        field_invalid_int(
            errors, p, seconds,
            "must be non-negative and less than terminationGracePeriodSeconds (%" PRId64 ")",
            grace);
}

static const struct {
    const char *name;
    void (*check)(const struct json *v, int64_t grace, const struct field_path *p,
                  struct field_errors *errors);
} handlers[] = {
    { "exec", check_exec },   { "httpGet", check_http }, { "tcpSocket", check_socket },
    { "grpc", check_socket }, { "sleep", check_sleep },
};

static void check_handler(const struct json *v, int64_t grace, const struct field_path *p,
                          struct field_errors *errors)
{
    bool found = false;
    for (size_t i = 0; i < COUNT_OF(handlers); i++) {
        const struct json *handler = json_get(v, handlers[i].name);
        if (!handler)
            continue;
        if (found)
            field_forbidden(errors, FIELD(p, handlers[i].name),
                            "may not specify more than 1 handler type");
        else
            handlers[i].check(handler, grace, FIELD(p, handlers[i].name), errors);
        found = true;
    }
    if (!found)
        field_required(errors, p, "must specify a handler type");
}

void podspec_validate_probe(const struct json *probe, int64_t grace, const struct field_path *p,
                            struct field_errors *errors)
{
    static const char *const counts[] = { "initialDelaySeconds", "timeoutSeconds", "periodSeconds",
                                          "successThreshold", "failureThreshold" };
    if (!json_is_object(probe))
        return;
    check_handler(probe, grace, p, errors);
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        check_not_negative(json_get(probe, counts[i]), FIELD(p, counts[i]), errors);
    const struct json *own_grace = json_get(probe, "terminationGracePeriodSeconds");
    if (own_grace && json_int(own_grace, 1) <= 0)
        field_invalid(errors, FIELD(p, "terminationGracePeriodSeconds"), own_grace,
                      "must be greater than 0");
}

void podspec_validate_lifecycle(const struct json *lifecycle, int64_t grace,
                                const struct field_path *p, struct field_errors *errors)
{
    static const char *const hooks[] = { "postStart", "preStop" };
    for (size_t i = 0; i < COUNT_OF(hooks); i++)
        if (json_get(lifecycle, hooks[i]))
            check_handler(json_get(lifecycle, hooks[i]), grace, FIELD(p, hooks[i]), errors);
}
