/* The store with an index of a label answers as one without. */
#include "kube/store.h"

#include "kube/selector.h"
#include "unit.h"
#include "json/build.h"

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static struct kube_object *object(struct arena *a, unsigned n, unsigned version, unsigned label)
{
    struct json *labels = EMPTY_OBJ();
    if (label > 0) /* 0: it has none; 1: it is empty */
        json_set_str(a, labels, "l", label > 1 ? arena_printf(a, "v%u", label) : "");
    json_set_str(a, labels, "m", version % 2 ? "odd" : "even");
    return kube_object_new(
        OBJ("metadata",
            OBJ("namespace", STRF("ns%u", n % 3), "name", STRF("o%u", n), "uid", STRF("u%u", n),
                "resourceVersion", STRF("%u", version), "labels", labels)));
}

static char *names(struct arena *a, struct kube_store *s, const char *ns, const char *selector)
{
    CLEANUP(selector_cleanup) struct selector *match = NULL;
    assert_int_equal(selector_parse_labels(selector, &match, NULL), 0);
    struct kube_object_list l;
    kube_store_list(s, ns, match, &l);
    AUTO_BUF out = BUF_INIT(MIB);
    for (size_t i = 0; i < l.count; i++)
        buf_printf(&out, "%s/%s@%s ", l.items[i]->ns, l.items[i]->name,
                   l.items[i]->resource_version);
    kube_object_list_done(&l);
    return arena_strdup(a, buf_str(&out));
}

static void an_index_changes_no_answer(void **state)
{
    static const char *const selectors[] = { "",           "l=v2",     "l=v3",      "l=v4",
                                             "l=v2,m=odd", "l=nobody", "l in (v2)", "l in (v2, v3)",
                                             "l!=v2",      "!l",       "l=",        "m=even" };
    struct kube_store *plain = kube_store_new(NULL), *indexed = kube_store_new("l");
    struct kube_store *both[] = { plain, indexed };
    unsigned random = 7;
    for (unsigned step = 1; step < 3000; step++) {
        AUTO_ARENA a = arena_new();
        unsigned n = next_random(&random) % 40, label = next_random(&random) % 5;
        bool removes = next_random(&random) % 4 == 0;
        for (size_t i = 0; i < COUNT_OF(both); i++) {
            struct kube_store_change change = { 0 };
            if (removes ? kube_store_remove(both[i], arena_printf(a, "ns%u", n % 3),
                                            arena_printf(a, "o%u", n), &change)
                        : kube_store_put(both[i], object(a, n, step, label), &change))
                kube_store_change_done(&change);
        }
        const char *selector = selectors[next_random(&random) % COUNT_OF(selectors)];
        const char *ns = step % 2 ? arena_printf(a, "ns%u", step % 4) : NULL;
        assert_string_equal(names(a, indexed, ns, selector), names(a, plain, ns, selector));
    }
    kube_store_free(plain);
    kube_store_free(indexed);
}

UNIT_TESTS(TEST(an_index_changes_no_answer))
