/* ValidatingWebhookConfigurations. Who calls them is apiserver/webhook_call.c. */
#include <string.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

#define MAX_TIMEOUT_S 30
#define DESIRED_URL "; desired format: https://host[/path]"

/* ---- names, versions ------------------------------------------------------------------------------------------- */

static void check_name(const char *name, const struct field_path *p, struct field_errors *errors)
{
    if (str_empty(name)) {
        field_required(errors, p, NO_DETAIL);
        return;
    }
    size_t before = errors->count, dots = 0;
    check_joined(name, name, "", kube_validate_dns1123_subdomain, p, errors);
    for (const char *c = name; *c; c++)
        dots += *c == '.';
    if (errors->count == before && dots < 2)
        field_invalid_str(errors, p, name,
                          "should be a domain with at least three segments separated by dots");
}

static bool stands_before(const struct json *list, size_t index, const char *value)
{
    JSON_FOREACH(it, list) {
        if (it.index < index && str_eq(json_string(it.value), value))
            return true;
    }
    return false;
}

static void check_review_versions(const struct json *versions, const struct field_path *p,
                                  struct field_errors *errors)
{
    bool known = false;
    if (json_size(versions) == 0) {
        field_required(errors, p, "must specify one of v1, v1beta1");
        return;
    }
    JSON_FOREACH(it, versions) {
        const char *v = str_or_empty(json_string(it.value));
        if (stands_before(versions, it.index, v)) {
            field_invalid_str(errors, FIELD_AT(p, it.index), v, "duplicate version");
            continue;
        }
        check_joined(v, v, "", kube_validate_dns1035_label, FIELD_AT(p, it.index), errors);
        known = known || STREQ(v, "v1") || STREQ(v, "v1beta1");
    }
    if (!known)
        field_invalid(errors, p, versions, "must include at least one of v1, v1beta1");
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static bool has(const struct json *list, const char *value)
{
    return stands_before(list, SIZE_MAX, value);
}

static void check_wildcard(const struct json *list, const char *others, const struct field_path *p,
                           struct field_errors *errors)
{
    if (json_size(list) == 0)
        field_required(errors, p, NO_DETAIL);
    else if (json_size(list) > 1 && has(list, "*"))
        field_invalid(errors, p, list, "if '*' is present, must not specify other %s", others);
}

static void check_resources(struct arena *a, const struct json *list, const struct field_path *p,
                            struct field_errors *errors)
{
    bool plain = false;
    if (json_size(list) == 0)
        field_required(errors, p, NO_DETAIL);
    JSON_FOREACH(it, list) {
        const char *name = str_or_empty(json_string(it.value)), *slash = strchr(name, '/');
        if (!*name)
            field_required(errors, FIELD_AT(p, it.index), NO_DETAIL);
        plain = plain || (*name && !slash && !STREQ(name, "*"));
        if (!slash)
            continue;
        const char *all_of_it = arena_printf(a, "%.*s/*", (int)(slash - name), name);
        const char *of_all = arena_printf(a, "*%s", slash);
        const char *wider = stands_before(list, it.index, all_of_it) ? all_of_it
                            : stands_before(list, it.index, of_all)  ? of_all
                                                                     : NULL;
        if (wider)
            field_invalid_str(errors, FIELD_AT(p, it.index), name,
                              "if '%s' is present, must not specify %s", wider, name);
    }
    if (json_size(list) > 1 && has(list, "*/*"))
        field_invalid(errors, p, list, "if '*/*' is present, must not specify other resources");
    if (plain && has(list, "*"))
        field_invalid(errors, p, list,
                      "if '*' is present, must not specify other resources without subresources");
}

static void check_rule(struct arena *a, const struct json *rule, const struct field_path *p,
                       struct field_errors *errors)
{
    static const char *const operations[] = { "*", "CONNECT", "CREATE", "DELETE", "UPDATE", NULL };
    static const char *const scopes[] = { "*", "Cluster", "Namespaced", NULL };
    const struct json *list = json_get(rule, "operations"),
                      *versions = json_get(rule, "apiVersions");
    check_wildcard(list, "operations", FIELD(p, "operations"), errors);
    JSON_FOREACH(it, list) {
        const char *operation = str_or_empty(json_string(it.value));
        if (!is_one_of(operation, operations))
            field_not_supported_str(errors, FIELD_AT(FIELD(p, "operations"), it.index), operation,
                                    operations);
    }
    check_wildcard(json_get(rule, "apiGroups"), "API groups", FIELD(p, "apiGroups"), errors);
    check_wildcard(versions, "API versions", FIELD(p, "apiVersions"), errors);
    JSON_FOREACH(it, versions) {
        if (str_empty(json_string(it.value)))
            field_required(errors, FIELD_AT(FIELD(p, "apiVersions"), it.index), NO_DETAIL);
    }
    check_resources(a, json_get(rule, "resources"), FIELD(p, "resources"), errors);
    const char *scope = json_find_str(rule, "scope");
    if (scope && !is_one_of(scope, scopes))
        field_not_supported_str(errors, FIELD(p, "scope"), scope, scopes);
}

/* ---- where it is -------------------------------------------------------------------------------------------------- */

static void check_path(struct arena *a, const char *path, const struct field_path *p,
                       struct field_errors *errors)
{
    if (str_empty(path) || STREQ(path, "/"))
        return;
    if (path[0] != '/')
        field_invalid_str(errors, p, path, "must start with a '/'");
    char *rest = arena_strdup(a, path + 1);
    size_t len = strlen(rest), n = 0;
    if (len > 0 && rest[len - 1] == '/')
        rest[len - 1] = '\0';
    char **segments = str_split(a, rest, '/', &n);
    for (size_t i = 0; i < n; i++) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        if (!*segments[i])
            field_invalid_str(errors, p, path, "segment[%zu] may not be empty", i);
        else if (kube_validate_dns1123_subdomain(segments[i], &err) < 0)
            field_invalid_str(errors, p, path, "segment[%zu]: %s", i, error_message(err));
    }
}

static void check_service(struct arena *a, const struct json *service, const struct field_path *p,
                          struct field_errors *errors)
{
    if (str_empty(json_find_str(service, "name")))
        field_required(errors, FIELD(p, "name"), NO_DETAIL);
    if (str_empty(json_find_str(service, "namespace")))
        field_required(errors, FIELD(p, "namespace"), NO_DETAIL);
    int64_t port = json_find_int(service, 443, "port");
    if (port < 1 || port > 65535)
        field_invalid_int(errors, FIELD(p, "port"), port,
                          "port is not valid: must be between 1 and 65535, inclusive");
    check_path(a, json_find_str(service, "path"), FIELD(p, "path"), errors);
}

static void check_url(struct arena *a, const char *url, const struct field_path *p,
                      struct field_errors *errors)
{
    const char *colon = strstr(url, "://");
    const char *scheme = colon ? arena_strndup(a, url, (size_t)(colon - url)) : "";
    const char *host = colon ? colon + 3 : "", *fragment = strchr(host, '#');
    const char *query = strchr(host, '?');
    char *authority = arena_strndup(a, host, strcspn(host, "/?#"));
    char *at = strrchr(authority, '@');
    if (at)
        *at = '\0';
    if (!STREQ(scheme, "https"))
        field_invalid_str(errors, p, scheme, "'https' is the only allowed URL scheme" DESIRED_URL);
    if (!*(at ? at + 1 : authority))
        field_invalid_str(errors, p, "", "host must be specified" DESIRED_URL);
    if (at)
        field_invalid_str(errors, p, authority, "user information is not permitted in the URL");
    if (fragment && fragment[1])
        field_invalid_str(errors, p, fragment + 1, "fragments are not permitted in the URL");
    if (query && (!fragment || query < fragment)) {
        size_t len = fragment ? (size_t)(fragment - query) - 1 : strlen(query + 1);
        if (len > 0)
            field_invalid_str(errors, p, arena_strndup(a, query + 1, len),
                              "query parameters are not permitted in the URL");
    }
}

static void check_client(struct arena *a, const struct json *client, const struct field_path *p,
                         struct field_errors *errors)
{
    const char *url = json_find_str(client, "url");
    const struct json *service = json_get(client, "service");
    if ((url != NULL) == json_is_object(service))
        field_required(errors, p, "exactly one of url or service is required");
    else if (url)
        check_url(a, url, FIELD(p, "url"), errors);
    else
        check_service(a, service, FIELD(p, "service"), errors);
}

/* ---- one webhook --------------------------------------------------------------------------------------------------- */

static void check_choice(const struct json *w, const char *name, const char *const *known,
                         const struct field_path *p, struct field_errors *errors)
{
    const char *value = json_find_str(w, name);
    if (value && !is_one_of(value, known))
        field_not_supported_str(errors, FIELD(p, name), value, known);
}

static void check_webhook(struct arena *a, const struct json *w, const struct field_path *p,
                          struct field_errors *errors)
{
    static const char *const failures[] = { "Fail", "Ignore", NULL };
    static const char *const matches[] = { "Equivalent", "Exact", NULL };
    static const char *const effects[] = { "None", "NoneOnDryRun", NULL };
    static const char *const selectors[] = { "namespaceSelector", "objectSelector" };
    check_name(json_find_str(w, "name"), FIELD(p, "name"), errors);
    JSON_FOREACH(it, json_get(w, "rules")) {
        check_rule(a, it.value, FIELD_AT(FIELD(p, "rules"), it.index), errors);
    }
    check_choice(w, "failurePolicy", failures, p, errors);
    check_choice(w, "matchPolicy", matches, p, errors);
    if (json_find_str(w, "sideEffects"))
        check_choice(w, "sideEffects", effects, p, errors);
    else
        field_required(errors, FIELD(p, "sideEffects"), "must specify one of None, NoneOnDryRun");
    int64_t timeout = json_find_int(w, 10, "timeoutSeconds");
    if (timeout < 1 || timeout > MAX_TIMEOUT_S)
        field_invalid_int(errors, FIELD(p, "timeoutSeconds"), timeout,
                          "the timeout value must be between 1 and 30 seconds");
    for (size_t i = 0; i < COUNT_OF(selectors); i++) {
        if (json_is_object(json_get(w, selectors[i])))
            metadata_validate_selector(json_get(w, selectors[i]), FIELD(p, selectors[i]), errors);
    }
    check_client(a, json_get(w, "clientConfig"), FIELD(p, "clientConfig"), errors);
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    const struct json *webhooks = json_get(obj, "webhooks");
    const struct field_path *list = FIELD(NULL, "webhooks");
    JSON_FOREACH(it, webhooks) {
        const struct field_path *p = FIELD_AT(list, it.index);
        const char *name = json_find_str(it.value, "name");
        check_webhook(x->a, it.value, p, errors);
        check_review_versions(json_get(it.value, "admissionReviewVersions"),
                              FIELD(p, "admissionReviewVersions"), errors);
        JSON_FOREACH(other, webhooks) {
            if (other.index < it.index && !str_empty(name) &&
                str_eq(json_find_str(other.value, "name"), name)) {
                field_duplicate_str(errors, FIELD(p, "name"), name);
                break;
            }
        }
    }
    /* It would be called for what it does not ask for. */
    JSON_FOREACH(it, errors->count ? NULL : webhooks) {
        if (json_size(json_get(it.value, "matchConditions")) > 0)
            field_forbidden(errors, FIELD(FIELD_AT(list, it.index), "matchConditions"),
                            "match conditions are not evaluated by this server; use rules and "
                            "selectors");
    }
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, INT((int64_t)json_size(json_get(obj, "webhooks"))));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Webhooks", "integer", "", 0, "How many webhooks it has." },
    COLUMN_AGE,
};

const struct api_kind kind_validating_webhook = {
    .resource = { "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations",
                  "ValidatingWebhookConfiguration", false },
    .singular = "validatingwebhookconfiguration",
    .list_kind = "ValidatingWebhookConfigurationList",
    .short_names = (const char *const[]){ NULL },
    .categories = (const char *const[]){ "api-extensions", NULL },
    .has_generation = true,
    .builtin = true,
    .strategy = &(const struct api_strategy){ .validate = validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
