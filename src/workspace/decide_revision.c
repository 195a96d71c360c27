/* History of the specification: one ControllerRevision per distinct hash, at most ten. Nothing
 * reads them back; the number of the current one, as an annotation of the Workspace and of its
 * StatefulSet, says whether the pods are of this specification. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "workspace/decide_internal.h"
#include "json/build.h"

#define MAX_REVISIONS 10
#define MAX_PRUNED 10
#define SHORTEST_NAME 5 /* characters of the hash in the name */
#define LONGEST_NAME 16

static const struct json *revision_named(const struct decider *d, const char *name)
{
    JSON_FOREACH(it, d->o->revisions)
        if (STREQ(meta_name(it.value), name))
            return it.value;
    return NULL;
}

/* Five characters of the hash name a revision; when another hash took them already, more. */
static const char *revision_name(struct decider *d, const char *hash,
                                 const struct json **ret_existing)
{
    const char *name = NULL;
    for (int n = SHORTEST_NAME; n <= LONGEST_NAME; n++) {
        name = arena_printf(d->a, "%s-%.*s", d->ws.name, n, hash);
        *ret_existing = revision_named(d, name);
        if (!*ret_existing || str_eq(meta_annotation(*ret_existing, WORKSPACE_HASH), hash))
            break;
    }
    return name;
}

static int by_revision(const struct json *x, const struct json *y)
{
    int64_t a = json_find_int(x, 0, "revision"), b = json_find_int(y, 0, "revision");
    return a < b ? -1 : a > b;
}

/* The oldest go, ten at a time; the one in use never does. */
static void prune_revisions(struct decider *d, const char *keep, size_t count)
{
    struct json *sorted = json_clone(d->a, d->o->revisions);
    json_sort(sorted, by_revision);
    size_t most = MAX_PRUNED;
    JSON_FOREACH(it, sorted) {
        if (count <= MAX_REVISIONS || most == 0)
            break;
        if (STREQ(meta_name(it.value), keep) || !meta_controlled_by(it.value, d->ws.uid))
            continue;
        decider_write(d, WRITE_DELETE, &KUBE_CONTROLLER_REVISIONS, meta_name(it.value), NULL)->uid =
            meta_uid(it.value);
        count--;
        most--;
    }
}

/* clang-format off */
static struct json *revision_object(struct decider *d, const char *name, const struct workspace_identity *id)
{
    struct arena *a = d->a;
    return OBJ("apiVersion", STR("apps/v1"),
               "kind", STR("ControllerRevision"),
               "metadata", OBJ("name", STR(name),
                               "namespace", STR(d->ws.ns),
                               "annotations", OBJ(WORKSPACE_HASH, STR(id->hash)),
                               "labels", OBJ(WORKSPACE_REVISION_NAME, STR(d->ws.name)),
                               "ownerReferences", ARR(meta_controller_ref(a, d->ws.json, &KUBE_WORKSPACES))),
               "revision", INT(d->revision),
               "data", id->data);
}
/* clang-format on */

/* One patch for what of the Workspace itself is to change. The finalizer list is written whole, so
 * it carries the version that was read: others may have added to it meanwhile. */
static void patch_workspace(struct decider *d, const char *hash)
{
    struct arena *a = d->a;
    struct json *metadata = EMPTY_OBJ();
    struct json *annotations = EMPTY_OBJ();
    const char *number = arena_printf(a, "%lld", (long long)d->revision);
    if (hash && !str_eq(meta_annotation(d->ws.json, WORKSPACE_HASH), hash))
        json_set_str(a, annotations, WORKSPACE_HASH, hash);
    if (hash && !str_eq(meta_annotation(d->ws.json, WORKSPACE_REVISION), number))
        json_set_str(a, annotations, WORKSPACE_REVISION, number);
    if (json_size(annotations) > 0)
        json_set(a, metadata, "annotations", annotations);
    if (!meta_has_finalizer(d->ws.json, WORKSPACE_FINALIZER)) {
        struct json *finalizers = json_clone(a, json_find(d->ws.json, "metadata", "finalizers"));
        finalizers = finalizers ? finalizers : EMPTY_ARR();
        json_append(finalizers, STR(WORKSPACE_FINALIZER));
        json_set(a, metadata, "finalizers", finalizers);
        json_set_str(a, metadata, "resourceVersion", meta_resource_version(d->ws.json));
    }
    if (json_size(metadata) > 0)
        decider_write(d, WRITE_PATCH, &KUBE_WORKSPACES, d->ws.name, OBJ("metadata", metadata));
}

void decide_identity(struct decider *d)
{
    struct workspace_identity id = { 0 };
    struct error *err = NULL;
    if (workspace_identify(d->a, d->in->types, d->ws.json, &id, &err) < 0) {
        decider_problem_error(d, true, err);
        patch_workspace(d, NULL);
        return;
    }
    const struct json *existing = NULL;
    const char *name = revision_name(d, id.hash, &existing);
    size_t count = json_size(d->o->revisions);
    int64_t highest = 0;
    JSON_FOREACH(it, d->o->revisions)
        highest = MAX(highest, json_find_int(it.value, 0, "revision"));
    d->revision = existing ? json_find_int(existing, 0, "revision") : highest + 1;
    patch_workspace(d, id.hash);
    if (!existing && d->ws.reserved_labels > 0)
        decider_event(d, "Warning", "ReservedLabels",
                      "resource.labelSelector asks for labels that KAITO itself puts on nodes; "
                      "they are not used");
    if (!existing) {
        decider_write(d, WRITE_CREATE, &KUBE_CONTROLLER_REVISIONS, name,
                      revision_object(d, name, &id));
        count++;
    }
    prune_revisions(d, name, count);
}
