/* ControllerRevisions: data that does not change. */
#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    const struct json *data = json_get(obj, "data"), *revision = json_get(obj, "revision");
    check_not_negative(revision, FIELD(NULL, "revision"), errors);
    if (json_is_null(data) && !x->old)
        field_required(errors, FIELD(NULL, "data"), "data is mandatory");
    else if (x->old && !same_value(data, json_get(x->old, "data")))
        field_invalid(errors, FIELD(NULL, "data"), data, "field is immutable");
}

/* "statefulset.apps/name" */
static struct json *controller_cell(struct arena *a, const struct json *obj)
{
    const struct json *ref = meta_controller_of(obj);
    const char *kind = json_find_str(ref, "kind"), *version = json_find_str(ref, "apiVersion");
    if (!ref)
        return STR("<none>");
    size_t group = 0;
    for (const char *p = version ? version : ""; *p; p++)
        if (*p == '/')
            group = (size_t)(p - version);
    return STRF("%s%s%s/%s", str_lower(a, kind ? kind : ""), group ? "." : "",
                group ? str_lower(a, arena_strndup(a, version, group)) : "",
                json_find_str(ref, "name"));
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, controller_cell(a, obj));
    json_append(cells, INT(json_find_int(obj, 0, "revision")));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Controller", "string", "", 0, "Whose state it is." },
    { "Revision", "string", "", 0, "Number of the revision." },
    COLUMN_AGE,
};

const struct api_kind kind_controller_revision = {
    .resource = { "apps", "v1", "controllerrevisions", "ControllerRevision", true },
    .singular = "controllerrevision",
    .list_kind = "ControllerRevisionList",
    .short_names = (const char *const[]){ NULL },
    .categories = (const char *const[]){ NULL },
    .builtin = true,
    .strategy = &(const struct api_strategy){ .validate = validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
