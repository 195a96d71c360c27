#include "schema/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define TEXT_MAX (64 * KIB)

void field_errors_add(struct field_errors *e, const char *type, const char *field, const char *fmt,
                      ...)
{
    if (e->count >= FIELD_ERRORS_MAX)
        return;
    if (e->count == e->cap) {
        size_t cap = e->cap ? e->cap * 2 : 8;
        struct field_error *grown = arena_alloc(e->arena, cap * sizeof *grown);
        if (e->count)
            memcpy(grown, e->items, e->count * sizeof *grown);
        e->items = grown;
        e->cap = cap;
    }
    va_list ap;
    va_start(ap, fmt);
    const char *message = arena_vprintf(e->arena, fmt, ap);
    va_end(ap);
    e->items[e->count++] = (struct field_error){ type, arena_strdup(e->arena, field), message };
}

/* ---- paths ----------------------------------------------------------------------------------- */

static void append_path(struct buf *out, const struct field_path *p)
{
    if (!p)
        return;
    append_path(out, p->up);
    if (p->name)
        buf_printf(out, "%s%s", out->len ? "." : "", p->name);
    else if (p->key)
        buf_printf(out, "[%s]", p->key);
    else
        buf_printf(out, "[%zu]", p->index);
}

char *field_path_text(struct arena *a, const struct field_path *p)
{
    if (!p)
        return arena_strdup(a, "<nil>");
    AUTO_BUF out = BUF_INIT(TEXT_MAX);
    append_path(&out, p);
    return arena_strdup(a, buf_str(&out));
}

/* ---- values ---------------------------------------------------------------------------------- */

static uint32_t decode_rune(const unsigned char *s, size_t n)
{
    if (n == 1)
        return s[0];
    uint32_t rune = s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        rune = rune << 6 | (s[i] & 0x3f);
    return rune;
}

static size_t rune_len(unsigned char c)
{
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* Control and format characters, spaces other than the plain one, and surrogates are escaped. */
static bool is_printable(uint32_t r)
{
    if (r < 0x20 || (r >= 0x7f && r <= 0xa0) || r == 0xad)
        return false;
    return !((r >= 0x2000 && r <= 0x200f) || (r >= 0x2028 && r <= 0x202f) ||
             (r >= 0x205f && r <= 0x206f) || r == 0x3000 || r == 0xfeff ||
             (r >= 0xe000 && r <= 0xf8ff) || r >= 0xe0000);
}

char *field_quote(struct arena *a, const char *s, size_t len)
{
    static const char plain[] = "abfnrtv", codes[] = "\a\b\f\n\r\t\v";
    AUTO_BUF out = BUF_INIT(16 * MIB);
    buf_putc(&out, '"');
    for (size_t i = 0; i < len;) {
        const unsigned char *p = (const unsigned char *)s + i;
        size_t n = MIN(rune_len(*p), len - i);
        uint32_t rune = decode_rune(p, n);
        const char *code = rune && rune < 0x80 ? strchr(codes, (int)rune) : NULL;
        if (rune == '"' || rune == '\\')
            buf_printf(&out, "\\%c", (char)rune);
        else if (code)
            buf_printf(&out, "\\%c", plain[code - codes]);
        else if (is_printable(rune))
            buf_append(&out, p, n);
        else if (rune < 0x80)
            buf_printf(&out, "\\x%02x", rune);
        else
            buf_printf(&out, rune < 0x10000 ? "\\u%04x" : "\\U%08x", rune);
        i += n;
    }
    buf_putc(&out, '"');
    return arena_strndup(a, buf_str(&out), out.len);
}

char *field_value_text(struct arena *a, const struct json *v)
{
    if (json_is_string(v))
        return field_quote(a, json_string(v), json_string_len(v));
    if (!json_is_object(v) && !json_is_array(v))
        return json_text(a, v);
    AUTO_BUF out = BUF_INIT(16 * MIB);
    json_write_canonical(v, &out);
    return arena_strndup(a, buf_str(&out), out.len);
}

/* ---- errors ---------------------------------------------------------------------------------- */

ATTR_PRINTF(6, 0)
static void add(struct field_errors *e, const char *type, const struct field_path *p,
                const char *head, const char *value, const char *detail, va_list ap)
{
    if (e->count >= FIELD_ERRORS_MAX)
        return;
    const char *text = arena_vprintf(e->arena, detail, ap);
    field_errors_add(e, type, field_path_text(e->arena, p), "%s%s%s%s%s", head, value ? ": " : "",
                     value ? value : "", *text ? ": " : "", text);
}

#define ADD(type, head, value)                                                                     \
    do {                                                                                           \
        va_list ap;                                                                                \
        va_start(ap, detail);                                                                      \
        add(e, (type), p, (head), (value), detail, ap);                                            \
        va_end(ap);                                                                                \
    } while (0)

void field_required(struct field_errors *e, const struct field_path *p, const char *detail, ...)
{
    ADD("FieldValueRequired", "Required value", NULL);
}

void field_forbidden(struct field_errors *e, const struct field_path *p, const char *detail, ...)
{
    ADD("FieldValueForbidden", "Forbidden", NULL);
}

void field_invalid(struct field_errors *e, const struct field_path *p, const struct json *value,
                   const char *detail, ...)
{
    ADD("FieldValueInvalid", "Invalid value", field_value_text(e->arena, value));
}

void field_invalid_str(struct field_errors *e, const struct field_path *p, const char *value,
                       const char *detail, ...)
{
    ADD("FieldValueInvalid", "Invalid value",
        field_quote(e->arena, value ? value : "", value ? strlen(value) : 0));
}

void field_invalid_raw(struct field_errors *e, const struct field_path *p, const char *value,
                       const char *detail, ...)
{
    ADD("FieldValueInvalid", "Invalid value", value);
}

void field_invalid_int(struct field_errors *e, const struct field_path *p, int64_t value,
                       const char *detail, ...)
{
    ADD("FieldValueInvalid", "Invalid value", arena_printf(e->arena, "%" PRId64, value));
}

void field_type_invalid(struct field_errors *e, const struct field_path *p, const char *value,
                        const char *detail, ...)
{
    ADD("FieldValueTypeInvalid", "Invalid value", value);
}

void field_duplicate(struct field_errors *e, const struct field_path *p, const struct json *value)
{
    field_errors_add(e, "FieldValueDuplicate", field_path_text(e->arena, p), "Duplicate value: %s",
                     field_value_text(e->arena, value));
}

void field_duplicate_str(struct field_errors *e, const struct field_path *p, const char *value)
{
    field_errors_add(e, "FieldValueDuplicate", field_path_text(e->arena, p), "Duplicate value: %s",
                     field_quote(e->arena, value ? value : "", value ? strlen(value) : 0));
}

void field_not_found_str(struct field_errors *e, const struct field_path *p, const char *value)
{
    field_errors_add(e, "FieldValueNotFound", field_path_text(e->arena, p), "Not found: %s",
                     field_quote(e->arena, value ? value : "", value ? strlen(value) : 0));
}

static void not_supported(struct field_errors *e, const struct field_path *p, const char *value,
                          const char *const *supported)
{
    AUTO_BUF list = BUF_INIT(TEXT_MAX);
    for (size_t i = 0; supported[i]; i++)
        buf_printf(&list, "%s%s", i ? ", " : ": supported values: ",
                   field_quote(e->arena, supported[i], strlen(supported[i])));
    field_errors_add(e, "FieldValueNotSupported", field_path_text(e->arena, p),
                     "Unsupported value: %s%s", value, buf_str(&list));
}

void field_not_supported(struct field_errors *e, const struct field_path *p,
                         const struct json *value, const char *const *supported)
{
    not_supported(e, p, field_value_text(e->arena, value), supported);
}

void field_not_supported_str(struct field_errors *e, const struct field_path *p, const char *value,
                             const char *const *supported)
{
    not_supported(e, p, field_quote(e->arena, value ? value : "", value ? strlen(value) : 0),
                  supported);
}

void field_too_long(struct field_errors *e, const struct field_path *p, int64_t max)
{
    if (max < 0)
        field_errors_add(e, "FieldValueTooLong", field_path_text(e->arena, p),
                         "Too long: value is too long");
    else
        field_errors_add(e, "FieldValueTooLong", field_path_text(e->arena, p),
                         "Too long: may not be more than %" PRId64 " byte%s", max,
                         max == 1 ? "" : "s");
}

void field_too_many(struct field_errors *e, const struct field_path *p, int64_t actual, int64_t max)
{
    field_errors_add(e, "FieldValueTooMany", field_path_text(e->arena, p),
                     "Too many: %" PRId64 ": must have at most %" PRId64 " item%s", actual, max,
                     max == 1 ? "" : "s");
}

void field_invalid_err(struct field_errors *e, const struct field_path *p, const char *value,
                       struct error *err)
{
    if (!err)
        return;
    field_invalid_str(e, p, value, "%s", error_message(err));
    error_free(err);
}
