/* Strategic merge patches, as the real server applies them. */
#include "apiserver/types.h"
#include "base/str.h"
#include "schema_test.h"

static const struct {
    const char *kind;
    const char *target;
    const char *patch;
    const char *result; /* JSON, or an error's text */
} merges[] = {
    { "ConfigMap", "{'data':{'a':'1','b':'2'}}", "{'data':{'b':null,'c':'3'}}",
      "{'data':{'a':'1','c':'3'}}" },
    { "ConfigMap", "{'data':{'a':'1'}}", "{'data':null}", "{}" },
    { "ConfigMap", "{'data':{'a':'1'}}", "{'data':{'b':'2','$patch':'replace'}}",
      "{'data':{'b':'2'}}" },
    { "ConfigMap", "{'data':{'a':'1'}}", "{'data':{'$patch':'delete'}}", "{'data':{}}" },
    { "ConfigMap", "{'data':{'a':'1'}}", "{'data':{'$patch':'join'}}",
      "unknown patch type: join in map: map[$patch:join]" },
    /* lists of objects merge by their key; new elements stand before old ones */
    { "Pod", "{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'2'}]}}",
      "{'spec':{'containers':[{'name':'b','image':'3'},{'name':'c','image':'4'}]}}",
      "{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'3'},{'name':'c','image':'4'}]}}" },
    { "Pod", "{'spec':{'containers':[{'name':'a'}]}}", "{'spec':{'containers':[{'name':'b'}]}}",
      "{'spec':{'containers':[{'name':'b'},{'name':'a'}]}}" },
    { "Pod", "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
      "{'spec':{'containers':[{'name':'a','$patch':'delete'}]}}",
      "{'spec':{'containers':[{'name':'b'}]}}" },
    { "Pod", "{'spec':{'containers':[{'name':'a'}]}}",
      "{'spec':{'containers':[{'$patch':'replace'},{'name':'b'}]}}",
      "{'spec':{'containers':[{'name':'b'}]}}" },
    { "Pod", "{'spec':{'containers':[{'name':'a'}]}}", "{'spec':{'containers':[{'image':'b'}]}}",
      "map: map[image:b] does not contain declared merge key: name" },
    { "Pod",
      "{'spec':{'containers':[{'name':'a','env':[{'name':'X','value':'1'},{'name':'Y','value':'2'}]}]}}",
      "{'spec':{'containers':[{'name':'a','env':[{'name':'X','value':null},{'name':'Y','value':'3'}]}]}}",
      "{'spec':{'containers':[{'name':'a','env':[{'name':'X'},{'name':'Y','value':'3'}]}]}}" },
    { "Service", "{'spec':{'ports':[{'port':80,'name':'a'},{'port':81}]}}",
      "{'spec':{'ports':[{'port':81,'name':'b'}]}}",
      "{'spec':{'ports':[{'port':80,'name':'a'},{'port':81,'name':'b'}]}}" },
    /* other lists are replaced, or joined */
    { "Pod", "{'spec':{'containers':[{'name':'a','args':['1','2']}]}}",
      "{'spec':{'containers':[{'name':'a','args':['3']}]}}",
      "{'spec':{'containers':[{'name':'a','args':['3']}]}}" },
    { "Pod", "{'spec':{'tolerations':[{'key':'a'}]}}", "{'spec':{'tolerations':[{'key':'b'}]}}",
      "{'spec':{'tolerations':[{'key':'b'}]}}" },
    { "ConfigMap", "{'metadata':{'finalizers':['a/a','a/b']}}",
      "{'metadata':{'finalizers':['a/c','a/b']}}",
      "{'metadata':{'finalizers':['a/c','a/a','a/b']}}" },
    { "ConfigMap", "{'metadata':{'finalizers':['a/a','a/b','a/c']}}",
      "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a/a','a/c']}}",
      "{'metadata':{'finalizers':['a/b']}}" },
    /* order */
    { "Pod", "{'spec':{'containers':[{'name':'a'},{'name':'b'},{'name':'c'}]}}",
      "{'spec':{'$setElementOrder/containers':[{'name':'c'},{'name':'a'}],'containers':[{'name':'c','image':'x'}]}}",
      "{'spec':{'containers':[{'name':'b'},{'name':'c','image':'x'},{'name':'a'}]}}" },
    { "Pod", "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
      "{'spec':{'$setElementOrder/containers':[{'name':'b'}],'containers':[{'name':'a'}]}}",
      "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n" },
    /* a volume keeps but what the patch names */
    { "Pod", "{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
      "{'spec':{'volumes':[{'name':'v','$retainKeys':['name','configMap'],'configMap':{'name':'m'}}]}}",
      "{'spec':{'volumes':[{'name':'v','configMap':{'name':'m'}}]}}" },
    { "Pod", "{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
      "{'spec':{'volumes':[{'name':'v','$retainKeys':['name'],'configMap':{'name':'m'}}]}}",
      "invalid patch format of retainKeys" },
    /* a type that does not fit replaces */
    { "Pod", "{'spec':{'containers':[{'name':'a'}]}}", "{'spec':{'containers':null}}",
      "{'spec':{}}" },
};

static void patches_are_merged(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(merges); i++) {
        struct json *target = from_text(a, merges[i].target), *result = NULL;
        struct json *patch = from_text(a, merges[i].patch), *before = json_clone(a, patch);
        struct error *err = NULL;
        int r = api_strategic_merge(a, api_type_find("v1", merges[i].kind), target, patch, &result,
                                    &err);
        if (*merges[i].result == '{' && r < 0)
            fail_msg("%s: %s", merges[i].patch, error_message(err));
        if (*merges[i].result == '{')
            assert_same_json(a, result, merges[i].result);
        else
            assert_string_equal(r < 0 ? error_message(err) : "merged", merges[i].result);
        assert_true(json_equal(patch, before));
        error_free(err);
    }
}

UNIT_TESTS(TEST(patches_are_merged))
