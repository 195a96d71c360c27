/* The model store of one machine: a directory of GGUF files, each with a small JSON record beside it
 * (NAME.json: file, sha256, bytes, source, time). `kaito models` fills it; the Workspace controller reads it. */
#pragma once

#include "gguf/gguf.h"
#include "json/json.h"

struct model_entry {
    const char *name;          /* "gemma-3-270m": the preset's short name, or what the user chose */
    const char *path;          /* absolute, of the GGUF file */
    uint64_t bytes;
    const char *sha256;        /* hex; "" when unknown */
    const char *source;        /* URL or the file it was imported from */
    struct gguf_info info;
};

/* $KAITO_MODELS_DIR, else DATA_DIR/models. */
char *model_store_dir(struct arena *a, const char *data_dir);

/* -ERROR_NOT_FOUND: no such model, text says the command to run (`kaito models pull NAME`); -ERROR_INVALID: there, but
 * truncated or not GGUF, with the figures. Reads only the head of the file; cheap enough for each reconcile when cached by
 * (path, size, mtime), which this does. */
int model_store_find(struct arena *a, const char *dir, const char *name, struct model_entry *ret, struct error **err);
/* All of them, as an array of objects {name, file, bytes, sha256, source, architecture, contextLength, error}. */
int model_store_list(struct arena *a, const char *dir, struct json **ret, struct error **err);
