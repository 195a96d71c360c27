/* Leases. */
#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

/* Coordinated leader election is a feature that is off by default. */
static void prepare(struct strategy_context *x, struct json *obj)
{
    static const char *const off[] = { "strategy", "preferredHolder" };
    for (size_t i = 0; i < COUNT_OF(off); i++)
        json_del(json_get(obj, "spec"), off[i]);
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    const struct json *spec = json_get(obj, "spec"),
                      *duration = json_get(spec, "leaseDurationSeconds");
    const struct json *transitions = json_get(spec, "leaseTransitions");
    const struct field_path *p = FIELD(NULL, "spec");
    if (duration && json_int(duration, 1) <= 0)
        field_invalid(errors, FIELD(p, "leaseDurationSeconds"), duration, "must be greater than 0");
    check_not_negative(transitions, FIELD(p, "leaseTransitions"), errors);
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
    .strategy = &(const struct api_strategy){ .prepare = prepare, .validate = validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
