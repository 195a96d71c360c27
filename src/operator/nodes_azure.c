/* One NodeClaim per node: an installed gpu-provisioner (or Karpenter) makes machines of them.
 *
 * Never may two NodeClaims be made where one was wanted: each is a machine that is paid for. The
 * name of a NodeClaim follows from the owner's uid and an ordinal number, so a creation that is
 * repeated (after a crash, by another manager, over a cache that is behind) is refused by the API
 * server instead of making a second one. All that are missing are asked for at once. Names alone do
 * not suffice when a NodeClaim goes away and its successor takes the next ordinal: in a cache that
 * is behind the old one may be gone and the new one not there yet. Therefore what this process has
 * made counts as present until the cache has shown it (facts->pending). A process that starts knows
 * all there is from its first list. */
#include <string.h>

#include "base/str.h"
#include "http/crypto.h"
#include "kube/quantity.h"
#include "operator/nodes_internal.h"

#define DEFAULT_DISK "1Ti"
#define NAME_HASH 9
#define MAX_CLAIMS 1000 /* in one go */

/* What differs between clouds. */
struct cloud {
    const char *name;
    const char *class_group, *class_kind;
    const char *requirement, *operator; /* one more of each NodeClaim */
    const char *value;                  /* NULL: the instance type */
};

static const struct cloud clouds[] = {
    { "azure", "kaito.sh", "KaitoNodeClass", "karpenter.azure.com/sku-name", "In", NULL },
    { "aws", "karpenter.k8s.aws", "EC2NodeClass", "karpenter.k8s.aws/instance-gpu-count", "Gt",
      "0" },
};

static const struct cloud *cloud_of(const struct operator_settings *settings)
{
    for (size_t i = 0; i < COUNT_OF(clouds); i++)
        if (str_eq(settings->cloud, clouds[i].name))
            return &clouds[i];
    return NULL;
}

static struct json *owner_labels(struct arena *a, const struct nodes_request *q)
{
    return nodes_labels(a, q->words->name_label, q->name, q->words->ns_label, q->ns);
}

static struct json *selector(struct arena *a, const struct nodes_input *in)
{
    return owner_labels(a, in->request);
}

/* ---- the object ----------------------------------------------------------------------------------------------------- */

static const char *claim_name(struct arena *a, const struct nodes_request *q, int64_t ordinal)
{
    char hash[SHA256_HEX_SIZE];
    const char *text = arena_printf(a, "%s/%lld", q->uid, (long long)ordinal);
    sha256_hex(text, strlen(text), hash);
    return arena_printf(a, "%s%.*s", q->words->claim_prefix, NAME_HASH, hash);
}

/* "ubuntu" or "azurelinux", however it is written; NULL otherwise. */
static const char *known_family(const char *word)
{
    static const char *const families[] = { "ubuntu", "azurelinux" };
    size_t start = word ? strspn(word, " \t\r\n") : 0;
    size_t len = word ? strlen(word + start) : 0;
    while (len > 0 && strchr(" \t\r\n", word[start + len - 1]))
        len--;
    for (size_t i = 0; i < COUNT_OF(families); i++)
        if (word && len == strlen(families[i]) && strncasecmp(word + start, families[i], len) == 0)
            return families[i];
    return NULL;
}

static const char *image_family(const struct nodes_input *in)
{
    const char *family = known_family(in->request->image_family);
    if (!family)
        family = known_family(in->settings->image_family);
    return family ? family : "ubuntu";
}

/* As the API keeps it: "1024Gi" is "1Ti". */
static const char *disk(struct arena *a, const struct nodes_request *q)
{
    char *text = NULL;
    return q->disk && quantity_canonical(a, q->disk, &text, NULL) == 0 ? text : DEFAULT_DISK;
}

/* clang-format off */
static struct json *requirement(struct arena *a, const char *key, const char *operator, const char *value)
{
    return OBJ("key", STR(key), "operator", STR(operator), "values", ARR(STR(value)));
}

static struct json *claim_object(struct arena *a, const struct nodes_input *in, const char *name)
{
    const struct nodes_request *q = in->request;
    const struct cloud *cloud = cloud_of(in->settings);
    struct json *labels = json_clone(a, q->labels);
    json_set_str(a, labels, NODEPOOL_LABEL, "kaito");
    json_set_str(a, labels, q->words->name_label, q->name);
    json_set_str(a, labels, q->words->ns_label, q->ns);
    return OBJ(
        "apiVersion", STR("karpenter.sh/v1"),
        "kind", STR("NodeClaim"),
        "metadata", OBJ("name", STR(name),
                        "labels", labels,
                        "annotations", OBJ("karpenter.sh/do-not-disrupt", STR("true"),
                                           "kaito.sh/node-image-family", STR(image_family(in)))),
        "spec", OBJ(
            "nodeClassRef", OBJ("group", STR(cloud->class_group),
                                "kind", STR(cloud->class_kind),
                                "name", STR("default")),
            "requirements", ARR(requirement(a, NODEPOOL_LABEL, "In", "kaito"),
                                requirement(a, INSTANCE_TYPE_LABEL, "In", q->instance_type),
                                requirement(a, "kubernetes.io/os", "In", "linux"),
                                requirement(a, cloud->requirement, cloud->operator,
                                            cloud->value ? cloud->value : q->instance_type)),
            "taints", ARR(OBJ("key", STR("sku"), "value", STR("gpu"), "effect", STR("NoSchedule"))),
            "resources", OBJ("requests", OBJ("storage", STR(disk(a, q)))),
            "expireAfter", STR("Never")));
}
/* clang-format on */

/* ---- how many ------------------------------------------------------------------------------------------------------- */

static bool has_name(const struct json *objects, const char *name)
{
    JSON_FOREACH(it, objects)
        if (STREQ(meta_name(it.value), name))
            return true;
    return false;
}

static bool in_list(const struct json *names, const char *name)
{
    JSON_FOREACH(it, names)
        if (str_eq(json_string(it.value), name))
            return true;
    return false;
}

/* Those that are being deleted do not count: what they stood for is wanted all the same. */
static int64_t present(const struct nodes_facts *f)
{
    int64_t n = nodes_live(f->claims);
    JSON_FOREACH(it, f->pending)
        n += !has_name(f->claims, json_string(it.value));
    return n;
}

static void make_claims(struct arena *a, const struct nodes_input *in, int64_t missing,
                        struct decision *out)
{
    const struct nodes_request *q = in->request;
    missing = MIN(missing, (int64_t)MAX_CLAIMS);
    for (int64_t ordinal = 0; missing > 0; ordinal++) {
        const char *name = claim_name(a, q, ordinal);
        if (has_name(in->facts->claims, name) || in_list(in->facts->pending, name))
            continue;
        struct write *w =
            decision_write(a, out, WRITE_CREATE, &KUBE_NODECLAIMS, name, claim_object(a, in, name));
        w->same_labels = owner_labels(a, q);
        w->done = (struct decided_event){ "Normal", "NodeClaimCreated",
                                          arena_printf(a, "NodeClaim %s asks for a node of type %s",
                                                       name, q->instance_type),
                                          q->words->component };
        w->failed = (struct decided_event){ "Warning", "NodeClaimCreationFailed",
                                            arena_printf(a, "NodeClaim %s was not created", name),
                                            q->words->component };
        missing--;
    }
}

/* Why none can be made; NULL: they can. */
static const char *obstacle(struct arena *a, const struct nodes_input *in)
{
    if (in->request->hold)
        return in->request->hold;
    if (!in->facts->claims_served)
        return "this cluster has no NodeClaims (karpenter.sh/v1); install the node provisioner with "
               "its CRDs, or start KAITO with --node-provisioner=byo and bring nodes";
    if (!cloud_of(in->settings))
        return arena_printf(a,
                            "there is no node class for the cloud \"%s\"; start KAITO with "
                            "--node-provisioner=byo and bring nodes",
                            in->settings->cloud);
    return NULL;
}

static void decide(struct arena *a, const struct nodes_input *in, struct decision *out,
                   struct nodes_result *ret)
{
    const struct nodes_request *q = in->request;
    const struct nodes_facts *f = in->facts;
    struct nodes_count n;
    nodes_count(a, q, f->nodes, &n);
    int64_t needed = MAX(q->count - n.covering, INT64_C(0));
    int64_t missing = MAX(needed - present(f), INT64_C(0));
    const char *why = missing > 0 || q->count < 1 ? obstacle(a, in) : NULL;
    if (!why)
        make_claims(a, in, missing, out);
    int64_t ready = nodes_ready_claims(f->claims);
    ret->claims = q->count > 0 && ready >= needed
                      ? nodes_claims_there()
                      : nodes_claims_missing(a, f->claims, ready, needed, why);
    ret->nodes = nodes_condition(a, q, &n, "");
    nodes_label_gpus(a, q, f->nodes, out);
    nodes_finish(a, q, f->nodes, ret);
}

static void remove_claims(struct arena *a, const struct nodes_input *in, struct decision *out)
{
    nodes_delete_all(a, &KUBE_NODECLAIMS, in->facts->claims, out);
    JSON_FOREACH(it, in->facts->pending)
        if (!has_name(in->facts->claims, json_string(it.value)))
            decision_write(a, out, WRITE_DELETE, &KUBE_NODECLAIMS, json_string(it.value), NULL);
}

const struct nodes_backend nodes_azure = {
    .name = "azure-gpu-provisioner",
    .provisions = true,
    .selector = selector,
    .decide = decide,
    .remove = remove_claims,
};
