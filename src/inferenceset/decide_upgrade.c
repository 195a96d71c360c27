/* A newer base image, carried to one Workspace after the other while the maintenance window is
 * open. In place: a Workspace is told to take the operator's image, and the next one's turn comes
 * when it serves again. With surge: one Workspace more is made, of the newer image; when it serves,
 * decide_scale.c takes an old one away. What was begun is finished even when the window closes. A
 * step that takes longer than a model of its size may take to load is reported; nothing else is
 * upgraded meanwhile, so that an image that does not work stops one replica only. */
#include "inferenceset/decide_internal.h"

#include "api/cron.h"
#include "base/str.h"
#include "kube/meta.h"
#include "workspace/engine.h"

#define NODE_TIME_NS (1800 * NS_PER_S) /* to get a node, and to pull the image on it */
#define DEFAULT_READINESS 1800         /* seconds, when the preset says nothing */
#define MS_ROUND_UP(ns) ((ns) / NS_PER_MS + 1)

static bool upgrades(const struct set_decider *d)
{
    return d->in->settings->gates.on[GATE_BASE_IMAGE_UPGRADE] && d->set.upgrades;
}

/* ---- who is behind --------------------------------------------------------------------------------------------------- */

static const char *image_of(const struct child *c)
{
    JSON_FOREACH(it, json_find(c->statefulset, "spec", "template", "spec", "containers"))
        if (str_eq(json_find_str(it.value, "name"), c->name))
            return str_or_empty(json_find_str(it.value, "image"));
    return "";
}

/* Only pods of the base image can be told to take a newer one; templates bring their own. */
void set_find_drifted(struct set_decider *d)
{
    if (!d->in->settings->gates.on[GATE_BASE_IMAGE_UPGRADE] ||
        !json_get(d->set.inference, "preset"))
        return;
    const char *now =
        arena_printf(d->a, "%s/kaito-base:" KAITO_BASE_TAG, d->in->settings->image_registry);
    for (size_t i = 0; i < d->count; i++) {
        struct child *c = &d->children[i];
        const char *image = image_of(c);
        c->old = strstr(image, "/kaito-base:") && !STREQ(image, now);
        d->drifted += c->old && !c->deleting;
    }
}

/* ---- what is under way ------------------------------------------------------------------------------------------------ */

static int64_t patience_ns(const struct set_decider *d)
{
    const char *name = json_find_str(d->set.inference, "preset", "name");
    const struct preset *p = name ? catalog_find(d->in->catalog, name) : NULL;
    int64_t seconds = p && p->readiness_seconds > 0 ? p->readiness_seconds : DEFAULT_READINESS;
    return seconds * NS_PER_S + NODE_TIME_NS;
}

/* It was told, and does not serve with the new image yet. ret_since: when it was told. */
static bool under_way(const struct set_decider *d, const struct child *c, int64_t *ret_since)
{
    const char *since = NULL;
    if (!child_live(c) || (c->settled && !c->old))
        return false;
    if (str_eq(meta_label(c->json, WORKSPACE_UPGRADE_TO), KAITO_BASE_TAG))
        since = meta_annotation(c->json, WORKSPACE_UPGRADE_START);
    else if (d->set.surges && !c->old && !c->ready)
        since = json_find_str(c->json, "metadata", "creationTimestamp");
    else
        return false;
    if (!since || time_parse_rfc3339(since, ret_since) < 0)
        *ret_since = d->in->now_ns;
    return true;
}

static bool something_under_way(struct set_decider *d)
{
    bool found = false;
    for (size_t i = 0; i < d->count; i++) {
        const struct child *c = &d->children[i];
        int64_t since = 0;
        if (!under_way(d, c, &since))
            continue;
        found = true;
        int64_t left = since + patience_ns(d) - d->in->now_ns;
        if (left > 0)
            decision_requeue(d->out, MS_ROUND_UP(left));
        else if (!d->stalled)
            d->stalled = arena_printf(
                d->a,
                "Workspace %s does not serve with base image " KAITO_BASE_TAG
                " after %lld minutes; no other one is upgraded until it does or is deleted. See "
                "its conditions",
                c->name, (long long)((d->in->now_ns - since) / (60 * NS_PER_S)));
    }
    return found;
}

static bool window_is_open(struct set_decider *d)
{
    struct cron schedule;
    int64_t duration = 0, next = INT64_MAX;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (!d->set.schedule)
        return true;
    if (cron_parse(d->set.schedule, &schedule, &err) < 0) {
        d->stalled = arena_printf(d->a, "spec.autoUpgrade.maintenanceWindow.schedule: %s",
                                  error_message(err));
        return false;
    }
    if (str_to_duration_ns(d->set.duration, &duration) < 0 || duration <= 0) {
        d->stalled = arena_printf(d->a,
                                  "spec.autoUpgrade.maintenanceWindow.duration: \"%s\" is no "
                                  "positive duration; write it like 4h or 90m",
                                  d->set.duration);
        return false;
    }
    bool open = cron_window_open(&schedule, duration, d->in->now_ns, &next);
    if (next != INT64_MAX)
        decision_requeue(d->out, MS_ROUND_UP(next - d->in->now_ns));
    return open;
}

/* ---- the next step ----------------------------------------------------------------------------------------------------- */

/* One that does not serve first: it costs nothing. Then by uid. */
static struct child *next_old(struct set_decider *d)
{
    struct child *found = NULL;
    for (size_t i = 0; i < d->count; i++) {
        struct child *c = &d->children[i];
        if (!child_live(c) || !c->old || c->touched)
            continue;
        if (!found || (found->ready && !c->ready) ||
            (found->ready == c->ready && strcmp(c->uid, found->uid) < 0))
            found = c;
    }
    return found;
}

static bool others_serve(const struct set_decider *d, const struct child *except)
{
    for (size_t i = 0; i < d->count; i++)
        if (child_live(&d->children[i]) && &d->children[i] != except && !d->children[i].settled)
            return false;
    return (int64_t)set_live(d) >= d->set.replicas;
}

static void upgrade_in_place(struct set_decider *d)
{
    struct arena *a = d->a;
    struct child *c = next_old(d);
    if (!c || (c->ready && !others_serve(d, c)))
        return;
    char now[TIME_RFC3339_SIZE];
    time_format_rfc3339(d->in->now_ns, now);
    c->touched = true;
    struct write *w =
        decision_write(a, d->out, WRITE_PATCH, &KUBE_WORKSPACES, c->name,
                       OBJ("metadata", OBJ("labels", OBJ(WORKSPACE_UPGRADE_TO, STR(KAITO_BASE_TAG)),
                                           "annotations", OBJ(WORKSPACE_UPGRADE_START, STR(now)))));
    w->done = (struct decided_event){
        "Normal", "BaseImageUpgradeStarted",
        arena_printf(a, "Workspace %s takes base image %s", c->name, KAITO_BASE_TAG), NULL
    };
}

static void upgrade_by_surge(struct set_decider *d)
{
    int64_t live = (int64_t)set_live(d);
    if (live != d->set.replicas)
        return;
    if (live >= d->allowed) {
        d->stalled = "nodeCountLimit leaves no room for one more Workspace; raise it or use the "
                     "strategy InPlace";
        return;
    }
    set_create(d, 1);
    d->out->writes[d->out->write_count - 1].done =
        (struct decided_event){ "Normal", "BaseImageUpgradeStarted",
                                "one more Workspace is made with base image " KAITO_BASE_TAG,
                                NULL };
}

void set_decide_upgrade(struct set_decider *d)
{
    if (!upgrades(d) || d->drifted == 0)
        return;
    if (something_under_way(d) || !window_is_open(d))
        return;
    if (d->set.surges)
        upgrade_by_surge(d);
    else
        upgrade_in_place(d);
}
