/* The model store of one machine: a directory with NAME.gguf for each model, and beside it
 * NAME.json, a record of where it came from and what its head says, so that looking a model up
 * reads no weights. `kaito models` fills it; the Workspace controller reads it. A file put there by
 * hand works too: without a record that fits its size and time it is read anew. */
#pragma once

#include "gguf/gguf.h"
#include "json/json.h"

struct model_entry {
    const char *name; /* "gemma-3-270m": the preset's short name, or what the user chose */
    const char *path; /* absolute, of the GGUF file */
    uint64_t bytes;
    const char *sha256; /* hex; "" when unknown */
    const char *source; /* URL or the file it was imported from; "" when unknown */
    struct gguf_info info;
};

/* $KAITO_MODELS_DIR, else DATA_DIR/models. */
char *model_store_dir(struct arena *a, const char *data_dir);

/* Lower-case letters, digits, '.', '-' and '_', starting with a letter or digit, at most 200 bytes.
 */
int model_name_check(const char *name, struct error **err);

/* DIR/NAME.gguf and DIR/NAME.json */
char *model_store_path(struct arena *a, const char *dir, const char *name);
char *model_record_path(struct arena *a, const char *dir, const char *name);

/* -ERROR_NOT_FOUND: no such model, the text says the command to run (`kaito models pull NAME`);
 * -ERROR_INVALID: there, but truncated or not GGUF, with the figures. */
int model_store_find(struct arena *a, const char *dir, const char *name, struct model_entry *ret,
                     struct error **err);

/* All of them by name, as an array of objects {name, file, bytes, sha256, source, architecture,
 * quantization, contextLength, error}; `error` is there for files that cannot be used. */
int model_store_list(struct arena *a, const char *dir, struct json **ret, struct error **err);

/* Writes the record of DIR/NAME.gguf after looking at the file. Errors as model_store_find(). */
int model_store_record(struct arena *a, const char *dir, const char *name, const char *sha256,
                       const char *source, struct error **err);
/* Removes model and record. -ERROR_NOT_FOUND. */
int model_store_remove(struct arena *a, const char *dir, const char *name, struct error **err);
