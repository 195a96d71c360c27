/* The characters of Unicode's general categories, as sorted ranges. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct unicode_range {
    uint32_t low, high;
};
struct unicode_category {
    const char *name;    /* NULL ends the table */
    size_t first, count; /* in unicode_ranges */
};
extern const struct unicode_range unicode_ranges[];
extern const struct unicode_category unicode_categories[];
