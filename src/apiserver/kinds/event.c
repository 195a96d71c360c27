/* Events. */
#include <string.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "json/build.h"

static void check_namespace(const struct json *obj, bool has_time, struct field_errors *errors)
{
    const char *ns = meta_namespace(obj),
               *involved = json_find_str(obj, "involvedObject", "namespace");
    bool fine = has_time ? !str_empty(involved) || STREQ(ns, "default") || STREQ(ns, "kube-system")
                : str_empty(involved) ? !*ns || STREQ(ns, "default")
                                      : STREQ(ns, involved);
    if (!fine)
        field_invalid_str(errors, FIELD(FIELD(NULL, "involvedObject"), "namespace"), involved,
                          "does not match event.namespace");
}

static void check_field(const struct json *obj, const char *name, size_t max, bool required,
                        struct field_errors *errors)
{
    const char *s = json_find_str(obj, name);
    if (required && str_empty(s))
        field_required(errors, FIELD(NULL, name), NO_DETAIL);
    if (s && strlen(s) > max)
        field_invalid_str(errors, FIELD(NULL, name), "", "can have at most %zu characters", max);
}

/* Events with a time of their own (the newer kind) have more that is required. */
static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    bool has_time = !str_empty(json_find_str(obj, "eventTime"));
    check_namespace(obj, has_time, errors);
    if (!has_time)
        return;
    const char *controller = json_find_str(obj, "reportingComponent");
    const struct field_path *p = FIELD(NULL, "reportingComponent");
    if (str_empty(controller))
        field_required(errors, p, NO_DETAIL);
    check_text(controller, kube_validate_label_key, p, errors);
    check_field(obj, "reportingInstance", 128, true, errors);
    check_field(obj, "action", 128, true, errors);
    check_field(obj, "reason", 128, true, errors);
    check_field(obj, "message", 1024, false, errors);
}

/* ---- table ----------------------------------------------------------------------------------- */

static const char *first_of(const char *x, const char *y)
{
    return str_empty(x) ? y : x;
}

static struct json *source_cell(struct arena *a, const struct json *obj)
{
    const char *component = first_of(json_find_str(obj, "source", "component"),
                                     json_find_str(obj, "reportingComponent"));
    const char *host =
        first_of(json_find_str(obj, "source", "host"), json_find_str(obj, "reportingInstance"));
    return STRF("%s%s%s", component ? component : "", str_empty(host) ? "" : ", ",
                host ? host : "");
}

static struct json *object_cell(struct arena *a, const struct json *obj)
{
    const char *kind = json_find_str(obj, "involvedObject", "kind"),
               *name = json_find_str(obj, "involvedObject", "name");
    return STRF("%s%s%s", str_lower(a, kind ? kind : ""), str_empty(name) ? "" : "/",
                name ? name : "");
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    const struct json *series = json_get(obj, "series");
    const char *first =
        first_of(json_find_str(obj, "firstTimestamp"), json_find_str(obj, "eventTime"));
    const char *last = first_of(json_find_str(obj, "lastTimestamp"), first);
    int64_t count = json_find_int(obj, 0, "count");
    if (json_is_object(series)) {
        last = json_find_str(series, "lastObservedTime");
        count = json_find_int(series, 0, "count");
    } else if (count == 0) {
        count = 1;
    }
    const char *message = json_find_str(obj, "message");
    json_append(cells, cell_age(a, last, now_wall_ns));
    json_append(cells, cell_text(a, json_find_str(obj, "type"), ""));
    json_append(cells, cell_text(a, json_find_str(obj, "reason"), ""));
    json_append(cells, object_cell(a, obj));
    json_append(cells, cell_text(a, json_find_str(obj, "involvedObject", "fieldPath"), ""));
    json_append(cells, source_cell(a, obj));
    json_append(cells, STR(str_trim(a, message ? message : "")));
    json_append(cells, cell_age(a, first, now_wall_ns));
    json_append(cells, INT(count));
    json_append(cells, STR(meta_name(obj)));
}

static void selectable(struct arena *a, struct json *obj)
{
    const char *component = json_find_str(obj, "source", "component");
    if (str_empty(component))
        component = json_find_str(obj, "reportingComponent");
    json_set_str(a, obj, "source", component ? component : "");
}

static const struct table_column columns[] = {
    { "Last Seen", "string", "", 0, "When it happened last." },
    { "Type", "string", "", 0, "Normal or Warning." },
    { "Reason", "string", "", 0, "What happened, in one word." },
    { "Object", "string", "", 0, "What it happened to." },
    { "Subobject", "string", "", 1, "The part of the object." },
    { "Source", "string", "", 1, "Who reports it." },
    { "Message", "string", "", 0, "What happened, for people." },
    { "First Seen", "string", "", 1, "When it happened first." },
    { "Count", "string", "", 1, "How often it happened." },
    { "Name", "string", "name", 1, NAME_DESCRIPTION },
};

const struct api_kind kind_event = {
    .resource = { "", "v1", "events", "Event", true },
    .singular = "event",
    .list_kind = "EventList",
    .short_names = (const char *const[]){ "ev", NULL },
    .categories = (const char *const[]){ NULL },
    .builtin = true,
    .metadata_last = true,
    .strategy = &(const struct api_strategy){ .validate = validate },
    .field_selectors =
        (const char *const[]){
            "involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
            "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion",
            "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type", NULL },
    .selectable = selectable,
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
