/* A valid object of every kind, to be made wrong, and how faults are told. */
#pragma once

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "test_server.h"
#include "unit.h"
#include "json/json.h"

struct valid_object {
    const char *kind;
    const char *collection;
    const char *object;
};

static const struct valid_object valid_objects[] = {
    { "Pod", "/api/v1/namespaces/default/pods",
      "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c','image':'i'}]}}" },
    { "Service", "/api/v1/namespaces/default/services",
      "{'metadata':{'name':'s'},'spec':{'ports':[{'port':80}]}}" },
    { "StatefulSet", "/apis/apps/v1/namespaces/default/statefulsets",
      "{'metadata':{'name':'s'},'spec':{'serviceName':'s','selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}" },
    { "ConfigMap", "/api/v1/namespaces/default/configmaps", "{'metadata':{'name':'c'}}" },
    { "Secret", "/api/v1/namespaces/default/secrets", "{'metadata':{'name':'s'}}" },
    { "Namespace", "/api/v1/namespaces", "{'metadata':{'name':'n'}}" },
    { "Node", "/api/v1/nodes", "{'metadata':{'name':'n'}}" },
    { "Endpoints", "/api/v1/namespaces/default/endpoints", "{'metadata':{'name':'e'}}" },
    { "Event", "/api/v1/namespaces/default/events",
      "{'metadata':{'name':'e'},'involvedObject':{'namespace':'default'}}" },
    { "ServiceAccount", "/api/v1/namespaces/default/serviceaccounts", "{'metadata':{'name':'s'}}" },
    { "PersistentVolumeClaim", "/api/v1/namespaces/default/persistentvolumeclaims",
      "{'metadata':{'name':'c'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'}}}}" },
    { "ControllerRevision", "/apis/apps/v1/namespaces/default/controllerrevisions",
      "{'metadata':{'name':'r'},'revision':1,'data':{}}" },
    { "Lease", "/apis/coordination.k8s.io/v1/namespaces/default/leases",
      "{'metadata':{'name':'l'}}" },
    { "CustomResourceDefinition", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
      "{'metadata':{'name':'tests.example.com'},'spec':{'group':'example.com','scope':'Namespaced','names':{'plural':'tests','kind':'Test'},'versions':[{'name':'v1','served':true,'storage':true,'schema':{'openAPIV3Schema':{'type':'object'}}}]}}" },
};

static inline const struct valid_object *valid_object(const char *kind)
{
    for (size_t i = 0; i < COUNT_OF(valid_objects); i++)
        if (STREQ(valid_objects[i].kind, kind))
            return &valid_objects[i];
    fail_msg("%s", kind);
    return NULL;
}

/* The text with " in the place of '. */
static inline struct json *quoted(struct arena *a, const char *text)
{
    const char *json = str_replace(a, text, "'", "\"");
    struct json *v = NULL;
    assert_int_equal(json_parse(a, json, strlen(json), &v, NULL), 0);
    return v;
}

/* Only the start of a message is compared; tests/kube_diff compares all of it. */
#define MESSAGE_START 60

/* "FIELD: MESSAGE" of every cause of the last answer, or its message when there are none, joined by
 * | with ' in the place of ". */
static inline const char *told(struct test_server *t)
{
    AUTO_BUF out = BUF_INIT(MIB);
    const struct json *causes = json_pointer(t->answer, "/details/causes");
    for (size_t i = 0; i < json_size(causes); i++) {
        const struct json *cause = json_at(causes, i);
        buf_printf(&out, "%s%s: %.*s", i ? "|" : "", json_string(json_get(cause, "field")),
                   MESSAGE_START, json_string(json_get(cause, "message")));
    }
    if (!causes)
        buf_printf(&out, "%.*s", MESSAGE_START, test_server_get(t, "/message"));
    return str_replace(t->a, buf_str(&out), "\"", "'");
}
