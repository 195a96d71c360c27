#include "apiserver/table.h"

#include <math.h>
#include <string.h>

#include "apiserver/kinds/cells.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "schema/field.h"
#include "json/build.h"
#include "json/path.h"

/* ---- columns of CRDs ------------------------------------------------------------------------- */

struct crd_column {
    const char *name;
    const char *type;
    const char *format;
    const char *description;
    int64_t priority;
    struct json_path *path;
};

struct crd_columns {
    struct arena *a;
    struct crd_column *items;
    size_t count;
};

static bool is_one_of(const char *s, const char *list)
{
    const char *found = strstr(list, s);
    size_t len = strlen(s);
    return found && (found == list || found[-1] == ',') && (found[len] == ',' || !found[len]);
}

static void check_column(const struct json *column, const struct field_path *p,
                         struct field_errors *errors)
{
    static const char types[] = "boolean,date,integer,number,string";
    static const char formats[] = "binary,byte,date,date-time,double,float,int32,int64,password";
    const char *type = json_find_str(column, "type"), *format = json_find_str(column, "format");
    const char *path = json_find_str(column, "jsonPath");
    if (str_empty(json_find_str(column, "name")))
        field_required(errors, FIELD(p, "name"), NO_DETAIL);
    if (str_empty(type))
        field_required(errors, FIELD(p, "type"), "must be one of %s", types);
    else if (!is_one_of(type, types))
        field_invalid_str(errors, FIELD(p, "type"), type, "must be one of %s", types);
    if (!str_empty(format) && !is_one_of(format, formats))
        field_invalid_str(errors, FIELD(p, "format"), format, "must be one of %s", formats);
    if (str_empty(path))
        field_required(errors, FIELD(p, "JSONPath"), NO_DETAIL);
    else if (*path != '.')
        field_invalid_str(errors, FIELD(p, "JSONPath"), path,
                          "must be a simple json path starting with .");
}

/* A path that cannot be compiled leaves its column empty, as the API server does: it is no error of
 * the CRD. */
static void add_column(struct crd_columns *c, const char *name, const char *type,
                       const char *format, const char *description, int64_t priority,
                       const char *path)
{
    struct crd_column *column = &c->items[c->count++];
    column->name = arena_strdup(c->a, name);
    column->type = arena_strdup(c->a, type);
    column->format = arena_strdup(c->a, format ? format : "");
    column->description =
        str_empty(description)
            ? arena_printf(c->a, "Custom resource definition column (in JSONPath format): %s", path)
            : arena_strdup(c->a, description);
    column->priority = priority;
    column->path = NULL;
    json_path_compile(path, &column->path, NULL);
}

int crd_columns_compile(const struct json *additional_printer_columns, const char *path,
                        struct crd_columns **ret, struct field_errors *errors)
{
    size_t before = errors->count;
    JSON_FOREACH(it, additional_printer_columns)
        check_column(it.value, FIELD_AT(FIELD(NULL, path), it.index), errors);
    if (errors->count > before)
        return -ERROR_INVALID;
    struct crd_columns *c = NEW0(struct crd_columns);
    c->a = arena_new();
    c->items = arena_alloc(c->a, (json_size(additional_printer_columns) + 1) * sizeof *c->items);
    JSON_FOREACH(it, additional_printer_columns)
        add_column(c, json_find_str(it.value, "name"), json_find_str(it.value, "type"),
                   json_find_str(it.value, "format"), json_find_str(it.value, "description"),
                   json_find_int(it.value, 0, "priority"), json_find_str(it.value, "jsonPath"));
    if (c->count == 0)
        add_column(c, "Age", "date", "", AGE_DESCRIPTION, 0, ".metadata.creationTimestamp");
    *ret = c;
    return 0;
}

void crd_columns_free(struct crd_columns *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        json_path_free(c->items[i].path);
    arena_free(c->a);
    __builtin_free(c);
}

static struct json *text_cell(struct arena *a, const struct json *v)
{
    if (json_is_string(v))
        return json_clone(a, v);
    if (json_is_null(v))
        return STR("<nil>");
    AUTO_BUF out = BUF_INIT(4 * MIB);
    json_write_canonical(v, &out);
    return json_new_string_n(a, buf_str(&out), out.len);
}

static struct json *custom_cell(struct arena *a, const struct crd_column *column,
                                const struct json *obj, int64_t now_wall_ns)
{
    const struct json *v = column->path ? json_path_first(column->path, obj) : NULL;
    if (!v)
        return NUL();
    if (STREQ(column->type, "string"))
        return text_cell(a, v);
    if (STREQ(column->type, "integer") && json_is_number(v))
        return json_type(v) == JSON_INT ? json_clone(a, v) : INT((int64_t)json_double(v, 0));
    if ((STREQ(column->type, "number") && json_is_number(v)) ||
        (STREQ(column->type, "boolean") && json_is_bool(v)))
        return json_clone(a, v);
    if (STREQ(column->type, "date") && json_is_string(v)) {
        int64_t at;
        if (!*json_string(v))
            return STR("<unknown>");
        return time_parse_rfc3339(json_string(v), &at) < 0
                   ? STR("<invalid>")
                   : cell_age(a, json_string(v), now_wall_ns);
    }
    return NUL();
}

/* ---- tables ---------------------------------------------------------------------------------- */

static struct json *definition(struct arena *a, const char *name, const char *type,
                               const char *format, const char *description, int64_t priority)
{
    return OBJ("name", STR(name), "type", STR(type), "format", STR(format), "description",
               STR(description), "priority", INT(priority));
}

static struct json *definitions(struct arena *a, const struct api_kind *k)
{
    struct json *out = EMPTY_ARR();
    if (k->crd_columns || !k->columns)
        json_append(out, definition(a, "Name", "string", "name", NAME_DESCRIPTION, 0));
    for (size_t i = 0; k->crd_columns && i < k->crd_columns->count; i++) {
        const struct crd_column *c = &k->crd_columns->items[i];
        json_append(out, definition(a, c->name, c->type, c->format, c->description, c->priority));
    }
    for (size_t i = 0; k->columns && i < k->column_count; i++)
        json_append(out, definition(a, k->columns[i].name, k->columns[i].type, k->columns[i].format,
                                    k->columns[i].description, k->columns[i].priority));
    if (!k->crd_columns && !k->columns)
        json_append(out, definition(a, "Age", "string", "", AGE_DESCRIPTION, 0));
    return out;
}

static struct json *row_object(struct arena *a, const struct api_kind *k, const struct json *obj,
                               const char *include_object)
{
    if (STREQ(include_object, "None"))
        return NUL();
    if (STREQ(include_object, "Object")) {
        struct json *whole = OBJ("kind", STR(k->resource.kind), "apiVersion",
                                 STR(kube_api_version(a, &k->resource)));
        JSON_FOREACH(it, obj)
            json_set(a, whole, it.key, json_clone(a, it.value));
        return whole;
    }
    return OBJ("kind", STR("PartialObjectMetadata"), "apiVersion", STR("meta.k8s.io/v1"),
               "metadata", json_clone(a, json_get(obj, "metadata")));
}

static struct json *row(struct arena *a, const struct api_kind *k, const struct json *obj,
                        const char *include_object, int64_t now_wall_ns)
{
    struct json *cells = EMPTY_ARR();
    if (k->crd_columns) {
        json_append(cells, STR(meta_name(obj)));
        for (size_t i = 0; i < k->crd_columns->count; i++)
            json_append(cells, custom_cell(a, &k->crd_columns->items[i], obj, now_wall_ns));
    } else if (k->cells) {
        k->cells(a, obj, now_wall_ns, cells);
    } else {
        json_append(cells, STR(meta_name(obj)));
        json_append(cells,
                    cell_age(a, json_find_str(obj, "metadata", "creationTimestamp"), now_wall_ns));
    }
    struct json *out = OBJ("cells", cells);
    struct json *conditions = k->row_conditions ? k->row_conditions(a, obj) : NULL;
    if (conditions)
        json_set(a, out, "conditions", conditions);
    json_set(a, out, "object", row_object(a, k, obj, include_object));
    return out;
}

struct json *table_from(struct arena *a, const struct api_kind *k,
                        const struct json *list_or_object, const char *include_object,
                        bool with_columns, int64_t now_wall_ns)
{
    const struct json *meta = json_get(list_or_object, "metadata"),
                      *items = json_get(list_or_object, "items");
    const char *include = str_empty(include_object) ? "Metadata" : include_object;
    bool is_list = json_is_array(items) && !json_find_str(meta, "name");
    struct json *rows = EMPTY_ARR();
    if (is_list)
        JSON_FOREACH(it, items)
            json_append(rows, row(a, k, it.value, include, now_wall_ns));
    else
        json_append(rows, row(a, k, list_or_object, include, now_wall_ns));
    struct json *table_meta =
        OBJ("resourceVersion", json_clone(a, json_get(meta, "resourceVersion")));
    const char *more = json_find_str(meta, "continue");
    if (is_list && !str_empty(more)) {
        json_set_str(a, table_meta, "continue", more);
        json_set(a, table_meta, "remainingItemCount",
                 json_clone(a, json_get(meta, "remainingItemCount")));
    }
    return OBJ("kind", STR("Table"), "apiVersion", STR("meta.k8s.io/v1"), "metadata", table_meta,
               "columnDefinitions", with_columns ? definitions(a, k) : NUL(), "rows", rows);
}
