#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

int command_flags(const struct flag_set *set, int argc, char **argv)
{
    struct error *err = NULL;
    AUTO_FREE char **operands = NULL;
    size_t n = 0;
    int r = flags_parse(set, argc, argv, &operands, &n, &err);
    if (r == -ERROR_CANCELLED) {
        error_free(err);
        return EXIT_DONE;
    }
    if (r == 0 && n > 0)
        r = error_set(&err, ERROR_INVALID, "unexpected argument \"%s\"", operands[0]);
    return r < 0 ? command_misused(argv[0], set->usage, err) : -1;
}

int command_misused(const char *name, const char *usage, struct error *err)
{
    fprintf(stderr, "kaito %s: %s\nusage: %s\n", name, error_message(err), usage);
    error_free(err);
    return EXIT_USAGE;
}

int command_fail(const char *name, struct error *err)
{
    fprintf(stderr, "kaito %s: %s\n", name, error_message(err));
    error_free(err);
    return EXIT_FAILED;
}
