/* Volumes. Sources that a single machine cannot offer are accepted as the API server accepts them;
 * whoever runs the pod says that it cannot. */
#include <string.h>

#include "apiserver/kinds/podspec.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/selector.h"

static char present;

static const char *const volume_fields[] = { "metadata.annotations", "metadata.labels",
                                             "metadata.name",        "metadata.namespace",
                                             "metadata.uid",         NULL };

/* ---- paths and modes ------------------------------------------------------------------------- */

void podspec_validate_no_backsteps(const char *path, const struct field_path *p,
                                   struct field_errors *errors)
{
    for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        if (part[0] == '.' && part[1] == '.' && (!part[2] || part[2] == '/')) {
            field_invalid_str(errors, p, path, "must not contain '..'");
            return;
        }
    }
}

void podspec_validate_relative_path(const char *path, const struct field_path *p,
                                    struct field_errors *errors)
{
    if (*path == '/')
        field_invalid_str(errors, p, path, "must be a relative path");
    podspec_validate_no_backsteps(path, p, errors);
}

static void check_file_path(const struct json *file, const struct field_path *p,
                            struct field_errors *errors)
{
    const char *path = json_find_str(file, "path");
    if (str_empty(path)) {
        field_required(errors, FIELD(p, "path"), NO_DETAIL);
        return;
    }
    podspec_validate_relative_path(path, FIELD(p, "path"), errors);
    if (str_has_prefix(path, "..") && !str_has_prefix(path, "../"))
        field_invalid_str(errors, FIELD(p, "path"), path, "must not start with '..'");
}

static void check_mode(const struct json *holder, const char *member, const struct field_path *p,
                       struct field_errors *errors)
{
    const struct json *mode = json_get(holder, member);
    if (mode && (json_int(mode, 0) < 0 || json_int(mode, 0) > 0777))
        field_invalid(errors, FIELD(p, member), mode,
                      "must be a number between 0 and 0777 (octal), both inclusive");
}

/* ---- parts of sources ------------------------------------------------------------------------ */

static void check_items(const struct json *source, const struct field_path *p,
                        struct field_errors *errors)
{
    JSON_FOREACH(it, json_get(source, "items")) {
        const struct field_path *at = FIELD_AT(FIELD(p, "items"), it.index);
        if (str_empty(json_find_str(it.value, "key")))
            field_required(errors, FIELD(at, "key"), NO_DETAIL);
        check_file_path(it.value, at, errors);
        check_mode(it.value, "mode", at, errors);
    }
}

static void check_required(const struct json *source, const char *member,
                           const struct field_path *p, struct field_errors *errors)
{
    if (str_empty(json_find_str(source, member)))
        field_required(errors, FIELD(p, member), NO_DETAIL);
}

static void check_downward_file(const struct json *file, const struct field_path *p,
                                struct field_errors *errors)
{
    const struct json *field = json_get(file, "fieldRef"),
                      *resource = json_get(file, "resourceFieldRef");
    check_file_path(file, p, errors);
    if (field) {
        podspec_validate_field_ref(field, volume_fields, FIELD(p, "fieldRef"), errors);
        if (resource)
            field_invalid_str(errors, p, "resource",
                              "fieldRef and resourceFieldRef can not be specified simultaneously");
    } else if (resource) {
        podspec_validate_resource_ref(resource, true, FIELD(p, "resourceFieldRef"), errors);
    } else {
        field_required(errors, p, "one of fieldRef and resourceFieldRef is required");
    }
    check_mode(file, "mode", p, errors);
}

/* ---- sources --------------------------------------------------------------------------------- */

void podspec_validate_host_path(const struct json *source, const struct field_path *p,
                                struct field_errors *errors)
{
    static const char *const types[] = {
        "",     "BlockDevice",  "CharDevice", "Directory", "DirectoryOrCreate",
        "File", "FileOrCreate", "Socket",     NULL
    };
    const char *path = json_find_str(source, "path"), *type = json_find_str(source, "type");
    if (str_empty(path)) {
        field_required(errors, FIELD(p, "path"), NO_DETAIL);
        return;
    }
    podspec_validate_no_backsteps(path, FIELD(p, "path"), errors);
    if (type && !is_one_of(type, types))
        field_not_supported_str(errors, FIELD(p, "type"), type, types);
}

static void check_secret(const struct json *source, const struct field_path *p,
                         struct field_errors *errors)
{
    check_required(source, "secretName", p, errors);
    check_mode(source, "defaultMode", p, errors);
    check_items(source, p, errors);
}

static void check_config_map(const struct json *source, const struct field_path *p,
                             struct field_errors *errors)
{
    check_required(source, "name", p, errors);
    check_mode(source, "defaultMode", p, errors);
    check_items(source, p, errors);
}

static void check_claim(const struct json *source, const struct field_path *p,
                        struct field_errors *errors)
{
    check_required(source, "claimName", p, errors);
}

static void check_downward(const struct json *source, const struct field_path *p,
                           struct field_errors *errors)
{
    check_mode(source, "defaultMode", p, errors);
    JSON_FOREACH(it, json_get(source, "items"))
        check_downward_file(it.value, p, errors);
}

static void check_empty_dir(const struct json *source, const struct field_path *p,
                            struct field_errors *errors)
{
    if (quantity_is_negative(json_find_str(source, "sizeLimit")))
        field_forbidden(errors, FIELD(p, "sizeLimit"),
                        "SizeLimit field must be a valid resource quantity");
}

static void check_nfs(const struct json *source, const struct field_path *p,
                      struct field_errors *errors)
{
    const char *path = json_find_str(source, "path");
    check_required(source, "server", p, errors);
    check_required(source, "path", p, errors);
    if (!str_empty(path) && *path != '/')
        field_invalid_str(errors, FIELD(p, "path"), path, "must be an absolute path");
}

static void check_conflict(struct map *paths, const char *path, const char *shown,
                           const struct field_path *p, struct field_errors *errors)
{
    if (str_empty(path))
        return;
    if (map_has(paths, path))
        field_invalid_str(errors, p, shown, "conflicting duplicate paths");
    map_set(paths, path, &present);
}

static void check_token(const struct json *token, const struct field_path *p,
                        const struct field_path *volume, struct field_errors *errors)
{
    const struct json *expiry = json_get(token, "expirationSeconds");
    if (json_int(expiry, 3600) < 600)
        field_invalid(errors, FIELD(p, "expirationSeconds"), expiry,
                      "may not specify a duration less than 10 minutes");
    if (json_int(expiry, 3600) > INT64_C(1) << 32)
        field_invalid(errors, FIELD(p, "expirationSeconds"), expiry,
                      "may not specify a duration larger than 2^32 seconds");
    check_file_path(token, volume, errors);
}

static void check_projected(const struct json *source, const struct field_path *p,
                            struct field_errors *errors)
{
    static const char *const named[] = { "secret", "configMap" };
    AUTO_MAP paths = map_new(NULL);
    check_mode(source, "defaultMode", p, errors);
    JSON_FOREACH(it, json_get(source, "sources")) {
        const struct field_path *at = FIELD_AT(FIELD(p, "sources"), it.index);
        for (size_t i = 0; i < COUNT_OF(named); i++) {
            const struct json *part = json_get(it.value, named[i]);
            if (!part)
                continue;
            check_required(part, "name", FIELD(at, named[i]), errors);
            check_items(part, FIELD(at, named[i]), errors);
            JSON_FOREACH(item, json_get(part, "items"))
                check_conflict(paths, json_find_str(item.value, "path"),
                               json_find_str(part, "name"), p, errors);
        }
        JSON_FOREACH(file, json_find(it.value, "downwardAPI", "items")) {
            check_downward_file(file.value, FIELD(at, "downwardAPI"), errors);
            check_conflict(paths, json_find_str(file.value, "path"),
                           json_find_str(file.value, "path"), p, errors);
        }
        if (json_get(it.value, "serviceAccountToken"))
            check_token(json_get(it.value, "serviceAccountToken"), FIELD(at, "serviceAccountToken"),
                        p, errors);
        if (json_size(it.value) > 1)
            field_forbidden(errors, at, "may not specify more than 1 volume type");
    }
}

/* In the order in which the API server looks. NULL: nothing is checked. */
static const struct {
    const char *name;
    void (*check)(const struct json *source, const struct field_path *p,
                  struct field_errors *errors);
} sources[] = {
    { "emptyDir", check_empty_dir },
    { "hostPath", podspec_validate_host_path },
    { "gitRepo", NULL },
    { "gcePersistentDisk", NULL },
    { "awsElasticBlockStore", NULL },
    { "secret", check_secret },
    { "nfs", check_nfs },
    { "iscsi", NULL },
    { "glusterfs", NULL },
    { "flocker", NULL },
    { "persistentVolumeClaim", check_claim },
    { "rbd", NULL },
    { "cinder", NULL },
    { "cephfs", NULL },
    { "quobyte", NULL },
    { "downwardAPI", check_downward },
    { "fc", NULL },
    { "flexVolume", NULL },
    { "configMap", check_config_map },
    { "azureFile", NULL },
    { "storageos", NULL },
    { "vsphereVolume", NULL },
    { "photonPersistentDisk", NULL },
    { "portworxVolume", NULL },
    { "azureDisk", NULL },
    { "scaleIO", NULL },
    { "projected", check_projected },
    { "csi", NULL },
    { "ephemeral", NULL },
    { "image", NULL },
};

static void check_source(const struct json *volume, const struct field_path *p,
                         struct field_errors *errors)
{
    bool found = false;
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        const struct json *source = json_get(volume, sources[i].name);
        if (!source)
            continue;
        if (found)
            /* the API server has a letter too few in one */
            field_forbidden(errors,
                            FIELD(p, STREQ(sources[i].name, "downwardAPI") ? "downwarAPI"
                                                                           : sources[i].name),
                            "may not specify more than 1 volume type");
        else if (sources[i].check)
            sources[i].check(source, FIELD(p, sources[i].name), errors);
        found = true;
    }
    if (!found)
        field_required(errors, p, "must specify a volume type");
}

void podspec_validate_volumes(const struct json *volumes, const struct field_path *p,
                              struct field_errors *errors)
{
    AUTO_MAP names = map_new(NULL);
    JSON_FOREACH(it, volumes) {
        const struct field_path *at = FIELD_AT(p, it.index);
        const char *name = json_find_str(it.value, "name");
        size_t before = errors->count;
        check_source(it.value, at, errors);
        if (str_empty(name))
            field_required(errors, FIELD(at, "name"), NO_DETAIL);
        else
            check_text(name, kube_validate_dns1123_label, FIELD(at, "name"), errors);
        if (map_has(names, name ? name : ""))
            field_duplicate_str(errors, FIELD(at, "name"), name);
        if (errors->count == before)
            map_set(names, name, &present);
    }
}
