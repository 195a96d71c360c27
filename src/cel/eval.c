/* The tree is walked. A fault ends the evaluation, except where the language says that the other
 * side decides: false && fault is false. */
#include <stdarg.h>
#include <string.h>

#include "base/str.h"
#include "cel/cel_internal.h"

#define MAX_STEPS 1000000

struct eval {
    struct arena *a;
    const struct json *slots[CEL_MAX_SLOTS];
    long steps;
    const char *fault; /* NULL: none */
};

static const struct json *run(struct eval *e, const struct cel_node *n);

static const struct json *fault(struct eval *e, const char *what)
{
    if (!e->fault)
        e->fault = what;
    return NULL;
}

static const struct json *truth(struct eval *e, bool value)
{
    return json_new_bool(e->a, value);
}

/* The value of a condition: 1, 0, or -1 with the fault. */
static int ask(struct eval *e, const struct cel_node *n)
{
    const struct json *v = run(e, n);
    if (e->fault)
        return -1;
    if (!json_is_bool(v)) {
        fault(e, "no such overload");
        return -1;
    }
    return json_bool(v, false);
}

static const struct json *run_select(struct eval *e, const struct cel_node *n)
{
    const struct json *from = run(e, n->children[0]);
    if (e->fault)
        return NULL;
    if (!json_is_object(from))
        return fault(e, "no such overload");
    const struct json *v = json_get(from, n->name);
    if (n->kind == CEL_HAS)
        return truth(e, v != NULL);
    return v ? v : fault(e, arena_printf(e->a, "no such key: %s", n->name));
}

static const struct json *run_index(struct eval *e, const struct cel_node *n)
{
    const struct json *from = run(e, n->children[0]);
    const struct json *at = e->fault ? NULL : run(e, n->children[1]);
    if (e->fault)
        return NULL;
    if (json_is_object(from) && json_is_string(at)) {
        const struct json *v = json_get_n(from, json_string(at), json_string_len(at));
        return v ? v : fault(e, arena_printf(e->a, "no such key: %s", json_string(at)));
    }
    if (!json_is_array(from) || !json_is_number(at))
        return fault(e, "no such overload");
    double index = json_double(at, -1);
    if (index < 0 || index >= (double)json_size(from) || index != (double)(size_t)index)
        return fault(e, arena_printf(e->a, "index out of bounds: %s", json_text(e->a, at)));
    e->steps -= (long)index;
    return json_at(from, (size_t)index);
}

static const struct json *run_call(struct eval *e, const struct cel_node *n)
{
    const struct json *args[CEL_MAX_ARGS] = { 0 };
    for (size_t i = 0; i < n->count; i++) {
        args[i] = run(e, n->children[i]);
        if (e->fault)
            return NULL;
    }
    struct cel_call call = { .a = e->a, .args = args, .count = n->count, .steps = &e->steps };
    const struct json *v = n->function->call(&call);
    return call.fault ? fault(e, call.fault) : v;
}

static const struct json *run_list(struct eval *e, const struct cel_node *n)
{
    struct json *list = json_new_array(e->a);
    for (size_t i = 0; i < n->count && !e->fault; i++) {
        struct json *v = json_clone(e->a, run(e, n->children[i]));
        json_append(list, v ? v : json_new_null(e->a));
    }
    return list;
}

static const struct json *run_map(struct eval *e, const struct cel_node *n)
{
    struct json *map = json_new_object(e->a);
    for (size_t i = 0; i + 1 < n->count && !e->fault; i += 2) {
        const struct json *key = run(e, n->children[i]);
        const struct json *value = e->fault ? NULL : run(e, n->children[i + 1]);
        if (e->fault)
            break;
        if (!json_is_string(key))
            return fault(e, "keys of maps must be strings");
        struct json *copy = json_clone(e->a, value);
        json_set(e->a, map, json_string(key), copy ? copy : json_new_null(e->a));
    }
    return map;
}

/* One side that decides is enough, even when another one has a fault. */
static const struct json *run_chain(struct eval *e, const struct cel_node *n)
{
    const int decides = n->kind == CEL_OR;
    const char *first_fault = NULL;
    for (size_t i = 0; i < n->count; i++) {
        int side = ask(e, n->children[i]);
        if (side == decides)
            return truth(e, decides);
        if (side < 0 && !first_fault)
            first_fault = e->fault;
        e->fault = e->steps > 0 ? NULL : e->fault;
        if (e->fault)
            return NULL;
    }
    return first_fault ? fault(e, first_fault) : truth(e, !decides);
}

/* ---- macros ----------------------------------------------------------------------------------------------------- */

struct loop {
    const struct cel_node *n;
    const char *first_fault;
    size_t hits;
    bool decided;
    struct json *list;
};

static void loop_step(struct eval *e, struct loop *l, const struct json *element)
{
    const struct cel_node *n = l->n;
    e->slots[n->slot] = element;
    int yes = ask(e, n->children[1]);
    bool absorbs = n->macro == CEL_ALL || n->macro == CEL_EXISTS;
    if (yes < 0 && absorbs && e->steps > 0) {
        l->first_fault = l->first_fault ? l->first_fault : e->fault;
        e->fault = NULL;
        return;
    }
    if (yes < 0)
        return;
    l->hits += (size_t)yes;
    l->decided = (n->macro == CEL_ALL && !yes) || (n->macro == CEL_EXISTS && yes);
    if (!yes || !l->list)
        return;
    const struct json *v = n->macro == CEL_TRANSFORM ? run(e, n->children[2]) : element;
    struct json *copy = e->fault ? NULL : json_clone(e->a, v);
    json_append(l->list, copy ? copy : json_new_null(e->a));
}

static const struct json *loop_result(struct eval *e, const struct loop *l)
{
    if (l->list)
        return l->list;
    if (l->n->macro == CEL_EXISTS_ONE)
        return truth(e, l->hits == 1);
    if (l->decided)
        return truth(e, l->n->macro == CEL_EXISTS);
    if (l->first_fault)
        return fault(e, l->first_fault);
    return truth(e, l->n->macro == CEL_ALL);
}

static const struct json *run_loop(struct eval *e, const struct cel_node *n)
{
    const struct json *range = run(e, n->children[0]);
    if (e->fault)
        return NULL;
    if (!json_is_array(range) && !json_is_object(range))
        return fault(e, "no such overload");
    bool makes_list = n->macro == CEL_FILTER || n->macro == CEL_TRANSFORM;
    struct loop l = { .n = n, .list = makes_list ? json_new_array(e->a) : NULL };
    JSON_FOREACH(it, range) {
        loop_step(e, &l, json_is_array(range) ? it.value : json_new_string(e->a, it.key));
        if (e->fault || l.decided)
            break;
    }
    return e->fault ? NULL : loop_result(e, &l);
}

/* ---- together --------------------------------------------------------------------------------------------------- */

static const struct json *run(struct eval *e, const struct cel_node *n)
{
    if (--e->steps <= 0)
        return fault(e, "operation cancelled: actual cost limit exceeded");
    int yes;
    switch (n->kind) {
    case CEL_LITERAL:
        return n->literal;
    case CEL_VARIABLE:
        return e->slots[n->slot];
    case CEL_SELECT:
    case CEL_HAS:
        return run_select(e, n);
    case CEL_INDEX:
        return run_index(e, n);
    case CEL_CALL:
        return run_call(e, n);
    case CEL_LIST:
        return run_list(e, n);
    case CEL_MAP:
        return run_map(e, n);
    case CEL_CONDITIONAL:
        yes = ask(e, n->children[0]);
        return yes < 0 ? NULL : run(e, n->children[yes ? 1 : 2]);
    case CEL_AND:
    case CEL_OR:
        return run_chain(e, n);
    case CEL_LOOP:
        return run_loop(e, n);
    }
    return NULL;
}

int cel_eval(struct arena *a, const struct cel_program *p, const struct json *self,
             const struct json *old_self, const struct json **ret, struct error **err)
{
    struct eval e = { .a = a, .slots = { self, old_self }, .steps = MAX_STEPS };
    const struct json *v = run(&e, p->root);
    if (e.fault)
        return error_set(err, ERROR_INVALID, "%s", e.fault);
    *ret = v;
    return 0;
}
