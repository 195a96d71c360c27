#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "unit.h"

static char dir[64];

static const char *at(const char *name)
{
    static char path[4][256];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static int make_dir(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/kaito-test-file-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    return file_remove_tree(dir, NULL);
}

static void writes_whole_files(void **state)
{
    struct error *err = NULL;
    assert_int_equal(file_write_atomic(at("f"), "one", 3, 0640, &err), 0);
    assert_int_equal(file_write_atomic(at("f"), "a\0b", 3, 0600, &err), 0);
    AUTO_FREE char *data = NULL;
    size_t len;
    assert_int_equal(file_read(at("f"), 3, &data, &len, &err), 0);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "a\0b\0", 4);
    struct stat st;
    stat(at("f"), &st);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void a_failed_write_leaves_nothing_behind(void **state)
{
    struct error *err = NULL;
    int r = file_write_atomic(at("absent/f"), "x", 1, 0600, &err);
    assert_error(r, err, ERROR_NOT_FOUND, "absent");
    assert_int_equal(file_mkdirs(at("taken/inside"), 0755, &err), 0);
    r = file_write_atomic(at("taken"), "x", 1, 0600, &err); /* a directory in the way */
    assert_true(r < 0);
    error_free(err);
    err = NULL;
    assert_int_equal(file_remove_tree(at("taken"), &err), 0);
    assert_int_equal(rmdir(dir), 0); /* empty */
    assert_int_equal(mkdir(dir, 0700), 0);
}

static void reading_has_a_cap(void **state)
{
    struct error *err = NULL;
    file_write_atomic(at("f"), "12345", 5, 0600, NULL);
    char *data = NULL;
    int r = file_read(at("f"), 4, &data, NULL, &err);
    assert_error(r, err, ERROR_TOO_LARGE, "larger than 4 bytes");
    assert_null(data);
    r = file_read(at("none"), 4, &data, NULL, &err);
    assert_error(r, err, ERROR_NOT_FOUND, "none");
    r = file_read(dir, 4, &data, NULL, &err);
    assert_error(r, err, ERROR_INVALID, "directory");
    assert_int_equal(file_read("/proc/self/stat", 4 * KIB, &data, NULL, &err), 0);
    assert_true(strlen(data) > 10);
    free(data);
}

static void makes_and_removes_trees(void **state)
{
    struct error *err = NULL;
    assert_int_equal(file_mkdirs(at("a//b/c/"), 0755, &err), 0);
    assert_int_equal(file_mkdirs(at("a/b/c"), 0755, &err), 0);
    assert_true(file_exists(at("a/b/c")));
    file_write_atomic(at("a/b/f"), "x", 1, 0600, NULL);
    file_write_atomic(at("outside"), "x", 1, 0600, NULL);
    assert_int_equal(symlink(dir, at("a/b/link")), 0);
    assert_int_equal(symlink("/nowhere", at("a/dangling")), 0);
    int r = file_mkdirs(at("a/b/f/g"), 0755, &err);
    assert_error(r, err, ERROR_ALREADY_EXISTS, "a/b/f");
    assert_int_equal(file_remove_tree(at("a"), &err), 0);
    assert_false(file_exists(at("a")));
    assert_true(file_exists(at("outside"))); /* links are not followed */
    assert_int_equal(file_remove_tree(at("a"), &err), 0);
    assert_int_equal(file_remove_tree(at("outside"), &err), 0);
}

static void removing_a_link_leaves_its_target(void **state)
{
    file_mkdirs(at("real"), 0755, NULL);
    assert_int_equal(symlink("real", at("link")), 0);
    assert_int_equal(file_remove_tree(at("link"), NULL), 0);
    assert_true(file_exists(at("real")));
}

static void a_lock_is_held_once(void **state)
{
    struct error *err = NULL;
    int fd = -1, second = -1;
    assert_int_equal(file_lock(at("lock"), &fd, &err), 0);
    int r = file_lock(at("lock"), &second, &err);
    char pid[32];
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_error(r, err, ERROR_CONFLICT, pid);
    assert_int_equal(second, -1);
    close(fd);
    assert_int_equal(file_lock(at("lock"), &second, &err), 0);
    close(second);
}

static void a_lock_dies_with_its_process(void **state)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd;
        file_lock(at("lock"), &fd, NULL);
        ssize_t n = write(ready[1], "x", 1);
        (void)n;
        pause();
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    int fd = -1;
    assert_int_equal(file_lock(at("lock"), &fd, NULL), -ERROR_CONFLICT);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(file_lock(at("lock"), &fd, NULL), 0);
    close(fd);
    close(ready[0]);
    close(ready[1]);
}

static void knows_where_it_runs(void **state)
{
    AUTO_FREE char *exe_dir = file_exe_dir();
    AUTO_FREE char *self = mem_printf("%s/%s", exe_dir, program_invocation_short_name);
    assert_true(file_exists(self));
}

#define IN_DIR(fn) cmocka_unit_test_setup_teardown(fn, make_dir, remove_dir)

UNIT_TESTS(IN_DIR(writes_whole_files), IN_DIR(a_failed_write_leaves_nothing_behind),
           IN_DIR(reading_has_a_cap), IN_DIR(makes_and_removes_trees),
           IN_DIR(removing_a_link_leaves_its_target), IN_DIR(a_lock_is_held_once),
           IN_DIR(a_lock_dies_with_its_process), TEST(knows_where_it_runs))
