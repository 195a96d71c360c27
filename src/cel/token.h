/* The words of an expression. */
#pragma once

#include "cel/cel_internal.h"

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_LITERAL,
    TOKEN_PUNCTUATION, /* name: "&&", "<=", "(" … */
    TOKEN_FAULT,
};

struct token {
    enum token_kind kind;
    int column;                 /* from 1 */
    const char *name;           /* names and punctuation; faults: what is wrong */
    const struct json *literal; /* NULL: null */
};

struct lexer {
    struct arena *a;
    const char *text;
    const char *at;
};

struct token lexer_next(struct lexer *l);
