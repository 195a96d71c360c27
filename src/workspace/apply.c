#include "workspace/apply.h"

struct context {
    const struct decide_input *in;
    struct nodes_cache *nodes;
};

static struct json *status_after_error(void *ctx, struct arena *a, const struct decision *d,
                                       const char *error)
{
    return workspace_status_after_error(a, ((struct context *)ctx)->in, d, error);
}

static void write_begins(void *ctx, const struct write *w)
{
    nodes_cache_write_begins(((struct context *)ctx)->nodes, w);
}

static void write_ended(void *ctx, const struct write *w, int r)
{
    nodes_cache_write_ended(((struct context *)ctx)->nodes, w, r);
}

int workspace_apply(struct arena *a, const struct apply_target *t, struct nodes_cache *nodes,
                    const struct decide_input *in, const struct decision *d,
                    const char **ret_version, struct error **err)
{
    struct context context = { in, nodes };
    const struct apply_subject subject = {
        .resource = &KUBE_WORKSPACES,
        .object = in->observed->workspace,
        .status_after_error = status_after_error,
        .write_begins = write_begins,
        .write_ended = write_ended,
        .ctx = &context,
    };
    return operator_apply(a, t, &subject, d, ret_version, err);
}
