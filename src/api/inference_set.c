#include "api/inference_set.h"

#include <string.h>

#include "base/str.h"
#include "http/crypto.h"
#include "kube/meta.h"
#include "kube/selector.h"

#define MAX_TEXT (8 * MIB)

static const struct json *object_or_null(const struct json *v)
{
    return json_is_object(v) ? v : NULL;
}

/* What decides about pods is what its Workspaces are given; the set's own annotation counts where
 * the template says nothing. */
static const char *annotation(const struct inference_set *set, const char *key)
{
    const char *value = json_find_str(set->annotations, key);
    return value ? value : meta_annotation(set->json, key);
}

static void read_upgrade(struct inference_set *set)
{
    const struct json *upgrade = json_get(set->spec, "autoUpgrade");
    const struct json *window = object_or_null(json_get(upgrade, "maintenanceWindow"));
    set->upgrades = json_find_bool(upgrade, false, "enabled");
    set->surges = str_eq(json_find_str(upgrade, "strategy"), "Surge");
    if (!window)
        return;
    set->schedule = str_or_empty(json_find_str(window, "schedule"));
    const char *duration = json_find_str(window, "duration");
    set->duration = str_empty(duration) ? "4h" : duration;
}

void inference_set_read(struct arena *a, const struct json *obj, struct inference_set *ret)
{
    const struct json *spec = json_get(obj, "spec");
    const struct json *template = json_get(spec, "template");
    const struct json *metadata = json_get(template, "metadata");
    *ret = (struct inference_set){
        .json = obj,
        .spec = spec,
        .name = meta_name(obj),
        .ns = meta_namespace(obj),
        .uid = meta_uid(obj),
        .generation = meta_generation(obj),
        .deleting = meta_deleting(obj),
        .replicas = MAX(json_find_int(spec, 1, "replicas"), INT64_C(0)),
        .node_limit = MAX(json_find_int(spec, 0, "nodeCountLimit"), INT64_C(0)),
        .selector = object_or_null(json_get(spec, "labelSelector")),
        .labels = object_or_null(json_get(metadata, "labels")),
        .annotations = object_or_null(json_get(metadata, "annotations")),
        .resource = object_or_null(json_get(template, "resource")),
        .inference = object_or_null(json_get(template, "inference")),
        .of_multi_role = !str_empty(meta_label(obj, WORKSPACE_MRI_CREATED_BY)),
    };
    ret->runtime = str_or_empty(annotation(ret, WORKSPACE_RUNTIME));
    ret->no_benchmark = str_eq(annotation(ret, WORKSPACE_DISABLE_BENCHMARK), "true");
    read_upgrade(ret);
}

int inference_set_check(const struct inference_set *set, struct error **err)
{
    int r = kube_validate_dns1035_label(set->name, err);
    if (r == 0 && strlen(set->name) > INFERENCE_SET_NAME_MAX)
        r = error_set(err, ERROR_INVALID,
                      "must be no more than %d characters, because its Workspaces, their pods and "
                      "Services are named after it",
                      INFERENCE_SET_NAME_MAX);
    return r < 0 ? error_prefix(err, r, "metadata.name \"%s\" cannot be used, choose another one",
                                set->name)
                 : 0;
}

int64_t inference_set_max_unavailable(const struct inference_set *set)
{
    const struct json *v =
        json_find(set->spec, "updateStrategy", "rollingUpdate", "maxUnavailable");
    const char *text = json_string(v);
    int64_t most = json_int(v, 1);
    if (text) {
        size_t len = strcspn(text, "%");
        char digits[16] = "";
        if (len < sizeof(digits))
            memcpy(digits, text, len);
        if (str_to_int64(digits, &most) < 0 || most < 0 || most > INT32_MAX)
            most = 1;
        else if (text[len] == '%')
            most = set->replicas * most / 100;
    }
    return MAX(most, INT64_C(1));
}

int inference_set_identify(struct arena *a, const struct go_types *types,
                           const struct inference_set *set, const char **ret_hash,
                           struct json **ret_spec, struct error **err)
{
    AUTO_BUF text = BUF_INIT(MAX_TEXT);
    int r = go_json_write(types, "InferenceSetSpec", "spec", set->spec, &text, err);
    if (r == 0)
        r = json_parse(a, text.data, text.len, ret_spec, err);
    if (r < 0)
        return r;
    buf_putc(&text, '\n');
    char hex[SHA256_HEX_SIZE];
    sha256_hex(text.data, text.len, hex);
    *ret_hash = arena_strdup(a, hex);
    return 0;
}
