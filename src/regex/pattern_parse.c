/* Parses a pattern by recursive descent. */
#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "regex/pattern_internal.h"

#define MAX_DEPTH 250 /* of groups */
#define MAX_REPEAT 1000
#define MAX_TEXT (64 * KIB)

struct flags {
    bool fold;       /* i */
    bool multi_line; /* m */
    bool dot_all;    /* s */
};

struct parser {
    struct arena *a;
    const char *text;
    const char *at;
    struct flags flags;
    int depth;
    bool quoted; /* between \Q and \E everything is plain */
    struct error *fault;
};

static struct node *node_new(struct parser *p, enum node_kind kind)
{
    struct node *n = arena_zalloc(p->a, sizeof *n);
    n->kind = kind;
    return n;
}

static struct node *fail(struct parser *p, const char *why, const char *from, size_t len)
{
    if (!p->fault)
        error_set(&p->fault, ERROR_INVALID, "error parsing regexp: %s: `%.*s`", why, (int)len,
                  from);
    return NULL;
}

/* Children in order: a sequence or a choice may be long, and must not be as deep. */
struct chain {
    struct node *parent;
    struct node *last;
};

static void chain_add(struct chain *c, struct node *n)
{
    if (c->last)
        c->last->next = n;
    else
        c->parent->first = n;
    c->last = n;
}

static struct node *node_class(struct parser *p, struct char_class *set)
{
    struct node *n = node_new(p, NODE_CLASS);
    char_class_finish(set);
    n->set = set;
    return n;
}

static struct node *node_assert(struct parser *p, enum assertion assertion)
{
    struct node *n = node_new(p, NODE_ASSERT);
    n->assertion = assertion;
    return n;
}

static struct node *literal(struct parser *p, uint32_t rune)
{
    struct char_class *set = char_class_new(p->a);
    char_class_add(p->a, set, rune, rune);
    if (p->flags.fold)
        char_class_fold(p->a, set);
    return node_class(p, set);
}

/* The text is valid UTF-8: JSON strings are. */
static uint32_t take_rune(const char **at)
{
    uint32_t rune;
    *at += char_decode(*at, strlen(*at), &rune);
    return rune;
}

/* ---- escapes --------------------------------------------------------------------------------- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* -1 at the end and for what is no digit, which is taken all the same: it belongs to the error. */
static int take_hex_digit(struct parser *p)
{
    if (!*p->at)
        return -1;
    uint32_t rune = take_rune(&p->at);
    return rune < 0x80 ? hex_value((char)rune) : -1;
}

/* Behind `\x`: two digits, or any number in braces. */
static bool take_hex(struct parser *p, uint32_t *ret)
{
    *ret = 0;
    if (*p->at != '{') {
        int high = take_hex_digit(p), low = take_hex_digit(p);
        if (high < 0 || low < 0)
            return false;
        *ret = (uint32_t)(high * 16 + low);
        return true;
    }
    const char *from = ++p->at;
    while (*p->at && *p->at != '}') {
        int digit = take_hex_digit(p);
        if (digit < 0)
            return false;
        *ret = *ret * 16 + (uint32_t)digit;
        if (*ret > 0x10ffff)
            return false;
    }
    if (!*p->at)
        return false;
    bool any = p->at++ > from;
    return any;
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* A single escaped character; the backslash is at `from`, p->at is behind it. */
static bool take_escape(struct parser *p, const char *from, uint32_t *ret)
{
    static const char letters[] = "aftnrv", codes[] = "\a\f\t\n\r\v";
    unsigned char c = (unsigned char)*p->at;
    if (!c) {
        fail(p, "trailing backslash at end of expression", "", 0);
        return false;
    }
    const char *letter = strchr(letters, c);
    if (letter) {
        p->at++;
        *ret = (uint32_t)codes[letter - letters];
        return true;
    }
    if (c == 'x') {
        p->at++;
        if (take_hex(p, ret))
            return true;
    } else if (is_octal((char)c) && (c == '0' || is_octal(p->at[1]))) {
        uint32_t rune = 0;
        for (int i = 0; i < 3 && is_octal(*p->at); i++)
            rune = rune * 8 + (uint32_t)(*p->at++ - '0');
        *ret = rune;
        return true;
    } else if (c < 0x80 && !isalnum(c)) {
        *ret = take_rune(&p->at);
        return true;
    } else {
        take_rune(&p->at);
    }
    fail(p, "invalid escape sequence", from, (size_t)(p->at - from));
    return false;
}

/* Case is folded in what is named, before it is turned into its opposite. */
static void merge_folded(struct parser *p, struct char_class *set, struct char_class *named,
                         bool negated)
{
    if (p->flags.fold)
        char_class_fold(p->a, named);
    if (negated)
        char_class_negate(p->a, named);
    char_class_merge(p->a, set, named);
}

/* \d \s \w and their opposites, \p{Name} and \pL. p->at is behind the backslash. */
static bool take_class_escape(struct parser *p, struct char_class *set)
{
    char c = *p->at;
    if (c && strchr("dDsSwW", c)) {
        struct char_class *perl = char_class_perl(p->a, (char)tolower((unsigned char)c));
        merge_folded(p, set, perl, isupper((unsigned char)c));
        p->at++;
        return true;
    }
    if (c != 'p' && c != 'P')
        return false;
    const char *from = p->at - 1, *name = p->at + 1;
    size_t len = 1;
    bool negated = c == 'P';
    if (*name == '{') {
        const char *end = strchr(++name, '}');
        if (!end) {
            fail(p, "invalid character class range", from, strlen(from));
            return true;
        }
        len = (size_t)(end - name);
        p->at = end + 1;
        if (*name == '^') {
            negated = !negated;
            name++;
            len--;
        }
    } else {
        p->at = *name ? name + 1 : name;
        len = *name != '\0';
    }
    struct char_class *unicode = char_class_unicode(p->a, name, len);
    if (!unicode) {
        fail(p, "invalid character class range", from, (size_t)(p->at - from));
        return true;
    }
    merge_folded(p, set, unicode, negated);
    return true;
}

/* ---- classes in brackets --------------------------------------------------------------------- */

/* [:alpha:] and the like; false when there is none here. */
static bool take_posix(struct parser *p, struct char_class *set)
{
    const char *name = p->at + 2, *end = strstr(name, ":]");
    if (!end)
        return false;
    bool negated = *name == '^';
    if (negated)
        name++;
    struct char_class *posix = char_class_posix(p->a, name, (size_t)(end - name));
    if (!posix) {
        fail(p, "invalid character class range", p->at, (size_t)(end + 2 - p->at));
        return true;
    }
    merge_folded(p, set, posix, negated);
    p->at = end + 2;
    return true;
}

static bool take_bracket_char(struct parser *p, const char *open, uint32_t *ret)
{
    if (!*p->at) {
        fail(p, "missing closing ]", open, strlen(open));
        return false;
    }
    if (*p->at != '\\') {
        *ret = take_rune(&p->at);
        return true;
    }
    const char *from = p->at++;
    return take_escape(p, from, ret);
}

static bool take_range(struct parser *p, const char *open, struct char_class *set)
{
    const char *from = p->at;
    uint32_t low, high;
    if (!take_bracket_char(p, open, &low))
        return false;
    high = low;
    if (p->at[0] == '-' && p->at[1] && p->at[1] != ']') {
        p->at++;
        if (!take_bracket_char(p, open, &high))
            return false;
        if (high < low) {
            fail(p, "invalid character class range", from, (size_t)(p->at - from));
            return false;
        }
    }
    struct char_class *range = char_class_new(p->a);
    char_class_add(p->a, range, low, high);
    merge_folded(p, set, range, false);
    return true;
}

static struct node *parse_bracket(struct parser *p)
{
    const char *open = p->at++;
    bool negated = *p->at == '^';
    if (negated)
        p->at++;
    struct char_class *set = char_class_new(p->a);
    for (bool first = true; *p->at != ']' || first; first = false) {
        if (!*p->at)
            return fail(p, "missing closing ]", open, strlen(open));
        if (p->at[0] == '[' && p->at[1] == ':' && take_posix(p, set)) {
            if (p->fault)
                return NULL;
            continue;
        }
        if (p->at[0] == '\\') {
            p->at++;
            if (take_class_escape(p, set)) {
                if (p->fault)
                    return NULL;
                continue;
            }
            p->at--;
        }
        if (!take_range(p, open, set))
            return NULL;
    }
    if (p->fault)
        return NULL;
    p->at++;
    if (negated)
        char_class_negate(p->a, set);
    return node_class(p, set);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static struct node *parse_alternatives(struct parser *p);

/* Behind "(?": flags, a name, or neither. Sets *ret_group when a group follows, else the flags hold
 * from here on. */
static bool take_group_head(struct parser *p, const char *open, bool *ret_group)
{
    *ret_group = true;
    if (str_has_prefix(p->at, "P<") || *p->at == '<') {
        const char *name = p->at + (*p->at == 'P' ? 2 : 1), *end = strchr(name, '>');
        if (!end) {
            fail(p, "invalid named capture", open, strlen(open));
            return false;
        }
        bool good = end > name;
        for (const char *c = name; c < end; c++)
            good = good && (isalnum((unsigned char)*c) || *c == '_');
        p->at = end + 1;
        if (!good)
            fail(p, "invalid named capture", open, (size_t)(p->at - open));
        return good;
    }
    bool on = true, any = false;
    for (;; p->at++) {
        switch (*p->at) {
        case 'i':
            p->flags.fold = on;
            any = true;
            continue;
        case 'm':
            p->flags.multi_line = on;
            any = true;
            continue;
        case 's':
            p->flags.dot_all = on;
            any = true;
            continue;
        case 'U':
            any = true;
            continue;
        case '-':
            if (!on)
                break;
            on = any = false;
            continue;
        case ':':
        case ')':
            if (!on && !any)
                break;
            *ret_group = *p->at++ == ':';
            return true;
        default:
            break;
        }
        break;
    }
    if (*p->at)
        take_rune(&p->at);
    fail(p, "invalid or unsupported Perl syntax", open, (size_t)(p->at - open));
    return false;
}

static struct node *parse_group(struct parser *p)
{
    const char *open = p->at++;
    struct flags outer = p->flags;
    if (++p->depth > MAX_DEPTH)
        return fail(p, "expression nests too deeply", p->text, strlen(p->text));
    bool group = true;
    if (*p->at == '?') {
        p->at++;
        if (!take_group_head(p, open, &group))
            return NULL;
        if (!group) {
            p->depth--;
            return NULL;
        }
    }
    struct node *inside = parse_alternatives(p);
    if (!inside)
        return NULL;
    if (*p->at != ')')
        return fail(p, "missing closing )", p->text, strlen(p->text));
    p->at++;
    p->depth--;
    p->flags = outer;
    return inside;
}

/* ---- atoms and operators --------------------------------------------------------------------- */

static struct node *parse_dot(struct parser *p)
{
    struct char_class *set = char_class_new(p->a);
    char_class_add(p->a, set, 0, 0x10ffff);
    if (!p->flags.dot_all) {
        set = char_class_new(p->a);
        char_class_add(p->a, set, '\n', '\n');
        char_class_negate(p->a, set);
    }
    p->at++;
    return node_class(p, set);
}

static struct node *parse_backslash(struct parser *p)
{
    const char *from = p->at++;
    static const struct {
        char letter;
        enum assertion assertion;
    } assertions[] = {
        { 'A', BEGIN_TEXT }, { 'z', END_TEXT }, { 'b', WORD_BOUNDARY }, { 'B', NO_WORD_BOUNDARY }
    };
    for (size_t i = 0; i < COUNT_OF(assertions); i++) {
        if (*p->at == assertions[i].letter) {
            p->at++;
            return node_assert(p, assertions[i].assertion);
        }
    }
    if (*p->at == 'Q') {
        p->at++;
        p->quoted = true;
        return NULL;
    }
    struct char_class *set = char_class_new(p->a);
    if (take_class_escape(p, set)) {
        if (p->fault)
            return NULL;
        return node_class(p, set);
    }
    uint32_t rune;
    return take_escape(p, from, &rune) ? literal(p, rune) : NULL;
}

/* NULL without a fault: what stands there is no atom, but changes how the next ones are read. */
static struct node *parse_atom(struct parser *p)
{
    if (p->quoted) {
        if (!str_has_prefix(p->at, "\\E"))
            return literal(p, take_rune(&p->at));
        p->at += 2;
        p->quoted = false;
        return NULL;
    }
    switch (*p->at) {
    case '(':
        return parse_group(p);
    case '[':
        return parse_bracket(p);
    case '.':
        return parse_dot(p);
    case '^':
        p->at++;
        return node_assert(p, p->flags.multi_line ? BEGIN_LINE : BEGIN_TEXT);
    case '$':
        p->at++;
        return node_assert(p, p->flags.multi_line ? END_LINE : END_TEXT);
    case '\\':
        return parse_backslash(p);
    default:
        return literal(p, take_rune(&p->at));
    }
}

static bool take_number(const char **at, int *ret)
{
    if (!isdigit((unsigned char)**at) || (**at == '0' && isdigit((unsigned char)(*at)[1])))
        return false;
    int n = 0;
    for (; isdigit((unsigned char)**at); (*at)++)
        n = MIN(n * 10 + (**at - '0'), MAX_REPEAT + 1);
    *ret = n;
    return true;
}

/* {n}, {n,}, {n,m}; anything else in braces is plain text. */
static bool take_braces(struct parser *p, int *ret_min, int *ret_max)
{
    const char *at = p->at + 1;
    if (!take_number(&at, ret_min))
        return false;
    *ret_max = *ret_min;
    if (*at == ',') {
        at++;
        *ret_max = -1;
        if (*at != '}' && !take_number(&at, ret_max))
            return false;
    }
    if (*at != '}')
        return false;
    p->at = at + 1;
    return true;
}

static bool take_operator(struct parser *p, int *ret_min, int *ret_max)
{
    if (p->quoted)
        return false;
    switch (*p->at) {
    case '*':
        *ret_min = 0;
        *ret_max = -1;
        break;
    case '+':
        *ret_min = 1;
        *ret_max = -1;
        break;
    case '?':
        *ret_min = 0;
        *ret_max = 1;
        break;
    case '{':
        return take_braces(p, ret_min, ret_max);
    default:
        return false;
    }
    p->at++;
    return true;
}

/* How often counted repeats multiply; more than MAX_REPEAT would blow the program up. */
static int repeat_size(const struct node *n)
{
    int own = n->kind == NODE_REPEAT ? MAX(n->max, n->min) : 1, inner = 1;
    if (n->kind == NODE_REPEAT && n->max == 0)
        return 1;
    for (const struct node *child = n->first; child; child = child->next)
        inner = MAX(inner, repeat_size(child));
    return own > 1 ? MIN(inner * own, 1000000) : inner;
}

/* An operator was taken that began at `from`; the one right before it began at `last`. */
static bool apply_operator(struct parser *p, struct chain *all, const char *from, const char *last,
                           int min, int max)
{
    const char *end = p->at;
    const bool counted = *from == '{';
    if (min > MAX_REPEAT || max > MAX_REPEAT || (max >= 0 && max < min)) {
        fail(p, "invalid repeat count", from, (size_t)(end - from));
        return false;
    }
    bool lazy = *p->at == '?';
    if (lazy)
        end = ++p->at;
    if (last) {
        fail(p, "invalid nested repetition operator", last, (size_t)(end - last));
        return false;
    }
    struct node *n = all->last;
    if (!n) {
        fail(p, "missing argument to repetition operator", from, (size_t)(end - from));
        return false;
    }
    struct node *inside = node_new(p, n->kind);
    *inside = *n;
    inside->next = NULL;
    *n = (struct node){
        .kind = NODE_REPEAT, .first = inside, .min = min, .max = max, .lazy = lazy
    };
    if (counted && repeat_size(n) > MAX_REPEAT) {
        fail(p, "invalid repeat count", from, (size_t)(end - from));
        return false;
    }
    return true;
}

static struct node *parse_sequence(struct parser *p)
{
    struct chain all = { node_new(p, NODE_CAT), NULL };
    const char *last = NULL; /* the operator that ends where we are */
    while (*p->at && (p->quoted || (*p->at != '|' && *p->at != ')'))) {
        const char *from = p->at;
        int min, max;
        if (take_operator(p, &min, &max)) {
            if (!apply_operator(p, &all, from, last, min, max))
                return NULL;
            last = from;
            continue;
        }
        last = NULL;
        struct node *n = parse_atom(p);
        if (n)
            chain_add(&all, n);
        else if (p->fault)
            return NULL;
    }
    return all.parent;
}

static struct node *parse_alternatives(struct parser *p)
{
    struct chain all = { node_new(p, NODE_ALT), NULL };
    for (;;) {
        struct node *n = parse_sequence(p);
        if (!n)
            return NULL;
        chain_add(&all, n);
        if (*p->at != '|')
            return all.parent;
        p->at++;
    }
}

int pattern_parse(struct arena *a, const char *text, struct node **ret, struct error **err)
{
    struct parser p = { .a = a, .text = text, .at = text };
    if (strlen(text) > MAX_TEXT)
        return error_set(err, ERROR_INVALID, "error parsing regexp: expression too large");
    struct node *root = parse_alternatives(&p);
    if (root && *p.at == ')')
        root = fail(&p, "unexpected )", p.text, strlen(p.text));
    if (root) {
        *ret = root;
        return 0;
    }
    int r = error_set(err, error_code(p.fault), "%s", error_message(p.fault));
    error_free(p.fault);
    return r;
}
