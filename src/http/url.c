/* Percent-encoding (RFC 3986, section 2.1) and the names of the status codes. */
#include <microhttpd.h>

#include "http/server.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int http_url_decode(const char *s, size_t len, bool plus, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == '%') {
            if (len - i < 3)
                return -ERROR_INVALID;
            int high = hex_value(s[i + 1]);
            int low = hex_value(s[i + 2]);
            if (high < 0 || low < 0)
                return -ERROR_INVALID;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        /* A NUL would end the string early, and what a check saw would not be what a file system
         * sees. */
        if (c == '\0')
            return -ERROR_INVALID;
        out[n++] = c;
    }
    out[n] = '\0';
    return 0;
}

const char *http_status_text(int status)
{
    return status < 100 ? "Unknown" : MHD_get_reason_phrase_for((unsigned)status);
}
