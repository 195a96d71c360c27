/* Protobuf messages become JSON by walking the bytes along the shapes of the type data.
 *
 * The shape of a member tells how it is written: a bool as a varint, a string as bytes, a struct
 * as a message, a map as a list of messages {1: key, 2: value}. The types that have a form of
 * their own in JSON have one on the wire as well; they are messages of a few numbered parts, read
 * by read_parts(). See https://protobuf.dev/programming-guides/encoding for the wire format. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apiserver/protobuf_internal.h"
#include "base/clock.h"
#include "base/str.h"
#include "http/crypto.h"

static const char magic[] = { 'k', '8', 's', 0 };

/* 0001-01-01T00:00:00Z, Go's time that is none */
#define GO_ZERO_TIME INT64_C(-62135596800)

struct decoder {
    struct arena *a;
    size_t values;
    size_t merges;
    struct error **err;
};

/* Members of the maps of one message. A map's entries need not stand together, and a key may come
 * again: the last one counts. */
struct map_entry {
    const struct type_field *member;
    const char *key;
    size_t key_len;
    struct json *value;
    size_t order;
};

struct map_entries {
    struct map_entry *items;
    size_t count;
    size_t room;
};

static int read_value(struct decoder *d, const struct shape *s, const char *name, struct wire *w,
                      const struct wire_tag *tag, int depth, struct json **ret);
static int read_message(struct decoder *d, const struct proto_type *t, struct wire *w, int depth,
                        struct json *obj);

static int check_depth(struct decoder *d, const struct wire *w, int depth)
{
    if (depth <= JSON_MAX_DEPTH)
        return 0;
    return error_set(d->err, ERROR_TOO_LARGE, "proto: %s: nested more than %d deep", w->message,
                     JSON_MAX_DEPTH);
}

static struct json *new_string(struct decoder *d, const struct wire *w)
{
    return json_new_string_n(d->a, (const char *)w->at, wire_len(w));
}

/* ---- messages of few parts ------------------------------------------------------------------- */

/* One numbered part of a small message: an integer, or bytes. Of a part that comes again the last
 * one counts. */
struct part {
    const char *name;
    enum wire_type type;
    bool there;
    uint64_t number;
    struct wire bytes;
};

static int read_parts(struct decoder *d, struct wire *w, struct part parts[], size_t n)
{
    while (wire_more(w)) {
        struct wire_tag tag;
        int r = wire_tag(w, &tag, d->err);
        if (r < 0)
            return r;
        struct part *p = tag.number <= n ? &parts[tag.number - 1] : NULL;
        if (!p) {
            r = wire_skip(w, tag.type, d->err);
        } else {
            r = wire_expect(&tag, p->type, p->name, d->err);
            if (r == 0)
                r = p->type == WIRE_VARINT ? wire_varint(w, &p->number, d->err)
                                           : wire_bytes(w, &p->bytes, d->err);
            p->there = true;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_quantity(struct decoder *d, struct wire *w, struct json **ret)
{
    struct part text = { "string", WIRE_BYTES };
    int r = read_parts(d, w, &text, 1);
    if (r == 0)
        *ret = text.there ? new_string(d, &text.bytes) : json_new_string(d->a, "0");
    return r;
}

static int read_int_or_string(struct decoder *d, struct wire *w, struct json **ret)
{
    struct part parts[] = { { "type", WIRE_VARINT },
                            { "intVal", WIRE_VARINT },
                            { "strVal", WIRE_BYTES } };
    int r = read_parts(d, w, parts, COUNT_OF(parts));
    if (r < 0)
        return r;
    if (parts[0].number == 0)
        *ret = json_new_int(d->a, (int32_t)parts[1].number);
    else if (parts[0].number == 1)
        *ret = parts[2].there ? new_string(d, &parts[2].bytes) : json_new_string(d->a, "");
    else
        r = error_set(d->err, ERROR_INVALID, "impossible IntOrString.Type");
    return r;
}

/* An empty message is no time at all. Fractions of a Time are dropped: its JSON has none. */
static int read_time(struct decoder *d, struct wire *w, bool micro, struct json **ret)
{
    if (!wire_more(w))
        return 0;
    struct part parts[] = { { "seconds", WIRE_VARINT }, { "nanos", WIRE_VARINT } };
    int r = read_parts(d, w, parts, COUNT_OF(parts));
    if (r < 0)
        return r;
    int64_t seconds = (int64_t)parts[0].number;
    int32_t nanos = micro ? (int32_t)parts[1].number : 0;
    if (seconds == GO_ZERO_TIME)
        return 0;
    /* what 64 bits of nanoseconds hold: the years 1678 to 2261 */
    if (seconds < INT64_MIN / NS_PER_S + 3 || seconds > INT64_MAX / NS_PER_S - 3)
        return error_set(d->err, ERROR_INVALID, "proto: %s: %" PRId64 " is no time", w->message,
                         seconds);
    char text[TIME_RFC3339_SIZE];
    if (micro)
        time_format_rfc3339_micro(seconds * NS_PER_S + nanos, text);
    else
        time_format_rfc3339(seconds * NS_PER_S, text);
    *ret = json_new_string(d->a, text);
    return 0;
}

static bool fits(const struct json *v, int depth)
{
    if (!json_is_object(v) && !json_is_array(v))
        return true;
    if (depth > JSON_MAX_DEPTH)
        return false;
    JSON_FOREACH(it, v) {
        if (!fits(it.value, depth + 1))
            return false;
    }
    return true;
}

/* JSON within protobuf. */
static int read_raw(struct decoder *d, const char *name, struct wire *w, int depth,
                    struct json **ret)
{
    struct part raw = { "raw", WIRE_BYTES };
    int r = read_parts(d, w, &raw, 1);
    if (r < 0 || !raw.there || !wire_more(&raw.bytes))
        return r;
    struct json *v = NULL;
    r = json_parse(d->a, (const char *)raw.bytes.at, wire_len(&raw.bytes), &v, d->err);
    if (r < 0)
        return error_prefix(d->err, r, "the JSON of field %s", name);
    if (!fits(v, depth))
        return check_depth(d, w, JSON_MAX_DEPTH + 1);
    *ret = v;
    return 0;
}

/* ---- unions of CRD schemas ------------------------------------------------------------------- */

static int read_struct(struct decoder *d, const struct shape *s, struct wire *w, int depth,
                       struct json **ret)
{
    struct json *obj = json_new_object(d->a);
    struct wire inner = { w->at, w->end, s->record->name };
    int r = read_message(d, proto_type_of(s->record), &inner, depth, obj);
    if (r == 0)
        *ret = obj;
    return r;
}

static int read_schema_or_bool(struct decoder *d, const struct shape *s, struct wire *w, int depth,
                               struct json **ret)
{
    struct part parts[] = { { "allows", WIRE_VARINT }, { "schema", WIRE_BYTES } };
    int r = read_parts(d, w, parts, COUNT_OF(parts));
    if (r < 0)
        return r;
    if (parts[1].there)
        return read_struct(d, s->element, &parts[1].bytes, depth, ret);
    *ret = json_new_bool(d->a, parts[0].number != 0);
    return 0;
}

/* {1: schema, 2: list}: the list wins, as it does when Go writes the union. */
static int read_schema_or_list(struct decoder *d, const struct shape *s, struct wire *w, int depth,
                               struct json **ret)
{
    static const struct shape string = { .kind = SHAPE_STRING, .go = "string" };
    bool strings = s->kind == SHAPE_SCHEMA_OR_STRINGS;
    const struct shape *element = strings ? &string : s->element;
    struct json *list = json_new_array(d->a), *schema = NULL;
    while (wire_more(w)) {
        struct wire_tag tag;
        struct json *v = NULL;
        int r = wire_tag(w, &tag, d->err);
        if (r < 0)
            return r;
        if (tag.number == 1)
            r = read_value(d, s->element, "schema", w, &tag, depth, &schema);
        else if (tag.number == 2)
            r = read_value(d, element, "list", w, &tag, depth + 1, &v);
        else
            r = wire_skip(w, tag.type, d->err);
        if (r < 0)
            return r;
        json_append(list, v);
    }
    *ret = json_size(list) > 0 ? list : schema;
    return 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

static enum wire_type wire_type_of(const struct shape *s)
{
    switch (s->kind) {
    case SHAPE_BOOL:
    case SHAPE_INT32:
    case SHAPE_INT64:
        return WIRE_VARINT;
    case SHAPE_FLOAT:
        return WIRE_FIXED64;
    default:
        return WIRE_BYTES;
    }
}

static int read_number(struct decoder *d, const struct shape *s, const char *name, struct wire *w,
                       struct json **ret)
{
    uint64_t n;
    int r = s->kind == SHAPE_FLOAT ? wire_fixed64(w, &n, d->err) : wire_varint(w, &n, d->err);
    if (r < 0)
        return r;
    double number;
    switch (s->kind) {
    case SHAPE_BOOL:
        *ret = json_new_bool(d->a, n != 0);
        return 0;
    case SHAPE_INT32:
        *ret = json_new_int(d->a, (int32_t)n);
        return 0;
    case SHAPE_INT64:
        *ret = json_new_int(d->a, (int64_t)n);
        return 0;
    default:
        memcpy(&number, &n, sizeof number);
        if (!isfinite(number))
            return error_set(d->err, ERROR_INVALID, "proto: field %s is no finite number", name);
        *ret = json_new_double(d->a, number);
        return 0;
    }
}

/* depth: how deep a container lies that the value may be. *ret stays NULL for a value that is none:
 * an empty time, raw JSON without a byte. */
static int read_value(struct decoder *d, const struct shape *s, const char *name, struct wire *w,
                      const struct wire_tag *tag, int depth, struct json **ret)
{
    if (++d->values > PROTOBUF_MAX_VALUES)
        return error_set(d->err, ERROR_TOO_LARGE, "proto: %s: more than %d values", w->message,
                         PROTOBUF_MAX_VALUES);
    enum wire_type type = wire_type_of(s);
    int r = wire_expect(tag, type, name, d->err);
    if (r < 0)
        return r;
    if (type != WIRE_BYTES)
        return read_number(d, s, name, w, ret);
    struct wire bytes;
    r = wire_bytes(w, &bytes, d->err);
    if (r == 0)
        r = check_depth(d, w, depth);
    if (r < 0)
        return r;
    switch (s->kind) {
    case SHAPE_STRING:
        *ret = new_string(d, &bytes);
        return 0;
    case SHAPE_BYTES:
        *ret = json_new_string(d->a, base64_encode(d->a, bytes.at, wire_len(&bytes)));
        return 0;
    case SHAPE_QUANTITY:
        return read_quantity(d, &bytes, ret);
    case SHAPE_INT_OR_STRING:
        return read_int_or_string(d, &bytes, ret);
    case SHAPE_TIME:
    case SHAPE_MICRO_TIME:
        return read_time(d, &bytes, s->kind == SHAPE_MICRO_TIME, ret);
    case SHAPE_RAW:
        return read_raw(d, name, &bytes, depth, ret);
    case SHAPE_SCHEMA_OR_BOOL:
        return read_schema_or_bool(d, s, &bytes, depth, ret);
    case SHAPE_SCHEMA_OR_LIST:
    case SHAPE_SCHEMA_OR_STRINGS:
        return read_schema_or_list(d, s, &bytes, depth, ret);
    case SHAPE_STRUCT:
        return read_struct(d, s, &bytes, depth, ret);
    default:
        return error_set(d->err, ERROR_INVALID, "proto: field %s has no form in protobuf", name);
    }
}

/* ---- lists and maps -------------------------------------------------------------------------- */

/* Numbers come one per field, or packed: several behind one length. */
static int read_element(struct decoder *d, const struct type_field *f, struct wire *w,
                        const struct wire_tag *tag, int depth, struct json *list)
{
    const struct shape *element = f->shape->element;
    enum wire_type type = wire_type_of(element);
    bool is_packed = type != WIRE_BYTES && tag->type == WIRE_BYTES;
    struct wire packed;
    int r = is_packed ? wire_bytes(w, &packed, d->err) : 0;
    while (r == 0 && (!is_packed || wire_more(&packed))) {
        struct json *v = NULL;
        if (is_packed)
            r = read_value(d, element, f->name, &packed, &(struct wire_tag){ tag->number, type },
                           depth, &v);
        else
            r = read_value(d, element, f->name, w, tag, depth, &v);
        json_append(list, v);
        if (!is_packed)
            break;
    }
    return r;
}

/* A value that is not there is the empty one of its type. */
static int empty_value(struct decoder *d, const struct shape *s, const char *name, int depth,
                       struct json **ret)
{
    static const uint8_t zeros[8] = { 0 };
    enum wire_type type = wire_type_of(s);
    size_t len = type == WIRE_FIXED64 ? 8 : 1; /* one zero byte: the number 0, or no bytes */
    struct wire w = { zeros, zeros + len, name };
    return read_value(d, s, name, &w, &(struct wire_tag){ 2, type }, depth, ret);
}

static struct map_entry *add_entry(struct decoder *d, struct map_entries *entries)
{
    if (entries->count == entries->room) {
        size_t room = MAX(2 * entries->room, (size_t)8);
        struct map_entry *items = arena_alloc(d->a, room * sizeof *items);
        if (entries->count)
            memcpy(items, entries->items, entries->count * sizeof *items);
        entries->items = items;
        entries->room = room;
    }
    struct map_entry *e = &entries->items[entries->count];
    *e = (struct map_entry){ .order = entries->count++ };
    return e;
}

static int read_entry(struct decoder *d, const struct type_field *f, struct wire *w,
                      const struct wire_tag *tag, int depth, struct map_entries *entries)
{
    struct wire entry, key = { NULL, NULL, f->name };
    struct json *value = NULL;
    bool has_value = false;
    int r = wire_take_bytes(w, tag, f->name, &entry, d->err);
    while (r == 0 && wire_more(&entry)) {
        struct wire_tag part;
        r = wire_tag(&entry, &part, d->err);
        if (r < 0)
            return r;
        if (part.number == 1) {
            r = wire_take_bytes(&entry, &part, f->name, &key, d->err);
        } else if (part.number == 2) {
            r = read_value(d, f->shape->element, f->name, &entry, &part, depth, &value);
            has_value = true;
        } else {
            r = wire_skip(&entry, part.type, d->err);
        }
    }
    if (r == 0 && !has_value)
        r = empty_value(d, f->shape->element, f->name, depth, &value);
    if (r < 0)
        return r;
    /* through a value, which repairs what is no UTF-8 */
    struct json *text = key.at ? new_string(d, &key) : json_new_string(d->a, "");
    struct map_entry *e = add_entry(d, entries);
    e->member = f;
    e->key = json_string(text);
    e->key_len = json_string_len(text);
    e->value = value;
    return 0;
}

static int compare_key(const struct map_entry *x, const struct map_entry *y)
{
    int order = memcmp(x->key, y->key, MIN(x->key_len, y->key_len));
    return order ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static int compare_entries(const void *x, const void *y)
{
    const struct map_entry *e = x, *f = y;
    int order = strcmp(e->member->name, f->member->name);
    if (order == 0)
        order = compare_key(e, f);
    return order ? order : (e->order > f->order) - (e->order < f->order);
}

/* Another piece of the same message has left a map behind: its entries come first. */
static void add_earlier(struct decoder *d, const struct type_field *f, struct json *map,
                        struct map_entries *entries)
{
    JSON_FOREACH(it, map) {
        struct map_entry *e = add_entry(d, entries);
        *e = (struct map_entry){ f, it.key, it.key_len, it.value, 0 };
        json_iter_remove(&it);
    }
}

/* Makes the maps of a message, sorted by key. */
static void build_maps(struct decoder *d, struct map_entries *entries, struct json *obj)
{
    size_t fresh = entries->count;
    for (size_t i = 0; i < fresh; i++) {
        const struct type_field *f = entries->items[i].member;
        entries->items[i].order = i + 1;
        struct json *earlier = json_get(obj, f->name);
        if (earlier) {
            add_earlier(d, f, earlier, entries);
            json_del(obj, f->name);
        }
    }
    if (entries->count == 0)
        return;
    qsort(entries->items, entries->count, sizeof *entries->items, compare_entries);
    struct json *map = NULL;
    for (size_t i = 0; i < entries->count; i++) {
        const struct map_entry *e = &entries->items[i],
                               *next = i + 1 < entries->count ? e + 1 : NULL;
        if (i == 0 || e->member != e[-1].member) {
            map = json_new_object(d->a);
            json_set(d->a, obj, e->member->name, map);
        }
        bool replaced = next && next->member == e->member && compare_key(e, next) == 0;
        if (!replaced)
            json_add(d->a, map, e->key, e->key_len, e->value ? e->value : json_new_null(d->a));
    }
}

/* ---- messages -------------------------------------------------------------------------------- */

/* A struct that is there already gets what this piece of it has. */
static int read_more(struct decoder *d, const struct type_field *f, struct wire *w,
                     const struct wire_tag *tag, int depth, struct json *obj)
{
    struct wire bytes;
    int r = wire_take_bytes(w, tag, f->name, &bytes, d->err);
    if (r < 0)
        return r;
    if (++d->merges > PROTOBUF_MAX_MERGES)
        return error_set(d->err, ERROR_TOO_LARGE, "proto: %s: more than %d messages in pieces",
                         w->message, PROTOBUF_MAX_MERGES);
    bytes.message = f->shape->record->name;
    return read_message(d, proto_type_of(f->shape->record), &bytes, depth, obj);
}

static int read_member(struct decoder *d, const struct type_field *f, struct wire *w,
                       const struct wire_tag *tag, int depth, struct json *obj,
                       struct map_entries *entries)
{
    struct json *present, *v = NULL;
    int r;
    switch (f->shape->kind) {
    case SHAPE_MAP:
        return read_entry(d, f, w, tag, depth + 2, entries);
    case SHAPE_LIST:
        return read_element(d, f, w, tag, depth + 2, json_ensure_array(d->a, obj, f->name));
    case SHAPE_STRUCT:
        present = json_get(obj, f->name);
        if (present)
            return read_more(d, f, w, tag, depth + 1, present);
        break;
    default:
        break;
    }
    r = read_value(d, f->shape, f->name, w, tag, depth + 1, &v);
    if (r == 0)
        json_set(d->a, obj, f->name, v);
    return r;
}

/* depth: that of obj, the outermost value having 1. */
static int read_message(struct decoder *d, const struct proto_type *t, struct wire *w, int depth,
                        struct json *obj)
{
    struct map_entries entries = { 0 };
    int r = check_depth(d, w, depth);
    while (r == 0 && wire_more(w)) {
        struct wire_tag tag;
        r = wire_tag(w, &tag, d->err);
        if (r < 0)
            return r;
        const struct proto_field *f = proto_field_find(t, tag.number);
        if (!f) {
            r = wire_skip(w, tag.type, d->err);
        } else if (f->embedded) {
            struct wire bytes;
            r = wire_take_bytes(w, &tag, w->message, &bytes, d->err);
            if (r == 0)
                r = read_message(d, f->embedded, &bytes, depth, obj);
        } else {
            r = read_member(d, f->member, w, &tag, depth, obj, &entries);
        }
    }
    if (r == 0)
        build_maps(d, &entries, obj);
    return r;
}

int protobuf_decode(struct arena *a, const struct api_type *t, const char *data, size_t len,
                    struct json *obj, struct error **err)
{
    struct decoder d = { .a = a, .err = err };
    struct wire w = { (const uint8_t *)data, (const uint8_t *)data + len, t->name };
    return read_message(&d, proto_type_of(t), &w, 1, obj);
}

/* ---- the envelope ---------------------------------------------------------------------------- */

int protobuf_open(struct arena *a, const char *data, size_t len, struct protobuf_envelope *ret,
                  struct error **err)
{
    if (len == 0)
        return error_set(err, ERROR_INVALID, "empty data");
    if (len < sizeof magic || memcmp(data, magic, sizeof magic) != 0)
        return error_set(
            err, ERROR_INVALID,
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    if (len == sizeof magic)
        return error_set(err, ERROR_INVALID, "empty body");
    struct decoder d = { .a = a, .err = err };
    struct wire w = { (const uint8_t *)data + sizeof magic, (const uint8_t *)data + len,
                      "Unknown" };
    struct part outer[] = { { "TypeMeta", WIRE_BYTES }, { "Raw", WIRE_BYTES } };
    int r = read_parts(&d, &w, outer, COUNT_OF(outer));
    if (r < 0)
        return r;
    struct part names[] = { { "APIVersion", WIRE_BYTES }, { "Kind", WIRE_BYTES } };
    outer[0].bytes.message = "TypeMeta";
    r = read_parts(&d, &outer[0].bytes, names, COUNT_OF(names));
    if (r < 0)
        return r;
    *ret = (struct protobuf_envelope){
        .api_version = names[0].there ? json_string(new_string(&d, &names[0].bytes)) : "",
        .kind = names[1].there ? json_string(new_string(&d, &names[1].bytes)) : "",
        .raw = outer[1].there ? (const char *)outer[1].bytes.at : data + len,
        .raw_len = wire_len(&outer[1].bytes),
    };
    return 0;
}
