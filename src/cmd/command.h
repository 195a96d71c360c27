/* One entry per subcommand of `kaito`: each file parses its flags and calls the libraries. */
#pragma once

#include "base/flags.h"

/* Exit codes: 0 done, 1 it failed (one line on stderr says why and what to do), 2 the command line
 * is wrong. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the subcommand's name */
};

int command_up(int argc, char **argv);
int command_manager(int argc, char **argv);
int command_plan(int argc, char **argv);
int command_estimate(int argc, char **argv);
int command_models(int argc, char **argv);
int command_validate(int argc, char **argv);
int command_version(int argc, char **argv);

/* Parses the flags of a subcommand that takes no operands. Returns -1 to go on, else the exit code
 * to end with. */
int command_flags(const struct flag_set *set, int argc, char **argv);

/* Prints "kaito NAME: MESSAGE" and the usage to stderr and returns EXIT_USAGE. Takes the error
 * over. */
int command_misused(const char *name, const char *usage, struct error *err);

/* Prints "kaito NAME: MESSAGE" to stderr and returns EXIT_FAILED. Takes the error over. */
int command_fail(const char *name, struct error *err);
