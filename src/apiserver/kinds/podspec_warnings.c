/* What a pod spec may say, but most likely does not mean: warnings that go back with the answer, in
 * the API server's words. */
#include <inttypes.h>
#include <string.h>

#include "apiserver/kinds/podspec.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/selector.h"
#include "json/build.h"

/* Where the holder of the spec stands: "" for a pod, "spec.template." for a template. */
struct warner {
    struct arena *a;
    struct json *warnings;
    const char *prefix;
};

static void add(struct warner *w, const char *fmt, ...) ATTR_PRINTF(2, 3);
static void add(struct warner *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    json_append(w->warnings, json_new_string(w->a, arena_vprintf(w->a, fmt, args)));
    va_end(args);
}

static const char *quoted(struct warner *w, const char *s)
{
    return field_quote(w->a, s ? s : "", s ? strlen(s) : 0);
}

/* ---- names that have had their time ---------------------------------------------------------- */

static const char *deprecated_label(const char *key)
{
    static const char *const labels[][2] = {
        { "beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead" },
        { "beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead" },
        { "failure-domain.beta.kubernetes.io/region",
          "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead" },
        { "failure-domain.beta.kubernetes.io/zone",
          "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead" },
        { "beta.kubernetes.io/instance-type",
          "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead" },
        { "app.kubernetes.io/created-by", "deprecated since v1.9" },
        { "scheduler.alpha.kubernetes.io/preferAvoidPods",
          "deprecated since v1.22; use Taints and Tolerations instead" },
        { "node-role.kubernetes.io/master",
          "use \"node-role.kubernetes.io/control-plane\" instead" },
    };
    for (size_t i = 0; i < COUNT_OF(labels); i++)
        if (str_eq(key, labels[i][0]))
            return labels[i][1];
    return NULL;
}

static void warn_annotations(struct warner *w, const struct json *annotations)
{
    static const char *const gone[][2] = {
        { "scheduler.alpha.kubernetes.io/critical-pod",
          "non-functional in v1.16+; use the \"priorityClassName\" field instead" },
        { "security.alpha.kubernetes.io/sysctls",
          "non-functional in v1.11+; use the \"sysctls\" field instead" },
        { "security.alpha.kubernetes.io/unsafe-sysctls",
          "non-functional in v1.11+; use the \"sysctls\" field instead" },
    };
    for (size_t i = 0; i < COUNT_OF(gone); i++)
        if (json_get(annotations, gone[i][0]))
            add(w, "%smetadata.annotations[%s]: %s", w->prefix, gone[i][0], gone[i][1]);
}

static void warn_volumes(struct warner *w, const struct json *volumes)
{
    static const char *const gone[][2] = {
        { "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+" },
        { "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+" },
        { "scaleIO", "deprecated in v1.16, non-functional in v1.22+" },
        { "flocker", "deprecated in v1.22, non-functional in v1.25+" },
        { "storageOS", "deprecated in v1.22, non-functional in v1.25+" },
        { "quobyte", "deprecated in v1.22, non-functional in v1.25+" },
        { "glusterfs", "deprecated in v1.25, non-functional in v1.26+" },
        { "cephfs", "deprecated in v1.28, non-functional in v1.31+" },
        { "rbd", "deprecated in v1.28, non-functional in v1.31+" },
    };
    JSON_FOREACH(it, volumes)
        for (size_t i = 0; i < COUNT_OF(gone); i++)
            if (json_is_object(json_get(it.value, gone[i][0])))
                add(w, "%sspec.volumes[%zu].%s: %s", w->prefix, it.index, gone[i][0], gone[i][1]);
}

/* ---- scheduling ------------------------------------------------------------------------------ */

static void warn_node_term(struct warner *w, const struct json *term, bool check_values,
                           const char *path)
{
    JSON_FOREACH(it, json_get(term, "matchExpressions")) {
        const char *key = json_find_str(it.value, "key"), *message = deprecated_label(key);
        if (message)
            add(w, "%s.matchExpressions[%zu].key: %s is %s", path, it.index, key, message);
        if (!check_values)
            continue;
        JSON_FOREACH(v, json_get(it.value, "values")) {
            CLEANUP(error_cleanup) struct error *err = NULL;
            const char *value = json_string(v.value);
            if (value && kube_validate_label_value(value, &err) < 0)
                add(w, "%s.matchExpressions[%zu].values[%zu]: %s is invalid, %s", path, it.index,
                    v.index, value, error_message(err));
        }
    }
}

static void warn_node_affinity(struct warner *w, const struct json *affinity)
{
    static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution",
                      preferred[] = "preferredDuringSchedulingIgnoredDuringExecution";
    JSON_FOREACH(it, json_find(affinity, required, "nodeSelectorTerms"))
        warn_node_term(w, it.value, false,
                       arena_printf(w->a, "%sspec.affinity.nodeAffinity.%s.nodeSelectorTerms[%zu]",
                                    w->prefix, required, it.index));
    JSON_FOREACH(it, json_get(affinity, preferred))
        warn_node_term(w, json_get(it.value, "preference"), true,
                       arena_printf(w->a, "%sspec.affinity.nodeAffinity.%s[%zu].preference",
                                    w->prefix, preferred, it.index));
}

static void warn_pod_affinity(struct warner *w, const struct json *affinity, const char *name)
{
    static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution",
                      preferred[] = "preferredDuringSchedulingIgnoredDuringExecution";
    static const char what[] = "labelSelector: a null labelSelector results in matching no pod";
    JSON_FOREACH(it, json_find(affinity, name, required))
        if (!json_get(it.value, "labelSelector"))
            add(w, "%sspec.affinity.%s.%s[%zu].%s", w->prefix, name, required, it.index, what);
    JSON_FOREACH(it, json_find(affinity, name, preferred))
        if (!json_find(it.value, "podAffinityTerm", "labelSelector"))
            add(w, "%sspec.affinity.%s.%s[%zu].podAffinityTerm.%s", w->prefix, name, preferred,
                it.index, what);
}

static void warn_placement(struct warner *w, const struct json *spec)
{
    JSON_FOREACH(it, json_get(spec, "nodeSelector"))
        if (deprecated_label(it.key))
            add(w, "%sspec.nodeSelector[%s]: %s", w->prefix, it.key, deprecated_label(it.key));
    warn_node_affinity(w, json_find(spec, "affinity", "nodeAffinity"));
    JSON_FOREACH(it, json_get(spec, "topologySpreadConstraints")) {
        const char *key = json_find_str(it.value, "topologyKey");
        if (deprecated_label(key))
            add(w, "%sspec.topologySpreadConstraints[%zu].topologyKey: %s is %s", w->prefix,
                it.index, key, deprecated_label(key));
        if (!json_get(it.value, "labelSelector"))
            add(w,
                "%sspec.topologySpreadConstraints[%zu].labelSelector: a null labelSelector results in matching no pod",
                w->prefix, it.index);
    }
}

/* ---- files that would stand in each other's place -------------------------------------------- */

struct placed {
    const char *path;
    const char *source; /* ` (Secret "a")`; "" in volumes of one source */
};

struct placed_list {
    struct placed *items;
    size_t count;
};

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return str_has_prefix(path, folder) && (path[len] == '/' || !path[len]);
}

static void place(struct warner *w, struct placed_list *all, const char *path, const char *source,
                  const char *volume)
{
    size_t len = path ? strlen(path) : 0;
    while (len && path[len - 1] == '/')
        len--;
    const char *mine = arena_strndup(w->a, path ? path : "", len);
    for (size_t i = 0; i < all->count; i++) {
        const struct placed *other = &all->items[i];
        if (!*mine || !*other->path ||
            (!is_below(mine, other->path) && !is_below(other->path, mine)))
            continue;
        add(w, "volume %s: overlapping paths: %s%s with %s%s", volume, quoted(w, mine), source,
            quoted(w, other->path), other->source);
    }
    all->items[all->count++] = (struct placed){ mine, source };
}

static void place_items(struct warner *w, struct placed_list *all, const struct json *items,
                        const char *source, const char *volume)
{
    JSON_FOREACH(it, items)
        place(w, all, json_find_str(it.value, "path"), source, volume);
}

static struct placed_list room_for(struct warner *w, size_t count)
{
    return (struct placed_list){ arena_alloc(w->a, (count + 1) * sizeof(struct placed)), 0 };
}

static void warn_projected(struct warner *w, const struct json *projected, const char *name)
{
    const char *volume = arena_printf(w->a, "%s (Projected)", quoted(w, name));
    size_t room = 0;
    JSON_FOREACH(it, json_get(projected, "sources"))
        JSON_FOREACH(source, it.value)
            room += json_size(json_get(source.value, "items")) + 1;
    struct placed_list all = room_for(w, room);
    JSON_FOREACH(it, json_get(projected, "sources")) {
        const struct json *map = json_get(it.value, "configMap"),
                          *secret = json_get(it.value, "secret"),
                          *downward = json_get(it.value, "downwardAPI"),
                          *token = json_get(it.value, "serviceAccountToken");
        if (json_size(it.value) == 0)
            add(w, "volume %s has no sources provided", volume);
        place_items(w, &all, json_get(map, "items"),
                    arena_printf(w->a, " (ConfigMap %s)", quoted(w, json_find_str(map, "name"))),
                    volume);
        place_items(w, &all, json_get(secret, "items"),
                    arena_printf(w->a, " (Secret %s)", quoted(w, json_find_str(secret, "name"))),
                    volume);
        place_items(w, &all, json_get(downward, "items"), " (DownwardAPI)", volume);
        if (token)
            place(w, &all, json_find_str(token, "path"), " (ServiceAccountToken)", volume);
    }
}

static void warn_overlaps(struct warner *w, const struct json *volumes)
{
    static const char *const kinds[][3] = { { "configMap", "ConfigMap", "name" },
                                            { "secret", "Secret", "secretName" } };
    JSON_FOREACH(it, volumes) {
        const char *name = json_find_str(it.value, "name");
        for (size_t i = 0; i < COUNT_OF(kinds); i++) {
            const struct json *source = json_get(it.value, kinds[i][0]),
                              *items = json_get(source, "items");
            struct placed_list all = room_for(w, json_size(items));
            place_items(w, &all, items, "",
                        arena_printf(w->a, "%s (%s %s)", quoted(w, name), kinds[i][1],
                                     quoted(w, json_find_str(source, kinds[i][2]))));
        }
        const struct json *downward = json_find(it.value, "downwardAPI", "items");
        struct placed_list all = room_for(w, json_size(downward));
        place_items(w, &all, downward, "", arena_printf(w->a, "%s (DownwardAPI)", quoted(w, name)));
        warn_projected(w, json_get(it.value, "projected"), name);
    }
}

/* ---- containers ------------------------------------------------------------------------------ */

void podspec_warn_fraction(const struct json *amounts, const char *resource, const char *path,
                           struct json *warnings, struct arena *a)
{
    const char *amount = json_find_str(amounts, resource);
    if (amount && str_has_suffix(amount, "m"))
        json_append(warnings,
                    json_new_stringf(
                        a, "%s[%s]: fractional byte value \"%s\" is invalid, must be an integer",
                        path, resource, amount));
}

static void warn_amounts(struct warner *w, const struct json *resources, const char *path)
{
    static const char *const lists[] = { "limits", "requests" };
    static const char *const bytes[] = { "memory", "ephemeral-storage" };
    for (size_t b = 0; b < COUNT_OF(bytes); b++)
        for (size_t i = 0; i < COUNT_OF(lists); i++)
            podspec_warn_fraction(json_get(resources, lists[i]), bytes[b],
                                  arena_printf(w->a, "%s.resources.%s", path, lists[i]),
                                  w->warnings, w->a);
}

/* Whether the value was there before; it is from now on. */
static bool was_seen(struct map *seen, const char *value)
{
    static char present;
    const char *key = value ? value : "";
    bool before = map_has(seen, key);
    map_set(seen, key, &present);
    return before;
}

static void warn_env(struct warner *w, const struct json *env, const char *path)
{
    AUTO_MAP seen = map_new(NULL);
    JSON_FOREACH(it, env) {
        const char *name = json_find_str(it.value, "name"),
                   *value = json_find_str(it.value, "value");
        const char *ref = arena_printf(w->a, "$(%s)", name ? name : "");
        bool extends = value && strstr(value, ref) && !STREQ(value, ref);
        if (was_seen(seen, name) && (!extends || json_get(it.value, "valueFrom")))
            add(w,
                "%s.env[%zu]: hides previous definition of %s, which may be dropped when using apply",
                path, it.index, quoted(w, name));
    }
}

/* A port of one container; ports of all are compared. */
struct port {
    const struct json *port;
    const char *path;
};

static void warn_port(struct warner *w, const struct port *mine, const struct port *other)
{
    const struct json *x = mine->port, *y = other->port;
    if (!same_value(json_get(x, "containerPort"), json_get(y, "containerPort")) ||
        !same_value(json_get(x, "protocol"), json_get(y, "protocol")))
        return;
    int64_t host = json_find_int(x, 0, "hostPort"), other_host = json_find_int(y, 0, "hostPort");
    const char *ip = json_find_str(x, "hostIP"), *other_ip = json_find_str(y, "hostIP");
    const char *what = NULL;
    if (host == other_host && str_eq(ip ? ip : "", other_ip ? other_ip : ""))
        what = "duplicate";
    else if (host == 0 || other_host == 0)
        what = "overlapping";
    else if (host == other_host && str_empty(ip) != str_empty(other_ip))
        what = "dangerously ambiguous";
    if (what)
        add(w, "%s: %s port definition with %s", mine->path, what, other->path);
}

static void warn_host_ip(struct warner *w, const struct port *p)
{
    const char *ip = json_find_str(p->port, "hostIP"), *name = json_find_str(p->port, "name");
    if (!str_empty(ip) && json_find_int(p->port, 0, "hostPort") == 0)
        add(w,
            "%s: hostIP set without hostPort: {Name:%s HostPort:0 ContainerPort:%" PRId64
            " Protocol:%s HostIP:%s}",
            p->path, name ? name : "", json_find_int(p->port, 0, "containerPort"),
            json_find_str(p->port, "protocol"), ip);
}

static void warn_port_names(struct warner *w, const struct port *ports, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *name = json_find_str(ports[i].port, "name");
        for (size_t k = 0; !str_empty(name) && k < i; k++) {
            if (!str_eq(json_find_str(ports[k].port, "name"), name))
                continue;
            add(w,
                "%s: duplicate port name %s with %s, services and probes that select ports by name will use %s",
                ports[i].path, quoted(w, name), ports[k].path, ports[k].path);
            break;
        }
    }
}

static void warn_containers(struct warner *w, const struct json *spec)
{
    static const char *const lists[] = { "initContainers", "containers", "ephemeralContainers" };
    size_t count = 0, room = 0;
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        JSON_FOREACH(it, json_get(spec, lists[i]))
            room += json_size(json_get(it.value, "ports"));
    struct port *ports = arena_alloc(w->a, (room + 1) * sizeof *ports);
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        JSON_FOREACH(it, json_get(spec, lists[i])) {
            const char *path = arena_printf(w->a, "%sspec.%s[%zu]", w->prefix, lists[i], it.index);
            warn_amounts(w, json_get(it.value, "resources"), path);
            warn_env(w, json_get(it.value, "env"), path);
            JSON_FOREACH(port, json_get(it.value, "ports"))
                ports[count++] = (struct port){ port.value, arena_printf(w->a, "%s.ports[%zu]",
                                                                         path, port.index) };
        }
    }
    for (size_t i = 0; i < count; i++) {
        warn_host_ip(w, &ports[i]);
        for (size_t k = 0; k < i; k++)
            warn_port(w, &ports[i], &ports[k]);
    }
    warn_port_names(w, ports, count);
}

/* ---- whole ----------------------------------------------------------------------------------- */

static void warn_repeats(struct warner *w, const struct json *list, const char *name,
                         const char *member, const char *what)
{
    AUTO_MAP seen = map_new(NULL);
    JSON_FOREACH(it, list)
        if (was_seen(seen, json_find_str(it.value, member)))
            add(w, "%sspec.%s[%zu].%s: duplicate %s %s", w->prefix, name, it.index, member, what,
                quoted(w, json_find_str(it.value, member)));
}

void podspec_warn(const struct json *holder, const char *prefix, struct json *warnings,
                  struct arena *a)
{
    struct warner w = { a, warnings, prefix };
    const struct json *spec = json_get(holder, "spec");
    warn_placement(&w, spec);
    warn_annotations(&w, json_find(holder, "metadata", "annotations"));
    warn_volumes(&w, json_get(spec, "volumes"));
    warn_overlaps(&w, json_get(spec, "volumes"));
    warn_repeats(&w, json_get(spec, "hostAliases"), "hostAliases", "ip", "ip");
    warn_repeats(&w, json_get(spec, "imagePullSecrets"), "imagePullSecrets", "name", "name");
    JSON_FOREACH(it, json_get(spec, "imagePullSecrets"))
        if (str_empty(json_find_str(it.value, "name")))
            add(&w, "%sspec.imagePullSecrets[%zu].name: invalid empty name \"\"", prefix, it.index);
    warn_containers(&w, spec);
    if (json_find_int(spec, 0, "terminationGracePeriodSeconds") < 0)
        add(&w,
            "%sspec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            prefix);
    warn_pod_affinity(&w, json_get(spec, "affinity"), "podAffinity");
    warn_pod_affinity(&w, json_get(spec, "affinity"), "podAntiAffinity");
}
