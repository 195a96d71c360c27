/* The rules and selectors of a webhook against one request. */
#include <string.h>

#include "apiserver/admission.h"
#include "apiserver/registry.h"
#include "apiserver/server.h"
#include "base/str.h"
#include "kube/selector.h"

static bool has(const struct json *list, const char *value)
{
    JSON_FOREACH(it, list) {
        const char *s = json_string(it.value);
        if (s && (STREQ(s, "*") || STREQ(s, value)))
            return true;
    }
    return false;
}

/* "pods" is the resource alone, "pods/status" one subresource, and "*" stands for any of either. */
static bool has_resource(const struct json *list, const char *plural, const char *sub)
{
    JSON_FOREACH(it, list) {
        const char *s = json_string(it.value), *slash = s ? strchr(s, '/') : NULL;
        size_t len = slash ? (size_t)(slash - s) : strlen(str_or_empty(s));
        const char *s_sub = slash ? slash + 1 : "";
        bool resource = s && ((len == 1 && s[0] == '*') ||
                              (strlen(plural) == len && memcmp(s, plural, len) == 0));
        if (resource && (STREQ(s_sub, "*") || STREQ(s_sub, sub)))
            return true;
    }
    return false;
}

static bool is_namespace_kind(const struct api_request *rq)
{
    return STREQ(rq->kind->resource, "/namespaces");
}

static bool in_scope(const struct api_request *rq, const struct json *rule)
{
    const char *scope = json_find_str(rule, "scope");
    bool namespaced = !str_empty(rq->ns) && !is_namespace_kind(rq);
    return str_empty(scope) || STREQ(scope, "*") || STREQ(scope, "Namespaced") == namespaced;
}

static bool rules_match(const struct api_request *rq, const struct json *rules,
                        const char *operation, const struct kube_resource *r)
{
    JSON_FOREACH(it, rules) {
        if (has(json_get(it.value, "operations"), operation) &&
            has(json_get(it.value, "apiGroups"), r->group) &&
            has(json_get(it.value, "apiVersions"), r->version) &&
            has_resource(json_get(it.value, "resources"), r->plural, rq->sub) &&
            in_scope(rq, it.value))
            return true;
    }
    return false;
}

/* The version to send in; NULL: the rules are not about it. With matchPolicy Equivalent the other
 * versions of a resource count. */
static const struct served_kind *version_for(const struct api_request *rq,
                                             const struct json *webhook, const char *operation)
{
    const struct json *rules = json_get(webhook, "rules");
    if (rules_match(rq, rules, operation, &rq->kind->k->resource))
        return rq->kind;
    if (str_eq(json_find_str(webhook, "matchPolicy"), "Exact"))
        return NULL;
    for (size_t i = 0; i < registry_count(rq->registry); i++) {
        const struct served_kind *sk = registry_at(rq->registry, i);
        if (sk != rq->kind && sk->served && STREQ(sk->resource, rq->kind->resource) &&
            rules_match(rq, rules, operation, &sk->k->resource))
            return sk;
    }
    return NULL;
}

static bool selects_namespace(struct api_request *rq, const struct selector *s,
                              const struct admission_attributes *at)
{
    if (is_namespace_kind(rq) && at->obj && STREQ(rq->sub, ""))
        return selector_matches_labels(s, json_find(at->obj, "metadata", "labels"));
    const char *name = is_namespace_kind(rq) ? at->name : rq->ns;
    if (str_empty(name))
        return true;
    CLEANUP(kube_object_cleanup)
    struct kube_object *ns = store_get(rq->server->store, "/namespaces", "", name);
    return ns && selector_matches_object(s, ns);
}

static bool selects_object(const struct selector *s, const struct admission_attributes *at)
{
    const struct json *objects[] = { at->obj, at->old };
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        if (objects[i] && selector_matches_labels(s, json_find(objects[i], "metadata", "labels")))
            return true;
    }
    return false;
}

bool webhook_matches(struct api_request *rq, const struct json *webhook,
                     const struct admission_attributes *at, struct matched_webhook *ret)
{
    const struct served_kind *as = version_for(rq, webhook, at->operation);
    if (!as)
        return false;
    CLEANUP(selector_cleanup) struct selector *ns = NULL, *object = NULL;
    const struct json *ns_json = json_get(webhook, "namespaceSelector"),
                      *object_json = json_get(webhook, "objectSelector");
    /* They were checked when the configuration was written. */
    if ((ns_json && selector_from_object(ns_json, &ns, NULL) < 0) ||
        (object_json && selector_from_object(object_json, &object, NULL) < 0))
        return false;
    if (ns && !selector_empty(ns) && !selects_namespace(rq, ns, at))
        return false;
    if (object && !selector_empty(object) && !selects_object(object, at))
        return false;
    *ret = (struct matched_webhook){ .webhook = webhook, .as = as };
    return true;
}
