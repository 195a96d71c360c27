/* What may not change in objects of built-in kinds is told as the real server tells it. */
#include "faults.h"

static const struct {
    const char *kind;
    const char *change; /* a merge patch */
    const char *told;
} changes[] = {
    { "Pod", "{'spec':{'nodeSelector':{'a':'b'}}}",
      "spec: Forbidden: pod updates may not change fields other than `spe" },
    { "Pod", "{'spec':{'activeDeadlineSeconds':-5}}",
      "spec.activeDeadlineSeconds: Invalid value: -5: must be between 1 and 2147483647, inclusi|spec.activeDeadlineSeconds: Invalid value: -5: must be between 0 and 2147483647, inclusi" },
    { "Pod", "{'spec':{'containers':[]}}",
      "spec.containers: Required value|spec.containers: Forbidden: pod updates may not add or remove containers" },
    { "StatefulSet", "{'spec':{'serviceName':'other'}}",
      "spec: Forbidden: updates to statefulset spec for fields other than" },
    { "StatefulSet",
      "{'spec':{'selector':{'matchLabels':{'x':'y'}},'template':{'metadata':{'labels':{'x':'y'}}}}}",
      "spec: Forbidden: updates to statefulset spec for fields other than" },
    { "StatefulSet", "{'spec':{'podManagementPolicy':'Parallel'}}",
      "spec: Forbidden: updates to statefulset spec for fields other than" },
    { "Service", "{'spec':{'clusterIP':'10.0.0.99'}}",
      "spec.clusterIPs[0]: Invalid value: ['10.0.0.99']: may not change once set" },
    { "Service", "{'spec':{'ports':[{'port':-1}]}}",
      "spec.ports[0].port: Invalid value: -1: must be between 1 and 65535, inclusive|spec.ports[0].targetPort: Invalid value: -1: must be between 1 and 65535, inclusive" },
    { "Secret", "{'type':'other'}", "type: Invalid value: 'other': field is immutable" },
    { "PersistentVolumeClaim", "{'spec':{'resources':{'requests':{'storage':'1'}}}}",
      "spec: Forbidden: spec is immutable after creation except resources" },
    { "PersistentVolumeClaim", "{'spec':{'accessModes':['ReadWriteMany']}}",
      "spec: Forbidden: spec is immutable after creation except resources" },
    { "PersistentVolumeClaim", "{'spec':{'volumeMode':'Block'}}",
      "spec: Forbidden: spec is immutable after creation except resources|volumeMode: Invalid value: 'Block': field is immutable" },
    { "Lease", "{'spec':{'leaseTransitions':-1}}",
      "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0" },
    { "ControllerRevision", "{'data':{'a':1}}",
      "data: Invalid value: {'a':1}: field is immutable" },
    { "CustomResourceDefinition", "{'spec':{'scope':'Cluster'}}",
      "spec.scope: Invalid value: 'Cluster': field is immutable" },
    { "CustomResourceDefinition", "{'spec':{'group':'other.com'}}",
      "spec.group: Invalid value: 'other.com': field is immutable" },
    { "CustomResourceDefinition", "{'spec':{'names':{'plural':'others'}}}",
      "spec.names.plural: Invalid value: 'others': field is immutable" },
    { "CustomResourceDefinition",
      "{'spec':{'versions':[{'name':'v2','served':true,'storage':true,'schema':{'openAPIV3Schema':{'type':'object'}}}]}}",
      "status.storedVersions[0]: Invalid value: 'v1': missing from spec.versions; v1 was prev" },
    { "ConfigMap", "{'metadata':{'name':'other'}}",
      "the name of the object (other) does not match the name on th" },
    { "ConfigMap", "{'metadata':{'uid':'other'}}",
      "metadata.uid: Invalid value: 'other': field is immutable|metadata.uid: Invalid value: 'other': field is immutable" },
    { "ConfigMap", "{'metadata':{'generateName':'A'}}",
      "metadata.generateName: Invalid value: 'A': a lowercase RFC 1123 subdomain must cons" },
    { "ConfigMap", "{'metadata':{'resourceVersion':'1'}}",
      "Operation cannot be fulfilled on configmaps 'c': the object " },
};

static const char *name_of(struct test_server *t, const struct valid_object *valid)
{
    return json_string(json_pointer(quoted(t->a, valid->object), "/metadata/name"));
}

static void forbidden_changes_are_told(void **state)
{
    struct test_server t;
    test_server_start(&t, NULL);
    for (size_t i = 0; i < COUNT_OF(valid_objects); i++)
        if (test_server_ask(&t, "POST", valid_objects[i].collection, valid_objects[i].object) !=
            201)
            fail_msg("%s: %s", valid_objects[i].kind, t.text);
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        const struct valid_object *valid = valid_object(changes[i].kind);
        const char *path = arena_printf(t.a, "%s/%s", valid->collection, name_of(&t, valid));
        int status = test_server_ask(&t, "PATCH", path, changes[i].change);
        if (status < 400 || !STREQ(told(&t), changes[i].told))
            fail_msg("%s %s: %d\n%s\nnot\n%s", changes[i].kind, changes[i].change, status, told(&t),
                     changes[i].told);
    }
    test_server_stop(&t);
}

static const struct {
    const char *kind;
    const char *sealed; /* what makes it immutable: a merge patch of the valid object */
    const char *change;
    const char *told;
} sealed[] = {
    { "ConfigMap", "{'immutable':true,'data':{'a':'1'}}", "{'data':{'a':'2'}}",
      "data: Forbidden: field is immutable when `immutable` is set" },
    { "ConfigMap", "{'immutable':true}", "{'immutable':false}",
      "immutable: Forbidden: field is immutable when `immutable` is set" },
    { "Secret", "{'immutable':true,'data':{'a':'MQ=='}}", "{'data':{'a':'Mg=='}}",
      "data: Forbidden: field is immutable when `immutable` is set" },
    { "Secret", "{'immutable':true}", "{'immutable':null}",
      "immutable: Forbidden: field is immutable when `immutable` is set" },
};

static void sealed_objects_change_only_in_metadata(void **state)
{
    for (size_t i = 0; i < COUNT_OF(sealed); i++) {
        struct test_server t;
        test_server_start(&t, NULL);
        const struct valid_object *valid = valid_object(sealed[i].kind);
        struct json *obj = quoted(t.a, valid->object);
        obj = json_merge_patch(t.a, obj, quoted(t.a, sealed[i].sealed));
        const char *path = arena_printf(t.a, "%s/%s", valid->collection, name_of(&t, valid));
        assert_int_equal(test_server_ask_type(&t, "POST", valid->collection, NULL, NULL,
                                              json_text(t.a, obj)),
                         201);
        assert_int_equal(test_server_ask(&t, "PATCH", path, sealed[i].change), 422);
        assert_string_equal(told(&t), sealed[i].told);
        assert_int_equal(test_server_ask(&t, "PATCH", path, "{'metadata':{'labels':{'a':'b'}}}"),
                         200);
        assert_int_equal(test_server_ask(&t, "DELETE", path, NULL), 200);
        test_server_stop(&t);
    }
}

UNIT_TESTS(TEST(forbidden_changes_are_told), TEST(sealed_objects_change_only_in_metadata))
