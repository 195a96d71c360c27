/* pods/NAME/log (logs.h). What is asked for is checked against the pod's status, in the words of
 * the API server and the kubelet; then the log is sent, by a thread of its own when it is followed.
 */
#include "machine/logs.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/meta.h"
#include "machine/container.h"
#include "machine/log_read.h"
#include "json/build.h"

#define MAX_FOLLOWERS 128
#define CHECK_MS 500
#define SEND_CHUNK (32 * KIB)

struct follower {
    struct log_server *server;
    struct follower *next;
    pthread_t thread;
    char *dir;
    struct pod_log_options options;
    struct pod_log_sink sink;
    bool done; /* under the server's lock: can be joined */
};

struct log_server {
    char *data_dir;
    struct apiserver_pod_logs handler;
    pthread_mutex_t lock;
    struct kube_client *client; /* NULL: not bound */
    struct follower *followers;
    size_t follower_count;
    bool stopping;
};

/* ---- which log ----------------------------------------------------------------------------------------------------- */

static const char *container_names(struct arena *a, const struct json *list)
{
    AUTO_BUF b = BUF_INIT(64 * KIB);
    JSON_FOREACH(it, list) {
        buf_printf(&b, "%s%s", it.index ? " " : "", json_find_str(it.value, "name"));
    }
    return arena_strdup(a, buf_str(&b));
}

static bool has_container(const struct json *list, const char *name)
{
    JSON_FOREACH(it, list) {
        if (str_eq(json_find_str(it.value, "name"), name))
            return true;
    }
    return false;
}

static int choose_container(struct arena *a, const struct json *pod, const char *wanted,
                            const char **ret, struct error **err)
{
    const struct json *main_list = json_find(pod, "spec", "containers");
    const struct json *init_list = json_find(pod, "spec", "initContainers");
    if (wanted && !has_container(main_list, wanted) && !has_container(init_list, wanted))
        return error_set(err, ERROR_INVALID, "container %s is not valid for pod %s", wanted,
                         meta_name(pod));
    if (!wanted && json_size(main_list) != 1) {
        const char *init = json_size(init_list) > 0
                               ? arena_printf(a, " or one of the init containers: [%s]",
                                              container_names(a, init_list))
                               : "";
        return error_set(err, ERROR_INVALID,
                         "a container name must be specified for pod %s, choose one of: [%s]%s",
                         meta_name(pod), container_names(a, main_list), init);
    }
    *ret = wanted ? wanted : json_find_str(json_at(main_list, 0), "name");
    return 0;
}

static const struct json *status_of(const struct json *pod, const char *container)
{
    static const char *const lists[] = { "containerStatuses", "initContainerStatuses" };
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        JSON_FOREACH(it, json_find(pod, "status", lists[i])) {
            if (str_eq(json_find_str(it.value, "name"), container))
                return it.value;
        }
    }
    return NULL;
}

/* The id of the instance whose log is meant. */
static int choose_instance(const struct json *pod, const char *container, bool previous,
                           const char **ret, struct error **err)
{
    const struct json *status = status_of(pod, container);
    const struct json *waiting = json_find(status, "state", "waiting");
    const char *last = json_find_str(status, "lastState", "terminated", "containerID");
    if (!status)
        return error_set(err, ERROR_INVALID, "container \"%s\" in pod \"%s\" is not available",
                         container, meta_name(pod));
    if (previous && !last)
        return error_set(err, ERROR_INVALID,
                         "previous terminated container \"%s\" in pod \"%s\" not found", container,
                         meta_name(pod));
    const char *id = previous || waiting ? last : json_find_str(status, "containerID");
    if (!id) {
        const char *reason = json_find_str(waiting, "reason");
        if (str_eq(reason, "ErrImagePull") || str_eq(reason, "ImagePullBackOff"))
            reason = "trying and failing to pull image";
        return error_set(err, ERROR_INVALID,
                         "container \"%s\" in pod \"%s\" is waiting to start: %s", container,
                         meta_name(pod), reason ? reason : "ContainerCreating");
    }
    *ret = id;
    return 0;
}

/* "kaito://UID/NAME/ATTEMPT" → the directory. */
static int find_log(struct arena *a, struct log_server *s, const struct json *pod,
                    const struct pod_log_options *options, const char **ret, struct error **err)
{
    const char *container = NULL;
    const char *id = NULL;
    int r = choose_container(a, pod, options->container, &container, err);
    if (r == 0)
        r = choose_instance(pod, container, options->previous, &id, err);
    if (r < 0)
        return r;
    const char *attempt = strrchr(id, '/');
    *ret = arena_printf(a, "%s/pods/%s/containers/%s/%s", s->data_dir, meta_uid(pod), container,
                        attempt ? attempt + 1 : "0");
    return 0;
}

/* ---- sending ------------------------------------------------------------------------------------------------------- */

struct sender {
    const struct pod_log_options *options;
    const struct pod_log_sink *sink;
    struct buf out;
    int64_t left; /* bytes that may still be sent; -1: no limit */
    bool over;    /* the reader has gone, or the limit is reached */
};

static void send_out(struct sender *s)
{
    if (s->out.len > 0 && !s->over && s->sink->write(s->sink->ctx, s->out.data, s->out.len) < 0)
        s->over = true;
    buf_clear(&s->out);
}

static void put(struct sender *s, const char *data, size_t len)
{
    if (s->left >= 0 && (int64_t)len > s->left)
        len = (size_t)s->left;
    buf_append(&s->out, data, len);
    if (s->left >= 0)
        s->left -= (int64_t)len;
    if (s->out.len >= SEND_CHUNK || s->left == 0)
        send_out(s);
    s->over = s->over || s->left == 0;
}

/* Sends what is there. */
static void send_lines(struct sender *s, struct log_reader *r)
{
    struct log_line line;
    while (!s->over && log_reader_next(r, &line)) {
        if (line.time_ns < s->options->since_ns)
            continue;
        if (s->options->timestamps) {
            put(s, line.stamp, line.stamp_len);
            put(s, " ", 1);
        }
        put(s, line.text, line.text_len);
        if (!line.partial)
            put(s, "\n", 1);
    }
    send_out(s);
}

static void sender_init(struct sender *s, const struct pod_log_options *options,
                        const struct pod_log_sink *sink)
{
    *s = (struct sender){
        .options = options,
        .sink = sink,
        .out = BUF_INIT(1 * MIB),
        .left = options->limit_bytes > 0 ? options->limit_bytes : -1,
    };
}

static int send_all(const char *dir, const struct pod_log_options *options,
                    const struct pod_log_sink *sink, struct error **err)
{
    struct log_reader r;
    int rc = log_reader_open(&r, dir, err);
    if (rc == 0) {
        struct sender s;
        sender_init(&s, options, sink);
        if (options->tail_lines >= 0)
            log_reader_tail(&r, options->tail_lines);
        send_lines(&s, &r);
        buf_done(&s.out);
    }
    log_reader_close(&r);
    return rc;
}

/* ---- following ----------------------------------------------------------------------------------------------------- */

static bool has_ended(const char *dir)
{
    AUTO_ARENA a = arena_new();
    struct container_state s;
    return container_state_read(a, dir, &s, NULL) < 0 || s.finished_ns != 0;
}

static bool is_stopping(struct log_server *s)
{
    LOCK(&s->lock);
    return s->stopping;
}

static void wait_for_change(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char events[4096];
    if (poll(&p, 1, CHECK_MS) > 0 && read(fd, events, sizeof(events)) < 0)
        usleep(1000);
}

static void follow(struct follower *f)
{
    struct log_reader r;
    if (log_reader_open(&r, f->dir, NULL) < 0) {
        log_reader_close(&r);
        return;
    }
    struct sender s;
    sender_init(&s, &f->options, &f->sink);
    if (f->options.tail_lines >= 0)
        log_reader_tail(&r, f->options.tail_lines);
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd >= 0)
        inotify_add_watch(fd, f->dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF);
    for (;;) {
        /* In this order: what was written before the end is sent. */
        bool ended = has_ended(f->dir);
        send_lines(&s, &r);
        if (ended || s.over || f->sink.cancelled(f->sink.ctx) || is_stopping(f->server))
            break;
        wait_for_change(fd);
    }
    if (fd >= 0)
        close(fd);
    buf_done(&s.out);
    log_reader_close(&r);
}

static void *follower_main(void *arg)
{
    struct follower *f = arg;
    follow(f);
    f->sink.end(f->sink.ctx, NULL);
    LOCK(&f->server->lock);
    f->done = true;
    return NULL;
}

/* Joins those that have ended, or all; without the lock held. */
static void join_followers(struct log_server *s, bool all)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        struct follower **at = &s->followers;
        while (*at && !all && !(*at)->done)
            at = &(*at)->next;
        struct follower *f = *at;
        if (f) {
            *at = f->next;
            s->follower_count--;
        }
        pthread_mutex_unlock(&s->lock);
        if (!f)
            return;
        thread_join(f->thread);
        free(f->dir);
        free(f);
    }
}

static int start_follower(struct log_server *s, const char *dir,
                          const struct pod_log_options *options, const struct pod_log_sink *sink,
                          struct error **err)
{
    join_followers(s, false);
    struct follower *f = NEW0(struct follower);
    *f = (struct follower){
        .server = s, .dir = mem_strdup(dir), .options = *options, .sink = *sink
    };
    f->options.container = NULL;
    pthread_mutex_lock(&s->lock);
    int r =
        s->stopping ? error_set(err, ERROR_UNAVAILABLE, "the machine is stopping")
        : s->follower_count >= MAX_FOLLOWERS
            ? error_set(err, ERROR_TOO_MANY, "%d logs are being followed already", MAX_FOLLOWERS)
            : thread_start(&f->thread, "log", follower_main, f, err);
    if (r == 0) {
        f->next = s->followers;
        s->followers = f;
        s->follower_count++;
    }
    pthread_mutex_unlock(&s->lock);
    if (r < 0) {
        free(f->dir);
        free(f);
    }
    return r;
}

/* ---- the handler --------------------------------------------------------------------------------------------------- */

static int open_log(void *ctx, const char *ns, const char *name,
                    const struct pod_log_options *options, const struct pod_log_sink *sink,
                    struct error **err)
{
    struct log_server *s = ctx;
    AUTO_ARENA a = arena_new();
    struct json *pod = NULL;
    pthread_mutex_lock(&s->lock);
    struct kube_client *client = s->stopping ? NULL : s->client;
    pthread_mutex_unlock(&s->lock);
    if (!client)
        return error_set(err, ERROR_UNAVAILABLE, "the machine is not running");
    /* Not from a cache: who has seen the pod's newest status wants the log that belongs to it. */
    int r = kube_get(client, &KUBE_PODS, ns, name, a, &pod, err);
    if (r < 0)
        return r;
    const char *dir = NULL;
    r = find_log(a, s, pod, options, &dir, err);
    if (r < 0)
        return r;
    if (options->follow)
        return start_follower(s, dir, options, sink, err);
    r = send_all(dir, options, sink, err);
    if (r == 0)
        sink->end(sink->ctx, NULL);
    return r;
}

struct log_server *log_server_new(const char *data_dir)
{
    struct log_server *s = NEW0(struct log_server);
    s->data_dir = mem_strdup(data_dir);
    s->handler = (struct apiserver_pod_logs){ .open = open_log, .ctx = s };
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void log_server_bind(struct log_server *s, struct kube_client *client)
{
    pthread_mutex_lock(&s->lock);
    s->client = client;
    s->stopping = client == NULL;
    pthread_mutex_unlock(&s->lock);
    if (!client)
        join_followers(s, true);
}

struct apiserver_pod_logs *log_server_handler(struct log_server *s)
{
    return &s->handler;
}

void log_server_free(struct log_server *s)
{
    if (!s)
        return;
    log_server_bind(s, NULL);
    pthread_mutex_destroy(&s->lock);
    free(s->data_dir);
    free(s);
}
