#include "apiserver/crd.h"

#include "apiserver/fields/request.h"
#include "apiserver/server.h"
#include "apiserver/types.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

/* ---- names -------------------------------------------------------------------------------------------------------- */

static bool name_taken(const struct json *names, const char *name)
{
    if (str_eq(json_find_str(names, "plural"), name) ||
        str_eq(json_find_str(names, "singular"), name))
        return true;
    JSON_FOREACH(it, json_get(names, "shortNames")) {
        if (str_eq(json_string(it.value), name))
            return true;
    }
    return false;
}

static bool kind_taken(const struct json *names, const char *kind)
{
    return str_eq(json_find_str(names, "kind"), kind) ||
           str_eq(json_find_str(names, "listKind"), kind);
}

/* What of `mine` another CRD of the group has already; NULL: nothing. Of several the last in this
 * order is told, with *ret_reason. */
static const char *find_conflict(struct arena *a, const struct json *mine,
                                 const struct json *theirs, const char **ret_reason)
{
    const char *taken = NULL, *plural = json_find_str(mine, "plural");
    const char *singular = json_find_str(mine, "singular"), *kind = json_find_str(mine, "kind");
    const char *list_kind = json_find_str(mine, "listKind");
    if (!str_empty(plural) && name_taken(theirs, plural)) {
        taken = plural;
        *ret_reason = "PluralConflict";
    }
    if (!str_empty(singular) && name_taken(theirs, singular)) {
        taken = singular;
        *ret_reason = "SingularConflict";
    }
    JSON_FOREACH(it, json_get(mine, "shortNames")) {
        const char *name = json_string(it.value);
        if (name && name_taken(theirs, name)) {
            taken = name;
            *ret_reason = "ShortNamesConflict";
        }
    }
    if (!str_empty(kind) && kind_taken(theirs, kind)) {
        taken = kind;
        *ret_reason = "KindConflict";
    }
    if (!str_empty(list_kind) && kind_taken(theirs, list_kind)) {
        taken = list_kind;
        *ret_reason = "ListKindConflict";
    }
    return taken ? arena_printf(a, "%s is already in use", go_quote(a, taken)) : NULL;
}

static const char *conflict(struct api_request *rq, const struct json *crd, const char **ret_reason)
{
    struct store_list all;
    store_peek_list(rq->server->store, CRDS_RESOURCE, NULL, &all);
    const char *found = NULL;
    for (size_t i = 0; i < all.count && !found; i++) {
        if (STREQ(all.items[i]->name, meta_name(crd)))
            continue;
        const struct json *other = kube_object_parse(rq->a, all.items[i]);
        if (str_eq(json_find_str(other, "spec", "group"), json_find_str(crd, "spec", "group")))
            found = find_conflict(rq->a, json_find(crd, "spec", "names"),
                                  json_find(other, "status", "acceptedNames"), ret_reason);
    }
    store_list_done(&all);
    return found;
}

/* ---- status ------------------------------------------------------------------------------------------------------- */

static void remember_stored_version(struct arena *a, struct json *status, const struct json *spec)
{
    struct json *stored = json_ensure_array(a, status, "storedVersions");
    JSON_FOREACH(it, json_get(spec, "versions")) {
        const char *name = json_find_str(it.value, "name");
        if (!json_find_bool(it.value, false, "storage") || !name)
            continue;
        bool known = false;
        JSON_FOREACH(s, stored)
            known |= str_eq(json_string(s.value), name);
        if (!known)
            json_append(stored, STR(name));
    }
}

static struct json *accepted_names(struct arena *a, const struct json *names)
{
    struct json *accepted = json_clone(a, names);
    const char *kind = json_find_str(names, "kind");
    if (kind && str_empty(json_find_str(names, "singular")))
        json_set_str(a, accepted, "singular", str_lower(a, kind));
    if (kind && str_empty(json_find_str(names, "listKind")))
        json_set(a, accepted, "listKind", STRF("%sList", kind));
    return accepted;
}

static void set_condition(struct api_request *rq, struct json *conditions, const char *type,
                          const char *status, const char *reason, const char *message)
{
    struct condition c = { .type = type, .status = status, .reason = reason, .message = message };
    condition_set(rq->a, conditions, &c, 0, clock_wall(rq->server->clock));
}

void crd_on_write(struct api_request *rq, struct json *obj, const struct json *old)
{
    struct arena *a = rq->a;
    const struct json *spec = json_get(obj, "spec");
    struct json *status = json_ensure_object(a, obj, "status");
    struct json *conditions = json_ensure_array(a, status, "conditions");
    remember_stored_version(a, status, spec);
    struct json *before = json_clone(a, obj);
    api_type_default(a, api_type_find(rq->kind->api_version, "CustomResourceDefinition"), before);
    const char *reason = NULL, *message = conflict(rq, obj, &reason);
    if (message) {
        set_condition(rq, conditions, "NamesAccepted", "False", reason, message);
        if (!condition_is(conditions, "Established", "True"))
            set_condition(rq, conditions, "Established", "False", "NotAccepted",
                          "not all names are accepted");
        json_ensure_object(a, status, "acceptedNames");
    } else {
        set_condition(rq, conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found");
        if (!condition_is(conditions, "Established", "True"))
            set_condition(rq, conditions, "Established", "True", "InitialNamesAccepted",
                          "the initial names have been accepted");
        json_set(a, status, "acceptedNames", accepted_names(a, json_get(spec, "names")));
    }
    fields_track_own(rq, obj, before);
}

void crd_on_delete(struct api_request *rq, struct json *obj)
{
    struct arena *a = rq->a;
    struct json *meta = json_get(obj, "metadata");
    json_del(meta, "deletionGracePeriodSeconds");
    if (!meta_has_finalizer(obj, CRD_FINALIZER))
        json_append(json_ensure_array(a, meta, "finalizers"), STR(CRD_FINALIZER));
    struct json *conditions =
        json_ensure_array(a, json_ensure_object(a, obj, "status"), "conditions");
    set_condition(
        rq, conditions, "Terminating", "True", "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon");
}

void crd_after(struct apiserver *s)
{
    apiserver_reload_kinds(s);
}
