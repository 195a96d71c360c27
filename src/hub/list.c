#include "hub/list.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/str.h"

#define MAX_BYTES ((uint64_t)1 << 52) /* of one file: sums stay far from overflow */

static int add_file(struct arena *a, struct hub_list *list, const struct json *row,
                    struct error **err)
{
    const char *path = json_find_str(row, "path");
    const char *type = json_find_str(row, "type");
    if (!path || (type && !STREQ(type, "file")))
        return 0;
    /* of files that are kept apart (LFS) the size of the content, not of the pointer */
    int64_t bytes = json_find_int(row, json_find_int(row, 0, "size"), "lfs", "size");
    if (bytes < 0 || (uint64_t)bytes > MAX_BYTES)
        return error_set(err, ERROR_INVALID, "the size of %s is %lld", path, (long long)bytes);
    if (list->count >= HUB_MAX_FILES)
        return error_set(err, ERROR_TOO_LARGE, "it has more than %d files", HUB_MAX_FILES);
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        struct hub_file *files = arena_alloc(a, room * sizeof(*files));
        if (list->count)
            memcpy(files, list->files, list->count * sizeof(*files));
        list->files = files;
        list->room = room;
    }
    list->files[list->count++] = (struct hub_file){ path, (uint64_t)bytes };
    return 0;
}

int hub_list_add(struct arena *a, struct hub_list *list, const char *text, size_t len,
                 struct error **err)
{
    struct json *rows = NULL;
    int r = json_parse(a, text, len, &rows, err);
    if (r == 0 && !json_is_array(rows))
        r = error_set(err, ERROR_INVALID, "it is no array");
    JSON_FOREACH(it, rows)
        if (r == 0)
            r = add_file(a, list, it.value, err);
    return error_prefix(err, r, "the list of files");
}

const struct hub_file *hub_list_find(const struct hub_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++)
        if (STREQ(list->files[i].path, path))
            return &list->files[i];
    return NULL;
}

/* ---- which files are weights ---------------------------------------------------------------------------------- */

static bool is_mistral(const char *path)
{
    return str_has_prefix(path, "consolidated") && str_has_suffix(path, ".safetensors");
}

static bool is_safetensors(const char *path)
{
    return str_has_suffix(path, ".safetensors");
}

/* What training leaves beside the weights is not loaded. */
static bool is_bin(const char *path)
{
    return str_has_suffix(path, ".bin") && !STREQ(path, "training_args.bin") &&
           !STREQ(path, "optimizer.bin") && !STREQ(path, "scheduler.bin");
}

static const struct {
    enum hub_format format;
    bool (*matches)(const char *path);
    const char *index;
} formats[] = {
    { HUB_MISTRAL, is_mistral, "consolidated.safetensors.index.json" },
    { HUB_SAFETENSORS, is_safetensors, "model.safetensors.index.json" },
    { HUB_BIN, is_bin, "pytorch_model.bin.index.json" },
};

/* The M of "…-00001-of-0000M.…"; 0 when it is no part of a series. */
static unsigned parts_of(const char *path)
{
    const char *of = strstr(path, "-of-");
    unsigned parts = 0;
    return of && sscanf(of, "-of-%6u", &parts) == 1 ? parts : 0;
}

/* One file, or all parts of one series. */
static bool is_one_set(const struct hub_list *list, bool (*matches)(const char *path))
{
    size_t count = 0;
    const char *first = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const char *path = list->files[i].path;
        if (strchr(path, '/') || !matches(path))
            continue;
        count++;
        if (!first)
            first = path;
        if (parts_of(path) != parts_of(first) || strlen(path) != strlen(first))
            return false;
    }
    return count == 1 || (first && parts_of(first) == count);
}

static bool has_suffix(const struct hub_list *list, const char *suffix)
{
    for (size_t i = 0; i < list->count; i++)
        if (str_has_suffix(list->files[i].path, suffix))
            return true;
    return false;
}

static int refuse(const struct hub_list *list, struct error **err)
{
    const char *hint = "";
    if (has_suffix(list, ".gguf"))
        hint = "; its GGUF files are for llama.cpp: see `kaito models pull`";
    else if (hub_list_find(list, "adapter_config.json"))
        hint = "; it is an adapter, for a preset of its base model";
    else if (has_suffix(list, ".safetensors") || has_suffix(list, ".bin"))
        hint = "; those of its sub-folders are not loaded";
    return error_set(err, ERROR_UNSUPPORTED,
                     "its root folder has no weights (.safetensors or .bin)%s", hint);
}

int hub_list_weights(const struct hub_list *list, struct hub_weights *ret, struct error **err)
{
    for (size_t f = 0; f < COUNT_OF(formats); f++) {
        uint64_t bytes = 0;
        size_t count = 0;
        for (size_t i = 0; i < list->count; i++) {
            if (strchr(list->files[i].path, '/') || !formats[f].matches(list->files[i].path))
                continue;
            bytes += list->files[i].bytes;
            count++;
        }
        bool adapter = count == 1 && hub_list_find(list, "adapter_model.safetensors");
        if (count == 0 || adapter)
            continue;
        bool whole = is_one_set(list, formats[f].matches);
        *ret = (struct hub_weights){
            .format = formats[f].format,
            .bytes = bytes,
            .index = !whole && hub_list_find(list, formats[f].index) ? formats[f].index : NULL,
        };
        return 0;
    }
    return refuse(list, err);
}

int hub_index_bytes(const struct hub_list *list, const char *text, size_t len, uint64_t *ret,
                    struct error **err)
{
    AUTO_ARENA a = arena_new();
    AUTO_MAP seen = map_new(NULL);
    struct json *index = NULL;
    uint64_t bytes = 0;
    int r = json_parse(a, text, len, &index, err);
    if (r < 0)
        return r;
    const struct json *weights = json_get(index, "weight_map");
    if (!json_is_object(weights) || json_size(weights) == 0)
        return error_set(err, ERROR_INVALID, "it has no weight_map");
    JSON_FOREACH(it, weights) {
        const char *path = json_string(it.value);
        if (!path || map_has(seen, path))
            continue;
        const struct hub_file *file = hub_list_find(list, path);
        if (!file)
            return error_set(err, ERROR_INVALID, "it names %s, which is not there", path);
        map_set(seen, path, (void *)file);
        bytes += file->bytes;
    }
    *ret = bytes;
    return 0;
}
