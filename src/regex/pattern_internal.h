/* The syntax tree of a pattern, between pattern_parse.c and pattern.c. */
#pragma once

#include "regex/pattern.h"
#include "regex/pattern_class.h"

enum node_kind {
    NODE_EMPTY,
    NODE_CLASS, /* one character of a set */
    NODE_ASSERT,
    NODE_CAT,
    NODE_ALT,
    NODE_REPEAT,
};

enum assertion { BEGIN_TEXT, END_TEXT, BEGIN_LINE, END_LINE, WORD_BOUNDARY, NO_WORD_BOUNDARY };

struct node {
    enum node_kind kind;
    struct char_class *set;
    enum assertion assertion;
    struct node *first; /* children */
    struct node *next;  /* sibling */
    int min;
    int max;   /* -1: no end */
    bool lazy; /* as few as possible */
};

/* The tree of a pattern, in the arena. */
int pattern_parse(struct arena *a, const char *text, struct node **ret, struct error **err);
