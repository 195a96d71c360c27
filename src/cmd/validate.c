/* `kaito validate`: what a cluster would say to objects that are created or changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admission/admission.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/crds.h"
#include "cmd/offline.h"
#include "kube/client.h"
#include "kube/meta.h"
#include "schema/schema.h"
#include "json/build.h"

#define GROUP "kaito.sh"

struct validate_flags {
    struct offline_flags offline;
    const char *file;
    const char *old;
    const char *output;
};

/* One run. */
struct validation {
    struct arena *a;
    const struct validate_flags *flags;
    const struct admission *admission;
    const struct json *old;     /* the objects of --old */
    struct kube_client *client; /* NULL: no cluster is asked */
};

static bool is_ours(const struct json *obj)
{
    return str_has_prefix(str_or_empty(json_find_str(obj, "apiVersion")), GROUP "/");
}

static bool is_in_world(const struct json *obj)
{
    static const char *const kinds[] = { "ConfigMap", "Node", "StorageClass", "CSIDriver",
                                         "Secret" };
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_eq(json_find_str(obj, "kind"), kinds[i]))
            return true;
    return false;
}

static bool same_object(const struct json *x, const struct json *y)
{
    return str_eq(json_find_str(x, "kind"), json_find_str(y, "kind")) &&
           STREQ(meta_name(x), meta_name(y)) && STREQ(meta_namespace(x), meta_namespace(y));
}

static void add_fault(struct admission_verdict *v, const char *field, const char *message)
{
    v->allowed = false;
    if (v->fault_count < ADMISSION_MAX_FAULTS)
        v->faults[v->fault_count++] =
            (struct admission_fault){ .field = field, .message = message };
}

/* ---- the schema --------------------------------------------------------------------------------- */

static const struct json *version_of(const struct json *crd, const char *api_version)
{
    const char *wanted = str_skip_prefix(api_version, GROUP "/");
    JSON_FOREACH(it, json_find(crd, "spec", "versions"))
        if (str_eq(json_find_str(it.value, "name"), wanted))
            return it.value;
    return NULL;
}

/* What the API server stores: without what it does not know, with its defaults. kubectl does not
 * send what is unknown in the first place. */
static void check_schema(struct validation *vn, const struct json *version, struct json *obj,
                         const struct json *old, struct admission_verdict *v)
{
    struct arena *a = vn->a;
    struct field_errors errors = { .arena = a };
    struct schema *schema = NULL;
    struct json *dropped = json_new_array(a);
    if (schema_compile(json_find(version, "schema", "openAPIV3Schema"), "", &schema, &errors) < 0)
        return; /* never: these schemas come along */
    schema_prune(a, schema, obj, dropped);
    schema_default(a, schema, obj);
    schema_validate(schema, obj, old, &errors);
    schema_free(schema);
    JSON_FOREACH(it, dropped)
        add_fault(v, json_string(it.value), "there is no such field; remove it");
    for (size_t i = 0; i < errors.count; i++)
        if (!STREQ(errors.items[i].field, "<nil>")) /* that there are other errors */
            add_fault(v, errors.items[i].field, errors.items[i].message);
}

static const struct json *schema_of(struct validation *vn, const struct json *obj,
                                    struct admission_verdict *v)
{
    struct arena *a = vn->a;
    const char *kind = str_or_empty(json_find_str(obj, "kind"));
    const char *api = json_find_str(obj, "apiVersion");
    struct json *crd = NULL;
    const struct json *version = NULL;
    if (crds_find(a, GROUP, kind, &crd) < 0)
        add_fault(v, "kind", arena_printf(a, "\"%s\" is no kind of " GROUP, kind));
    else if (!(version = version_of(crd, api)))
        add_fault(v, "apiVersion", arena_printf(a, "\"%s\" is no version of %s", api, kind));
    return version;
}

/* As it would be stored; NULL stays NULL. */
static struct json *stored(struct validation *vn, const struct json *version,
                           const struct json *obj)
{
    struct admission_verdict *ignored = arena_zalloc(vn->a, sizeof(*ignored));
    struct json *copy = json_clone(vn->a, obj);
    if (copy)
        check_schema(vn, version, copy, NULL, ignored);
    return copy;
}

/* ---- one object --------------------------------------------------------------------------------- */

static int find_in_cluster(struct validation *vn, const struct json *obj, struct json **ret,
                           struct error **err)
{
    struct json *crd = NULL;
    CLEANUP(error_cleanup) struct error *why = NULL;
    if (!vn->client || str_empty(meta_name(obj)) ||
        crds_find(vn->a, GROUP, str_or_empty(json_find_str(obj, "kind")), &crd) < 0)
        return 0;
    struct kube_resource resource = {
        .group = GROUP,
        .version = strrchr(json_find_str(obj, "apiVersion"), '/') + 1,
        .plural = json_find_str(crd, "spec", "names", "plural"),
        .kind = json_find_str(obj, "kind"),
        .namespaced = str_eq(json_find_str(crd, "spec", "scope"), "Namespaced"),
    };
    int r = kube_get(vn->client, &resource, resource.namespaced ? meta_namespace(obj) : NULL,
                     meta_name(obj), vn->a, ret, &why);
    if (r == 0 || r == -ERROR_NOT_FOUND)
        return 0;
    return error_set(err, error_code(why), "%s \"%s\" of the cluster: %s", resource.kind,
                     meta_name(obj), error_message(why));
}

static int find_old(struct validation *vn, const struct json *obj, const struct json **ret,
                    struct error **err)
{
    *ret = NULL;
    if (str_empty(vn->flags->old)) {
        struct json *found = NULL;
        int r = find_in_cluster(vn, obj, &found, err);
        *ret = found;
        return r;
    }
    JSON_FOREACH(it, vn->old)
        if (same_object(it.value, obj))
            *ret = it.value;
    if (*ret)
        return 0;
    return error_set(err, ERROR_NOT_FOUND, "--old %s has no %s \"%s\" in namespace \"%s\"",
                     vn->flags->old, str_or_empty(json_find_str(obj, "kind")), meta_name(obj),
                     meta_namespace(obj));
}

static int validate_one(struct validation *vn, const struct json *given,
                        struct admission_verdict *v, struct error **err)
{
    const struct json *old = NULL;
    *v = (struct admission_verdict){ .allowed = true };
    int r = find_old(vn, given, &old, err);
    const struct json *version = schema_of(vn, given, v);
    if (r < 0 || !version)
        return r;
    struct json *obj = json_clone(vn->a, given);
    struct json *before = stored(vn, version, old);
    check_schema(vn, version, obj, before, v);
    if (!v->allowed)
        return 0; /* the API server goes no further */
    struct admission_request q = {
        .operation = before ? ADMISSION_UPDATE : ADMISSION_CREATE,
        .object = obj,
        .old = before,
    };
    admission_review(vn->a, vn->admission, &q, v);
    return 0;
}

/* ---- output ------------------------------------------------------------------------------------- */

static void print_verdict(const struct json *obj, const struct admission_verdict *v)
{
    const char *ns = meta_namespace(obj);
    const char *name = meta_name(obj);
    if (str_empty(name))
        name = str_or_empty(json_find_str(obj, "metadata", "generateName"));
    printf("%s %s%s%s: %s\n", str_or_empty(json_find_str(obj, "kind")), ns, *ns ? "/" : "", name,
           v->allowed ? "allowed" : "denied");
    for (size_t i = 0; i < v->fault_count; i++)
        printf("  %s: %s\n", v->faults[i].field, v->faults[i].message);
    for (size_t i = 0; i < v->warning_count; i++)
        printf("  warning: %s\n", v->warnings[i]);
}

static struct json *named_verdict(struct arena *a, const struct json *obj,
                                  const struct admission_verdict *v)
{
    struct json *row = admission_verdict_json(a, v);
    json_set_str(a, row, "kind", json_find_str(obj, "kind"));
    json_set_str(a, row, "namespace", meta_namespace(obj));
    json_set_str(a, row, "name", meta_name(obj));
    return row;
}

/* One object gives its verdict, several give a list of them. */
static int validate_all(struct validation *vn, const struct json *objects, bool *ret_allowed,
                        struct error **err)
{
    struct arena *a = vn->a;
    const char *output = vn->flags->output;
    struct json *rows = json_new_array(a);
    *ret_allowed = true;
    JSON_FOREACH(it, objects) {
        struct admission_verdict *v = arena_zalloc(a, sizeof(*v));
        if (!is_ours(it.value))
            continue;
        int r = validate_one(vn, it.value, v, err);
        if (r < 0)
            return r;
        *ret_allowed &= v->allowed;
        json_append(rows, named_verdict(a, it.value, v));
        if (str_empty(output))
            print_verdict(it.value, v);
    }
    if (json_size(rows) == 0)
        return error_set(err, ERROR_INVALID, "%s has no object of " GROUP, vn->flags->file);
    bool empty = str_empty(vn->flags->offline.objects) && !vn->client;
    if (str_empty(output) && !*ret_allowed && empty)
        fprintf(stderr, "(Without --objects or --kubeconfig the cluster is taken to be empty.)\n");
    if (!str_empty(output))
        offline_print(json_size(rows) == 1 ? json_at(rows, 0) : rows, output);
    return 0;
}

static int run(struct arena *a, const struct validate_flags *f,
               const struct operator_settings *settings, bool *ret_allowed, struct error **err)
{
    struct offline_objects cluster;
    struct json *objects = NULL;
    struct json *old = NULL;
    struct kube_transport *transport = NULL;
    struct validation vn = { .a = a, .flags = f };
    int r = offline_read(a, f->file, f->offline.ns, &objects, err);
    if (r == 0 && !str_empty(f->old))
        r = offline_read(a, f->old, f->offline.ns, &old, err);
    if (r == 0)
        r = offline_objects(a, &f->offline, &cluster, err);
    if (r < 0)
        return r;
    /* What is applied along with it is there when it is reviewed. */
    JSON_FOREACH(it, objects)
        if (is_in_world(it.value))
            json_append(cluster.all, json_clone(a, it.value));
    CLEANUP(catalog_cleanup) struct catalog *catalog = catalog_new();
    CLEANUP(go_types_cleanup) struct go_types *types = go_types_new();
    struct admission_world world;
    admission_world_of(cluster.all, &world);
    struct admission admission = { settings, catalog, types, &world };
    vn.admission = &admission;
    vn.old = old;
    r = offline_connect(&f->offline, &transport, &vn.client, err);
    if (r == 0)
        r = validate_all(&vn, objects, ret_allowed, err);
    if (vn.client)
        kube_client_free(vn.client);
    kube_transport_free(transport);
    return r;
}

int command_validate(int argc, char **argv)
{
    struct validate_flags f = { .offline = offline_flags_default() };
    struct flag flags[] = {
        { "filename", FLAG_STRING, &f.file, "FILE",
          "objects to validate, as YAML or JSON; - is standard input", 'f' },
        { "old", FLAG_STRING, &f.old, "FILE", "what there is already: the objects are changed", 0 },
        { "output", FLAG_STRING, &f.output, "FORMAT", "json or yaml", 'o' },
        OFFLINE_FLAG_ROWS(f.offline),
        { .name = NULL },
    };
    struct flag_set set = {
        .usage = "kaito validate -f FILE [--old FILE] [flags]",
        .summary = "Says what a cluster with this operator would say to objects that are created "
                   "or changed. Exit code 1: one of them would be denied.",
        .flags = flags,
    };
    int done = command_flags(&set, argc, argv);
    if (done >= 0)
        return done;

    AUTO_ARENA a = arena_new();
    struct operator_settings settings;
    struct error *err = NULL;
    int r = offline_check_output(f.output, &err);
    if (r == 0 && str_empty(f.file))
        r = error_set(&err, ERROR_INVALID, "-f FILE is required");
    if (r == 0)
        r = offline_settings(a, &f.offline, &settings, &err);
    if (r < 0)
        return command_misused(argv[0], set.usage, err);
    bool allowed = true;
    r = run(a, &f, &settings, &allowed, &err);
    if (r < 0)
        return command_fail(argv[0], err);
    return allowed ? EXIT_DONE : EXIT_FAILED;
}
