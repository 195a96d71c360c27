/* Two managers, of which one leads: the leader dies, or is cut off, at random moments. Nobody
 * writes who does not hold the lease, and nothing is made twice. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../workspace/world.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd/crds.h"
#include "fault_transport.h"
#include "kube/leader.h"
#include "kube/meta.h"

#define ROUNDS 12
#define STEP_MS 250

/* Time moves when all threads that sleep have looked at it. */
struct watched_clock {
    struct clock clock; /* first */
    struct clock_virtual *time;
    atomic_uint looks;
};

static int64_t watched_wall(struct clock *c)
{
    return clock_wall(&((struct watched_clock *)c)->time->clock);
}

static int64_t watched_mono(struct clock *c)
{
    struct watched_clock *w = (struct watched_clock *)c;
    atomic_fetch_add(&w->looks, 1);
    return clock_mono(&w->time->clock);
}

struct candidate {
    struct cast *cast;
    char identity[32];
    struct watched_clock clock;
    struct fault_transport t;
    struct kube_client *client;
    struct leader_options options;
    struct manager *manager;
    struct workspace_controller *controller;
};

struct cast {
    struct world w;
    struct clock_virtual time;
    struct candidate all[2];
    unsigned lives;
    atomic_uint trespasses; /* writes of one that does not hold the lease */
    unsigned made;
};

static bool holds_lease(struct candidate *c)
{
    AUTO_ARENA a = arena_new();
    struct json *lease = NULL;
    return kube_get(c->cast->w.client, &KUBE_LEASES, NS, "leader", a, &lease, NULL) == 0 &&
           str_eq(json_find_str(lease, "spec", "holderIdentity"), c->identity);
}

static void on_write(void *ctx, const struct kube_request *request)
{
    struct candidate *c = ctx;
    if (!strstr(request->path, "/leases") && !holds_lease(c))
        atomic_fetch_add(&c->cast->trespasses, 1);
}

static void candidate_start(struct cast *cast, struct candidate *c)
{
    *c = (struct candidate){ .cast = cast };
    snprintf(c->identity, sizeof(c->identity), "manager-%u", cast->lives++);
    c->clock = (struct watched_clock){ { watched_wall, watched_mono }, &cast->time, 0 };
    fault_transport_init(&c->t, cast->w.transport);
    c->t.on_write = on_write;
    c->t.ctx = c;
    c->client = kube_client_new(&c->t.base, NULL);
    c->options = (struct leader_options){
        .ns = NS, .name = "leader", .identity = c->identity, .clock = &c->clock.clock
    };
    c->manager = manager_new(&(struct manager_options){
        .client = c->client, .clock = clock_system(), .leader = &c->options });
    struct error *err = NULL;
    if (workspace_controller_add(c->manager, c->client, &cast->w.settings, NULL, clock_system(),
                                 &c->controller, &err) < 0 ||
        manager_start(c->manager, &err) < 0)
        fail_msg("controller: %s", error_message(err));
}

static void candidate_end(struct candidate *c)
{
    manager_stop(c->manager);
    c->cast->made += c->t.made;
    manager_free(c->manager);
    workspace_controller_free(c->controller);
    kube_client_free(c->client);
    fault_transport_done(&c->t);
}

/* Moves the time on, by small steps that no candidate misses. */
static void pass(struct cast *cast, int64_t ms)
{
    for (int64_t at = 0; at < ms; at += STEP_MS) {
        unsigned looks[COUNT_OF(cast->all)];
        for (size_t i = 0; i < COUNT_OF(cast->all); i++)
            looks[i] = atomic_load(&cast->all[i].clock.looks);
        clock_virtual_advance(&cast->time, STEP_MS * NS_PER_MS);
        for (size_t i = 0; i < COUNT_OF(cast->all); i++) {
            struct candidate *c = &cast->all[i];
            for (int k = 0; k < 20000 && atomic_load(&c->clock.looks) < looks[i] + 4 &&
                            !manager_lost_lead(c->manager);
                 k++)
                usleep(500);
        }
    }
}

static struct candidate *leader_of(struct cast *cast)
{
    for (size_t i = 0; i < COUNT_OF(cast->all); i++)
        if (holds_lease(&cast->all[i]))
            return &cast->all[i];
    return NULL;
}

static struct candidate *await_leader(struct cast *cast)
{
    for (int i = 0; i < 200 && !leader_of(cast); i++)
        pass(cast, 1000);
    struct candidate *leader = leader_of(cast);
    assert_non_null(leader);
    return leader;
}

static void add_workspace(struct cast *cast, unsigned n)
{
    struct world *w = &cast->w;
    world_create(w, &KUBE_WORKSPACES,
                 world_parse(w, arena_printf(w->a,
                                             "{'apiVersion':'kaito.sh/v1beta1','kind':'Workspace',"
                                             "'metadata':{'name':'w%u'},'resource':{'count':2,"
                                             "'instanceType':'Standard_NC24ads_A100_v4',"
                                             "'labelSelector':{'matchLabels':{'apps':'w%u'}}},"
                                             "'inference':{'template':{'spec':{'containers':"
                                             "[{'name':'c','image':'nginx'}]}}}}",
                                             n, n)));
}

static size_t count_claims(struct cast *cast)
{
    AUTO_ARENA a = arena_new();
    struct json *list = NULL;
    assert_int_equal(kube_list(cast->w.client, &KUBE_NODECLAIMS, NULL, a, &list, NULL), 0);
    return json_size(json_get(list, "items"));
}

static void wait_claims(struct cast *cast, size_t want)
{
    for (int i = 0; i < 200 && count_claims(cast) < want; i++)
        pass(cast, 1000);
    world_settle(&cast->w);
    assert_int_equal(count_claims(cast), want);
}

/* What becomes of the leader. */
static void strike(struct cast *cast, struct candidate *c, unsigned how)
{
    static const struct fault death = { .name = "death", .dies = true, .code = ERROR_CANCELLED };
    if (how == 0) { /* it is killed */
        fault_transport_arm(&c->t, &death, 1);
    } else if (how == 1) { /* it is cut off, and comes back when another one leads */
        fault_transport_down(&c->t);
        pass(cast, 20000);
        fault_transport_up(&c->t, cast->w.transport);
        pass(cast, 5000);
    } /* else it stops in order, and gives the lease back */
    candidate_end(c);
    candidate_start(cast, c);
}

static void the_leader_is_struck_at_random_moments(void **state)
{
    static struct cast cast; /* threads use it still when an assertion fails */
    unsigned random = 20260101;
    world_start(&cast.w);
    cast.w.settings.models_dir = NULL;
    cast.w.settings.provisioner = PROVISIONER_AZURE_GPU;
    cast.w.settings.image_family = "ubuntu";
    struct error *err = NULL;
    if (crds_ensure_karpenter(cast.w.client, &cast.w.settings, &err) < 0)
        fail_msg("%s", error_message(err));
    clock_virtual_init(&cast.time, clock_wall(clock_system()));
    for (size_t i = 0; i < COUNT_OF(cast.all); i++)
        candidate_start(&cast, &cast.all[i]);
    unsigned workspaces = 0, changes = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct candidate *leader = await_leader(&cast);
        char before[32];
        snprintf(before, sizeof(before), "%s", leader->identity);
        for (unsigned i = 0; i < 3; i++)
            add_workspace(&cast, workspaces++);
        random = random * 1664525u + 1013904223u;
        usleep(random >> 18); /* up to 16 ms: in the middle of its work */
        strike(&cast, leader, round % 3);
        wait_claims(&cast, (size_t)workspaces * 2);
        leader = await_leader(&cast);
        changes += !STREQ(leader->identity, before);
    }
    assert_int_equal(changes, ROUNDS);
    assert_int_equal(atomic_load(&cast.trespasses), 0);
    for (size_t i = 0; i < COUNT_OF(cast.all); i++)
        candidate_end(&cast.all[i]);
    assert_int_equal(cast.made, workspaces * 2);
    world_stop(&cast.w);
}

static void drop_line(const char *line, size_t len, void *ctx) {}

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(the_leader_is_struck_at_random_moments) };
    log_set_sink(drop_line, NULL);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
