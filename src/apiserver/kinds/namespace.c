/* Namespaces: a label with their name, the finalizer of the namespace controller, and a phase that
 * follows deletion. */
#include <string.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

static void label(struct arena *a, struct json *obj)
{
    struct json *meta = json_ensure_object(a, obj, "metadata");
    const char *name = meta_name(obj);
    if (*name)
        json_set_str(a, json_ensure_object(a, meta, "labels"), "kubernetes.io/metadata.name", name);
}

/* By now a generated name looks like any other, but for its beginning and length. */
static bool is_generated(const struct json *obj)
{
    const char *prefix = json_find_str(obj, "metadata", "generateName"), *name = meta_name(obj);
    return !str_empty(prefix) && str_has_prefix(name, prefix) && strlen(name) == strlen(prefix) + 5;
}

/* A name that is generated is not known to defaults, and the label of it not to the rules. */
static void set_defaults(struct strategy_context *x, struct json *obj)
{
    if (x->old || !is_generated(obj))
        label(x->a, obj);
}

static int finish(struct strategy_context *x, struct json *obj, struct field_errors *errors,
                  struct error **err)
{
    label(x->a, obj);
    return 0;
}

static bool has_finalizer(const struct json *finalizers)
{
    JSON_FOREACH(it, finalizers)
        if (str_eq(json_string(it.value), "kubernetes"))
            return true;
    return false;
}

static void prepare(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    struct json *spec = json_ensure_object(a, obj, "spec");
    if (!x->old) {
        json_set(a, obj, "status", OBJ("phase", STR("Active")));
        struct json *finalizers = json_ensure_array(a, spec, "finalizers");
        if (!has_finalizer(finalizers))
            json_append(finalizers, STR("kubernetes"));
    } else if (STREQ(x->subresource, "")) {
        json_set(a, spec, "finalizers", json_clone(a, json_find(x->old, "spec", "finalizers")));
    }
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    const struct field_path *finalizers = FIELD(FIELD(NULL, "spec"), "finalizers");
    bool one_by_one = STREQ(x->subresource, "finalize");
    JSON_FOREACH(it, json_find(obj, "spec", "finalizers"))
        check_finalizer_name(json_string(it.value),
                             one_by_one ? FIELD_AT(finalizers, it.index) : finalizers, errors);
    if (!STREQ(x->subresource, "status"))
        return;
    const char *phase = json_find_str(obj, "status", "phase"),
               *want = meta_deleting(obj) ? "Terminating" : "Active";
    if (!str_eq(phase, want))
        field_invalid_str(errors, FIELD(FIELD(NULL, "status"), "Phase"), phase,
                          "may only be '%s' if `deletionTimestamp` is %s", want,
                          meta_deleting(obj) ? "not empty" : "empty");
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, cell_text(a, json_find_str(obj, "status", "phase"), ""));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Status", "string", "", 0, "Active, or Terminating while it is being deleted." },
    COLUMN_AGE,
};

const struct api_kind kind_namespace = {
    .resource = { "", "v1", "namespaces", "Namespace", false },
    .singular = "namespace",
    .list_kind = "NamespaceList",
    .short_names = (const char *const[]){ "ns", NULL },
    .categories = (const char *const[]){ NULL },
    .has_status = true,
    .builtin = true,
    .strategy = &(const struct api_strategy){ .set_defaults = set_defaults,
                                              .prepare = prepare,
                                              .validate = validate,
                                              .allocate = finish },
    .field_selectors = (const char *const[]){ "name", "status.phase", NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
