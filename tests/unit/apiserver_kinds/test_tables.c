/* What `kubectl get` prints. */
#include "apiserver/kinds/kinds.h"
#include "apiserver/table.h"
#include "base/clock.h"
#include "base/str.h"
#include "schema_test.h"

#define NOW "2024-01-02T03:04:05Z"

static int64_t now(void)
{
    int64_t ns = 0;
    assert_int_equal(time_parse_rfc3339(NOW, &ns), 0);
    return ns;
}

/* The cells of an object's row, with | between them. */
static const char *row(struct arena *a, const struct api_kind *k, const char *object)
{
    AUTO_BUF out = BUF_INIT(MIB);
    struct json *t = table_from(a, k, from_text(a, object), "None", true, now());
    const struct json *cells = json_get(json_at(json_get(t, "rows"), 0), "cells");
    assert_int_equal(json_size(cells), json_size(json_get(t, "columnDefinitions")));
    JSON_FOREACH(it, cells)
        buf_printf(&out, "%s%s", it.index ? "|" : "",
                   json_is_string(it.value) ? json_string(it.value) : json_text(a, it.value));
    return arena_strdup(a, buf_str(&out));
}

#define POD(spec, status)                                                                          \
    "{'metadata':{'name':'p','creationTimestamp':'2024-01-02T02:04:05Z'},'spec':" spec             \
    ",'status':" status "}"
#define TWO "{'containers':[{'name':'a'},{'name':'b'}]}"

static const struct {
    const char *object;
    const char *cells; /* name, ready, status, restarts, age */
} pods[] = {
    { POD(TWO, "{'phase':'Pending'}"), "p|0/2|Pending|0|60m" },
    { POD(TWO,
          "{'phase':'Running','containerStatuses':[{'name':'a','ready':true,'restartCount':1,'state':{'running':{}}},"
          "{'name':'b','ready':true,'restartCount':0,'state':{'running':{}}}]}"),
      "p|2/2|Running|1|60m" },
    { POD(TWO,
          "{'phase':'Running','containerStatuses':[{'name':'a','ready':false,'restartCount':4,'state':{'waiting':"
          "{'reason':'CrashLoopBackOff'}},'lastState':{'terminated':{'finishedAt':'2024-01-02T03:02:05Z'}}},"
          "{'name':'b','ready':true,'restartCount':0,'state':{'running':{}}}]}"),
      "p|1/2|CrashLoopBackOff|4 (2m ago)|60m" },
    { POD(TWO,
          "{'phase':'Pending','containerStatuses':[{'name':'a','ready':false,'restartCount':0,'state':{'waiting':"
          "{'reason':'ContainerCreating'}}}]}"),
      "p|0/2|ContainerCreating|0|60m" },
    { POD(TWO,
          "{'phase':'Succeeded','containerStatuses':[{'name':'a','restartCount':0,'state':{'terminated':{'reason':"
          "'Completed','exitCode':0}}},{'name':'b','restartCount':0,'state':{'terminated':{'reason':'Completed'}}}]}"),
      "p|0/2|Completed|0|60m" },
    { POD(TWO,
          "{'phase':'Failed','containerStatuses':[{'name':'a','restartCount':0,'state':{'terminated':{'exitCode':3}}}]}"),
      "p|0/2|ExitCode:3|0|60m" },
    { POD(TWO,
          "{'phase':'Failed','containerStatuses':[{'name':'a','restartCount':0,'state':{'terminated':{'signal':9}}}]}"),
      "p|0/2|Signal:9|0|60m" },
    { POD(TWO, "{'phase':'Failed','reason':'Evicted'}"), "p|0/2|Evicted|0|60m" },
    { POD("{'initContainers':[{'name':'i'},{'name':'j'}],'containers':[{'name':'a'}]}",
          "{'phase':'Pending','initContainerStatuses':[{'name':'i','state':{'terminated':{'exitCode':0}}},{'name':'j',"
          "'state':{'running':{}}}]}"),
      "p|0/1|Init:1/2|0|60m" },
    { POD("{'initContainers':[{'name':'i'}],'containers':[{'name':'a'}]}",
          "{'phase':'Pending','initContainerStatuses':[{'name':'i','restartCount':2,'state':{'terminated':{'exitCode':1,"
          "'reason':'Error'}}}]}"),
      "p|0/1|Init:Error|2|60m" },
    { POD("{'initContainers':[{'name':'i'}],'containers':[{'name':'a'}]}",
          "{'phase':'Pending','initContainerStatuses':[{'name':'i','state':{'waiting':{'reason':'ImagePullBackOff'}}}]}"),
      "p|0/1|Init:ImagePullBackOff|0|60m" },
    { POD("{'containers':[{'name':'a'}]}",
          "{'phase':'Running','conditions':[{'type':'Ready','status':'True'}],'containerStatuses':[{'name':'a','ready':true,"
          "'restartCount':0,'state':{'running':{}}}]}"),
      "p|1/1|Running|0|60m" },
    { "{'metadata':{'name':'p','creationTimestamp':'2024-01-02T03:04:00Z','deletionTimestamp':'2024-01-02T03:04:35Z'},"
      "'spec':{'containers':[{'name':'a'}]},'status':{'phase':'Running'}}",
      "p|0/1|Terminating|0|5s" },
    { POD("{'schedulingGates':[{'name':'g'}],'containers':[{'name':'a'}]}",
          "{'phase':'Pending','conditions':[{'type':'PodScheduled','status':'False','reason':'SchedulingGated'}]}"),
      "p|0/1|SchedulingGated|0|60m" },
};

static void pods_are_told_in_one_word(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(pods); i++) {
        const char *have = row(a, &kind_pod, pods[i].object);
        if (strncmp(have, pods[i].cells, strlen(pods[i].cells)) != 0)
            fail_msg("%s instead of %s", have, pods[i].cells);
    }
    assert_string_equal(
        row(a, &kind_pod,
            "{'metadata':{'name':'p','creationTimestamp':'2024-01-02T03:04:00Z'},'spec':{'nodeName':'n','containers':"
            "[{'name':'a'}],'readinessGates':[{'conditionType':'x'}]},'status':{'phase':'Running','podIPs':[{'ip':'1.2.3.4'}]}}"),
        "p|0/1|Running|0|5s|1.2.3.4|n|<none>|0/1");
}

#define META "'metadata':{'name':'x','creationTimestamp':'2024-01-01T01:04:05Z'}"

static const struct {
    const struct api_kind *kind;
    const char *object;
    const char *cells;
} others[] = {
    { &kind_node,
      "{'metadata':{'name':'x','creationTimestamp':'2024-01-01T01:04:05Z','labels':{'node-role.kubernetes.io/worker':'',"
      "'kubernetes.io/role':'a'}},'spec':{'unschedulable':true},'status':{'conditions':[{'type':'Ready','status':'True'}],"
      "'addresses':[{'type':'InternalIP','address':'10.0.0.1'}],'nodeInfo':{'kubeletVersion':'v1','osImage':'o','kernelVersion':"
      "'k','containerRuntimeVersion':'c'}}}",
      "x|Ready,SchedulingDisabled|a,worker|26h|v1|10.0.0.1|<none>|o|k|c" },
    { &kind_node, "{" META ",'status':{'conditions':[{'type':'Ready','status':'False'}]}}",
      "x|NotReady|<none>|26h||<none>|<none>|<unknown>|<unknown>|<unknown>" },
    { &kind_service,
      "{" META
      ",'spec':{'type':'NodePort','clusterIP':'1.1.1.1','clusterIPs':['1.1.1.1'],'ports':[{'port':80,'nodePort':30080,"
      "'protocol':'TCP'},{'port':53,'protocol':'UDP'}],'selector':{'b':'2','a':'1'}}}",
      "x|NodePort|1.1.1.1|<none>|80:30080/TCP,53/UDP|26h|a=1,b=2" },
    { &kind_service, "{" META ",'spec':{'type':'ExternalName','externalName':'e.x'}}",
      "x|ExternalName|<none>|e.x|<none>|26h|<none>" },
    { &kind_service, "{" META ",'spec':{'type':'LoadBalancer','clusterIPs':['1.1.1.1']}}",
      "x|LoadBalancer|1.1.1.1|<pending>|<none>|26h|<none>" },
    { &kind_stateful_set,
      "{" META
      ",'spec':{'replicas':3,'template':{'spec':{'containers':[{'name':'a','image':'i'},{'name':'b','image':'j'}]}}},"
      "'status':{'readyReplicas':1}}",
      "x|1/3|26h|a,b|i,j" },
    { &kind_config_map, "{" META ",'data':{'a':'1'},'binaryData':{'b':''}}", "x|2|26h" },
    { &kind_secret, "{" META ",'type':'Opaque','data':{'a':''}}", "x|Opaque|1|26h" },
    { &kind_lease, "{" META ",'spec':{'holderIdentity':'h'}}", "x|h|26h" },
    { &kind_namespace, "{" META ",'status':{'phase':'Active'}}", "x|Active|26h" },
    { &kind_pvc,
      "{" META
      ",'spec':{'accessModes':['ReadWriteOnce'],'storageClassName':'s','volumeName':'v','volumeMode':'Filesystem'},"
      "'status':{'phase':'Bound','capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOnce','ReadOnlyMany']}}",
      "x|Bound|v|1Gi|RWO,ROX|s|<unset>|26h|Filesystem" },
    { &kind_endpoints,
      "{" META
      ",'subsets':[{'addresses':[{'ip':'1.1.1.1'},{'ip':'1.1.1.2'}],'ports':[{'port':80}]}]}",
      "x|1.1.1.1:80,1.1.1.2:80|26h" },
    { &kind_event,
      "{'metadata':{'name':'e'},'lastTimestamp':'2024-01-02T03:00:05Z','type':'Normal','reason':'R','involvedObject':{'kind':"
      "'Pod','name':'p'},'message':' m ','source':{'component':'c'},'count':2}",
      "4m|Normal|R|pod/p||c|m|<unknown>|2|e" },
    { &kind_controller_revision, "{" META ",'revision':2}", "x|<none>|2|26h" },
    { &kind_crd, "{" META "}", "x|2024-01-01T01:04:05Z" },
    { &kind_service_account, "{" META "}", "x|26h" },
};

static void other_kinds_have_rows(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_string_equal(row(a, others[i].kind, others[i].object), others[i].cells);
}

/* ---- columns of CRDs ------------------------------------------------------------------------- */

static struct crd_columns *columns(struct arena *a, const char *text)
{
    struct field_errors errors = { .arena = a };
    struct crd_columns *c = NULL;
    if (crd_columns_compile(from_text(a, text), "columns", &c, &errors) < 0)
        fail_msg("%s", errors_text(&errors));
    return c;
}

static void columns_of_crds_are_paths(void **state)
{
    AUTO_ARENA a = arena_new();
    struct api_kind k = {
        .resource = { "kaito.sh", "v1", "things", "Thing", true },
        .crd_columns = columns(
            a,
            "[{'name':'A','type':'string','jsonPath':'.spec.a'},{'name':'N','type':'integer','jsonPath':'.spec.n'},"
            "{'name':'R','type':'string','jsonPath':'.status.conditions[?(@.type==\\'Ready\\')].status'},"
            "{'name':'W','type':'date','jsonPath':'.status.when','priority':1}]"),
    };
    assert_string_equal(row(a, &k,
                            "{" META
                            ",'spec':{'a':'x','n':3},'status':{'when':'2024-01-02T03:03:05Z'}}"),
                        "x|x|3|null|60s");
    crd_columns_free(k.crd_columns);
    /* without any: the name and the age */
    k.crd_columns = columns(a, "[]");
    assert_string_equal(row(a, &k, "{" META "}"), "x|26h");
    crd_columns_free(k.crd_columns);
}

static void bad_columns_are_told(void **state)
{
    AUTO_ARENA a = arena_new();
    struct field_errors errors = { .arena = a };
    struct crd_columns *c = NULL;
    assert_int_not_equal(
        crd_columns_compile(from_text(a, "[{'name':'','type':'text','jsonPath':'{'}]"), "columns",
                            &c, &errors),
        0);
    assert_string_equal(
        errors_text(&errors),
        "columns[0].name: Required value\n"
        "columns[0].type: Invalid value: 'text': must be one of boolean,date,integer,number,string\n"
        "columns[0].JSONPath: Invalid value: '{': must be a simple json path starting with .");
    crd_columns_free(c);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void lists_become_tables(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *list = from_text(
        a,
        "{'kind':'ConfigMapList','metadata':{'resourceVersion':'7','continue':'c'},'items':[{'metadata':{'name':'a'}},"
        "{'metadata':{'name':'b'}}]}");
    struct json *t = table_from(a, &kind_config_map, list, "Object", false, now());
    assert_string_equal(json_find_str(t, "kind"), "Table");
    assert_string_equal(json_find_str(t, "metadata", "resourceVersion"), "7");
    assert_string_equal(json_find_str(t, "metadata", "continue"), "c");
    assert_int_equal(json_size(json_get(t, "columnDefinitions")), 0);
    const struct json *second = json_at(json_get(t, "rows"), 1);
    assert_string_equal(json_string(json_at(json_get(second, "cells"), 0)), "b");
    assert_string_equal(json_find_str(second, "object", "metadata", "name"), "b");
}

UNIT_TESTS(TEST(pods_are_told_in_one_word), TEST(other_kinds_have_rows),
           TEST(columns_of_crds_are_paths), TEST(bad_columns_are_told), TEST(lists_become_tables))
