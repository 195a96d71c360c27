/* PersistentVolumeClaims. */
#include "apiserver/kinds/pvc.h"

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/podspec.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/quantity.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

/* ---- validation ------------------------------------------------------------------------------ */

void pvc_validate_access(const struct json *modes, const struct field_path *p,
                         struct field_errors *errors)
{
    static const char *const known[] = { "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                         "ReadWriteOncePod", NULL };
    bool once_pod = false, other = false;
    JSON_FOREACH(it, modes) {
        const char *mode = json_string(it.value);
        if (!is_one_of(mode, known))
            field_not_supported_str(errors, p, mode, known);
        else if (STREQ(mode, "ReadWriteOncePod"))
            once_pod = true;
        else
            other = true;
    }
    if (once_pod && other)
        field_forbidden(errors, p, "may not use ReadWriteOncePod with other access modes");
}

static void check_storage(const struct json *spec, const struct field_path *path,
                          struct field_errors *errors)
{
    const char *storage = json_find_str(spec, "resources", "requests", "storage");
    const struct field_path *p = FIELD_KEY(FIELD(path, "resources"), "storage");
    if (!storage)
        field_required(errors, p, NO_DETAIL);
    else if (quantity_compare(storage, "0") <= 0)
        field_invalid_str(errors, p, storage, "must be greater than zero");
}

static void check_source(const struct json *source, const struct field_path *p,
                         struct field_errors *errors)
{
    const char *kind = json_find_str(source, "kind"), *group = json_find_str(source, "apiGroup");
    if (str_empty(json_find_str(source, "name")))
        field_required(errors, FIELD(p, "name"), NO_DETAIL);
    if (str_empty(kind))
        field_required(errors, FIELD(p, "kind"), NO_DETAIL);
    if (str_empty(group) && !str_eq(kind, "PersistentVolumeClaim"))
        field_invalid_str(errors, p, kind,
                          "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    if (!str_empty(group))
        check_text(group, kube_validate_dns1123_subdomain, FIELD(p, "apiGroup"), errors);
    const char *ns = json_find_str(source, "namespace");
    if (!str_empty(ns))
        check_text(ns, kube_validate_dns1123_label, FIELD(p, "namespace"), errors);
}

/* Both name the same source where both are given. */
static void check_sources(const struct json *spec, const struct field_path *p,
                          struct field_errors *errors)
{
    static const char *const sources[] = { "dataSource", "dataSourceRef" };
    static const char *const members[] = { "apiGroup", "kind", "name" };
    const struct json *one = json_get(spec, sources[0]), *other = json_get(spec, sources[1]);
    for (size_t i = 0; i < COUNT_OF(sources); i++)
        if (json_is_object(json_get(spec, sources[i])))
            check_source(json_get(spec, sources[i]), FIELD(p, sources[i]), errors);
    if (!json_is_object(one) || !json_is_object(other))
        return;
    if (!str_empty(json_find_str(other, "namespace"))) {
        field_invalid_raw(errors, p, "{}",
                          "may not be specified when dataSourceRef.namespace is specified");
        return;
    }
    bool same = true;
    for (size_t i = 0; i < COUNT_OF(members); i++)
        same = same && same_value(json_get(one, members[i]), json_get(other, members[i]));
    if (!same)
        field_invalid_raw(errors, p, "{}", "must match dataSourceRef");
}

void pvc_validate_spec(const struct json *spec, const struct field_path *p,
                       struct field_errors *errors)
{
    static const char *const modes[] = { "Block", "Filesystem", NULL };
    const struct json *access = json_get(spec, "accessModes");
    const char *class = json_find_str(spec, "storageClassName"),
               *mode = json_find_str(spec, "volumeMode");
    if (json_size(access) == 0)
        field_required(errors, FIELD(p, "accessModes"), "at least 1 access mode is required");
    metadata_validate_selector(json_get(spec, "selector"), FIELD(p, "selector"), errors);
    pvc_validate_access(access, FIELD(p, "accessModes"), errors);
    check_storage(spec, p, errors);
    if (!str_empty(class))
        check_text(class, kube_validate_dns1123_subdomain, FIELD(p, "storageClassName"), errors);
    if (mode && !is_one_of(mode, modes))
        field_not_supported_str(errors, FIELD(p, "volumeMode"), mode, modes);
    check_sources(spec, p, errors);
    const char *attributes = json_find_str(spec, "volumeAttributesClassName");
    if (!str_empty(attributes))
        check_text(attributes, kube_validate_dns1123_subdomain,
                   FIELD(p, "volumeAttributesClassName"), errors);
}

/* A claim without a volume may be given one, and a class; a bound one may be asked to grow. */
static struct json *with_old_parts(struct arena *a, const struct json *obj, const struct json *old)
{
    struct json *munged = json_clone(a, json_get(obj, "spec"));
    const struct json *was = json_get(old, "spec");
    if (str_empty(json_find_str(was, "volumeName")))
        json_set(a, munged, "volumeName", json_clone(a, json_get(was, "volumeName")));
    if (!json_get(was, "storageClassName"))
        json_del(munged, "storageClassName");
    if (str_eq(json_find_str(obj, "status", "phase"), "Bound")) {
        struct json *requests = json_find(munged, "resources", "requests");
        if (requests)
            json_set(a, requests, "storage",
                     json_clone(a, json_find(was, "resources", "requests", "storage")));
        json_set(a, munged, "volumeAttributesClassName",
                 json_clone(a, json_get(was, "volumeAttributesClassName")));
    }
    return munged;
}

static void check_update(const struct json *obj, const struct json *old,
                         struct field_errors *errors)
{
    const struct json *munged = with_old_parts(errors->arena, obj, old),
                      *was = json_get(old, "spec");
    if (!json_equal(munged, was)) {
        AUTO_BUF changes = BUF_INIT(64 * KIB);
        json_describe_diff(was, munged, 20, &changes);
        field_forbidden(
            errors, FIELD(NULL, "spec"),
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
            "claims\n%s",
            buf_str(&changes));
    }
    const char *before = json_find_str(was, "resources", "requests", "storage"),
               *now = json_find_str(obj, "spec", "resources", "requests", "storage"),
               *has = json_find_str(old, "status", "capacity", "storage");
    const struct field_path *p =
        FIELD(FIELD(FIELD(FIELD(NULL, "spec"), "resources"), "requests"), "storage");
    if (before && now && quantity_compare(now, before) < 0 &&
        quantity_compare(now, has ? has : "0") <= 0)
        field_forbidden(errors, p, "field can not be less than status.capacity");
    check_immutable(json_find(obj, "spec", "volumeMode"), json_get(was, "volumeMode"),
                    FIELD(NULL, "volumeMode"), errors);
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    if (STREQ(x->subresource, "status"))
        return;
    pvc_validate_spec(json_get(obj, "spec"), FIELD(NULL, "spec"), errors);
    if (x->old)
        check_update(obj, x->old, errors);
}

/* What a claim is filled from: dataSource may name no more than claims and snapshots, dataSourceRef
 * anything in the same namespace; each is filled in from the other. */
static void join_sources(struct arena *a, struct json *spec, const struct json *old)
{
    struct json *one = json_get(spec, "dataSource"), *other = json_get(spec, "dataSourceRef");
    const struct json *old_one = json_get(old, "dataSource"),
                      *old_other = json_get(old, "dataSourceRef");
    if (other && !str_empty(json_find_str(other, "namespace")) && !old_other) {
        json_del(spec, "dataSourceRef");
        other = NULL;
    }
    const char *kind = json_find_str(one, "kind"), *group = json_find_str(one, "apiGroup");
    bool known = str_eq(kind, "PersistentVolumeClaim") && str_empty(group);
    known = known || (str_eq(kind, "VolumeSnapshot") && str_eq(group, "snapshot.storage.k8s.io"));
    if (one && !other && !known && !old_one && !old_other) {
        json_del(spec, "dataSource");
        one = NULL;
    }
    if (one && !other)
        json_set(a, spec, "dataSourceRef", json_clone(a, one));
    else if (other && !one && str_empty(json_find_str(other, "namespace")))
        json_set(a, spec, "dataSource", json_clone(a, other));
}

void pvc_warn_spec(const struct json *spec, const char *path, struct json *warnings,
                   struct arena *a)
{
    static const char *const lists[] = { "requests", "limits" };
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        podspec_warn_fraction(json_find(spec, "resources", lists[i]), "storage",
                              arena_printf(a, "%s.%s", path, lists[i]), warnings, a);
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    static const char annotation[] = "volume.beta.kubernetes.io/storage-class";
    struct arena *a = x->a;
    if (STREQ(x->subresource, "status"))
        return;
    if (meta_annotation(obj, annotation))
        json_append(x->warnings, STRF("metadata.annotations[%s]: deprecated since v1.8; use "
                                      "\"storageClassName\" attribute instead",
                                      annotation));
    pvc_warn_spec(json_get(obj, "spec"), "spec.resources", x->warnings, a);
}

static void prepare(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    if (!x->old)
        json_set(a, obj, "status", OBJ("phase", STR("Pending")));
    if (STREQ(x->subresource, "status"))
        return;
    join_sources(a, json_get(obj, "spec"), json_get(x->old, "spec"));
}

/* ---- table ----------------------------------------------------------------------------------- */

struct json *pvc_access_cell(struct arena *a, const struct json *modes)
{
    static const struct {
        const char *mode;
        const char *text;
    } names[] = { { "ReadWriteOnce", "RWO" },
                  { "ReadOnlyMany", "ROX" },
                  { "ReadWriteMany", "RWX" },
                  { "ReadWriteOncePod", "RWOP" } };
    AUTO_BUF out = BUF_INIT(256);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        bool found = false;
        JSON_FOREACH(it, modes)
            found = found || str_eq(json_string(it.value), names[i].mode);
        if (found)
            buf_printf(&out, "%s%s", out.len ? "," : "", names[i].text);
    }
    return STR(buf_str(&out));
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    const struct json *spec = json_get(obj, "spec"), *status = json_get(obj, "status");
    const char *volume = json_find_str(spec, "volumeName");
    bool bound = !str_empty(volume);
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, meta_deleting(obj) ? STR("Terminating")
                                          : cell_text(a, json_find_str(status, "phase"), ""));
    json_append(cells, cell_text(a, volume, ""));
    json_append(cells,
                bound ? cell_text(a, json_find_str(status, "capacity", "storage"), "0") : STR(""));
    json_append(cells, bound ? pvc_access_cell(a, json_get(status, "accessModes")) : STR(""));
    json_append(cells, cell_text(a, json_find_str(spec, "storageClassName"), ""));
    json_append(cells, cell_text(a, json_find_str(spec, "volumeAttributesClassName"), "<unset>"));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
    json_append(cells, cell_text(a, json_find_str(spec, "volumeMode"), "<unset>"));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Status", "string", "", 0, "Whether it has a volume." },
    { "Volume", "string", "", 0, "Name of the volume." },
    { "Capacity", "string", "", 0, "Size of the volume." },
    { "Access Modes", "string", "", 0, "How the volume can be mounted." },
    { "StorageClass", "string", "", 0, "Class that it asks for." },
    { "VolumeAttributesClass", "string", "", 0, "Class of attributes that it asks for." },
    COLUMN_AGE,
    { "VolumeMode", "string", "", 1, "Filesystem or Block." },
};

const struct api_kind kind_pvc = {
    .resource = { "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true },
    .singular = "persistentvolumeclaim",
    .list_kind = "PersistentVolumeClaimList",
    .short_names = (const char *const[]){ "pvc", NULL },
    .categories = (const char *const[]){ NULL },
    .has_status = true,
    .builtin = true,
    .strategy =
        &(const struct api_strategy){ .prepare = prepare, .validate = validate, .warn = warn },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
