/* Compiler attributes and small macros used everywhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ATTR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define ATTR_SENTINEL __attribute__((sentinel))
#define ATTR_UNUSED __attribute__((unused))
#define ATTR_NORETURN __attribute__((noreturn))
#define ATTR_NONNULL __attribute__((returns_nonnull))

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define STREQ(a, b) (strcmp((a), (b)) == 0)

/* Hands a pointer over: evaluates to its value and leaves NULL behind, so that a cleanup finds
 * nothing. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) take_ptr_ = (p);                                                             \
        (p) = NULL;                                                                                \
        take_ptr_;                                                                                 \
    })

/* Defines `name_cleanup`, to be used as CLEANUP(name_cleanup), from a function that frees a
 * pointer. */
#define DEFINE_CLEANUP(type, free_fn, name)                                                        \
    static inline void name(type *p)                                                               \
    {                                                                                              \
        if (*p)                                                                                    \
            free_fn(*p);                                                                           \
    }

/* Each argument is evaluated once. */
#define MIN(a, b) EXTREME_(<, a, b, __COUNTER__)
#define MAX(a, b) EXTREME_(>, a, b, __COUNTER__)
#define EXTREME_(op, a, b, n) EXTREME_NAMED_(op, a, b, n)
#define EXTREME_NAMED_(op, a, b, n)                                                                \
    ({                                                                                             \
        __typeof__(1 ? (a) : (b)) extreme_a_##n = (a);                                             \
        __typeof__(1 ? (a) : (b)) extreme_b_##n = (b);                                             \
        extreme_a_##n op extreme_b_##n ? extreme_a_##n : extreme_b_##n;                            \
    })

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
