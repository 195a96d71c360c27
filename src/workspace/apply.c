#include "workspace/apply.h"

static struct json *status_after_error(void *ctx, struct arena *a, const struct decision *d,
                                       const char *error)
{
    return workspace_status_after_error(a, ctx, d, error);
}

int workspace_apply(struct arena *a, const struct apply_target *t, const struct decide_input *in,
                    const struct decision *d, const char **ret_version, struct error **err)
{
    struct decide_input copy = *in;
    const struct apply_subject subject = {
        .resource = &KUBE_WORKSPACES,
        .object = in->observed->workspace,
        .status_after_error = status_after_error,
        .ctx = &copy,
    };
    return operator_apply(a, t, &subject, d, ret_version, err);
}
