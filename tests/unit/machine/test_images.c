#include "machine/images.h"

#include <sys/stat.h>
#include <time.h>

#include "machine_test.h"

static struct images *images_with(const char *engine_path, const char *file)
{
    struct images *im = NULL;
    struct error *err = NULL;
    if (images_new(&(struct images_options){ .engine_path = engine_path, .user_file = file }, &im,
                   &err) < 0)
        fail_msg("%s", error_message(err));
    return im;
}

static void make_program(const char *path)
{
    write_all(path, "#!/bin/sh\n");
    chmod(path, 0755);
}

static void names_are_the_last_element(void **state)
{
    AUTO_ARENA a = arena_new();
    static const char *const cases[][2] = {
        { "busybox", "busybox" },
        { "busybox:1.36", "busybox" },
        { "docker.io/library/busybox:1", "busybox" },
        { "localhost:5000/a/b", "b" },
        { "mcr.microsoft.com/aks/kaito/kaito-llama-cpp:0.1.0", "kaito-llama-cpp" },
        { "x/y@sha256:00", "y" },
        { "", "" },
        { "a/", "" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(image_name(a, cases[i][0]), cases[i][1]);
}

static void our_engine_is_known(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *dir = *state;
    make_program(arena_printf(a, "%s/kaito-serve", dir));
    AUTO_FREE char *path = mem_strdup(getenv("PATH"));
    setenv("PATH", dir, 1); /* a llama-server of this machine would do too */
    struct images *im = images_with(dir, NULL);
    struct image image;
    struct error *err = NULL;
    int r = images_resolve(im, a, "mcr.microsoft.com/aks/kaito/kaito-llama-cpp:1", &image, &err);
    assert_error(r, err, ERROR_NOT_FOUND, "needs the program llama-server");
    setenv("PATH", path, 1);
    make_program(arena_printf(a, "%s/llama-server", dir));
    assert_int_equal(images_resolve(im, a, "any.registry/kaito-llama-cpp:1", &image, NULL), 0);
    assert_string_equal(image.id, arena_printf(a, "local://%s/kaito-serve", dir));
    assert_string_equal(image.command[0], "kaito-serve");
    assert_true(str_has_prefix(image.path, arena_printf(a, "%s:", dir)));
    images_free(im);
}

static void an_unknown_image_says_how_to_map_it(void **state)
{
    AUTO_ARENA a = arena_new();
    struct images *im = images_with(NULL, "/data/images.json");
    struct image image;
    struct error *err = NULL;
    int r = images_resolve(im, a, "docker.io/library/nginx:1", &image, &err);
    assert_non_null(strstr(error_message(err), "/data/images.json"));
    assert_error(r, err, ERROR_NOT_FOUND, "\"match\": \"nginx\"");
    images_free(im);
}

static void the_users_map_wins_and_is_read_again(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *file = arena_printf(a, "%s/images.json", (char *)*state);
    struct images *im = images_with(NULL, file);
    struct image image;
    assert_int_equal(images_resolve(im, a, "host", &image, NULL), -ERROR_NOT_FOUND);
    write_all(
        file,
        "{\"images\": [{\"match\": \"host\", \"run\": \"host\"}, {\"match\": \"*/app:v[12]\", \"command\": [\"true\"], "
        "\"env\": {\"A\": \"b\"}, \"path\": [\"/opt/x\"]}, {\"match\": \"kaito-llama-cpp\", \"run\": \"host\"}]}");
    assert_int_equal(images_resolve(im, a, "host", &image, NULL), 0);
    assert_string_equal(image.id, "local://host");
    assert_null(image.command);
    assert_int_equal(images_resolve(im, a, "r.io/app:v2", &image, NULL), 0);
    assert_string_equal(image.command[0], "true");
    assert_string_equal(json_find_str(image.env, "A"), "b");
    assert_true(str_has_prefix(image.path, "/opt/x:"));
    assert_int_equal(images_resolve(im, a, "r.io/app:v3", &image, NULL), -ERROR_NOT_FOUND);
    assert_int_equal(images_resolve(im, a, "kaito-llama-cpp", &image, NULL), 0);
    /* A file that went bad is said, and nothing is guessed. */
    write_all(file, "{\"images\": [}");
    struct error *err = NULL;
    assert_error(images_resolve(im, a, "host", &image, &err), err, ERROR_INVALID, file);
    unlink(file);
    assert_int_equal(images_resolve(im, a, "host", &image, NULL), -ERROR_NOT_FOUND);
    images_free(im);
}

static void bad_maps_are_refused_with_the_place(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *file = arena_printf(a, "%s/images.json", (char *)*state);
    static const char *const cases[][2] = {
        { "[]", "array \"images\"" },
        { "{\"images\": [{}]}", "images[0]" },
        { "{\"images\": [{\"match\": \"a\"}, {\"match\": \"b\", \"run\": \"docker\"}]}",
          "images[1].run" },
        { "{\"images\": [{\"match\": \"a\", \"exe\": []}]}", "images[0].exe" },
        { "{\"images\": [{\"match\": \"a\", \"command\": \"sh\"}]}", "images[0].command" },
        { "{\"images\": [{\"match\": \"a\", \"executables\": [1]}]}", "images[0].executables[0]" },
        { "{\"images\": [{\"match\": \"a\", \"env\": {\"X\": 1}}]}", "images[0].env.X" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        write_all(file, cases[i][0]);
        struct images *im = NULL;
        struct error *err = NULL;
        int r = images_new(&(struct images_options){ .user_file = file }, &im, &err);
        assert_error(r, err, ERROR_INVALID, cases[i][1]);
    }
    unlink(file);
    struct images *im = NULL;
    struct error *err = NULL;
    int r =
        images_new(&(struct images_options){ .user_file = file, .must_exist = true }, &im, &err);
    assert_error(r, err, ERROR_NOT_FOUND, file);
}

UNIT_TESTS(TEST(names_are_the_last_element), TEST_IN_DIR(our_engine_is_known),
           TEST(an_unknown_image_says_how_to_map_it),
           TEST_IN_DIR(the_users_map_wins_and_is_read_again),
           TEST_IN_DIR(bad_maps_are_refused_with_the_place))
