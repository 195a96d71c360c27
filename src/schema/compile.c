/* Compiling a schema, and the checks of CRD creation in their order. */
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "schema/schema_internal.h"

/* A text such as "spec.versions[0].schema.openAPIV3Schema" is one name of the path. */
int schema_compile(const struct json *open_api_v3_schema, const char *path, struct schema **ret,
                   struct field_errors *errors)
{
    const struct field_path *at = FIELD(NULL, path);
    size_t before = errors->count;
    const char *unsupported = schema_unsupported(open_api_v3_schema);
    if (json_find_bool(open_api_v3_schema, false, "nullable"))
        field_forbidden(errors, FIELD(at, "nullable"), "nullable cannot be true at the root");
    struct schema *s = mem_zalloc(sizeof *s);
    s->a = arena_new();
    if (!unsupported) {
        size_t so_far = errors->count;
        schema_check_structural(open_api_v3_schema, at, errors);
        if (errors->count == so_far) {
            s->root = schema_node_new(s->a, open_api_v3_schema);
            schema_check_defaults(errors->arena, s->root, open_api_v3_schema, at, errors);
        }
    }
    schema_check_openapi(open_api_v3_schema, at, errors);
    if (errors->count == before)
        schema_check_rules(s->root, open_api_v3_schema, at, NULL, errors);
    if (unsupported && errors->count == before)
        field_invalid_str(errors, at, "", "%s", unsupported);
    if (errors->count > before) {
        schema_free(s);
        return -ERROR_INVALID;
    }
    *ret = s;
    return 0;
}

void schema_free(struct schema *s)
{
    if (!s)
        return;
    arena_free(s->a);
    __builtin_free(s);
}
