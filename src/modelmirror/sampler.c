/* What the container beside a download tells about it, as Prometheus reads it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "modelmirror/decide.h"

/* The value of a metric without labels; -1 when there is none, or none that makes sense. */
static int64_t metric(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) != 0 || line[len] != ' ')
            continue;
        double value = strtod(line + len, NULL);
        return isfinite(value) && value >= 0 && value < 1e15 ? (int64_t)value : -1;
    }
    return -1;
}

void mirror_read_download(const char *metrics, struct mirror_download *ret)
{
    ret->bytes_per_second = metric(metrics, "model_mirror_download_speed_bytes_per_second");
    ret->remaining_seconds = metric(metrics, "model_mirror_download_remaining_seconds");
}
