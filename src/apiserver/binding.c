/* POST pods/NAME/binding: how a scheduler gives a pod to a node. The one write of spec.nodeName
 * after creation. */
#include "apiserver/binding.h"

#include "apiserver/object_meta.h"
#include "apiserver/registry.h"
#include "apiserver/server.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

struct binding {
    struct api_request *rq;
    const struct json *body;
    const char *node;
};

static int check(struct api_request *rq, const struct json *body, const char **ret_node)
{
    const char *name = json_find_str(body, "metadata", "name");
    const char *kind = json_find_str(body, "target", "kind");
    *ret_node = json_find_str(body, "target", "name");
    if (!str_empty(name) && !STREQ(name, rq->name))
        return request_failf(rq, "BadRequest", "name in URL does not match name in Binding object");
    struct field_errors errors = { .arena = rq->a };
    if (!str_empty(kind) && !STREQ(kind, "Node"))
        field_errors_add(&errors, "FieldValueNotSupported", "target.kind",
                         "Unsupported value: \"%s\": supported values: \"Node\", \"<empty>\"",
                         kind);
    if (str_empty(*ret_node))
        field_errors_add(&errors, "FieldValueRequired", "target.name", "Required value");
    if (errors.count == 0)
        return 0;
    return request_fail(rq, status_invalid(rq->a, "", "Binding", rq->name, &errors));
}

static struct json *scheduled_condition(struct arena *a, int64_t now_wall_ns)
{
    char now[TIME_RFC3339_SIZE];
    time_format_rfc3339(now_wall_ns, now);
    return OBJ("lastProbeTime", NUL(), "lastTransitionTime", STR(now), "status", STR("True"),
               "type", STR("PodScheduled"));
}

static void bind_pod(struct binding *b, struct json *pod)
{
    struct arena *a = b->rq->a;
    json_set_str(a, json_ensure_object(a, pod, "spec"), "nodeName", b->node);
    JSON_FOREACH(it, json_find(b->body, "metadata", "annotations")) {
        struct json *annotations =
            json_ensure_object(a, json_ensure_object(a, pod, "metadata"), "annotations");
        json_set(a, annotations, it.key, json_clone(a, it.value));
    }
    struct json *conditions =
        json_ensure_array(a, json_ensure_object(a, pod, "status"), "conditions");
    condition_remove(conditions, "PodScheduled");
    json_append(conditions, scheduled_condition(a, clock_wall(b->rq->server->clock)));
}

static int decide(void *ctx, const struct kube_object *current, struct arena *sa,
                  struct json **ret_next, bool *ret_unchanged, struct error **err)
{
    struct binding *b = ctx;
    struct api_request *rq = b->rq;
    if (!current)
        return request_fail_not_found(rq, rq->name);
    struct json *pod = kube_object_parse(rq->a, current);
    const char *assigned = json_find_str(pod, "spec", "nodeName");
    if (current->deleting)
        return request_fail_conflict_text(
            rq, "pods/binding", rq->name,
            arena_printf(rq->a, "pod %s is being deleted, cannot be assigned to a host", rq->name));
    if (!str_empty(assigned))
        return request_fail_conflict_text(rq, "pods/binding", rq->name,
                                          arena_printf(rq->a,
                                                       "pod %s is already assigned to node \"%s\"",
                                                       rq->name, assigned));
    if (json_size(json_find(pod, "spec", "schedulingGates")) > 0)
        return request_fail_conflict_text(rq, "pods/binding", rq->name,
                                          arena_printf(rq->a,
                                                       "pod %s has non-empty .spec.schedulingGates",
                                                       rq->name));
    bind_pod(b, pod);
    *ret_next = pod;
    *ret_unchanged = rq->dry_run;
    return 0;
}

int binding_create(struct api_request *rq, struct api_reply *reply)
{
    int r = request_parse_write_options(rq, "CreateOptions");
    struct binding b = { .rq = rq };
    struct json *body = NULL;
    if (r == 0)
        r = request_parse_body(rq, &body, NULL);
    if (r == 0)
        r = check(rq, body, &b.node);
    if (r < 0)
        return r;
    b.body = body;
    CLEANUP(error_cleanup) struct error *err = NULL;
    r = store_write(rq->server->store, rq->kind->resource, rq->ns, rq->name, decide, &b, NULL,
                    &err);
    if (r < 0)
        return rq->failure ? r : request_fail_error(rq, err);
    struct arena *a = rq->a;
    api_reply_json(rq, reply, 201,
                   OBJ("kind", STR("Status"), "apiVersion", STR("v1"), "metadata", EMPTY_OBJ(),
                       "status", STR("Success"), "code", INT(201)));
    return 0;
}
