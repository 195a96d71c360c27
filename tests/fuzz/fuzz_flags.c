/* A command line, its arguments parted by line feeds. */
#include "base/flags.h"
#include "base/mem.h"
#include "base/str.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *name = "x";
    bool verbose = false;
    int64_t count = 1, wait = NS_PER_S;
    double ratio = 0;
    struct flag_strings list = { 0 };
    const struct flag flags[] = {
        { "name", FLAG_STRING, &name, "NAME", "A name", 'n' },
        { "verbose", FLAG_BOOL, &verbose, NULL, "More" },
        { "count", FLAG_INT, &count, "N", "A number" },
        { "ratio", FLAG_DOUBLE, &ratio, "R", "Another" },
        { "wait", FLAG_DURATION, &wait, "D", "A time" },
        { "list", FLAG_STRINGS, &list, "S", "Several" },
        { "help", FLAG_BOOL, &verbose, NULL, "So that none is printed" },
        { "h", FLAG_BOOL, &verbose, NULL, "Nor here" },
        { 0 },
    };
    const struct flag_set set = { .flags = flags, .interspersed = size > 0 && data[0] & 1 };

    AUTO_ARENA a = arena_new();
    size_t n;
    char **argv = str_split(a, arena_strndup(a, (const char *)data, size), '\n', &n);
    char **operands = NULL;
    size_t n_operands = 0;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (flags_parse(&set, (int)n, argv, &operands, &n_operands, &err) == 0)
        must(n_operands < n || n_operands == 0);
    free(operands);
    free(list.items);
    return 0;
}
