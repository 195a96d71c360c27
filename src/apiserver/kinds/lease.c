/* Leases. */
#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    static const char *const strategies[] = { "OldestEmulationVersion", NULL };
    const struct json *spec = json_get(obj, "spec"),
                      *duration = json_get(spec, "leaseDurationSeconds");
    const struct json *transitions = json_get(spec, "leaseTransitions");
    const struct field_path *p = FIELD(NULL, "spec");
    const char *strategy = json_find_str(spec, "strategy");
    if (duration && json_int(duration, 1) <= 0)
        field_invalid(errors, FIELD(p, "leaseDurationSeconds"), duration, "must be greater than 0");
    check_not_negative(transitions, FIELD(p, "leaseTransitions"), errors);
    if (strategy && !is_one_of(strategy, strategies))
        field_not_supported_str(errors, FIELD(p, "strategy"), strategy, strategies);
    if (!str_empty(json_find_str(spec, "preferredHolder")) && str_empty(strategy))
        field_forbidden(errors, FIELD(p, "preferredHolder"),
                        "may only be specified if `strategy` is defined");
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, cell_text(a, json_find_str(obj, "spec", "holderIdentity"), ""));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Holder", "string", "", 0, "Who holds it." },
    COLUMN_AGE,
};

const struct api_kind kind_lease = {
    .resource = { "coordination.k8s.io", "v1", "leases", "Lease", true },
    .singular = "lease",
    .list_kind = "LeaseList",
    .short_names = (const char *const[]){ NULL },
    .categories = (const char *const[]){ NULL },
    .builtin = true,
    .strategy = &(const struct api_strategy){ .validate = validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
