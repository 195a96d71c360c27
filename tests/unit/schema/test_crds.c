/* The CRDs that come with the project, ours and those of others. */
#include <dirent.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/str.h"
#include "schema/schema.h"
#include "schema_test.h"

static size_t compile_versions(struct arena *a, const char *path)
{
    char *text = NULL;
    size_t len = 0;
    struct error *err = NULL;
    struct json *crd = NULL;
    if (file_read(path, 16 * MIB, &text, &len, &err) < 0 ||
        json_parse(a, text, len, &crd, &err) < 0)
        fail_msg("%s: %s", path, error_message(err));
    free(text);
    JSON_FOREACH(it, json_find(crd, "spec", "versions")) {
        struct field_errors errors = { .arena = a };
        struct schema *s = NULL;
        if (schema_compile(json_find(it.value, "schema", "openAPIV3Schema"), "schema", &s,
                           &errors) < 0)
            fail_msg("%s: %s", path, errors_text(&errors));
        struct json *empty = json_new_object(a);
        schema_default(a, s, empty);
        schema_prune(a, s, empty, NULL);
        schema_validate(s, empty, NULL, &errors);
        schema_free(s);
    }
    return json_size(json_find(crd, "spec", "versions"));
}

static void all_of_them_compile(void **state)
{
    AUTO_ARENA a = arena_new();
    DIR *folder = opendir(CRDS);
    size_t versions = 0;
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder));)
        if (str_has_suffix(e->d_name, ".json"))
            versions += compile_versions(a, arena_printf(a, "%s/%s", CRDS, e->d_name));
    closedir(folder);
    assert_true(versions >= 2);
}

UNIT_TESTS(TEST(all_of_them_compile))
