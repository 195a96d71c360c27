/* Command-line flags as Go's flag package reads them: one or two dashes, "-f=v" or "-f v", booleans
 * alone or with
 * "=true|false" (also 1, 0, t, f, T, F, TRUE, True …), "--" and the first operand end the flags
 * unless `interspersed`. A set of flags is a table of `struct flag`; help text is generated from
 * the same table. */
#pragma once

#include "base/error.h"

enum flag_kind { FLAG_STRING, FLAG_BOOL, FLAG_INT, FLAG_DOUBLE, FLAG_DURATION, FLAG_STRINGS };

struct flag_strings {
    const char **items; /* each use of the flag adds one */
    size_t count;
};

struct flag {
    const char *name; /* without dashes; NULL closes the table */
    enum flag_kind kind;
    void *target; /* const char **, bool *, int64_t *, double *, int64_t * (nanoseconds), struct
                     flag_strings * */
    const char *value; /* name of the value in the help text ("FILE"); NULL for booleans */
    const char
        *help;       /* one sentence, no default: the default is what target holds before parsing */
    char short_name; /* 'f' for -f; 0 for none */
};

struct flag_set {
    const char *usage;   /* "kaito plan -f FILE [flags]" */
    const char *summary; /* a sentence or two */
    const struct flag *flags;
    bool interspersed; /* operands may stand between flags */
};

/* Parses argv[1..]. Operands end up in argv order in *ret_operands (array owned by the caller:
 * free()). -ERROR_INVALID names the flag and the value; -ERROR_CANCELLED means help was asked for
 * (and printed to stdout). */
int flags_parse(const struct flag_set *set, int argc, char **argv, char ***ret_operands,
                size_t *ret_n, struct error **err);
void flags_print_help(const struct flag_set *set, int fd);
