#include "api/multi_role.h"

#include <string.h>

#include "api/inference_set.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"

#define LONGEST_ROLE 8 /* "-prefill" */

const char *role_name(enum role role)
{
    return role == ROLE_PREFILL ? "prefill" : "decode";
}

static void read_role(const struct json *v, struct multi_role *m)
{
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if (str_eq(json_find_str(v, "type"), role_name(role)))
            m->roles[role] = (struct role_spec){
                .present = true,
                .replicas = json_find_int(v, -1, "replicas"),
                .instance_type = str_or_empty(json_find_str(v, "instanceType")),
                .runtime_config = str_or_empty(json_find_str(v, "runtimeConfig")),
            };
}

void multi_role_read(const struct json *obj, struct multi_role *ret)
{
    const struct json *spec = json_get(obj, "spec");
    *ret = (struct multi_role){
        .json = obj,
        .name = meta_name(obj),
        .ns = meta_namespace(obj),
        .uid = meta_uid(obj),
        .generation = meta_generation(obj),
        .deleting = meta_deleting(obj),
        .selector = json_get(spec, "labelSelector"),
        .model = str_or_empty(json_find_str(spec, "model", "name")),
        .access_secret = str_or_empty(json_find_str(spec, "model", "modelAccessSecret")),
        .plugins = str_or_empty(json_find_str(spec, "eppPluginsConfig")),
    };
    JSON_FOREACH(it, json_get(spec, "roles"))
        read_role(it.value, ret);
}

int multi_role_check(const struct multi_role *m, struct error **err)
{
    int r = kube_validate_dns1035_label(m->name, err);
    if (r == 0 && strlen(m->name) > INFERENCE_SET_NAME_MAX - LONGEST_ROLE)
        r = error_set(err, ERROR_INVALID,
                      "must be no more than %d characters, because its InferenceSets, their "
                      "Workspaces and pods are named after it",
                      INFERENCE_SET_NAME_MAX - LONGEST_ROLE);
    if (r < 0)
        return error_prefix(err, r, "metadata.name \"%s\" cannot be used, choose another one",
                            m->name);
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if (!m->roles[role].present)
            return error_set(err, ERROR_INVALID, "spec.roles has no role of type %s",
                             role_name(role));
    return 0;
}
