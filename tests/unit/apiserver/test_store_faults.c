/* What a disk can do to the store: fill up, fail, tear; and a process that is killed while it
 * writes. */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apiserver/store.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "unit.h"
#include "json/build.h"

#define CMS "/configmaps"

/* ---- a file system that fails on demand --------------------------------------------------------------------------- */

static atomic_int failing; /* an SQLite result code; 0: works */

struct faulty_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_vfs faulty_vfs, *real_vfs;
static sqlite3_io_methods faulty_methods;

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct faulty_file *)f)->real;
}

static int faulty_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int faulty_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static int faulty_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    int code = atomic_load(&failing);
    return code ? code : real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
}

static int faulty_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int faulty_sync(sqlite3_file *f, int flags)
{
    int code = atomic_load(&failing);
    return code ? code : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int faulty_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}

static int faulty_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int faulty_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int faulty_reserved(sqlite3_file *f, int *ret)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int faulty_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int faulty_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int faulty_characteristics(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags,
                       int *ret_flags)
{
    struct faulty_file *x = (struct faulty_file *)f;
    x->real = (sqlite3_file *)(x + 1);
    int rc = real_vfs->xOpen(real_vfs, name, x->real, flags, ret_flags);
    x->base.pMethods = rc == SQLITE_OK ? &faulty_methods : NULL;
    return rc;
}

static void use_faulty_disk(void)
{
    if (real_vfs)
        return;
    real_vfs = sqlite3_vfs_find(NULL);
    faulty_vfs = *real_vfs;
    faulty_vfs.zName = "faulty";
    faulty_vfs.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
    faulty_vfs.xOpen = faulty_open;
    faulty_methods = (sqlite3_io_methods){
        .iVersion = 1,
        .xClose = faulty_close,
        .xRead = faulty_read,
        .xWrite = faulty_write,
        .xTruncate = faulty_truncate,
        .xSync = faulty_sync,
        .xFileSize = faulty_size,
        .xLock = faulty_lock,
        .xUnlock = faulty_unlock,
        .xCheckReservedLock = faulty_reserved,
        .xFileControl = faulty_control,
        .xSectorSize = faulty_sector,
        .xDeviceCharacteristics = faulty_characteristics,
    };
    sqlite3_vfs_register(&faulty_vfs, 1);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct dir {
    char path[64];
    char *file;
};

static void dir_make(struct dir *d)
{
    snprintf(d->path, sizeof d->path, "/tmp/kaito-store-XXXXXX");
    assert_non_null(mkdtemp(d->path));
    d->file = mem_printf("%s/store.db", d->path);
}

static void dir_drop(struct dir *d)
{
    file_remove_tree(d->path, NULL);
    free(d->file);
}

static struct store *open_at(const struct dir *d)
{
    struct store *s = NULL;
    struct error *err = NULL;
    if (store_open(&(struct store_options){ .path = d->file }, &s, &err) < 0)
        fail_msg("%s", error_message(err));
    return s;
}

static int decide_put(void *ctx, const struct kube_object *current, struct arena *a,
                      struct json **ret_next, bool *ret_unchanged, struct error **err)
{
    *ret_next = OBJ("metadata", OBJ("name", STR((const char *)ctx)));
    return 0;
}

static int put(struct store *s, const char *name, struct error **err)
{
    return store_write(s, CMS, "", name, decide_put, (void *)(uintptr_t)name, NULL, err);
}

static bool has(struct store *s, const char *name)
{
    struct kube_object *o = store_get(s, CMS, "", name);
    kube_object_unref(o);
    return o != NULL;
}

/* ---- faults ------------------------------------------------------------------------------------------------------- */

static void a_full_disk_is_said_and_survived(void **state)
{
    use_faulty_disk();
    struct dir d;
    dir_make(&d);
    struct store *s = open_at(&d);
    assert_int_equal(put(s, "before", NULL), 0);
    uint64_t version = store_version(s);

    atomic_store(&failing, SQLITE_FULL);
    struct error *err = NULL;
    int r = put(s, "lost", &err);
    assert_string_equal(error_reason(err), "InsufficientStorage");
    assert_error(r, err, ERROR_IO, "the disk that holds /tmp/kaito-store-");
    r = put(s, "before", &err);
    assert_error(r, err, ERROR_IO, "is full");
    assert_false(has(s, "lost"));
    assert_true(has(s, "before"));
    assert_int_equal(store_version(s), version);

    atomic_store(&failing, 0);
    assert_int_equal(put(s, "after", NULL), 0);
    assert_int_equal(put(s, "lost", NULL), 0);
    assert_true(store_version(s) > version);
    store_close(s);

    s = open_at(&d);
    assert_true(has(s, "before") && has(s, "after") && has(s, "lost"));
    store_close(s);
    dir_drop(&d);
}

static void an_io_error_is_said_and_survived(void **state)
{
    use_faulty_disk();
    struct dir d;
    dir_make(&d);
    struct store *s = open_at(&d);
    atomic_store(&failing, SQLITE_IOERR_FSYNC);
    struct error *err = NULL;
    int r = put(s, "lost", &err);
    assert_error(r, err, ERROR_IO, "store.db");
    atomic_store(&failing, 0);
    assert_int_equal(put(s, "kept", NULL), 0);
    store_close(s);
    s = open_at(&d);
    assert_true(has(s, "kept"));
    assert_false(has(s, "lost"));
    store_close(s);
    dir_drop(&d);
}

static void *write_on(void *arg)
{
    struct store *s = arg;
    int64_t failed = 0;
    for (int i = 0; i < 400; i++) {
        char name[64];
        snprintf(name, sizeof name, "o-%lx-%d", (unsigned long)pthread_self(), i);
        bool fine = put(s, name, NULL) == 0;
        failed += !fine;
        assert_int_equal(has(s, name), fine);
    }
    return (void *)(intptr_t)failed;
}

/* Writers that are hit by a failure and writers that are not see what is true for each of them. */
static void failures_under_load(void **state)
{
    use_faulty_disk();
    struct dir d;
    dir_make(&d);
    struct store *s = open_at(&d);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(thread_start(&threads[i], "writer", write_on, s, NULL), 0);
    for (int i = 0; i < 40; i++) {
        usleep(1000);
        atomic_store(&failing, i % 2 ? 0 : SQLITE_FULL);
    }
    atomic_store(&failing, 0);
    int64_t failed = 0;
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(threads[i], &r);
        failed += (intptr_t)r;
    }
    size_t there = store_count(s, CMS);
    assert_int_equal((int64_t)there + failed, 1600);
    store_close(s);
    s = open_at(&d);
    assert_int_equal(store_count(s, CMS), there);
    store_close(s);
    dir_drop(&d);
}

/* ---- files that are not right ------------------------------------------------------------------------------------- */

static int open_fails(const struct dir *d, struct error **err)
{
    struct store *s = NULL;
    int r = store_open(&(struct store_options){ .path = d->file }, &s, err);
    if (r == 0)
        store_close(s);
    return r;
}

static void damaged_files_are_named(void **state)
{
    struct dir d;
    dir_make(&d);
    struct error *err = NULL;
    static const char text[] = "this is no database, but longer than the header of one: no, no, no";
    assert_int_equal(file_write_atomic(d.file, text, sizeof text, 0600, NULL), 0);
    int r = open_fails(&d, &err);
    assert_error(r, err, ERROR_INVALID, "store.db is damaged");
    unlink(d.file);

    struct store *s = open_at(&d);
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "o%d", i);
        assert_int_equal(put(s, name, NULL), 0);
    }
    store_close(s);
    int fd = open(d.file, O_WRONLY);
    for (off_t at = 4096; at < 40960; at += 4096)
        assert_int_equal(pwrite(fd, "garbage garbage garbage garbage garbage", 40, at), 40);
    close(fd);
    r = open_fails(&d, &err);
    assert_error(r, err, ERROR_INVALID, "is damaged");
    dir_drop(&d);
}

static void sql(const struct dir *d, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(d->file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void files_of_others_are_left_alone(void **state)
{
    struct dir d;
    dir_make(&d);
    sql(&d, "CREATE TABLE things(x)");
    struct error *err = NULL;
    int r = open_fails(&d, &err);
    assert_error(r, err, ERROR_INVALID, "a database of another program");
    unlink(d.file);

    store_close(open_at(&d));
    sql(&d, "PRAGMA user_version=99");
    r = open_fails(&d, &err);
    assert_error(r, err, ERROR_INVALID, "written by a newer version");
    sql(&d,
        "PRAGMA user_version=1; INSERT INTO objects VALUES(7, '/pods', 'ns', 'x', 5, '{\"a\":')");
    r = open_fails(&d, &err);
    assert_error(r, err, ERROR_INVALID, "object 7 of /pods");
    dir_drop(&d);
}

#define NOBODY 65534

static void a_read_only_place_is_said(void **state)
{
    struct dir d;
    dir_make(&d);
    chmod(d.path, 0500);
    /* The superuser may write anywhere. */
    uid_t user = geteuid();
    if (user == 0) {
        assert_int_equal(chown(d.path, NOBODY, NOBODY), 0);
        assert_int_equal(seteuid(NOBODY), 0);
    }
    struct error *err = NULL;
    int r = open_fails(&d, &err);
    assert_error(r, err, ERROR_FORBIDDEN, "cannot be opened for writing");
    assert_int_equal(seteuid(user), 0);
    chmod(d.path, 0700);
    dir_drop(&d);
}

/* ---- killed ------------------------------------------------------------------------------------------------------- */

#define CHILD_WRITERS 4

struct child {
    struct store *s;
    int acks, number;
};

static void *write_and_tell(void *arg)
{
    struct child *c = arg;
    for (int i = 0;; i++) {
        char name[32];
        snprintf(name, sizeof name, "w%d-%06d", c->number, i);
        if (put(c->s, name, NULL) < 0 || write(c->acks, name, sizeof name) != sizeof name)
            _exit(1);
    }
    return NULL;
}

static void run_child(const struct dir *d, int acks)
{
    struct store *s = NULL;
    if (store_open(&(struct store_options){ .path = d->file }, &s, NULL) < 0)
        _exit(1);
    struct child children[CHILD_WRITERS];
    pthread_t thread;
    for (int i = 0; i < CHILD_WRITERS; i++) {
        children[i] = (struct child){ s, acks, (int)getpid() * 10 + i };
        if (thread_start(&thread, "writer", write_and_tell, &children[i], NULL) < 0)
            _exit(1);
    }
    for (;;)
        pause();
}

/* Every write that was acknowledged before the kill is there afterwards, and versions only grow. */
static void nothing_acknowledged_is_lost(void **state)
{
    struct dir d;
    dir_make(&d);
    uint64_t version = 0;
    size_t total = 0;
    for (int round = 0; round < 12; round++) {
        int pipe_fds[2];
        assert_int_equal(pipe(pipe_fds), 0);
        pid_t pid = fork();
        if (pid == 0)
            run_child(&d, pipe_fds[1]);
        close(pipe_fds[1]);
        /* Not before it writes, then at some moment. */
        char names[4096][32];
        size_t n = 0;
        assert_int_equal(read(pipe_fds[0], names[n++], 32), 32);
        usleep((useconds_t)(rand() % 30000));
        kill(pid, SIGKILL);
        while (n < 4096 && read(pipe_fds[0], names[n], 32) == 32)
            n++;
        close(pipe_fds[0]);
        waitpid(pid, NULL, 0);

        struct store *s = open_at(&d);
        for (size_t i = 0; i < n; i++)
            if (!has(s, names[i]))
                fail_msg("%s was acknowledged and is lost", names[i]);
        total += n;
        assert_true(store_version(s) >= version + n);
        assert_true(store_count(s, CMS) >= total);
        version = store_version(s);
        store_close(s);
    }
    dir_drop(&d);
}

/* A WAL that ends in the middle of a frame, as a power cut may leave it, costs at most what was in
 * that frame. */
static void a_torn_log_is_cut(void **state)
{
    struct dir d;
    dir_make(&d);
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        run_child(&d, pipe_fds[1]);
    char name[32];
    for (int i = 0; i < 100; i++)
        assert_int_equal(read(pipe_fds[0], name, 32), 32);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);

    AUTO_FREE char *wal = mem_printf("%s-wal", d.file);
    struct stat st;
    assert_int_equal(stat(wal, &st), 0);
    size_t count = SIZE_MAX;
    for (off_t size = st.st_size; size > 0; size -= st.st_size / 7 + 13) {
        assert_int_equal(truncate(wal, size), 0);
        AUTO_FREE char *copy = mem_printf("%s/copy", d.path);
        AUTO_FREE char *command_from = mem_printf("%s-wal", copy);
        char *data = NULL;
        size_t len = 0;
        assert_int_equal(file_read(d.file, 64 * MIB, &data, &len, NULL), 0);
        assert_int_equal(file_write_atomic(copy, data, len, 0600, NULL), 0);
        free(data);
        assert_int_equal(file_read(wal, 64 * MIB, &data, &len, NULL), 0);
        assert_int_equal(file_write_atomic(command_from, data, len, 0600, NULL), 0);
        free(data);
        struct store *s = NULL;
        if (store_open(&(struct store_options){ .path = copy }, &s, NULL) == 0) {
            assert_true(store_count(s, CMS) <= count);
            count = store_count(s, CMS);
            assert_int_equal(put(s, "after", NULL), 0);
            store_close(s);
        }
        unlink(copy);
        unlink(command_from);
    }
    dir_drop(&d);
}

UNIT_TESTS(TEST(damaged_files_are_named), TEST(files_of_others_are_left_alone),
           TEST(a_read_only_place_is_said), TEST(nothing_acknowledged_is_lost),
           TEST(a_torn_log_is_cut), TEST(a_full_disk_is_said_and_survived),
           TEST(an_io_error_is_said_and_survived), TEST(failures_under_load))
