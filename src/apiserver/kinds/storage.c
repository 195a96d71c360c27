/* StorageClasses and CSIDrivers. */
#include <ctype.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

/* ---- StorageClass ---------------------------------------------------------------------------- */

#define PARAMETERS_MAX 512
#define PARAMETERS_SIZE_MAX (256 * 1024)

static char *lower(struct arena *a, const char *s)
{
    char *copy = arena_strdup(a, s);
    for (char *c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return copy;
}

static void check_provisioner(const char *name, struct field_errors *errors)
{
    const struct field_path *p = FIELD(NULL, "provisioner");
    if (str_empty(name)) {
        field_required(errors, p, NO_DETAIL);
        return;
    }
    const char *checked = lower(errors->arena, name);
    struct error *err = NULL;
    if (kube_validate_label_key(checked, &err) < 0)
        field_invalid_each(errors, p, checked, err);
}

static void check_parameters(const struct json *parameters, struct field_errors *errors)
{
    const struct field_path *p = FIELD(NULL, "parameters");
    size_t size = 0;
    if (json_size(parameters) > PARAMETERS_MAX) {
        field_too_long(errors, p, PARAMETERS_MAX);
        return;
    }
    JSON_FOREACH(it, parameters) {
        if (str_empty(it.key))
            field_invalid_str(errors, p, it.key, "field can not be empty.");
        size += strlen(it.key) + strlen(json_string(it.value) ? json_string(it.value) : "");
    }
    if (size > PARAMETERS_SIZE_MAX)
        field_too_long(errors, p, PARAMETERS_SIZE_MAX);
}

static void check_topologies(const struct json *topologies, struct field_errors *errors)
{
    JSON_FOREACH(term, topologies) {
        const struct field_path *at = FIELD_AT(FIELD(NULL, "allowedTopologies"), term.index);
        const struct json *expressions = json_get(term.value, "matchLabelExpressions");
        const struct field_path *p = FIELD(at, "matchLabelExpressions");
        if (json_size(expressions) == 0)
            field_required(errors, p, NO_DETAIL);
        JSON_FOREACH(it, expressions) {
            const char *key = json_find_str(it.value, "key");
            const struct field_path *one = FIELD_AT(p, it.index);
            struct error *err = NULL;
            if (json_size(json_get(it.value, "values")) == 0)
                field_required(errors, FIELD(one, "values"), NO_DETAIL);
            if (kube_validate_label_key(key ? key : "", &err) < 0)
                field_invalid_each(errors, FIELD(one, "key"), key ? key : "", err);
        }
    }
}

static void class_check_update(const struct json *obj, const struct json *old,
                               struct field_errors *errors)
{
    static const char *const fixed[] = { "parameters", "provisioner", "reclaimPolicy" };
    for (size_t i = 0; i < COUNT_OF(fixed); i++) {
        if (!same_value(json_get(obj, fixed[i]), json_get(old, fixed[i])))
            field_forbidden(errors, FIELD(NULL, fixed[i]), "updates to %s are forbidden.",
                            fixed[i]);
    }
    check_immutable(json_get(obj, "volumeBindingMode"), json_get(old, "volumeBindingMode"),
                    FIELD(NULL, "volumeBindingMode"), errors);
}

static void class_validate(struct strategy_context *x, const struct json *obj,
                           struct field_errors *errors)
{
    static const char *const policies[] = { "Delete", "Retain", NULL };
    static const char *const modes[] = { "Immediate", "WaitForFirstConsumer", NULL };
    const char *policy = json_find_str(obj, "reclaimPolicy"),
               *mode = json_find_str(obj, "volumeBindingMode");
    check_provisioner(json_find_str(obj, "provisioner"), errors);
    check_parameters(json_get(obj, "parameters"), errors);
    if (!str_empty(policy) && !is_one_of(policy, policies))
        field_not_supported_str(errors, FIELD(NULL, "reclaimPolicy"), policy, policies);
    if (!is_one_of(mode, modes))
        field_not_supported_str(errors, FIELD(NULL, "volumeBindingMode"), mode, modes);
    check_topologies(json_get(obj, "allowedTopologies"), errors);
    if (x->old)
        class_check_update(obj, x->old, errors);
}

static bool is_default_class(const struct json *obj)
{
    return str_eq(meta_annotation(obj, "storageclass.kubernetes.io/is-default-class"), "true") ||
           str_eq(meta_annotation(obj, "storageclass.beta.kubernetes.io/is-default-class"), "true");
}

static void class_cells(struct arena *a, const struct json *obj, int64_t now_wall_ns,
                        struct json *cells)
{
    json_append(cells, STRF("%s%s", meta_name(obj), is_default_class(obj) ? " (default)" : ""));
    json_append(cells, cell_text(a, json_find_str(obj, "provisioner"), ""));
    json_append(cells, cell_text(a, json_find_str(obj, "reclaimPolicy"), ""));
    json_append(cells, cell_text(a, json_find_str(obj, "volumeBindingMode"), ""));
    json_append(cells, BOOL(json_find_bool(obj, false, "allowVolumeExpansion")));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
}

static const struct table_column class_columns[] = {
    COLUMN_NAME,
    { "Provisioner", "string", "", 0, "Who makes the volumes." },
    { "ReclaimPolicy", "string", "", 0, "What becomes of a volume whose claim is deleted." },
    { "VolumeBindingMode", "string", "", 0, "When a claim gets its volume." },
    { "AllowVolumeExpansion", "string", "", 0, "Whether claims may grow." },
    COLUMN_AGE,
};

const struct api_kind kind_storage_class = {
    .resource = { "storage.k8s.io", "v1", "storageclasses", "StorageClass", false },
    .singular = "storageclass",
    .list_kind = "StorageClassList",
    .short_names = (const char *const[]){ "sc", NULL },
    .categories = (const char *const[]){ NULL },
    .builtin = true,
    .strategy = &(const struct api_strategy){ .validate = class_validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = class_columns,
    .column_count = COUNT_OF(class_columns),
    .cells = class_cells,
};

/* ---- CSIDriver ------------------------------------------------------------------------------- */

#define TOKEN_SECONDS_MIN 600
#define TOKEN_SECONDS_MAX (INT64_C(1) << 32)
#define UPDATE_SECONDS_MIN 10

static void driver_set_defaults(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    struct json *spec = json_get(obj, "spec");
    if (json_size(json_get(spec, "volumeLifecycleModes")) == 0)
        json_set(a, spec, "volumeLifecycleModes", ARR(STR("Persistent")));
}

/* Its first change is its first generation. */
static void driver_prepare(struct strategy_context *x, struct json *obj)
{
    if (!x->old)
        json_del(json_get(obj, "metadata"), "generation");
}

static void driver_warn(struct strategy_context *x, const struct json *obj)
{
    const struct json *tokens = json_find(obj, "spec", "tokenRequests");
    if (json_size(tokens) > 0 && !json_find(obj, "spec", "serviceAccountTokenInSecrets") &&
        !same_value(tokens, json_find(x->old, "spec", "tokenRequests")))
        json_append(x->warnings,
                    json_new_string(x->a, "spec.serviceAccountTokenInSecrets is unset; if "
                                          "supported by this CSI driver, set to true to prevent "
                                          "possible logging of tokens in volume attributes"));
}

static void check_tokens(const struct json *tokens, const struct field_path *path,
                         struct field_errors *errors)
{
    JSON_FOREACH(it, tokens) {
        const struct field_path *p = FIELD_AT(path, it.index);
        const char *audience = json_find_str(it.value, "audience");
        const struct json *seconds = json_get(it.value, "expirationSeconds");
        bool again = false;
        for (size_t i = 0; i < it.index; i++)
            again = again || str_eq(json_find_str(json_at(tokens, i), "audience"), audience);
        if (again)
            field_duplicate_str(errors, FIELD(p, "audience"), audience);
        else if (seconds && json_int(seconds, 0) < TOKEN_SECONDS_MIN)
            field_invalid(errors, FIELD(p, "expirationSeconds"), seconds,
                          "may not specify a duration less than 10 minutes");
        else if (seconds && json_int(seconds, 0) > TOKEN_SECONDS_MAX)
            field_invalid(errors, FIELD(p, "expirationSeconds"), seconds,
                          "may not specify a duration larger than 2^32 seconds");
    }
}

static void check_driver_spec(const struct json *spec, const struct field_path *p,
                              struct field_errors *errors)
{
    static const char *const policies[] = { "File", "None", "ReadWriteOnceWithFSType", NULL };
    static const char *const modes[] = { "Persistent", "Ephemeral", NULL };
    const char *policy = json_find_str(spec, "fsGroupPolicy");
    const struct json *tokens = json_get(spec, "tokenRequests"),
                      *period = json_get(spec, "nodeAllocatableUpdatePeriodSeconds"),
                      *in_secrets = json_get(spec, "serviceAccountTokenInSecrets");
    if (policy && !is_one_of(policy, policies))
        field_not_supported_str(errors, FIELD(p, "fsGroupPolicy"), policy, policies);
    check_tokens(tokens, FIELD(p, "tokenRequests"), errors);
    JSON_FOREACH(it, json_get(spec, "volumeLifecycleModes"))
        if (!is_one_of(json_string(it.value), modes))
            field_not_supported_str(errors, FIELD(p, "volumeLifecycleModes"), json_string(it.value),
                                    modes);
    if (period && json_int(period, 0) < UPDATE_SECONDS_MIN)
        field_invalid(errors, FIELD(p, "nodeAllocatableUpdatePeriodSeconds"), period,
                      "must be greater than or equal to 10 seconds");
    if (in_secrets && json_size(tokens) == 0)
        field_invalid(errors, FIELD(p, "serviceAccountTokenInSecrets"), in_secrets,
                      "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
}

static void driver_validate(struct strategy_context *x, const struct json *obj,
                            struct field_errors *errors)
{
    const struct json *spec = json_get(obj, "spec"), *old = json_get(x->old, "spec");
    const struct field_path *p = FIELD(NULL, "spec");
    check_driver_spec(spec, p, errors);
    if (!x->old)
        return;
    check_immutable(json_get(spec, "attachRequired"), json_get(old, "attachRequired"),
                    FIELD(p, "attachedRequired"), errors);
    check_immutable(json_get(spec, "volumeLifecycleModes"), json_get(old, "volumeLifecycleModes"),
                    FIELD(p, "volumeLifecycleModes"), errors);
}

/* The list with commas between; `none` when it is empty. */
static struct json *joined_cell(struct arena *a, const struct json *list, const char *member,
                                const char *none)
{
    AUTO_BUF out = BUF_INIT(MIB);
    JSON_FOREACH(it, list) {
        const char *s = member ? json_find_str(it.value, member) : json_string(it.value);
        buf_printf(&out, "%s%s", it.index ? "," : "", s ? s : "");
    }
    return cell_text(a, buf_str(&out), none);
}

static void driver_cells(struct arena *a, const struct json *obj, int64_t now_wall_ns,
                         struct json *cells)
{
    const struct json *spec = json_get(obj, "spec"), *tokens = json_get(spec, "tokenRequests");
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, BOOL(json_find_bool(spec, true, "attachRequired")));
    json_append(cells, BOOL(json_find_bool(spec, false, "podInfoOnMount")));
    json_append(cells, BOOL(json_find_bool(spec, false, "storageCapacity")));
    json_append(cells, joined_cell(a, tokens, "audience", tokens ? "" : "<unset>"));
    json_append(cells, BOOL(json_find_bool(spec, false, "requiresRepublish")));
    json_append(cells, joined_cell(a, json_get(spec, "volumeLifecycleModes"), NULL, "<none>"));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
}

static const struct table_column driver_columns[] = {
    COLUMN_NAME,
    { "AttachRequired", "boolean", "", 0, "Whether volumes are attached before they are mounted." },
    { "PodInfoOnMount", "boolean", "", 0, "Whether it is told which pod a volume is for." },
    { "StorageCapacity", "boolean", "", 0, "Whether it tells how much room there is." },
    { "TokenRequests", "string", "", 0, "Audiences of the tokens that it gets." },
    { "RequiresRepublish", "boolean", "", 0, "Whether it is called again and again." },
    { "Modes", "string", "", 0, "Kinds of volumes that it has." },
    COLUMN_AGE,
};

const struct api_kind kind_csi_driver = {
    .resource = { "storage.k8s.io", "v1", "csidrivers", "CSIDriver", false },
    .singular = "csidriver",
    .list_kind = "CSIDriverList",
    .short_names = (const char *const[]){ NULL },
    .categories = (const char *const[]){ NULL },
    .has_generation = true,
    .builtin = true,
    .strategy = &(const struct api_strategy){ .set_defaults = driver_set_defaults,
                                              .prepare = driver_prepare,
                                              .warn = driver_warn,
                                              .validate = driver_validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = driver_columns,
    .column_count = COUNT_OF(driver_columns),
    .cells = driver_cells,
};
