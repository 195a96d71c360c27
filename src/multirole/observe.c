#include "multirole/observe.h"

#include "kube/meta.h"

const char *multi_role_child_name(struct arena *a, const char *name, enum role role)
{
    return arena_printf(a, "%s-%s", name, role_name(role));
}

static struct json *cached(struct arena *a, struct informer *i, const char *ns, const char *name)
{
    CLEANUP(kube_object_cleanup) struct kube_object *o = informer_get(i, ns, name);
    return o ? kube_object_parse(a, o) : NULL;
}

bool multi_role_observe(struct arena *a, const struct multi_role_caches *caches, const char *ns,
                        const char *name, struct multi_role_observed *ret)
{
    *ret = (struct multi_role_observed){ .object = cached(a, caches->objects, ns, name) };
    if (!ret->object)
        return false;
    for (enum role role = 0; role < ROLE_COUNT; role++)
        ret->children[role] = cached(a, caches->sets, ns, multi_role_child_name(a, name, role));
    if (!caches->config_maps)
        return true;
    struct multi_role m;
    multi_role_read(ret->object, &m);
    if (*m.plugins)
        ret->plugins = cached(a, caches->config_maps, ns, m.plugins);
    pool_observe(a, &caches->pool, ns, name, &ret->pool);
    return true;
}
