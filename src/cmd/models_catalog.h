/* `kaito models catalog`: the presets, and the machines that they fit on. */
#pragma once

#include "json/json.h"

struct models_catalog_query {
    const char *filter; /* in a name, alias or license; NULL: all */
    const char *fits;   /* only what one node of this machine type is enough for; NULL: all */
    const char *cloud;
    int64_t context; /* tokens; 0: 2048 */
    bool precise;
};

struct models_catalog_query models_catalog_query_default(void);
int models_catalog(struct arena *a, const struct models_catalog_query *q, const char *output,
                   struct error **err);
