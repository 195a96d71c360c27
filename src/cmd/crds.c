#include "cmd/crds.h"

#include <string.h>
#include <unistd.h>

#include "base/embed.h"
#include "kube/meta.h"

EMBEDDED(crd_workspaces);

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

int crds_ensure(struct kube_client *c, struct error **err)
{
    AUTO_ARENA a = arena_new();
    struct json *crd = NULL;
    int r = json_parse(a, data_crd_workspaces, data_crd_workspaces_size, &crd, err);
    if (r == 0)
        r = ensure_one(c, a, crd, err);
    return r < 0 ? error_prefix(err, r, "CustomResourceDefinition workspaces.kaito.sh") : 0;
}
