/* Bringing a model into the store: by download (resumed when it was cut off) or from a file of this
 * machine. Both write to DIR/NAME.gguf.part first, check size, checksum and head, and only then
 * rename. */
#pragma once

#include "http/client.h"
#include "models/store.h"

/* Called at most ten times a second, and once at the end. total is 0 while it is unknown. */
typedef void model_progress_fn(void *ctx, uint64_t done, uint64_t total);

struct model_pull {
    const char *dir; /* of the store */
    const char *name;
    const char *url;             /* http or https */
    const char *sha256;          /* expected, hex; NULL: not checked */
    uint64_t bytes;              /* expected; 0: not checked */
    const char *token;           /* sent as bearer token to the URL's host only; NULL: none */
    const char *proxy;           /* NULL: the environment's */
    unsigned attempts;           /* connections in all before giving up; 0: 5 */
    model_progress_fn *progress; /* may be NULL */
    void *ctx;
};

/* Errors say what to do: 401/403 name the token, 404 the URL, a full disk the bytes needed. What
 * was received is kept for the next try except when the checksum is wrong. */
int model_pull(struct http_client *client, const struct model_pull *pull, struct error **err);

/* Copies (or clones, where the file system can) `file` into the store. */
int model_import(const char *dir, const char *name, const char *file, model_progress_fn *progress,
                 void *ctx, struct error **err);
