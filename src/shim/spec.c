#include "shim/shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define DEFAULT_GRACE_MS 30000

int shim_spec_parse(char *data, size_t len, struct shim_spec *ret, struct error **err)
{
    if (len == 0 || data[len - 1] != '\0')
        return error_set(err, ERROR_INVALID, "the spec does not end with a complete record");
    size_t records = 0;
    for (size_t i = 0; i < len; i++)
        records += data[i] == '\0';
    struct shim_spec s = { .grace_ms = DEFAULT_GRACE_MS };
    size_t argc = 0;
    size_t envc = 0;
    s.argv = mem_array(NULL, records + 1, sizeof(*s.argv));
    s.env = mem_array(NULL, records + 1, sizeof(*s.env));
    int r = 0;
    for (char *at = data; r == 0 && at < data + len; at += strlen(at) + 1) {
        switch (at[0]) {
        case 'p':
            s.path = at + 1;
            break;
        case 'a':
            s.argv[argc++] = at + 1;
            break;
        case 'e':
            s.env[envc++] = at + 1;
            break;
        case 'c':
            s.cwd = at + 1;
            break;
        case 'g':
            if (str_to_int64(at + 1, &s.grace_ms) < 0 || s.grace_ms < 0)
                r = error_set(err, ERROR_INVALID, "the grace \"%s\" is no number of milliseconds",
                              at + 1);
            break;
        default:
            r = error_set(err, ERROR_INVALID, "a record of an unknown kind in the spec");
        }
    }
    s.argv[argc] = NULL;
    s.env[envc] = NULL;
    if (r == 0 && (!s.path || argc == 0))
        r = error_set(err, ERROR_INVALID, "the spec names no program");
    if (r < 0) {
        shim_spec_done(&s);
        return r;
    }
    s.data = data;
    *ret = s;
    return 0;
}

int shim_spec_read(int fd, struct shim_spec *ret, struct error **err)
{
    AUTO_BUF b = BUF_INIT(SHIM_SPEC_MAX);
    char chunk[4096];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "cannot read the spec from standard input");
        if (n == 0)
            break;
        buf_append(&b, chunk, (size_t)n);
    }
    if (!buf_ok(&b))
        return error_set(err, ERROR_TOO_LARGE, "arguments and environment take more than %zu bytes",
                         SHIM_SPEC_MAX);
    size_t len = b.len;
    char *data = buf_steal(&b);
    int r = shim_spec_parse(data, len, ret, err);
    if (r < 0)
        free(data);
    return r;
}

void shim_spec_done(struct shim_spec *s)
{
    free(s->argv);
    free(s->env);
    free(s->data);
    *s = (struct shim_spec){ 0 };
}
