/* The container's output in the format of the Container Runtime Interface, one line each:
 *
 *     2026-01-02T15:04:05.123456789Z stdout F text of a whole line
 *     2026-01-02T15:04:05.123456789Z stderr P first part of a line that is too long
 */
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_NAME "log"
#define LOG_OLD_NAME "log.1"
/* More than one read of a pipe with headers in front of its shortest lines is written in several
 * steps. */
#define OUT_FLUSH (64 * KIB)

static int open_file(struct shim_log *l)
{
    l->fd = openat(l->dir_fd, LOG_NAME, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    struct stat st;
    l->size = l->fd >= 0 && fstat(l->fd, &st) == 0 ? (size_t)st.st_size : 0;
    return l->fd < 0 ? -errno : 0;
}

int shim_log_open(struct shim_log *l, int dir_fd, size_t max, struct error **err)
{
    *l = (struct shim_log){
        .dir_fd = dir_fd,
        .fd = -1,
        .max = max,
        .out = BUF_INIT(1 * MIB),
        .streams = { { "stdout", BUF_INIT(SHIM_LINE_MAX) }, { "stderr", BUF_INIT(SHIM_LINE_MAX) } },
    };
    int r = open_file(l);
    return r < 0 ? error_set_errno(err, -r, "cannot open the log") : 0;
}

static void flush(struct shim_log *l)
{
    size_t done = 0;
    while (l->fd >= 0 && done < l->out.len) {
        ssize_t n = write(l->fd, l->out.data + done, l->out.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        done += (size_t)n;
    }
    l->size += done;
    buf_clear(&l->out);
    if (l->size < l->max)
        return;
    /* A reader that follows notices that the name stands for another file. */
    if (renameat(l->dir_fd, LOG_NAME, l->dir_fd, LOG_OLD_NAME) < 0)
        return;
    if (l->fd >= 0)
        close(l->fd);
    open_file(l);
}

static void put_line(struct shim_log *l, struct shim_stream *s, char tag, const char *text,
                     size_t len, const char *stamp)
{
    buf_printf(&l->out, "%s %s %c ", stamp, s->name, tag);
    buf_append(&l->out, s->line.data, s->line.len);
    buf_append(&l->out, text, len);
    buf_putc(&l->out, '\n');
    buf_clear(&s->line);
    if (l->out.len >= OUT_FLUSH)
        flush(l);
}

void shim_log_append(struct shim_log *l, unsigned stream, const char *data, size_t len,
                     int64_t now_wall_ns)
{
    struct shim_stream *s = &l->streams[stream];
    char stamp[TIME_RFC3339_SIZE];
    time_format_rfc3339_nano(now_wall_ns, stamp);
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t part = end ? (size_t)(end - data) : len;
        size_t room = SHIM_LINE_MAX - s->line.len;
        if (part > room) {
            put_line(l, s, 'P', data, room, stamp);
            data += room;
            len -= room;
        } else if (end) {
            put_line(l, s, 'F', data, part, stamp);
            data += part + 1;
            len -= part + 1;
        } else {
            buf_append(&s->line, data, part);
            len = 0;
        }
    }
    flush(l);
}

void shim_log_close(struct shim_log *l, int64_t now_wall_ns)
{
    char stamp[TIME_RFC3339_SIZE];
    time_format_rfc3339_nano(now_wall_ns, stamp);
    for (unsigned i = 0; i < 2; i++) {
        if (l->streams[i].line.len > 0) /* without a newline to the end: nothing completes it */
            put_line(l, &l->streams[i], 'P', "", 0, stamp);
        buf_done(&l->streams[i].line);
    }
    flush(l);
    buf_done(&l->out);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
