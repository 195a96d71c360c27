/* The catalogue's tables, for the files of this folder. */
#pragma once

#include "catalog/catalog.h"
#include "catalog/sku.h"

struct catalog {
    struct arena *a;
    struct preset *presets;
    size_t count;
    struct map *by_name[2]; /* weights_format -> lower-case name, id or alias -> preset */
    const char **names;     /* what nearest names are chosen from */
    size_t name_count;
    const struct json *retired;

    struct sku *skus;
    size_t sku_count;
};

void catalog_read_skus(struct catalog *c);
