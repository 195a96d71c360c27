/* PersistentVolumes. */
#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/podspec.h"
#include "apiserver/kinds/pvc.h"
#include "base/clock.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/quantity.h"
#include "kube/selector.h"
#include "json/build.h"

#define CSI_NAME_MAX 63

/* Where the data of a volume may be, as the members of its spec are called. */
static const char *const sources[] = {
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
};

/* ---- validation ------------------------------------------------------------------------------ */

static void check_capacity(const struct json *capacity, const struct field_path *p,
                           struct field_errors *errors)
{
    static const char *const storage[] = { "storage", NULL };
    if (json_size(capacity) == 0)
        field_required(errors, p, NO_DETAIL);
    if (json_size(capacity) != 1 || !json_get(capacity, "storage"))
        field_not_supported(errors, p, capacity, storage);
    JSON_FOREACH(it, capacity) {
        const char *amount = json_string(it.value);
        if (amount && quantity_is_negative(amount))
            field_invalid_str(errors, FIELD_KEY(p, it.key), amount,
                              "must be a valid resource quantity");
        if (amount && quantity_compare(amount, "0") <= 0)
            field_invalid_str(errors, FIELD_KEY(p, it.key), amount, "must be greater than zero");
    }
}

static void check_csi(const struct json *csi, const struct field_path *p,
                      struct field_errors *errors)
{
    const char *driver = json_find_str(csi, "driver");
    if (str_empty(driver)) {
        field_required(errors, FIELD(p, "driver"), NO_DETAIL);
    } else {
        if (strlen(driver) > CSI_NAME_MAX)
            field_too_long(errors, FIELD(p, "driver"), CSI_NAME_MAX);
        check_text(driver, kube_validate_dns1123_subdomain, FIELD(p, "driver"), errors);
    }
    if (str_empty(json_find_str(csi, "volumeHandle")))
        field_required(errors, FIELD(p, "volumeHandle"), NO_DETAIL);
}

static void check_local(const struct json *spec, const struct field_path *p,
                        struct field_errors *errors)
{
    const char *path = json_find_str(spec, "local", "path");
    if (str_empty(path))
        field_required(errors, FIELD(FIELD(p, "local"), "path"), NO_DETAIL);
    else
        podspec_validate_no_backsteps(path, FIELD(FIELD(p, "local"), "path"), errors);
    if (!json_is_object(json_get(spec, "nodeAffinity")))
        field_required(errors, FIELD(p, "nodeAffinity"), "Local volume requires node affinity");
}

static void check_nfs(const struct json *nfs, const struct field_path *p,
                      struct field_errors *errors)
{
    const char *path = json_find_str(nfs, "path");
    if (str_empty(json_find_str(nfs, "server")))
        field_required(errors, FIELD(p, "server"), NO_DETAIL);
    if (str_empty(path))
        field_required(errors, FIELD(p, "path"), NO_DETAIL);
    if (str_empty(path) || *path != '/')
        field_invalid_str(errors, FIELD(p, "path"), path ? path : "", "must be an absolute path");
}

static void check_source(const struct json *spec, const struct field_path *p,
                         struct field_errors *errors)
{
    size_t found = 0;
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        const struct json *source = json_get(spec, sources[i]);
        if (!json_is_object(source))
            continue;
        if (found++) {
            field_forbidden(errors, FIELD(p, sources[i]),
                            "may not specify more than 1 volume type");
            continue;
        }
        if (STREQ(sources[i], "hostPath"))
            podspec_validate_host_path(source, FIELD(p, "hostPath"), errors);
        else if (STREQ(sources[i], "nfs"))
            check_nfs(source, FIELD(p, "nfs"), errors);
        else if (STREQ(sources[i], "local"))
            check_local(spec, p, errors);
        else if (STREQ(sources[i], "csi"))
            check_csi(source, FIELD(p, "csi"), errors);
    }
    if (!found)
        field_required(errors, p, "must specify a volume type");
}

static void check_spec(const struct json *spec, const struct field_path *p,
                       struct field_errors *errors)
{
    static const char *const policies[] = { "Delete", "Recycle", "Retain", NULL };
    static const char *const modes[] = { "Block", "Filesystem", NULL };
    const struct json *access = json_get(spec, "accessModes"),
                      *affinity = json_get(spec, "nodeAffinity");
    const char *policy = json_find_str(spec, "persistentVolumeReclaimPolicy"),
               *class = json_find_str(spec, "storageClassName"),
               *mode = json_find_str(spec, "volumeMode"),
               *path = json_find_str(spec, "hostPath", "path");
    if (json_size(access) == 0)
        field_required(errors, FIELD(p, "accessModes"), NO_DETAIL);
    pvc_validate_access(access, FIELD(p, "accessModes"), errors);
    check_capacity(json_get(spec, "capacity"), FIELD(p, "capacity"), errors);
    if (!str_empty(policy) && !is_one_of(policy, policies))
        field_not_supported_str(errors, FIELD(p, "persistentVolumeReclaimPolicy"), policy,
                                policies);
    if (json_is_object(affinity)) {
        const struct json *required = json_get(affinity, "required");
        const struct field_path *at = FIELD(FIELD(p, "nodeAffinity"), "required");
        if (json_is_object(required))
            podspec_validate_node_terms(json_get(required, "nodeSelectorTerms"),
                                        FIELD(at, "nodeSelectorTerms"), errors);
        else
            field_required(errors, at, "must specify required node constraints");
    }
    check_source(spec, p, errors);
    if (path && str_eq(policy, "Recycle") && path[0] == '/' && path[strspn(path, "/.")] == '\0')
        field_forbidden(errors, FIELD(p, "persistentVolumeReclaimPolicy"),
                        "may not be 'recycle' for a hostPath mount of '/'");
    if (!str_empty(class))
        check_text(class, kube_validate_dns1123_subdomain, FIELD(p, "storageClassName"), errors);
    if (mode && !is_one_of(mode, modes))
        field_not_supported_str(errors, FIELD(p, "volumeMode"), mode, modes);
}

/* Only what says where the data are. */
static struct json *source_of(struct arena *a, const struct json *spec)
{
    struct json *out = EMPTY_OBJ();
    for (size_t i = 0; i < COUNT_OF(sources); i++)
        json_set(a, out, sources[i], json_clone(a, json_get(spec, sources[i])));
    return out;
}

static void check_update(const struct json *spec, const struct json *old,
                         struct field_errors *errors)
{
    struct arena *a = errors->arena;
    const struct field_path *p = FIELD(NULL, "spec");
    struct json *now = source_of(a, spec), *was = source_of(a, old);
    check_spec(spec, p, errors); /* the API server does so twice */
    if (json_get(was, "csi") && !json_find(was, "csi", "controllerExpandSecretRef") &&
        json_get(now, "csi"))
        json_del(json_get(now, "csi"), "controllerExpandSecretRef");
    if (!json_equal(now, was)) {
        AUTO_BUF changes = BUF_INIT(64 * KIB);
        json_describe_diff(was, now, 20, &changes);
        field_forbidden(errors, FIELD(p, "persistentvolumesource"),
                        "spec.persistentvolumesource is immutable after creation\n%s",
                        buf_str(&changes));
    }
    check_immutable(json_get(spec, "volumeMode"), json_get(old, "volumeMode"),
                    FIELD(NULL, "volumeMode"), errors);
    if (json_is_object(json_get(old, "nodeAffinity")))
        check_immutable(json_get(spec, "nodeAffinity"), json_get(old, "nodeAffinity"),
                        FIELD(NULL, "nodeAffinity"), errors);
    if (json_get(old, "volumeAttributesClassName") && !json_get(spec, "volumeAttributesClassName"))
        field_forbidden(errors, FIELD(p, "volumeAttributesClassName"),
                        "update from non-nil value to nil is forbidden");
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    if (STREQ(x->subresource, "status"))
        return;
    check_spec(json_get(obj, "spec"), FIELD(NULL, "spec"), errors);
    if (x->old)
        check_update(json_get(obj, "spec"), json_get(x->old, "spec"), errors);
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* A change of the phase is dated. */
static void prepare(struct strategy_context *x, struct json *obj)
{
    static const char time_key[] = "lastPhaseTransitionTime";
    struct arena *a = x->a;
    char now[TIME_RFC3339_SIZE];
    time_format_rfc3339(x->now_wall_ns, now);
    if (!x->old) {
        json_set(a, obj, "status", OBJ("phase", STR("Pending"), time_key, STR(now)));
        return;
    }
    if (!STREQ(x->subresource, "status"))
        return;
    struct json *status = json_ensure_object(a, obj, "status");
    const struct json *was = json_get(x->old, "status"), *set = json_get(status, time_key);
    bool same_phase = same_value(json_get(status, "phase"), json_get(was, "phase"));
    if (same_phase && !set)
        json_set(a, status, time_key, json_clone(a, json_get(was, time_key)));
    else if (!same_phase && (!set || same_value(set, json_get(was, time_key))))
        json_set_str(a, status, time_key, now);
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    static const char *const annotations[][2] = {
        { "volume.beta.kubernetes.io/storage-class",
          "deprecated since v1.8; use \"storageClassName\" attribute instead" },
        { "volume.beta.kubernetes.io/mount-options",
          "deprecated since v1.31; use \"mountOptions\" attribute instead" },
    };
    struct arena *a = x->a;
    if (STREQ(x->subresource, "status"))
        return;
    for (size_t i = 0; i < COUNT_OF(annotations); i++)
        if (meta_annotation(obj, annotations[i][0]))
            json_append(x->warnings,
                        STRF("metadata.annotations[%s]: %s", annotations[i][0], annotations[i][1]));
    if (str_eq(json_find_str(obj, "spec", "persistentVolumeReclaimPolicy"), "Recycle"))
        json_append(x->warnings,
                    STR("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is "
                        "deprecated. Instead, the recommended approach is to use dynamic "
                        "provisioning."));
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    const struct json *spec = json_get(obj, "spec"), *status = json_get(obj, "status"),
                      *claim = json_get(spec, "claimRef");
    const char *ns = json_find_str(claim, "namespace"), *name = json_find_str(claim, "name");
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, cell_text(a, json_find_str(spec, "capacity", "storage"), "0"));
    json_append(cells, pvc_access_cell(a, json_get(spec, "accessModes")));
    json_append(cells, cell_text(a, json_find_str(spec, "persistentVolumeReclaimPolicy"), ""));
    json_append(cells, meta_deleting(obj) ? STR("Terminating")
                                          : cell_text(a, json_find_str(status, "phase"), ""));
    json_append(cells, claim ? STRF("%s/%s", ns ? ns : "", name ? name : "") : STR(""));
    json_append(cells, cell_text(a, json_find_str(spec, "storageClassName"), ""));
    json_append(cells, cell_text(a, json_find_str(spec, "volumeAttributesClassName"), "<unset>"));
    json_append(cells, cell_text(a, json_find_str(status, "reason"), ""));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
    json_append(cells, cell_text(a, json_find_str(spec, "volumeMode"), "<unset>"));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Capacity", "string", "", 0, "How much it holds." },
    { "Access Modes", "string", "", 0, "How it can be mounted." },
    { "Reclaim Policy", "string", "", 0, "What becomes of it when its claim is deleted." },
    { "Status", "string", "", 0, "Whether a claim has it." },
    { "Claim", "string", "", 0, "The claim that has it." },
    { "StorageClass", "string", "", 0, "Class that it belongs to." },
    { "VolumeAttributesClass", "string", "", 0, "Class of its attributes." },
    { "Reason", "string", "", 0, "Why it failed." },
    COLUMN_AGE,
    { "VolumeMode", "string", "", 1, "Filesystem or Block." },
};

const struct api_kind kind_persistent_volume = {
    .resource = { "", "v1", "persistentvolumes", "PersistentVolume", false },
    .singular = "persistentvolume",
    .list_kind = "PersistentVolumeList",
    .short_names = (const char *const[]){ "pv", NULL },
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
