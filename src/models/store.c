#include "models/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/build.h"

#define MAX_NAME 200
#define MAX_RECORD (64 * KIB)
#define MAX_MODELS 10000

char *model_store_dir(struct arena *a, const char *data_dir)
{
    const char *given = getenv("KAITO_MODELS_DIR");
    return str_empty(given) ? arena_printf(a, "%s/models", data_dir) : arena_strdup(a, given);
}

int model_name_check(const char *name, struct error **err)
{
    size_t len = strlen(name);
    bool ok = len > 0 && len <= MAX_NAME && name[0] != '.' && name[0] != '-' && name[0] != '_' &&
              strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == len;
    if (ok)
        return 0;
    return error_set(
        err, ERROR_INVALID,
        "model name \"%s\": use lower-case letters, digits, '.', '-' and '_', starting with a letter or digit, at "
        "most %d characters",
        name, MAX_NAME);
}

char *model_store_path(struct arena *a, const char *dir, const char *name)
{
    return arena_printf(a, "%s/%s.gguf", dir, name);
}

char *model_record_path(struct arena *a, const char *dir, const char *name)
{
    return arena_printf(a, "%s/%s.json", dir, name);
}

/* ---- the record --------------------------------------------------------------------------------------------- */

/* Head figures that the record keeps, in one table for writing and reading. */
#define FIGURE(key, field)                                                                         \
    {                                                                                              \
        key, offsetof(struct gguf_info, field)                                                     \
    }
static const struct {
    const char *key;
    size_t offset;
} figures[] = {
    FIGURE("tensors", tensor_count),
    FIGURE("expectedBytes", expected_bytes),
    FIGURE("weightBytes", weight_bytes),
    FIGURE("contextLength", context_length),
    FIGURE("embeddingLength", embedding_length),
    FIGURE("blocks", block_count),
    FIGURE("heads", head_count),
    FIGURE("keyValueHeads", head_count_kv),
    FIGURE("keyLength", key_length),
    FIGURE("valueLength", value_length),
    FIGURE("slidingWindow", sliding_window),
    FIGURE("slidingWindowPattern", sliding_window_pattern),
};

static int64_t modified_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec;
}

static struct json *record_make(struct arena *a, const struct model_entry *e, const struct stat *st)
{
    struct json *head = OBJ("architecture", STR(e->info.architecture), "name", STR(e->info.name),
                            "quantization", STR(e->info.file_type), "embedding",
                            BOOL(e->info.is_embedding), "version", INT(e->info.version));
    for (size_t i = 0; i < COUNT_OF(figures); i++) {
        uint64_t value;
        memcpy(&value, (const char *)&e->info + figures[i].offset, sizeof(value));
        json_set(a, head, figures[i].key, INT((int64_t)value));
    }
    return OBJ("name", STR(e->name), "bytes", INT((int64_t)e->bytes), "modifiedNs",
               INT(modified_ns(st)), "sha256", STR(e->sha256), "source", STR(e->source), "head",
               head);
}

/* Fills e from the record when there is one. true: its head figures are those of the file as it is
 * now. */
static bool record_read(struct arena *a, const char *path, const struct stat *st,
                        struct model_entry *e)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    struct json *record = NULL;
    if (file_read(path, MAX_RECORD, &text, &len, NULL) < 0 ||
        json_parse(a, text, len, &record, NULL) < 0)
        return false;
    if (json_find_int(record, -1, "bytes") != st->st_size ||
        json_find_int(record, -1, "modifiedNs") != modified_ns(st))
        return false;
    const struct json *head = json_get(record, "head");
    if (!json_is_object(head))
        return false;
    e->sha256 = str_or_empty(json_find_str(record, "sha256"));
    e->source = str_or_empty(json_find_str(record, "source"));
    e->info = (struct gguf_info){
        .version = (uint32_t)json_find_int(head, 0, "version"),
        .file_bytes = (uint64_t)st->st_size,
        .architecture = str_or_empty(json_find_str(head, "architecture")),
        .name = str_or_empty(json_find_str(head, "name")),
        .file_type = str_or_empty(json_find_str(head, "quantization")),
        .is_embedding = json_find_bool(head, false, "embedding"),
    };
    for (size_t i = 0; i < COUNT_OF(figures); i++) {
        int64_t number = json_int(json_get(head, figures[i].key), -1);
        if (number < 0)
            return false;
        uint64_t value = (uint64_t)number;
        memcpy((char *)&e->info + figures[i].offset, &value, sizeof(value));
    }
    return true;
}

/* ---- looking up --------------------------------------------------------------------------------------------- */

static int stat_model(struct arena *a, const char *dir, const char *name, const char **ret_path,
                      struct stat *st, struct error **err)
{
    *ret_path = model_store_path(a, dir, name);
    if (stat(*ret_path, st) == 0)
        return 0;
    if (errno == ENOENT)
        return error_set(
            err, ERROR_NOT_FOUND,
            "model \"%s\" is not in the model store; run `kaito models pull %s --models-dir %s`",
            name, name, dir);
    return error_set_errno(err, errno, "model file %s", *ret_path);
}

int model_store_find(struct arena *a, const char *dir, const char *name, struct model_entry *ret,
                     struct error **err)
{
    int r = model_name_check(name, err);
    if (r < 0)
        return r;
    struct stat st;
    struct model_entry e = { .name = arena_strdup(a, name), .sha256 = "", .source = "" };
    r = stat_model(a, dir, name, &e.path, &st, err);
    if (r < 0)
        return r;
    e.bytes = (uint64_t)st.st_size;
    if (!record_read(a, model_record_path(a, dir, name), &st, &e)) {
        r = gguf_open(a, e.path, &e.info, err);
        if (r < 0)
            return r;
    }
    *ret = e;
    return 0;
}

int model_store_record(struct arena *a, const char *dir, const char *name, const char *sha256,
                       const char *source, struct error **err)
{
    struct stat st;
    struct model_entry e = { .name = name,
                             .sha256 = str_or_empty(sha256),
                             .source = str_or_empty(source) };
    int r = stat_model(a, dir, name, &e.path, &st, err);
    if (r == 0)
        r = gguf_open(a, e.path, &e.info, err);
    if (r < 0)
        return r;
    e.bytes = (uint64_t)st.st_size;
    AUTO_BUF text = BUF_INIT(MAX_RECORD);
    json_write_pretty(record_make(a, &e, &st), 2, &text);
    buf_putc(&text, '\n');
    return file_write_atomic(model_record_path(a, dir, name), text.data, text.len, 0644, err);
}

int model_store_remove(struct arena *a, const char *dir, const char *name, struct error **err)
{
    int r = model_name_check(name, err);
    if (r < 0)
        return r;
    unlink(model_record_path(a, dir, name));
    const char *path = model_store_path(a, dir, name);
    if (unlink(path) == 0)
        return 0;
    if (errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "model \"%s\" is not in the model store", name);
    return error_set_errno(err, errno, "cannot remove %s", path);
}

static struct json *describe(struct arena *a, const char *dir, const char *name)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct model_entry e;
    const char *path = model_store_path(a, dir, name);
    if (model_store_find(a, dir, name, &e, &err) < 0) {
        struct stat st;
        int64_t bytes = stat(path, &st) == 0 ? st.st_size : 0;
        return OBJ("name", STR(name), "file", STR(path), "bytes", INT(bytes), "error",
                   STR(error_message(err)));
    }
    return OBJ("name", STR(name), "file", STR(path), "bytes", INT((int64_t)e.bytes), "sha256",
               STR(e.sha256), "source", STR(e.source), "architecture", STR(e.info.architecture),
               "quantization", STR(e.info.file_type), "contextLength",
               INT((int64_t)e.info.context_length));
}

static int by_name(const struct json *x, const struct json *y)
{
    return strcmp(json_find_str(x, "name"), json_find_str(y, "name"));
}

int model_store_list(struct arena *a, const char *dir, struct json **ret, struct error **err)
{
    struct json *models = json_new_array(a);
    DIR *d = opendir(dir);
    if (!d && errno != ENOENT)
        return error_set_errno(err, errno, "cannot read the model store %s", dir);
    size_t count = 0;
    for (struct dirent *entry; d && (entry = readdir(d)) && count < MAX_MODELS;) {
        size_t len = strlen(entry->d_name);
        if (!str_has_suffix(entry->d_name, ".gguf"))
            continue;
        const char *name = arena_strndup(a, entry->d_name, len - strlen(".gguf"));
        if (model_name_check(name, NULL) < 0)
            continue;
        json_append(models, describe(a, dir, name));
        count++;
    }
    if (d)
        closedir(d);
    json_sort(models, by_name);
    *ret = models;
    return 0;
}
