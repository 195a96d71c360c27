/* Logs of containers: reading what shims write (CRI lines), and serving pods/NAME/log. */
#pragma once

#include "apiserver/apiserver.h"
#include "base/arena.h"
#include "kube/client.h"

/* One line of a log file, without its newline. */
struct log_line {
    const char *stamp; /* RFC 3339, stamp_len bytes */
    size_t stamp_len;
    int64_t time_ns; /* wall */
    bool is_stderr;
    bool partial; /* the line goes on in the next one of its stream */
    const char *text;
    size_t text_len;
};
/* -ERROR_INVALID (no text): not a line of a container log. */
int log_line_parse(const char *data, size_t len, struct log_line *ret);

/* The last lines of a container's output, at most so many lines and bytes, valid UTF-8; NULL when
 * there is none. */
char *log_tail(struct arena *a, const char *container_dir, size_t max_lines, size_t max_bytes);

/* Serves logs of pods; data_dir as in machine_options. */
struct log_server;
struct log_server *log_server_new(const char *data_dir);
/* The client asks the API server that calls the handler. NULL: no logs any more; ends all that
 * follow and joins their threads. */
void log_server_bind(struct log_server *s, struct kube_client *client);
struct apiserver_pod_logs *log_server_handler(struct log_server *s);
void log_server_free(struct log_server *s);
