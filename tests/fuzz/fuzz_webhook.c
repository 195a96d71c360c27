/* Whatever an API server or anybody else sends to the webhook: it is either told what is wrong with
 * it, or answered under its uid, and a denial has a message. Secrets and configurations of any form
 * are completed or left alone, and what was completed is right. */
#include "base/clock.h"
#include "base/str.h"
#include "fuzz.h"
#include "webhook/internal.h"
#include "webhook/rules.h"
#include "json/build.h"

#define NOW (INT64_C(1790000000) * NS_PER_S)

struct rules {
    struct operator_settings settings;
    struct catalog *catalog;
    struct go_types *types;
    struct admission_world world;
};

static int judge(void *ctx, struct arena *a, const struct json *request, struct json **ret,
                 struct error **err)
{
    struct rules *r = ctx;
    struct admission ad = { &r->settings, r->catalog, r->types, &r->world };
    *ret = admission_respond(a, &ad, request);
    return 0;
}

static void check_answer(const struct json *answer)
{
    const struct json *response = json_get(answer, "response");
    must(json_is_bool(json_get(response, "allowed")));
    must(!str_empty(json_find_str(response, "uid")));
    if (!json_find_bool(response, false, "allowed"))
        must(!str_empty(json_find_str(response, "status", "message")));
}

static void check_config(struct arena *a, const struct json *v)
{
    for (const struct webhook_hook *h = WEBHOOK_WORKSPACE_HOOKS; h->name; h++) {
        struct json *next = config_correct(a, v, h, "PEM", NULL);
        must(!next || !config_correct(a, next, h, "PEM", NULL));
    }
}

static void check_secret(struct arena *a, const struct json *v)
{
    struct webhook_certs c;
    CLEANUP(error_cleanup) struct error *err = NULL;
    must(certs_read(a, v, "hook.ns.svc", NOW, &c, &err) == 0 || *error_message(err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rules rules;
    AUTO_ARENA a = arena_new();
    if (!rules.catalog) {
        rules = (struct rules){
            .settings = { .provisioner = PROVISIONER_BYO,
                          .gates = GATES_DEFAULT,
                          .cloud = "azure",
                          .release_namespace = "kaito-workspace" },
            .catalog = catalog_new(),
            .types = go_types_new(),
        };
        admission_world_of(NULL, &rules.world);
    }
    struct json *answer = NULL, *v = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (review_answer(a, (const char *)data, size, judge, &rules, &answer, &err) == 0)
        check_answer(answer);
    else
        must(*error_message(err));
    if (json_parse(a, (const char *)data, size, &v, NULL) == 0 && json_is_object(v)) {
        check_config(a, v);
        check_secret(a, v);
    }
    return 0;
}
