/* libyaml's events to values, with a stack of open collections instead of recursion. An alias is
 * replaced by a copy of what its anchor names; each anchor knows how many values and bytes a copy
 * takes, so that the caps are checked before the copy is made. */
#include "yaml/yaml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/map.h"
#include "base/mem.h"
#include "yaml/scalar.h"

#define DEFAULT_BYTES (8 * MIB)
#define DEFAULT_VALUES 1000000
#define DEFAULT_DOCUMENTS 4096
#define COPIES_MAX (64 * MIB) /* bytes that the copies of aliases may take */
#define TAGS_MAX 64           /* %TAG directives: libyaml compares each with all before */
#define REPEATED_MAX 100      /* keys that may be there twice, where they may */
#define SCAN_UP_TO 16         /* members; a larger mapping gets a table of its keys */

#define YAML_TAG "tag:yaml.org,2002:"

struct anchor {
    const struct json *value;
    size_t values;
    size_t bytes;
};

struct frame {
    struct json *container;
    char *anchor;         /* NULL when it has none */
    size_t values_before; /* counters when it was opened */
    size_t bytes_before;
    char *key; /* of the member whose value comes next */
    size_t key_len;
    bool key_is_merge;
    struct json *merges; /* mappings to be merged in, the first has precedence; NULL when none */
    struct map *keys;    /* once the mapping is large */
};

struct reader {
    struct arena *arena;
    struct yaml_limits limits;
    yaml_parser_t parser;
    struct frame *stack;
    size_t depth;
    struct map *anchors;
    struct json *documents;
    size_t n_documents;
    struct json *root; /* of the document being read; NULL until it is complete */
    size_t values;
    size_t copied;
    struct error **err;
};

static int fail(struct reader *r, enum error_code code, const yaml_mark_t *at, const char *what)
{
    return error_set(r->err, code, "line %zu, column %zu: %s", at->line + 1, at->column + 1, what);
}

/* ---- keys --------------------------------------------------------------------------------------------------------- */

static bool frame_has_key(const struct frame *f, const char *key, size_t len)
{
    return f->keys ? map_get_n(f->keys, key, len) != NULL
                   : json_get_n(f->container, key, len) != NULL;
}

/* Keys with a NUL inside are cut in the table, as its keys are strings; yaml_parse refuses them
 * beforehand. */
static void frame_add(struct reader *r, struct frame *f, const char *key, size_t len,
                      struct json *value)
{
    if (r->limits.repeated && frame_has_key(f, key, len))
        json_set(r->arena, f->container, key, value);
    else
        json_add(r->arena, f->container, key, len, value);
    if (f->keys) {
        map_set(f->keys, key, value);
    } else if (json_size(f->container) > SCAN_UP_TO) {
        f->keys = map_new(NULL);
        JSON_FOREACH(it, f->container)
            map_set(f->keys, it.key, it.value);
    }
}

/* The shortest text that reads back as the same float32, with an exponent from 1e6 on: that is what
 * Kubernetes makes of a key like 1.5. */
static char *float_key(struct arena *a, double d)
{
    float f = (float)d;
    if (isnan(f))
        return arena_strdup(a, ".nan");
    if (isinf(f))
        return arena_strdup(a, f < 0 ? "-.inf" : ".inf");
    char text[32];
    int digits = 1;
    for (; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, (double)f);
        float back = strtof(text, NULL);
        if (back >= f && back <= f)
            break;
    }
    long exponent = strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 6)
        return arena_strdup(a, text);
    return arena_printf(a, "%.*f", (int)MAX(digits - 1 - exponent, 0), (double)f);
}

/* What a value is called as a key. NULL when it cannot be one. */
static char *key_of(struct arena *a, const struct json *v, size_t *ret_len)
{
    char *key = NULL;
    switch (json_type(v)) {
    case JSON_STRING:
        *ret_len = json_string_len(v);
        return arena_strndup(a, json_string(v), *ret_len);
    case JSON_BOOL:
        key = arena_strdup(a, json_bool(v, false) ? "true" : "false");
        break;
    case JSON_INT:
        key = arena_printf(a, "%lld", (long long)json_int(v, 0));
        break;
    case JSON_DOUBLE:
        key = float_key(a, json_double(v, 0));
        break;
    default:
        return NULL;
    }
    *ret_len = strlen(key);
    return key;
}

static int set_key(struct reader *r, struct frame *f, const struct json *v, const yaml_mark_t *at)
{
    size_t len;
    char *key = key_of(r->arena, v, &len);
    if (!key)
        return fail(r, ERROR_INVALID, at, "a key must be a string, a number or a boolean");
    if (memchr(key, '\0', len))
        return fail(r, ERROR_INVALID, at, "a key must not contain the character NUL");
    if (frame_has_key(f, key, len) && json_size(r->limits.repeated) < REPEATED_MAX &&
        r->limits.repeated) {
        json_append(r->limits.repeated,
                    json_new_stringf(r->arena, "line %zu: key \"%s\" already set in map",
                                     at->line + 1, key));
    } else if (frame_has_key(f, key, len)) {
        AUTO_FREE char *what = mem_printf("the key \"%s\" is there twice", key);
        return fail(r, ERROR_INVALID, at, what);
    }
    f->key = key;
    f->key_len = len;
    return 0;
}

/* ---- merge keys --------------------------------------------------------------------------------------------------- */

static int add_merge(struct reader *r, struct frame *f, struct json *v, const yaml_mark_t *at)
{
    if (!f->merges)
        f->merges = json_new_array(r->arena);
    if (json_is_object(v)) {
        json_append(f->merges, v);
        return 0;
    }
    bool good = json_is_array(v);
    JSON_FOREACH(it, v) {
        struct json *source = it.value;
        good = good && json_is_object(source);
        json_iter_remove(&it);
        json_append(f->merges, source);
    }
    return good ? 0 : fail(r, ERROR_INVALID, at, "<< takes a mapping or a sequence of mappings");
}

/* A key of the mapping itself wins, then that of the first source. */
static void apply_merges(struct reader *r, struct frame *f)
{
    JSON_FOREACH(source, f->merges) {
        JSON_FOREACH(it, source.value) {
            if (frame_has_key(f, it.key, it.key_len))
                continue;
            struct json *value = it.value;
            json_iter_remove(&it);
            frame_add(r, f, it.key, it.key_len, value);
        }
    }
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static int count_values(struct reader *r, size_t n, const yaml_mark_t *at)
{
    if (n > r->limits.max_values - r->values) {
        AUTO_FREE char *what = mem_printf("there are more than %zu values", r->limits.max_values);
        return fail(r, ERROR_TOO_LARGE, at, what);
    }
    r->values += n;
    return 0;
}

/* Puts a complete value where it belongs: as key, member, element or root. */
static int place(struct reader *r, struct json *v, const yaml_mark_t *at)
{
    if (r->depth == 0) {
        r->root = v;
        return 0;
    }
    struct frame *f = &r->stack[r->depth - 1];
    if (json_is_array(f->container)) {
        json_append(f->container, v);
        return 0;
    }
    if (f->key_is_merge) {
        f->key_is_merge = false;
        return add_merge(r, f, v, at);
    }
    if (!f->key)
        return set_key(r, f, v, at);
    char *key = TAKE_PTR(f->key);
    frame_add(r, f, key, f->key_len, v);
    return 0;
}

static bool expects_key(const struct reader *r)
{
    if (r->depth == 0)
        return false;
    const struct frame *f = &r->stack[r->depth - 1];
    return json_is_object(f->container) && !f->key && !f->key_is_merge;
}

/* A copy for which the caps have room. */
static int copy_value(struct reader *r, const struct anchor *of, const yaml_mark_t *at,
                      struct json **ret)
{
    int rc = count_values(r, of->values, at);
    if (rc < 0)
        return rc;
    if (of->bytes > COPIES_MAX - r->copied)
        return fail(r, ERROR_TOO_LARGE, at, "the aliases make too much text");
    r->copied += of->bytes;
    *ret = json_clone(r->arena, of->value);
    return 0;
}

/* The value of an anchor is the one in the tree. Only below a merge key, where mappings are taken
 * apart later, it is a copy. */
static int remember(struct reader *r, const char *name, struct anchor anchor, const yaml_mark_t *at)
{
    for (size_t i = 0; i < r->depth; i++) {
        if (!r->stack[i].key_is_merge)
            continue;
        struct json *copy;
        int rc = copy_value(r, &anchor, at, &copy);
        if (rc < 0)
            return rc;
        anchor.value = copy;
        break;
    }
    struct anchor *kept = arena_alloc(r->arena, sizeof *kept);
    *kept = anchor;
    map_set(r->anchors, name, kept);
    return 0;
}

/* Doubles with an integral value are integers to whoever reads the JSON that Kubernetes makes of
 * YAML. */
static struct json *new_number(struct arena *a, double d)
{
    if (fabs(d) < 0x1p53 && floor(d) >= d)
        return json_new_int(a, (int64_t)d);
    return json_new_double(a, d);
}

static int resolved_value(struct reader *r, const struct scalar *s, const yaml_event_t *e,
                          struct json **ret)
{
    const char *text = (const char *)e->data.scalar.value;
    switch (s->kind) {
    case SCALAR_NULL:
        *ret = json_new_null(r->arena);
        break;
    case SCALAR_BOOL:
        *ret = json_new_bool(r->arena, s->boolean);
        break;
    case SCALAR_INT:
        *ret = json_new_int(r->arena, s->integer);
        break;
    case SCALAR_FLOAT:
        *ret =
            expects_key(r) ? json_new_double(r->arena, s->number) : new_number(r->arena, s->number);
        break;
    case SCALAR_NOT_FINITE:
        if (expects_key(r)) {
            *ret = json_new_double(r->arena, s->number);
            break;
        }
        return fail(r, ERROR_INVALID, &e->start_mark, "JSON has no infinity and no NaN");
    case SCALAR_STRING:
    case SCALAR_AMBIGUOUS:
    case SCALAR_MERGE:
        *ret = json_new_string_n(r->arena, text, e->data.scalar.length);
        break;
    }
    return 0;
}

/* The kinds that a tag allows; other tags are of the application and leave a string. */
static int tagged_value(struct reader *r, const char *tag, const yaml_event_t *e, struct json **ret)
{
    static const struct {
        const char *name;
        unsigned kinds;
    } tags[] = {
        { "null", 1 << SCALAR_NULL },
        { "bool", 1 << SCALAR_BOOL },
        { "int", 1 << SCALAR_INT },
        { "float", 1 << SCALAR_INT | 1 << SCALAR_FLOAT | 1 << SCALAR_NOT_FINITE },
    };
    const char *text = (const char *)e->data.scalar.value;
    size_t len = e->data.scalar.length;
    const char *name = strncmp(tag, YAML_TAG, strlen(YAML_TAG)) == 0 ? tag + strlen(YAML_TAG) : "";
    if (strcmp(name, "binary") == 0)
        return fail(r, ERROR_UNSUPPORTED, &e->start_mark,
                    "the tag !!binary is not supported; write the base64 text as a string");
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        if (strcmp(name, tags[i].name) != 0)
            continue;
        struct scalar s = scalar_resolve(text, len);
        if ((tags[i].kinds >> s.kind & 1) == 0) {
            AUTO_FREE char *what = mem_printf("\"%s\" is no !!%s", text, name);
            return fail(r, ERROR_INVALID, &e->start_mark, what);
        }
        return resolved_value(r, &s, e, ret);
    }
    *ret = json_new_string_n(r->arena, text, len);
    return 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    const char *tag = (const char *)e->data.scalar.tag;
    bool plain = !tag && e->data.scalar.plain_implicit;
    int rc = count_values(r, 1, &e->start_mark);
    if (rc < 0)
        return rc;
    size_t bytes_before = arena_used(r->arena);
    struct scalar s = { SCALAR_STRING };
    if (plain)
        s = scalar_resolve(text, e->data.scalar.length);
    if (expects_key(r) && (s.kind == SCALAR_MERGE || (tag && strcmp(tag, YAML_TAG "merge") == 0))) {
        r->stack[r->depth - 1].key_is_merge = true;
        return 0;
    }
    struct json *v = NULL;
    rc = tag ? tagged_value(r, tag, e, &v) : resolved_value(r, &s, e, &v);
    if (rc < 0)
        return rc;
    if (e->data.scalar.anchor) {
        struct anchor anchor = { v, 1, arena_used(r->arena) - bytes_before };
        rc = remember(r, (const char *)e->data.scalar.anchor, anchor, &e->start_mark);
        if (rc < 0)
            return rc;
    }
    return place(r, v, &e->start_mark);
}

static int on_alias(struct reader *r, const yaml_event_t *e)
{
    const char *name = (const char *)e->data.alias.anchor;
    for (size_t i = 0; i < r->depth; i++) {
        if (r->stack[i].anchor && strcmp(r->stack[i].anchor, name) == 0) {
            AUTO_FREE char *what =
                mem_printf("the value of the anchor \"%s\" contains itself", name);
            return fail(r, ERROR_INVALID, &e->start_mark, what);
        }
    }
    const struct anchor *anchor = map_get(r->anchors, name);
    if (!anchor) {
        AUTO_FREE char *what = mem_printf("there is no anchor \"%s\"", name);
        return fail(r, ERROR_INVALID, &e->start_mark, what);
    }
    struct json *copy;
    int rc = copy_value(r, anchor, &e->start_mark, &copy);
    return rc < 0 ? rc : place(r, copy, &e->start_mark);
}

/* ---- collections -------------------------------------------------------------------------------------------------- */

static int on_start(struct reader *r, const yaml_event_t *e, struct json *container,
                    const char *anchor)
{
    int rc = count_values(r, 1, &e->start_mark);
    if (rc < 0)
        return rc;
    if (expects_key(r))
        return fail(r, ERROR_INVALID, &e->start_mark,
                    "a key must be a string, a number or a boolean");
    if (r->depth == r->limits.max_depth) {
        AUTO_FREE char *what = mem_printf("the nesting is deeper than %zu", r->limits.max_depth);
        return fail(r, ERROR_TOO_LARGE, &e->start_mark, what);
    }
    r->stack[r->depth++] = (struct frame){
        .container = container,
        .anchor = arena_strdup(r->arena, anchor),
        .values_before = r->values - 1,
        .bytes_before = arena_used(r->arena),
    };
    return 0;
}

static void frame_done(struct frame *f)
{
    map_free(f->keys);
    f->keys = NULL;
}

static int on_end(struct reader *r, const yaml_event_t *e)
{
    struct frame *f = &r->stack[r->depth - 1];
    apply_merges(r, f);
    frame_done(f);
    r->depth--;
    if (f->anchor) {
        struct anchor anchor = { f->container, r->values - f->values_before,
                                 arena_used(r->arena) - f->bytes_before };
        int rc = remember(r, f->anchor, anchor, &e->start_mark);
        if (rc < 0)
            return rc;
    }
    return place(r, f->container, &e->start_mark);
}

static int on_document_end(struct reader *r, const yaml_event_t *e)
{
    struct json *root = TAKE_PTR(r->root);
    map_clear(r->anchors);
    if (json_is_null(root))
        return 0;
    if (r->n_documents == r->limits.max_documents) {
        AUTO_FREE char *what =
            mem_printf("there are more than %zu documents", r->limits.max_documents);
        return fail(r, ERROR_TOO_LARGE, &e->start_mark, what);
    }
    r->n_documents++;
    json_append(r->documents, root);
    return 0;
}

static int on_event(struct reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(r, e);
    case YAML_ALIAS_EVENT:
        return on_alias(r, e);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(r, e, json_new_array(r->arena),
                        (const char *)e->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return on_start(r, e, json_new_object(r->arena),
                        (const char *)e->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(r, e);
    case YAML_DOCUMENT_END_EVENT:
        return on_document_end(r, e);
    default:
        return 0;
    }
}

static int syntax_error(struct reader *r, const char *data, size_t len)
{
    yaml_mark_t at = r->parser.problem_mark;
    const char *what = r->parser.problem ? r->parser.problem : "it cannot be read";
    if (r->parser.error == YAML_READER_ERROR) { /* has an offset only */
        at = (yaml_mark_t){ 0 };
        for (size_t i = 0; i < len && i < r->parser.problem_offset; i++) {
            at.column = data[i] == '\n' ? 0 : at.column + 1;
            at.line += data[i] == '\n';
        }
    }
    return fail(r, r->parser.error == YAML_MEMORY_ERROR ? ERROR_TOO_LARGE : ERROR_INVALID, &at,
                what);
}

static int read_events(struct reader *r, const char *data, size_t len)
{
    for (bool end = false; !end;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&r->parser, &e))
            return syntax_error(r, data, len);
        int rc = on_event(r, &e);
        end = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

/* Values of a tree, or limit + 1 when it has more or is deeper than max_depth. */
static size_t measure(const struct json *v, size_t max_depth, size_t limit)
{
    if (max_depth == 0 && (json_is_object(v) || json_is_array(v)))
        return limit + 1;
    size_t n = 1;
    JSON_FOREACH(it, v) {
        if (n > limit)
            break;
        n += measure(it.value, max_depth - 1, limit) + (it.key ? 1 : 0);
    }
    return MIN(n, limit + 1);
}

/* JSON is nearly YAML: not where its escapes make surrogate pairs, nor where tabs indent it. So it
 * is tried first; false leaves the text, and the words for what is wrong with it, to YAML. */
static bool read_json(struct arena *a, const char *data, size_t len,
                      const struct yaml_limits *limits, struct json **ret)
{
    size_t start = 0;
    while (start < len && strchr(" \t\r\n", data[start]) && data[start])
        start++;
    if (start == len || (data[start] != '{' && data[start] != '['))
        return false;
    struct json *v, *duplicates;
    if (json_parse_strict(a, data, len, &v, &duplicates, NULL) < 0 || json_size(duplicates) > 0 ||
        measure(v, limits->max_depth, limits->max_values) > limits->max_values)
        return false;
    *ret = json_new_array(a);
    json_append(*ret, v);
    return true;
}

/* A directive begins a line: what stands before it is no printable ASCII character (a line break of
 * one of YAML's kinds, or a byte order mark). */
static bool too_many_tags(const char *data, size_t len)
{
    static const char directive[] = "%TAG";
    size_t n = 0;
    const char *at = data, *end = data + len, *hit;
    for (; (hit = memmem(at, (size_t)(end - at), directive, 4)); at = hit + 4) {
        unsigned char before = hit == data ? '\n' : (unsigned char)hit[-1];
        if ((before < ' ' || before >= 0x7f) && ++n > TAGS_MAX)
            return true;
    }
    return false;
}

/* ---- entry -------------------------------------------------------------------------------------------------------- */

static struct yaml_limits limits_of(const struct yaml_limits *given)
{
    struct yaml_limits l = given ? *given : (struct yaml_limits){ 0 };
    if (l.max_bytes == 0)
        l.max_bytes = DEFAULT_BYTES;
    if (l.max_depth == 0 || l.max_depth > JSON_MAX_DEPTH)
        l.max_depth = JSON_MAX_DEPTH;
    if (l.max_values == 0)
        l.max_values = DEFAULT_VALUES;
    if (l.max_documents == 0)
        l.max_documents = DEFAULT_DOCUMENTS;
    return l;
}

int yaml_parse_all(struct arena *a, const char *data, size_t len, const struct yaml_limits *limits,
                   struct json **ret, struct error **err)
{
    struct reader r = { .arena = a, .limits = limits_of(limits), .err = err };
    if (len > r.limits.max_bytes)
        return error_set(err, ERROR_TOO_LARGE, "the YAML has %zu bytes; at most %zu are read", len,
                         r.limits.max_bytes);
    if (len > 0 && read_json(a, data, len, &r.limits, ret))
        return 0;
    if (len > 0 && too_many_tags(data, len))
        return error_set(err, ERROR_TOO_LARGE, "the YAML has more than %d %%TAG directives",
                         TAGS_MAX);
    if (!yaml_parser_initialize(&r.parser))
        return error_set(err, ERROR_INTERNAL, "cannot start the YAML parser");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(data ? data : ""), len);
    r.stack = mem_array(NULL, r.limits.max_depth, sizeof *r.stack);
    r.anchors = map_new(NULL);
    r.documents = json_new_array(a);
    int rc = read_events(&r, data, len);
    for (size_t i = 0; i < r.depth; i++)
        frame_done(&r.stack[i]);
    free(r.stack);
    map_free(r.anchors);
    yaml_parser_delete(&r.parser);
    if (rc == 0)
        *ret = r.documents;
    return rc;
}

int yaml_parse(struct arena *a, const char *data, size_t len, struct json **ret, struct error **err)
{
    struct json *documents;
    int r = yaml_parse_all(a, data, len, NULL, &documents, err);
    if (r < 0)
        return r;
    if (json_size(documents) > 1)
        return error_set(err, ERROR_INVALID, "expected one YAML document and found %zu",
                         json_size(documents));
    struct json *v = json_at(documents, 0);
    if (v)
        json_remove_at(documents, 0);
    *ret = v ? v : json_new_null(a);
    return 0;
}
