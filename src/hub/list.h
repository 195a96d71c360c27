/* The files of a repository, as Hugging Face's tree API lists them, and which of them are the
 * weights that an engine loads. Pure.
 *
 * Only what lies in the root folder counts: copies in sub-folders ("original/", "metal/", "onnx/")
 * are loaded by nobody. Where the root holds several sets of weights, the index file says which is
 * meant. */
#pragma once

#include "json/json.h"

enum hub_format { HUB_MISTRAL, HUB_SAFETENSORS, HUB_BIN };

struct hub_file {
    const char *path;
    uint64_t bytes;
};

struct hub_list {
    struct hub_file *files;
    size_t count;
    size_t room;
};
#define HUB_LIST_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }
#define HUB_MAX_FILES 20000

struct hub_weights {
    enum hub_format format;
    uint64_t bytes;    /* of all files of the root that are of this format */
    const char *index; /* file that says which of them count; NULL: all do */
};

/* Adds one page of the listing. -ERROR_INVALID: it is none; -ERROR_TOO_LARGE: too many files. */
int hub_list_add(struct arena *a, struct hub_list *list, const char *text, size_t len,
                 struct error **err);
const struct hub_file *hub_list_find(const struct hub_list *list, const char *path);

/* -ERROR_UNSUPPORTED: there are no weights that an engine loads; the text says what there is. */
int hub_list_weights(const struct hub_list *list, struct hub_weights *ret, struct error **err);

/* Bytes of the files that an index ("weight_map": tensor -> file) names. -ERROR_INVALID: it is no
 * index, or names files that are not there. */
int hub_index_bytes(const struct hub_list *list, const char *text, size_t len, uint64_t *ret,
                    struct error **err);
