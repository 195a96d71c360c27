/* The syntax tree, between the files of this folder. */
#pragma once

#include "cel/cel.h"

enum cel_kind {
    CEL_LITERAL,
    CEL_VARIABLE,
    CEL_SELECT, /* children[0].name */
    CEL_HAS,    /* has(children[0].name) */
    CEL_INDEX,  /* children[0][children[1]] */
    CEL_CALL,   /* function(children…); of a method the receiver comes first */
    CEL_LIST,
    CEL_MAP, /* key, value, key, value … */
    CEL_CONDITIONAL,
    CEL_AND,
    CEL_OR,
    CEL_LOOP, /* a macro: children[0] is gone through, children[1] is asked of each, children[2]
                 mapped */
};

enum cel_macro { CEL_ALL, CEL_EXISTS, CEL_EXISTS_ONE, CEL_FILTER, CEL_TRANSFORM };

struct cel_node;
struct cel_call;

/* A function of the library, an operator among them. It reports faults with cel_fault(). */
typedef const struct json *cel_function(struct cel_call *c);

struct cel_function_row {
    const char *name;
    bool method;
    int least, most; /* arguments, the receiver not counted */
    cel_function *call;
};

struct cel_node {
    enum cel_kind kind;
    enum cel_macro macro;
    int column;                 /* from 1 */
    const char *name;           /* of a variable, a field, a function */
    int slot;                   /* variables: which of those in reach */
    const struct json *literal; /* NULL: null */
    const struct cel_function_row *function;
    bool method; /* calls: the receiver is children[0] */
    struct cel_node **children;
    size_t count, room;
};

#define CEL_MAX_DEPTH 100 /* of the tree */
#define CEL_MAX_NODES 20000
#define CEL_MAX_SLOTS 32 /* self, oldSelf, and variables of macros inside each other */
#define CEL_MAX_ARGS 5 /* of a function, the receiver among them */

enum { SLOT_SELF, SLOT_OLD_SELF, SLOT_FIRST };

struct cel_program {
    const char *text;
    struct cel_node *root;
    bool uses_old_self;
};

/* parse.c */
int cel_parse(struct arena *a, const char *text, struct cel_node **ret, struct error **err);
/* check.c: resolves names. */
int cel_check(struct arena *a, const char *text, struct cel_node *root,
              const struct cel_types *types, bool *ret_uses_old_self, struct error **err);
/* "ERROR: <input>:1:COLUMN: MESSAGE" with the line and a mark below it. */
int cel_error_at(struct error **err, const char *text, int column, const char *fmt, ...)
    ATTR_PRINTF(4, 5);

/* functions.c: NULL when there is none of that name and kind. */
const struct cel_function_row *cel_function_find(const char *name, bool method);

/* One call. */
struct cel_call {
    struct arena *a;
    const struct json **args;
    size_t count;
    long *steps;       /* that are left */
    const char *fault; /* NULL: none */
};
const struct json *cel_fault(struct cel_call *c, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* As == compares: numbers by value. */
bool cel_equal(const struct json *x, const struct json *y);
/* Counts work that grows with the values; false, with a fault, when there was too much. */
bool cel_spend(struct cel_call *c, size_t steps);
