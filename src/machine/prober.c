#include "machine/prober.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/str.h"

/* As much of an answer as is looked at. */
#define ANSWER_MAX (4 * KIB)
#define OUTPUT_MAX (10 * KIB)

struct probe_attempt {
    struct loop *loop;
    probe_done *done;
    void *ctx;
    int64_t deadline;
    struct loop_source source; /* socket, or pidfd */
    /* network */
    char *target; /* "1.2.3.4:80", and the URL for HTTP */
    char *url;    /* NULL: TCP */
    struct buf out;
    size_t sent;
    struct buf in;
    /* program */
    pid_t pid;
    int output_fd;
};

static void attempt_free(struct probe_attempt *p)
{
    int fd = p->source.fd;
    loop_remove(p->loop, &p->source);
    if (fd >= 0)
        close(fd);
    if (p->pid > 0) { /* with whatever it has started */
        kill(-p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (p->output_fd >= 0)
        close(p->output_fd);
    buf_done(&p->out);
    buf_done(&p->in);
    free(p->target);
    free(p->url);
    free(p);
}

static void ATTR_PRINTF(3, 4) finish(struct probe_attempt *p, bool success, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    AUTO_BUF b = BUF_INIT(OUTPUT_MAX + 1024);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    probe_done *done = p->done;
    void *ctx = p->ctx;
    attempt_free(p);
    done(ctx, success, buf_str(&b));
}

int64_t probe_attempt_deadline(const struct probe_attempt *p)
{
    return p->deadline;
}

void probe_attempt_expire(struct probe_attempt *p)
{
    if (p->url)
        finish(
            p, false,
            "Get \"%s\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            p->url);
    else if (p->target)
        finish(p, false, "dial tcp %s: i/o timeout", p->target);
    else
        finish(p, false, "command timed out");
}

void probe_attempt_cancel(struct probe_attempt *p)
{
    attempt_free(p);
}

int64_t probe_port(const struct json *port, const struct json *container)
{
    const char *name = json_string(port);
    int64_t number = 0;
    if (!name)
        return json_int(port, 0);
    JSON_FOREACH(it, json_get(container, "ports")) {
        if (str_eq(json_find_str(it.value, "name"), name))
            return json_find_int(it.value, 0, "containerPort");
    }
    return str_to_int64(name, &number) == 0 ? number : 0;
}

/* ---- network ------------------------------------------------------------------------------------------------------- */

static void fail_network(struct probe_attempt *p, const char *step, int errnum)
{
    char text[128];
    const char *words =
        errnum == ECONNREFUSED ? "connection refused" : strerror_r(errnum, text, sizeof(text));
    if (p->url)
        finish(p, false, "Get \"%s\": %s tcp %s: connect: %s", p->url, step, p->target, words);
    else
        finish(p, false, "%s tcp %s: connect: %s", step, p->target, words);
}

/* True when the head has come far enough to have a status. */
static bool answer_status(const struct probe_attempt *p, int *ret)
{
    return memchr(buf_str(&p->in), '\n', p->in.len) &&
           sscanf(buf_str(&p->in), "HTTP/%*d.%*d %d", ret) == 1;
}

static void judge_answer(struct probe_attempt *p)
{
    int status = 0;
    if (!answer_status(p, &status))
        finish(p, false, "Get \"%s\": %s", p->url,
               p->in.len == 0 ? "EOF" : "malformed HTTP response");
    else if (status >= 200 && status < 400)
        finish(p, true, "%s", "");
    else
        finish(p, false, "HTTP probe failed with statuscode: %d", status);
}

static void read_answer(struct probe_attempt *p)
{
    char data[1024];
    ssize_t n = recv(p->source.fd, data, sizeof(data), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        buf_append(&p->in, data, (size_t)n);
    int status;
    if (n <= 0 || answer_status(p, &status) || p->in.len + sizeof(data) > ANSWER_MAX)
        judge_answer(p);
}

static void send_request(struct probe_attempt *p)
{
    while (p->sent < p->out.len) {
        ssize_t n = send(p->source.fd, p->out.data + p->sent, p->out.len - p->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            fail_network(p, "write", errno);
            return;
        }
        p->sent += (size_t)n;
    }
    loop_modify(p->loop, &p->source, EPOLLIN);
}

static void on_socket(struct loop_source *s, uint32_t events)
{
    struct probe_attempt *p = LOOP_OWNER(s, struct probe_attempt, source);
    int errnum = 0;
    socklen_t len = sizeof(errnum);
    if (p->sent == 0 && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &errnum, &len) == 0 && errnum != 0)
        fail_network(p, "dial", errnum);
    else if (!p->url)
        finish(p, true, "%s", "");
    else if (p->sent < p->out.len)
        send_request(p);
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_answer(p);
}

static void write_request(struct probe_attempt *p, const struct json *get, const char *host_port,
                          const char *path)
{
    bool has_host = false;
    bool has_agent = false;
    bool has_accept = false;
    buf_printf(&p->out, "GET %s HTTP/1.1\r\n", path);
    JSON_FOREACH(it, json_get(get, "httpHeaders")) {
        const char *name = json_find_str(it.value, "name");
        const char *value = json_find_str(it.value, "value");
        if (!name || !value || strpbrk(name, "\r\n:") || strpbrk(value, "\r\n"))
            continue;
        has_host = has_host || str_case_eq(name, "Host");
        has_agent = has_agent || str_case_eq(name, "User-Agent");
        has_accept = has_accept || str_case_eq(name, "Accept");
        buf_printf(&p->out, "%s: %s\r\n", name, value);
    }
    if (!has_host)
        buf_printf(&p->out, "Host: %s\r\n", host_port);
    if (!has_agent)
        buf_puts(&p->out, "User-Agent: kube-probe/1.32\r\n");
    if (!has_accept)
        buf_puts(&p->out, "Accept: */*\r\n");
    buf_puts(&p->out, "Connection: close\r\n\r\n");
}

static bool resolve(const char *host, int64_t port, struct sockaddr_storage *ret,
                    socklen_t *ret_len)
{
    char service[16];
    snprintf(service, sizeof(service), "%d", (int)port);
    /* Addresses only: looking a name up would block. */
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    if (getaddrinfo(str_eq(host, "localhost") ? "127.0.0.1" : host, service, &hints, &list) != 0)
        return false;
    memcpy(ret, list->ai_addr, list->ai_addrlen);
    *ret_len = list->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

static bool start_network(struct probe_attempt *p, const struct probe_request *q,
                          const struct json *get, const struct json *tcp)
{
    const struct json *action = get ? get : tcp;
    const char *host = json_find_str(action, "host");
    const char *scheme = json_find_str(get, "scheme");
    const char *path = json_find_str(get, "path");
    int64_t port = probe_port(json_get(action, "port"), q->container);
    host = str_empty(host) ? q->host : host;
    if (port < 1 || port > UINT16_MAX) {
        finish(p, false, "the probe's port is not among the container's ports");
        return false;
    }
    p->target = mem_printf("%s:%d", host, (int)port);
    if (get) {
        AUTO_ARENA a = arena_new();
        path = str_empty(path) ? "/" : path[0] == '/' ? path : arena_printf(a, "/%s", path);
        bool tls = scheme && str_case_eq(scheme, "HTTPS");
        p->url = mem_printf("%s://%s%s", tls ? "https" : "http", p->target, path);
        if (tls) {
            finish(
                p, false,
                "Get \"%s\": probes by HTTPS are not there on one box; use scheme HTTP or tcpSocket",
                p->url);
            return false;
        }
        write_request(p, get, p->target, path);
    }
    struct sockaddr_storage address;
    socklen_t len = 0;
    if (!resolve(host, port, &address, &len)) {
        finish(p, false, "dial tcp: lookup %s: no such host", host);
        return false;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || loop_add(p->loop, &p->source, fd, EPOLLOUT, NULL) < 0) {
        if (fd >= 0)
            close(fd);
        finish(p, false, "cannot make a socket: %s", strerror(errno));
        return false;
    }
    /* Closing with a reset leaves no connection in TIME_WAIT for each probe. */
    struct linger linger = { .l_onoff = 1 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    if (connect(fd, (struct sockaddr *)&address, len) < 0 && errno != EINPROGRESS) {
        fail_network(p, "dial", errno);
        return false;
    }
    return true;
}

/* ---- programs ------------------------------------------------------------------------------------------------------ */

static void on_program_end(struct loop_source *s, uint32_t events)
{
    struct probe_attempt *p = LOOP_OWNER(s, struct probe_attempt, source);
    int status = 0;
    if (waitpid(p->pid, &status, WNOHANG) != p->pid)
        return;
    kill(-p->pid, SIGKILL);
    p->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        finish(p, true, "%s", "");
        return;
    }
    char output[OUTPUT_MAX];
    size_t len = 0;
    ssize_t n;
    while (len < sizeof(output) - 1 &&
           (n = read(p->output_fd, output + len, sizeof(output) - 1 - len)) > 0)
        len += (size_t)n;
    output[len] = '\0';
    output[str_utf8_valid_len(output, len)] = '\0';
    finish(p, false, "%s", output);
}

static bool start_program(struct probe_attempt *p, const struct probe_request *q)
{
    int out[2];
    if (!q->argv || !q->argv[0] || pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0) {
        finish(p, false, "the probe has no command");
        return false;
    }
    p->output_fd = out[0];
    struct process_spec spec = {
        .path = q->argv[0],
        .argv = q->argv,
        .env = q->env,
        .cwd = q->cwd,
        .stdin_fd = -1,
        .stdout_fd = out[1],
        .stderr_fd = out[1],
        .new_session = true,
        .die_with_parent = true,
    };
    CLEANUP(error_cleanup) struct error *err = NULL;
    int r = process_spawn(&spec, &p->pid, &err);
    close(out[1]);
    if (r < 0) {
        finish(p, false, "%s", error_message(err));
        return false;
    }
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (fd < 0 || loop_add(p->loop, &p->source, fd, EPOLLIN, NULL) < 0) {
        if (fd >= 0)
            close(fd);
        finish(p, false, "cannot watch the probe's process");
        return false;
    }
    p->source.on_event = on_program_end;
    return true;
}

void probe_attempt_start(struct loop *l, const struct probe_request *q, probe_done *done, void *ctx,
                         struct probe_attempt **ret)
{
    struct probe_attempt *p = NEW0(struct probe_attempt);
    *p = (struct probe_attempt){
        .loop = l,
        .done = done,
        .ctx = ctx,
        .deadline = clock_mono(clock_system()) + q->timeout_ms * NS_PER_MS,
        .source = { .on_event = on_socket, .fd = -1 },
        .out = BUF_INIT(64 * KIB),
        .in = BUF_INIT(ANSWER_MAX),
        .output_fd = -1,
    };
    const struct json *get = json_get(q->spec, "httpGet");
    const struct json *tcp = json_get(q->spec, "tcpSocket");
    *ret = NULL;
    bool started = false;
    if (get || tcp)
        started = start_network(p, q, get, tcp);
    else if (json_get(q->spec, "exec"))
        started = start_program(p, q);
    else
        finish(
            p, false,
            "the probe is of a kind that one box does not have (gRPC); use httpGet, tcpSocket or exec");
    if (started)
        *ret = p;
}
