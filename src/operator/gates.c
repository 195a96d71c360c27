#include "operator/gates.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/mem.h"
#include "base/str.h"

static const char *const names[GATE_COUNT] = {
    [GATE_VLLM] = "vLLM",
    [GATE_NO_NODE_PROVISIONING] = "disableNodeAutoProvisioning",
    [GATE_GATEWAY_API] = "gatewayAPIInferenceExtension",
    [GATE_INFERENCE_SET] = "enableInferenceSetController",
    [GATE_MIG] = "enableMIG",
    [GATE_ACCELERATOR] = "enableAccelerator",
    [GATE_MULTI_ROLE] = "enableMultiRoleInferenceController",
    [GATE_MODEL_MIRROR] = "ModelMirror",
    [GATE_MODEL_STREAMING] = "ModelStreaming",
    [GATE_BASE_IMAGE_UPGRADE] = "enableBaseImageAutoUpgrade",
};

const struct gates GATES_DEFAULT = {
    .on = { [GATE_VLLM] = true, [GATE_INFERENCE_SET] = true },
};

const char *gate_name(enum gate gate)
{
    return names[gate];
}

/* The words that Go's strconv.ParseBool takes. */
static int parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (STREQ(text, yes[i]) || STREQ(text, no[i])) {
            *ret = STREQ(text, yes[i]);
            return 0;
        }
    return -1;
}

static int unknown_gate(const char *name, struct error **err)
{
    AUTO_BUF known = BUF_INIT(KIB);
    for (int i = 0; i < GATE_COUNT; i++)
        buf_printf(&known, "%s%s", i > 0 ? ", " : "", names[i]);
    return error_set(err, ERROR_INVALID,
                     "--feature-gates: there is no feature gate \"%s\"; the gates are %s", name,
                     buf_str(&known));
}

static int parse_one(char *item, struct gates *gates, struct error **err)
{
    char *value = strchr(item, '=');
    if (!value)
        return error_set(err, ERROR_INVALID,
                         "--feature-gates: \"%s\" has no value; write %s=true or %s=false", item,
                         item, item);
    *value++ = '\0';
    for (int i = 0; i < GATE_COUNT; i++) {
        if (!STREQ(item, names[i]))
            continue;
        if (parse_bool(value, &gates->on[i]) < 0)
            return error_set(err, ERROR_INVALID,
                             "--feature-gates: %s is \"%s\"; it can be true or false", item, value);
        return 0;
    }
    return unknown_gate(item, err);
}

int gates_parse(const char *text, struct gates *gates, struct error **err)
{
    AUTO_ARENA a = arena_new();
    char *rest = arena_strdup(a, text);
    while (*rest) {
        char *item = rest;
        rest += strcspn(rest, ",");
        if (*rest)
            *rest++ = '\0';
        while (*item == ' ')
            item++;
        size_t len = strlen(item);
        while (len > 0 && item[len - 1] == ' ')
            item[--len] = '\0';
        if (!*item)
            continue;
        int r = parse_one(item, gates, err);
        if (r < 0)
            return r;
    }
    if (gates->on[GATE_MODEL_STREAMING] && !gates->on[GATE_MODEL_MIRROR])
        return error_set(err, ERROR_INVALID,
                         "--feature-gates: ModelStreaming needs ModelMirror=true");
    return 0;
}
