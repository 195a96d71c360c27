/* Reading container logs (logs.h): lines, and where the last so many of them begin. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "machine/log_read.h"

/* "2026-01-02T15:04:05.123456789Z stdout F text" */
int log_line_parse(const char *data, size_t len, struct log_line *ret)
{
    const char *end = data + len;
    const char *space = memchr(data, ' ', len);
    char stamp[TIME_RFC3339_SIZE + 8];
    struct log_line l = { .stamp = data };
    if (!space || (size_t)(space - data) >= sizeof(stamp))
        return -ERROR_INVALID;
    l.stamp_len = (size_t)(space - data);
    memcpy(stamp, data, l.stamp_len);
    stamp[l.stamp_len] = '\0';
    if (time_parse_rfc3339(stamp, &l.time_ns) < 0)
        return -ERROR_INVALID;
    const char *at = space + 1;
    size_t left = (size_t)(end - at);
    if (left < 9 || (memcmp(at, "stdout ", 7) != 0 && memcmp(at, "stderr ", 7) != 0))
        return -ERROR_INVALID;
    l.is_stderr = at[3] == 'e';
    at += 7;
    if ((at[0] != 'F' && at[0] != 'P') || at[1] != ' ')
        return -ERROR_INVALID;
    l.partial = at[0] == 'P';
    l.text = at + 2;
    l.text_len = (size_t)(end - l.text);
    *ret = l;
    return 0;
}

/* ---- a log of two files -------------------------------------------------------------------------------------------- */

int log_reader_open(struct log_reader *r, const char *dir, struct error **err)
{
    AUTO_ARENA a = arena_new();
    *r = (struct log_reader){ .dir = mem_strdup(dir),
                              .fd = -1,
                              .line = BUF_INIT(LOG_READ_LINE_MAX) };
    const char *names[] = { "log.1", "log" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        int fd = open(arena_printf(a, "%s/%s", dir, names[i]), O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            r->files[r->file_count++] = fd;
        else if (errno != ENOENT)
            return error_set_errno(err, errno, "cannot open the log");
    }
    return 0;
}

void log_reader_close(struct log_reader *r)
{
    for (size_t i = r->file_at; i < r->file_count; i++)
        close(r->files[i]);
    if (r->fd >= 0)
        close(r->fd);
    free(r->dir);
    buf_done(&r->line);
}

/* Where the last n lines of a file begin; *n is what is missing when it has fewer. */
static off_t tail_offset(int fd, int64_t *n)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return 0;
    AUTO_FREE char *chunk = mem_alloc(LOG_CHUNK);
    off_t end = st.st_size;
    /* The newline at the very end closes the last line. */
    int64_t found = -1;
    while (end > 0) {
        off_t start = MAX(end - (off_t)LOG_CHUNK, (off_t)0);
        ssize_t len = pread(fd, chunk, (size_t)(end - start), start);
        if (len <= 0)
            return 0;
        if (end == st.st_size && chunk[len - 1] != '\n')
            found = 0;
        for (ssize_t i = len - 1; i >= 0; i--) {
            if (chunk[i] != '\n' || ++found < *n)
                continue;
            *n = 0;
            return start + i + 1;
        }
        end = start;
    }
    *n -= MAX(found + (st.st_size > 0), INT64_C(0));
    return 0;
}

void log_reader_tail(struct log_reader *r, int64_t lines)
{
    for (size_t i = r->file_count; i-- > 0;) {
        if (lines <= 0) {
            lseek(r->files[i], 0, SEEK_END);
            continue;
        }
        lseek(r->files[i], tail_offset(r->files[i], &lines), SEEK_SET);
    }
}

/* The file that carries on where this one ended: the next one, or what "log" stands for since it
 * was renamed. */
static bool next_file(struct log_reader *r)
{
    if (r->file_at < r->file_count) {
        if (r->fd >= 0)
            close(r->fd);
        r->fd = r->files[r->file_at++];
        return true;
    }
    AUTO_ARENA a = arena_new();
    struct stat ours;
    struct stat there;
    const char *path = arena_printf(a, "%s/log", r->dir);
    if (r->fd >= 0 &&
        (stat(path, &there) < 0 || fstat(r->fd, &ours) < 0 || ours.st_ino == there.st_ino))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    /* What was written between the last read and the renaming. */
    if (r->fd >= 0 && r->drained_after_rename == false) {
        close(fd);
        r->drained_after_rename = true;
        return true;
    }
    r->drained_after_rename = false;
    if (r->fd >= 0)
        close(r->fd);
    r->fd = fd;
    return true;
}

/* Moves what was read behind the last line to the front and reads more; false at the end of what is
 * there. */
static bool fill(struct log_reader *r)
{
    buf_consume(&r->line, r->used);
    r->used = 0;
    AUTO_FREE char *chunk = mem_alloc(LOG_CHUNK);
    for (;;) {
        ssize_t n = r->fd >= 0 ? read(r->fd, chunk, LOG_CHUNK) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0) {
            buf_append(&r->line, chunk, (size_t)n);
            if (!buf_ok(
                    &r->line)) { /* no line of ours is so long: what was read of it is dropped */
                buf_done(&r->line);
                r->line = (struct buf)BUF_INIT(LOG_READ_LINE_MAX);
                buf_append(&r->line, chunk, (size_t)n);
            }
            return true;
        }
        if (!next_file(r))
            return false;
    }
}

bool log_reader_next(struct log_reader *r, struct log_line *ret)
{
    for (;;) {
        char *begin = r->line.data ? r->line.data + r->used : NULL;
        size_t len = r->line.len - r->used;
        char *end = len > 0 ? memchr(begin, '\n', len) : NULL;
        if (!end) {
            if (!fill(r))
                return false;
            continue;
        }
        r->used += (size_t)(end - begin) + 1;
        if (log_line_parse(begin, (size_t)(end - begin), ret) == 0)
            return true;
    }
}

char *log_tail(struct arena *a, const char *container_dir, size_t max_lines, size_t max_bytes)
{
    struct log_reader r;
    AUTO_BUF all = BUF_INIT(4 * MIB);
    if (log_reader_open(&r, container_dir, NULL) == 0) {
        log_reader_tail(&r, (int64_t)max_lines);
        struct log_line line;
        while (log_reader_next(&r, &line)) {
            buf_append(&all, line.text, line.text_len);
            if (!line.partial)
                buf_putc(&all, '\n');
        }
    }
    log_reader_close(&r);
    if (all.len == 0)
        return NULL;
    size_t skip = all.len > max_bytes ? all.len - max_bytes : 0;
    const char *text = buf_str(&all) + skip;
    /* Not from the middle of a character on. */
    while (skip > 0 && ((unsigned char)*text & 0xC0) == 0x80)
        text++;
    char *ret = arena_strdup(a, text);
    ret[str_utf8_valid_len(ret, strlen(ret))] = '\0';
    return ret;
}
