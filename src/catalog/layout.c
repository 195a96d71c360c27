#include "catalog/layout.h"

#include "kube/quantity.h"

/* Each GPU holds a whole copy of the model when at least this many fit into the memory of the node.
 */
#define REPLICA_FACTOR 2

static bool copies_fit(const char *size, const struct gpu *gpu, int64_t nodes)
{
    int64_t bytes = 0;
    if (nodes > 1 || gpu->count < 2 || quantity_value(size, &bytes, NULL) < 0)
        return false;
    return (double)bytes * (double)gpu->count * REPLICA_FACTOR < (double)gpu->bytes;
}

struct layout layout_reference(const struct preset *p, const struct gpu *gpu, int64_t nodes)
{
    if (copies_fit(p->file_size, gpu, nodes))
        return (struct layout){ .tensor = 1, .pipeline = 1, .data = gpu->count };
    return (struct layout){ .tensor = gpu->count, .pipeline = MAX(nodes, INT64_C(1)), .data = 1 };
}

const char *layout_weights(const struct preset *p)
{
    return p->facts && p->facts->file_size ? p->facts->file_size : p->file_size;
}

/* vLLM gives each GPU the same number of query heads, and either a number of key-value heads or,
 * with others, a copy of one (vllm/config/model.py, verify_with_parallel_config; the models'
 * attention layers). A latent (MLA) has no heads to share out. */
static bool heads_can_be_shared(const struct model_facts *f, int64_t tensor)
{
    if (!f)
        return true;
    bool kv =
        f->latent > 0 || f->kv_heads <= 0 || f->kv_heads % tensor == 0 || tensor % f->kv_heads == 0;
    return f->heads % tensor == 0 && kv;
}

struct layout layout_precise(const struct preset *p, const struct gpu *gpu, int64_t nodes)
{
    int64_t tensor = MAX(gpu->count, INT64_C(1));
    while (tensor > 1 && (gpu->count % tensor != 0 || !heads_can_be_shared(p->facts, tensor)))
        tensor--;
    return (struct layout){
        .tensor = tensor,
        .pipeline = gpu->count / tensor * MAX(nodes, INT64_C(1)),
        .data = 1,
    };
}

bool layout_precise_copies(const struct preset *p, const struct gpu *gpu, int64_t nodes,
                           struct layout *ret)
{
    if (!copies_fit(layout_weights(p), gpu, nodes))
        return false;
    *ret = (struct layout){ .tensor = 1, .pipeline = 1, .data = gpu->count };
    return true;
}
