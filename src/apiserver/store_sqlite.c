/* objects(id, resource, ns, name, version, json), meta(key, value): "version" is the last version
 * given to a write, deletions included, so that it never goes back. The schema's number is SQLite's
 * user_version.
 *
 * The memory of the store answers all reads, so the cache is small. The exclusive locking mode
 * keeps the index of the WAL in memory: no shared-memory file that could be left torn, and no
 * second program writes beneath us. */
#include "apiserver/store_db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define APPLICATION_ID 0x4b41492d /* "KAI-" */
#define BUSY_TIMEOUT_MS 2000

struct store_db {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *begin, *commit, *rollback, *insert, *update, *remove, *version;
};

/* migrations[n] takes schema n to n + 1; each runs in a transaction with the change of
 * user_version. */
static const char *const migrations[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE objects(id INTEGER PRIMARY KEY, resource TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,"
    " version INTEGER NOT NULL, json TEXT NOT NULL);"
    "CREATE UNIQUE INDEX objects_key ON objects(resource, ns, name);"
    "INSERT INTO meta VALUES('version', 1);",
};

static bool disk_is_full(struct store_db *db, int rc)
{
    int errnum = (rc & 0xff) == SQLITE_IOERR ? sqlite3_system_errno(db->db) : 0;
    return (rc & 0xff) == SQLITE_FULL || errnum == ENOSPC || errnum == EDQUOT;
}

static int db_error(struct store_db *db, int rc, struct error **err)
{
    const char *words = db->db ? sqlite3_errmsg(db->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(
            err, ERROR_INVALID,
            "%s is damaged (%s); put a backup in its place, or move it away to start empty",
            db->path, words);
    case SQLITE_BUSY:
        return error_set(err, ERROR_CONFLICT, "%s is in use by another process", db->path);
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
        return error_set(err, ERROR_FORBIDDEN, "%s cannot be opened for writing: %s", db->path,
                         words);
    default:
        break;
    }
    if (disk_is_full(db, rc)) {
        const char *slash = strrchr(db->path, '/');
        int r = error_set(err, ERROR_IO, "the disk that holds %.*s is full; nothing was changed",
                          slash ? (int)(slash - db->path) : 1, slash ? db->path : ".");
        if (err)
            error_set_reason(*err, "InsufficientStorage");
        return r;
    }
    return error_set(err, ERROR_IO, "%s: %s", db->path, words);
}

static int run(struct store_db *db, const char *sql, struct error **err)
{
    int rc = sqlite3_exec(db->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : db_error(db, rc, err);
}

static int query_int(struct store_db *db, const char *sql, int64_t *ret, struct error **err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db->db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    int r = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : db_error(db, rc, err);
    sqlite3_finalize(st);
    return r;
}

/* ---- schema ------------------------------------------------------------------------------------------------------- */

static int migrate(struct store_db *db, struct error **err)
{
    int64_t have = 0, tables = 0, application = 0;
    int r = query_int(db, "PRAGMA user_version", &have, err);
    if (r == 0)
        r = query_int(db, "PRAGMA application_id", &application, err);
    if (r == 0)
        r = query_int(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (r < 0)
        return r;
    if (tables > 0 && application != APPLICATION_ID)
        return error_set(err, ERROR_INVALID, "%s is a database of another program", db->path);
    if (have > (int64_t)COUNT_OF(migrations))
        return error_set(
            err, ERROR_INVALID,
            "%s was written by a newer version (schema %lld; this one knows %zu); run that version",
            db->path, (long long)have, COUNT_OF(migrations));
    for (; have < (int64_t)COUNT_OF(migrations); have++) {
        AUTO_FREE char *sql = mem_printf(
            "BEGIN IMMEDIATE; PRAGMA application_id=%d; %s PRAGMA user_version=%lld; COMMIT;",
            APPLICATION_ID, migrations[have], (long long)have + 1);
        r = run(db, sql, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int prepare(struct store_db *db, struct error **err)
{
    const struct {
        sqlite3_stmt **st;
        const char *sql;
    } statements[] = {
        { &db->begin, "BEGIN IMMEDIATE" },
        { &db->commit, "COMMIT" },
        { &db->rollback, "ROLLBACK" },
        { &db->insert,
          "INSERT INTO objects(id, resource, ns, name, version, json) VALUES(?1, ?2, ?3, ?4, ?5, ?6)" },
        { &db->update, "UPDATE objects SET version=?2, json=?3 WHERE id=?1" },
        { &db->remove, "DELETE FROM objects WHERE id=?1" },
        { &db->version, "UPDATE meta SET value=?1 WHERE key='version'" },
    };
    for (size_t i = 0; i < COUNT_OF(statements); i++) {
        int rc = sqlite3_prepare_v3(db->db, statements[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
                                    statements[i].st, NULL);
        if (rc != SQLITE_OK)
            return db_error(db, rc, err);
    }
    return 0;
}

int store_db_open(const char *path, struct store_db **ret, struct error **err)
{
    struct store_db *db = NEW0(struct store_db);
    db->path = mem_strdup(path);
    /* Secrets are in it, and SQLite would let everyone read it. The files beside it get its mode.
     */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd); /* where it cannot be made, SQLite says why */
    int rc =
        sqlite3_open_v2(path, &db->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    int r = rc == SQLITE_OK ? 0 : db_error(db, rc, err);
    if (r == 0) {
        sqlite3_busy_timeout(db->db, BUSY_TIMEOUT_MS);
        sqlite3_extended_result_codes(db->db, 1);
        r = run(
            db,
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-1024;"
            "PRAGMA journal_size_limit=8388608; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;",
            err);
    }
    if (r == 0)
        r = migrate(db, err);
    if (r == 0)
        r = prepare(db, err);
    if (r < 0) {
        store_db_close(db);
        return r;
    }
    *ret = db;
    return 0;
}

void store_db_close(struct store_db *db)
{
    sqlite3_stmt *const statements[] = { db->begin,  db->commit, db->rollback, db->insert,
                                         db->update, db->remove, db->version };
    for (size_t i = 0; i < COUNT_OF(statements); i++)
        sqlite3_finalize(statements[i]);
    sqlite3_close(db->db);
    free(db->path);
    free(db);
}

/* ---- load --------------------------------------------------------------------------------------------------------- */

static int load_row(struct store_db *db, sqlite3_stmt *st, struct arena *a, store_db_row_fn *on_row,
                    void *ctx, struct error **err)
{
    const char *resource = (const char *)sqlite3_column_text(st, 1);
    const char *text = (const char *)sqlite3_column_text(st, 2);
    int len = sqlite3_column_bytes(st, 2);
    struct json *value = NULL;
    CLEANUP(error_cleanup) struct error *why = NULL;
    if (!resource || !text || json_parse(a, text, (size_t)len, &value, &why) < 0 ||
        !json_is_object(value))
        return error_set(
            err, ERROR_INVALID,
            "%s is damaged (object %lld of %s: %s); put a backup in its place, or move it away to start empty",
            db->path, (long long)sqlite3_column_int64(st, 0), resource ? resource : "?",
            why ? error_message(why) : "not an object");
    return on_row(ctx, a, resource, sqlite3_column_int64(st, 0), value, err);
}

int store_db_load(struct store_db *db, store_db_row_fn *on_row, void *ctx, uint64_t *ret_version,
                  struct error **err)
{
    int64_t version = 1;
    int r = query_int(db, "SELECT value FROM meta WHERE key='version'", &version, err);
    if (r < 0)
        return r;
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db->db, "SELECT id, resource, json FROM objects ORDER BY id", -1,
                                &st, NULL);
    AUTO_ARENA a = arena_new();
    while (rc == SQLITE_OK && r == 0) {
        int step = sqlite3_step(st);
        if (step == SQLITE_DONE)
            break;
        if (step != SQLITE_ROW) {
            rc = step;
            break;
        }
        r = load_row(db, st, a, on_row, ctx, err);
        arena_reset(a);
    }
    if (rc != SQLITE_OK)
        r = db_error(db, rc, err);
    sqlite3_finalize(st);
    *ret_version = (uint64_t)version;
    return r;
}

/* ---- commit ------------------------------------------------------------------------------------------------------- */

static int step(sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);
    sqlite3_reset(st);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int apply(struct store_db *db, const struct store_change *c)
{
    sqlite3_stmt *st = c->what == STORE_INSERT   ? db->insert
                       : c->what == STORE_UPDATE ? db->update
                                                 : db->remove;
    sqlite3_bind_int64(st, 1, c->row);
    if (c->what == STORE_INSERT) {
        sqlite3_bind_text(st, 2, c->resource, -1, SQLITE_STATIC);
        sqlite3_bind_text(st, 3, c->ns, -1, SQLITE_STATIC);
        sqlite3_bind_text(st, 4, c->name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(st, 5, (int64_t)c->version);
        sqlite3_bind_text(st, 6, c->object->text, (int)c->object->text_len, SQLITE_STATIC);
    } else if (c->what == STORE_UPDATE) {
        sqlite3_bind_int64(st, 2, (int64_t)c->version);
        sqlite3_bind_text(st, 3, c->object->text, (int)c->object->text_len, SQLITE_STATIC);
    }
    int rc = step(st);
    sqlite3_clear_bindings(st);
    return rc;
}

int store_db_commit(struct store_db *db, const struct store_change *changes, size_t n,
                    uint64_t version, struct error **err)
{
    int rc = step(db->begin);
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
        rc = apply(db, &changes[i]);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(db->version, 1, (int64_t)version);
        rc = step(db->version);
    }
    if (rc == SQLITE_OK)
        rc = step(db->commit);
    if (rc == SQLITE_OK)
        return 0;
    int r = db_error(db, rc, err);
    /* Some errors have rolled back already. */
    if (!sqlite3_get_autocommit(db->db))
        step(db->rollback);
    return r;
}
