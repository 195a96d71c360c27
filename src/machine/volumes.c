/* Volumes as folders. Those with content from the API are written the way the kubelet writes them:
 * the files lie in a folder of their own, "..data" is a link to it, and each visible name is a link
 * through "..data". Switching that one link changes all files at once. */
#include "machine/podenv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/meta.h"

#define DATA_LINK "..data"

/* A file to be: a path relative to the volume, its bytes, its mode. */
struct payload_file {
    const char *path;
    const char *data;
    size_t len;
    unsigned mode;
};
struct payload {
    struct arena *a;
    struct payload_file *files;
    size_t count;
    size_t cap;
};

static void payload_add(struct payload *p, const char *path, const char *data, size_t len,
                        unsigned mode)
{
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 16;
        struct payload_file *files = arena_zalloc(p->a, cap * sizeof(*files));
        if (p->count > 0)
            memcpy(files, p->files, p->count * sizeof(*files));
        p->files = files;
        p->cap = cap;
    }
    p->files[p->count++] =
        (struct payload_file){ .path = path, .data = data, .len = len, .mode = mode };
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static bool file_is(const char *path, const struct payload_file *f)
{
    struct stat st;
    if (stat(path, &st) < 0 || (size_t)st.st_size != f->len || (st.st_mode & 0777) != f->mode)
        return false;
    AUTO_FREE char *data = NULL;
    size_t len = 0;
    return file_read(path, f->len + 1, &data, &len, NULL) == 0 && len == f->len &&
           memcmp(data, f->data, len) == 0;
}

static size_t count_files(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
            continue;
        if (e->d_type == DT_DIR) {
            char path[4096];
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
            n += count_files(path);
        } else {
            n++;
        }
    }
    if (d)
        closedir(d);
    return n;
}

static bool payload_is_there(const struct payload *p, const char *dir)
{
    const char *data = arena_printf(p->a, "%s/" DATA_LINK "/", dir);
    if (!file_exists(data) || count_files(data) != p->count)
        return false;
    for (size_t i = 0; i < p->count; i++)
        if (!file_is(arena_printf(p->a, "%s%s", data, p->files[i].path), &p->files[i]))
            return false;
    return true;
}

static int write_file(const char *path, const struct payload_file *f, struct error **err)
{
    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot make %s", path);
    if (write(fd, f->data, f->len) != (ssize_t)f->len || fchmod(fd, f->mode) < 0)
        return error_set_errno(err, errno, "cannot write %s", path);
    return 0;
}

/* Links each first element of a path to the same name below "..data". */
static int link_names(const struct payload *p, const char *dir, struct error **err)
{
    for (size_t i = 0; i < p->count; i++) {
        const char *name = arena_strndup(p->a, p->files[i].path, strcspn(p->files[i].path, "/"));
        const char *link = arena_printf(p->a, "%s/%s", dir, name);
        if (symlink(arena_printf(p->a, DATA_LINK "/%s", name), link) < 0 && errno != EEXIST)
            return error_set_errno(err, errno, "cannot make %s", link);
    }
    return 0;
}

/* Removes links whose file is gone, and folders of earlier contents. */
static void tidy(const struct payload *p, const char *dir, const char *current)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        const char *path = arena_printf(p->a, "%s/%s", dir, e->d_name);
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") || str_eq(e->d_name, DATA_LINK) ||
            str_eq(e->d_name, current))
            continue;
        if (str_has_prefix(e->d_name, ".."))
            file_remove_tree(path, NULL);
        else if (e->d_type == DT_LNK && !file_exists(path))
            unlink(path);
    }
    if (d)
        closedir(d);
}

static int payload_write(const struct payload *p, const char *dir, struct error **err)
{
    int r = file_mkdirs(dir, 0755, err);
    if (r < 0 || payload_is_there(p, dir))
        return r;
    char suffix[9];
    rand_suffix(suffix, sizeof(suffix) - 1);
    const char *current = arena_printf(p->a, "..%s", suffix);
    const char *base = arena_printf(p->a, "%s/%s", dir, current);
    r = file_mkdirs(base, 0755, err);
    for (size_t i = 0; r == 0 && i < p->count; i++) {
        char *path = arena_printf(p->a, "%s/%s", base, p->files[i].path);
        char *slash = strrchr(path, '/');
        *slash = '\0';
        r = file_mkdirs(path, 0755, err);
        *slash = '/';
        if (r == 0)
            r = write_file(path, &p->files[i], err);
    }
    if (r < 0)
        return r;
    const char *link = arena_printf(p->a, "%s/..data_tmp", dir);
    unlink(link);
    if (symlink(current, link) < 0 || rename(link, arena_printf(p->a, "%s/" DATA_LINK, dir)) < 0)
        return error_set_errno(err, errno, "cannot switch %s", dir);
    r = link_names(p, dir, err);
    tidy(p, dir, current);
    return r;
}

/* ---- content ------------------------------------------------------------------------------------------------------- */

static unsigned mode_of(const struct json *item, unsigned otherwise)
{
    return (unsigned)json_find_int(item, otherwise, "mode") & 0777;
}

static int check_path(const char *path, struct error **err)
{
    if (str_empty(path) || path[0] == '/' || str_eq(path, "..") || str_has_prefix(path, "../") ||
        strstr(path, "/../") || str_has_suffix(path, "/.."))
        return error_set(err, ERROR_INVALID, "the path \"%s\" must stay inside the volume",
                         path ? path : "");
    return 0;
}

static int add_source(struct payload *p, const struct pod_context *x, const char *resource,
                      const struct json *source, unsigned mode, struct error **err)
{
    const char *name = json_find_str(source, "name");
    if (!name)
        name = json_find_str(source, "secretName");
    bool optional = json_find_bool(source, false, "optional");
    struct json *obj = NULL;
    CLEANUP(error_cleanup) struct error *e = NULL;
    int r = x->sources->get(x->sources->ctx, resource, meta_namespace(x->pod), name ? name : "",
                            p->a, &obj, &e);
    if (r == -ERROR_NOT_FOUND && optional)
        return 0;
    if (r < 0) {
        if (err)
            *err = TAKE_PTR(e);
        return r;
    }
    struct pod_value *values = NULL;
    size_t n = 0;
    r = pod_source_values(p->a, resource, obj, &values, &n, err);
    const struct json *items = json_get(source, "items");
    for (size_t i = 0; r == 0 && i < n && json_size(items) == 0; i++)
        payload_add(p, values[i].key, values[i].data, values[i].len, mode);
    JSON_FOREACH(it, items) {
        const char *key = json_find_str(it.value, "key");
        const char *path = json_find_str(it.value, "path");
        const struct pod_value *found = NULL;
        for (size_t i = 0; i < n; i++)
            if (str_eq(values[i].key, key))
                found = &values[i];
        if (r == 0)
            r = check_path(path, err);
        if (r == 0 && found)
            payload_add(p, path, found->data, found->len, mode_of(it.value, mode));
        else if (r == 0 && !optional)
            r = error_set(err, ERROR_INVALID, "references non-existent %s key: %s",
                          str_eq(resource, "secrets") ? "secret" : "config", key ? key : "");
    }
    return r;
}

static int add_downward(struct payload *p, const struct pod_context *x, const struct json *source,
                        unsigned mode, struct error **err)
{
    JSON_FOREACH(it, json_get(source, "items")) {
        const char *path = json_find_str(it.value, "path");
        const char *value = NULL;
        int r = check_path(path, err);
        if (r == 0 && json_get(it.value, "fieldRef"))
            r = pod_field(p->a, x, json_find_str(it.value, "fieldRef", "fieldPath"), &value, err);
        else if (r == 0)
            r = pod_resource_field(p->a, x, NULL, json_get(it.value, "resourceFieldRef"), &value,
                                   err);
        if (r < 0)
            return r;
        value = value ? value : "";
        payload_add(p, path, value, strlen(value), mode_of(it.value, mode));
    }
    return 0;
}

static int add_content(struct payload *p, const struct pod_context *x, const struct json *source,
                       unsigned mode, struct error **err)
{
    JSON_FOREACH(it, source) {
        if (str_eq(it.key, "configMap"))
            return add_source(p, x, "configmaps", it.value, mode, err);
        if (str_eq(it.key, "secret"))
            return add_source(p, x, "secrets", it.value, mode, err);
        if (str_eq(it.key, "downwardAPI"))
            return add_downward(p, x, it.value, mode, err);
        return error_set(
            err, ERROR_UNSUPPORTED,
            "projected volumes of one box hold configMap, secret and downwardAPI, not %s", it.key);
    }
    return 0;
}

/* ---- kinds of volumes ---------------------------------------------------------------------------------------------- */

static const struct host_type {
    const char *name;
    mode_t type; /* 0: anything, even nothing */
    const char *words;
} host_types[] = {
    { "", 0, NULL },
    { "DirectoryOrCreate", S_IFDIR, "directory" },
    { "Directory", S_IFDIR, "directory" },
    { "FileOrCreate", S_IFREG, "file" },
    { "File", S_IFREG, "file" },
    { "Socket", S_IFSOCK, "socket file" },
    { "CharDevice", S_IFCHR, "character device" },
    { "BlockDevice", S_IFBLK, "block device" },
};

static int setup_host_path(const struct json *source, struct error **err)
{
    const char *path = json_find_str(source, "path");
    const char *type = json_find_str(source, "type");
    const struct host_type *t = &host_types[0];
    for (size_t i = 0; i < COUNT_OF(host_types); i++)
        if (str_eq(host_types[i].name, type))
            t = &host_types[i];
    if (t->type == 0)
        return 0;
    struct stat st;
    bool there = path && stat(path, &st) == 0;
    if (!there && str_eq(type, "DirectoryOrCreate"))
        return file_mkdirs(path, 0755, err);
    if (!there && str_eq(type, "FileOrCreate")) {
        AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        return fd < 0 ? error_set_errno(err, errno, "cannot make %s", path) : 0;
    }
    if (!there || (st.st_mode & S_IFMT) != t->type)
        return error_set(err, ERROR_INVALID, "hostPath type check failed: %s is not a %s",
                         path ? path : "", t->words);
    return 0;
}

static int setup_volume(struct arena *a, const struct pod_context *x, const struct json *volume,
                        struct error **err)
{
    const char *name = json_find_str(volume, "name");
    const char *dir = arena_printf(a, "%s/%s", x->volumes_dir, name);
    struct payload p = { .a = a };
    int r = 0;
    JSON_FOREACH(it, volume) {
        if (str_eq(it.key, "name"))
            continue;
        unsigned mode = (unsigned)json_find_int(it.value, 0644, "defaultMode") & 0777;
        if (str_eq(it.key, "emptyDir")) {
            r = file_mkdirs(dir, 0777, err);
            if (r == 0)
                chmod(dir, 0777);
            return r;
        }
        if (str_eq(it.key, "hostPath"))
            return setup_host_path(it.value, err);
        if (str_eq(it.key, "configMap"))
            r = add_source(&p, x, "configmaps", it.value, mode, err);
        else if (str_eq(it.key, "secret"))
            r = add_source(&p, x, "secrets", it.value, mode, err);
        else if (str_eq(it.key, "downwardAPI"))
            r = add_downward(&p, x, it.value, mode, err);
        else if (str_eq(it.key, "projected")) {
            JSON_FOREACH(s, json_get(it.value, "sources")) {
                if (r == 0)
                    r = add_content(&p, x, s.value, mode, err);
            }
        } else {
            r = error_set(
                err, ERROR_UNSUPPORTED,
                "volumes of type %s are not there on one box; use emptyDir, hostPath, configMap, secret, downwardAPI or "
                "projected",
                it.key);
        }
    }
    return r == 0 ? payload_write(&p, dir, err) : r;
}

int volumes_setup(struct arena *a, const struct pod_context *x, struct error **err)
{
    JSON_FOREACH(it, json_find(x->pod, "spec", "volumes")) {
        int r = setup_volume(a, x, it.value, err);
        if (r < 0)
            return error_prefix(err, r, "MountVolume.SetUp failed for volume \"%s\" ",
                                json_find_str(it.value, "name"));
    }
    return 0;
}

/* ---- mounts -------------------------------------------------------------------------------------------------------- */

static const struct json *find_volume(const struct json *pod, const char *name)
{
    JSON_FOREACH(it, json_find(pod, "spec", "volumes")) {
        if (str_eq(json_find_str(it.value, "name"), name))
            return it.value;
    }
    return NULL;
}

static int compare_mounts(const void *x, const void *y)
{
    size_t a = strlen(((const struct mount *)x)->mount_path);
    size_t b = strlen(((const struct mount *)y)->mount_path);
    return a < b ? 1 : a > b ? -1 : 0;
}

static const char *without_slash(struct arena *a, const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    return arena_strndup(a, path, len);
}

int volumes_mounts(struct arena *a, const struct pod_context *x, const struct json *container,
                   struct mount **ret, size_t *ret_n, struct error **err)
{
    const struct json *list = json_get(container, "volumeMounts");
    struct mount *mounts = arena_zalloc(a, (json_size(list) + 1) * sizeof(*mounts));
    size_t n = 0;
    JSON_FOREACH(it, list) {
        const char *name = json_find_str(it.value, "name");
        const char *path = json_find_str(it.value, "mountPath");
        const char *sub = json_find_str(it.value, "subPath");
        const struct json *volume = find_volume(x->pod, name);
        if (!volume || str_empty(path))
            return error_set(err, ERROR_INVALID,
                             "cannot find volume \"%s\" to mount into container \"%s\"",
                             name ? name : "", json_find_str(container, "name"));
        const char *host = json_find_str(volume, "hostPath", "path");
        const char *real =
            host ? without_slash(a, host) : arena_printf(a, "%s/%s", x->volumes_dir, name);
        if (!str_empty(sub)) {
            int r = check_path(sub, err);
            if (r < 0)
                return r;
            real = arena_printf(a, "%s/%s", real, sub);
            /* As the kubelet does: a path that is not there becomes a folder. */
            if (!file_exists(real) && (r = file_mkdirs(real, 0755, err)) < 0)
                return r;
        }
        mounts[n++] = (struct mount){
            .mount_path = without_slash(a, path),
            .real_path = real,
            .read_only = json_find_bool(it.value, false, "readOnly"),
        };
    }
    qsort(mounts, n, sizeof(*mounts), compare_mounts);
    *ret = mounts;
    *ret_n = n;
    return 0;
}

static bool is_name_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-' || c == '.';
}

static const struct mount *mount_at(const struct mount *mounts, size_t n, const char *text,
                                    const char *at)
{
    if (*at != '/' || (at > text && (is_name_char(at[-1]) || at[-1] == '/')))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const char *rest = str_skip_prefix(at, mounts[i].mount_path);
        if (rest && mounts[i].mount_path[1] != '\0' && !is_name_char(*rest))
            return &mounts[i];
    }
    return NULL;
}

char *volumes_translate(struct arena *a, const struct mount *mounts, size_t n, const char *text)
{
    AUTO_BUF b = BUF_INIT(8 * MIB);
    for (const char *at = text; *at;) {
        const struct mount *m = mount_at(mounts, n, text, at);
        if (m) {
            buf_puts(&b, m->real_path);
            at += strlen(m->mount_path);
        } else {
            buf_putc(&b, *at++);
        }
    }
    return arena_strdup(a, buf_str(&b));
}
