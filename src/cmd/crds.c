#include "cmd/crds.h"

#include <string.h>
#include <unistd.h>

#include "base/embed.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

EMBEDDED(crd_inferencesets);
EMBEDDED(crd_modelmirrors);
EMBEDDED(crd_multiroleinferences);
EMBEDDED(crd_nodeclaims);
EMBEDDED(crd_nodepools);
EMBEDDED(crd_ragengines);
EMBEDDED(crd_workspaces);

struct embedded_crd {
    const char *name;
    const char *text;
    const size_t *size;
};

#define CRD(plural, group)                                                                         \
    {                                                                                              \
#plural "." group, data_crd_##plural, &data_crd_##plural##_size                            \
    }

/* Of the kinds that the controllers here look after. */
static const struct embedded_crd own[] = {
    CRD(workspaces, "kaito.sh"),
    CRD(inferencesets, "kaito.sh"),
    CRD(multiroleinferences, "kaito.sh"),
};

/* Of those that a node provisioner looks after, elsewhere. */
static const struct embedded_crd karpenter[] = {
    CRD(nodeclaims, "karpenter.sh"),
    CRD(nodepools, "karpenter.sh"),
};

/* Of those that a gate switches on; a cluster has them from the chart. */
static const struct embedded_crd mirrors[] = {
    CRD(modelmirrors, "kaito.sh"),
};

/* Of kinds that are only validated here. */
static const struct embedded_crd others[] = {
    CRD(ragengines, "kaito.sh"),
};

#define ESTABLISH_TIMEOUT_NS (10 * NS_PER_S)

static bool established(const struct json *crd)
{
    return condition_is(json_find(crd, "status", "conditions"), "Established", "True");
}

static int wait_established(struct kube_client *c, const char *name, struct error **err)
{
    int64_t deadline = clock_mono(clock_system()) + ESTABLISH_TIMEOUT_NS;
    for (;;) {
        AUTO_ARENA a = arena_new();
        struct json *crd = NULL;
        int r = kube_get(c, &KUBE_CRDS, NULL, name, a, &crd, err);
        if (r < 0)
            return r;
        if (established(crd))
            return 0;
        if (clock_mono(clock_system()) > deadline)
            return error_set(err, ERROR_TIMEOUT,
                             "the API server has not established it; see `kubectl describe crd %s`",
                             name);
        usleep(2000);
    }
}

static int ensure_one(struct kube_client *c, struct arena *a, struct json *want, struct error **err)
{
    const char *name = meta_name(want);
    CLEANUP(error_cleanup) struct error *absent = NULL;
    struct json *have = NULL;
    int r = kube_get(c, &KUBE_CRDS, NULL, name, a, &have, &absent);
    if (r == -ERROR_NOT_FOUND) {
        r = kube_create(c, &KUBE_CRDS, NULL, want, a, &have, err);
        if (r < 0)
            return r;
    } else if (r < 0) {
        return error_set(err, error_code(absent), "%s", error_message(absent));
    } else if (!json_contains(json_get(have, "spec"), json_get(want, "spec"))) {
        struct json *patch = json_new_object(a);
        json_set(a, patch, "spec", json_clone(a, json_get(want, "spec")));
        r = kube_patch(c, &KUBE_CRDS, NULL, name, NULL, KUBE_PATCH_MERGE, patch, a, &have, err);
        if (r < 0)
            return r;
    }
    return established(have) ? 0 : wait_established(c, name, err);
}

static int ensure_all(struct kube_client *c, const struct embedded_crd *crds, size_t count,
                      struct error **err)
{
    for (size_t i = 0; i < count; i++) {
        AUTO_ARENA a = arena_new();
        struct json *crd = NULL;
        int r = json_parse(a, crds[i].text, *crds[i].size, &crd, err);
        if (r == 0)
            r = ensure_one(c, a, crd, err);
        if (r < 0)
            return error_prefix(err, r, "CustomResourceDefinition %s", crds[i].name);
    }
    return 0;
}

int crds_ensure(struct kube_client *c, struct error **err)
{
    return ensure_all(c, own, COUNT_OF(own), err);
}

int crds_ensure_mirrors(struct kube_client *c, struct error **err)
{
    return ensure_all(c, mirrors, COUNT_OF(mirrors), err);
}

/* What the cloud's schema of node classes is, nobody but the cloud needs to know. */
/* clang-format off */
static struct json *node_class_crd(struct arena *a, const struct operator_settings *s)
{
    struct json *open = OBJ("type", STR("object"), "x-kubernetes-preserve-unknown-fields", BOOL(true));
    struct json *schema = OBJ("type", STR("object"),
                              "properties", OBJ("spec", open, "status", json_clone(a, open)));
    struct json *version = OBJ("name", STR(s->node_class_version),
                               "served", BOOL(true),
                               "storage", BOOL(true),
                               "schema", OBJ("openAPIV3Schema", schema),
                               "subresources", OBJ("status", EMPTY_OBJ()));
    return OBJ("apiVersion", STR("apiextensions.k8s.io/v1"),
               "kind", STR("CustomResourceDefinition"),
               "metadata", OBJ("name", STRF("%s.%s", s->node_class_resource, s->node_class_group)),
               "spec", OBJ("group", STR(s->node_class_group),
                           "names", OBJ("kind", STR(s->node_class_kind),
                                        "listKind", STRF("%sList", s->node_class_kind),
                                        "plural", STR(s->node_class_resource),
                                        "singular", STR(str_lower(a, s->node_class_kind))),
                           "scope", STR("Cluster"),
                           "versions", ARR(version)));
}
/* clang-format on */

int crds_ensure_karpenter(struct kube_client *c, const struct operator_settings *settings,
                          struct error **err)
{
    int r = ensure_all(c, karpenter, COUNT_OF(karpenter), err);
    if (r < 0 || settings->provisioner != PROVISIONER_KARPENTER)
        return r;
    AUTO_ARENA a = arena_new();
    r = ensure_one(c, a, node_class_crd(a, settings), err);
    return r < 0 ? error_prefix(err, r, "CustomResourceDefinition of %s", settings->node_class_kind)
                 : 0;
}

int crds_find(struct arena *a, const char *group, const char *kind, struct json **ret)
{
    static const struct {
        const struct embedded_crd *crds;
        size_t count;
    } tables[] = {
        { own, COUNT_OF(own) },
        { karpenter, COUNT_OF(karpenter) },
        { mirrors, COUNT_OF(mirrors) },
        { others, COUNT_OF(others) },
    };
    for (size_t t = 0; t < COUNT_OF(tables); t++)
        for (size_t i = 0; i < tables[t].count; i++) {
            const struct embedded_crd *c = &tables[t].crds[i];
            struct json *crd = NULL;
            if (!str_has_suffix(c->name, group) || json_parse(a, c->text, *c->size, &crd, NULL) < 0)
                continue;
            if (str_eq(json_find_str(crd, "spec", "names", "kind"), kind) &&
                str_eq(json_find_str(crd, "spec", "group"), group)) {
                *ret = crd;
                return 0;
            }
        }
    return -ERROR_NOT_FOUND;
}
