/* What the tests of the machine share. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "unit.h"
#include "yaml/yaml.h"
#include "json/build.h"

/* A directory that is removed again. */
static inline int test_dir_setup(void **state)
{
    char path[] = "/tmp/kaito-test-XXXXXX";
    *state = mkdtemp(path) ? mem_strdup(path) : NULL;
    return *state ? 0 : -1;
}

static inline int test_dir_teardown(void **state)
{
    file_remove_tree(*state, NULL);
    free(*state);
    return 0;
}

#define TEST_IN_DIR(fn) cmocka_unit_test_setup_teardown(fn, test_dir_setup, test_dir_teardown)

static inline const char *test_shim(void)
{
    const char *path = getenv("KAITO_SHIM");
    if (!path)
        fail_msg("KAITO_SHIM must name the shim; meson test sets it");
    return path;
}

/* An object as people write it. */
static inline struct json *yaml_of(struct arena *a, const char *text)
{
    struct json *v = NULL;
    struct error *err = NULL;
    if (yaml_parse(a, text, strlen(text), &v, &err) < 0)
        fail_msg("%s", error_message(err));
    return v;
}

static inline char *read_all(struct arena *a, const char *path)
{
    char *text = NULL;
    size_t len = 0;
    if (file_read(path, 64 * MIB, &text, &len, NULL) < 0)
        return NULL;
    char *copy = arena_strndup(a, text, len);
    free(text);
    return copy;
}

static inline void write_all(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Waits until the expression holds, at most so many milliseconds: five times as many, as builds
 * with sanitizers on a busy machine are slow. */
#define WAIT_FOR(ms, expression)                                                                   \
    do {                                                                                           \
        int64_t end_ = clock_mono(clock_system()) + 5 * (int64_t)(ms)*NS_PER_MS;                   \
        bool holds_;                                                                               \
        while (!(holds_ = (expression)) && clock_mono(clock_system()) < end_)                      \
            usleep(1000);                                                                          \
        if (!holds_)                                                                               \
            fail_msg("%s did not come true in %d ms", #expression, (int)(ms));                     \
    } while (0)

static inline bool pid_alive(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    char *text = NULL;
    if (file_read(path, 4096, &text, NULL, NULL) < 0)
        return false;
    const char *at = strrchr(text, ')');
    bool alive = at && at[2] != 'Z' && at[2] != 'X';
    free(text);
    return alive;
}

/* Reads a number that a container has written into a file. */
static inline pid_t read_pid(struct arena *a, const char *path)
{
    const char *text = read_all(a, path);
    return text ? (pid_t)strtol(text, NULL, 10) : 0;
}
