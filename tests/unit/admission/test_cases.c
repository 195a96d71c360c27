/* The verdicts of KAITO v0.12 on recorded creations and updates (cases.jsonl). Those that differ
 * here are in accepted.json with the reason; docs/differences.md has the rows. */
#include "world.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static struct json *read_accepted(struct arena *a)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    struct json *list = NULL;
    assert_int_equal(file_read(HERE "/accepted.json", MIB, &text, &len, NULL), 0);
    assert_int_equal(json_parse(a, text, len, &list, NULL), 0);
    return list;
}

static const struct json *accepted_of(const struct json *list, const char *id)
{
    JSON_FOREACH(it, list)
        if (str_eq(json_find_str(it.value, "id"), id))
            return it.value;
    return NULL;
}

static void review_row(struct arena *a, const struct json *row, const struct json *parameters,
                       struct admission_verdict *ret)
{
    struct operator_settings settings;
    settings_of(a, json_get(row, "config"), &settings);
    struct json *objects = json_new_array(a);
    JSON_FOREACH(it, json_get(row, "objects"))
        json_append(objects, json_clone(a, it.value));
    if (json_find_bool(row, false, "parameters"))
        JSON_FOREACH(it, parameters)
            json_append(objects, json_clone(a, it.value));
    struct admission_request q = {
        .operation =
            str_eq(json_find_str(row, "op"), "create") ? ADMISSION_CREATE : ADMISSION_UPDATE,
        .subresource = json_find_str(row, "subresource"),
        .object = json_get(row, "new"),
        .old = json_get(row, "old"),
    };
    review_with(a, &settings, objects, &q, ret);
}

/* Where the reference panics it has no verdict: the list must have ours. */
static bool as_wanted(const struct json *row, const struct json *accepted, bool allowed)
{
    const char *outcome = json_find_str(row, "outcome");
    if (accepted)
        return json_find_bool(accepted, !allowed, "allowed") == allowed;
    return !str_eq(outcome, "panic") && str_eq(outcome, "allow") == allowed;
}

static void recorded_verdicts(void **state)
{
    AUTO_ARENA a = arena_new();
    const struct json *rows = lines_of(a, "cases.jsonl");
    const struct json *parameters = json_get(json_at(rows, 0), "parameters");
    const struct json *list = read_accepted(a);
    size_t count = 0;
    size_t wrong = 0;
    size_t used = 0;
    JSON_FOREACH(it, rows) {
        const char *id = json_find_str(it.value, "id");
        if (!id)
            continue;
        const struct json *accepted = accepted_of(list, id);
        struct admission_verdict v;
        review_row(a, it.value, parameters, &v);
        count++;
        used += accepted != NULL;
        if (as_wanted(it.value, accepted, v.allowed))
            continue;
        wrong++;
        print_message("# %s: %s here, %s there: %s\n", id, v.allowed ? "allowed" : "denied",
                      json_find_str(it.value, "outcome"),
                      v.allowed ? json_text(a, json_get(it.value, "new"))
                                : admission_denial(a, &v));
    }
    assert_int_equal(count, 487);
    assert_int_equal(wrong, 0);
    assert_int_equal(used, json_size(list));
}

static void each_difference_is_one(void **state)
{
    AUTO_ARENA a = arena_new();
    const struct json *rows = lines_of(a, "cases.jsonl");
    JSON_FOREACH(it, read_accepted(a)) {
        const char *id = json_find_str(it.value, "id");
        assert_non_null(json_find_str(it.value, "reason"));
        JSON_FOREACH(row, rows) {
            if (!str_eq(json_find_str(row.value, "id"), id))
                continue;
            const char *outcome = json_find_str(row.value, "outcome");
            if (!str_eq(outcome, "panic") &&
                str_eq(outcome, "allow") == json_find_bool(it.value, false, "allowed"))
                fail_msg("%s: this is what the reference says, too", id);
        }
    }
}

/* ---- no input is too odd ------------------------------------------------------------------------ */

/* What a value becomes; NULL: it is left out. */
static const char *const others[] = { NULL, "null", "\"x\"", "7", "-1.5", "[]", "{}", "[{}]" };

/* Changes the value with this number, counted in the order of the text. False: there are fewer. */
static bool change_value(struct arena *a, struct json *v, size_t *number, const char *other)
{
    JSON_FOREACH(it, v) {
        struct json *value = NULL;
        if ((*number)-- > 0) {
            if (change_value(a, it.value, number, other))
                return true;
            continue;
        }
        if (other)
            json_parse(a, other, strlen(other), &value, NULL);
        if (it.key)
            json_set(a, v, arena_strndup(a, it.key, it.key_len), value);
        else if (value)
            json_replace_at(v, it.index, value);
        else
            json_remove_at(v, it.index);
        return true;
    }
    return false;
}

static bool review_changed(const struct json *row, const struct json *parameters,
                           const char *member, size_t number, const char *other)
{
    AUTO_ARENA a = arena_new();
    struct admission_verdict first;
    struct admission_verdict second;
    struct json *changed = json_clone(a, row);
    if (!change_value(a, json_get(changed, member), &number, other))
        return false;
    review_row(a, changed, parameters, &first);
    review_row(a, changed, parameters, &second);
    assert_int_equal(first.allowed, second.allowed);
    assert_int_equal(first.fault_count, second.fault_count);
    assert_int_equal(first.allowed, first.fault_count == 0);
    for (size_t i = 0; i < first.fault_count; i++) {
        assert_string_equal(first.faults[i].message, second.faults[i].message);
        assert_true(*first.faults[i].message);
    }
    struct json *same = json_clone(a, changed);
    json_set_str(a, same, "op", "update");
    json_set(a, same, "old", json_clone(a, json_get(same, "new")));
    review_row(a, same, parameters, &first);
    if (!first.allowed && !STREQ(first.faults[0].field, "kind") &&
        json_is_object(json_get(same, "new")))
        fail_msg("%s: cannot stay as it is: %s", json_find_str(row, "id"),
                 admission_denial(a, &first));
    return true;
}

/* Each value of each case is left out, and replaced by something else. What comes out may stay as
 * it is, whatever it is. */
static void changed_cases(void **state)
{
    static const char *const members[] = { "new", "old", "objects" };
    AUTO_ARENA a = arena_new();
    const struct json *rows = lines_of(a, "cases.jsonl");
    const struct json *parameters = json_get(json_at(rows, 0), "parameters");
    size_t count = 0;
    JSON_FOREACH(it, rows)
        for (size_t m = 0; m < COUNT_OF(members); m++)
            for (size_t n = 0;; n++) {
                const char *other = others[1 + (n + it.index) % (COUNT_OF(others) - 1)];
                if (!review_changed(it.value, parameters, members[m], n, NULL))
                    break;
                review_changed(it.value, parameters, members[m], n, other);
                count++;
            }
    assert_true(count > 10000);
}

UNIT_TESTS(TEST(recorded_verdicts), TEST(each_difference_is_one), TEST(changed_cases))
