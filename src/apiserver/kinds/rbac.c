/* Roles and RoleBindings. They are kept, and nothing asks them: who has the token may do all. */
#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

#define GROUP "rbac.authorization.k8s.io"

static const char *const the_group[] = { GROUP, NULL };

/* ---- Role ------------------------------------------------------------------------------------ */

static void check_rule(const struct json *rule, const struct field_path *p,
                       struct field_errors *errors)
{
    const struct json *urls = json_get(rule, "nonResourceURLs");
    size_t groups = json_size(json_get(rule, "apiGroups")),
           resources = json_size(json_get(rule, "resources")),
           names = json_size(json_get(rule, "resourceNames"));
    if (json_size(json_get(rule, "verbs")) == 0)
        field_required(errors, FIELD(p, "verbs"), "verbs must contain at least one value");
    if (json_size(urls) > 0) {
        field_invalid(errors, FIELD(p, "nonResourceURLs"), urls,
                      "namespaced rules cannot apply to non-resource URLs");
        if (groups + resources + names > 0)
            field_invalid(errors, FIELD(p, "nonResourceURLs"), urls,
                          "rules cannot apply to both regular resources and non-resource URLs");
        return;
    }
    if (groups == 0)
        field_required(errors, FIELD(p, "apiGroups"),
                       "resource rules must supply at least one api group");
    if (resources == 0)
        field_required(errors, FIELD(p, "resources"),
                       "resource rules must supply at least one resource");
}

static void role_validate(struct strategy_context *x, const struct json *obj,
                          struct field_errors *errors)
{
    JSON_FOREACH(it, json_get(obj, "rules"))
        check_rule(it.value, FIELD_AT(FIELD(NULL, "rules"), it.index), errors);
}

static void role_cells(struct arena *a, const struct json *obj, int64_t now_wall_ns,
                       struct json *cells)
{
    const char *created = json_find_str(obj, "metadata", "creationTimestamp");
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, STR(created ? created : ""));
}

static const struct table_column role_columns[] = {
    COLUMN_NAME,
    { "Created At", "date", "", 0, "When it was created." },
};

const struct api_kind kind_role = {
    .resource = { GROUP, "v1", "roles", "Role", true },
    .singular = "role",
    .list_kind = "RoleList",
    .short_names = (const char *const[]){ NULL },
    .categories = (const char *const[]){ NULL },
    .builtin = true,
    .strategy = &(const struct api_strategy){ .validate = role_validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = role_columns,
    .column_count = COUNT_OF(role_columns),
    .cells = role_cells,
};

/* ---- RoleBinding ----------------------------------------------------------------------------- */

static bool is_user(const struct json *subject)
{
    const char *kind = json_find_str(subject, "kind");
    return str_eq(kind, "User") || str_eq(kind, "Group");
}

static void binding_set_defaults(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    struct json *ref = json_ensure_object(a, obj, "roleRef");
    if (str_empty(json_find_str(ref, "apiGroup")))
        json_set_str(a, ref, "apiGroup", GROUP);
    JSON_FOREACH(it, json_get(obj, "subjects")) {
        if (is_user(it.value) && str_empty(json_find_str(it.value, "apiGroup")))
            json_set_str(a, it.value, "apiGroup", GROUP);
    }
}

static void check_subject(const struct json *subject, const struct field_path *p,
                          struct field_errors *errors)
{
    static const char *const kinds[] = { "ServiceAccount", "User", "Group", NULL };
    static const char *const core[] = { "", NULL };
    const char *name = json_find_str(subject, "name"), *kind = json_find_str(subject, "kind"),
               *group = json_find_str(subject, "apiGroup");
    if (str_empty(name))
        field_required(errors, FIELD(p, "name"), NO_DETAIL);
    if (str_eq(kind, "ServiceAccount")) {
        if (!str_empty(name))
            check_text(name, kube_validate_dns1123_subdomain, FIELD(p, "name"), errors);
        if (!str_empty(group))
            field_not_supported_str(errors, FIELD(p, "apiGroup"), group, core);
    } else if (is_user(subject)) {
        if (!str_eq(group, GROUP))
            field_not_supported_str(errors, FIELD(p, "apiGroup"), group, the_group);
    } else {
        field_not_supported_str(errors, FIELD(p, "kind"), kind ? kind : "", kinds);
    }
}

static void binding_validate(struct strategy_context *x, const struct json *obj,
                             struct field_errors *errors)
{
    static const char *const kinds[] = { "Role", "ClusterRole", NULL };
    const struct json *ref = json_get(obj, "roleRef");
    const struct field_path *p = FIELD(NULL, "roleRef");
    const char *name = json_find_str(ref, "name"), *kind = json_find_str(ref, "kind");
    if (!str_eq(json_find_str(ref, "apiGroup"), GROUP))
        field_not_supported_str(errors, FIELD(p, "apiGroup"), json_find_str(ref, "apiGroup"),
                                the_group);
    if (!is_one_of(kind, kinds))
        field_not_supported_str(errors, FIELD(p, "kind"), kind ? kind : "", kinds);
    if (str_empty(name))
        field_required(errors, FIELD(p, "name"), NO_DETAIL);
    else
        check_text(name, metadata_name_path_segment, FIELD(p, "name"), errors);
    JSON_FOREACH(it, json_get(obj, "subjects"))
        check_subject(it.value, FIELD_AT(FIELD(NULL, "subjects"), it.index), errors);
    if (x->old && !json_equal(ref, json_get(x->old, "roleRef")))
        field_invalid(errors, p, ref, "cannot change roleRef");
}

/* Names of the subjects of this kind; those of ServiceAccounts with their namespace. */
static struct json *subjects_cell(struct arena *a, const struct json *subjects, const char *kind)
{
    AUTO_BUF out = BUF_INIT(MIB);
    JSON_FOREACH(it, subjects) {
        const char *name = json_find_str(it.value, "name"),
                   *ns = json_find_str(it.value, "namespace");
        if (!str_eq(json_find_str(it.value, "kind"), kind))
            continue;
        buf_printf(&out, "%s%s%s%s", out.len ? ", " : "", str_empty(ns) ? "" : ns,
                   str_empty(ns) ? "" : "/", name ? name : "");
    }
    return STR(buf_str(&out));
}

static void binding_cells(struct arena *a, const struct json *obj, int64_t now_wall_ns,
                          struct json *cells)
{
    static const char *const kinds[] = { "User", "Group", "ServiceAccount" };
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, STRF("%s/%s", json_find_str(obj, "roleRef", "kind"),
                            json_find_str(obj, "roleRef", "name")));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        json_append(cells, subjects_cell(a, json_get(obj, "subjects"), kinds[i]));
}

static const struct table_column binding_columns[] = {
    COLUMN_NAME,
    { "Role", "string", "", 0, "The role that is given." },
    COLUMN_AGE,
    { "Users", "string", "", 1, "Users that have the role." },
    { "Groups", "string", "", 1, "Groups that have the role." },
    { "ServiceAccounts", "string", "", 1, "ServiceAccounts that have the role." },
};

const struct api_kind kind_role_binding = {
    .resource = { GROUP, "v1", "rolebindings", "RoleBinding", true },
    .singular = "rolebinding",
    .list_kind = "RoleBindingList",
    .short_names = (const char *const[]){ NULL },
    .categories = (const char *const[]){ NULL },
    .builtin = true,
    .strategy = &(const struct api_strategy){ .set_defaults = binding_set_defaults,
                                              .validate = binding_validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = binding_columns,
    .column_count = COUNT_OF(binding_columns),
    .cells = binding_cells,
};
