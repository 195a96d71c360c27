/* JSON Pointer (RFC 6901). */
#include "json/json.h"

#include <string.h>

#include "base/mem.h"
#include "json/pointer.h"
#include "json/value.h"

#define POINTER_MAX (64 * KIB)

bool pointer_take_token(const char **at, char *token, size_t *ret_len)
{
    char *out = token;
    const char *p = *at;
    for (; *p && *p != '/'; p++) {
        char c = *p;
        if (c == '~') {
            p++;
            if (*p != '0' && *p != '1')
                return false;
            c = *p == '0' ? '~' : '/';
        }
        *out++ = c;
    }
    *out = '\0';
    *ret_len = (size_t)(out - token);
    *at = p;
    return true;
}

bool pointer_index(const char *token, size_t len, size_t *ret)
{
    if (len == 0 || len > 9 || (token[0] == '0' && len > 1))
        return false;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (token[i] < '0' || token[i] > '9')
            return false;
        n = n * 10 + (size_t)(token[i] - '0');
    }
    *ret = n;
    return true;
}

static struct json *step(const struct json *v, const char *token, size_t len)
{
    size_t index;
    if (json_is_array(v))
        return pointer_index(token, len, &index) ? json_at(v, index) : NULL;
    return json_get_n(v, token, len);
}

struct json *json_pointer(const struct json *v, const char *pointer)
{
    if (!v || !pointer || (*pointer != '\0' && *pointer != '/'))
        return NULL;
    size_t size = strlen(pointer) + 1;
    if (size > POINTER_MAX)
        return NULL;
    char small[256];
    AUTO_FREE char *large = size > sizeof small ? mem_alloc(size) : NULL;
    char *token = large ? large : small;
    while (v && *pointer == '/') {
        size_t len;
        pointer++;
        if (!pointer_take_token(&pointer, token, &len))
            return NULL;
        v = step(v, token, len);
    }
    return json_of(val(v));
}
