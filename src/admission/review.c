#include <string.h>

#include "admission/internal.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "json/build.h"

#define GROUP "kaito.sh/"
#define MAX_SHOWN 160
#define MAX_TEXT (64 * KIB)

/* ---- faults ------------------------------------------------------------------------------------ */

static const char *shorten(struct review *rv, const char *text)
{
    if (strlen(text) <= MAX_SHOWN)
        return text;
    return arena_printf(rv->a, "%.*s…", (int)str_utf8_valid_len(text, MAX_SHOWN), text);
}

const char *shown(struct review *rv, const struct json *v)
{
    if (json_is_null(v))
        return NULL;
    return json_is_string(v) ? json_string(v) : json_text(rv->a, v);
}

void fault(struct review *rv, const char *field, const char *value, const char *fmt, ...)
{
    struct admission_verdict *v = rv->verdict;
    if (v->fault_count == ADMISSION_MAX_FAULTS)
        return;
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(rv->a, fmt, ap);
    va_end(ap);
    if (value)
        text = arena_printf(rv->a, "\"%s\" %s", shorten(rv, value), text);
    v->faults[v->fault_count++] = (struct admission_fault){ field, value, text };
}

void warn(struct review *rv, const char *fmt, ...)
{
    struct admission_verdict *v = rv->verdict;
    if (v->warning_count == ADMISSION_MAX_WARNINGS)
        return;
    va_list ap;
    va_start(ap, fmt);
    v->warnings[v->warning_count++] = arena_vprintf(rv->a, fmt, ap);
    va_end(ap);
}

const char *member_path(struct review *rv, const char *base, const char *member)
{
    return *base ? arena_printf(rv->a, "%s.%s", base, member) : member;
}

const char *element_path(struct review *rv, const char *base, size_t index)
{
    return arena_printf(rv->a, "%s[%zu]", base, index);
}

const char *key_path(struct review *rv, const char *base, const char *key)
{
    return arena_printf(rv->a, "%s[%s]", base, key);
}

bool same_as(struct review *rv, const char *go_type, const struct json *x, const struct json *y)
{
    if (json_is_null(x) || json_is_null(y))
        return json_is_null(x) && json_is_null(y);
    AUTO_BUF first = BUF_INIT(MIB);
    AUTO_BUF second = BUF_INIT(MIB);
    if (go_json_write(rv->ad->types, go_type, "", x, &first, NULL) < 0 ||
        go_json_write(rv->ad->types, go_type, "", y, &second, NULL) < 0)
        return json_equal(x, y);
    return STREQ(buf_str(&first), buf_str(&second));
}

bool automatic_nodes(const struct review *rv)
{
    return rv->ad->settings->provisioner != PROVISIONER_BYO;
}

bool one_box(const struct review *rv)
{
    return rv->ad->settings->models_dir != NULL;
}

/* ---- the kinds ---------------------------------------------------------------------------------- */

struct kind {
    const char *name;
    const char *const versions[2];
    const char *const specs[3]; /* members that make the object's specification */
    const char *go_type;
    check_fn *on_create;
    check_fn *on_update;
    check_change_fn *on_change;
};

static const struct kind kinds[] = {
    { "Workspace",
      { "v1beta1", "v1alpha1" },
      { "resource", "inference", "tuning" },
      "WorkspaceObject",
      workspace_new,
      workspace_valid,
      workspace_change },
    { "InferenceSet",
      { "v1beta1", "v1alpha1" },
      { "spec" },
      "InferenceSetObject",
      inference_set_new,
      inference_set_valid,
      inference_set_change },
    { "MultiRoleInference",
      { "v1alpha1" },
      { "spec" },
      "MultiRoleInferenceObject",
      multi_role_new,
      multi_role_valid,
      multi_role_change },
    { "ModelMirror",
      { "v1alpha1" },
      { "spec" },
      "ModelMirrorObject",
      model_mirror_new,
      NULL,
      model_mirror_change },
    { "RAGEngine",
      { "v1beta1", "v1alpha1" },
      { "spec" },
      "RAGEngineObject",
      rag_engine_new,
      rag_engine_valid,
      rag_engine_change },
};

static const struct kind *kind_of(struct review *rv, const struct json *obj)
{
    const char *api = json_find_str(obj, "apiVersion");
    const char *name = json_find_str(obj, "kind");
    const char *version = api ? str_skip_prefix(api, GROUP) : NULL;
    for (size_t i = 0; name && version && i < COUNT_OF(kinds); i++)
        for (size_t k = 0; STREQ(kinds[i].name, name) && k < COUNT_OF(kinds[i].versions); k++)
            if (str_eq(kinds[i].versions[k], version))
                return &kinds[i];
    fault(rv, "kind", name,
          "of apiVersion \"%s\" is not reviewed here; the kinds are Workspace, InferenceSet, "
          "MultiRoleInference, ModelMirror and RAGEngine of " GROUP "v1beta1 or v1alpha1",
          api ? api : "");
    return NULL;
}

/* Where the schema keeps whatever there is (templates, volume sources), a misspelled field would be
 * lost without a word. */
static bool check_types(struct review *rv, const struct kind *kind, const struct json *obj)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    const char *field = "";
    if (go_json_check(rv->ad->types, kind->go_type, obj, rv->a, &field, &err) == 0)
        return true;
    fault(rv, field, NULL, "%s", error_message(err));
    return false;
}

static bool specification_unchanged(const struct kind *kind, const struct json *obj,
                                    const struct json *old)
{
    for (size_t i = 0; i < COUNT_OF(kind->specs) && kind->specs[i]; i++) {
        const struct json *x = json_get(obj, kind->specs[i]);
        const struct json *y = json_get(old, kind->specs[i]);
        if (json_is_null(x) != json_is_null(y) || (!json_is_null(x) && !json_equal(x, y)))
            return false;
    }
    return true;
}

static bool has_fault(const struct admission_verdict *v, const struct admission_fault *f)
{
    for (size_t i = 0; i < v->fault_count; i++)
        if (STREQ(v->faults[i].field, f->field) && STREQ(v->faults[i].message, f->message))
            return true;
    return false;
}

/* What was wrong before this change does not forbid it: rules become stricter, nodes and ConfigMaps
 * go away, and the object must still be changed, by its controller above all. */
static void check_validity(struct review *rv, check_fn *check, const struct json *obj,
                           const struct json *old)
{
    struct admission_verdict *now = arena_zalloc(rv->a, sizeof(*now));
    struct admission_verdict *before = arena_zalloc(rv->a, sizeof(*before));
    struct review of_new = { rv->a, rv->ad, now };
    struct review of_old = { rv->a, rv->ad, before };
    check(&of_new, obj);
    if (now->fault_count > 0)
        check(&of_old, old);
    struct admission_verdict *v = rv->verdict;
    for (size_t i = 0; i < now->fault_count && v->fault_count < ADMISSION_MAX_FAULTS; i++)
        if (!has_fault(before, &now->faults[i]))
            v->faults[v->fault_count++] = now->faults[i];
    for (size_t i = 0; i < now->warning_count && v->warning_count < ADMISSION_MAX_WARNINGS; i++)
        v->warnings[v->warning_count++] = now->warnings[i];
}

static void review_update(struct review *rv, const struct kind *kind, const struct json *obj,
                          const struct json *old)
{
    if (!specification_unchanged(kind, obj, old) && !check_types(rv, kind, obj))
        return;
    if (kind->on_change)
        kind->on_change(rv, obj, old);
    if (kind->on_update)
        check_validity(rv, kind->on_update, obj, old);
}

/* What is going away can be changed in any way: nothing must hold its finalizers up. */
static bool passes(const struct admission_request *q)
{
    return q->operation == ADMISSION_DELETE || !str_empty(q->subresource) ||
           (q->operation == ADMISSION_UPDATE &&
            (meta_deleting(q->object) || meta_deleting(q->old)));
}

void admission_review(struct arena *a, const struct admission *ad,
                      const struct admission_request *q, struct admission_verdict *ret)
{
    *ret = (struct admission_verdict){ .allowed = true };
    if (passes(q))
        return;
    struct review rv = { a, ad, ret };
    const struct kind *kind = kind_of(&rv, q->object);
    if (kind && q->operation == ADMISSION_UPDATE && json_is_object(q->old))
        review_update(&rv, kind, q->object, q->old);
    else if (kind && check_types(&rv, kind, q->object))
        kind->on_create(&rv, q->object);
    ret->allowed = ret->fault_count == 0;
}

/* ---- what comes out ----------------------------------------------------------------------------- */

char *admission_denial(struct arena *a, const struct admission_verdict *v)
{
    if (v->allowed)
        return NULL;
    AUTO_BUF text = BUF_INIT(MAX_TEXT);
    buf_puts(&text, "validation failed: ");
    for (size_t i = 0; i < v->fault_count; i++)
        buf_printf(&text, "%s%s: %s", i > 0 ? "\n" : "", v->faults[i].field, v->faults[i].message);
    return arena_strdup(a, buf_str(&text));
}

static struct json *warnings_json(struct arena *a, const struct admission_verdict *v)
{
    if (v->warning_count == 0)
        return NULL;
    struct json *list = json_new_array(a);
    for (size_t i = 0; i < v->warning_count; i++)
        json_append(list, STR(v->warnings[i]));
    return list;
}

struct json *admission_verdict_json(struct arena *a, const struct admission_verdict *v)
{
    struct json *errors = json_new_array(a);
    for (size_t i = 0; i < v->fault_count; i++) {
        const struct admission_fault *f = &v->faults[i];
        json_append(errors, OBJ("field", STR(f->field), "value", f->value ? STR(f->value) : NUL(),
                                "message", STR(f->message)));
    }
    return OBJ("allowed", BOOL(v->allowed), "errors", errors, "warnings", warnings_json(a, v));
}

static enum admission_operation operation_of(const struct json *request)
{
    const char *word = json_find_str(request, "operation");
    if (str_eq(word, "CREATE"))
        return ADMISSION_CREATE;
    return str_eq(word, "UPDATE") ? ADMISSION_UPDATE : ADMISSION_DELETE;
}

struct json *admission_respond(struct arena *a, const struct admission *ad,
                               const struct json *request)
{
    struct admission_request q = {
        .operation = operation_of(request),
        .subresource = json_find_str(request, "subResource"),
        .object = json_get(request, "object"),
        .old = json_get(request, "oldObject"),
    };
    struct admission_verdict *v = arena_zalloc(a, sizeof(*v));
    admission_review(a, ad, &q, v);
    struct json *status = NULL;
    if (!v->allowed)
        status = OBJ("code", INT(400), "reason", STR("BadRequest"), "message",
                     STR(admission_denial(a, v)));
    return OBJ("allowed", BOOL(v->allowed), "status", status, "warnings", warnings_json(a, v));
}

/* ---- a world of objects ------------------------------------------------------------------------- */

static bool is_kind(const struct json *obj, const char *kind)
{
    return str_eq(json_find_str(obj, "kind"), kind);
}

static const struct json *find_config_map(void *ctx, struct arena *a, const char *ns,
                                          const char *name)
{
    (void)a;
    JSON_FOREACH(it, ctx)
        if (is_kind(it.value, "ConfigMap") && str_eq(meta_name(it.value), name) &&
            str_eq(meta_namespace(it.value), ns))
            return it.value;
    return NULL;
}

static const struct json *find_nodes(void *ctx, struct arena *a, const struct json *labels)
{
    struct json *found = json_new_array(a);
    JSON_FOREACH(it, ctx)
        if (is_kind(it.value, "Node") &&
            json_contains(json_find(it.value, "metadata", "labels"), labels))
            json_append(found, json_clone(a, it.value));
    return found;
}

static bool find_thing(void *ctx, enum admission_thing thing, const char *name)
{
    const char *kind = thing == ADMISSION_CSI_DRIVER ? "CSIDriver" : "StorageClass";
    JSON_FOREACH(it, ctx)
        if (is_kind(it.value, kind) && str_eq(meta_name(it.value), name))
            return true;
    return false;
}

void admission_world_of(const struct json *objects, struct admission_world *ret)
{
    *ret = (struct admission_world){
        .ctx = (void *)(uintptr_t)objects,
        .config_map = find_config_map,
        .nodes = find_nodes,
        .exists = find_thing,
    };
}
