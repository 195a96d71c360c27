/* Decoding and defaults of built-in kinds from data/kinds.json. */
#include <pthread.h>

#include "apiserver/types.h"
#include "base/clock.h"
#include "base/str.h"
#include "schema_test.h"

/* First: the types are loaded by whoever asks first, and by nobody twice. */
static void *find_pod(void *arg)
{
    return (void *)(uintptr_t)api_type_find("v1", "Pod");
}

static void the_first_of_many_threads_loads_the_types(void **state)
{
    pthread_t threads[8];
    void *found[COUNT_OF(threads)];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, find_pod, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], &found[i]);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_non_null(found[i]);
        assert_ptr_equal(found[i], found[0]);
    }
}

static void kinds_are_found_by_version_and_name(void **state)
{
    static const char *const known[][2] = {
        { "v1", "Namespace" },
        { "v1", "Node" },
        { "v1", "Pod" },
        { "v1", "Service" },
        { "v1", "Endpoints" },
        { "v1", "ConfigMap" },
        { "v1", "Secret" },
        { "v1", "Event" },
        { "v1", "ServiceAccount" },
        { "v1", "PersistentVolumeClaim" },
        { "apps/v1", "StatefulSet" },
        { "apps/v1", "ControllerRevision" },
        { "coordination.k8s.io/v1", "Lease" },
        { "apiextensions.k8s.io/v1", "CustomResourceDefinition" },
    };
    for (size_t i = 0; i < COUNT_OF(known); i++)
        assert_non_null(api_type_find(known[i][0], known[i][1]));
    assert_null(api_type_find("v1", "Workspace"));
    assert_null(api_type_find("apps/v1", "Pod"));
}

static const struct {
    const char *kind;
    const char *object;
    const char *error; /* NULL: none */
} wrong[] = {
    { "Pod", "{'metadata':{'labels':{'a':1}}}",
      "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string" },
    { "Pod", "{'metadata':5}",
      "json: cannot unmarshal number into Go struct field Pod.metadata of type v1.ObjectMeta" },
    { "Pod", "{'spec':{'containers':{}}}",
      "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container" },
    { "Pod", "{'spec':{'containers':[{'ports':[{'containerPort':'80'}]}]}}",
      "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32" },
    { "Pod", "{'spec':{'containers':[{'ports':[{'containerPort':80.5}]}]}}",
      "json: cannot unmarshal number 80.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type "
      "int32" },
    { "Pod", "{'spec':{'volumes':[{'configMap':5}]}}",
      "json: cannot unmarshal number into Go struct field Volume.spec.volumes.VolumeSource.configMap of type "
      "v1.ConfigMapVolumeSource" },
    { "Pod", "{'spec':{'containers':[{'livenessProbe':{'httpGet':{'port':[]}}}]}}",
      "json: cannot unmarshal array into Go struct field "
      "HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32" },
    { "Pod", "{'spec':{'containers':[{'resources':{'limits':{'cpu':'lots'}}}]}}",
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'" },
    { "Pod", "{'metadata':{'creationTimestamp':'yesterday'}}",
      "parsing time 'yesterday' as '2006-01-02T15:04:05Z07:00': cannot parse 'yesterday' as '2006'" },
    /* the first fault is told, unless one ends the decoder */
    { "Pod", "{'metadata':{'name':1,'namespace':2}}",
      "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string" },
    { "Pod", "{'metadata':{'name':1,'creationTimestamp':2}}",
      "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string" },
    { "Secret", "{'data':{'a':'?'}}", "illegal base64 data at input byte 0" },
    { "ConfigMap", "{'data':{'a':1}}",
      "json: cannot unmarshal number into Go struct field ConfigMap.data of type string" },
};

static void faults_are_told_as_the_decoder_tells_them(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct error *err = NULL;
        struct json *obj = from_text(a, wrong[i].object);
        if (api_type_decode(a, api_type_find("v1", wrong[i].kind), obj, NULL, &err) == 0)
            fail_msg("%s is decoded", wrong[i].object);
        assert_string_equal(str_replace(a, error_message(err), "\"", "'"), wrong[i].error);
        error_free(err);
    }
}

static void unknown_fields_go_and_are_named(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *unknown = json_new_array(a);
    struct json *obj = from_text(
        a,
        "{'kind':'Pod','what':1,'metadata':{'name':'a','colour':'red'},'spec':{'containers':[{'name':'c','img':'i'}],"
        "'nodeSelector':{'any':'thing'}}}");
    assert_int_equal(api_type_decode(a, api_type_find("v1", "Pod"), obj, unknown, NULL), 0);
    assert_same_json(a, unknown, "['what','metadata.colour','spec.containers[0].img']");
    assert_same_json(
        a, obj,
        "{'kind':'Pod','metadata':{'name':'a'},'spec':{'containers':[{'name':'c'}],'nodeSelector':{'any':'thing'}}}");
}

static const struct {
    const char *kind;
    const char *object;
    const char *after;
} decoded[] = {
    /* what a typed object cannot hold goes */
    { "Pod",
      "{'metadata':{'name':'a','labels':{},'namespace':''},'spec':{'hostNetwork':false,'nodeName':null}}",
      "{'metadata':{'name':'a'},'spec':{}}" },
    /* quantities have one form */
    { "Pod",
      "{'spec':{'containers':[{'resources':{'limits':{'cpu':'1000m','memory':'1024Mi','a.b/c':2,'d':'0.5','e':'1e3'}}}]}}",
      "{'spec':{'containers':[{'resources':{'limits':{'cpu':'1','memory':'1Gi','a.b/c':'2','d':'500m','e':'1e3'}}}]}}" },
    { "Pod", "{'metadata':{'creationTimestamp':'2024-01-02T03:04:05.678+01:00'}}",
      "{'metadata':{'creationTimestamp':'2024-01-02T02:04:05Z'}}" },
    { "Service", "{'spec':{'ports':[{'targetPort':'http'},{'targetPort':80}]}}",
      "{'spec':{'ports':[{'targetPort':'http'},{'targetPort':80}]}}" },
    { "Secret", "{'data':{'a':'YWJj','b':''}}", "{'data':{'a':'YWJj','b':''}}" },
    /* null in a list or map is the zero value */
    { "ConfigMap", "{'data':{'a':null}}", "{'data':{'a':''}}" },
    { "Pod", "{'spec':{'containers':[{'args':['a',null]}]}}",
      "{'spec':{'containers':[{'args':['a','']}]}}" },
};

static void values_take_the_form_in_which_they_are_kept(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(decoded); i++) {
        struct error *err = NULL;
        struct json *obj = from_text(a, decoded[i].object);
        if (api_type_decode(a, api_type_find("v1", decoded[i].kind), obj, NULL, &err) < 0)
            fail_msg("%s: %s", decoded[i].object, error_message(err));
        assert_same_json(a, obj, decoded[i].after);
    }
}

static void defaults_are_filled_in(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *obj = from_text(
        a,
        "{'spec':{'containers':[{'name':'c','ports':[{'containerPort':80}],'readinessProbe':{'httpGet':{'port':80}}}],"
        "'volumes':[{'name':'v','configMap':{'name':'m'}}]}}");
    api_type_default(a, api_type_find("v1", "Pod"), obj);
    const struct json *c = json_at(json_find(obj, "spec", "containers"), 0);
    assert_string_equal(json_find_str(obj, "spec", "restartPolicy"), "Always");
    assert_string_equal(json_find_str(obj, "spec", "dnsPolicy"), "ClusterFirst");
    assert_int_equal(json_find_int(obj, 0, "spec", "terminationGracePeriodSeconds"), 30);
    assert_string_equal(json_find_str(c, "terminationMessagePath"), "/dev/termination-log");
    assert_string_equal(json_find_str(json_at(json_get(c, "ports"), 0), "protocol"), "TCP");
    assert_int_equal(json_find_int(c, 0, "readinessProbe", "periodSeconds"), 10);
    assert_string_equal(json_find_str(c, "readinessProbe", "httpGet", "scheme"), "HTTP");
    assert_int_equal(json_find_int(json_at(json_find(obj, "spec", "volumes"), 0), 0, "configMap",
                                   "defaultMode"),
                     0644);
    struct json *again = json_clone(a, obj);
    api_type_default(a, api_type_find("v1", "Pod"), again);
    assert_true(json_equal(obj, again));
}

UNIT_TESTS(TEST(the_first_of_many_threads_loads_the_types),
           TEST(kinds_are_found_by_version_and_name),
           TEST(faults_are_told_as_the_decoder_tells_them), TEST(unknown_fields_go_and_are_named),
           TEST(values_take_the_form_in_which_they_are_kept), TEST(defaults_are_filled_in))
