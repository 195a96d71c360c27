/* What the API server says of a schema when a CRD is created. */
#include "schema/schema.h"
#include "schema_test.h"

#define SPEC(text) "{'type':'object','properties':{'spec':" text "}}"

static const struct {
    const char *schema;
    const char *errors; /* "": none */
} schemas[] = {
    { "{'type':'object'}", "" },
    { SPEC("{'type':'object','x-kubernetes-preserve-unknown-fields':true}"), "" },
    { SPEC("{'x-kubernetes-int-or-string':true,'anyOf':[{'type':'integer'},{'type':'string'}]}"),
      "" },
    { SPEC(
          "{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['a'],'items':"
          "{'type':'object','required':['a'],'properties':{'a':{'type':'string'}}}}"),
      "" },
    { SPEC("{'type':'string','pattern':'^a$','minLength':1,'enum':['a'],'default':'a'}"), "" },
    { "{}", "s.type: Required value: must not be empty at the root" },
    { "{'type':'string'}", "s.type: Invalid value: 'string': must be object at the root" },
    { "{'type':'object','nullable':true}",
      "s.nullable: Forbidden: nullable cannot be true at the root" },
    { "{'type':'object','additionalProperties':true}",
      "s.additionalProperties: Forbidden: must not be used at the root" },
    { SPEC("{}"),
      "s.properties[spec].type: Required value: must not be empty for specified object fields" },
    { SPEC("{'type':'array','items':{}}"),
      "s.properties[spec].items.type: Required value: must not be empty for specified array items" },
    { SPEC("{'type':'text'}"),
      "s.properties[spec].type: Unsupported value: 'text': supported values: 'array', 'boolean', 'integer', "
      "'number', 'object', 'string'" },
    { SPEC("{'type':'array'}"), "s.properties[spec].items: Required value: must be specified" },
    { SPEC("{'type':'array','items':[{'type':'string'}]}"),
      "s.properties[spec].items: Forbidden: items must be a schema object and not an array" },
    { SPEC("{'type':'string','pattern':'('}"),
      "s.properties[spec].pattern: Invalid value: '(': must be a valid regular expression, but isn't: error "
      "parsing regexp: missing closing ): `(`" },
    { SPEC(
          "{'type':'object','properties':{'a':{'type':'string'}},'additionalProperties':{'type':'string'}}"),
      "s.properties[spec].additionalProperties: Forbidden: additionalProperties and properties are mutual "
      "exclusive" },
    { SPEC("{'type':'object','uniqueItems':true}"),
      "s.properties[spec].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity "
      "becomes quadratic" },
    { SPEC("{'type':'string','anyOf':[{'type':'string'}]}"),
      "s.properties[spec].anyOf[0].type: Forbidden: must be empty to be structural" },
    { "{'type':'object','oneOf':[{'properties':{'a':{'minLength':1}}}]}",
      "s.properties[a]: Required value: because it is defined in s.oneOf[0].properties[a]" },
    { SPEC("{'type':'object','not':{'default':1}}"),
      "s.properties[spec].not.default: Forbidden: must be undefined to be structural" },
    { SPEC("{'type':'object','x-kubernetes-list-type':'set'}"),
      "s.properties[spec].type: Invalid value: 'object': must be array if x-kubernetes-list-type is specified" },
    { SPEC("{'type':'array','x-kubernetes-list-type':'map','items':{'type':'object'}}"),
      "s.properties[spec].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type "
      "is map" },
    { SPEC("{'type':'object','x-kubernetes-map-type':'foo'}"),
      "s.properties[spec].x-kubernetes-map-type: Unsupported value: 'foo': supported values: 'atomic', "
      "'granular'" },
    { SPEC("{'type':'object','x-kubernetes-embedded-resource':true}"),
      "s.properties[spec].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true "
      "without x-kubernetes-preserve-unknown-fields" },
    { SPEC(
          "{'type':'string','x-kubernetes-int-or-string':true,'x-kubernetes-preserve-unknown-fields':true}"),
      "s.properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if "
      "x-kubernetes-int-or-string is true" },
    { "{'type':'object','properties':{'metadata':{'type':'object','properties':{'labels':{'type':'object'}}}}}",
      "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata "
      "is implicitly specified" },
    { "{'type':'object','properties':{'kind':{'type':'integer'}}}",
      "s.properties[kind].type: Invalid value: 'integer': must be string" },
    { SPEC("{'$ref':'x','type':'object'}"),
      "s.properties[spec].$ref: Forbidden: $ref is not supported" },
    { SPEC("{'type':'object','patternProperties':{'a':{'type':'string'}}}"),
      "s.properties[spec].patternProperties: Forbidden: patternProperties is not supported" },
    /* defaults */
    { SPEC("{'type':'integer','default':'x'}"),
      "s.properties[spec].default: Invalid value: 'string':  in body must be of type integer: 'string'" },
    { SPEC("{'type':'object','properties':{'a':{'type':'integer'}},'default':{'a':'x','b':1}}"),
      "s.properties[spec].default: Invalid value: {'a':'x','b':1}: must not have unknown fields\n"
      "s.properties[spec].default.a: Invalid value: 'string': a in body must be of type integer: 'string'" },
};

static void schemas_are_judged_in_the_servers_words(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(schemas); i++) {
        struct field_errors errors = { .arena = a };
        struct schema *s = NULL;
        int r = schema_compile(from_text(a, schemas[i].schema), "s", &s, &errors);
        if (strcmp(errors_text(&errors), schemas[i].errors) != 0)
            fail_msg("%s:\n%s\ninstead of\n%s", schemas[i].schema, errors_text(&errors),
                     schemas[i].errors);
        assert_int_equal(r == 0, errors.count == 0);
        assert_int_equal(s != NULL, r == 0);
        schema_free(s);
    }
}

UNIT_TESTS(TEST(schemas_are_judged_in_the_servers_words))
