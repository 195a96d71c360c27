/* Files: whole reads with a cap, atomic writes, directories, locks. */
#pragma once

#include "base/error.h"

/* Reads at most max bytes; a larger file is -ERROR_TOO_LARGE. The result is NUL-terminated; free()
 * it. */
int file_read(const char *path, size_t max, char **ret_data, size_t *ret_len, struct error **err);
/* Writes to a temporary name in the same directory, fsyncs, renames over path. */
int file_write_atomic(const char *path, const void *data, size_t len, unsigned mode,
                      struct error **err);
bool file_exists(const char *path);
/* Writes all of it, over short writes and signals. 0 or -errno. */
int fd_write_all(int fd, const void *data, size_t len);
int file_mkdirs(const char *path, unsigned mode, struct error **err); /* like mkdir -p */
int file_remove_tree(const char *path,
                     struct error **err); /* absent is fine; does not follow links */
/* Takes an exclusive lock on the file (made if absent). *ret_fd holds it until closed or the
 * process dies. -ERROR_CONFLICT when another process has it; its pid is in the text when the file
 * says it. */
int file_lock(const char *path, int *ret_fd, struct error **err);
/* Directory of the running executable, without a slash at the end. free() it. */
char *file_exe_dir(void);

static inline void fd_cleanup(int *fd)
{
    extern int close(int);
    if (*fd >= 0)
        close(*fd);
}
#define AUTO_FD CLEANUP(fd_cleanup) int
