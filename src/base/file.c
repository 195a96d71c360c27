#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

/* Directories below one another; each level holds a descriptor open while it is emptied. */
#define REMOVE_MAX_DEPTH 256

int fd_write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int read_fd(int fd, const char *path, size_t max, struct buf *out, struct error **err)
{
    struct stat st;
    /* Files of /proc say 0 and have content, so the size only saves reallocations. */
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        return error_set_errno(err, EISDIR, "cannot read %s", path);
    char chunk[16 * 1024];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "cannot read %s", path);
        if (n == 0)
            return 0;
        buf_append(out, chunk, (size_t)n);
        if (!buf_ok(out))
            return error_set(err, ERROR_TOO_LARGE, "%s is larger than %zu bytes", path, max);
    }
}

int file_read(const char *path, size_t max, char **ret_data, size_t *ret_len, struct error **err)
{
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot open %s", path);
    AUTO_BUF b = BUF_INIT(max);
    int r = read_fd(fd, path, max, &b, err);
    if (r < 0)
        return r;
    if (ret_len)
        *ret_len = b.len;
    *ret_data = buf_steal(&b);
    return 0;
}

/* The directory part of a path, "." when it has none. free() it. */
static char *dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

static int write_and_sync(int fd, const char *temp, const void *data, size_t len, unsigned mode,
                          struct error **err)
{
    if (fchmod(fd, mode) < 0)
        return error_set_errno(err, errno, "cannot set the mode of %s", temp);
    int r = fd_write_all(fd, data, len);
    if (r < 0)
        return error_set_errno(err, -r, "cannot write %s", temp);
    if (fsync(fd) < 0)
        return error_set_errno(err, errno, "cannot sync %s", temp);
    return 0;
}

int file_write_atomic(const char *path, const void *data, size_t len, unsigned mode,
                      struct error **err)
{
    AUTO_FREE char *dir = dir_of(path);
    AUTO_FREE char *temp = mem_printf("%s/.tmp-XXXXXX", dir);
    AUTO_FD fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot create a file in %s", dir);
    int r = write_and_sync(fd, temp, data, len, mode, err);
    if (r == 0 && rename(temp, path) < 0)
        r = error_set_errno(err, errno, "cannot rename %s to %s", temp, path);
    if (r < 0) {
        unlink(temp);
        return r;
    }
    /* The rename is durable once the directory is. Some file systems cannot sync one; the file is
     * right anyway. */
    AUTO_FD dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd >= 0)
        fsync(dir_fd);
    return 0;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static int make_dir(const char *path, unsigned mode, struct error **err)
{
    if (mkdir(path, mode) == 0)
        return 0;
    int errnum = errno;
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) /* also read-only parents that exist already */
        return 0;
    return error_set_errno(err, errnum, "cannot create the directory %s", path);
}

int file_mkdirs(const char *path, unsigned mode, struct error **err)
{
    AUTO_FREE char *copy = mem_strdup(path);
    for (char *p = copy; *p; p++) {
        if (*p != '/' || p == copy || p[-1] == '/')
            continue;
        *p = '\0';
        int r = make_dir(copy, mode, err);
        *p = '/';
        if (r < 0)
            return r;
    }
    return make_dir(copy, mode, err);
}

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

static int remove_entry(int dir_fd, const char *name, int depth, struct error **err);

/* Takes over fd. */
static int remove_content(int fd, const char *name, int depth, struct error **err)
{
    CLEANUP(close_dir) DIR *d = fdopendir(fd);
    if (!d) {
        int errnum = errno;
        close(fd);
        return error_set_errno(err, errnum, "cannot list %s", name);
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry)
            return errno ? error_set_errno(err, errno, "cannot list %s", name) : 0;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int r = remove_entry(dirfd(d), entry->d_name, depth, err);
        if (r < 0)
            return error_prefix(err, r, "%s", name);
    }
}

static int remove_entry(int dir_fd, const char *name, int depth, struct error **err)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return error_set_errno(err, errno, "cannot remove %s", name);
    int unlink_errnum = errno;
    if (depth >= REMOVE_MAX_DEPTH)
        return error_set(err, ERROR_TOO_LARGE, "%s: directories are nested deeper than %d", name,
                         REMOVE_MAX_DEPTH);
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno == ENOTDIR ? unlink_errnum : errno, "cannot remove %s",
                               name);
    int r = remove_content(fd, name, depth + 1, err);
    if (r < 0)
        return r;
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_set_errno(err, errno, "cannot remove %s", name);
    return 0;
}

int file_remove_tree(const char *path, struct error **err)
{
    return remove_entry(AT_FDCWD, path, 0, err);
}

static int lock_conflict(int fd, const char *path, struct error **err)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    char *end = text;
    long pid = n > 0 ? strtol(text, &end, 10) : 0;
    if (pid > 0 && (*end == '\n' || *end == '\0'))
        return error_set(err, ERROR_CONFLICT, "%s is locked by process %ld", path, pid);
    return error_set(err, ERROR_CONFLICT, "%s is locked by another process", path);
}

int file_lock(const char *path, int *ret_fd, struct error **err)
{
    AUTO_FD fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot open %s", path);
    int r;
    do
        r = flock(fd, LOCK_EX | LOCK_NB);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EWOULDBLOCK)
        return lock_conflict(fd, path, err);
    if (r < 0)
        return error_set_errno(err, errno, "cannot lock %s", path);

    /* The pid is for the message of the next one; the lock itself does not depend on it. */
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && len > 0) {
        ssize_t ignored = pwrite(fd, text, (size_t)len, 0);
        (void)ignored;
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

char *file_exe_dir(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return mem_strdup(".");
    path[n] = '\0';
    return dir_of(path);
}
