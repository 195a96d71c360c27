/* Keeps Secret and configurations as they should be: one thread that looks when either of them
 * changes, when the certificate is due, after a failure, and now and then.
 *
 * A new certificate is served only once every configuration has its CA and API servers had a moment
 * to notice; until then the old one is, whose CA stays in the bundle for as long as it is valid. So
 * that replicas may see a change in any order, the configurations are read before the Secret: who
 * has read an older Secret than another replica then also holds an older configuration, and its
 * write is refused. */
#include "webhook/webhook.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "kube/informer.h"
#include "kube/meta.h"
#include "webhook/internal.h"

#define MAX_HOOKS 8
#define CALL_TIMEOUT_MS 10000
#define NS_PER_HOUR (3600 * NS_PER_S)
#define LOOK_AGAIN_NS (600 * NS_PER_S)
#define SETTLE_NS (5 * NS_PER_S) /* until API servers know of a changed configuration */
#define LAST_MOMENT_NS                                                                             \
    NS_PER_HOUR /* before its end the old certificate is given up in any case                      \
                 */
#define RETRY_FIRST_NS (1 * NS_PER_S)
#define RETRY_LAST_NS (30 * NS_PER_S)
#define MAX_CONFLICTS 5

struct webhook {
    struct arena *a; /* of the strings of o */
    struct webhook_options o;
    const char *dns_name;
    struct kube_client *client;
    struct informer *secrets, *configurations; /* only to be told of changes */
    struct webhook_server *server;
    pthread_t thread;
    bool thread_runs;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool stopping, dirty;
    bool in_order;           /* Secret and configurations were seen to be right once */
    int64_t served_until_ns; /* wall clock; 0: nothing that anybody trusts is served */
    char *problem;           /* NULL: none */

    /* of the thread */
    char *served, *next;   /* certificates: shown now, and to be shown when it has settled */
    int64_t next_since_ns; /* monotonic */
    unsigned failures;
};

/* ---- one look ------------------------------------------------------------------------------------------------- */

struct look {
    struct webhook *w;
    struct arena *a;
    struct json *configurations[MAX_HOOKS]; /* by hook; NULL: not installed */
    struct json *owner;
    struct webhook_certs certs;
};

static int get_if_there(struct look *l, const struct kube_resource *r, const char *ns,
                        const char *name, struct json **ret, struct error **err)
{
    struct error *why = NULL;
    int status = kube_get(l->w->client, r, ns, name, l->a, ret, &why);
    if (status == -ERROR_NOT_FOUND) {
        *ret = NULL;
        error_free(why);
        return 0;
    }
    if (status < 0) {
        if (err)
            *err = TAKE_PTR(why);
        error_free(why);
        return error_prefix(err, status, "%s %s", r->kind, name);
    }
    return 0;
}

static int read_configurations(struct look *l, struct error **err)
{
    const struct webhook_hook *hooks = l->w->o.hooks;
    int r = 0;
    for (size_t i = 0; hooks[i].name && r == 0; i++)
        r = get_if_there(l, &WEBHOOK_CONFIGURATIONS, NULL, hooks[i].name, &l->configurations[i],
                         err);
    return r;
}

/* The Secret's certificates, made anew where they must be. -ERROR_CONFLICT: another replica wrote
 * meanwhile. */
static int read_certs(struct look *l, struct error **err)
{
    struct webhook *w = l->w;
    struct json *secret = NULL;
    int r = get_if_there(l, &KUBE_SECRETS, w->o.ns, w->o.secret, &secret, err);
    if (r == 0 && !secret)
        return error_set(err, ERROR_NOT_FOUND,
                         "Secret %s/%s does not exist; the chart makes it, empty, and the "
                         "certificate is kept in it: install the chart anew or create it",
                         w->o.ns, w->o.secret);
    if (r < 0)
        return r;
    int64_t now = clock_wall(w->o.clock);
    CLEANUP(error_cleanup) struct error *why = NULL;
    if (certs_read(l->a, secret, w->dns_name, now, &l->certs, &why) == 0 &&
        l->certs.until_ns - now > CERT_RENEW_HOURS * NS_PER_HOUR)
        return 0;
    struct json *renewed = NULL;
    r = certs_renew(l->a, secret, w->o.service, w->o.ns, now, &renewed, err);
    if (r == 0)
        r = kube_update(w->client, &KUBE_SECRETS, renewed, NULL, l->a, &secret, err);
    if (r == -ERROR_CONFLICT)
        return r;
    if (r < 0)
        return error_prefix(err, r, "Secret %s/%s needs a new certificate (%s)", w->o.ns,
                            w->o.secret, why ? error_message(why) : "the one in it ends soon");
    log_info("made a new certificate for the webhook", "secret", w->o.secret, "because",
             why ? error_message(why) : "the one in it ends soon", NULL);
    return certs_read(l->a, secret, w->dns_name, now, &l->certs, err);
}

/* The Namespace as owner is a courtesy: without the right to read it or to name it, nothing is said
 * of owners. */
static void read_owner(struct look *l)
{
    if (kube_get(l->w->client, &KUBE_NAMESPACES, NULL, l->w->o.ns, l->a, &l->owner, NULL) < 0)
        l->owner = NULL;
}

static int write_configuration(struct look *l, size_t i, struct error **err)
{
    const struct webhook_hook *hook = &l->w->o.hooks[i];
    struct json *next = config_correct(l->a, l->configurations[i], hook, l->certs.ca, l->owner);
    if (!next)
        return 0;
    struct error *why = NULL;
    int r = kube_update(l->w->client, &WEBHOOK_CONFIGURATIONS, next, NULL, l->a, NULL, &why);
    if (r == -ERROR_FORBIDDEN && l->owner) {
        next = config_correct(l->a, l->configurations[i], hook, l->certs.ca, NULL);
        error_free(TAKE_PTR(why));
        r = next ? kube_update(l->w->client, &WEBHOOK_CONFIGURATIONS, next, NULL, l->a, NULL, &why)
                 : 0;
    }
    if (r == -ERROR_NOT_FOUND) { /* uninstalled meanwhile */
        error_free(why);
        return 0;
    }
    if (r < 0) {
        if (err)
            *err = TAKE_PTR(why);
        error_free(why);
        return error_prefix(err, r, "ValidatingWebhookConfiguration %s", hook->name);
    }
    return 0;
}

static int write_configurations(struct look *l, struct error **err)
{
    int r = 0;
    for (size_t i = 0; l->w->o.hooks[i].name && r == 0; i++) {
        if (!l->configurations[i])
            continue;
        if (!l->owner)
            read_owner(l);
        r = write_configuration(l, i, err);
    }
    return r;
}

/* ---- what is served -------------------------------------------------------------------------------------------- */

static int serve(struct webhook *w, const struct webhook_certs *c, struct error **err)
{
    int r = webhook_server_set_certs(w->server, c, err);
    if (r < 0)
        return r;
    free(w->served);
    w->served = mem_strdup(c->cert);
    free(TAKE_PTR(w->next));
    LOCK(&w->lock);
    w->served_until_ns = c->until_ns;
    return 0;
}

/* Changes over to the certificate of the Secret when it is time. *ret_wait_ns: until it will be. */
static int change_over(struct webhook *w, const struct webhook_certs *c, bool settled_possible,
                       int64_t *ret_wait_ns, struct error **err)
{
    *ret_wait_ns = INT64_MAX;
    if (str_eq(w->served, c->cert)) {
        free(TAKE_PTR(w->next));
        return 0;
    }
    int64_t now = clock_mono(w->o.clock);
    bool old_is_good = w->served_until_ns - clock_wall(w->o.clock) > LAST_MOMENT_NS;
    if (!old_is_good)
        return serve(w, c, err);
    if (!settled_possible)
        return 0;
    if (!str_eq(w->next, c->cert)) {
        free(w->next);
        w->next = mem_strdup(c->cert);
        w->next_since_ns = now;
    }
    int64_t rest = w->next_since_ns + SETTLE_NS - now;
    if (rest <= 0)
        return serve(w, c, err);
    *ret_wait_ns = rest;
    return 0;
}

/* Reads, writes what differs, and changes over. */
static int look(struct webhook *w, int64_t *ret_wait_ns, struct error **err)
{
    AUTO_ARENA a = arena_new();
    struct look l = { .w = w, .a = a };
    int r = read_configurations(&l, err);
    if (r == 0)
        r = read_certs(&l, err);
    int64_t settle = INT64_MAX;
    if (r < 0 && r != -ERROR_CONFLICT && l.certs.cert)
        change_over(w, &l.certs, false, &settle, NULL); /* not renewed, but good for a while */
    if (r < 0)
        return r;
    int written = write_configurations(&l, err);
    if (written == -ERROR_CONFLICT)
        return written;
    r = change_over(w, &l.certs, written == 0, &settle, written < 0 ? NULL : err);
    if (written < 0)
        return written;
    int64_t due =
        l.certs.until_ns - CERT_RENEW_HOURS * NS_PER_HOUR - clock_wall(w->o.clock) + NS_PER_S;
    *ret_wait_ns = MAX(MIN(MIN(due, settle), (int64_t)LOOK_AGAIN_NS), NS_PER_MS);
    return r;
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

/* Takes err over. The same trouble is logged once. */
static void note(struct webhook *w, struct error *err)
{
    char *problem = err ? mem_strdup(error_message(err)) : NULL;
    bool is_new;
    {
        LOCK(&w->lock);
        is_new = !w->stopping && !str_eq(problem, w->problem);
        free(w->problem);
        w->problem = problem;
        w->in_order = w->in_order || !err;
    }
    if (is_new && err)
        log_error("webhook certificates and configurations", "error", error_message(err), NULL);
    else if (is_new)
        log_info("webhook certificates and configurations are in order", NULL);
    error_free(err);
}

static int64_t look_until_settled(struct webhook *w)
{
    struct error *err = NULL;
    int64_t wait_ns = LOOK_AGAIN_NS;
    int r = look(w, &wait_ns, &err);
    for (int i = 0; r == -ERROR_CONFLICT && i < MAX_CONFLICTS; i++) {
        error_free(TAKE_PTR(err));
        r = look(w, &wait_ns, &err);
    }
    note(w, err);
    if (r == 0) {
        w->failures = 0;
        return wait_ns;
    }
    int64_t wait = RETRY_FIRST_NS << MIN(w->failures, 5u);
    w->failures++;
    return MIN(wait, (int64_t)RETRY_LAST_NS);
}

static void *run(void *arg)
{
    struct webhook *w = arg;
    struct clock *real = clock_system();
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        w->dirty = false;
        pthread_mutex_unlock(&w->lock);
        int64_t until = clock_mono(real) + look_until_settled(w);
        pthread_mutex_lock(&w->lock);
        while (!w->stopping && !w->dirty && cond_wait_until(&w->changed, &w->lock, until))
            ;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

void webhook_poke(struct webhook *w)
{
    LOCK(&w->lock);
    w->dirty = true;
    pthread_cond_broadcast(&w->changed);
}

static void on_secret(void *ctx, struct kube_object *old, struct kube_object *new)
{
    webhook_poke(ctx);
}

static void on_configuration(void *ctx, struct kube_object *old, struct kube_object *new)
{
    struct webhook *w = ctx;
    for (const struct webhook_hook *h = w->o.hooks; h->name; h++) {
        if (STREQ(h->name, (new ? new : old)->name))
            webhook_poke(w);
    }
}

/* Names and versions are all that is needed to know that something has changed. */
static void keep_metadata(struct arena *a, struct json *obj)
{
    JSON_FOREACH(it, obj) {
        if (!STREQ(it.key, "metadata"))
            json_iter_remove(&it);
    }
    json_del(json_get(obj, "metadata"), "annotations");
}

/* ---- start and stop --------------------------------------------------------------------------------------------- */

static int check_options(const struct webhook_options *o, struct error **err)
{
    if (str_empty(o->service) || strlen(o->service) > 63)
        return error_set(err, ERROR_INVALID,
                         "WEBHOOK_SERVICE is \"%s\"; it is the name of the Service in front of the "
                         "webhook",
                         str_or_empty(o->service));
    if (str_empty(o->ns) || strlen(o->ns) > 63)
        return error_set(err, ERROR_INVALID,
                         "the namespace of the webhook's Service and Secret is \"%s\"; set "
                         "SYSTEM_NAMESPACE to the namespace of the release",
                         str_or_empty(o->ns));
    if (!str_empty(o->tls_min_version) && !STREQ(o->tls_min_version, "1.2") &&
        !STREQ(o->tls_min_version, "1.3"))
        return error_set(err, ERROR_INVALID,
                         "WEBHOOK_TLS_MIN_VERSION is \"%s\"; it can be 1.2 or 1.3",
                         o->tls_min_version);
    size_t hooks = 0;
    for (const struct webhook_hook *h = o->hooks; h->name; h++)
        hooks++;
    if (hooks > MAX_HOOKS)
        return error_set(err, ERROR_INVALID, "%zu webhooks; %d are the most", hooks, MAX_HOOKS);
    return 0;
}

static struct webhook *webhook_new(const struct webhook_options *options)
{
    struct webhook *w = NEW0(struct webhook);
    struct arena *a = w->a = arena_new();
    w->o = *options;
    w->o.clock = options->clock ? options->clock : clock_system();
    w->o.hooks = options->hooks ? options->hooks : WEBHOOK_WORKSPACE_HOOKS;
    w->o.address = arena_strdup(a, options->address);
    w->o.service = arena_strdup(a, options->service);
    w->o.ns = arena_strdup(a, options->ns);
    w->o.secret =
        arena_strdup(a, str_empty(options->secret) ? WEBHOOK_WORKSPACE_SECRET : options->secret);
    w->o.tls_min_version = arena_strdup(a, options->tls_min_version);
    w->dns_name = arena_printf(a, "%s.%s.svc", str_or_empty(w->o.service), str_or_empty(w->o.ns));
    pthread_mutex_init(&w->lock, NULL);
    cond_init_monotonic(&w->changed);
    return w;
}

static int start_watching(struct webhook *w, struct error **err)
{
    w->client = kube_client_new(kube_client_transport(w->o.client),
                                &(struct kube_client_options){ .timeout_ms = CALL_TIMEOUT_MS });
    const char *selector = arena_printf(w->a, "metadata.name=%s", w->o.secret);
    w->secrets =
        informer_new(w->client, &KUBE_SECRETS,
                     &(struct informer_options){
                         .ns = w->o.ns, .field_selector = selector, .project = keep_metadata });
    informer_add_handler(w->secrets, on_secret, w);
    w->configurations = informer_new(w->client, &WEBHOOK_CONFIGURATIONS,
                                     &(struct informer_options){ .project = keep_metadata });
    informer_add_handler(w->configurations, on_configuration, w);
    int r = informer_start(w->secrets, err);
    return r < 0 ? r : informer_start(w->configurations, err);
}

int webhook_start(const struct webhook_options *options, struct webhook **ret, struct error **err)
{
    struct webhook *w = webhook_new(options);
    int r = check_options(&w->o, err);
    if (r == 0)
        r = webhook_server_start(&w->o, &w->server, err);
    if (r == 0)
        r = start_watching(w, err);
    if (r == 0) {
        r = thread_start(&w->thread, "webhook-certs", run, w, err);
        w->thread_runs = r == 0;
    }
    if (r < 0) {
        webhook_stop(w);
        return r;
    }
    *ret = w;
    return 0;
}

uint16_t webhook_port(const struct webhook *w)
{
    return webhook_server_port(w->server);
}

bool webhook_ready(struct webhook *w, char *why, size_t why_size)
{
    LOCK(&w->lock);
    const char *text = "";
    if (!w->in_order)
        text = w->problem ? w->problem : "the certificate of the webhook is not there yet";
    else if (w->served_until_ns <= clock_wall(w->o.clock))
        text = w->problem ? w->problem : "the certificate of the webhook has expired";
    if (why_size > 0)
        snprintf(why, why_size, "%s", text);
    return *text == '\0';
}

void webhook_stop(struct webhook *w)
{
    if (!w)
        return;
    {
        LOCK(&w->lock);
        w->stopping = true;
        pthread_cond_broadcast(&w->changed);
    }
    if (w->client)
        kube_client_interrupt(w->client, true);
    if (w->thread_runs)
        thread_join(w->thread);
    struct informer *informers[] = { w->secrets, w->configurations };
    for (size_t i = 0; i < COUNT_OF(informers); i++) {
        if (!informers[i])
            continue;
        informer_stop(informers[i]);
        informer_free(informers[i]);
    }
    webhook_server_stop(w->server);
    if (w->client)
        kube_client_free(w->client);
    free(w->served);
    free(w->next);
    free(w->problem);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    arena_free(w->a);
    free(w);
}
