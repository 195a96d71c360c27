/* Selector text → requirements. The grammar and the words of its errors are the API server's, so
 * that a client cannot tell who answered; the order in which things are checked follows from that.
 *
 *     selector    = [requirement *("," requirement)]
 *     requirement = ["!"] key
 *                 | key ("=" | "==" | "!=" | "<" | ">") [value]
 *                 | key ("in" | "notin") "(" [value] *("," [value]) ")"
 *
 * "in" and "notin" are operators only where an operator may stand. */
#include <stdlib.h>

#include "base/str.h"
#include "kube/selector_internal.h"

#define MAX_TEXT (256 * KIB)

enum token {
    TOKEN_END,
    TOKEN_CLOSE,
    TOKEN_OPEN,
    TOKEN_COMMA,
    TOKEN_NOT,
    TOKEN_EQUALS,
    TOKEN_DOUBLE_EQUALS,
    TOKEN_NOT_EQUALS,
    TOKEN_LESS,
    TOKEN_GREATER,
    TOKEN_WORD,
};

struct parser {
    struct selector *s;
    const char *at; /* behind the current token */
    enum token token;
    const char *text; /* the current token's, in the selector's arena */
};

/* ---- tokens ------------------------------------------------------------------------------------------------- */

#define SPACES " \t\r\n"
#define SYMBOLS "=!(),<>"

static enum token symbol(const char *p, size_t *ret_len)
{
    *ret_len = 1;
    switch (*p) {
    case '(':
        return TOKEN_OPEN;
    case ')':
        return TOKEN_CLOSE;
    case ',':
        return TOKEN_COMMA;
    case '<':
        return TOKEN_LESS;
    case '>':
        return TOKEN_GREATER;
    default:
        break;
    }
    bool equals_follows = p[1] == '=';
    *ret_len = equals_follows ? 2 : 1;
    if (*p == '!')
        return equals_follows ? TOKEN_NOT_EQUALS : TOKEN_NOT;
    return equals_follows ? TOKEN_DOUBLE_EQUALS : TOKEN_EQUALS;
}

static void advance(struct parser *p)
{
    const char *start = p->at + strspn(p->at, SPACES);
    size_t len = 0;
    if (!*start) {
        p->token = TOKEN_END;
    } else if (strchr(SYMBOLS, *start)) {
        p->token = symbol(start, &len);
    } else {
        p->token = TOKEN_WORD;
        len = strcspn(start, SPACES SYMBOLS);
    }
    p->text = arena_strndup(p->s->arena, start, len);
    p->at = start + len;
}

/* The current token, and on to the next. */
static enum token take(struct parser *p, const char **ret_text)
{
    enum token t = p->token;
    *ret_text = p->text;
    if (t != TOKEN_END)
        advance(p);
    return t;
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static void add_value(struct selector *s, struct requirement *r, const char *value)
{
    if ((r->count & (r->count - 1)) == 0) {
        const char **grown = arena_alloc(s->arena, (r->count ? r->count * 2 : 1) * sizeof(*grown));
        if (r->count > 0)
            memcpy(grown, r->values, r->count * sizeof(*grown));
        r->values = grown;
    }
    r->values[r->count++] = value;
}

static int parse_value_list(struct parser *p, struct requirement *r, struct error **err)
{
    for (;;) {
        const char *text;
        switch (take(p, &text)) {
        case TOKEN_WORD:
            add_value(p->s, r, text);
            if (p->token == TOKEN_CLOSE)
                return 0;
            if (p->token != TOKEN_COMMA)
                return error_set(err, ERROR_INVALID, "found '%s', expected: ',' or ')'", p->text);
            break;
        case TOKEN_COMMA: /* an empty value stands before the first, between two, and behind the
                             last */
            if (r->count == 0)
                add_value(p->s, r, "");
            if (p->token == TOKEN_CLOSE || p->token == TOKEN_COMMA)
                add_value(p->s, r, "");
            if (p->token == TOKEN_CLOSE)
                return 0;
            break;
        default:
            return error_set(err, ERROR_INVALID, "found '%s', expected: ',', or identifier", text);
        }
    }
}

static int parse_set(struct parser *p, struct requirement *r, struct error **err)
{
    const char *text;
    if (take(p, &text) != TOKEN_OPEN)
        return error_set(err, ERROR_INVALID, "found '%s' expected: '('", text);
    if (p->token == TOKEN_CLOSE) {
        add_value(p->s, r, "");
    } else if (p->token == TOKEN_WORD || p->token == TOKEN_COMMA) {
        int rc = parse_value_list(p, r, err);
        if (rc < 0)
            return rc;
    } else {
        return error_set(err, ERROR_INVALID, "found '%s', expected: ',', ')' or identifier",
                         p->text);
    }
    advance(p);
    return 0;
}

static int parse_one_value(struct parser *p, struct requirement *r, struct error **err)
{
    if (p->token == TOKEN_END || p->token == TOKEN_COMMA) {
        add_value(p->s, r, "");
        return 0;
    }
    const char *text;
    if (take(p, &text) != TOKEN_WORD)
        return error_set(err, ERROR_INVALID, "found '%s', expected: identifier", text);
    add_value(p->s, r, text);
    return 0;
}

/* ---- requirements ------------------------------------------------------------------------------------------- */

static bool parse_operator(struct parser *p, enum operator* ret)
{
    switch (p->token) {
    case TOKEN_EQUALS:
    case TOKEN_DOUBLE_EQUALS:
        *ret = OPERATOR_EQUALS;
        return true;
    case TOKEN_NOT_EQUALS:
        *ret = OPERATOR_NOT_EQUALS;
        return true;
    case TOKEN_LESS:
        *ret = OPERATOR_LESS;
        return true;
    case TOKEN_GREATER:
        *ret = OPERATOR_GREATER;
        return true;
    case TOKEN_WORD:
        *ret = STREQ(p->text, "in") ? OPERATOR_IN : OPERATOR_NOT_IN;
        return STREQ(p->text, "in") || STREQ(p->text, "notin");
    default:
        return false;
    }
}

static int parse_requirement(struct parser *p, struct error **err)
{
    struct requirement r = { .op = OPERATOR_EXISTS };
    const char *text;
    enum token t = take(p, &text);
    if (t == TOKEN_NOT) {
        r.op = OPERATOR_NOT_EXISTS;
        t = take(p, &text);
    }
    if (t != TOKEN_WORD)
        return error_set(err, ERROR_INVALID, "found '%s', expected: identifier", text);
    r.key = text;
    struct error *why = NULL;
    if (kube_validate_label_key(text, &why) < 0) {
        AUTO_ARENA a = arena_new();
        int rc = error_set(err, ERROR_INVALID, "<nil>: Invalid value: %s: %s",
                           selector_quote(a, text), error_message(why));
        error_free(why);
        return rc;
    }
    bool ends = p->token == TOKEN_END || p->token == TOKEN_COMMA;
    if (r.op == OPERATOR_EXISTS && !ends) {
        if (!parse_operator(p, &r.op))
            return error_set(err, ERROR_INVALID,
                             "found '%s', expected: in, notin, =, ==, !=, gt, lt", p->text);
        advance(p);
        bool set = r.op == OPERATOR_IN || r.op == OPERATOR_NOT_IN;
        int rc = set ? parse_set(p, &r, err) : parse_one_value(p, &r, err);
        if (rc < 0)
            return rc;
    }
    return selector_add(p->s, &r, err);
}

static int parse_all(struct parser *p, struct error **err)
{
    advance(p);
    while (p->token != TOKEN_END) {
        if (p->token != TOKEN_WORD && p->token != TOKEN_NOT)
            return error_set(err, ERROR_INVALID,
                             "found '%s', expected: !, identifier, or 'end of string'", p->text);
        int r = parse_requirement(p, err);
        if (r < 0)
            return error_prefix(err, r, "unable to parse requirement");
        const char *text;
        enum token t = take(p, &text);
        if (t == TOKEN_END)
            break;
        if (t != TOKEN_COMMA)
            return error_set(err, ERROR_INVALID, "found '%s', expected: ',' or 'end of string'",
                             text);
        if (p->token != TOKEN_WORD && p->token != TOKEN_NOT)
            return error_set(err, ERROR_INVALID, "found '%s', expected: identifier after ','",
                             p->text);
    }
    return 0;
}

int selector_parse_labels(const char *text, struct selector **ret, struct error **err)
{
    if (strlen(text) > MAX_TEXT)
        return error_set(err, ERROR_TOO_LARGE, "a label selector has at most %zu bytes",
                         (size_t)MAX_TEXT);
    CLEANUP(selector_cleanup) struct selector *s = selector_new(SELECTS_LABELS);
    struct parser p = { .s = s, .at = text };
    int r = parse_all(&p, err);
    if (r < 0)
        return r;
    selector_sort(s);
    *ret = TAKE_PTR(s);
    return 0;
}

/* ---- fields ------------------------------------------------------------------------------------------------- */

/* The length of the term at the start of text: up to a comma that no backslash stands before. */
static size_t term_length(const char *text)
{
    size_t i = 0;
    for (; text[i] && text[i] != ','; i++)
        if (text[i] == '\\' && text[i + 1])
            i++;
    return i;
}

/* Takes the backslashes out in place. */
static int unescape(char *s, struct error **err)
{
    char *to = s;
    for (const char *from = s; *from; from++) {
        if (*from == ',' || *from == '=')
            return error_set(err, ERROR_INVALID,
                             "invalid field selector: unescaped character in value: %d", *from);
        if (*from == '\\') {
            from++;
            if (!*from || !strchr("\\,=", *from)) {
                size_t len = strlen(from);
                size_t one = len < 4 ? len : 4; /* one character of UTF-8 */
                while (one > 1 && str_utf8_valid_len(from, one - 1) == one - 1)
                    one--;
                return error_set(err, ERROR_INVALID,
                                 "invalid field selector: invalid escape sequence: \\%.*s",
                                 (int)one, from);
            }
        }
        *to++ = *from;
    }
    *to = '\0';
    return 0;
}

static int parse_term(struct selector *s, char *term, const char *whole, struct error **err)
{
    char *equals = strchr(term, '=');
    if (!equals)
        return error_set(err, ERROR_INVALID, "invalid selector: '%s'; can't understand '%s'", whole,
                         term);
    struct requirement r = { .op = OPERATOR_EQUALS };
    char *value = equals + 1;
    char *key_end = equals;
    if (equals > term && equals[-1] == '!') {
        r.op = OPERATOR_NOT_EQUALS;
        key_end--;
    } else if (*value == '=') {
        value++;
    }
    r.key = arena_strndup(s->arena, term, (size_t)(key_end - term));
    int rc = unescape(value, err);
    if (rc < 0)
        return rc;
    if (!*r.key && !*value)
        return 0; /* "=" asks for nothing */
    add_value(s, &r, value);
    return selector_add(s, &r, err);
}

static int compare_terms(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

int selector_parse_fields(const char *text, struct selector **ret, struct error **err)
{
    if (strlen(text) > MAX_TEXT)
        return error_set(err, ERROR_TOO_LARGE, "a field selector has at most %zu bytes",
                         (size_t)MAX_TEXT);
    CLEANUP(selector_cleanup) struct selector *s = selector_new(SELECTS_FIELDS);

    size_t count = 1;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    char **terms = arena_alloc(s->arena, count * sizeof(*terms));
    count = 0;
    for (const char *p = text;; p++) {
        size_t len = term_length(p);
        terms[count++] = arena_strndup(s->arena, p, len);
        p += len;
        if (!*p)
            break;
    }
    /* Sorted, so that of several bad terms the same one is named as by the API server. */
    qsort(terms, count, sizeof(*terms), compare_terms);
    for (size_t i = 0; i < count; i++) {
        int r = *terms[i] ? parse_term(s, terms[i], text, err) : 0;
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(s);
    return 0;
}
