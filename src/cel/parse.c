/* Recursive descent over the grammar of the language: conditional, or, and, relation, sum, product,
 * unary, member, primary. */
#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "cel/token.h"

struct parser {
    struct lexer lexer;
    struct token now; /* the next word */
    int depth;
    int nodes;
    struct error **err;
    bool failed;
};

int cel_error_at(struct error **err, const char *text, int column, const char *fmt, ...)
{
    AUTO_BUF message = BUF_INIT(4 * KIB);
    va_list args;
    va_start(args, fmt);
    buf_vprintf(&message, fmt, args);
    va_end(args);
    int line = 1, start = 0;
    for (int i = 0; i < column - 1 && text[i]; i++)
        if (text[i] == '\n') {
            line++;
            start = i + 1;
        }
    int length = (int)strcspn(text + start, "\n");
    AUTO_BUF dots = BUF_INIT(64 * KIB);
    for (int i = start + 1; i < column; i++)
        buf_putc(&dots, '.');
    return error_set(err, ERROR_INVALID, "ERROR: <input>:%d:%d: %s\n | %.*s\n | %s^", line,
                     column - start, buf_str(&message), length, text + start, buf_str(&dots));
}

static void *fail(struct parser *p, int column, const char *what)
{
    if (!p->failed)
        cel_error_at(p->err, p->lexer.text, column, "Syntax error: %s", what);
    p->failed = true;
    return NULL;
}

static void step(struct parser *p)
{
    p->now = lexer_next(&p->lexer);
    if (p->now.kind == TOKEN_FAULT)
        fail(p, p->now.column, p->now.name);
}

static bool at(const struct parser *p, const char *sign)
{
    return p->now.kind == TOKEN_PUNCTUATION && STREQ(p->now.name, sign);
}

static bool take(struct parser *p, const char *sign)
{
    if (p->failed || !at(p, sign))
        return false;
    step(p);
    return true;
}

static bool expect(struct parser *p, const char *sign)
{
    if (take(p, sign))
        return true;
    const char *found = p->now.kind == TOKEN_LITERAL ? "a literal" : p->now.name;
    fail(p, p->now.column, arena_printf(p->lexer.a, "'%s' expected, not %s", sign, found));
    return false;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static struct cel_node *node_new(struct parser *p, enum cel_kind kind, int column)
{
    if (++p->nodes > CEL_MAX_NODES)
        return fail(p, column, "the expression is too long");
    struct cel_node *n = arena_zalloc(p->lexer.a, sizeof(*n));
    n->kind = kind;
    n->column = column;
    return n;
}

static void add_child(struct parser *p, struct cel_node *n, struct cel_node *child)
{
    if (!n || !child)
        return;
    if (n->count == n->room) {
        n->room = n->room * 2 + 4;
        struct cel_node **more = arena_alloc(p->lexer.a, n->room * sizeof(*more));
        if (n->count > 0)
            memcpy(more, n->children, n->count * sizeof(*more));
        n->children = more;
    }
    n->children[n->count++] = child;
}

static struct cel_node *call(struct parser *p, int column, const char *function,
                             struct cel_node *first, struct cel_node *second)
{
    struct cel_node *n = node_new(p, CEL_CALL, column);
    if (!n)
        return NULL;
    n->name = function;
    add_child(p, n, first);
    add_child(p, n, second);
    return p->failed ? NULL : n;
}

static struct cel_node *parse_expression(struct parser *p);

/* Up to the closing sign, into the children of n. */
static void parse_arguments(struct parser *p, struct cel_node *n, const char *close)
{
    while (!p->failed && !at(p, close)) {
        add_child(p, n, parse_expression(p));
        if (!take(p, ","))
            break;
    }
    expect(p, close);
}

/* ---- macros ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum cel_macro macro;
    size_t least, most;
} macros[] = {
    { "all", CEL_ALL, 2, 2 },
    { "exists", CEL_EXISTS, 2, 2 },
    { "exists_one", CEL_EXISTS_ONE, 2, 2 },
    { "existsOne", CEL_EXISTS_ONE, 2, 2 },
    { "filter", CEL_FILTER, 2, 2 },
    { "map", CEL_TRANSFORM, 2, 3 },
};

/* receiver.method(args): a macro when it has the name and shape of one. */
static struct cel_node *as_macro(struct parser *p, struct cel_node *n)
{
    for (size_t i = 0; i < COUNT_OF(macros); i++) {
        size_t args = n->count - 1;
        if (!STREQ(n->name, macros[i].name) || args < macros[i].least || args > macros[i].most)
            continue;
        if (n->children[1]->kind != CEL_VARIABLE)
            return fail(p, n->children[1]->column, "argument must be a simple name");
        struct cel_node *loop = node_new(p, CEL_LOOP, n->column);
        if (!loop)
            return NULL;
        loop->macro = macros[i].macro;
        loop->name = n->children[1]->name;
        add_child(p, loop, n->children[0]);
        /* map has what is asked first only when there are three */
        bool plain_map = loop->macro == CEL_TRANSFORM && args == 2;
        struct cel_node *always = plain_map ? node_new(p, CEL_LITERAL, n->column) : NULL;
        if (plain_map && !always)
            return NULL;
        if (always)
            always->literal = json_new_bool(p->lexer.a, true);
        add_child(p, loop, always ? always : n->children[2]);
        if (loop->macro == CEL_TRANSFORM)
            add_child(p, loop, n->children[n->count - 1]);
        return loop;
    }
    return n;
}

static struct cel_node *as_has(struct parser *p, struct cel_node *n)
{
    if (n->count != 1 || n->children[0]->kind != CEL_SELECT)
        return fail(p, n->column, "invalid argument to has() macro");
    n->children[0]->kind = CEL_HAS;
    return n->children[0];
}

/* ---- primary and member ----------------------------------------------------------------------------------------- */

static struct cel_node *parse_map(struct parser *p, int column)
{
    struct cel_node *n = node_new(p, CEL_MAP, column);
    while (n && !p->failed && !at(p, "}")) {
        add_child(p, n, parse_expression(p));
        if (!expect(p, ":"))
            return NULL;
        add_child(p, n, parse_expression(p));
        if (!take(p, ","))
            break;
    }
    return expect(p, "}") ? n : NULL;
}

static struct cel_node *parse_name(struct parser *p)
{
    struct cel_node *n = node_new(p, CEL_VARIABLE, p->now.column);
    if (!n)
        return NULL;
    n->name = p->now.name;
    step(p);
    int open = p->now.column;
    if (!take(p, "("))
        return n;
    n->kind = CEL_CALL;
    n->column = open;
    parse_arguments(p, n, ")");
    if (p->failed)
        return NULL;
    return STREQ(n->name, "has") ? as_has(p, n) : n;
}

static struct cel_node *parse_primary(struct parser *p)
{
    int column = p->now.column;
    if (p->now.kind == TOKEN_LITERAL) {
        struct cel_node *n = node_new(p, CEL_LITERAL, column);
        if (n)
            n->literal = p->now.literal;
        step(p);
        return n;
    }
    if (p->now.kind == TOKEN_NAME)
        return parse_name(p);
    if (take(p, "(")) {
        struct cel_node *n = parse_expression(p);
        return expect(p, ")") ? n : NULL;
    }
    if (take(p, "[")) {
        struct cel_node *n = node_new(p, CEL_LIST, column);
        if (n)
            parse_arguments(p, n, "]");
        return n;
    }
    if (take(p, "{"))
        return parse_map(p, column);
    return fail(p, column, arena_printf(p->lexer.a, "unexpected %s", p->now.name));
}

/* .name or .name(args) behind n; the dot stands at `dot`. */
static struct cel_node *parse_selector(struct parser *p, struct cel_node *n, int dot)
{
    if (p->now.kind != TOKEN_NAME)
        return fail(p, p->now.column, "a field name expected after '.'");
    struct cel_node *outer = node_new(p, CEL_SELECT, dot);
    if (!outer)
        return NULL;
    outer->name = p->now.name;
    add_child(p, outer, n);
    step(p);
    int open = p->now.column;
    if (!take(p, "("))
        return outer;
    outer->kind = CEL_CALL;
    outer->column = open;
    outer->method = true;
    parse_arguments(p, outer, ")");
    return p->failed ? NULL : as_macro(p, outer);
}

static struct cel_node *parse_member(struct parser *p)
{
    struct cel_node *n = parse_primary(p);
    while (n && !p->failed) {
        int column = p->now.column;
        if (take(p, ".")) {
            n = parse_selector(p, n, column);
        } else if (take(p, "[")) {
            struct cel_node *outer = node_new(p, CEL_INDEX, column);
            add_child(p, outer, n);
            add_child(p, outer, parse_expression(p));
            n = expect(p, "]") ? outer : NULL;
        } else {
            break;
        }
    }
    return p->failed ? NULL : n;
}

static struct cel_node *parse_unary(struct parser *p)
{
    const char *sign = at(p, "!") ? "!" : at(p, "-") ? "-" : NULL;
    if (!sign)
        return parse_member(p);
    int column = p->now.column;
    if (++p->depth > CEL_MAX_DEPTH)
        return fail(p, column, "the expression nests too deeply");
    step(p);
    struct cel_node *inner = parse_unary(p);
    p->depth--;
    if (!inner)
        return NULL;
    return call(p, column, STREQ(sign, "!") ? "!_" : "-_", inner, NULL);
}

/* ---- operators with two sides ----------------------------------------------------------------------------------- */

static const char *const levels[][9] = {
    { "<", "<=", ">", ">=", "==", "!=", "in", NULL },
    { "+", "-", NULL },
    { "*", "/", "%", NULL },
};

static const char *sign_of_level(const struct parser *p, size_t level)
{
    for (size_t i = 0; levels[level][i]; i++)
        if (at(p, levels[level][i]))
            return levels[level][i];
    return NULL;
}

static struct cel_node *parse_level(struct parser *p, size_t level)
{
    if (level == COUNT_OF(levels))
        return parse_unary(p);
    struct cel_node *n = parse_level(p, level + 1);
    const char *sign;
    while (n && (sign = sign_of_level(p, level))) {
        int column = p->now.column;
        step(p);
        struct cel_node *right = parse_level(p, level + 1);
        if (!right)
            return NULL;
        n = call(p, column, sign, n, right);
    }
    return p->failed ? NULL : n;
}

/* a && b && c, and with ||: all in one node, so that long chains are not deep. */
static struct cel_node *parse_chain(struct parser *p, bool either)
{
    struct cel_node *n = either ? parse_chain(p, false) : parse_level(p, 0);
    const char *sign = either ? "||" : "&&";
    struct cel_node *chain = NULL;
    while (n && at(p, sign)) {
        int column = p->now.column;
        step(p);
        if (!chain) {
            chain = node_new(p, either ? CEL_OR : CEL_AND, column);
            add_child(p, chain, n);
        }
        struct cel_node *next = either ? parse_chain(p, false) : parse_level(p, 0);
        if (!next || !chain)
            return NULL;
        add_child(p, chain, next);
    }
    return p->failed ? NULL : chain ? chain : n;
}

static struct cel_node *parse_expression(struct parser *p)
{
    if (++p->depth > CEL_MAX_DEPTH)
        return fail(p, p->now.column, "the expression nests too deeply");
    struct cel_node *n = parse_chain(p, true);
    int column = p->now.column;
    if (n && take(p, "?")) {
        struct cel_node *outer = node_new(p, CEL_CONDITIONAL, column);
        add_child(p, outer, n);
        add_child(p, outer, parse_chain(p, true));
        expect(p, ":");
        add_child(p, outer, p->failed ? NULL : parse_expression(p));
        n = outer;
    }
    p->depth--;
    return p->failed ? NULL : n;
}

int cel_parse(struct arena *a, const char *text, struct cel_node **ret, struct error **err)
{
    struct parser p = { .lexer = { .a = a, .text = text, .at = text }, .err = err };
    step(&p);
    struct cel_node *root = p.failed ? NULL : parse_expression(&p);
    if (root && p.now.kind != TOKEN_END)
        fail(&p, p.now.column,
             arena_printf(a, "unexpected %s",
                          p.now.kind == TOKEN_LITERAL ? "literal" : p.now.name));
    if (p.failed || !root)
        return -ERROR_INVALID;
    *ret = root;
    return 0;
}
