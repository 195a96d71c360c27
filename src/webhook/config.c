/* ValidatingWebhookConfigurations of the chart, completed: where the server is trusted (caBundle)
 * and found (path), what it reviews (rules) and where not (a namespace label), and whose they are
 * (the release's Namespace takes them along). Whatever covers more than is needed is left as it is.
 */
#include "base/str.h"
#include "http/crypto.h"
#include "kube/meta.h"
#include "webhook/internal.h"
#include "json/build.h"

#define EXCLUDE_LABEL "webhooks.knative.dev/exclude"

const struct kube_resource WEBHOOK_CONFIGURATIONS = { "admissionregistration.k8s.io", "v1",
                                                      "validatingwebhookconfigurations",
                                                      "ValidatingWebhookConfiguration", false };

static const char *const alpha_and_beta[] = { "v1alpha1", "v1beta1", NULL };
static const char *const alpha[] = { "v1alpha1", NULL };
static const char *const beta[] = { "v1beta1", NULL };

#define HOOK(name, plural, versions)                                                               \
    {                                                                                              \
        "validation." name ".kaito.sh", "/validate/" name ".kaito.sh", "kaito.sh", plural,         \
            versions                                                                               \
    }

const struct webhook_hook WEBHOOK_WORKSPACE_HOOKS[] = {
    HOOK("workspace", "workspaces", alpha_and_beta),
    HOOK("inferenceset", "inferencesets", alpha_and_beta),
    HOOK("multiroleinference", "multiroleinferences", alpha),
    HOOK("modelmirror", "modelmirrors", alpha),
    { NULL },
};
const struct webhook_hook WEBHOOK_RAGENGINE_HOOKS[] = {
    HOOK("ragengine", "ragengines", beta),
    { NULL },
};

/* ---- rules -------------------------------------------------------------------------------------------------- */

static bool has(const struct json *list, const char *value)
{
    JSON_FOREACH(it, list) {
        if (str_eq(json_string(it.value), value))
            return true;
    }
    return false;
}

static bool has_or_all(const struct json *list, const char *value)
{
    return has(list, "*") || has(list, value);
}

static bool rule_covers(const struct json *rule, const struct webhook_hook *h, const char *version,
                        const char *operation)
{
    const char *scope = json_find_str(rule, "scope");
    const struct json *resources = json_get(rule, "resources");
    return has_or_all(json_get(rule, "apiGroups"), h->group) &&
           has_or_all(json_get(rule, "apiVersions"), version) &&
           has_or_all(json_get(rule, "operations"), operation) &&
           (has_or_all(resources, h->plural) || has(resources, "*/*")) && !str_eq(scope, "Cluster");
}

static bool rules_cover(const struct json *rules, const struct webhook_hook *h)
{
    static const char *const operations[] = { "CREATE", "UPDATE" };
    for (const char *const *version = h->versions; *version; version++) {
        for (size_t i = 0; i < COUNT_OF(operations); i++) {
            bool covered = false;
            JSON_FOREACH(it, rules) {
                covered = covered || rule_covers(it.value, h, *version, operations[i]);
            }
            if (!covered)
                return false;
        }
    }
    return true;
}

/* clang-format off */
static struct json *rules_of(struct arena *a, const struct webhook_hook *h)
{
    struct json *rules = EMPTY_ARR();
    for (const char *const *version = h->versions; *version; version++)
        json_append(rules, OBJ("apiGroups", ARR(STR(h->group)),
                               "apiVersions", ARR(STR(*version)),
                               "operations", ARR(STR("CREATE"), STR("UPDATE")),
                               "resources", ARR(STR(h->plural)),
                               "scope", STR("*")));
    return rules;
}
/* clang-format on */

/* ---- the rest ------------------------------------------------------------------------------------------------ */

static bool excludes_label(const struct json *selector)
{
    JSON_FOREACH(it, json_get(selector, "matchExpressions")) {
        if (str_eq(json_find_str(it.value, "key"), EXCLUDE_LABEL) &&
            str_eq(json_find_str(it.value, "operator"), "DoesNotExist"))
            return true;
    }
    return false;
}

static void correct_webhook(struct arena *a, struct json *webhook, const struct webhook_hook *h,
                            const char *ca_pem)
{
    struct json *client = json_ensure_object(a, webhook, "clientConfig");
    json_set_str(a, client, "caBundle", base64_encode(a, ca_pem, strlen(ca_pem)));
    if (json_is_object(json_get(client, "service")))
        json_set_str(a, json_get(client, "service"), "path", h->path);
    if (!rules_cover(json_get(webhook, "rules"), h))
        json_set(a, webhook, "rules", rules_of(a, h));
    struct json *selector = json_ensure_object(a, webhook, "namespaceSelector");
    if (!excludes_label(selector))
        json_append(json_ensure_array(a, selector, "matchExpressions"),
                    OBJ("key", STR(EXCLUDE_LABEL), "operator", STR("DoesNotExist")));
}

static void correct_owner(struct arena *a, struct json *config, const struct json *owner)
{
    JSON_FOREACH(it, json_find(config, "metadata", "ownerReferences")) {
        if (str_eq(json_find_str(it.value, "uid"), meta_uid(owner)))
            return;
    }
    json_set(a, json_ensure_object(a, config, "metadata"), "ownerReferences",
             ARR(meta_controller_ref(a, owner, &KUBE_NAMESPACES)));
}

struct json *config_correct(struct arena *a, const struct json *config,
                            const struct webhook_hook *hook, const char *ca_pem,
                            const struct json *owner)
{
    struct json *next = json_clone(a, config);
    JSON_FOREACH(it, json_get(next, "webhooks")) {
        if (str_eq(json_find_str(it.value, "name"), hook->name))
            correct_webhook(a, it.value, hook, ca_pem);
    }
    if (owner)
        correct_owner(a, next, owner);
    return json_equal(next, config) ? NULL : next;
}
