/* The logger: structured lines, text or JSON, to stderr. One of the two globals of the project.
 *
 *     log_info("workspace is ready", "namespace", ns, "name", name, NULL);
 *
 * Keys and values alternate, all strings, closed by NULL; a NULL value prints as "". Thread-safe,
 * one write per line. */
#pragma once

#include "base/macros.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

void log_setup(enum log_level level, enum log_format format);
/* Sends lines elsewhere (tests). NULL: stderr again. */
void log_set_sink(void (*sink)(const char *line, size_t len, void *ctx), void *ctx);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *msg, ...) ATTR_SENTINEL;

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
