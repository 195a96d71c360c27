#include "machine/images.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/embed.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"

EMBEDDED(images);

#define MAX_FILE (1 * MIB)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct images {
    pthread_mutex_t lock;
    char *engine_path;
    char *user_file;
    struct arena *builtin_arena;
    const struct json *builtin; /* arrays of entries */
    struct arena *user_arena;
    const struct json *user;
    struct timespec user_mtime;
    off_t user_size;
};

static const char *const keys[] = {
    "match", "executables", "command", "env", "path", "run", "get"
};

static int check_strings(const struct json *v, const char *where, const char *key,
                         struct error **err)
{
    if (v && !json_is_array(v))
        return error_set(err, ERROR_INVALID, "%s.%s is of type %s; it must be an array of strings",
                         where, key, json_type_name(json_type(v)));
    JSON_FOREACH(it, v) {
        if (!json_is_string(it.value))
            return error_set(err, ERROR_INVALID, "%s.%s[%zu] must be a string", where, key,
                             it.index);
    }
    return 0;
}

static int check_entry(const struct json *entry, const char *where, struct error **err)
{
    if (!json_is_object(entry) || str_empty(json_find_str(entry, "match")))
        return error_set(err, ERROR_INVALID, "%s must be an object with a \"match\"", where);
    JSON_FOREACH(it, entry) {
        bool known = false;
        for (size_t i = 0; i < COUNT_OF(keys); i++)
            known = known || str_eq(it.key, keys[i]);
        if (!known)
            return error_set(
                err, ERROR_INVALID,
                "%s.%s is not known; there are match, executables, command, env, path, run, get",
                where, it.key);
    }
    int r = 0;
    if (json_get(entry, "run") && !str_eq(json_find_str(entry, "run"), "host"))
        r = error_set(err, ERROR_INVALID, "%s.run can only be \"host\"", where);
    if (r == 0)
        r = check_strings(json_get(entry, "executables"), where, "executables", err);
    if (r == 0)
        r = check_strings(json_get(entry, "command"), where, "command", err);
    if (r == 0)
        r = check_strings(json_get(entry, "path"), where, "path", err);
    JSON_FOREACH(it, json_get(entry, "env")) {
        if (r == 0 && !json_is_string(it.value))
            r = error_set(err, ERROR_INVALID, "%s.env.%s must be a string", where,
                          it.key ? it.key : "");
    }
    return r;
}

static int parse(struct arena *a, const char *text, size_t len, const struct json **ret,
                 struct error **err)
{
    struct json *v = NULL;
    int r = json_parse(a, text, len, &v, err);
    if (r < 0)
        return r;
    const struct json *list = json_get(v, "images");
    if (!json_is_array(list))
        return error_set(err, ERROR_INVALID, "there must be an array \"images\"");
    JSON_FOREACH(it, list) {
        r = check_entry(it.value, arena_printf(a, "images[%zu]", it.index), err);
        if (r < 0)
            return r;
    }
    *ret = list;
    return 0;
}

/* Reads the user's file when it has changed. A bad one leaves the last good one in force. */
static int refresh(struct images *im, bool must_exist, struct error **err)
{
    struct stat st;
    if (!im->user_file)
        return 0;
    if (stat(im->user_file, &st) < 0) {
        if (must_exist)
            return error_set_errno(err, errno, "the image map %s", im->user_file);
        st = (struct stat){ 0 };
    }
    if (st.st_size == im->user_size && st.st_mtim.tv_sec == im->user_mtime.tv_sec &&
        st.st_mtim.tv_nsec == im->user_mtime.tv_nsec)
        return 0;
    const struct json *user = NULL;
    struct arena *a = arena_new();
    int r = 0;
    if (st.st_mtim.tv_sec != 0) {
        AUTO_FREE char *text = NULL;
        size_t len = 0;
        r = file_read(im->user_file, MAX_FILE, &text, &len, err);
        if (r == 0)
            r = parse(a, text, len, &user, err);
    }
    if (r < 0) {
        arena_free(a);
        return error_prefix(err, r, "the image map %s", im->user_file);
    }
    if (im->user_arena)
        arena_free(im->user_arena);
    im->user_arena = a;
    im->user = user;
    im->user_size = st.st_size;
    im->user_mtime = st.st_mtim;
    return 0;
}

int images_new(const struct images_options *options, struct images **ret, struct error **err)
{
    struct images *im = NEW0(struct images);
    pthread_mutex_init(&im->lock, NULL);
    im->engine_path = mem_strdup(options->engine_path ? options->engine_path : "");
    im->user_file = mem_strdup(options->user_file);
    im->builtin_arena = arena_new();
    int r = parse(im->builtin_arena, data_images, data_images_size, &im->builtin, err);
    if (r == 0)
        r = refresh(im, options->must_exist, err);
    if (r < 0) {
        images_free(im);
        return r;
    }
    *ret = im;
    return 0;
}

void images_free(struct images *im)
{
    if (!im)
        return;
    pthread_mutex_destroy(&im->lock);
    if (im->user_arena)
        arena_free(im->user_arena);
    arena_free(im->builtin_arena);
    free(im->engine_path);
    free(im->user_file);
    free(im);
}

int images_watch(const struct images *im)
{
    AUTO_ARENA a = arena_new();
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    bool watched = false;
    const uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR;
    char **dirs = str_split(a, im->engine_path, ':', NULL);
    for (size_t i = 0; fd >= 0 && dirs[i]; i++)
        watched = (*dirs[i] && inotify_add_watch(fd, dirs[i], events) >= 0) || watched;
    const char *slash = im->user_file ? strrchr(im->user_file, '/') : NULL;
    if (fd >= 0 && slash) {
        const char *dir = arena_strndup(a, im->user_file, (size_t)(slash - im->user_file));
        watched = inotify_add_watch(fd, dir, events) >= 0 || watched;
    }
    if (fd >= 0 && !watched) {
        close(fd);
        fd = -1;
    }
    return fd;
}

char *image_name(struct arena *a, const char *reference)
{
    const char *slash = strrchr(reference, '/');
    const char *name = slash ? slash + 1 : reference;
    return arena_strndup(a, name, strcspn(name, ":@"));
}

static const struct json *find_entry(struct arena *a, const struct json *list,
                                     const char *reference)
{
    const char *name = image_name(a, reference);
    JSON_FOREACH(it, list) {
        const char *match = json_find_str(it.value, "match");
        bool glob = strpbrk(match, "/*?[") != NULL;
        if (glob ? fnmatch(match, reference, 0) == 0 : str_eq(match, name))
            return it.value;
    }
    return NULL;
}

static const char *find_program(struct arena *a, const char *name, const char *path)
{
    if (name[0] == '/')
        return access(name, X_OK) == 0 ? name : NULL;
    char **dirs = str_split(a, path, ':', NULL);
    for (size_t i = 0; dirs[i]; i++) {
        const char *candidate = arena_printf(a, "%s/%s", dirs[i], name);
        if (dirs[i][0] == '/' && access(candidate, X_OK) == 0)
            return candidate;
    }
    return NULL;
}

static char *const *command_of(struct arena *a, const struct json *entry)
{
    const struct json *command = json_get(entry, "command");
    size_t n = json_size(command);
    if (n == 0)
        return NULL;
    char **ret = arena_zalloc(a, (n + 1) * sizeof(*ret));
    JSON_FOREACH(it, command) {
        ret[it.index] = arena_strdup(a, json_string(it.value));
    }
    return ret;
}

static const char *path_of(struct arena *a, const struct images *im, const struct json *entry)
{
    const char *host = getenv("PATH");
    AUTO_BUF b = BUF_INIT(64 * KIB);
    JSON_FOREACH(it, json_get(entry, "path")) {
        buf_printf(&b, "%s:", json_string(it.value));
    }
    if (!str_empty(im->engine_path))
        buf_printf(&b, "%s:", im->engine_path);
    buf_puts(&b, str_empty(host) ? DEFAULT_PATH : host);
    return arena_strdup(a, buf_str(&b));
}

int images_resolve(struct images *im, struct arena *a, const char *reference, struct image *ret,
                   struct error **err)
{
    LOCK(&im->lock);
    int r = refresh(im, false, err);
    if (r < 0)
        return r;
    const struct json *entry = find_entry(a, im->user, reference);
    if (!entry)
        entry = find_entry(a, im->builtin, reference);
    const char *name = image_name(a, reference);
    if (!entry)
        return error_set(
            err, ERROR_NOT_FOUND,
            "no program of this machine stands for the image \"%s\"; map it in %s, for example "
            "{\"images\": [{\"match\": \"%s\", \"run\": \"host\"}]}",
            reference, im->user_file ? im->user_file : "an image map (--images)", name);
    const char *path = path_of(a, im, entry);
    const char *program = NULL;
    JSON_FOREACH(it, json_get(entry, "executables")) {
        const char *wanted = json_string(it.value);
        const char *found = find_program(a, wanted, path);
        const char *get = json_find_str(entry, "get");
        if (!found)
            return error_set(err, ERROR_NOT_FOUND,
                             "the image \"%s\" needs the program %s, which is not in %s%s%s",
                             reference, wanted, path, get ? "; " : "", get ? get : "");
        program = program ? program : found;
    }
    *ret = (struct image){
        .id = program ? arena_printf(a, "local://%s", program) : "local://host",
        .command = command_of(a, entry),
        .path = path,
        .env = json_clone(a, json_get(entry, "env")),
    };
    return 0;
}
