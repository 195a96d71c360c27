/* The kinds that the server itself has a part in. */
#include "apiserver/crd.h"
#include "apiserver/namespace.h"
#include "apiserver/registry.h"
#include "apiserver/rest.h"
#include "base/str.h"

static const struct rest_hooks hooks[] = {
    {
        .resource = NAMESPACES_RESOURCE,
        .check_delete = namespace_check_delete,
        .on_delete = namespace_on_delete,
        .holds = namespace_holds,
    },
    {
        .resource = CRDS_RESOURCE,
        .on_write = crd_on_write,
        .on_delete = crd_on_delete,
        .after = crd_after,
    },
};

const struct rest_hooks *rest_hooks_of(const struct served_kind *sk)
{
    if (!sk->k->builtin)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(hooks); i++) {
        if (STREQ(hooks[i].resource, sk->resource))
            return &hooks[i];
    }
    return NULL;
}
