/* Whether a value is of its type, in the words of the API server. */
#include <string.h>

#include "apiserver/fields/walk.h"
#include "apiserver/status.h"
#include "base/str.h"

#define MAX_PROBLEMS 100

struct check {
    struct arena *a;
    bool allow_twins;
    const char **problems;
    size_t count;
};

struct spot {
    const struct spot *up;
    const struct field_step *step; /* NULL: the whole value */
};

static const char *spot_text(struct arena *a, const struct spot *at)
{
    return at->step ? arena_printf(a, "%s%s", spot_text(a, at->up), field_step_text(a, at->step))
                    : "";
}

static void problem(struct check *c, const struct spot *at, const char *text)
{
    const char *path = spot_text(c->a, at);
    if (c->count < MAX_PROBLEMS)
        c->problems[c->count++] = *path ? arena_printf(c->a, "%s: %s", path, text) : text;
}

static void check(struct check *c, struct field_type t, const struct json *v,
                  const struct spot *at);

/* A value as Go prints what it is kept in, by its type or not. */
static const char *shown(struct check *c, const struct json *v)
{
    return arena_printf(c->a, "&{%s}", json_is_string(v) ? json_string(v) : go_print(c->a, v));
}

static const char *shown_in_full(struct check *c, const struct json *v)
{
    const char *text = json_is_bool(v) || json_is_number(v) ? json_text(c->a, v)
                       : json_is_string(v)                  ? go_quote(c->a, json_string(v))
                                                            : go_print(c->a, v);
    return arena_printf(c->a, "&value.valueUnstructured{Value:%s}", text);
}

static const char *go_type(const struct json *v)
{
    switch (json_type(v)) {
    case JSON_BOOL:
        return "bool";
    case JSON_STRING:
        return "string";
    case JSON_ARRAY:
        return "[]interface {}";
    case JSON_OBJECT:
        return "map[string]interface {}";
    default:
        return "<nil>";
    }
}

static void check_scalar(struct check *c, enum field_scalar scalar, const struct json *v,
                         const struct spot *at)
{
    bool container = json_is_object(v) || json_is_array(v);
    if (json_is_null(v))
        return;
    if (scalar == SCALAR_NUMBER && !json_is_number(v))
        problem(c, at, arena_printf(c->a, "expected numeric (int or float), got %s", go_type(v)));
    else if (scalar == SCALAR_STRING && !json_is_string(v))
        problem(c, at, arena_printf(c->a, "expected string, got %s", shown_in_full(c, v)));
    else if (scalar == SCALAR_BOOLEAN && !json_is_bool(v))
        problem(c, at, arena_printf(c->a, "expected boolean, got %s", shown(c, v)));
    else if (scalar == SCALAR_ANY && container)
        problem(c, at, arena_printf(c->a, "expected any scalar, got %s", shown(c, v)));
}

static void check_map(struct check *c, const struct field_type *t, const struct field_atom *atom,
                      const struct json *v, const struct spot *at)
{
    if (!json_is_object(v)) {
        if (!json_is_null(v))
            problem(c, at, arena_printf(c->a, "expected map, got %s", shown(c, v)));
        return;
    }
    JSON_FOREACH(it, v) {
        bool declared;
        struct field_type member = field_member(t, atom, it.key, &declared);
        struct field_step step = { .name = it.key, .name_len = it.key_len };
        struct spot below = { at, &step };
        if (member.source == FROM_NOTHING) {
            problem(c, &below, "field not declared in schema");
            return;
        }
        check(c, member, it.value, &below);
    }
}

static void check_twins(struct check *c, const struct field_element *v, size_t n,
                        const struct spot *at)
{
    struct field_element *sorted = arena_alloc(c->a, (n + 1) * sizeof *sorted);
    memcpy(sorted, v, n * sizeof *sorted);
    field_elements_sort(sorted, n);
    for (size_t i = 1; i < n; i++)
        if (field_step_compare(&sorted[i - 1].step, &sorted[i].step) == 0)
            problem(c, at,
                    arena_printf(c->a, "duplicate entries for key %s",
                                 field_step_text(c->a, &sorted[i].step)));
}

static void check_list(struct check *c, const struct field_atom *atom, const struct json *v,
                       const struct spot *at)
{
    if (!json_is_array(v)) {
        if (!json_is_null(v))
            problem(c, at, arena_printf(c->a, "expected list, got %s", shown(c, v)));
        return;
    }
    if (atom->relation == RELATION_ATOMIC) {
        JSON_FOREACH(it, v) {
            struct field_step step = { .kind = STEP_INDEX, .index = (int64_t)it.index };
            check(c, atom->element, it.value, &(struct spot){ at, &step });
        }
        return;
    }
    struct field_element *e;
    size_t n = 0;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (field_elements(c->a, atom, v, &e, &n, &err) < 0) {
        problem(c, at, arena_strdup(c->a, error_message(err)));
        return;
    }
    if (!c->allow_twins)
        check_twins(c, e, n, at);
    for (size_t i = 0; i < n; i++)
        check(c, atom->element, e[i].v, &(struct spot){ at, &e[i].step });
}

static void check(struct check *c, struct field_type t, const struct json *v, const struct spot *at)
{
    struct field_atom atom = field_atom_of(&t);
    switch (field_form_of(&atom, v)) {
    case FORM_MAP:
        check_map(c, &t, &atom, v, at);
        break;
    case FORM_LIST:
        check_list(c, &atom, v, at);
        break;
    case FORM_SCALAR:
        check_scalar(c, atom.scalar, v, at);
        break;
    case FORM_NOTHING:
        problem(c, at, "schema error: invalid atom: inlined");
        break;
    }
}

int fields_check(struct arena *a, struct field_type t, const struct json *v, bool allow_twins,
                 struct error **err)
{
    struct check c = { a, allow_twins, arena_alloc(a, MAX_PROBLEMS * sizeof(char *)), 0 };
    check(&c, t, v, &(struct spot){ NULL, NULL });
    if (c.count == 0)
        return 0;
    if (c.count == 1)
        return error_set(err, ERROR_INVALID, "%s", c.problems[0]);
    AUTO_BUF text = BUF_INIT(MIB);
    buf_puts(&text, "errors:");
    for (size_t i = 0; i < c.count; i++)
        buf_printf(&text, "\n  %s", c.problems[i]);
    return error_set(err, ERROR_INVALID, "%s", buf_str(&text));
}
