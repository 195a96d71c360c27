#include "base/str.h"
#include "unit.h"
#include "workspace/decide_internal.h"

static struct json *parse(struct arena *a, const char *text)
{
    char *copy = arena_strdup(a, text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct json *v = NULL;
    struct error *err = NULL;
    if (json_parse(a, copy, strlen(copy), &v, &err) < 0)
        fail_msg("%s: %s", text, error_message(err));
    return v;
}

#define POD(status) "{'metadata':{'name':'w-0'},'status':{" status "}}"
#define MAIN(status) POD("'containerStatuses':[{'name':'w'," status "}]")

static void failures_have_names(void **state)
{
    static const struct {
        const char *pods;
        const char *reason;
        const char *part;
    } table[] = {
        { "", NULL, NULL },
        { MAIN("'ready':true,'state':{'running':{}}"), NULL, NULL },
        { MAIN(
              "'restartCount':12,'state':{'waiting':{'reason':'CrashLoopBackOff'}},'lastState':{'terminated':{'reason':"
              "'OOMKilled','exitCode':137}}"),
          "ContainerOOMKilled", "12 restarts" },
        { MAIN("'state':{'terminated':{'reason':'OOMKilled','exitCode':137}}"),
          "ContainerOOMKilled", "OOMKilled" },
        { MAIN(
              "'state':{'waiting':{'reason':'ImagePullBackOff','message':'Back-off pulling x: ErrImagePull: no such image'}}"),
          "ImagePullError", "cannot get its image: no such image" },
        { MAIN("'state':{'waiting':{'reason':'ErrImagePull','message':'no such image'}}"),
          "ImagePullError", "cannot get its image: no such image" },
        { MAIN("'state':{'waiting':{'reason':'InvalidImageName'}}"), "ImagePullError",
          "InvalidImageName" },
        { POD("'initContainerStatuses':[{'name':'puller','state':{'waiting':{'reason':'ErrImagePull'}}}]"),
          "ImagePullError", "container puller" },
        { MAIN(
              "'state':{'waiting':{'reason':'CreateContainerConfigError','message':'secret \\\"s\\\" not found'}}"),
          "ContainerStartError", "secret \"s\" not found" },
        { MAIN(
              "'restartCount':3,'state':{'waiting':{'reason':'CrashLoopBackOff'}},'lastState':{'terminated':{'exitCode':1,"
              "'message':'kaito-serve: no such file\\n'}}"),
          "ContainerCrashLoopBackOff", "exit code 1, 3 restarts: kaito-serve: no such file" },
        { MAIN(
              "'restartCount':1,'ready':false,'state':{'running':{}},'lastState':{'terminated':{'exitCode':2}}"),
          "ContainerCrashLoopBackOff", "exit code 2" },
        { MAIN(
              "'restartCount':1,'ready':true,'state':{'running':{}},'lastState':{'terminated':{'exitCode':2}}"),
          NULL, NULL },
        { POD("'phase':'Failed','reason':'Evicted','message':'The node was low on resource: ephemeral-storage.'"),
          "NodeDiskPressure", "ephemeral-storage" },
        { POD("'phase':'Failed','reason':'Evicted','message':'The node was low on resource: memory.'"),
          "NodeMemoryPressure", "memory" },
        { POD("'phase':'Failed','reason':'Evicted'"), "PodEvicted", "Evicted" },
        { POD("'phase':'Pending','conditions':[{'type':'PodScheduled','status':'False','reason':'Unschedulable','message':"
              "'0/3 nodes are available: 3 Insufficient nvidia.com/gpu.'}]"),
          "Unschedulable", "Insufficient nvidia.com/gpu" },
        { POD("'phase':'Pending'"), NULL, NULL },
        { POD("'initContainerStatuses':[{'name':'fetch-sas','restartCount':2,'state':{'waiting':{'reason':'CrashLoopBackOff'}},"
              "'lastState':{'terminated':{'exitCode':1,'message':'signing in: the server answered 401'}}}]"),
          "SASTokenFetchFailed",
          "container fetch-sas ended with exit code 1, 2 restarts: signing in" },
        { POD("'initContainerStatuses':[{'name':'fetch-sas','state':{'running':{}}}]"), NULL,
          NULL },
        { POD("'initContainerStatuses':[{'name':'fetch-sas','state':{'waiting':{'reason':'ErrImagePull'}}}]"),
          "ImagePullError", "container fetch-sas" },
        /* the graver one counts, whichever pod has it */
        { POD("'phase':'Pending','conditions':[{'type':'PodScheduled','status':'False','reason':'Unschedulable'}]") "," MAIN(
              "'state':{'terminated':{'reason':'OOMKilled','exitCode':137}}"),
          "ContainerOOMKilled", NULL },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct problem p = { 0 };
        bool found = pod_failure_find(a, parse(a, arena_printf(a, "[%s]", table[i].pods)), &p);
        if (found != (table[i].reason != NULL))
            fail_msg("%s: %s", table[i].pods, found ? p.reason : "nothing found");
        if (!found)
            continue;
        assert_string_equal(p.reason, table[i].reason);
        if (table[i].part && !strstr(p.message, table[i].part))
            fail_msg("\"%s\" has no \"%s\"", p.message, table[i].part);
    }
}

static void long_messages_are_cut_between_characters(void **state)
{
    AUTO_ARENA a = arena_new();
    char text[1200] = "";
    for (size_t i = 0; i < 300; i++)
        strncat(text, "ä", sizeof(text) - strlen(text) - 1);
    struct problem p = { 0 };
    assert_true(pod_failure_find(
        a,
        parse(a,
              arena_printf(a,
                           "[" MAIN(
                               "'state':{'waiting':{'reason':'ErrImagePull','message':'%s'}}") "]",
                           text)),
        &p));
    assert_true(strlen(p.message) <= 256 && strlen(p.message) > 250);
    assert_int_equal(str_utf8_valid_len(p.message, strlen(p.message)), strlen(p.message));
}

UNIT_TESTS(TEST(failures_have_names), TEST(long_messages_are_cut_between_characters))
