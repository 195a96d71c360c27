/* Copies of models inside the cluster. */
#include "admission/internal.h"
#include "base/str.h"
#include "kube/quantity.h"

static void check_source(struct review *rv, const struct json *source)
{
    if (json_is_null(source)) {
        fault(rv, "spec.source", NULL, "is required with the mode Managed: where the model is");
        return;
    }
    const char *registry = str_or_empty(json_find_str(source, "registry"));
    if (!STREQ(registry, "huggingface"))
        fault(rv, "spec.source.registry", *registry ? registry : NULL,
              "must be huggingface; there is no other");
    if (str_empty(json_find_str(source, "modelID")))
        fault(rv, "spec.source.modelID", NULL, "is required: org/model");
}

static void check_storage(struct review *rv, const struct json *storage)
{
    if (json_is_null(storage)) {
        fault(rv, "spec.storage", NULL, "is required with the mode Managed: size and class");
        return;
    }
    const struct admission_world *world = rv->ad->world;
    const char *size = str_or_empty(json_find_str(storage, "size"));
    const char *name = str_or_empty(json_find_str(storage, "storageClassName"));
    int64_t bytes = 0;
    if (!*size)
        fault(rv, "spec.storage.size", NULL, "is required: a quantity such as 100Gi");
    else if (quantity_value(size, &bytes, NULL) < 0 || bytes < 1)
        fault(rv, "spec.storage.size", size, "is not a quantity; write it as 100Gi");
    if (!*name)
        fault(rv, "spec.storage.storageClassName", NULL,
              "is required: a StorageClass whose volumes can be mounted on many nodes");
    else if (!world->exists(world->ctx, ADMISSION_STORAGE_CLASS, name))
        fault(rv, "spec.storage.storageClassName", name,
              "is not a StorageClass of this cluster; `kubectl get storageclass` lists them");
}

void model_mirror_new(struct review *rv, const struct json *obj)
{
    const struct json *spec = json_get(obj, "spec");
    const char *mode = str_or_empty(json_find_str(spec, "mode"));
    if (STREQ(mode, "Static")) {
        if (!json_is_null(json_get(spec, "storage")))
            fault(rv, "spec.storage", shown(rv, json_get(spec, "storage")),
                  "is not possible with the mode Static, which makes no volume; remove it");
        return;
    }
    if (*mode && !STREQ(mode, "Managed")) {
        fault(rv, "spec.mode", mode, "is not one of Managed, Static");
        return;
    }
    check_source(rv, json_get(spec, "source"));
    check_storage(rv, json_get(spec, "storage"));
}

void model_mirror_change(struct review *rv, const struct json *obj, const struct json *old)
{
    if (!same_as(rv, "ModelMirrorSpec", json_get(obj, "spec"), json_get(old, "spec")))
        fault(rv, "spec", NULL, "cannot be changed; make a new ModelMirror");
}
