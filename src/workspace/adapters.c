/* LoRA adapters beside a model: each comes from an image, whose /data is unpacked before the engine
 * starts, or lies in a volume. The engine finds one folder per adapter below /mnt/adapter. */
#include <string.h>

#include "base/str.h"
#include "kube/selector.h"
#include "workspace/decide_internal.h"
#include "workspace/pull.h"
#include "json/build.h"

#define ADAPTERS_DIR "/mnt/adapter"
#define VOLUME "adapter-volume"
#define MAX_ADAPTERS 10

struct adapter {
    const char *name;
    const char *image; /* NULL: in a volume */
    const struct json *volume;
    const struct json *secrets;
    const char *strength; /* NULL: unset */
};

static struct adapter read_adapter(const struct json *v)
{
    const struct json *source = json_get(v, "source");
    const struct json *volume = json_get(source, "volumeSource");
    const char *image = json_find_str(source, "image");
    const char *strength = json_find_str(v, "strength");
    return (struct adapter){
        .name = str_or_empty(json_find_str(source, "name")),
        .image = str_empty(image) ? NULL : image,
        .volume = json_size(volume) > 0 ? volume : NULL,
        .secrets = json_get(source, "imagePullSecrets"),
        .strength = str_empty(strength) ? NULL : strength,
    };
}

/* ---- can it work --------------------------------------------------------------------------------------------------- */

static void refuse(struct decider *d, const char *message)
{
    decider_problem(d, true, "InvalidAdapter", message);
}

static bool name_is_taken(const struct json *adapters, size_t index, const char *name)
{
    for (size_t i = 0; i < index; i++)
        if (STREQ(read_adapter(json_at(adapters, i)).name, name))
            return true;
    return false;
}

static void check_adapter(struct decider *d, const struct json *v, size_t index)
{
    struct arena *a = d->a;
    const struct adapter ad = read_adapter(v);
    const char *field = arena_printf(a, "inference.adapters[%zu]", index);
    CLEANUP(error_cleanup) struct error *err = NULL;
    const char *reference = NULL;
    if (kube_validate_dns1123_subdomain(ad.name, &err) < 0)
        refuse(d, arena_printf(a, "%s.source.name \"%s\": %s", field, ad.name, error_message(err)));
    else if (name_is_taken(d->ws.adapters, index, ad.name))
        refuse(d, arena_printf(a, "%s.source.name \"%s\" is there twice", field, ad.name));
    else if (!ad.image == !ad.volume)
        refuse(d,
               arena_printf(a, "%s.source needs an image or a volumeSource, and only one", field));
    else if (ad.image && image_reference(a, ad.image, &reference, &err) < 0)
        refuse(d, arena_printf(a, "%s.source.image: %s", field, error_message(err)));
}

void decide_adapter_checks(struct decider *d)
{
    if (d->ws.template || !d->ws.adapters || d->problem.reason)
        return;
    if (!d->choice.engine->runs_adapters)
        decider_problem(d, true, "AdaptersUnsupported",
                        arena_printf(d->a, "%s runs no adapters; remove inference.adapters",
                                     d->choice.engine->name));
    if (json_size(d->ws.adapters) > MAX_ADAPTERS)
        refuse(d, arena_printf(d->a, "inference.adapters has %zu entries; %d is the most",
                               json_size(d->ws.adapters), MAX_ADAPTERS));
    JSON_FOREACH(it, d->ws.adapters)
        check_adapter(d, it.value, it.index);
}

/* ---- parts of the pod ---------------------------------------------------------------------------------------------- */

static const char *volume_name(struct arena *a, const struct adapter *ad)
{
    return pull_safe_name(a, VOLUME "-", ad->name, "");
}

static const char *secrets_name(struct arena *a, const struct adapter *ad)
{
    return arena_printf(a, "%s-inference-adapter", ad->name);
}

static bool any_image(const struct json *adapters)
{
    JSON_FOREACH(it, adapters)
        if (read_adapter(it.value).image)
            return true;
    return false;
}

/* Transformers reads the strength from a variable of the adapter's name. */
void adapters_append_env(struct arena *a, const struct json *adapters, struct json *env)
{
    JSON_FOREACH(it, adapters) {
        const struct adapter ad = read_adapter(it.value);
        if (ad.strength)
            json_append(env, OBJ("name", STR(ad.name), "value", STR(ad.strength)));
    }
}

static struct json *parent_mount(struct arena *a)
{
    return OBJ("name", STR(VOLUME), "mountPath", STR(ADAPTERS_DIR));
}

void adapters_append_mounts(struct arena *a, const struct json *adapters, struct json *mounts)
{
    if (any_image(adapters))
        json_append(mounts, parent_mount(a));
    JSON_FOREACH(it, adapters) {
        const struct adapter ad = read_adapter(it.value);
        if (!ad.image)
            json_append(mounts, OBJ("name", STR(volume_name(a, &ad)), "mountPath",
                                    STRF(ADAPTERS_DIR "/%s", ad.name)));
    }
}

void adapters_append_volumes(struct arena *a, const struct json *adapters, struct json *volumes)
{
    if (any_image(adapters))
        json_append(volumes, OBJ("name", STR(VOLUME), "emptyDir", EMPTY_OBJ()));
    JSON_FOREACH(it, adapters) {
        const struct adapter ad = read_adapter(it.value);
        if (ad.image) {
            json_append(volumes, pull_secrets_volume(a, secrets_name(a, &ad), ad.secrets, false));
            continue;
        }
        struct json *volume = json_clone(a, ad.volume);
        json_set(a, volume, "name", STR(volume_name(a, &ad)));
        json_append(volumes, volume);
    }
}

void adapters_append_pullers(struct arena *a, const struct json *adapters, struct json *containers)
{
    JSON_FOREACH(it, adapters) {
        const struct adapter ad = read_adapter(it.value);
        if (!ad.image)
            continue;
        struct json *mounts =
            ARR(parent_mount(a), pull_secrets_mount(a, secrets_name(a, &ad), ad.secrets, false));
        json_append(containers,
                    pull_container(a, pull_safe_name(a, "puller-", ad.name, ""), ad.image,
                                   arena_printf(a, ADAPTERS_DIR "/%s", ad.name), mounts));
    }
}

struct json *adapters_pull_secrets(struct arena *a, const struct json *adapters)
{
    struct json *list = EMPTY_ARR();
    JSON_FOREACH(it, adapters)
        pull_append_secrets(a, list, read_adapter(it.value).secrets);
    return json_size(list) > 0 ? list : NULL;
}
