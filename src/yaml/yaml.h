/* YAML as Kubernetes reads it: YAML 1.1 core scalars (y/n/yes/no/on/off in plain style are
 * booleans, 0o17 and 017 octal, as sigs.k8s.io/yaml does), several documents, anchors and aliases
 * and merge keys, keys made strings, comments ignored. */
#pragma once

#include "json/json.h"

struct yaml_limits {
    size_t max_bytes;     /* of input; 0: 8 MiB */
    size_t max_depth;     /* 0: JSON_MAX_DEPTH */
    size_t max_values;    /* after alias expansion, so that alias bombs end; 0: 1,000,000 */
    size_t max_documents; /* 0: 4096 */
    /* An array: of keys that are there twice (a hundred at most) the last value counts, and each is
     * told here as `line 3: key "a" already set in map`. NULL: they are errors. */
    struct json *repeated;
};

/* All documents of a stream, as an array in *ret (empty documents are left out; JSON text is YAML
 * too). `limits` may be NULL. Errors carry line and column: "line 3, column 7: …". A duplicate key
 * in one mapping is an error, unless the limits say otherwise. */
int yaml_parse_all(struct arena *a, const char *data, size_t len, const struct yaml_limits *limits,
                   struct json **ret, struct error **err);
/* One document; -ERROR_INVALID when there are several. An empty stream gives JSON null. */
int yaml_parse(struct arena *a, const char *data, size_t len, struct json **ret,
               struct error **err);

/* Block style, keys sorted as kubectl prints them, strings quoted only when they must be. */
void yaml_write(const struct json *v, struct buf *out);
