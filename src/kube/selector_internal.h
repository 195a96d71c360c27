/* What selector.c and selector_parse.c share. */
#pragma once

#include "kube/selector.h"

enum selector_kind { SELECTS_LABELS, SELECTS_FIELDS, SELECTS_NOTHING };

enum operator{
    OPERATOR_EQUALS,
    OPERATOR_NOT_EQUALS,
    OPERATOR_IN,
    OPERATOR_NOT_IN,
    OPERATOR_EXISTS,
    OPERATOR_NOT_EXISTS,
    OPERATOR_LESS,
    OPERATOR_GREATER,
};

struct requirement {
    const char *key;
    enum operator op;
    const char **values; /* sorted, each once */
    size_t count;
    int64_t number; /* the value of OPERATOR_LESS and OPERATOR_GREATER */
};

struct selector {
    struct arena *arena; /* holds everything of it */
    enum selector_kind kind;
    struct requirement *requirements;
    size_t count;
};

struct selector *selector_new(enum selector_kind kind);
/* Checks the values (labels only) and keeps the requirement; its strings must be in the arena. */
int selector_add(struct selector *s, const struct requirement *r, struct error **err);
void selector_sort(struct selector *s);
/* As Go's %q writes it. */
char *selector_quote(struct arena *a, const char *s);
