/* Where the weights of a model are: fetched into a disk of the node that is fast and local, where
 * there is one, else into an empty directory; already on the node; or streamed. */
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "kube/quantity.h"
#include "kube/selector.h"
#include "workspace/decide_internal.h"
#include "json/build.h"

#define LOCAL_WEIGHTS_DIR "/opt/kaito/models"

/* "/opt/kaito/models/microsoft-phi-4" */
static const char *host_dir(struct arena *a, const char *preset)
{
    char *name = str_lower(a, preset);
    for (char *p = name; *p; p++)
        if (*p == '/' || *p == '\\')
            *p = '-';
    return arena_printf(a, LOCAL_WEIGHTS_DIR "/%s", name);
}

static bool has_claim(const struct json *statefulset)
{
    JSON_FOREACH(it, json_find(statefulset, "spec", "volumeClaimTemplates"))
        if (str_eq(json_find_str(it.value, "metadata", "name"), ENGINE_WEIGHTS_VOLUME))
            return true;
    return false;
}

/* Of the nodes of this Workspace, by what the driver of the disks says it has left. */
static bool reaches(const struct json *capacity, const struct json *node)
{
    CLEANUP(selector_cleanup) struct selector *match = NULL;
    const struct json *topology = json_get(capacity, "nodeTopology");
    return topology && selector_from_object(topology, &match, NULL) == 0 &&
           selector_matches_labels(match, json_find(node, "metadata", "labels"));
}

static int64_t left_on(const struct decider *d, const struct json *node, bool *ret_told)
{
    int64_t most = 0;
    *ret_told = false;
    JSON_FOREACH(it, d->o->disk_capacities) {
        const char *text = json_find_str(it.value, "capacity");
        int64_t bytes = 0;
        if (!str_eq(json_find_str(it.value, "storageClassName"), LOCAL_DISK_CLASS) ||
            !reaches(it.value, node))
            continue;
        *ret_told = true;
        if (text && quantity_value(text, &bytes, NULL) == 0)
            most = MAX(most, bytes);
    }
    return most;
}

/* Room for the weights on as many nodes as there are pods. A node that the driver does not tell
 * about counts as empty. */
static bool disks_have_room(const struct decider *d)
{
    int64_t need = 0, nodes = 0;
    if (json_size(d->o->disk_capacities) == 0 ||
        quantity_value(d->choice.preset->disk, &need, NULL) < 0)
        return true;
    JSON_FOREACH(it, d->o->nodes.nodes) {
        bool told = false;
        int64_t left = left_on(d, it.value, &told);
        nodes += !told || left >= need;
    }
    return nodes >= MAX(d->target_nodes, INT64_C(1));
}

void decide_weights_place(struct decider *d)
{
    const struct engine *engine = d->choice.engine;
    const struct preset *p = d->choice.preset;
    d->place = PLACE_EMPTY_DIR;
    if (d->ws.template || !p || !engine || engine->format != WEIGHTS_SAFETENSORS || d->ws.tuning)
        return;
    if (d->streaming)
        return;
    if (engine->streams_weights &&
        str_eq(meta_annotation(d->ws.json, WORKSPACE_LOCAL_WEIGHTS), "true")) {
        d->place = PLACE_HOST;
        d->weights_source = host_dir(d->a, d->ws.preset_name);
        return;
    }
    if (d->o->statefulset) {
        if (has_claim(d->o->statefulset))
            d->place = PLACE_LOCAL_DISK;
        return;
    }
    if (!d->sku || !d->sku->nvme || !d->o->local_disk_class)
        return;
    d->place = PLACE_LOCAL_DISK;
    if (!disks_have_room(d)) {
        d->place = PLACE_EMPTY_DIR;
        d->disk_full = true;
    }
}

/* clang-format off */
struct json *decide_weights_claims(const struct decider *d)
{
    struct arena *a = d->a;
    if (d->place != PLACE_LOCAL_DISK)
        return NULL;
    struct json *metadata = OBJ("name", STR(ENGINE_WEIGHTS_VOLUME),
                                "labels", OBJ(WORKSPACE_LABEL, STR(d->ws.name)));
    struct json *requests = OBJ("storage", STR(d->choice.preset->disk));
    return ARR(OBJ("metadata", metadata,
                   "spec", OBJ("accessModes", ARR(STR("ReadWriteOnce")),
                               "storageClassName", STR(LOCAL_DISK_CLASS),
                               "resources", OBJ("requests", requests))));
}
/* clang-format on */

void decide_weights_status(const struct decider *d, struct json *conditions)
{
    struct condition full = {
        "LocalDiskReady", "False", "NoLocalDiskCapacity",
        "the nodes' local disks have no room for the weights; they are on the nodes' system disks, "
        "which are slower to read"
    };
    bool was_full = condition_is(conditions, full.type, "False") && d->place == PLACE_EMPTY_DIR;
    if (d->disk_full || was_full)
        condition_set(d->a, conditions, &full, d->ws.generation, d->in->now_ns);
    else
        condition_remove(conditions, full.type);
}
