/* Instance types and counts. */
#include <string.h>

#include "admission/internal.h"
#include "base/str.h"
#include "catalog/sku.h"
#include "kube/quantity.h"
#include "json/build.h"

static const char *instance_type(const struct subject *s)
{
    return str_or_empty(json_find_str(s->resource, "instanceType"));
}

static const char *instance_path(struct review *rv, const struct subject *s)
{
    return member_path(rv, s->resource_path, "instanceType");
}

/* The schema of v1alpha1 fills one in whether the user wants it or not. */
void check_instance_type_given(struct review *rv, const struct subject *s)
{
    const char *type = instance_type(s);
    if (one_box(rv))
        return;
    if (automatic_nodes(rv) && !*type)
        fault(rv, instance_path(rv, s), NULL,
              "is required, because this operator brings up nodes; choose an instance type with "
              "GPUs");
    else if (!automatic_nodes(rv) && *type && !s->v1alpha1)
        fault(rv, instance_path(rv, s), type,
              "must not be set, because this operator does not bring up nodes "
              "(--node-provisioner=byo); remove it and select nodes by labels");
}

void check_count(struct review *rv, const struct subject *s)
{
    const struct json *count = json_get(s->resource, "count");
    const char *field = member_path(rv, s->resource_path, "count");
    if (json_is_null(count))
        return;
    if (json_int(count, 0) < 1 || json_int(count, 0) > INT32_MAX)
        fault(rv, field, shown(rv, count), "is not a number of nodes; it must be 1 or more");
    else if (s->tuning && json_int(count, 0) > 1)
        fault(rv, field, shown(rv, count), "is too many: tuning runs on one node; set it to 1");
}

/* ---- instance types ----------------------------------------------------------------------------- */

static bool known_cloud(const char *cloud)
{
    return str_case_eq(cloud, "azure") || str_case_eq(cloud, "aws") || str_case_eq(cloud, "arc");
}

/* Azure has more of these than the table knows. */
static bool azure_family(const char *cloud, const char *type)
{
    return str_case_eq(cloud, "azure") &&
           (strncasecmp(type, "Standard_N", 10) == 0 || strncasecmp(type, "Standard_D", 10) == 0);
}

static const char *nearest_types(struct review *rv, const char *cloud, const char *type)
{
    const char *near[3];
    size_t n = sku_nearest(rv->a, rv->ad->catalog, cloud, type, near, COUNT_OF(near));
    return str_join(rv->a, (char *const *)near, n, ", ");
}

/* A template says itself what it needs; of presets and tuning the memory and the number of GPUs
 * must be known. */
static bool sizes_matter(const struct subject *s)
{
    return s->tuning || (s->preset_name && s->runtime != RUNTIME_LLAMA);
}

static void check_unknown_type(struct review *rv, const struct subject *s, const char *type)
{
    const char *cloud = rv->ad->settings->cloud;
    const char *field = instance_path(rv, s);
    if (!azure_family(cloud, type))
        fault(rv, field, type, "is not an instance type with GPUs that is known for %s; choose %s",
              cloud, nearest_types(rv, cloud, type));
    else if (sizes_matter(s))
        fault(rv, field, type,
              "is not known to have GPUs, so that the number of nodes cannot be reckoned; choose "
              "%s, or run your own inference.template on it",
              nearest_types(rv, cloud, type));
}

void check_instance_type_fits(struct review *rv, const struct subject *s)
{
    const struct operator_settings *settings = rv->ad->settings;
    const char *type = instance_type(s);
    if (!automatic_nodes(rv) || one_box(rv) || !*type)
        return;
    if (!known_cloud(settings->cloud)) {
        fault(rv, instance_path(rv, s), type,
              "cannot be checked, because the operator does not know its cloud; set CLOUD_PROVIDER "
              "to azure, aws or arc");
        return;
    }
    const struct sku *sku = sku_find(rv->ad->catalog, settings->cloud, type);
    if (!sku)
        check_unknown_type(rv, s, type);
    else if (sizes_matter(s) && !sku_runs_cuda(sku))
        fault(rv, instance_path(rv, s), type,
              "has %s, and the images of presets are built for NVIDIA's GPUs; choose %s",
              sku->gpu_model, nearest_types(rv, settings->cloud, type));
}

/* ---- memory ------------------------------------------------------------------------------------- */

static double gib(int64_t bytes)
{
    return (double)bytes / (double)GIB;
}

void check_memory(struct review *rv, const struct subject *s, const char *field, const char *value,
                  int64_t nodes, int64_t gpu_bytes)
{
    int64_t need = 0;
    if (!s->preset || str_empty(s->preset->file_size) ||
        quantity_value(s->preset->file_size, &need, NULL) < 0 || need <= 0)
        return;
    if (!s->bypass && (double)nodes * (double)gpu_bytes < (double)need)
        fault(rv, field, value,
              "has too little GPU memory: %lld nodes of %.0f GiB for the %.2f GiB of \"%s\"; take "
              "more or larger nodes, or a smaller model",
              (long long)nodes, gib(gpu_bytes), gib(need), s->preset_name);
    if (gpu_bytes < need && s->runtime == RUNTIME_TRANSFORMERS)
        fault(rv, member_path(rv, s->inference_path, "preset.name"), s->preset_name,
              "needs %.2f GiB of GPU memory and one node has %.0f; transformers cannot spread a "
              "model over several nodes, use vLLM or larger nodes",
              gib(need), gib(gpu_bytes));
}

static void check_new_nodes_memory(struct review *rv, const struct subject *s)
{
    const struct sku *sku = sku_find(rv->ad->catalog, rv->ad->settings->cloud, instance_type(s));
    if (sku && s->runtime == RUNTIME_TRANSFORMERS)
        check_memory(rv, s, instance_path(rv, s), instance_type(s),
                     json_find_int(s->resource, 1, "count"), sku->gpu_bytes);
}

void check_resource_of_inference(struct review *rv, const struct subject *s)
{
    if (s->preset_name && !preset_name_valid(rv, s->preset_name))
        return; /* told already, and nothing can be said about its size */
    if (!user_labels(rv, s->selector, s->selector_path) || one_box(rv))
        return;
    bool partition = !json_is_null(json_get(s->resource, "partition"));
    if (partition && automatic_nodes(rv)) {
        fault(rv, member_path(rv, s->resource_path, "partition"),
              shown(rv, json_get(s->resource, "partition")),
              "is possible on nodes of your own only (--node-provisioner=byo); remove it");
    } else if (automatic_nodes(rv)) {
        check_instance_type_fits(rv, s);
        check_new_nodes_memory(rv, s);
    } else if (partition) {
        check_partition(rv, s);
    } else if (s->preset_name && s->runtime != RUNTIME_LLAMA) {
        check_own_nodes(rv, s);
    }
}
