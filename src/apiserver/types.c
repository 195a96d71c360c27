/* The type data of data/kinds.json, compiled on first use into structs, fields and shapes.
 *
 * A type is written there as in Go ("[]v1.Container", "map[string]string", "*int32"), since that
 * text tells the shape and is what decoding errors show. Every distinct text becomes one shape, so
 * shapes may refer to each other in circles (schemas of CRDs do). The load takes well under a
 * millisecond and happens once in a process. */
#include "apiserver/types.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "apiserver/types_internal.h"
#include "base/embed.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"

EMBEDDED(kinds);

struct type_data {
    struct arena *a;
    const struct json *named;
    const struct json *structs_json;
    struct map *kinds;   /* "apps/v1/StatefulSet" → struct api_type */
    struct map *structs; /* "v1.PodSpec" → struct api_type */
    struct map *shapes;  /* text → struct shape */
};

/* Set once by load() and only read after that. */
static struct type_data data;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct {
    const char *go;
    enum shape_kind kind;
} leaves[] = {
    { "string", SHAPE_STRING },
    { "bool", SHAPE_BOOL },
    { "int32", SHAPE_INT32 },
    { "int64", SHAPE_INT64 },
    { "float64", SHAPE_FLOAT },
    { "[]uint8", SHAPE_BYTES },
    { "resource.Quantity", SHAPE_QUANTITY },
    { "intstr.IntOrString", SHAPE_INT_OR_STRING },
    { "v1.Time", SHAPE_TIME },
    { "v1.MicroTime", SHAPE_MICRO_TIME },
    { "runtime.RawExtension", SHAPE_RAW },
    { "v1.FieldsV1", SHAPE_RAW },
    { "v1.JSON", SHAPE_RAW },
    { "v1.JSONSchemaPropsOrBool", SHAPE_SCHEMA_OR_BOOL },
    { "v1.JSONSchemaPropsOrArray", SHAPE_SCHEMA_OR_LIST },
    { "v1.JSONSchemaPropsOrStringArray", SHAPE_SCHEMA_OR_STRINGS },
};

static struct shape *shape_of(const char *go);

static void shape_fill(struct shape *s, const char *go)
{
    for (size_t i = 0; i < COUNT_OF(leaves); i++) {
        if (STREQ(leaves[i].go, go)) {
            s->kind = leaves[i].kind;
            if (s->kind >= SHAPE_SCHEMA_OR_BOOL && s->kind <= SHAPE_SCHEMA_OR_STRINGS)
                s->element = shape_of("v1.JSONSchemaProps");
            return;
        }
    }
    const char *rest;
    if ((rest = str_skip_prefix(go, "[]"))) {
        s->kind = SHAPE_LIST;
        s->element = shape_of(rest);
    } else if (str_has_prefix(go, "map[") && (rest = strchr(go, ']'))) {
        s->kind = SHAPE_MAP;
        s->element = shape_of(rest + 1);
    } else if ((s->record = map_get(data.structs, go))) {
        s->kind = SHAPE_STRUCT;
    } else if ((rest = json_string(json_get(data.named, go)))) {
        shape_fill(s, rest);
        s->quantities = s->kind == SHAPE_MAP && s->element->kind == SHAPE_QUANTITY;
    } else {
        log_error("data/kinds.json has a type of unknown shape", "type", go, NULL);
        abort();
    }
}

/* "[]discovery.v1.EndpointPort" is "[]v1.EndpointPort" in messages: what tells two types of one
 * name apart in the file is no part of the name. */
static const char *shown(const char *go)
{
    size_t lists = strspn(go, "[]");
    const char *name = go + lists, *dot = strchr(name, '.');
    if (str_has_prefix(name, "map[") || !dot || !strchr(dot + 1, '.'))
        return arena_strdup(data.a, go);
    return arena_printf(data.a, "%.*s%s", (int)lists, go, dot + 1);
}

/* The shape is known by its text before its parts are made: that ends the circles. */
static struct shape *shape_of(const char *go)
{
    struct shape *s = map_get(data.shapes, go);
    if (s)
        return s;
    s = arena_zalloc(data.a, sizeof *s);
    map_set(data.shapes, go, s);
    const char *pointed = str_skip_prefix(go, "*");
    s->pointer = pointed != NULL;
    s->go = shown(pointed ? pointed : go);
    shape_fill(s, pointed ? pointed : go);
    return s;
}

static int compare_fields(const void *x, const void *y)
{
    return strcmp(((const struct type_field *)x)->name, ((const struct type_field *)y)->name);
}

/* Where nothing is said of a list, it is as strategic merge patches see it. */
static void fill_list(struct type_field *f, const struct json *spec)
{
    const char *list = json_find_str(spec, "list");
    const struct json *keys = json_get(spec, "keys");
    if (!list)
        list = !f->merge_key ? "atomic" : *f->merge_key ? "map" : "set";
    f->list = STREQ(list, "map")   ? FIELD_LIST_MAP
              : STREQ(list, "set") ? FIELD_LIST_SET
                                   : FIELD_LIST_ATOMIC;
    const char **names = arena_zalloc(data.a, (json_size(keys) + 2) * sizeof *names);
    names[0] = f->merge_key;
    JSON_FOREACH(it, keys)
        names[it.index] = json_string(it.value);
    f->list_keys = names;
}

static void record_fill(struct api_type *t, const struct json *members)
{
    t->fields = arena_zalloc(data.a, MAX(json_size(members), 1) * sizeof *t->fields);
    JSON_FOREACH(it, members) {
        struct type_field *f = &t->fields[t->count++];
        const char *go = json_string(it.value);
        f->name = it.key;
        f->spec = it.value;
        f->shape = shape_of(go ? go : json_find_str(it.value, "type"));
        f->in = json_find_str(it.value, "in");
        f->always = json_find_bool(it.value, false, "always");
        f->required = json_find_bool(it.value, false, "required");
        f->default_value = json_get(it.value, "default");
        f->merge_key = json_find_str(it.value, "merge");
        f->retain_keys = str_eq(json_find_str(it.value, "patch"), "retainKeys");
        f->replace = str_eq(json_find_str(it.value, "patch"), "replace");
        f->atomic_map = str_eq(json_find_str(it.value, "map"), "atomic");
        f->granular = str_eq(json_find_str(it.value, "map"), "granular");
        if (f->shape->kind == SHAPE_LIST)
            fill_list(f, it.value);
    }
    qsort(t->fields, t->count, sizeof *t->fields, compare_fields);
}

static void load(void)
{
    data.a = arena_new();
    data.kinds = map_new(NULL);
    data.structs = map_new(NULL);
    data.shapes = map_new(NULL);
    struct json *root = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (json_parse(data.a, data_kinds, data_kinds_size, &root, &err) < 0) {
        log_error("data/kinds.json cannot be read", "error", error_message(err), NULL);
        abort();
    }
    data.named = json_get(root, "named");
    data.structs_json = json_get(root, "structs");
    JSON_FOREACH(it, data.structs_json) {
        struct api_type *t = arena_zalloc(data.a, sizeof *t);
        t->go = it.key;
        const char *dot = strrchr(it.key, '.');
        t->name = dot ? dot + 1 : it.key;
        map_set(data.structs, it.key, t);
    }
    JSON_FOREACH(it, data.structs_json)
        record_fill(map_get(data.structs, it.key), it.value);
    JSON_FOREACH(it, json_get(root, "atomic")) {
        struct api_type *t = map_get(data.structs, json_string(it.value));
        t->atomic = true;
    }
    JSON_FOREACH(it, json_get(root, "kinds"))
        map_set(data.kinds, it.key, map_get(data.structs, json_string(it.value)));
}

const struct api_type *api_type_struct(const char *go)
{
    pthread_once(&once, load);
    return map_get(data.structs, go);
}

const struct api_type *api_type_find(const char *api_version, const char *kind)
{
    pthread_once(&once, load);
    char key[256];
    size_t n = strlen(api_version), k = strlen(kind);
    if (n + k + 2 > sizeof key)
        return NULL;
    memcpy(key, api_version, n);
    key[n] = '/';
    memcpy(key + n + 1, kind, k + 1);
    return map_get(data.kinds, key);
}

const struct type_field *type_field_find(const struct api_type *t, const char *name)
{
    struct type_field key = { .name = name };
    return bsearch(&key, t->fields, t->count, sizeof *t->fields, compare_fields);
}
