/* Data files that are carried inside the executable; scripts/embed makes them at build time. */
#pragma once

#include <stddef.h>

#define EMBEDDED(name)                                                                             \
    extern const char data_##name[];                                                               \
    extern const size_t data_##name##_size
