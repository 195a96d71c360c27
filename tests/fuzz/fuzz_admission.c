/* Any object of any kind, created or changed, gets a verdict: the same one each time, with a text
 * when it is a denial. An object may always be changed into itself. The input is a row of
 * tests/unit/admission/cases.jsonl. */
#include "admission/admission.h"
#include "base/str.h"
#include "fuzz.h"
#include "json/build.h"

static void read_settings(const struct json *row, struct operator_settings *s)
{
    const struct json *config = json_get(row, "config");
    const char *cloud = json_find_str(config, "cloud");
    const char *provisioner = json_find_str(config, "provisioner");
    *s = (struct operator_settings){
        .provisioner = str_eq(provisioner, "byo")         ? PROVISIONER_BYO
                       : str_eq(provisioner, "karpenter") ? PROVISIONER_KARPENTER
                                                          : PROVISIONER_AZURE_GPU,
        .gates = GATES_DEFAULT,
        .cloud = cloud ? cloud : "azure",
        .release_namespace = "kaito-workspace",
        .node_classes = json_get(config, "nodeClasses"),
        .models_dir = json_find_bool(config, false, "oneBox") ? "/models" : NULL,
    };
    for (int i = 0; i < GATE_COUNT; i++)
        s->gates.on[i] = json_find_bool(config, s->gates.on[i], "gates", gate_name((enum gate)i));
}

static void review(struct arena *a, const struct admission *ad, const struct admission_request *q)
{
    struct admission_verdict first, second;
    admission_review(a, ad, q, &first);
    admission_review(a, ad, q, &second);
    must(first.allowed == second.allowed && first.fault_count == second.fault_count);
    must(first.allowed == (first.fault_count == 0));
    must(first.allowed == (admission_denial(a, &first) == NULL));
    must(json_text(a, admission_verdict_json(a, &first)));
    for (size_t i = 0; i < first.fault_count; i++)
        must(*first.faults[i].message && STREQ(first.faults[i].message, second.faults[i].message));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct catalog *catalog;
    static struct go_types *types;
    if (!catalog) {
        catalog = catalog_new();
        types = go_types_new();
    }
    AUTO_ARENA a = arena_new();
    struct json *row = NULL;
    if (json_parse(a, (const char *)data, size, &row, NULL) < 0 || !json_is_object(row))
        return 0;
    struct operator_settings settings;
    struct admission_world world;
    read_settings(row, &settings);
    admission_world_of(json_get(row, "objects"), &world);
    struct admission ad = { &settings, catalog, types, &world };
    const struct json *object = json_get(row, "new");
    const struct json *old = json_get(row, "old");
    const char *subresource = json_find_str(row, "subresource");
    review(a, &ad, &(struct admission_request){ ADMISSION_CREATE, subresource, object, NULL });
    review(a, &ad, &(struct admission_request){ ADMISSION_UPDATE, subresource, object, old });
    review(a, &ad, &(struct admission_request){ ADMISSION_DELETE, subresource, NULL, old });

    struct admission_verdict v;
    struct admission_request same = { ADMISSION_UPDATE, NULL, object, object };
    admission_review(a, &ad, &same, &v);
    must(v.allowed || !json_is_object(object) || STREQ(v.faults[0].field, "kind"));

    struct json *request = OBJ("operation", STR("UPDATE"), "object", json_clone(a, object),
                               "oldObject", json_clone(a, old));
    const struct json *response = admission_respond(a, &ad, request);
    must(json_find_bool(response, false, "allowed") ||
         json_find_int(response, 0, "status", "code") == 400);
    return 0;
}
