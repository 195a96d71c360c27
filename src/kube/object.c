/* One allocation holds the struct, the decoded keys and the text, so that a cache of many small
 * objects costs one block each and a reader touches no other memory. */
#include "kube/object.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"

struct object_block {
    struct kube_object o; /* first: a kube_object * is an object_block * */
    unsigned refs;
    char bytes[];
};

/* A string ends at its first NUL here, whatever length JSON gave it, so that packed strings stay in
 * step. */
static char *put_string(char **at, const char *s)
{
    char *start = *at;
    size_t size = strlen(s) + 1;
    memcpy(start, s, size);
    *at = start + size;
    return start;
}

static size_t labels_size(const struct json *labels)
{
    size_t size = 0;
    JSON_FOREACH(it, labels) {
        if (json_is_string(it.value))
            size += it.key_len + 1 + json_string_len(it.value) + 1;
    }
    return size;
}

static void put_labels(struct kube_object *o, char **at, const struct json *labels)
{
    o->labels = *at;
    JSON_FOREACH(it, labels) {
        if (!json_is_string(it.value))
            continue;
        put_string(at, it.key);
        put_string(at, json_string(it.value));
        o->label_count++;
    }
}

/* The keys that are decoded, in the order of the members that they fill. */
enum {
    KEY_NS,
    KEY_NAME,
    KEY_UID,
    KEY_VERSION,
    KEY_OWNER_UID,
    KEY_OWNER_KIND,
    KEY_OWNER_NAME,
    KEY_COUNT
};

struct kube_object *kube_object_new(const struct json *value)
{
    const struct json *meta = json_get(value, "metadata");
    const struct json *owner = meta_controller_of(value);
    const struct json *labels = json_get(meta, "labels");
    const struct json *keys[KEY_COUNT] = {
        [KEY_NS] = json_get(meta, "namespace"),
        [KEY_NAME] = json_get(meta, "name"),
        [KEY_UID] = json_get(meta, "uid"),
        [KEY_VERSION] = json_get(meta, "resourceVersion"),
        [KEY_OWNER_UID] = json_get(owner, "uid"),
        [KEY_OWNER_KIND] = json_get(owner, "kind"),
        [KEY_OWNER_NAME] = json_get(owner, "name"),
    };
    /* The value is in memory already, so that it bounds the text. */
    AUTO_BUF text = BUF_INIT(SIZE_MAX / 4);
    json_write(value, &text);

    size_t size = text.len + 1 + labels_size(labels);
    for (size_t i = 0; i < KEY_COUNT; i++)
        size += json_string_len(keys[i]) + 1;

    struct object_block *b = mem_alloc(sizeof(*b) + size);
    *b = (struct object_block){ .refs = 1 };
    char *at = b->bytes;
    const char *decoded[KEY_COUNT];
    for (size_t i = 0; i < KEY_COUNT; i++)
        decoded[i] = put_string(&at, json_is_string(keys[i]) ? json_string(keys[i]) : "");
    b->o.ns = decoded[KEY_NS];
    b->o.name = decoded[KEY_NAME];
    b->o.uid = decoded[KEY_UID];
    b->o.resource_version = decoded[KEY_VERSION];
    b->o.controller_uid = decoded[KEY_OWNER_UID];
    b->o.controller_kind = decoded[KEY_OWNER_KIND];
    b->o.controller_name = decoded[KEY_OWNER_NAME];
    b->o.generation = meta_generation(value);
    b->o.deleting = meta_deleting(value);
    put_labels(&b->o, &at, labels);
    b->o.text = put_string(&at, buf_str(&text));
    b->o.text_len = text.len;
    return &b->o;
}

struct kube_object *kube_object_ref(struct kube_object *o)
{
    __atomic_add_fetch(&((struct object_block *)o)->refs, 1, __ATOMIC_RELAXED);
    return o;
}

void kube_object_unref(struct kube_object *o)
{
    if (o && __atomic_sub_fetch(&((struct object_block *)o)->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(o);
}

struct json *kube_object_parse(struct arena *a, const struct kube_object *o)
{
    struct json *value = NULL;
    if (json_parse(a, o->text, o->text_len, &value, NULL) < 0)
        return json_new_object(a);
    return value;
}

const char *kube_object_label(const struct kube_object *o, const char *key)
{
    const char *at = o->labels;
    for (size_t i = 0; i < o->label_count; i++) {
        const char *value = at + strlen(at) + 1;
        if (STREQ(at, key))
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

char *kube_key(struct arena *a, const char *ns, const char *name)
{
    return str_empty(ns) ? arena_strdup(a, name) : arena_printf(a, "%s/%s", ns, name);
}

void kube_key_split(struct arena *a, const char *key, const char **ret_ns, const char **ret_name)
{
    const char *slash = strchr(key, '/');
    *ret_ns = slash ? arena_strndup(a, key, (size_t)(slash - key)) : "";
    *ret_name = arena_strdup(a, slash ? slash + 1 : key);
}
