/* The file below the store: one SQLite database, written by one thread at a time. */
#pragma once

#include "kube/object.h"

struct store_db;

/* What one transaction does, in order. `row` is the id in the table. */
struct store_change {
    enum { STORE_INSERT, STORE_UPDATE, STORE_REMOVE } what;
    int64_t row;
    const char *resource;
    const char *ns;
    const char *name;
    uint64_t version;
    const struct kube_object *object; /* STORE_REMOVE: not used */
};

/* Opens or makes the file and brings it to the current schema. */
int store_db_open(const char *path, struct store_db **ret, struct error **err);
void store_db_close(struct store_db *db);

/* Reads the last version and every object: resource, row and a parsed value that lives in `a`
 * (reset after each call). */
typedef int store_db_row_fn(void *ctx, struct arena *a, const char *resource, int64_t row,
                            const struct json *value, struct error **err);
int store_db_load(struct store_db *db, store_db_row_fn *on_row, void *ctx, uint64_t *ret_version,
                  struct error **err);

/* All or nothing, durable when it returns 0. -ERROR_IO: nothing was written; reason
 * "InsufficientStorage" when the disk is full. */
int store_db_commit(struct store_db *db, const struct store_change *changes, size_t n,
                    uint64_t version, struct error **err);
