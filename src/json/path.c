/* A path is a list of steps. Evaluation goes depth first through the steps, each of which hands
 * zero or more values to the next; matches come out in document order. */
#include "json/path.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define TEXT_MAX 1024
#define STEPS_MAX 64

enum step_kind { STEP_KEY, STEP_INDEX, STEP_ALL, STEP_FILTER };
enum compare {
    COMPARE_EXISTS,
    COMPARE_EQ,
    COMPARE_NE,
    COMPARE_LT,
    COMPARE_LE,
    COMPARE_GT,
    COMPARE_GE
};
enum operand_kind { OPERAND_STRING, OPERAND_NUMBER, OPERAND_BOOL, OPERAND_NULL };

struct operand {
    enum operand_kind kind;
    char *string;
    double number;
    bool boolean;
};

struct step {
    enum step_kind kind;
    char *key;
    int64_t index;          /* negative: from the end */
    struct json_path *left; /* of a filter: what stands behind the @ */
    enum compare compare;
    struct operand right;
};

struct json_path {
    struct step *steps;
    size_t count;
};

/* ---- compile ------------------------------------------------------------------------------------------------------ */

struct compiler {
    const char *text;
    const char *at;
    const char *end;
    struct error **err;
    size_t steps_left;
};

static int bad(struct compiler *c, const char *what)
{
    return error_set(c->err, ERROR_INVALID, "JSONPath \"%s\", character %zu: %s", c->text,
                     (size_t)(c->at - c->text) + 1, what);
}

static char peek(const struct compiler *c)
{
    return c->at < c->end ? *c->at : '\0';
}

static bool take(struct compiler *c, char ch)
{
    if (c->at >= c->end || *c->at != ch)
        return false;
    c->at++;
    return true;
}

static void skip_space(struct compiler *c)
{
    while (peek(c) == ' ' || peek(c) == '\t')
        c->at++;
}

static int add_step(struct compiler *c, struct json_path *p, struct step **ret)
{
    if (c->steps_left == 0)
        return bad(c, "too many steps");
    c->steps_left--;
    p->steps = mem_array(p->steps, p->count + 1, sizeof *p->steps);
    *ret = &p->steps[p->count++];
    **ret = (struct step){ 0 };
    return 0;
}

/* A quoted string with backslash escapes; the opening quote is next. */
static int take_quoted(struct compiler *c, char **ret)
{
    char quote = *c->at++;
    AUTO_BUF b = BUF_INIT(TEXT_MAX);
    while (c->at < c->end && *c->at != quote) {
        if (*c->at == '\\' && c->at + 1 < c->end)
            c->at++;
        buf_putc(&b, *c->at++);
    }
    if (!take(c, quote))
        return bad(c, "the string is not closed");
    *ret = buf_steal(&b);
    return 0;
}

/* A bare member name: up to the next dot or bracket, or in a filter up to its operator. A backslash
 * takes the next character as it is, which is how kubectl writes the dots of a label
 * ("kubernetes\.io/hostname"). */
static int take_name(struct compiler *c, bool in_filter, char **ret)
{
    AUTO_BUF b = BUF_INIT(TEXT_MAX);
    while (c->at < c->end && !strchr(".[]{}", *c->at)) {
        if (in_filter && strchr(" \t=!<>)&|", *c->at))
            break;
        if (*c->at == '\\' && c->at + 1 < c->end)
            c->at++;
        buf_putc(&b, *c->at++);
    }
    if (b.len == 0)
        return bad(c, "a name is missing");
    *ret = buf_steal(&b);
    return 0;
}

static int take_int(struct compiler *c, int64_t *ret)
{
    size_t len = strspn(c->at, "-0123456789");
    AUTO_FREE char *text = mem_strndup(c->at, len);
    if (str_to_int64(text, ret) < 0)
        return bad(c, "expected an index, '*', a quoted name or a filter");
    c->at += len;
    return 0;
}

static int take_steps(struct compiler *c, struct json_path *p, bool in_filter);

static int take_operator(struct compiler *c, enum compare *ret)
{
    static const struct {
        const char *text;
        enum compare compare;
    } operators[] = { { "==", COMPARE_EQ }, { "!=", COMPARE_NE }, { "<=", COMPARE_LE },
                      { ">=", COMPARE_GE }, { "<", COMPARE_LT },  { ">", COMPARE_GT } };
    for (size_t i = 0; i < COUNT_OF(operators); i++) {
        const char *rest = str_skip_prefix(c->at, operators[i].text);
        if (rest && rest <= c->end) {
            c->at = rest;
            *ret = operators[i].compare;
            return 0;
        }
    }
    return bad(c, "expected ==, !=, <, <=, > or >=");
}

static int take_operand(struct compiler *c, struct operand *ret)
{
    if (peek(c) == '"' || peek(c) == '\'') {
        ret->kind = OPERAND_STRING;
        return take_quoted(c, &ret->string);
    }
    size_t len = strcspn(c->at, " \t)]");
    AUTO_FREE char *word = mem_strndup(c->at, len);
    if (STREQ(word, "true") || STREQ(word, "false")) {
        ret->kind = OPERAND_BOOL;
        ret->boolean = word[0] == 't';
    } else if (STREQ(word, "null")) {
        ret->kind = OPERAND_NULL;
    } else if (str_to_double(word, &ret->number) == 0) {
        ret->kind = OPERAND_NUMBER;
    } else {
        return bad(c, "expected a quoted string, a number, true or false");
    }
    c->at += len;
    return 0;
}

/* Behind "[?": "(@.a.b == 'x')]", or "(@.a)]" for the values that have it. */
static int take_filter(struct compiler *c, struct step *s)
{
    s->kind = STEP_FILTER;
    s->left = NEW0(struct json_path);
    if (!take(c, '('))
        return bad(c, "expected '('");
    skip_space(c);
    if (!take(c, '@'))
        return bad(c, "expected '@'");
    int r = take_steps(c, s->left, true);
    if (r < 0)
        return r;
    skip_space(c);
    if (peek(c) != ')') {
        r = take_operator(c, &s->compare);
        if (r < 0)
            return r;
        skip_space(c);
        r = take_operand(c, &s->right);
        if (r < 0)
            return r;
        skip_space(c);
    }
    return take(c, ')') ? 0 : bad(c, "expected ')'");
}

static int take_bracket(struct compiler *c, struct json_path *p)
{
    struct step *s;
    int r = add_step(c, p, &s);
    if (r < 0)
        return r;
    /* A filter adds steps to its own path only, so `s` stays where it is. */
    if (take(c, '?')) {
        r = take_filter(c, s);
    } else if (take(c, '*')) {
        s->kind = STEP_ALL;
    } else if (peek(c) == '\'' || peek(c) == '"') {
        s->kind = STEP_KEY;
        r = take_quoted(c, &s->key);
    } else {
        s->kind = STEP_INDEX;
        r = take_int(c, &s->index);
    }
    if (r < 0)
        return r;
    return take(c, ']') ? 0 : bad(c, "expected ']'");
}

static int take_steps(struct compiler *c, struct json_path *p, bool in_filter)
{
    int r = 0;
    while (r == 0 && (peek(c) == '.' || peek(c) == '[')) {
        if (take(c, '[')) {
            r = take_bracket(c, p);
            continue;
        }
        c->at++;
        if (peek(c) == '[' ||
            (peek(c) == '\0' && p->count == 0)) /* ".[0]", and "." for the whole */
            continue;
        struct step *s;
        r = add_step(c, p, &s);
        if (r == 0 && take(c, '*'))
            s->kind = STEP_ALL;
        else if (r == 0)
            r = take_name(c, in_filter, &s->key);
    }
    return r;
}

int json_path_compile(const char *text, struct json_path **ret, struct error **err)
{
    size_t len = strlen(text);
    if (len > TEXT_MAX)
        return error_set(err, ERROR_TOO_LARGE,
                         "a JSONPath of %zu characters is too long (at most %d)", len, TEXT_MAX);
    struct compiler c = {
        .text = text, .at = text, .end = text + len, .err = err, .steps_left = STEPS_MAX
    };
    if (len >= 2 && text[0] == '{' && text[len - 1] == '}') {
        c.at++;
        c.end--;
    }
    take(&c, '$');
    struct json_path *p = NEW0(struct json_path);
    int r = take_steps(&c, p, false);
    if (r == 0 && c.at < c.end)
        r = bad(&c, "expected '.' or '['");
    if (r < 0) {
        json_path_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void json_path_free(struct json_path *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++) {
        free(p->steps[i].key);
        free(p->steps[i].right.string);
        json_path_free(p->steps[i].left);
    }
    free(p->steps);
    free(p);
}

/* ---- evaluate ----------------------------------------------------------------------------------------------------- */

/* Gets each match; returns false to stop. */
typedef bool visit_fn(const struct json *v, void *ctx);

static bool order_fits(enum compare compare, int order)
{
    switch (compare) {
    case COMPARE_EQ:
        return order == 0;
    case COMPARE_NE:
        return order != 0;
    case COMPARE_LT:
        return order < 0;
    case COMPARE_LE:
        return order <= 0;
    case COMPARE_GT:
        return order > 0;
    case COMPARE_GE:
        return order >= 0;
    default:
        return true;
    }
}

/* Values of different kinds are unequal and have no order. */
static bool compare_fits(const struct json *v, enum compare compare, const struct operand *right)
{
    if (right->kind == OPERAND_STRING && json_is_string(v)) {
        int order = strcmp(json_string(v), right->string);
        return order_fits(compare, order);
    }
    if (right->kind == OPERAND_NUMBER && json_is_number(v)) {
        double left = json_double(v, 0);
        return order_fits(compare, left < right->number ? -1 : left > right->number);
    }
    if (right->kind == OPERAND_BOOL && json_is_bool(v))
        return order_fits(compare, (int)json_bool(v, false) - (int)right->boolean);
    if (right->kind == OPERAND_NULL && json_is_null(v))
        return order_fits(compare, 0);
    return compare == COMPARE_NE;
}

static bool filter_fits(const struct step *s, const struct json *v)
{
    const struct json *left = json_path_first(s->left, v);
    if (!left) /* nothing to compare with */
        return false;
    return s->compare == COMPARE_EXISTS || compare_fits(left, s->compare, &s->right);
}

static bool walk(const struct json_path *p, size_t step, const struct json *v, visit_fn *visit,
                 void *ctx)
{
    if (!v)
        return true;
    if (step == p->count)
        return visit(v, ctx);
    const struct step *s = &p->steps[step];
    switch (s->kind) {
    case STEP_KEY:
        return walk(p, step + 1, json_get(v, s->key), visit, ctx);
    case STEP_INDEX: {
        int64_t index = s->index < 0 ? s->index + (int64_t)json_size(v) : s->index;
        return index < 0 || walk(p, step + 1, json_at(v, (size_t)index), visit, ctx);
    }
    case STEP_ALL:
    case STEP_FILTER:
        JSON_FOREACH(it, v) {
            if (s->kind == STEP_FILTER && !filter_fits(s, it.value))
                continue;
            if (!walk(p, step + 1, it.value, visit, ctx))
                return false;
        }
        return true;
    }
    return true;
}

struct collector {
    struct arena *arena;
    struct json *result;
};

static bool collect(const struct json *v, void *ctx)
{
    struct collector *c = ctx;
    json_append(c->result, json_clone(c->arena, v));
    return true;
}

struct json *json_path_eval(struct arena *a, const struct json_path *p, const struct json *v)
{
    struct collector c = { .arena = a, .result = json_new_array(a) };
    walk(p, 0, v, collect, &c);
    return c.result;
}

static bool keep_first(const struct json *v, void *ctx)
{
    *(const struct json **)ctx = v;
    return false;
}

const struct json *json_path_first(const struct json_path *p, const struct json *v)
{
    const struct json *first = NULL;
    walk(p, 0, v, keep_first, &first);
    return first;
}
