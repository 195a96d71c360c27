/* A line is built by the calling thread and handed out whole under the lock. Values are cut at
 * VALUE_MAX: they carry texts of others (a response body, the last words of a process), and a line
 * has to stay a line. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/thread.h"

#define VALUE_MAX (8 * KIB)
#define PAIRS_MAX 64

static struct {
    pthread_mutex_t mutex;
    int level;  /* atomic */
    int format; /* atomic */
    void (*sink)(const char *line, size_t len, void *ctx);
    void *sink_ctx;
} logger = { .mutex = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO, .format = LOG_TEXT };

void log_setup(enum log_level level, enum log_format format)
{
    __atomic_store_n(&logger.level, (int)level, __ATOMIC_RELAXED);
    __atomic_store_n(&logger.format, (int)format, __ATOMIC_RELAXED);
}

void log_set_sink(void (*sink)(const char *line, size_t len, void *ctx), void *ctx)
{
    LOCK(&logger.mutex);
    logger.sink = sink;
    logger.sink_ctx = ctx;
}

bool log_enabled(enum log_level level)
{
    return (int)level >= __atomic_load_n(&logger.level, __ATOMIC_RELAXED);
}

/* A JSON string body. Bytes that are not UTF-8 become U+FFFD: a log line must not break its reader.
 */
static void put_escaped(struct buf *b, const char *s, size_t len)
{
    while (len > 0) {
        unsigned char c = (unsigned char)*s;
        size_t n = str_utf8_valid_len(s, MIN(len, (size_t)4));
        if (n == 0) {
            buf_puts(b, "\xef\xbf\xbd");
            n = 1;
        } else if (c >= 0x80) {
            n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            buf_append(b, s, n);
        } else {
            n = 1;
            if (c == '"' || c == '\\')
                buf_printf(b, "\\%c", c);
            else if (c == '\n')
                buf_puts(b, "\\n");
            else if (c == '\t')
                buf_puts(b, "\\t");
            else if (c == '\r')
                buf_puts(b, "\\r");
            else if (c < 0x20 || c == 0x7f)
                buf_printf(b, "\\u%04x", c);
            else
                buf_putc(b, (char)c);
        }
        s += n;
        len -= n;
    }
}

static size_t cut(const char *s, size_t len)
{
    if (len <= VALUE_MAX)
        return len;
    len = VALUE_MAX;
    while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
        len--;
    return len;
}

static void put_quoted(struct buf *b, const char *s)
{
    size_t len = strlen(s), shown = cut(s, len);
    buf_putc(b, '"');
    put_escaped(b, s, shown);
    if (shown < len)
        buf_puts(b, "\u2026");
    buf_putc(b, '"');
}

static bool needs_quotes(const char *s)
{
    size_t len = strlen(s);
    if (len == 0 || len > VALUE_MAX || str_utf8_valid_len(s, len) != len)
        return true;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s == 0x7f)
            return true;
    return false;
}

/* The message of a text line stands bare, but on one line. */
static void put_message(struct buf *b, const char *s)
{
    size_t len = strlen(s), shown = cut(s, len);
    bool plain = str_utf8_valid_len(s, shown) == shown;
    for (size_t i = 0; plain && i < shown; i++)
        plain = (unsigned char)s[i] >= ' ' && s[i] != 0x7f;
    if (plain && shown == len)
        buf_append(b, s, len);
    else
        put_quoted(b, s);
}

static void put_pair(struct buf *b, enum log_format format, const char *key, const char *value)
{
    if (!value)
        value = "";
    if (format == LOG_JSON) {
        buf_putc(b, ',');
        put_quoted(b, key);
        buf_putc(b, ':');
        put_quoted(b, value);
        return;
    }
    buf_putc(b, ' ');
    buf_puts(b, key);
    buf_putc(b, '=');
    if (needs_quotes(value))
        put_quoted(b, value);
    else
        buf_puts(b, value);
}

static void put_head(struct buf *b, enum log_format format, enum log_level level, const char *msg)
{
    static const char *const text_names[] = { "DEBUG", "INFO ", "WARN ", "ERROR" };
    static const char *const json_names[] = { "debug", "info", "warn", "error" };
    char stamp[TIME_RFC3339_SIZE];
    time_format_rfc3339_nano(clock_wall(clock_system()), stamp);
    memcpy(stamp + strlen("2026-01-02T15:04:05.123"), "Z", 2);
    if (format == LOG_JSON) {
        buf_printf(b, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", stamp, json_names[level]);
        put_quoted(b, msg);
    } else {
        buf_printf(b, "%s %s ", stamp, text_names[level]);
        put_message(b, msg);
    }
}

static void hand_out(const char *line, size_t len)
{
    LOCK(&logger.mutex);
    if (logger.sink) {
        logger.sink(line, len, logger.sink_ctx);
        return;
    }
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, line, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nowhere to complain */
        line += n;
        len -= (size_t)n;
    }
}

void log_write(enum log_level level, const char *msg, ...)
{
    if (!log_enabled(level))
        return;
    int saved_errno = errno;
    enum log_format format = (enum log_format)__atomic_load_n(&logger.format, __ATOMIC_RELAXED);
    AUTO_BUF b = BUF_INIT((PAIRS_MAX + 1) * 2 * VALUE_MAX * 6); /* every byte escaped */
    put_head(&b, format, level, msg ? msg : "");
    va_list ap;
    va_start(ap, msg);
    const char *key;
    for (int i = 0; i < PAIRS_MAX && (key = va_arg(ap, const char *)); i++)
        put_pair(&b, format, key, va_arg(ap, const char *));
    va_end(ap);
    buf_puts(&b, format == LOG_JSON ? "}\n" : "\n");
    hand_out(buf_str(&b), b.len);
    errno = saved_errno;
}
