/* ServiceAccounts: names only; no tokens are made for them. */
#include "apiserver/kinds/kinds.h"

static const struct table_column columns[] = {
    COLUMN_NAME,
    COLUMN_AGE,
};

const struct api_kind kind_service_account = {
    .resource = { "", "v1", "serviceaccounts", "ServiceAccount", true },
    .singular = "serviceaccount",
    .list_kind = "ServiceAccountList",
    .short_names = (const char *const[]){ "sa", NULL },
    .categories = (const char *const[]){ NULL },
    .builtin = true,
    .strategy = &(const struct api_strategy){ 0 },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
};
