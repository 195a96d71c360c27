#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"

/* Whoever reads state.json needs valid UTF-8; program names need not be. */
static void put_json_string(struct buf *b, const char *s)
{
    buf_putc(b, '"');
    bool text_is_utf8 = str_utf8_valid_len(s, strlen(s)) == strlen(s);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_putc(b, '\\');
        if (c < 0x20)
            buf_printf(b, "\\u%04x", c);
        else if (c >= 0x80 && !text_is_utf8)
            buf_putc(b, '?');
        else
            buf_putc(b, (char)c);
    }
    buf_putc(b, '"');
}

/* Room for a later state in the file's one block, which a full disk cannot take away. */
#define STATE_SIZE 512

/* No fsync: after a power failure no process of this boot is left to be described. */
static int replace_file(int dir_fd, const struct buf *b)
{
    int fd = openat(dir_fd, "state.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return -1;
    bool written = write(fd, b->data, b->len) == (ssize_t)b->len;
    int errnum = errno;
    close(fd);
    if (written)
        return renameat(dir_fd, "state.tmp", dir_fd, "state.json");
    unlinkat(dir_fd, "state.tmp", 0);
    errno = errnum;
    return -1;
}

/* Without room for another file: into the one that is there. */
static int overwrite_file(int dir_fd, const struct buf *b)
{
    int fd = openat(dir_fd, "state.json", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    bool written = pwrite(fd, b->data, b->len, 0) == (ssize_t)b->len;
    close(fd);
    return written ? 0 : -1;
}

int shim_state_write(const struct shim_state *s, int dir_fd, struct error **err)
{
    AUTO_BUF b = BUF_INIT(64 * KIB);
    buf_printf(&b, "{\"shimPid\":%d,\"pid\":%d,\"startTicks\":%" PRIu64 ",\"startedAt\":%" PRId64,
               (int)s->shim_pid, (int)s->pid, s->start_ticks, s->started_ns);
    if (s->finished_ns != 0)
        buf_printf(&b, ",\"finishedAt\":%" PRId64 ",\"exitCode\":%d,\"signal\":%d,\"oomKilled\":%s",
                   s->finished_ns, s->exit_code, s->signal, s->oom_killed ? "true" : "false");
    if (s->error) {
        buf_puts(&b, ",\"error\":");
        put_json_string(&b, s->error);
    }
    buf_puts(&b, "}\n");
    while (b.len < STATE_SIZE)
        buf_putc(&b, '\n');
    if (replace_file(dir_fd, &b) == 0)
        return 0;
    int errnum = errno;
    if (overwrite_file(dir_fd, &b) == 0)
        return 0;
    return error_set_errno(err, errnum, "cannot write the state");
}
