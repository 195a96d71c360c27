/* Nodes. */
#include <string.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "json/build.h"

static void set_defaults(struct strategy_context *x, struct json *obj)
{
    struct json *status = json_get(obj, "status");
    const struct json *capacity = json_get(status, "capacity");
    if (json_size(capacity) > 0 && !json_get(status, "allocatable"))
        json_set(x->a, status, "allocatable", json_clone(x->a, capacity));
}

/* What features that are off or gone would hold. */
static void drop_disabled(struct json *obj, const struct json *old)
{
    if (!json_find(old, "spec", "configSource"))
        json_del(json_get(obj, "spec"), "configSource");
    if (!old)
        json_del(json_get(obj, "status"), "config");
    if (!json_find(old, "status", "declaredFeatures"))
        json_del(json_get(obj, "status"), "declaredFeatures");
}

/* podCIDR is the first of podCIDRs, and counts when both are given. */
static void join_cidrs(struct arena *a, struct json *spec)
{
    const char *one = json_find_str(spec, "podCIDR"),
               *first = json_string(json_at(json_get(spec, "podCIDRs"), 0));
    if (!str_empty(one) && !str_eq(one, first))
        json_set(a, spec, "podCIDRs", ARR(STR(one)));
    else if (str_empty(one) && first)
        json_set_str(a, spec, "podCIDR", first);
}

static void prepare(struct strategy_context *x, struct json *obj)
{
    drop_disabled(obj, x->old);
    join_cidrs(x->a, json_get(obj, "spec"));
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    if (!str_empty(json_find_str(obj, "spec", "externalID")))
        json_append(x->warnings,
                    json_new_string(
                        x->a,
                        "spec.externalID: this field is deprecated, and is unused by Kubernetes"));
}

/* ---- validation ------------------------------------------------------------------------------ */

static bool is_repeated_taint(const struct json *taints, size_t index, const struct json *taint)
{
    JSON_FOREACH(it, taints) {
        if (it.index >= index)
            return false;
        if (same_value(json_get(it.value, "key"), json_get(taint, "key")) &&
            same_value(json_get(it.value, "effect"), json_get(taint, "effect")))
            return true;
    }
    return false;
}

/* The API server has taints below metadata in its messages, and says on updates everything twice.
 */
static void check_taints(const struct json *taints, struct field_errors *errors)
{
    static const char *const effects[] = { "NoSchedule", "PreferNoSchedule", "NoExecute", NULL };
    const struct field_path *path = FIELD(FIELD(NULL, "metadata"), "taints");
    JSON_FOREACH(it, taints) {
        const struct field_path *p = FIELD_AT(path, it.index);
        const char *value = json_find_str(it.value, "value"),
                   *effect = json_find_str(it.value, "effect");
        check_text(json_find_str(it.value, "key"), kube_validate_label_key, FIELD(p, "key"),
                   errors);
        if (value) {
            CLEANUP(error_cleanup) struct error *err = NULL;
            if (kube_validate_label_value(value, &err) < 0)
                field_invalid_str(errors, FIELD(p, "value"), value, "%s",
                                  str_replace(errors->arena, error_message(err), "; ", ";"));
        }
        check_enum(effect, effects, FIELD(p, "effect"), errors);
        if (is_repeated_taint(taints, it.index, it.value))
            field_errors_add(errors, "FieldValueDuplicate", field_path_text(errors->arena, p),
                             "Duplicate value: %s: taints must be unique by key and effect pair",
                             field_value_text(errors->arena, it.value));
    }
}

static void check_resources(const struct json *obj, const char *name, struct field_errors *errors)
{
    JSON_FOREACH(it, json_find(obj, "status", name))
        check_resource_quantity(it.key, json_string(it.value),
                                FIELD(FIELD(FIELD(NULL, "status"), name), it.key), errors);
}

static void check_cidrs(const struct json *cidrs, struct field_errors *errors)
{
    const struct field_path *p = FIELD(FIELD(NULL, "spec"), "podCIDRs");
    bool families[2] = { false, false };
    JSON_FOREACH(it, cidrs) {
        const char *cidr = json_string(it.value) ? json_string(it.value) : "";
        check_cidr(cidr, FIELD_AT(p, it.index), errors);
        families[strchr(cidr, ':') != NULL] = true;
    }
    if (json_size(cidrs) > 2 || (json_size(cidrs) == 2 && families[0] != families[1]))
        field_invalid(errors, p, cidrs, "may specify no more than one CIDR for each IP family");
}

static void check_addresses(const struct json *addresses, struct field_errors *errors)
{
    JSON_FOREACH(it, addresses) {
        JSON_FOREACH(before, addresses) {
            if (before.index >= it.index)
                break;
            if (json_equal(before.value, it.value)) {
                field_duplicate(errors,
                                FIELD_AT(FIELD(FIELD(NULL, "status"), "addresses"), it.index),
                                it.value);
                break;
            }
        }
    }
}

static void validate_update(const struct json *obj, const struct json *old,
                            struct field_errors *errors)
{
    static const char why[] = "node updates may not change %s except from \"\" to valid";
    const struct field_path *spec = FIELD(NULL, "spec");
    const struct json *cidrs = json_find(old, "spec", "podCIDRs");
    check_resources(obj, "capacity", errors);
    check_resources(obj, "allocatable", errors);
    check_addresses(json_find(obj, "status", "addresses"), errors);
    if (json_size(cidrs) > 0 && !same_value(json_find(obj, "spec", "podCIDRs"), cidrs))
        field_forbidden(errors, FIELD(spec, "podCIDRs"), why, "podCIDR");
    const struct json *provider = json_find(old, "spec", "providerID");
    if (json_string_len(provider) > 0 &&
        !same_value(json_find(obj, "spec", "providerID"), provider))
        field_forbidden(errors, FIELD(spec, "providerID"), why, "providerID");
    check_taints(json_find(obj, "spec", "taints"), errors);
    if (!same_value(json_find(obj, "spec", "externalID"), json_find(old, "spec", "externalID")))
        field_forbidden(errors, FIELD(spec, "externalID"), "may not be updated");
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    if (!STREQ(x->subresource, "status")) {
        check_taints(json_find(obj, "spec", "taints"), errors);
        check_resources(obj, "capacity", errors);
        check_resources(obj, "allocatable", errors);
        check_cidrs(json_find(obj, "spec", "podCIDRs"), errors);
    }
    if (x->old)
        validate_update(obj, x->old, errors);
}

/* ---- table ----------------------------------------------------------------------------------- */

static int compare_text(const struct json *x, const struct json *y)
{
    return strcmp(json_string(x), json_string(y));
}

static struct json *roles_cell(struct arena *a, const struct json *obj)
{
    struct json *roles = EMPTY_ARR();
    JSON_FOREACH(it, json_find(obj, "metadata", "labels")) {
        const char *role = str_skip_prefix(it.key, "node-role.kubernetes.io/");
        if (STREQ(it.key, "kubernetes.io/role"))
            role = json_string(it.value);
        if (!str_empty(role))
            json_append(roles, STR(role));
    }
    json_sort(roles, compare_text);
    AUTO_BUF out = BUF_INIT(64 * KIB);
    const char *last = NULL;
    JSON_FOREACH(it, roles) {
        if (!str_eq(json_string(it.value), last))
            buf_printf(&out, "%s%s", last ? "," : "", json_string(it.value));
        last = json_string(it.value);
    }
    return cell_text(a, buf_str(&out), "<none>");
}

static struct json *status_cell(struct arena *a, const struct json *obj)
{
    const struct json *ready = condition_find(json_find(obj, "status", "conditions"), "Ready");
    const char *text = !ready                                           ? "Unknown"
                       : str_eq(json_find_str(ready, "status"), "True") ? "Ready"
                                                                        : "NotReady";
    return STRF("%s%s", text,
                json_find_bool(obj, false, "spec", "unschedulable") ? ",SchedulingDisabled" : "");
}

static struct json *address_cell(struct arena *a, const struct json *obj, const char *type)
{
    JSON_FOREACH(it, json_find(obj, "status", "addresses"))
        if (str_eq(json_find_str(it.value, "type"), type))
            return cell_text(a, json_find_str(it.value, "address"), "");
    return STR("<none>");
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    const struct json *info = json_find(obj, "status", "nodeInfo");
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, status_cell(a, obj));
    json_append(cells, roles_cell(a, obj));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
    json_append(cells, cell_text(a, json_find_str(info, "kubeletVersion"), ""));
    json_append(cells, address_cell(a, obj, "InternalIP"));
    json_append(cells, address_cell(a, obj, "ExternalIP"));
    json_append(cells, cell_text(a, json_find_str(info, "osImage"), "<unknown>"));
    json_append(cells, cell_text(a, json_find_str(info, "kernelVersion"), "<unknown>"));
    json_append(cells, cell_text(a, json_find_str(info, "containerRuntimeVersion"), "<unknown>"));
}

static void selectable(struct arena *a, struct json *obj)
{
    struct json *spec = json_ensure_object(a, obj, "spec");
    json_set_bool(a, spec, "unschedulable", json_find_bool(spec, false, "unschedulable"));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Status", "string", "", 0, "Whether the node can run pods." },
    { "Roles", "string", "", 0, "Roles of the node, from its labels." },
    COLUMN_AGE,
    { "Version", "string", "", 0, "Version of what runs the pods." },
    { "Internal-IP", "string", "", 1, "Address inside of the cluster." },
    { "External-IP", "string", "", 1, "Address outside of the cluster." },
    { "OS-Image", "string", "", 1, "Operating system." },
    { "Kernel-Version", "string", "", 1, "Version of the kernel." },
    { "Container-Runtime", "string", "", 1, "What runs the containers." },
};

const struct api_kind kind_node = {
    .resource = { "", "v1", "nodes", "Node", false },
    .singular = "node",
    .list_kind = "NodeList",
    .short_names = (const char *const[]){ "no", NULL },
    .categories = (const char *const[]){ NULL },
    .has_status = true,
    .builtin = true,
    .strategy =
        &(const struct api_strategy){
            .set_defaults = set_defaults, .prepare = prepare, .validate = validate, .warn = warn },
    .field_selectors = (const char *const[]){ "spec.unschedulable", NULL },
    .selectable = selectable,
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
