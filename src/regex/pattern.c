/* A pattern is parsed by recursive descent into a syntax tree and compiled to a program for a
 * Thompson machine: all alternatives are followed at once, one character at a time, so the cost of
 * a match is at most program size times text length. Groups do not capture. */
#include "regex/pattern.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "regex/pattern_internal.h"

#define MAX_PROGRAM 60000 /* instructions */

/* ---- program --------------------------------------------------------------------------------- */

enum op { OP_CLASS, OP_ASSERT, OP_SPLIT, OP_JUMP, OP_MATCH };

struct instruction {
    enum op op;
    enum assertion assertion;
    const struct char_class *set;
    int x, y;  /* targets */
    bool lazy; /* splits: y is tried before x */
};

struct pattern {
    struct instruction *program;
    int count;
};

struct compiler {
    struct instruction *program;
    int count;
    int cap;
    bool overflow;
};

static int emit(struct compiler *c, struct instruction i)
{
    if (c->count == MAX_PROGRAM) {
        c->overflow = true;
        return 0;
    }
    if (c->count == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 64;
        c->program = mem_array(c->program, (size_t)c->cap, sizeof *c->program);
    }
    c->program[c->count] = i;
    return c->count++;
}

static void generate(struct compiler *c, const struct node *n);

static void generate_repeat(struct compiler *c, const struct node *n)
{
    for (int i = 0; i < n->min && !c->overflow; i++)
        generate(c, n->first);
    if (n->max < 0) {
        int split = emit(c, (struct instruction){ .op = OP_SPLIT, .lazy = n->lazy });
        generate(c, n->first);
        emit(c, (struct instruction){ .op = OP_JUMP, .x = split });
        c->program[split].x = split + 1;
        c->program[split].y = c->count;
        return;
    }
    /* each further one may be the last: all splits leave to the same end */
    int first = -1;
    for (int i = n->min; i < n->max && !c->overflow; i++) {
        int split = emit(c, (struct instruction){ .op = OP_SPLIT, .y = first, .lazy = n->lazy });
        c->program[split].x = split + 1;
        first = split;
        generate(c, n->first);
    }
    while (first >= 0 && !c->overflow) {
        int next = c->program[first].y;
        c->program[first].y = c->count;
        first = next;
    }
}

/* Each alternative but the last jumps to the end; the jumps are chained through x until it is
 * known. */
static void generate_alternatives(struct compiler *c, const struct node *n)
{
    int last = -1;
    for (const struct node *child = n->first; child && !c->overflow; child = child->next) {
        if (!child->next) {
            generate(c, child);
            break;
        }
        int split = emit(c, (struct instruction){ .op = OP_SPLIT });
        generate(c, child);
        last = emit(c, (struct instruction){ .op = OP_JUMP, .x = last });
        if (c->overflow)
            return;
        c->program[split].x = split + 1;
        c->program[split].y = c->count;
    }
    while (last >= 0 && !c->overflow) {
        int before = c->program[last].x;
        c->program[last].x = c->count;
        last = before;
    }
}

static void generate(struct compiler *c, const struct node *n)
{
    if (c->overflow)
        return;
    switch (n->kind) {
    case NODE_EMPTY:
        break;
    case NODE_CLASS:
        emit(c, (struct instruction){ .op = OP_CLASS, .set = n->set });
        break;
    case NODE_ASSERT:
        emit(c, (struct instruction){ .op = OP_ASSERT, .assertion = n->assertion });
        break;
    case NODE_CAT:
        for (const struct node *child = n->first; child; child = child->next)
            generate(c, child);
        break;
    case NODE_ALT:
        generate_alternatives(c, n);
        break;
    case NODE_REPEAT:
        generate_repeat(c, n);
        break;
    }
}

int pattern_compile(struct arena *a, const char *text, const struct pattern **ret,
                    struct error **err)
{
    /* the tree is needed for the program only, the sets for both */
    struct node *root = NULL;
    int r = pattern_parse(a, text, &root, err);
    if (r < 0)
        return r;
    struct compiler c = { 0 };
    emit(&c, (struct instruction){ .op = OP_JUMP, .x = 1 });
    generate(&c, root);
    emit(&c, (struct instruction){ .op = OP_MATCH });
    if (c.overflow) {
        free(c.program);
        return error_set(err, ERROR_INVALID, "error parsing regexp: expression too large: `%s`",
                         text);
    }
    struct pattern *compiled = arena_alloc(a, sizeof *compiled);
    compiled->count = c.count;
    compiled->program = arena_alloc(a, (size_t)c.count * sizeof *c.program);
    memcpy(compiled->program, c.program, (size_t)c.count * sizeof *c.program);
    free(c.program);
    *ret = compiled;
    return 0;
}

/* ---- machine --------------------------------------------------------------------------------- */

/* A set of instructions, in constant time per operation. */
struct thread_set {
    int *dense;
    int *sparse;
    int count;
};

static bool set_add(struct thread_set *s, int i)
{
    int at = s->sparse[i];
    if (at < s->count && s->dense[at] == i)
        return false;
    s->sparse[i] = s->count;
    s->dense[s->count++] = i;
    return true;
}

static bool is_word(uint32_t r)
{
    return r < 0x80 && (isalnum((int)r) || r == '_');
}

struct position {
    bool at_start;
    bool at_end;
    uint32_t before;
    uint32_t after;
};

static bool holds(enum assertion assertion, const struct position *pos)
{
    bool word_before = !pos->at_start && is_word(pos->before),
         word_after = !pos->at_end && is_word(pos->after);
    switch (assertion) {
    case BEGIN_TEXT:
        return pos->at_start;
    case END_TEXT:
        return pos->at_end;
    case BEGIN_LINE:
        return pos->at_start || pos->before == '\n';
    case END_LINE:
        return pos->at_end || pos->after == '\n';
    case WORD_BOUNDARY:
        return word_before != word_after;
    case NO_WORD_BOUNDARY:
        return word_before == word_after;
    }
    return false;
}

/* Follows everything that needs no character, what is preferred first. True when the match is
 * reached; what comes after it is left out then. */
static bool follow(const struct pattern *p, struct thread_set *set, int *stack, int from,
                   const struct position *pos)
{
    int depth = 0;
    stack[depth++] = from;
    while (depth) {
        int i = stack[--depth];
        if (!set_add(set, i))
            continue;
        const struct instruction *in = &p->program[i];
        switch (in->op) {
        case OP_MATCH:
            return true;
        case OP_JUMP:
            stack[depth++] = in->x;
            break;
        case OP_SPLIT:
            stack[depth++] = in->lazy ? in->x : in->y;
            stack[depth++] = in->lazy ? in->y : in->x;
            break;
        case OP_ASSERT:
            if (holds(in->assertion, pos))
                stack[depth++] = i + 1;
            break;
        case OP_CLASS:
            break;
        }
    }
    return false;
}

bool pattern_matches(const struct pattern *p, const char *text, size_t len)
{
    size_t n = (size_t)p->count;
    /* the stack holds at most two entries for each instruction that is followed once */
    AUTO_FREE int *memory = mem_zalloc((n * 6 + 2) * sizeof(int));
    struct thread_set now = { memory, memory + n, 0 }, next = { memory + 2 * n, memory + 3 * n, 0 };
    int *stack = memory + 4 * n;
    struct position pos = { .at_start = true };
    for (size_t i = 0;;) {
        uint32_t rune = 0;
        size_t step = i < len ? char_decode(text + i, len - i, &rune) : 0;
        pos.at_end = i >= len;
        pos.after = rune;
        /* a match may begin at every character */
        if (follow(p, &now, stack, 0, &pos))
            return true;
        if (pos.at_end)
            return false;
        struct position ahead = { .before = rune, .at_end = i + step >= len };
        if (!ahead.at_end)
            char_decode(text + i + step, len - i - step, &ahead.after);
        next.count = 0;
        for (int k = 0; k < now.count; k++) {
            const struct instruction *in = &p->program[now.dense[k]];
            if (in->op == OP_CLASS && char_class_has(in->set, rune) &&
                follow(p, &next, stack, now.dense[k] + 1, &ahead))
                return true;
        }
        struct thread_set swap = now;
        now = next;
        next = swap;
        pos = (struct position){ .before = rune };
        i += step;
    }
}

/* ---- where it matches ------------------------------------------------------------------------ */

/* The state of a search. `begins` tells for each instruction in `now` where its match began; the
 * order in `now` is that of preference. */
struct search {
    const struct pattern *p;
    struct thread_set now, next;
    size_t *begins, *next_begins;
    int *stack;
    bool found;
    size_t from, to;
};

/* Adds what follows `at`, for a match that began at `begin`. True when the match ends here: it is
 * the best so far, and nothing that is preferred less counts any more. */
static bool enter(struct search *s, struct thread_set *set, size_t *begins, int at, size_t begin,
                  const struct position *pos, size_t here)
{
    int before = set->count;
    bool matched = follow(s->p, set, s->stack, at, pos);
    for (int k = before; k < set->count; k++)
        begins[set->dense[k]] = begin;
    if (matched) {
        s->found = true;
        s->from = begin;
        s->to = here;
    }
    return matched;
}

static void advance(struct search *s, uint32_t rune, const struct position *ahead, size_t here)
{
    s->next.count = 0;
    for (int k = 0; k < s->now.count; k++) {
        int at = s->now.dense[k];
        const struct instruction *in = &s->p->program[at];
        if (in->op == OP_CLASS && char_class_has(in->set, rune) &&
            enter(s, &s->next, s->next_begins, at + 1, s->begins[at], ahead, here))
            break;
    }
    struct thread_set set = s->now;
    s->now = s->next;
    s->next = set;
    size_t *begins = s->begins;
    s->begins = s->next_begins;
    s->next_begins = begins;
}

bool pattern_find(const struct pattern *p, const char *text, size_t len, size_t start,
                  size_t *ret_from, size_t *ret_to)
{
    size_t n = (size_t)p->count;
    AUTO_FREE int *memory = mem_zalloc((n * 6 + 2) * sizeof(int));
    AUTO_FREE size_t *begins = mem_zalloc(n * 2 * sizeof(size_t));
    struct search s = {
        .p = p,
        .now = { memory, memory + n, 0 },
        .next = { memory + 2 * n, memory + 3 * n, 0 },
        .begins = begins,
        .next_begins = begins + n,
        .stack = memory + 4 * n,
    };
    struct position pos = { .at_start = start == 0 };
    for (size_t k = start; k > 0; k--) /* the character before the first one */
        if (k == 1 || ((unsigned char)text[k - 1] & 0xc0) != 0x80) {
            char_decode(text + k - 1, len - k + 1, &pos.before);
            break;
        }
    for (size_t i = start;;) {
        uint32_t rune = 0;
        size_t step = i < len ? char_decode(text + i, len - i, &rune) : 0;
        pos.at_end = i >= len;
        pos.after = rune;
        if (!s.found)
            enter(&s, &s.now, s.begins, 0, i, &pos, i);
        if (pos.at_end || (s.found && s.now.count == 0))
            break;
        struct position ahead = { .before = rune, .at_end = i + step >= len };
        if (!ahead.at_end)
            char_decode(text + i + step, len - i - step, &ahead.after);
        advance(&s, rune, &ahead, i + step);
        pos = (struct position){ .before = rune };
        i += step;
    }
    *ret_from = s.from;
    *ret_to = s.to;
    return s.found;
}
