/* The cache of look-ups. An entry is made by who asks first; while it fetches, others wait for it.
 * Good answers are asked for again after an hour, bad ones after half a minute, and the hub is left
 * alone for some seconds after it could not be reached. */
#include "hub/hub.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/crypto.h"
#include "hub/fetch.h"

#define GOOD_FOR_NS (3600 * NS_PER_S)
#define BAD_FOR_NS (30 * NS_PER_S)
#define DOWN_FOR_NS (5 * NS_PER_S)
#define DEFAULT_CALL_MS 10000
#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_MODELS 256
#define MAX_ID 200
#define ENDPOINT "https://huggingface.co"

/* An error in a form that can be handed out again. */
struct failure {
    enum error_code code; /* ERROR_OK: none */
    char *reason;
    char *text;
};

struct entry {
    struct arena *a; /* the preset's; NULL while none is known */
    struct preset *preset;
    struct failure failure; /* of the last look-up */
    int64_t until_ns;       /* asked again after that */
    int64_t used_ns;
    bool fetching;
};

struct hub {
    struct hub_rules *rules;
    struct http_client *client;
    const struct catalog *catalog;
    char *endpoint, *default_token, *proxy;
    struct clock *clock;
    int64_t call_timeout_ms;
    size_t max_models;

    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct map *entries;
    unsigned callers;
    bool stopping;
};

static void failure_done(struct failure *f)
{
    free(f->reason);
    free(f->text);
    *f = (struct failure){ 0 };
}

static void entry_free(void *value)
{
    struct entry *e = value;
    if (e->a)
        arena_free(e->a);
    failure_done(&e->failure);
    free(e);
}

static char *option(const char *given, const char *variable, const char *otherwise)
{
    const char *text = given ? given : getenv(variable);
    return mem_strdup(str_empty(text) ? otherwise : text);
}

int hub_new(const struct hub_options *options, struct hub **ret, struct error **err)
{
    struct http_client *client = NULL;
    struct http_client_options http = { .user_agent = "kaito/" KAITO_VERSION,
                                        .max_connections = 8 };
    int r = http_client_new(&http, &client, err);
    if (r < 0)
        return r;
    struct hub *h = NEW0(struct hub);
    h->client = client;
    h->rules = hub_rules_new();
    h->catalog = options->catalog;
    h->endpoint = option(options->endpoint, "HF_ENDPOINT", ENDPOINT);
    for (size_t n = strlen(h->endpoint); n > 0 && h->endpoint[n - 1] == '/'; n--)
        h->endpoint[n - 1] = '\0';
    h->default_token = option(options->default_token, "HF_TOKEN", "");
    h->proxy = mem_strdup(options->proxy);
    h->clock = options->clock ? options->clock : clock_system();
    h->call_timeout_ms = options->call_timeout_ms ? options->call_timeout_ms : DEFAULT_CALL_MS;
    h->max_models = options->max_models ? options->max_models : DEFAULT_MODELS;
    h->entries = map_new(entry_free);
    pthread_mutex_init(&h->mutex, NULL);
    cond_init_monotonic(&h->cond);
    *ret = h;
    return 0;
}

static void stop(struct hub *h)
{
    LOCK(&h->mutex);
    h->stopping = true;
    pthread_cond_broadcast(&h->cond);
    while (h->callers > 0)
        pthread_cond_wait(&h->cond, &h->mutex);
}

void hub_free(struct hub *h)
{
    stop(h);
    http_client_free(h->client);
    hub_rules_free(h->rules);
    map_free(h->entries);
    pthread_cond_destroy(&h->cond);
    pthread_mutex_destroy(&h->mutex);
    free(h->endpoint);
    free(h->default_token);
    free(h->proxy);
    free(h);
}

static bool part_is_valid(const char *s, size_t len)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return len > 0 && strspn(s, letters) >= len && !(s[0] == '.' && len <= 2 && s[len - 1] == '.');
}

bool hub_id_is_valid(const char *id)
{
    const char *slash = id ? strchr(id, '/') : NULL;
    return slash && strlen(id) <= MAX_ID && part_is_valid(id, (size_t)(slash - id)) &&
           part_is_valid(slash + 1, strlen(slash + 1));
}

/* ---- entries: all under the lock ------------------------------------------------------------------------------ */

/* The token itself is not kept. */
static char *key_of(struct arena *a, const struct hub *h, const struct hub_request *q)
{
    const char *token = str_empty(q->token) ? h->default_token : q->token;
    char hash[SHA256_HEX_SIZE] = "";
    if (token[0])
        sha256_hex(token, strlen(token), hash);
    return arena_printf(a, "%s\n%s\n%s", str_lower(a, q->id), q->revision ? q->revision : "", hash);
}

/* Makes room: the entry that was not used for the longest time goes. */
static void make_room(struct hub *h)
{
    while (map_size(h->entries) >= h->max_models) {
        const char *oldest = NULL;
        int64_t used_ns = INT64_MAX;
        struct map_iter it = MAP_ITER_INIT;
        const char *key;
        void *value;
        while (map_next(h->entries, &it, &key, &value)) {
            const struct entry *e = value;
            if (!e->fetching && e->used_ns < used_ns) {
                used_ns = e->used_ns;
                oldest = key;
            }
        }
        if (!oldest)
            return;
        map_del(h->entries, oldest);
    }
}

/* An answer that counts: a preset, or why there is none. */
static int answer(const struct entry *e, struct arena *a, const struct preset **ret,
                  struct error **err)
{
    if (e->preset) {
        *ret = hub_copy_preset(a, e->preset);
        return 0;
    }
    int r = error_set(err, e->failure.code, "%s", e->failure.text);
    if (err)
        error_set_reason(*err, e->failure.reason);
    return r;
}

static bool is_fresh(const struct hub *h, const struct entry *e)
{
    return clock_mono(h->clock) < e->until_ns;
}

static bool is_outage(int r)
{
    return r == -ERROR_UNAVAILABLE || r == -ERROR_TIMEOUT || r == -ERROR_CANCELLED;
}

/* What a look-up brought goes into the entry. A model that is known stays known while the hub is
 * away. */
static void settle(struct hub *h, struct entry *e, int r, struct arena *preset_arena,
                   struct preset *preset, const struct error *failure)
{
    int64_t now = clock_mono(h->clock);
    failure_done(&e->failure);
    if (r < 0) {
        e->failure = (struct failure){ error_code(failure), mem_strdup(error_reason(failure)),
                                       mem_strdup(error_message(failure)) };
        e->until_ns = now + (is_outage(r) ? DOWN_FOR_NS : BAD_FOR_NS);
    }
    if (r == 0 || !is_outage(r)) {
        if (e->a)
            arena_free(e->a);
        e->a = r == 0 ? preset_arena : NULL;
        e->preset = r == 0 ? preset : NULL;
    }
    if (r == 0)
        e->until_ns = now + GOOD_FOR_NS;
    else
        arena_free(preset_arena);
}

/* ---- look-ups ------------------------------------------------------------------------------------------------- */

static bool pause_for(void *ctx, int64_t ms)
{
    struct hub *h = ctx;
    int64_t until = clock_mono(clock_system()) + ms * NS_PER_MS;
    LOCK(&h->mutex);
    while (!h->stopping && cond_wait_until(&h->cond, &h->mutex, until)) {
    }
    return !h->stopping;
}

/* With the lock held; it is let go meanwhile. The entry stays, as it is fetching. */
static int look_up(struct hub *h, struct entry *e, const struct hub_request *q, int64_t deadline_ns,
                   struct error **err)
{
    struct hub_fetch fetch = {
        .client = h->client,
        .rules = h->rules,
        .catalog = h->catalog,
        .endpoint = h->endpoint,
        .proxy = h->proxy,
        .id = q->id,
        .revision = q->revision,
        .token = str_empty(q->token) ? h->default_token : q->token,
        .call_timeout_ms = h->call_timeout_ms,
        .deadline_ns = deadline_ns,
        .pause = pause_for,
        .ctx = h,
    };
    struct arena *a = arena_new();
    struct preset *preset = NULL;
    struct error *failure = NULL;
    e->fetching = true;
    pthread_mutex_unlock(&h->mutex);
    int r = hub_fetch_preset(&fetch, a, &preset, &failure);
    pthread_mutex_lock(&h->mutex);
    e->fetching = false;
    settle(h, e, r, a, preset, failure);
    pthread_cond_broadcast(&h->cond);
    if (err)
        *err = TAKE_PTR(failure);
    error_free(failure);
    return r;
}

static int late(const struct hub_request *q, const struct hub *h, struct error **err)
{
    int r = h->stopping ? error_set(err, ERROR_CANCELLED, "the program ends")
                        : error_set(err, ERROR_TIMEOUT, "%s has not told of %s in time",
                                    h->endpoint, q->id);
    if (err)
        error_set_reason(*err, "HubUnavailable");
    return r;
}

static struct entry *find_or_add(struct hub *h, const char *key)
{
    struct entry *e = map_get(h->entries, key);
    if (!e) {
        make_room(h);
        e = NEW0(struct entry);
        map_set(h->entries, key, e);
    }
    return e;
}

static int find(struct hub *h, const char *key, const struct hub_request *q, struct arena *a,
                const struct preset **ret, struct error **err)
{
    int64_t timeout_ms = q->timeout_ms > 0 ? q->timeout_ms : DEFAULT_TIMEOUT_MS;
    int64_t deadline_ns = clock_mono(clock_system()) + timeout_ms * NS_PER_MS;
    while (!h->stopping) {
        struct entry *e = find_or_add(h, key);
        e->used_ns = clock_mono(h->clock);
        if (!e->fetching && is_fresh(h, e))
            return answer(e, a, ret, err);
        if (e->fetching) {
            if (!cond_wait_until(&h->cond, &h->mutex, deadline_ns))
                break;
            continue;
        }
        int r = look_up(h, e, q, deadline_ns, NULL);
        /* Our own time was short; that says nothing to others, who may have more. */
        if (r == -ERROR_TIMEOUT && timeout_ms < h->call_timeout_ms)
            e->until_ns = 0;
        return answer(e, a, ret, err);
    }
    return late(q, h, err);
}

static int check(const struct hub_request *q, struct error **err)
{
    bool revision = !q->revision || part_is_valid(q->revision, strlen(q->revision));
    if (hub_id_is_valid(q->id) && revision)
        return 0;
    int r =
        error_set(err, ERROR_NOT_FOUND,
                  "\"%s\"%s%s is no model of Hugging Face: they are named org/model, of letters, "
                  "digits, '.', '-' and '_'",
                  str_or_empty(q->id), revision ? "" : " at revision ",
                  revision ? "" : q->revision);
    if (err)
        error_set_reason(*err, "ModelNotFound");
    return r;
}

int hub_find(struct hub *h, const struct hub_request *q, struct arena *a, const struct preset **ret,
             struct error **err)
{
    int r = check(q, err);
    if (r < 0)
        return r;
    const char *key = key_of(a, h, q);
    LOCK(&h->mutex);
    h->callers++;
    r = find(h, key, q, a, ret, err);
    h->callers--;
    if (h->stopping)
        pthread_cond_broadcast(&h->cond);
    return r;
}

int hub_peek(struct hub *h, const struct hub_request *q, struct arena *a, const struct preset **ret,
             struct error **err)
{
    *ret = NULL;
    int r = check(q, err);
    if (r < 0)
        return r;
    const char *key = key_of(a, h, q);
    LOCK(&h->mutex);
    struct entry *e = map_get(h->entries, key);
    if (!e || (!e->preset && e->failure.code == ERROR_OK))
        return 0;
    return answer(e, a, ret, err);
}
