/* The phase that a Workspace is counted under. */
#include "unit.h"

#include <string.h>

#include "cmd/workspace_metrics.h"
#include "json/json.h"

static void phases_say_what_the_user_has(void **state)
{
    static const struct {
        const char *workspace, *phase;
    } rows[] = {
        { "{}", "pending" },
        { "{\"status\":{}}", "pending" },
        { "{\"status\":{\"state\":\"Pending\"}}", "pending" },
        { "{\"status\":{\"state\":\"Running\"}}", "pending" },
        { "{\"status\":{\"state\":\"Ready\"}}", "succeeded" },
        { "{\"status\":{\"state\":\"Succeeded\"}}", "succeeded" },
        { "{\"status\":{\"state\":\"NotReady\"}}", "error" },
        { "{\"status\":{\"state\":\"Failed\"}}", "error" },
        { "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"},\"status\":{\"state\":\"Ready\"}}",
          "deleting" },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json *v = NULL;
        assert_int_equal(json_parse(a, rows[i].workspace, strlen(rows[i].workspace), &v, NULL), 0);
        assert_string_equal(workspace_phase(v), rows[i].phase);
    }
}

UNIT_TESTS(TEST(phases_say_what_the_user_has))
