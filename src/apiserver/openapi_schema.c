/* The schemas in OpenAPI documents, for `kubectl explain`: of built-in kinds from the type data,
 * which has no descriptions; of custom resources as their CRD has them. */
#include "apiserver/openapi.h"
#include "apiserver/registry.h"
#include "apiserver/server.h"
#include "apiserver/store.h"
#include "apiserver/types_internal.h"
#include "base/str.h"
#include "kube/object.h"
#include "json/build.h"

#define CRDS "apiextensions.k8s.io/customresourcedefinitions"

static struct json *ref_to(struct arena *a, const struct api_type *t, struct json *schemas);

static struct json *scalar(struct arena *a, const char *type, const char *format)
{
    return OBJ("type", STR(type), "format", STR(format));
}

static struct json *schema_of(struct arena *a, const struct shape *s, struct json *schemas)
{
    switch (s->kind) {
    case SHAPE_STRING:
    case SHAPE_QUANTITY:
        return scalar(a, "string", NULL);
    case SHAPE_BYTES:
        return scalar(a, "string", "byte");
    case SHAPE_INT_OR_STRING:
        return scalar(a, "string", "int-or-string");
    case SHAPE_TIME:
    case SHAPE_MICRO_TIME:
        return scalar(a, "string", "date-time");
    case SHAPE_BOOL:
        return scalar(a, "boolean", NULL);
    case SHAPE_INT32:
        return scalar(a, "integer", "int32");
    case SHAPE_INT64:
        return scalar(a, "integer", "int64");
    case SHAPE_FLOAT:
        return scalar(a, "number", "double");
    case SHAPE_STRUCT:
        return ref_to(a, s->record, schemas);
    case SHAPE_LIST:
        return OBJ("type", STR("array"), "items", schema_of(a, s->element, schemas));
    case SHAPE_MAP:
        return OBJ("type", STR("object"), "additionalProperties",
                   schema_of(a, s->element, schemas));
    default:
        return scalar(a, "object", NULL);
    }
}

static struct json *record_schema(struct arena *a, const struct api_type *t, struct json *schemas)
{
    struct json *properties = EMPTY_OBJ(), *required = EMPTY_ARR();
    for (size_t i = 0; i < t->count; i++) {
        const struct type_field *f = &t->fields[i];
        struct json *schema = schema_of(a, f->shape, schemas);
        const struct json *values = json_get(f->spec, "enum");
        if (values)
            json_set(a, schema, "enum", json_clone(a, values));
        json_set(a, properties, f->name, schema);
        if (f->required)
            json_append(required, STR(f->name));
    }
    return OBJ("type", STR("object"), "properties", properties, "required",
               json_size(required) > 0 ? required : NULL);
}

/* A name is taken before its schema is made: types refer to each other in circles. */
static struct json *ref_to(struct arena *a, const struct api_type *t, struct json *schemas)
{
    if (!json_get(schemas, t->go)) {
        json_set(a, schemas, t->go, EMPTY_OBJ());
        json_set(a, schemas, t->go, record_schema(a, t, schemas));
    }
    return OBJ("$ref", STRF("#/components/schemas/%s", t->go));
}

/* NULL when the CRD has just gone, or never had one. */
static struct json *crd_schema(struct api_request *rq, const struct kube_resource *r,
                               struct json *schemas)
{
    struct arena *a = rq->a;
    const char *name = arena_printf(a, "%s.%s", r->plural, r->group);
    CLEANUP(kube_object_cleanup)
    struct kube_object *o = store_get(rq->server->store, CRDS, "", name);
    struct json *crd = NULL;
    if (!o || json_parse(a, o->text, o->text_len, &crd, NULL) < 0)
        return NULL;
    JSON_FOREACH(it, json_find(crd, "spec", "versions")) {
        if (!str_eq(json_find_str(it.value, "name"), r->version))
            continue;
        struct json *schema = json_clone(a, json_find(it.value, "schema", "openAPIV3Schema"));
        struct json *properties = json_get(schema, "properties");
        if (json_get(properties, "metadata"))
            json_set(a, properties, "metadata",
                     ref_to(a, api_type_struct("v1.ObjectMeta"), schemas));
        return schema;
    }
    return NULL;
}

struct json *openapi_schema(struct api_request *rq, const struct served_kind *sk,
                            struct json *schemas)
{
    struct arena *a = rq->a;
    const struct kube_resource *r = &sk->k->resource;
    const struct api_type *t = sk->k->builtin ? api_type_find(sk->api_version, r->kind) : NULL;
    struct json *schema = t ? record_schema(a, t, schemas) : crd_schema(rq, r, schemas);
    return schema ? schema
                  : OBJ("type", STR("object"), "x-kubernetes-preserve-unknown-fields", BOOL(true));
}
