#include "models/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/crypto.h"

#define DEFAULT_ATTEMPTS 5
#define IDLE_TIMEOUT_MS 30000
#define RETRY_DELAY_MS 500
#define COPY_CHUNK (1 * MIB)
#define PROGRESS_PERIOD_NS (100 * NS_PER_MS)

/* ---- writing the part file ----------------------------------------------------------------------------------- */

struct progress {
    model_progress_fn *fn;
    void *ctx;
    int64_t last_ns;
};

static void progress_tell(struct progress *p, uint64_t done, uint64_t total, bool last)
{
    int64_t now = clock_mono(clock_system());
    if (!p->fn || (!last && now - p->last_ns < PROGRESS_PERIOD_NS))
        return;
    p->last_ns = now;
    p->fn(p->ctx, done, total);
}

static int hash_file(const char *path, char out[SHA256_HEX_SIZE], struct error **err)
{
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot read %s", path);
    AUTO_FREE char *chunk = mem_alloc(COPY_CHUNK);
    struct sha256 *hash = sha256_new();
    int r = 0;
    for (;;) {
        ssize_t n = read(fd, chunk, COPY_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = error_set_errno(err, errno, "cannot read %s", path);
        if (n <= 0)
            break;
        sha256_update(hash, chunk, (size_t)n);
    }
    sha256_final_hex(hash, out);
    return r;
}

/* Checks DIR/NAME.gguf.part and makes it the model. A wrong checksum or head removes it: a resumed
 * download would only carry the fault on. */
static int install_part(struct arena *a, const char *dir, const char *name, const char *part,
                        const char *expected_sha256, const char *source, struct error **err)
{
    char sha256[SHA256_HEX_SIZE];
    int r = hash_file(part, sha256, err);
    if (r < 0)
        return r;
    struct gguf_info info;
    if (expected_sha256 && !str_case_eq(expected_sha256, sha256))
        r = error_set(
            err, ERROR_INVALID,
            "the checksum is wrong: sha256 %s, expected %s; the file was removed, try again",
            sha256, expected_sha256);
    else
        r = gguf_open(a, part, &info, err);
    if (r == 0 && info.split_count > 1)
        r = error_set(err, ERROR_UNSUPPORTED,
                      "it is one of %u parts; models in one file can be used", info.split_count);
    if (r < 0) {
        unlink(part);
        return r;
    }
    const char *path = model_store_path(a, dir, name);
    if (rename(part, path) < 0)
        return error_set_errno(err, errno, "cannot rename %s to %s", part, path);
    return model_store_record(a, dir, name, sha256, source, err);
}

static int prepare(struct arena *a, const char *dir, const char *name, const char **ret_part,
                   int *ret_lock, struct error **err)
{
    int r = model_name_check(name, err);
    if (r == 0)
        r = file_mkdirs(dir, 0755, err);
    if (r == 0)
        r = file_lock(arena_printf(a, "%s/.%s.lock", dir, name), ret_lock, err);
    if (r == -ERROR_CONFLICT)
        return error_prefix(err, r, "model \"%s\" is being fetched by another process", name);
    *ret_part = arena_printf(a, "%s/%s.gguf.part", dir, name);
    return r;
}

static int check_space(const char *dir, uint64_t bytes, struct error **err)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) < 0)
        return 0;
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (bytes <= free_bytes)
        return 0;
    return error_set(
        err, ERROR_IO,
        "%s has %.2f GiB free and the model needs %.2f GiB more; free some space or name another "
        "directory with --models-dir",
        dir, (double)free_bytes / (double)GIB, (double)bytes / (double)GIB);
}

/* ---- download ------------------------------------------------------------------------------------------------ */

/* One connection. Written by the client's thread, read by ours after on_end. */
struct download {
    const struct model_pull *pull;
    struct progress progress;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int fd;
    uint64_t have;  /* bytes in the part file */
    uint64_t total; /* of the whole file; 0: unknown */
    int status;
    int write_errno;
    bool ended;
    enum error_code end_code;
    char end_text[256];
};

static uint64_t parse_total(const struct http_header *headers, size_t n, int status)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = 0;
        if (status == 206 && str_case_eq(headers[i].name, "content-range")) {
            const char *slash = strrchr(headers[i].value, '/');
            if (slash && str_to_uint64(slash + 1, &value) == 0)
                return value;
        }
        if (status == 200 && str_case_eq(headers[i].name, "content-length") &&
            str_to_uint64(headers[i].value, &value) == 0)
            return value;
    }
    return 0;
}

static void on_response(void *ctx, int status, const struct http_header *headers, size_t n)
{
    struct download *d = ctx;
    d->status = status;
    d->total = parse_total(headers, n, status);
    if (status == 200 && d->have > 0) {
        /* The server does not resume: begin again. */
        d->have = 0;
        if (ftruncate(d->fd, 0) < 0 || lseek(d->fd, 0, SEEK_SET) < 0)
            d->write_errno = errno;
    }
}

static bool on_data(void *ctx, const char *data, size_t len)
{
    struct download *d = ctx;
    if (d->status != 200 && d->status != 206)
        return false;
    if (d->write_errno == 0)
        d->write_errno = -fd_write_all(d->fd, data, len);
    if (d->write_errno != 0)
        return false;
    d->have += len;
    progress_tell(&d->progress, d->have, d->total, false);
    return true;
}

static void on_end(void *ctx, const struct error *err)
{
    struct download *d = ctx;
    LOCK(&d->mutex);
    d->ended = true;
    d->end_code = err ? error_code(err) : ERROR_OK;
    snprintf(d->end_text, sizeof(d->end_text), "%s", error_message(err));
    pthread_cond_signal(&d->cond);
}

/* Runs one connection to its end. Returns 0 when it ran; what came of it stands in d. */
static int connect_once(struct http_client *client, struct download *d, struct arena *a,
                        struct error **err)
{
    struct http_header headers[2];
    size_t n = 0;
    d->status = 0;
    d->ended = false;
    if (d->have > 0)
        headers[n++] = (struct http_header){ "Range", arena_printf(a, "bytes=%llu-",
                                                                   (unsigned long long)d->have) };
    if (!str_empty(d->pull->token))
        headers[n++] =
            (struct http_header){ "Authorization", arena_printf(a, "Bearer %s", d->pull->token) };
    struct http_request request = {
        .url = d->pull->url,
        .headers = headers,
        .header_count = n,
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
        .proxy = d->pull->proxy,
        .follow_redirects = true,
    };
    struct http_stream_handler handler = { on_response, on_data, on_end, d };
    struct http_stream *stream = NULL;
    int r = http_stream_open(client, &request, &handler, &stream, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&d->mutex);
    while (!d->ended)
        pthread_cond_wait(&d->cond, &d->mutex);
    pthread_mutex_unlock(&d->mutex);
    http_stream_close(stream);
    return 0;
}

static int status_error(const struct download *d, struct error **err)
{
    const char *url = d->pull->url;
    switch (d->status) {
    case 401:
    case 403:
        return error_set(err, ERROR_FORBIDDEN,
                         "%s answered %d: the model needs %s; set HF_TOKEN or give --token", url,
                         d->status,
                         str_empty(d->pull->token)
                             ? "a token"
                             : "a token that may read it (accept its licence first)");
    case 404:
        return error_set(err, ERROR_NOT_FOUND, "%s does not exist (404)", url);
    default:
        return error_set(err, ERROR_UNAVAILABLE, "%s answered %d", url, d->status);
    }
}

static bool worth_retrying(const struct download *d)
{
    if (d->status == 0 || d->status == 200 || d->status == 206)
        return d->end_code == ERROR_UNAVAILABLE || d->end_code == ERROR_TIMEOUT ||
               d->end_code == ERROR_OK;
    return d->status == 429 || d->status >= 500;
}

/* After a connection: 1 complete, 0 try again, negative: give up. */
static int judge(struct download *d, struct error **err)
{
    if (d->write_errno != 0)
        return error_set_errno(err, d->write_errno, "cannot write to the model store %s",
                               d->pull->dir);
    if (d->status == 416 && d->have > 0) {
        /* Nothing is left from there on: the part is whole, or longer than the file. The checks
         * that follow tell. */
        return 1;
    }
    bool fine = d->status == 200 || d->status == 206;
    if (fine && d->end_code == ERROR_OK && (d->total == 0 || d->have == d->total))
        return 1;
    if (worth_retrying(d))
        return 0;
    if (d->status != 0 && !fine)
        return status_error(d, err);
    return error_set(err, d->end_code ? d->end_code : ERROR_UNAVAILABLE, "%s: %s", d->pull->url,
                     d->end_text[0] ? d->end_text : "the connection ended early");
}

static int give_up(const struct download *d, struct error **err)
{
    if (d->status >= 400)
        return status_error(d, err);
    return error_set(err, ERROR_UNAVAILABLE,
                     "%s: %s; %llu bytes are kept, the same command goes on from there",
                     d->pull->url, d->end_text[0] ? d->end_text : "the connection ended early",
                     (unsigned long long)d->have);
}

static int download(struct http_client *client, struct download *d, struct arena *a,
                    struct error **err)
{
    unsigned attempts = d->pull->attempts ? d->pull->attempts : DEFAULT_ATTEMPTS;
    uint64_t before = d->have;
    for (unsigned i = 0; i < attempts; i++) {
        int r = connect_once(client, d, a, err);
        if (r < 0)
            return r;
        r = judge(d, err);
        if (r < 0)
            return r;
        if (r == 1) {
            progress_tell(&d->progress, d->have, d->total ? d->total : d->have, true);
            return 0;
        }
        if (d->have > before) {
            /* It moves: a long download on a bad line may be cut off many times. */
            before = d->have;
            i = 0;
        }
        usleep(RETRY_DELAY_MS * 1000 * MIN(i + 1, 8));
    }
    return give_up(d, err);
}

int model_pull(struct http_client *client, const struct model_pull *pull, struct error **err)
{
    AUTO_ARENA a = arena_new();
    AUTO_FD lock = -1;
    const char *part = NULL;
    if (!str_has_prefix(pull->url, "https://") && !str_has_prefix(pull->url, "http://"))
        return error_set(err, ERROR_INVALID, "\"%s\" is no http or https URL", pull->url);
    int r = prepare(a, pull->dir, pull->name, &part, &lock, err);
    if (r < 0)
        return r;
    AUTO_FD fd = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot write %s", part);
    struct stat st;
    if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_END) < 0)
        return error_set_errno(err, errno, "cannot look at %s", part);
    if (pull->bytes > (uint64_t)st.st_size) {
        r = check_space(pull->dir, pull->bytes - (uint64_t)st.st_size, err);
        if (r < 0)
            return r;
    }

    struct download d = {
        .pull = pull,
        .progress = { .fn = pull->progress, .ctx = pull->ctx },
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .cond = PTHREAD_COND_INITIALIZER,
        .fd = fd,
        .have = (uint64_t)st.st_size,
    };
    r = download(client, &d, a, err);
    if (r == 0 && pull->bytes > 0 && d.have != pull->bytes) {
        unlink(part);
        r = error_set(err, ERROR_INVALID, "%s has %llu bytes, expected %llu; the file was removed",
                      pull->url, (unsigned long long)d.have, (unsigned long long)pull->bytes);
    }
    if (r == 0 && fsync(fd) < 0)
        r = error_set_errno(err, errno, "cannot write %s", part);
    if (r == 0)
        r = install_part(a, pull->dir, pull->name, part, pull->sha256, pull->url, err);
    return r;
}

/* ---- import -------------------------------------------------------------------------------------------------- */

static int copy_file(int from, int to, uint64_t total, struct progress *progress,
                     struct error **err)
{
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    uint64_t done = 0;
    AUTO_FREE char *chunk = mem_alloc(COPY_CHUNK);
    for (;;) {
        ssize_t n = read(from, chunk, COPY_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "cannot read it");
        if (n == 0)
            return 0;
        int r = fd_write_all(to, chunk, (size_t)n);
        if (r < 0)
            return error_set_errno(err, -r, "cannot write to the model store");
        done += (uint64_t)n;
        progress_tell(progress, done, total, false);
    }
}

int model_import(const char *dir, const char *name, const char *file,
                 model_progress_fn *progress_fn, void *ctx, struct error **err)
{
    AUTO_ARENA a = arena_new();
    AUTO_FD lock = -1;
    const char *part = NULL;
    struct gguf_info info;
    int r = gguf_open(a, file, &info, err);
    if (r == 0)
        r = prepare(a, dir, name, &part, &lock, err);
    if (r == 0)
        r = check_space(dir, info.file_bytes, err);
    if (r < 0)
        return r;
    AUTO_FD from = open(file, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return error_set_errno(err, errno, "cannot open %s", file);
    AUTO_FD to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (to < 0)
        return error_set_errno(err, errno, "cannot write %s", part);
    struct progress progress = { .fn = progress_fn, .ctx = ctx };
    r = copy_file(from, to, info.file_bytes, &progress, err);
    if (r == 0 && fsync(to) < 0)
        r = error_set_errno(err, errno, "cannot write %s", part);
    if (r < 0) {
        unlink(part);
        return error_prefix(err, r, "import of %s", file);
    }
    progress_tell(&progress, info.file_bytes, info.file_bytes, true);
    char *absolute = realpath(file, NULL);
    r = install_part(a, dir, name, part, NULL, absolute ? absolute : file, err);
    free(absolute);
    return r;
}
