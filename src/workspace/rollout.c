/* A StatefulSet that is there follows the Workspace's specification only: edits by others stay, and
 * so does one that was taken over from the Go operator, until the Workspace itself is changed. Of
 * a changed one those parts are replaced that the specification shows in, and only where they
 * differ from what is there, so that no pod is replaced for nothing. That pods are replaced is
 * said by an event: a model that starts again does not answer meanwhile.
 *
 * The label kaito.sh/upgrade-to-version asks for the operator's own engine image; then the whole
 * pod template is made anew. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "workspace/decide_internal.h"
#include "json/build.h"

/* ---- comparing ----------------------------------------------------------------------------------------------------- */

/* Whether `live` is what `wanted` became: the API server adds defaults to objects. */
static bool became(const struct json *wanted, const struct json *live)
{
    if (json_is_object(wanted)) {
        JSON_FOREACH(it, wanted)
            if (!became(it.value, json_get(live, it.key)))
                return false;
        return json_is_object(live);
    }
    if (json_is_array(wanted)) {
        if (json_size(wanted) != json_size(live))
            return false;
        JSON_FOREACH(it, wanted)
            if (!became(it.value, json_at(live, it.index)))
                return false;
        return true;
    }
    return json_equal(wanted, live);
}

static int by_text(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static const char *sorted_words(struct arena *a, const char *line)
{
    size_t n = 0;
    char **words = str_split(a, line, ' ', &n);
    qsort(words, n, sizeof(*words), by_text);
    return str_join(a, words, n, " ");
}

/* The Go operator writes flags in any order. */
static bool same_command(struct arena *a, const struct json *x, const struct json *y)
{
    if (json_size(x) != json_size(y))
        return false;
    JSON_FOREACH(it, x) {
        const char *one = json_string(it.value), *other = json_string(json_at(y, it.index));
        if (!one || !other || !STREQ(sorted_words(a, one), sorted_words(a, other)))
            return false;
    }
    return true;
}

static bool same_piece(struct arena *a, const char *key, const struct json *wanted,
                       const struct json *live)
{
    if (STREQ(key, "command"))
        return same_command(a, wanted, live);
    return json_size(wanted) == 0 ? json_size(live) == 0 : became(wanted, live);
}

/* ---- patching ------------------------------------------------------------------------------------------------------ */

struct rollout {
    struct decider *d;
    struct json *ops;
    const char *parts; /* "command, volumes": what of the pods differs; "" nothing */
};

static void append_op(struct rollout *r, const char *op, const char *path, struct json *value)
{
    struct arena *a = r->d->a;
    json_append(r->ops, OBJ("op", STR(op), "path", STR(path), "value", value));
}

static void append_part(struct rollout *r, const char *part)
{
    r->parts = arena_printf(r->d->a, "%s%s%s", r->parts, r->parts[0] ? ", " : "", part);
}

static void append_mark(struct rollout *r)
{
    struct arena *a = r->d->a;
    struct json *mark = decide_revision_annotation(r->d);
    if (json_is_object(json_find(r->d->o->statefulset, "metadata", "annotations")))
        append_op(r, "add", "/metadata/annotations/workspace.kaito.io~1revision",
                  json_clone(a, json_get(mark, WORKSPACE_REVISION)));
    else
        append_op(r, "add", "/metadata/annotations", mark);
}

static void append_pieces(struct rollout *r, const struct json *wanted, const struct json *live,
                          const char *path, const char *const *keys)
{
    struct arena *a = r->d->a;
    for (; *keys; keys++) {
        const struct json *value = json_get(wanted, *keys), *old = json_get(live, *keys);
        if (same_piece(a, *keys, value, old))
            continue;
        append_op(r, "add", arena_printf(a, "%s/%s", path, *keys),
                  value ? json_clone(a, value) : EMPTY_ARR());
        append_part(r, *keys);
    }
}

/* What a specification shows in. Where the pods run and what machine they get was settled when
 * their nodes were asked for. */
static void append_differences(struct rollout *r)
{
    static const char *const in_container[] = { "command", "env", "volumeMounts", NULL };
    static const char *const in_pod[] = { "initContainers", "volumes", "imagePullSecrets", NULL };
    struct decider *d = r->d;
    const struct json *wanted = json_find(decide_statefulset_spec(d), "template", "spec");
    const struct json *live = json_find(d->o->statefulset, "spec", "template", "spec");
    append_pieces(r, json_at(json_get(wanted, "containers"), 0),
                  json_at(json_get(live, "containers"), 0), "/spec/template/spec/containers/0",
                  in_container);
    append_pieces(r, wanted, live, "/spec/template/spec", in_pod);
}

static void append_template(struct rollout *r)
{
    struct arena *a = r->d->a;
    append_op(r, "replace", "/spec/template",
              json_clone(a, json_get(decide_statefulset_spec(r->d), "template")));
    append_part(r, "template");
}

static void commit(struct rollout *r, const char *why)
{
    struct decider *d = r->d;
    struct write *w = decider_write(d, WRITE_JSON_PATCH, &KUBE_STATEFULSETS, d->ws.name, r->ops);
    if (r->parts[0])
        w->done = (struct decided_event){
            "Normal", "PodsReplaced",
            arena_printf(d->a,
                         "%s (%s): the pods are replaced; until the new ones are ready the "
                         "model does not answer",
                         why, r->parts),
            NULL
        };
}

/* ---- the engine image ---------------------------------------------------------------------------------------------- */

static const struct json *engine_container(const struct decider *d)
{
    JSON_FOREACH(it, json_find(d->o->statefulset, "spec", "template", "spec", "containers"))
        if (STREQ(meta_name(it.value), d->ws.name) ||
            str_eq(json_find_str(it.value, "name"), d->ws.name))
            return it.value;
    return NULL;
}

static bool wants_upgrade(const struct decider *d)
{
    const struct engine *engine = d->choice.engine;
    const struct json *live = engine_container(d);
    const char *image = json_find_str(live, "image");
    return engine->in_base_image && !d->ws.template && image &&
           str_eq(meta_label(d->ws.json, WORKSPACE_UPGRADE), KAITO_BASE_TAG) &&
           !STREQ(image, engine_base_image(d->a, d->in->settings));
}

static void upgrade(struct decider *d)
{
    struct arena *a = d->a;
    struct rollout r = { .d = d, .ops = EMPTY_ARR(), .parts = "" };
    const struct json *spec = decide_statefulset_spec(d);
    append_mark(&r);
    append_template(&r);
    append_op(&r, "replace", "/spec/replicas", json_clone(a, json_get(spec, "replicas")));
    commit(&r, "the engine image goes to " KAITO_BASE_TAG);
    d->upgrading = true;
}

/* ---- together ------------------------------------------------------------------------------------------------------ */

/* Those that the Go operator made from a template carry no revision; they are marked with the one
 * they were found with. A pod template that is replaced is replaced as a whole, so that what was
 * removed from it goes. */
void decide_rollout(struct decider *d)
{
    struct arena *a = d->a;
    if (wants_upgrade(d)) {
        upgrade(d);
        return;
    }
    const char *wanted = arena_printf(a, "%lld", (long long)d->revision);
    const char *marked = meta_annotation(d->o->statefulset, WORKSPACE_REVISION);
    const char *has = marked ? marked : meta_annotation(d->ws.json, WORKSPACE_REVISION);
    bool same = !has || STREQ(has, wanted);
    if (same && marked)
        return;
    struct rollout r = { .d = d, .ops = EMPTY_ARR(), .parts = "" };
    append_mark(&r);
    if (!same && (d->ws.template || d->choice.engine->replaces_pods))
        append_template(&r);
    else if (!same)
        append_differences(&r);
    commit(&r, arena_printf(a, "the specification changed to revision %s", wanted));
}
