/* The parts of kaito-shim that are functions. What it does as a process is tested in
 * test_container.c. */
#include <fcntl.h>
#include <sys/stat.h>

#include "machine/logs.h"
#include "machine_test.h"
#include "shim/shim.h"

static void a_spec_is_read(void **state)
{
    static const char text[] = "p/bin/sh\0ash\0a-c\0atrue\0eA=1\0eB=\0c/tmp\0g1500";
    struct shim_spec s;
    char nothing[1] = "";
    assert_int_equal(shim_spec_parse(nothing, 0, &s, NULL), -ERROR_INVALID);
    char *data = mem_alloc(sizeof(text));
    memcpy(data, text, sizeof(text));
    assert_int_equal(shim_spec_parse(data, sizeof(text), &s, NULL), 0);
    assert_string_equal(s.path, "/bin/sh");
    assert_string_equal(s.argv[2], "true");
    assert_null(s.argv[3]);
    assert_string_equal(s.env[0], "A=1");
    assert_string_equal(s.env[1], "B=");
    assert_null(s.env[2]);
    assert_string_equal(s.cwd, "/tmp");
    assert_int_equal(s.grace_ms, 1500);
    shim_spec_done(&s);
}

static void bad_specs_are_refused(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *why;
    } cases[] = {
        { "p/bin/sh", 8, "complete record" }, { "p/bin/sh", 9, "no program" },
        { "ash", 4, "no program" },           { "p/bin/sh\0ash\0gsoon", 19, "soon" },
        { "p/bin/sh\0ash\0g-1", 17, "-1" },   { "p/bin/sh\0ash\0x", 15, "unknown kind" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct shim_spec s;
        struct error *err = NULL;
        char *data = mem_alloc(cases[i].len);
        memcpy(data, cases[i].text, cases[i].len);
        int r = shim_spec_parse(data, cases[i].len, &s, &err);
        free(data);
        assert_error(r, err, ERROR_INVALID, cases[i].why);
    }
}

static int open_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void lines_have_heads(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_FD dir_fd = open_dir(*state);
    struct shim_log l;
    assert_int_equal(shim_log_open(&l, dir_fd, SHIM_LOG_MAX, NULL), 0);
    int64_t t = INT64_C(1767366245123456789);
    shim_log_append(&l, 0, "one\ntw", 6, t);
    shim_log_append(&l, 1, "err\n", 4, t + 1);
    shim_log_append(&l, 0, "o\n\nlast", 7, t + 2);
    shim_log_close(&l, t + 3);
    assert_string_equal(read_all(a, arena_printf(a, "%s/log", (char *)*state)),
                        "2026-01-02T15:04:05.123456789Z stdout F one\n"
                        "2026-01-02T15:04:05.123456790Z stderr F err\n"
                        "2026-01-02T15:04:05.123456791Z stdout F two\n"
                        "2026-01-02T15:04:05.123456791Z stdout F \n"
                        "2026-01-02T15:04:05.123456792Z stdout P last\n");
}

static void long_lines_are_split(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_FD dir_fd = open_dir(*state);
    struct shim_log l;
    assert_int_equal(shim_log_open(&l, dir_fd, SHIM_LOG_MAX, NULL), 0);
    size_t len = 2 * SHIM_LINE_MAX + 10;
    char *text = arena_alloc(a, len + 1);
    memset(text, 'x', len);
    text[len] = '\n';
    for (size_t at = 0; at <= len; at += 1000)
        shim_log_append(&l, 0, text + at, MIN((size_t)1000, len + 1 - at), 0);
    shim_log_close(&l, 0);
    char *log = read_all(a, arena_printf(a, "%s/log", (char *)*state));
    size_t n = 0;
    char **lines = str_split(a, log, '\n', &n);
    assert_int_equal(n, 4);
    static const struct {
        bool partial;
        size_t len;
    } want[] = { { true, SHIM_LINE_MAX }, { true, SHIM_LINE_MAX }, { false, 10 } };
    for (size_t i = 0; i < 3; i++) {
        struct log_line line;
        assert_int_equal(log_line_parse(lines[i], strlen(lines[i]), &line), 0);
        assert_int_equal(line.partial, want[i].partial);
        assert_int_equal(line.text_len, want[i].len);
    }
}

static void the_log_is_rotated(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_FD dir_fd = open_dir(*state);
    struct shim_log l;
    assert_int_equal(shim_log_open(&l, dir_fd, 1000, NULL), 0);
    for (int i = 0; i < 100; i++) {
        char line[32];
        snprintf(line, sizeof(line), "line %d\n", i);
        shim_log_append(&l, 0, line, strlen(line), 0);
    }
    shim_log_close(&l, 0);
    struct stat st;
    assert_int_equal(stat(arena_printf(a, "%s/log", (char *)*state), &st), 0);
    assert_true(st.st_size < 1100);
    assert_int_equal(stat(arena_printf(a, "%s/log.1", (char *)*state), &st), 0);
    assert_true(st.st_size >= 1000 && st.st_size < 1100);
    const char *all = log_tail(a, *state, 3, 1000);
    assert_string_equal(all, "line 97\nline 98\nline 99\n");
}

static void a_state_is_json(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_FD dir_fd = open_dir(*state);
    struct shim_state s = { .shim_pid = 7, .error = (char *)"no \"such\"\n\xff program" };
    s.finished_ns = 5;
    s.exit_code = 128;
    assert_int_equal(shim_state_write(&s, dir_fd, NULL), 0);
    struct json *v = NULL;
    const char *text = read_all(a, arena_printf(a, "%s/state.json", (char *)*state));
    assert_int_equal(json_parse(a, text, strlen(text), &v, NULL), 0);
    assert_string_equal(json_find_str(v, "error"), "no \"such\"\n? program");
    assert_int_equal(json_find_int(v, 0, "exitCode"), 128);
}

/* Where no second file can be made, the state goes into the one that is there. */
static void a_full_disk_does_not_lose_the_end(void **state)
{
    AUTO_ARENA a = arena_new();
    AUTO_FD dir_fd = open_dir(*state);
    struct shim_state s = { .shim_pid = 7 };
    assert_int_equal(shim_state_write(&s, dir_fd, NULL), 0);
    assert_int_equal(file_mkdirs(arena_printf(a, "%s/state.tmp", (char *)*state), 0755, NULL), 0);
    s.pid = 8;
    s.finished_ns = 5;
    s.exit_code = 3;
    assert_int_equal(shim_state_write(&s, dir_fd, NULL), 0);
    struct json *v = NULL;
    const char *text = read_all(a, arena_printf(a, "%s/state.json", (char *)*state));
    assert_int_equal(json_parse(a, text, strlen(text), &v, NULL), 0);
    assert_int_equal(json_find_int(v, 0, "exitCode"), 3);
}

UNIT_TESTS(TEST(a_spec_is_read), TEST(bad_specs_are_refused), TEST_IN_DIR(lines_have_heads),
           TEST_IN_DIR(long_lines_are_split), TEST_IN_DIR(the_log_is_rotated),
           TEST_IN_DIR(a_state_is_json), TEST_IN_DIR(a_full_disk_does_not_lose_the_end))
