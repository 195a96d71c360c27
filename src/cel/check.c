/* Names become slots, functions become rows of the library, and fields are looked up in the types
 * that the caller knows. */
#include <string.h>

#include "base/str.h"
#include "cel/cel_internal.h"

struct scope {
    const char *names[CEL_MAX_SLOTS];
    const void *types[CEL_MAX_SLOTS];
    int count;
};

struct checker {
    struct arena *a;
    const char *text;
    const struct cel_types *types;
    struct scope scope;
    bool uses_old_self;
    struct error **err;
    bool failed;
};

static void fail(struct checker *c, const struct cel_node *n, const char *what)
{
    if (!c->failed)
        cel_error_at(c->err, c->text, n->column, "%s", what);
    c->failed = true;
}

/* Field names that are no identifiers are written in letters. */
static const char *unescape(struct arena *a, const char *name)
{
    static const char *const rows[][2] = {
        { "__dot__", "." },
        { "__dash__", "-" },
        { "__slash__", "/" },
        { "__underscores__", "__" },
    };
    static const char *const reserved[] = {
        "as",        "break", "const",  "continue", "else", "false", "for",
        "function",  "if",    "in",     "import",   "let",  "loop",  "package",
        "namespace", "null",  "return", "true",     "var",  "void",  "while",
    };
    if (!str_has_prefix(name, "__") && !strstr(name, "__"))
        return name;
    size_t len = strlen(name);
    for (size_t i = 0; i < COUNT_OF(reserved); i++)
        if (len == strlen(reserved[i]) + 4 && str_has_prefix(name, "__") &&
            str_has_suffix(name, "__") && strncmp(name + 2, reserved[i], len - 4) == 0)
            return reserved[i];
    char *out = arena_alloc(a, len + 1), *to = out;
    for (const char *p = name; *p;) {
        size_t k = 0;
        while (k < COUNT_OF(rows) && !str_has_prefix(p, rows[k][0]))
            k++;
        if (k == COUNT_OF(rows)) {
            *to++ = *p++;
            continue;
        }
        memcpy(to, rows[k][1], strlen(rows[k][1]));
        to += strlen(rows[k][1]);
        p += strlen(rows[k][0]);
    }
    *to = '\0';
    return out;
}

static const void *check(struct checker *c, struct cel_node *n);

static const void *check_variable(struct checker *c, struct cel_node *n)
{
    for (int i = c->scope.count - 1; i >= 0; i--)
        if (STREQ(c->scope.names[i], n->name)) {
            n->slot = i;
            c->uses_old_self |= i == SLOT_OLD_SELF;
            return c->scope.types[i];
        }
    fail(c, n, arena_printf(c->a, "undeclared reference to '%s' (in container '')", n->name));
    return NULL;
}

static const void *check_select(struct checker *c, struct cel_node *n)
{
    const void *type = check(c, n->children[0]);
    n->name = unescape(c->a, n->name);
    if (!type || c->failed)
        return NULL;
    bool known = true;
    const void *member = c->types->member(type, n->name, &known);
    if (!known)
        fail(c, n, arena_printf(c->a, "undefined field '%s'", n->name));
    return member;
}

static void check_call(struct checker *c, struct cel_node *n)
{
    const struct cel_function_row *row = cel_function_find(n->name, n->method);
    size_t args = n->count - n->method;
    if (!row)
        fail(c, n, arena_printf(c->a, "undeclared reference to '%s' (in container '')", n->name));
    else if (args < (size_t)row->least || args > (size_t)row->most)
        fail(c, n,
             arena_printf(c->a, "found no matching overload for '%s': it takes %d%s argument%s",
                          n->name, row->least, row->most > row->least ? " or more" : "",
                          row->least == 1 ? "" : "s"));
    n->function = row;
    for (size_t i = 0; i < n->count && !c->failed; i++)
        check(c, n->children[i]);
}

/* The variable of a macro lives in what is asked of each element. Over a map it is a key. */
static const void *check_loop(struct checker *c, struct cel_node *n)
{
    const void *range = check(c, n->children[0]);
    if (c->failed)
        return NULL;
    if (c->scope.count == CEL_MAX_SLOTS) {
        fail(c, n, "too many macros inside each other");
        return NULL;
    }
    n->slot = c->scope.count++;
    c->scope.names[n->slot] = n->name;
    c->scope.types[n->slot] = range ? c->types->element(range) : NULL;
    for (size_t i = 1; i < n->count && !c->failed; i++)
        check(c, n->children[i]);
    c->scope.count--;
    return n->macro == CEL_FILTER ? range : NULL;
}

static const void *check(struct checker *c, struct cel_node *n)
{
    const void *first = NULL;
    switch (n->kind) {
    case CEL_LITERAL:
        return NULL;
    case CEL_VARIABLE:
        return check_variable(c, n);
    case CEL_SELECT:
    case CEL_HAS:
        first = check_select(c, n);
        return n->kind == CEL_HAS ? NULL : first;
    case CEL_CALL:
        check_call(c, n);
        return NULL;
    case CEL_LOOP:
        return check_loop(c, n);
    case CEL_INDEX:
    case CEL_LIST:
    case CEL_MAP:
    case CEL_CONDITIONAL:
    case CEL_AND:
    case CEL_OR:
        break;
    }
    for (size_t i = 0; i < n->count && !c->failed; i++) {
        const void *type = check(c, n->children[i]);
        first = i == 0 ? type : first;
    }
    return n->kind == CEL_INDEX && first && !c->failed ? c->types->element(first) : NULL;
}

int cel_check(struct arena *a, const char *text, struct cel_node *root,
              const struct cel_types *types, bool *ret_uses_old_self, struct error **err)
{
    struct checker c = { .a = a, .text = text, .types = types, .err = err };
    c.scope.names[SLOT_SELF] = "self";
    c.scope.names[SLOT_OLD_SELF] = "oldSelf";
    c.scope.types[SLOT_SELF] = c.scope.types[SLOT_OLD_SELF] = types ? types->self : NULL;
    c.scope.count = SLOT_FIRST;
    check(&c, root);
    *ret_uses_old_self = c.uses_old_self;
    return c.failed ? -ERROR_INVALID : 0;
}

int cel_compile(struct arena *a, const char *text, const struct cel_types *types,
                const struct cel_program **ret, struct error **err)
{
    struct cel_program *p = arena_zalloc(a, sizeof(*p));
    p->text = arena_strdup(a, text);
    int r = cel_parse(a, p->text, &p->root, err);
    if (r == 0)
        r = cel_check(a, p->text, p->root, types, &p->uses_old_self, err);
    *ret = r == 0 ? p : NULL;
    return r;
}

bool cel_uses_old_self(const struct cel_program *p)
{
    return p->uses_old_self;
}
