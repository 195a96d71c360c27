/* Operators, conversions, and the functions of lists; those of strings are in strings.c. */
#include "cel/functions.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/str.h"

#define NO_OVERLOAD "no such overload"

const struct json *cel_fault(struct cel_call *c, const char *fmt, ...)
{
    if (c->fault)
        return NULL;
    AUTO_BUF out = BUF_INIT(KIB);
    va_list args;
    va_start(args, fmt);
    buf_vprintf(&out, fmt, args);
    va_end(args);
    c->fault = arena_strdup(c->a, buf_str(&out));
    return NULL;
}

bool cel_spend(struct cel_call *c, size_t steps)
{
    *c->steps -= steps > 1000000 ? 1000000 : (long)steps;
    if (*c->steps > 0)
        return true;
    cel_fault(c, "operation cancelled: actual cost limit exceeded");
    return false;
}

static bool both(const struct cel_call *c, bool (*is)(const struct json *v))
{
    return is(c->args[0]) && is(c->args[1]);
}

static bool is_int(const struct json *v)
{
    return json_type(v) == JSON_INT;
}

static bool is_double(const struct json *v)
{
    return json_type(v) == JSON_DOUBLE;
}

/* ---- comparison ------------------------------------------------------------------------------------------------- */

bool cel_equal(const struct json *x, const struct json *y)
{
    if (!x || !y)
        return json_is_null(x) && json_is_null(y);
    return json_equal(x, y);
}

static const struct json *equal(struct cel_call *c)
{
    return json_new_bool(c->a, cel_equal(c->args[0], c->args[1]));
}

static const struct json *unequal(struct cel_call *c)
{
    return json_new_bool(c->a, !cel_equal(c->args[0], c->args[1]));
}

/* -1, 0, 1; 2: not a number; -2, with the fault: nothing that has an order. */
static int order(struct cel_call *c, const struct json *x, const struct json *y)
{
    if (json_is_string(x) && json_is_string(y)) {
        size_t n = MIN(json_string_len(x), json_string_len(y));
        int d = memcmp(json_string(x), json_string(y), n);
        if (d == 0)
            d = (json_string_len(x) > n) - (json_string_len(y) > n);
        return d < 0 ? -1 : d > 0;
    }
    if (is_int(x) && is_int(y)) {
        int64_t a = json_int(x, 0), b = json_int(y, 0);
        return a < b ? -1 : a > b;
    }
    if (json_is_number(x) && json_is_number(y)) {
        double a = json_double(x, 0), b = json_double(y, 0);
        return isnan(a) || isnan(b) ? 2 : a < b ? -1 : a > b;
    }
    if (json_is_bool(x) && json_is_bool(y))
        return json_bool(x, false) - json_bool(y, false);
    cel_fault(c, NO_OVERLOAD);
    return -2;
}

static const struct json *less(struct cel_call *c)
{
    return json_new_bool(c->a, order(c, c->args[0], c->args[1]) == -1);
}

static const struct json *less_or_equal(struct cel_call *c)
{
    int d = order(c, c->args[0], c->args[1]);
    return json_new_bool(c->a, d == -1 || d == 0);
}

static const struct json *greater(struct cel_call *c)
{
    return json_new_bool(c->a, order(c, c->args[0], c->args[1]) == 1);
}

static const struct json *greater_or_equal(struct cel_call *c)
{
    int d = order(c, c->args[0], c->args[1]);
    return json_new_bool(c->a, d == 1 || d == 0);
}

static const struct json *contained(struct cel_call *c)
{
    const struct json *in = c->args[1];
    if (json_is_object(in)) {
        const char *key = json_string(c->args[0]);
        return key ? json_new_bool(c->a, json_get_n(in, key, json_string_len(c->args[0])))
                   : cel_fault(c, NO_OVERLOAD);
    }
    if (!json_is_array(in))
        return cel_fault(c, NO_OVERLOAD);
    if (!cel_spend(c, json_size(in)))
        return NULL;
    JSON_FOREACH(it, in)
        if (cel_equal(it.value, c->args[0]))
            return json_new_bool(c->a, true);
    return json_new_bool(c->a, false);
}

/* ---- arithmetic ------------------------------------------------------------------------------------------------- */

static const struct json *joined_lists(struct cel_call *c)
{
    if (!cel_spend(c, json_size(c->args[0]) + json_size(c->args[1])))
        return NULL;
    struct json *list = json_clone(c->a, c->args[0]);
    JSON_FOREACH(it, c->args[1])
        json_append(list, json_clone(c->a, it.value));
    return list;
}

static const struct json *joined_strings(struct cel_call *c)
{
    size_t x = json_string_len(c->args[0]), y = json_string_len(c->args[1]);
    if (!cel_spend(c, (x + y) / 10))
        return NULL;
    char *out = arena_alloc(c->a, x + y + 1);
    memcpy(out, json_string(c->args[0]), x);
    memcpy(out + x, json_string(c->args[1]), y + 1);
    return json_new_string_n(c->a, out, x + y);
}

static const struct json *whole(struct cel_call *c, bool overflow, int64_t n)
{
    return overflow ? cel_fault(c, "integer overflow") : json_new_int(c->a, n);
}

static const struct json *add(struct cel_call *c)
{
    int64_t n = 0;
    if (both(c, json_is_string))
        return joined_strings(c);
    if (both(c, json_is_array))
        return joined_lists(c);
    if (both(c, is_int)) {
        bool over = __builtin_add_overflow(json_int(c->args[0], 0), json_int(c->args[1], 0), &n);
        return whole(c, over, n);
    }
    if (!both(c, is_double))
        return cel_fault(c, NO_OVERLOAD);
    return json_new_double(c->a, json_double(c->args[0], 0) + json_double(c->args[1], 0));
}

static const struct json *subtract(struct cel_call *c)
{
    int64_t n = 0;
    if (both(c, is_int)) {
        bool over = __builtin_sub_overflow(json_int(c->args[0], 0), json_int(c->args[1], 0), &n);
        return whole(c, over, n);
    }
    if (!both(c, is_double))
        return cel_fault(c, NO_OVERLOAD);
    return json_new_double(c->a, json_double(c->args[0], 0) - json_double(c->args[1], 0));
}

static const struct json *multiply(struct cel_call *c)
{
    int64_t n = 0;
    if (both(c, is_int)) {
        bool over = __builtin_mul_overflow(json_int(c->args[0], 0), json_int(c->args[1], 0), &n);
        return whole(c, over, n);
    }
    if (!both(c, is_double))
        return cel_fault(c, NO_OVERLOAD);
    return json_new_double(c->a, json_double(c->args[0], 0) * json_double(c->args[1], 0));
}

static const struct json *divide(struct cel_call *c)
{
    if (both(c, is_int)) {
        int64_t x = json_int(c->args[0], 0), y = json_int(c->args[1], 0);
        if (y == 0)
            return cel_fault(c, "division by zero");
        return whole(c, x == INT64_MIN && y == -1, y == -1 ? -(uint64_t)x : (uint64_t)(x / y));
    }
    if (!both(c, is_double))
        return cel_fault(c, NO_OVERLOAD);
    return json_new_double(c->a, json_double(c->args[0], 0) / json_double(c->args[1], 0));
}

static const struct json *modulo(struct cel_call *c)
{
    if (!both(c, is_int))
        return cel_fault(c, NO_OVERLOAD);
    int64_t x = json_int(c->args[0], 0), y = json_int(c->args[1], 0);
    if (y == 0)
        return cel_fault(c, "modulus by zero");
    return whole(c, x == INT64_MIN && y == -1, y == -1 ? 0 : x % y);
}

static const struct json *negate(struct cel_call *c)
{
    if (is_int(c->args[0])) {
        int64_t x = json_int(c->args[0], 0);
        return whole(c, x == INT64_MIN, -(uint64_t)x);
    }
    return json_is_number(c->args[0]) ? json_new_double(c->a, -json_double(c->args[0], 0))
                                      : cel_fault(c, NO_OVERLOAD);
}

static const struct json *not_(struct cel_call *c)
{
    return json_is_bool(c->args[0]) ? json_new_bool(c->a, !json_bool(c->args[0], false))
                                    : cel_fault(c, NO_OVERLOAD);
}

/* ---- conversions ------------------------------------------------------------------------------------------------ */

static const struct json *to_int(struct cel_call *c)
{
    const struct json *v = c->args[0];
    int64_t n = 0;
    if (is_int(v))
        return v;
    if (json_is_number(v)) {
        double d = json_double(v, 0);
        return d > -9.2233720368547758e18 && d < 9.2233720368547758e18
                   ? json_new_int(c->a, (int64_t)d)
                   : cel_fault(c, "integer overflow");
    }
    if (!json_is_string(v))
        return cel_fault(c, NO_OVERLOAD);
    return str_to_int64(json_string(v), &n) == 0
               ? json_new_int(c->a, n)
               : cel_fault(c, "cannot convert \"%.100s\" to an int", json_string(v));
}

static const struct json *to_double(struct cel_call *c)
{
    const struct json *v = c->args[0];
    double d = 0;
    if (json_is_number(v))
        return json_new_double(c->a, json_double(v, 0));
    if (!json_is_string(v))
        return cel_fault(c, NO_OVERLOAD);
    return str_to_double(json_string(v), &d) == 0
               ? json_new_double(c->a, d)
               : cel_fault(c, "cannot convert \"%.100s\" to a double", json_string(v));
}

static const struct json *to_string(struct cel_call *c)
{
    const struct json *v = c->args[0];
    if (json_is_string(v))
        return v;
    return json_is_number(v) || json_is_bool(v) ? json_new_string(c->a, json_text(c->a, v))
                                                : cel_fault(c, NO_OVERLOAD);
}

static const struct json *to_bool(struct cel_call *c)
{
    static const char *const yes[] = { "1", "t", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "false", "FALSE", "False" };
    const struct json *v = c->args[0];
    if (json_is_bool(v))
        return v;
    for (size_t i = 0; json_is_string(v) && i < COUNT_OF(yes); i++)
        if (STREQ(json_string(v), yes[i]) || STREQ(json_string(v), no[i]))
            return json_new_bool(c->a, STREQ(json_string(v), yes[i]));
    return cel_fault(c, json_is_string(v) ? "type conversion error" : NO_OVERLOAD);
}

static const struct json *as_it_is(struct cel_call *c)
{
    return c->args[0] ? c->args[0] : json_new_null(c->a);
}

/* ---- size and lists --------------------------------------------------------------------------------------------- */

static const struct json *size(struct cel_call *c)
{
    const struct json *v = c->args[0];
    if (json_is_string(v)) {
        int64_t runes = 0;
        if (!cel_spend(c, json_string_len(v) / 10))
            return NULL;
        for (size_t i = 0; i < json_string_len(v); i++)
            runes += ((unsigned char)json_string(v)[i] & 0xc0) != 0x80;
        return json_new_int(c->a, runes);
    }
    return json_is_array(v) || json_is_object(v) ? json_new_int(c->a, (int64_t)json_size(v))
                                                 : cel_fault(c, NO_OVERLOAD);
}

static const struct json *is_sorted(struct cel_call *c)
{
    if (!json_is_array(c->args[0]) || !cel_spend(c, json_size(c->args[0])))
        return cel_fault(c, NO_OVERLOAD);
    const struct json *before = NULL;
    JSON_FOREACH(it, c->args[0]) {
        if (before && order(c, before, it.value) == 1)
            return json_new_bool(c->a, false);
        before = it.value;
    }
    return json_new_bool(c->a, true);
}

static const struct json *sum(struct cel_call *c)
{
    if (!json_is_array(c->args[0]) || !cel_spend(c, json_size(c->args[0])))
        return cel_fault(c, NO_OVERLOAD);
    const struct json *total = NULL;
    JSON_FOREACH(it, c->args[0]) {
        const struct json *sides[] = { total, it.value };
        struct cel_call step = { .a = c->a, .args = sides, .count = 2, .steps = c->steps };
        if (!json_is_number(it.value))
            return cel_fault(c, NO_OVERLOAD);
        total = total ? add(&step) : it.value;
        if (step.fault)
            return cel_fault(c, "%s", step.fault);
    }
    return total ? total : json_new_int(c->a, 0);
}

/* The least or the greatest, as `sign` says. */
static const struct json *extreme(struct cel_call *c, int sign)
{
    if (json_size(c->args[0]) == 0 || !json_is_array(c->args[0]) ||
        !cel_spend(c, json_size(c->args[0])))
        return cel_fault(c, "min and max need a list with elements");
    const struct json *best = NULL;
    JSON_FOREACH(it, c->args[0])
        if (!best || order(c, it.value, best) == sign)
            best = it.value;
    return best;
}

static const struct json *least(struct cel_call *c)
{
    return extreme(c, -1);
}

static const struct json *greatest(struct cel_call *c)
{
    return extreme(c, 1);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static const struct cel_function_row rows[] = {
    { "==", false, 2, 2, equal },
    { "!=", false, 2, 2, unequal },
    { "<", false, 2, 2, less },
    { "<=", false, 2, 2, less_or_equal },
    { ">", false, 2, 2, greater },
    { ">=", false, 2, 2, greater_or_equal },
    { "in", false, 2, 2, contained },
    { "+", false, 2, 2, add },
    { "-", false, 2, 2, subtract },
    { "*", false, 2, 2, multiply },
    { "/", false, 2, 2, divide },
    { "%", false, 2, 2, modulo },
    { "-_", false, 1, 1, negate },
    { "!_", false, 1, 1, not_ },
    { "int", false, 1, 1, to_int },
    { "uint", false, 1, 1, to_int },
    { "double", false, 1, 1, to_double },
    { "string", false, 1, 1, to_string },
    { "bool", false, 1, 1, to_bool },
    { "dyn", false, 1, 1, as_it_is },
    { "size", false, 1, 1, size },
    { "size", true, 0, 0, size },
    { "isSorted", true, 0, 0, is_sorted },
    { "sum", true, 0, 0, sum },
    { "min", true, 0, 0, least },
    { "max", true, 0, 0, greatest },
};

const struct cel_function_row *cel_function_find(const char *name, bool method)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].method == method && STREQ(rows[i].name, name))
            return &rows[i];
    return method ? cel_string_function_find(name) : NULL;
}
