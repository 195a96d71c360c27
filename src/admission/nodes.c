/* Nodes that the user brings, and the parts of them that a Workspace may ask for. */
#include <math.h>
#include <string.h>

#include "admission/internal.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/quantity.h"

#define PRODUCT "nvidia.com/gpu.product"
#define COUNT "nvidia.com/gpu.count"
#define MEMORY "nvidia.com/gpu.memory"

/* ---- partitions --------------------------------------------------------------------------------- */

/* slices and the GiB of one part: A30, A100, H100, H200, B200 and their kin. */
static const struct {
    int slices;
    int sizes[11]; /* ends with 0 */
} profiles[] = {
    { 1, { 5, 6, 10, 12, 18, 20, 23, 24, 35, 45 } },
    { 2, { 10, 12, 20, 24, 35, 45 } },
    { 3, { 20, 40, 47, 48, 71, 90 } },
    { 4, { 20, 24, 40, 47, 48, 71, 90 } },
    { 7, { 40, 80, 94, 96, 141, 180 } },
};

/* The GiB of a profile; 0: there is no such profile. */
static int64_t profile_gib(struct review *rv, const char *profile)
{
    for (size_t i = 0; i < COUNT_OF(profiles); i++)
        for (const int *size = profiles[i].sizes; *size; size++)
            if (STREQ(profile, arena_printf(rv->a, "%dg.%dgb", profiles[i].slices, *size)))
                return *size;
    return 0;
}

static const char *profile_names(struct review *rv)
{
    AUTO_BUF names = BUF_INIT(KIB);
    for (size_t i = 0; i < COUNT_OF(profiles); i++)
        for (const int *size = profiles[i].sizes; *size; size++)
            buf_printf(&names, "%s%dg.%dgb", names.len > 0 ? ", " : "", profiles[i].slices, *size);
    return arena_strdup(rv->a, buf_str(&names));
}

static void check_slice_memory(struct review *rv, const struct subject *s, const char *field,
                               const char *profile, int64_t size)
{
    int64_t need = 0;
    if (s->bypass || !s->preset || str_empty(s->preset->file_size) ||
        quantity_value(s->preset->file_size, &need, NULL) < 0 || need <= size * (int64_t)GIB)
        return;
    fault(rv, field, profile,
          "is too small: the weights of \"%s\" take %.2f GiB; choose a larger profile or a "
          "smaller model",
          s->preset_name, (double)need / (double)GIB);
}

static void check_mig(struct review *rv, const struct subject *s, const char *path)
{
    const struct json *partition = json_get(s->resource, "partition");
    const struct json *count = json_get(partition, "count");
    const char *profile = str_or_empty(json_find_str(partition, "profile"));
    const char *field = member_path(rv, path, "profile");
    int64_t size = profile_gib(rv, profile);
    if (!json_is_null(count))
        fault(rv, member_path(rv, path, "count"), shown(rv, count),
              "is of the mode accelerator; remove it: a Workspace gets one slice");
    if (!*profile)
        fault(rv, field, NULL, "is required with the mode mig; choose one of %s",
              profile_names(rv));
    else if (size == 0)
        fault(rv, field, profile, "is not a MIG profile that is known; choose one of %s",
              profile_names(rv));
    else
        check_slice_memory(rv, s, field, profile, size);
}

static void check_accelerators(struct review *rv, const struct subject *s, const char *path)
{
    const struct json *partition = json_get(s->resource, "partition");
    const struct json *count = json_get(partition, "count");
    const char *profile = json_find_str(partition, "profile");
    if (!str_empty(profile))
        fault(rv, member_path(rv, path, "profile"), profile, "is of the mode mig; remove it");
    if (json_is_null(count))
        fault(rv, member_path(rv, path, "count"), NULL,
              "is required with the mode accelerator: how many GPUs of a node");
    else if (json_int(count, 0) < 1)
        fault(rv, member_path(rv, path, "count"), shown(rv, count),
              "is not a number of GPUs; it must be 1 or more");
}

void check_partition(struct review *rv, const struct subject *s)
{
    const char *mode = str_or_empty(json_find_str(s->resource, "partition", "mode"));
    const char *path = member_path(rv, s->resource_path, "partition");
    bool mig = STREQ(mode, "mig");
    if (!mig && !STREQ(mode, "accelerator")) {
        fault(rv, member_path(rv, path, "mode"), mode, "is not one of mig, accelerator");
        return;
    }
    enum gate gate = mig ? GATE_MIG : GATE_ACCELERATOR;
    if (!rv->ad->settings->gates.on[gate])
        fault(rv, path, mode, "is switched off; start the operator with --feature-gates=%s=true",
              gate_name(gate));
    else if (mig)
        check_mig(rv, s, path);
    else
        check_accelerators(rv, s, path);
}

/* ---- whole nodes -------------------------------------------------------------------------------- */

struct gpus {
    const char *node;
    const char *product;
    int64_t count;
    int64_t gib; /* of all of them */
};

static bool read_gpus(struct review *rv, const struct json *node, const char *field,
                      struct gpus *ret)
{
    static const char *const keys[] = { PRODUCT, COUNT, MEMORY };
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (str_empty(meta_label(node, keys[i]))) {
            fault(rv, field, meta_name(node),
                  "is a selected node without the label %s; install NVIDIA's GPU feature "
                  "discovery, or select other nodes",
                  keys[i]);
            return false;
        }
    int64_t mib = 0;
    *ret = (struct gpus){ .node = meta_name(node), .product = meta_label(node, PRODUCT) };
    if (str_to_int64(meta_label(node, COUNT), &ret->count) < 0 || ret->count < 1 ||
        ret->count > 1024) {
        fault(rv, field, ret->node,
              "is a selected node whose label " COUNT " is \"%s\"; it must "
              "be a number of GPUs",
              meta_label(node, COUNT));
        return false;
    }
    if (str_to_int64(meta_label(node, MEMORY), &mib) < 0 || mib < 1 || mib > INT32_MAX) {
        fault(rv, field, ret->node,
              "is a selected node whose label " MEMORY " is \"%s\"; it must "
              "be the MiB of one GPU",
              meta_label(node, MEMORY));
        return false;
    }
    ret->gib = (int64_t)floor((double)mib / 1024 + 0.5) * ret->count;
    return true;
}

void check_own_nodes(struct review *rv, const struct subject *s)
{
    const struct admission_world *world = rv->ad->world;
    struct json *labels = user_labels(rv, s->selector, s->selector_path);
    const struct json *nodes = world->nodes(world->ctx, rv->a, labels);
    const char *field = s->selector_path;
    if (json_size(nodes) == 0) {
        fault(rv, field, shown(rv, s->selector),
              "selects no node; label the nodes with GPUs that it shall run on");
        return;
    }
    struct gpus first = { .node = NULL };
    JSON_FOREACH(it, nodes) {
        struct gpus g;
        if (!read_gpus(rv, it.value, field, &g))
            return;
        if (!first.node)
            first = g;
        if (!STREQ(first.product, g.product) || first.count != g.count || first.gib != g.gib) {
            fault(rv, field, shown(rv, s->selector),
                  "selects nodes with different GPUs: %s has %lld of %s (%lld GiB), %s has %lld of "
                  "%s (%lld GiB); select nodes that are the same",
                  first.node, (long long)first.count, first.product, (long long)first.gib, g.node,
                  (long long)g.count, g.product, (long long)g.gib);
            return;
        }
    }
    check_memory(rv, s, field, shown(rv, s->selector), (int64_t)json_size(nodes),
                 first.gib * (int64_t)GIB);
}
