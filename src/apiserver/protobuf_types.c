/* Field numbers of the built-in kinds, from data/kinds-protobuf.json, compiled on first use: a
 * server that no Go client writes to never loads them. */
#include <pthread.h>
#include <stdlib.h>

#include "apiserver/protobuf_internal.h"
#include "base/embed.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"

EMBEDDED(kinds_protobuf);

/* Set once by load() and only read after that. */
static struct {
    struct arena *a;
    struct map *types; /* "v1.PodSpec" → struct proto_type */
} data;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int compare_fields(const void *x, const void *y)
{
    uint32_t n = ((const struct proto_field *)x)->number,
             m = ((const struct proto_field *)y)->number;
    return (n > m) - (n < m);
}

static struct proto_type *compile(struct arena *a, const struct api_type *record,
                                  const struct json *numbers)
{
    struct proto_type *t = arena_zalloc(a, sizeof *t);
    t->record = record;
    t->fields = arena_zalloc(a, MAX(json_size(numbers), 1) * sizeof *t->fields);
    JSON_FOREACH(it, numbers) {
        int64_t number = 0;
        struct proto_field f = { 0 };
        if (json_is_string(it.value))
            f.member = type_field_find(record, json_string(it.value));
        else
            f.embedded = compile(a, record, it.value);
        /* a member that kinds.json does not have is one that the server does not keep */
        if (str_to_int64(it.key, &number) < 0 || (!f.member && !f.embedded))
            continue;
        f.number = (uint32_t)number;
        t->fields[t->count++] = f;
    }
    qsort(t->fields, t->count, sizeof *t->fields, compare_fields);
    return t;
}

static void load(void)
{
    struct arena *a = data.a = arena_new();
    struct json *root = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    data.types = map_new(NULL);
    if (json_parse(a, data_kinds_protobuf, data_kinds_protobuf_size, &root, &err) < 0) {
        log_error("data/kinds-protobuf.json cannot be read", "error", error_message(err), NULL);
        abort();
    }
    JSON_FOREACH(it, root) {
        const struct api_type *record = api_type_struct(it.key);
        if (record)
            map_set(data.types, it.key, compile(a, record, it.value));
    }
}

const struct proto_type *proto_type_of(const struct api_type *t)
{
    static const struct proto_type none = { 0 };
    pthread_once(&once, load);
    const struct proto_type *found = map_get(data.types, t->go);
    return found ? found : &none;
}

const struct proto_field *proto_field_find(const struct proto_type *t, uint32_t number)
{
    struct proto_field key = { .number = number };
    return bsearch(&key, t->fields, t->count, sizeof *t->fields, compare_fields);
}
