/* Names and choices that all node back ends share. */
#include "unit.h"

#include "base/str.h"
#include "operator/nodes.h"
#include "json/build.h"

/* T23. The Go operator's, of a recorded cluster: existing NodePools must be found again. */
static void pools_are_named_as_before(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_string_equal(nodes_pool_name(a, "kp-one", "ws"), "kp-one-ws");
    const char *longest = "w-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    assert_string_equal(nodes_pool_name(a, "kp-long-name", longest),
                        "kp-long-name-w-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-f925a7518");
    /* exactly as long as a label may be */
    const char *ns = "n123456789";
    const char *name = "w12345678901234567890123456789012345678901234567890a";
    assert_int_equal(strlen(nodes_pool_name(a, ns, name)), 63);
    assert_string_equal(nodes_pool_name(a, ns, name), arena_printf(a, "%s-%s", ns, name));
    const char *more = arena_printf(a, "%sb", name), *other = arena_printf(a, "%sc", name);
    assert_int_equal(strlen(nodes_pool_name(a, ns, more)), 63);
    assert_string_not_equal(nodes_pool_name(a, ns, more), nodes_pool_name(a, ns, other));
}

static struct nodes_request request(struct arena *a, const char *uid)
{
    return (struct nodes_request){
        .words = &NODES_OF_WORKSPACES,
        .ns = "n",
        .name = "w",
        .uid = uid,
        .labels = OBJ("apps", STR("x")),
        .instance_type = "Standard_NC24ads_A100_v4",
        .count = 3,
    };
}

static const struct operator_settings azure = {
    .provisioner = PROVISIONER_AZURE_GPU,
    .cloud = "azure",
};

static void decide(struct arena *a, const char *uid, const struct nodes_facts *f,
                   struct decision *ret)
{
    struct nodes_request q = request(a, uid);
    struct nodes_input in = { &azure, &q, f };
    struct nodes_result result;
    *ret = (struct decision){ 0 };
    nodes_decide(a, &in, ret, &result);
}

static void claims_are_named_after_their_owner(void **state)
{
    AUTO_ARENA a = arena_new();
    const struct nodes_facts none = { .claims_served = true };
    struct decision first, again, other;
    decide(a, "u1", &none, &first);
    decide(a, "u1", &none, &again);
    decide(a, "u2", &none, &other);
    assert_int_equal(first.write_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const char *name = first.writes[i].name;
        /* what a gpu-provisioner takes for an agent pool's name */
        assert_true(strlen(name) <= 12 &&
                    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(name));
        assert_string_equal(name, again.writes[i].name);
        assert_string_not_equal(name, other.writes[i].name);
        assert_string_not_equal(name, first.writes[(i + 1) % 3].name);
        assert_string_equal(first.writes[i].done.component, "KAITO-Workspace-controller");
        assert_string_equal(first.writes[i].done.reason, "NodeClaimCreated");
        assert_string_equal(first.writes[i].failed.reason, "NodeClaimCreationFailed");
    }
}

/* In each state that a cache can show, what is made and what is there are as many as are wanted. */
static void there_are_never_more_than_wanted(void **state)
{
    AUTO_ARENA a = arena_new();
    const struct nodes_facts none = { .claims_served = true };
    struct decision all;
    decide(a, "u1", &none, &all);
    for (unsigned mask = 0; mask < 64; mask++) { /* two bits each: absent, there, going, pending */
        struct json *claims = EMPTY_ARR(), *pending = EMPTY_ARR();
        int64_t live = 0;
        for (unsigned i = 0; i < 3; i++) {
            unsigned how = mask >> 2 * i & 3;
            const char *name = all.writes[i].name;
            if (how == 1 || how == 2)
                json_append(claims,
                            OBJ("metadata", OBJ("name", STR(name), "deletionTimestamp",
                                                how == 2 ? STR("2026-01-01T00:00:00Z") : NULL)));
            else if (how == 3)
                json_append(pending, STR(name));
            live += how == 1 || how == 3;
        }
        const struct nodes_facts f = { .claims = claims,
                                       .pending = pending,
                                       .claims_served = true };
        struct decision d;
        decide(a, "u1", &f, &d);
        assert_int_equal(d.write_count + live, 3);
        for (size_t i = 0; i < d.write_count; i++) /* never the name of one that is there */
            assert_null(strstr(json_text(a, claims), d.writes[i].name));
    }
}

static void node_classes_are_chosen_by_name(void **state)
{
    AUTO_ARENA a = arena_new();
    struct operator_settings s = {
        .node_classes = ARR(OBJ("name", STR("a")), OBJ("name", STR("b"), "default", BOOL(true)))
    };
    assert_string_equal(nodes_class_name(&s, NULL), "b");
    assert_string_equal(nodes_class_name(&s, "a"), "a");
    assert_null(nodes_class_name(&s, "c"));
    s.node_classes = NULL;
    assert_null(nodes_class_name(&s, NULL));
}

/* T8 */
static void labels_say_whose_a_node_is(void **state)
{
    AUTO_ARENA a = arena_new();
    static const struct {
        const char *name, *ns;
        bool foreign;
    } rows[] = {
        { NULL, NULL, false }, { "w", NULL, false }, { "w", "n", false },
        { "v", NULL, true },   { "v", "n", true },   { "w", "m", true },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json *labels = OBJ("kaito.sh/workspace", STR(rows[i].name),
                                  "kaito.sh/workspacenamespace", STR(rows[i].ns));
        struct json *node = OBJ("metadata", OBJ("labels", labels));
        assert_int_equal(nodes_node_is_foreign(&NODES_OF_WORKSPACES, node, "n", "w"),
                         rows[i].foreign);
    }
}

UNIT_TESTS(TEST(pools_are_named_as_before), TEST(claims_are_named_after_their_owner),
           TEST(there_are_never_more_than_wanted), TEST(node_classes_are_chosen_by_name),
           TEST(labels_say_whose_a_node_is))
