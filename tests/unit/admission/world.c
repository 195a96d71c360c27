#include "world.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "yaml/yaml.h"

static struct catalog *catalog;
static struct go_types *types;

static void free_data(void)
{
    catalog_free(catalog);
    go_types_free(types);
}

static void make_data(void)
{
    if (catalog)
        return;
    catalog = catalog_new();
    types = go_types_new();
    atexit(free_data);
}

static enum node_provisioner provisioner_of(const char *name)
{
    return str_eq(name, "byo")         ? PROVISIONER_BYO
           : str_eq(name, "karpenter") ? PROVISIONER_KARPENTER
                                       : PROVISIONER_AZURE_GPU;
}

void settings_of(struct arena *a, const struct json *config, struct operator_settings *ret)
{
    const char *cloud = json_find_str(config, "cloud");
    const char *release = json_find_str(config, "releaseNamespace");
    *ret = (struct operator_settings){
        .provisioner = provisioner_of(json_find_str(config, "provisioner")),
        .gates = GATES_DEFAULT,
        .cloud = str_eq(cloud, "unset") ? ""
                 : cloud                ? cloud
                                        : "azure",
        .release_namespace = release ? release : "kaito-workspace",
    };
    JSON_FOREACH(it, json_get(config, "gates"))
        for (int i = 0; i < GATE_COUNT; i++)
            if (STREQ(gate_name((enum gate)i), it.key))
                ret->gates.on[i] = json_bool(it.value, false);
    struct json *classes = json_new_array(a);
    JSON_FOREACH(it, json_get(config, "nodeClasses"))
        json_append(classes, OBJ("name", STR(json_string(it.value))));
    ret->node_classes = classes;
}

void review_with(struct arena *a, const struct operator_settings *settings,
                 const struct json *objects, const struct admission_request *q,
                 struct admission_verdict *ret)
{
    struct admission_world world;
    make_data();
    admission_world_of(objects, &world);
    struct admission ad = { settings, catalog, types, &world };
    admission_review(a, &ad, q, ret);
}

struct json *object_of(struct arena *a, const char *yaml)
{
    struct json *obj = NULL;
    struct error *err = NULL;
    if (yaml_parse(a, yaml, strlen(yaml), &obj, &err) < 0)
        fail_msg("%s\n%s", error_message(err), yaml);
    return obj;
}

struct json *lines_of(struct arena *a, const char *file)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    struct json *lines = json_new_array(a);
    char *path = arena_printf(a, "%s/%s", HERE, file);
    assert_int_equal(file_read(path, 16 * MIB, &text, &len, NULL), 0);
    size_t n = 0;
    char **rows = str_split(a, text, '\n', &n);
    for (size_t i = 0; i < n; i++) {
        struct json *row = NULL;
        if (!*rows[i])
            continue;
        assert_int_equal(json_parse(a, rows[i], strlen(rows[i]), &row, NULL), 0);
        json_append(lines, row);
    }
    return lines;
}
