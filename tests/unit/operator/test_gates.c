/* Feature gates as they are written on the command line. */
#include "unit.h"

#include <string.h>

#include "operator/gates.h"

static void defaults_are_those_of_the_go_operator(void **state)
{
    for (int i = 0; i < GATE_COUNT; i++)
        assert_int_equal(GATES_DEFAULT.on[i], i == GATE_VLLM || i == GATE_INFERENCE_SET);
}

static void what_is_named_is_set(void **state)
{
    struct gates g = GATES_DEFAULT;
    assert_int_equal(gates_parse("vLLM=false, enableMIG=True,ModelMirror=1,ModelStreaming=t,", &g,
                                 NULL),
                     0);
    assert_false(g.on[GATE_VLLM]);
    assert_true(g.on[GATE_MIG] && g.on[GATE_MODEL_MIRROR] && g.on[GATE_MODEL_STREAMING]);
    assert_true(g.on[GATE_INFERENCE_SET]);
    assert_int_equal(gates_parse("", &g, NULL), 0);
    assert_int_equal(gates_parse("enableMIG=true,enableMIG=false", &g, NULL), 0);
    assert_false(g.on[GATE_MIG]);
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        { "enableMig=true", "no feature gate \"enableMig\"; the gates are vLLM, disableNode" },
        { "vLLM", "\"vLLM\" has no value; write vLLM=true" },
        { "vLLM=on", "vLLM is \"on\"; it can be true or false" },
        { "=true", "no feature gate \"\"" },
        { "vLLM=", "vLLM is \"\"" },
        { "ModelStreaming=true", "ModelStreaming needs ModelMirror=true" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct gates g = GATES_DEFAULT;
        struct error *err = NULL;
        assert_int_equal(gates_parse(rows[i].text, &g, &err), -ERROR_INVALID);
        if (!strstr(error_message(err), rows[i].part))
            fail_msg("%s: %s", rows[i].text, error_message(err));
        error_free(err);
    }
}

UNIT_TESTS(TEST(defaults_are_those_of_the_go_operator), TEST(what_is_named_is_set),
           TEST(mistakes_are_named))
