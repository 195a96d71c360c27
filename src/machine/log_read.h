/* Reads the log of one container: log.1, then log, and whatever is written to them meanwhile. */
#pragma once

#include "base/buf.h"
#include "machine/logs.h"

#define LOG_CHUNK (32 * KIB)
/* Shims split lines at 16 KiB; a line with its head fits into this twice over. */
#define LOG_READ_LINE_MAX (128 * KIB)

struct log_reader {
    char *dir;
    int files[2];
    size_t file_count;
    size_t file_at; /* the next one */
    int fd;         /* the current one; -1: none yet */
    bool drained_after_rename;
    struct buf line; /* what was read; lines before `used` have been given out */
    size_t used;
};

/* No log at all is no error. Close it after a failure too. */
int log_reader_open(struct log_reader *r, const char *dir, struct error **err);
void log_reader_close(struct log_reader *r);
void log_reader_tail(struct log_reader *r,
                     int64_t lines); /* before the first read: only the last lines */
/* The next line; its pointers live until the next call. False: nothing more now. */
bool log_reader_next(struct log_reader *r, struct log_line *ret);
