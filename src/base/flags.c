/* Two passes over the same arguments: the first only checks, so that help shows the true defaults
 * and a mistake leaves every target as it was; the second stores. */
#include "base/flags.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define HELP_WIDTH 100
#define HELP_MAX (256 * KIB)

struct parse {
    const struct flag_set *set;
    int argc;
    char **argv;
    int next;
    bool store;
    char **operands;
    size_t n_operands;
    struct error **err;
};

/* ---- values ------------------------------------------------------------------------------------------------------- */

static int parse_bool(const char *s, bool *ret)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        bool is_yes = strcmp(s, yes[i]) == 0;
        if (is_yes || strcmp(s, no[i]) == 0) {
            *ret = is_yes;
            return 0;
        }
    }
    return -ERROR_INVALID;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 10;
    return 99;
}

/* Go's integer literals: 0x, 0o, 0b, a leading 0 for octal, and underscores between digits. */
static int parse_int(const char *s, int64_t *ret)
{
    bool negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    int base = 10;
    bool after_digit = false; /* an underscore may stand here */
    if (s[0] == '0' && s[1] != '\0') {
        char c = s[1];
        base = c == 'x' || c == 'X' ? 16 : c == 'b' || c == 'B' ? 2 : 8;
        s += base != 8 || c == 'o' || c == 'O' ? 2 : 1;
        after_digit = true;
        if (*s == '\0')
            return -ERROR_INVALID;
    }
    uint64_t value = 0;
    for (; *s; s++) {
        if (*s == '_') {
            if (!after_digit)
                return -ERROR_INVALID;
            after_digit = false;
            continue;
        }
        int digit = digit_value(*s);
        if (digit >= base || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return -ERROR_INVALID;
        after_digit = true;
    }
    if (!after_digit || value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return -ERROR_INVALID;
    *ret = (int64_t)(negative ? 0 - value : value);
    return 0;
}

static void add_string(struct flag_strings *list, const char *s)
{
    list->items = mem_array(list->items, list->count + 1, sizeof *list->items);
    list->items[list->count++] = s;
}

static const char *const kind_words[] = {
    [FLAG_STRING] = "a string",
    [FLAG_BOOL] = "true or false",
    [FLAG_INT] = "an integer",
    [FLAG_DOUBLE] = "a number",
    [FLAG_DURATION] = "a duration such as 30s or 1h15m",
    [FLAG_STRINGS] = "a string",
};

static int set_value(const struct parse *p, const struct flag *f, const char *spelled,
                     const char *value)
{
    bool b = false;
    int64_t n = 0;
    double d = 0;
    int r = 0;
    switch (f->kind) {
    case FLAG_STRING:
    case FLAG_STRINGS:
        break;
    case FLAG_BOOL:
        r = parse_bool(value, &b);
        break;
    case FLAG_INT:
        r = *value ? parse_int(value, &n) : -ERROR_INVALID;
        break;
    case FLAG_DOUBLE:
        r = str_to_double(value, &d);
        break;
    case FLAG_DURATION:
        r = str_to_duration_ns(value, &n);
        break;
    }
    if (r < 0)
        return error_set(p->err, ERROR_INVALID, "invalid value \"%s\" for %s: expected %s", value,
                         spelled, kind_words[f->kind]);
    if (!p->store)
        return 0;
    switch (f->kind) {
    case FLAG_STRING:
        *(const char **)f->target = value;
        break;
    case FLAG_STRINGS:
        add_string(f->target, value);
        break;
    case FLAG_BOOL:
        *(bool *)f->target = b;
        break;
    case FLAG_INT:
    case FLAG_DURATION:
        *(int64_t *)f->target = n;
        break;
    case FLAG_DOUBLE:
        *(double *)f->target = d;
        break;
    }
    return 0;
}

/* ---- arguments ---------------------------------------------------------------------------------------------------- */

static const struct flag *find_flag(const struct flag_set *set, const char *name, size_t len)
{
    for (const struct flag *f = set->flags; f && f->name; f++) {
        if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
            return f;
        if (len == 1 && f->short_name == name[0])
            return f;
    }
    return NULL;
}

static int unknown_flag(const struct parse *p, const char *name, size_t len)
{
    AUTO_FREE char *given = mem_strndup(name, len);
    size_t count = 0;
    for (const struct flag *f = p->set->flags; f && f->name; f++)
        count++;
    AUTO_FREE const char **names = mem_array(NULL, count, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = p->set->flags[i].name;
    const char *near;
    if (len > 1 && str_nearest(given, names, count, &near, 1) == 1)
        return error_set(p->err, ERROR_INVALID,
                         "unknown flag --%s; did you mean --%s? (--help lists all)", given, near);
    return error_set(p->err, ERROR_INVALID, "unknown flag %s%s (--help lists all)",
                     len == 1 ? "-" : "--", given);
}

static int parse_flag(struct parse *p, const char *arg)
{
    const char *name = arg + (arg[1] == '-' ? 2 : 1);
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    if (len == 0 || name[0] == '-')
        return error_set(p->err, ERROR_INVALID, "bad flag syntax: %s", arg);

    const struct flag *f = find_flag(p->set, name, len);
    if (!f) {
        bool help = (len == 4 && memcmp(name, "help", 4) == 0) || (len == 1 && name[0] == 'h');
        if (!help)
            return unknown_flag(p, name, len);
        flags_print_help(p->set, STDOUT_FILENO);
        return error_set(p->err, ERROR_CANCELLED, "help was printed");
    }
    AUTO_FREE char *spelled = mem_strndup(arg, (size_t)(name - arg) + len);
    if (!value && f->kind == FLAG_BOOL)
        value = "true";
    if (!value) {
        if (p->next >= p->argc)
            return error_set(p->err, ERROR_INVALID, "%s needs a value: %s", spelled,
                             kind_words[f->kind]);
        value = p->argv[p->next++];
    }
    return set_value(p, f, spelled, value);
}

static int parse_all(struct parse *p)
{
    bool only_operands = false;
    while (p->next < p->argc) {
        char *arg = p->argv[p->next++];
        bool operand = only_operands || arg[0] != '-' || arg[1] == '\0';
        if (operand) {
            if (p->store)
                p->operands[p->n_operands++] = arg;
            if (!p->set->interspersed)
                only_operands = true;
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            only_operands = true;
            continue;
        }
        int r = parse_flag(p, arg);
        if (r < 0)
            return r;
    }
    return 0;
}

int flags_parse(const struct flag_set *set, int argc, char **argv, char ***ret_operands,
                size_t *ret_n, struct error **err)
{
    struct parse check = { .set = set, .argc = argc, .argv = argv, .next = 1, .err = err };
    int r = parse_all(&check);
    if (r < 0)
        return r;
    struct parse store = {
        .set = set, .argc = argc, .argv = argv, .next = 1, .store = true, .err = err
    };
    store.operands = mem_array(NULL, (size_t)MAX(argc, 0) + 1, sizeof *store.operands);
    r = parse_all(&store);
    if (r < 0) {
        free(store.operands);
        return r;
    }
    store.operands[store.n_operands] = NULL;
    if (ret_n)
        *ret_n = store.n_operands;
    if (ret_operands)
        *ret_operands = store.operands;
    else
        free(store.operands);
    return 0;
}

/* ---- help --------------------------------------------------------------------------------------------------------- */

static void put_duration(struct buf *b, int64_t ns)
{
    static const struct {
        int64_t ns;
        const char *name;
    } units[] = { { 3600 * NS_PER_S, "h" }, { 60 * NS_PER_S, "m" }, { NS_PER_S, "s" },
                  { NS_PER_MS, "ms" },      { 1000, "us" },         { 1, "ns" } };
    if (ns < 0)
        buf_putc(b, '-');
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        uint64_t n = left / (uint64_t)units[i].ns;
        left %= (uint64_t)units[i].ns;
        if (n > 0)
            buf_printf(b, "%llu%s", (unsigned long long)n, units[i].name);
    }
}

/* " (default …)", nothing for a zero value. */
static void put_default(struct buf *b, const struct flag *f)
{
    switch (f->kind) {
    case FLAG_STRING:
        if (!str_empty(*(const char **)f->target))
            buf_printf(b, " (default \"%s\")", *(const char **)f->target);
        break;
    case FLAG_BOOL:
        if (*(bool *)f->target)
            buf_puts(b, " (default true)");
        break;
    case FLAG_INT:
        if (*(int64_t *)f->target != 0)
            buf_printf(b, " (default %lld)", (long long)*(int64_t *)f->target);
        break;
    case FLAG_DOUBLE:
        if (*(double *)f->target > 0 || *(double *)f->target < 0)
            buf_printf(b, " (default %g)", *(double *)f->target);
        break;
    case FLAG_DURATION:
        if (*(int64_t *)f->target != 0) {
            buf_puts(b, " (default ");
            put_duration(b, *(int64_t *)f->target);
            buf_putc(b, ')');
        }
        break;
    case FLAG_STRINGS:
        break;
    }
}

static void put_left_column(struct buf *b, const struct flag *f)
{
    if (f->short_name && strlen(f->name) > 1)
        buf_printf(b, "  -%c, --%s", f->short_name, f->name);
    else
        buf_printf(b, "  %s%s", strlen(f->name) == 1 ? "-" : "    --", f->name);
    if (f->kind != FLAG_BOOL)
        buf_printf(b, " %s", f->value ? f->value : "VALUE");
}

/* Words of `text` wrapped into the column that begins at `indent`. */
static void put_wrapped(struct buf *b, const char *text, size_t indent)
{
    size_t column = indent;
    for (const char *word = text; *word;) {
        size_t len = strcspn(word, " ");
        if (column > indent && column + 1 + len > HELP_WIDTH) {
            buf_printf(b, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            buf_putc(b, ' ');
            column++;
        }
        buf_append(b, word, len);
        column += len;
        word += len + strspn(word + len, " ");
    }
    buf_putc(b, '\n');
}

void flags_print_help(const struct flag_set *set, int fd)
{
    AUTO_BUF out = BUF_INIT(HELP_MAX);
    AUTO_BUF cell = BUF_INIT(HELP_MAX);
    if (set->summary) {
        put_wrapped(&out, set->summary, 0);
        buf_putc(&out, '\n');
    }
    if (set->usage)
        buf_printf(&out, "Usage: %s\n", set->usage);

    size_t width = 0;
    for (const struct flag *f = set->flags; f && f->name; f++) {
        buf_clear(&cell);
        put_left_column(&cell, f);
        width = MAX(width, cell.len);
    }
    width = MIN(width, (size_t)38) + 2;
    if (set->flags && set->flags->name)
        buf_puts(&out, "\nFlags:\n");
    for (const struct flag *f = set->flags; f && f->name; f++) {
        buf_clear(&cell);
        put_left_column(&cell, f);
        buf_append(&out, cell.data, cell.len);
        if (cell.len + 2 > width)
            buf_printf(&out, "\n%*s", (int)width, "");
        else
            buf_printf(&out, "%*s", (int)(width - cell.len), "");
        buf_clear(&cell);
        buf_puts(&cell, f->help ? f->help : "");
        put_default(&cell, f);
        put_wrapped(&out, buf_str(&cell), width);
    }
    const char *p = buf_str(&out);
    for (size_t left = out.len; left > 0;) {
        ssize_t n = write(fd, p, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        p += n;
        left -= (size_t)n;
    }
}
