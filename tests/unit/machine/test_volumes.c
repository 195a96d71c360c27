#include <sys/stat.h>

#include "machine/podenv.h"
#include "machine_test.h"

struct world {
    struct arena *a;
    const char *color;
    struct pod_context x;
};

static int get(void *ctx, const char *resource, const char *ns, const char *name, struct arena *a,
               struct json **ret, struct error **err)
{
    struct world *w = ctx;
    if (str_eq(resource, "configmaps") && str_eq(name, "cm") && w->color)
        *ret = OBJ("data", OBJ("color", STR(w->color), "size", STR("big")), "binaryData",
                   OBJ("bin", STR("AAEC")));
    else if (str_eq(resource, "secrets") && str_eq(name, "sec"))
        *ret = OBJ("data", OBJ("token", STR("aGlkZGVu")));
    else
        return error_set(err, ERROR_NOT_FOUND, "%s \"%s\" not found",
                         str_eq(resource, "secrets") ? "secret" : "configmap", name);
    return 0;
}

static struct pod_sources sources;

static void world_init(struct world *w, void **state, const char *volumes)
{
    *w = (struct world){ .a = arena_new(), .color = "red" };
    sources = (struct pod_sources){ .get = get, .ctx = w };
    w->x = (struct pod_context){
        .pod =
            yaml_of(w->a,
                    arena_printf(
                        w->a,
                        "{metadata: {name: p, namespace: ns, labels: {l: x}}, spec: {volumes: %s}}",
                        volumes)),
        .ip = "127.97.0.1",
        .host_ip = "127.0.0.1",
        .node_name = "n",
        .sources = &sources,
        .volumes_dir = arena_printf(w->a, "%s/volumes", (char *)*state),
    };
}

static int setup(struct world *w, struct error **err)
{
    return volumes_setup(w->a, &w->x, err);
}

static const char *content(struct world *w, const char *path)
{
    return read_all(w->a, arena_printf(w->a, "%s/%s", w->x.volumes_dir, path));
}

static unsigned mode(struct world *w, const char *path)
{
    struct stat st;
    assert_int_equal(stat(arena_printf(w->a, "%s/%s", w->x.volumes_dir, path), &st), 0);
    return st.st_mode & 0777;
}

static void configmaps_become_files(void **state)
{
    struct world w;
    world_init(&w, state, "[{name: v, configMap: {name: cm}}]");
    assert_int_equal(setup(&w, NULL), 0);
    assert_string_equal(content(&w, "v/color"), "red");
    assert_string_equal(content(&w, "v/size"), "big");
    assert_memory_equal(content(&w, "v/bin"), "\0\1\2", 3);
    assert_int_equal(mode(&w, "v/color"), 0644);
    arena_free(w.a);
}

static ino_t data_inode(struct world *w)
{
    struct stat st;
    assert_int_equal(stat(arena_printf(w->a, "%s/v/..data", w->x.volumes_dir), &st), 0);
    return st.st_ino;
}

static void files_change_as_a_whole_and_only_then(void **state)
{
    struct world w;
    world_init(&w, state, "[{name: v, configMap: {name: cm}}]");
    assert_int_equal(setup(&w, NULL), 0);
    ino_t before = data_inode(&w);
    assert_int_equal(setup(&w, NULL), 0);
    assert_true(data_inode(&w) == before);
    w.color = "blue";
    assert_int_equal(setup(&w, NULL), 0);
    assert_true(data_inode(&w) != before);
    assert_string_equal(content(&w, "v/color"), "blue");
    w.color = NULL; /* gone: the files stay, the caller hears of it */
    struct error *err = NULL;
    assert_error(setup(&w, &err), err, ERROR_NOT_FOUND,
                 "MountVolume.SetUp failed for volume \"v\" : configmap \"cm\" not found");
    assert_string_equal(content(&w, "v/color"), "blue");
    arena_free(w.a);
}

static void items_modes_and_secrets(void **state)
{
    struct world w;
    world_init(
        &w, state,
        "[{name: v, configMap: {name: cm, defaultMode: 416, items: [{key: color, path: a/b}, {key: size, path: c, mode: 256}]}}, "
        "{name: s, secret: {secretName: sec, defaultMode: 256}}]");
    assert_int_equal(setup(&w, NULL), 0);
    assert_string_equal(content(&w, "v/a/b"), "red");
    assert_int_equal(mode(&w, "v/a/b"), 0640);
    assert_int_equal(mode(&w, "v/c"), 0400);
    assert_null(content(&w, "v/color"));
    assert_string_equal(content(&w, "s/token"), "hidden");
    assert_int_equal(mode(&w, "s/token"), 0400);
    arena_free(w.a);
}

static void projected_and_downward(void **state)
{
    struct world w;
    world_init(
        &w, state,
        "[{name: v, projected: {sources: [{configMap: {name: cm}}, {secret: {name: sec}}, {downwardAPI: {items: [{path: ip, "
        "fieldRef: {fieldPath: status.podIP}}, {path: labels, fieldRef: {fieldPath: metadata.labels}}]}}, {secret: {name: none, "
        "optional: true}}]}}]");
    assert_int_equal(setup(&w, NULL), 0);
    assert_string_equal(content(&w, "v/color"), "red");
    assert_string_equal(content(&w, "v/token"), "hidden");
    assert_string_equal(content(&w, "v/ip"), "127.97.0.1");
    assert_string_equal(content(&w, "v/labels"), "l=\"x\"");
    arena_free(w.a);
}

static void bad_volumes_are_said(void **state)
{
    static const char *const cases[][2] = {
        { "[{name: v, configMap: {name: none}}]", "configmap \"none\" not found" },
        { "[{name: v, secret: {secretName: none}}]", "secret \"none\" not found" },
        { "[{name: v, configMap: {name: cm, items: [{key: none, path: x}]}}]",
          "references non-existent config key: none" },
        { "[{name: v, configMap: {name: cm, items: [{key: color, path: ../x}]}}]",
          "must stay inside the volume" },
        { "[{name: v, configMap: {name: cm, items: [{key: color, path: /x}]}}]",
          "must stay inside the volume" },
        { "[{name: v, hostPath: {path: /no/such, type: Directory}}]",
          "hostPath type check failed: /no/such is not a directory" },
        { "[{name: v, hostPath: {path: /etc/passwd, type: Socket}}]",
          "/etc/passwd is not a socket file" },
        { "[{name: v, nfs: {server: x}}]", "volumes of type nfs are not there" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world w;
        struct error *err = NULL;
        world_init(&w, state, cases[i][0]);
        assert_true(setup(&w, &err) < 0);
        if (!strstr(error_message(err), cases[i][1]))
            fail_msg("%s", error_message(err));
        error_free(err);
        arena_free(w.a);
    }
}

static void host_paths_are_checked_or_made(void **state)
{
    struct world w;
    const char *dir = *state;
    AUTO_FREE char *text = mem_printf(
        "[{name: a, hostPath: {path: %s/new, type: DirectoryOrCreate}}, {name: b, hostPath: {path: "
        "%s/file, type: FileOrCreate}}, {name: c, hostPath: {path: /dev/null, type: CharDevice}}, {name: "
        "d, hostPath: {path: /whatever}}]",
        dir, dir);
    world_init(&w, state, text);
    assert_int_equal(setup(&w, NULL), 0);
    assert_true(file_exists(arena_printf(w.a, "%s/new", dir)));
    assert_true(file_exists(arena_printf(w.a, "%s/file", dir)));
    arena_free(w.a);
}

static void mounts_lead_to_real_paths(void **state)
{
    struct world w;
    world_init(&w, state, "[{name: e, emptyDir: {}}, {name: h, hostPath: {path: /models/}}]");
    assert_int_equal(setup(&w, NULL), 0);
    struct mount *mounts = NULL;
    size_t n = 0;
    struct json *c = yaml_of(
        w.a,
        "{name: c, volumeMounts: [{name: e, mountPath: /data}, {name: h, mountPath: /data/models/, readOnly: "
        "true}, {name: e, mountPath: /x, subPath: sub/dir}]}");
    assert_int_equal(volumes_mounts(w.a, &w.x, c, &mounts, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_string_equal(mounts[0].mount_path, "/data/models");
    assert_string_equal(mounts[0].real_path, "/models");
    assert_true(mounts[0].read_only);
    assert_int_equal(mode(&w, "e"), 0777);
    assert_true(file_exists(arena_printf(w.a, "%s/e/sub/dir", w.x.volumes_dir)));
    struct error *err = NULL;
    c = yaml_of(w.a, "{name: c, volumeMounts: [{name: none, mountPath: /data}]}");
    assert_error(volumes_mounts(w.a, &w.x, c, &mounts, &n, &err), err, ERROR_INVALID,
                 "cannot find volume \"none\"");
    arena_free(w.a);
}

static void paths_are_translated_at_their_borders(void **state)
{
    AUTO_ARENA a = arena_new();
    static const struct mount mounts[] = { { "/mnt/config", "/r/c", false },
                                           { "/mnt", "/r/m", false },
                                           { "/", "/r/root", false } };
    static const char *const cases[][2] = {
        { "/mnt/config", "/r/c" },
        { "/mnt/config/a.yaml", "/r/c/a.yaml" },
        { "--file=/mnt/config/a", "--file=/r/c/a" },
        { "cat /mnt/config/a /mnt/b;ls /mnt", "cat /r/c/a /r/m/b;ls /r/m" },
        { "a:/mnt:/mnt/config:b", "a:/r/m:/r/c:b" },
        { "/mnt/configs", "/r/m/configs" },
        { "/mnt2", "/mnt2" },
        { "/opt/mnt/config", "/opt/mnt/config" },
        { "x/mnt", "x/mnt" },
        { "\"/mnt/x\"", "\"/r/m/x\"" },
        { "", "" },
        { "http://host/mnt", "http://host/mnt" },
        { "file:///mnt/x", "file:///mnt/x" },
        { "/etc", "/etc" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(volumes_translate(a, mounts, COUNT_OF(mounts), cases[i][0]),
                            cases[i][1]);
}

UNIT_TESTS(TEST_IN_DIR(configmaps_become_files), TEST_IN_DIR(files_change_as_a_whole_and_only_then),
           TEST_IN_DIR(items_modes_and_secrets), TEST_IN_DIR(projected_and_downward),
           TEST_IN_DIR(bad_volumes_are_said), TEST_IN_DIR(host_paths_are_checked_or_made),
           TEST_IN_DIR(mounts_lead_to_real_paths), TEST(paths_are_translated_at_their_borders))
