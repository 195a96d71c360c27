/* Each rule by itself: one object, one verdict, the field it names. */
#include "world.h"

#include "base/str.h"

/* "": allowed. Otherwise denied, the first fault names this field; `part` is in its message. */
struct row {
    const char *object; /* what differs from the base object: a merge patch */
    const char *field;
    const char *part;
};

static const char workspace[] =
    "{apiVersion: kaito.sh/v1beta1, kind: Workspace, metadata: {name: ws, namespace: ns1}, "
    "resource: {instanceType: Standard_NC24ads_A100_v4, labelSelector: {matchLabels: {apps: x}}}, "
    "inference: {preset: {name: phi-4-mini-instruct}}}";
static const char tuning[] =
    "{apiVersion: kaito.sh/v1beta1, kind: Workspace, metadata: {name: ws, namespace: ns1}, "
    "resource: {instanceType: Standard_NC24ads_A100_v4, labelSelector: {matchLabels: {apps: x}}}, "
    "tuning: {preset: {name: phi-4}, method: lora, input: {urls: ['https://example.com/a']}, "
    "output: {image: 'reg.io/o:1', imagePushSecret: s}, config: tc}}";
static const char set[] =
    "{apiVersion: kaito.sh/v1beta1, kind: InferenceSet, metadata: {name: is, namespace: ns1}, "
    "spec: {replicas: 1, labelSelector: {matchLabels: {apps: x}}, template: {resource: "
    "{instanceType: Standard_NC24ads_A100_v4}, inference: {preset: {name: phi-4}}}}}";
static const char multi_role[] =
    "{apiVersion: kaito.sh/v1alpha1, kind: MultiRoleInference, metadata: {name: m, namespace: ns1}, "
    "spec: {labelSelector: {matchLabels: {apps: x}}, model: {name: phi-4}, roles: "
    "[{type: prefill, instanceType: Standard_NC24ads_A100_v4}, "
    "{type: decode, instanceType: Standard_NC24ads_A100_v4}]}}";
static const char rag[] =
    "{apiVersion: kaito.sh/v1beta1, kind: RAGEngine, metadata: {name: rag, namespace: ns1}, "
    "spec: {embedding: {local: {modelID: BAAI/bge-small-en-v1.5}}}}";

static const char training[] =
    "{kind: ConfigMap, metadata: {name: tc, namespace: ns1}, data: {training_config.yaml: "
    "'training_config: {TrainingArguments: {output_dir: results}}'}}";

static struct json *changed(struct arena *a, const char *base, const char *patch)
{
    return json_merge_patch(a, object_of(a, base), object_of(a, patch));
}

static struct json *objects_of(struct arena *a, const char *objects)
{
    return objects ? object_of(a, objects) : json_new_array(a);
}

static void check_verdict(struct arena *a, const struct admission_verdict *v, const struct row *row)
{
    if (v->allowed != !*row->field)
        fail_msg("%s: %s", row->object, v->allowed ? "allowed" : admission_denial(a, v));
    if (v->allowed)
        return;
    if (!STREQ(v->faults[0].field, row->field))
        fail_msg("%s: names %s", row->object, v->faults[0].field);
    if (row->part && !strstr(v->faults[0].message, row->part))
        fail_msg("%s: \"%s\" has no \"%s\"", row->object, v->faults[0].message, row->part);
}

static void create_in(const char *base, const char *config, const char *objects,
                      const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        AUTO_ARENA a = arena_new();
        struct operator_settings settings;
        struct admission_verdict v;
        settings_of(a, object_of(a, config), &settings);
        struct admission_request q = { ADMISSION_CREATE, NULL, changed(a, base, rows[i].object) };
        review_with(a, &settings, objects_of(a, objects), &q, &v);
        check_verdict(a, &v, &rows[i]);
    }
}
#define CREATE(base, config, objects, rows) create_in(base, config, objects, rows, COUNT_OF(rows))

/* old and new are patches of the base. */
static void update_in(const char *base, const char *config, const char *old, const char *obj,
                      const char *field)
{
    AUTO_ARENA a = arena_new();
    struct operator_settings settings;
    struct admission_verdict v;
    settings_of(a, object_of(a, config), &settings);
    struct admission_request q = { ADMISSION_UPDATE, NULL, changed(a, base, obj),
                                   changed(a, base, old) };
    review_with(a, &settings, json_new_array(a), &q, &v);
    check_verdict(a, &v, &(struct row){ obj, field, NULL });
}

#define NAME52 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME46 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME38 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void names(void **state)
{
    static const struct row rows[] = {
        { "{metadata: {name: a}}", "", NULL },
        { "{metadata: {name: " NAME52 "}}", "", NULL },
        { "{metadata: {name: " NAME52 "a}}", "metadata.name", "no more than 52" },
        { "{metadata: {name: 1a}}", "metadata.name", "start with an alphabetic" },
        { "{metadata: {name: a.b}}", "metadata.name", "choose another" },
        { "{metadata: {name: A}}", "metadata.name", "choose another" },
        { "{metadata: {name: a-}}", "metadata.name", "choose another" },
        { "{metadata: {name: null}}", "metadata.name", "required" },
        { "{metadata: {name: null, generateName: ws-}}", "", NULL },
        { "{metadata: {name: null, generateName: 1-}}", "metadata.name", NULL },
        { "{metadata: {name: null, generateName: " NAME46 "a-}}", "metadata.name", "52" },
    };
    static const struct row sets[] = {
        { "{metadata: {name: " NAME46 "}}", "", NULL },
        { "{metadata: {name: " NAME46 "a}}", "metadata.name", "46" },
        { "{metadata: {name: 9a}}", "metadata.name", NULL },
    };
    static const struct row roles[] = {
        { "{metadata: {name: " NAME38 "}}", "", NULL },
        { "{metadata: {name: " NAME38 "a}}", "metadata.name", "38" },
    };
    CREATE(workspace, "{}", NULL, rows);
    CREATE(set, "{}", NULL, sets);
    CREATE(multi_role, "{}", NULL, roles);
}

/* T17 */
static void instance_types(void **state)
{
    static const struct row azure[] = {
        { "{resource: {instanceType: standard_nc24ads_a100_v4}}", "", NULL },
        { "{resource: {instanceType: Standard_NC24ads_A100_v5}}", "resource.instanceType",
          "Standard_NC24ads_A100_v4" },
        { "{resource: {instanceType: Standard_D8s_v5}}", "resource.instanceType", "template" },
        { "{resource: {instanceType: Standard_E8}}", "resource.instanceType", "azure" },
        { "{resource: {instanceType: Standard_NG32ads_V620_v1}}", "resource.instanceType",
          "NVIDIA's GPUs; choose Standard_NV" },
        { "{resource: {instanceType: null}}", "resource.instanceType", "required" },
        { "{resource: {instanceType: Standard_D8s_v5}, inference: {preset: null, template: {spec: "
          "{containers: [{name: c, image: i}]}}}}",
          "", NULL },
        { "{resource: {instanceType: Standard_NX}, inference: {preset: null, template: {spec: "
          "{containers: [{name: c, image: i}]}}}}",
          "", NULL },
        { "{resource: {instanceType: Standard_E8}, inference: {preset: null, template: {spec: "
          "{containers: [{name: c, image: i}]}}}}",
          "resource.instanceType", NULL },
        { "{resource: {instanceType: Standard_NG32ads_V620_v1}, inference: {preset: null, "
          "template: {spec: {containers: [{name: c, image: i}]}}}}",
          "", NULL },
        { "{resource: {instanceType: Standard_D8s_v5}, inference: {preset: {name: gemma-3-270m}}}",
          "", NULL },
    };
    static const struct row aws[] = {
        { "{resource: {instanceType: G5.4XLARGE}}", "", NULL },
        { "{resource: {instanceType: Standard_NC24ads_A100_v4}}", "resource.instanceType", "aws" },
        { "{resource: {instanceType: Standard_NX}}", "resource.instanceType", "aws" },
        { "{resource: {instanceType: inf2.xlarge}}", "resource.instanceType", "NVIDIA" },
    };
    static const struct row nowhere[] = {
        { "{}", "resource.instanceType", "CLOUD_PROVIDER" },
    };
    CREATE(workspace, "{}", NULL, azure);
    CREATE(workspace, "{cloud: aws}", NULL, aws);
    CREATE(workspace, "{cloud: unset}", NULL, nowhere);
}

/* T18, T25 */
static void presets_and_templates(void **state)
{
    static const struct row rows[] = {
        { "{inference: {preset: {name: Qwen/Qwen3-0.6B}}}", "", NULL },
        { "{inference: {preset: {name: a/b/c}}}", "", NULL },
        { "{inference: {preset: {name: /b}}}", "inference.preset.name", "org/model" },
        { "{inference: {preset: {name: b/}}}", "inference.preset.name", NULL },
        { "{inference: {preset: {name: phi-44}}}", "inference.preset.name", "phi-4" },
        { "{inference: {preset: {name: phi-2}}}", "inference.preset.name", "no longer" },
        { "{inference: {preset: {name: ''}}}", "inference.preset.name", "required" },
        { "{inference: {preset: null}}", "inference", "neither" },
        { "{inference: null}", "inference", "give one" },
        { "{inference: {preset: null, template: {}}}", "inference.template.spec.containers", NULL },
        { "{resource: {count: 2}, inference: {preset: null, template: {spec: {containers: [{name: "
          "c, image: i, args: ['--max-model-len', '4096']}]}}}}",
          "", NULL },
        { "{inference: {preset: null, template: {spec: {containers: [{name: c, imag: i}]}}}}",
          "inference.template.spec.containers[0].imag", "did you mean \"image\"" },
        { "{inference: {preset: null, template: {spec: {containers: [{name: c, ports: "
          "[{containerPort: a}]}]}}}}",
          "inference.template.spec.containers[0].ports[0].containerPort", "not an integer" },
        { "{bogus: 1}", "bogus", NULL },
        { "{inference: {adapters: [{source: {name: a, volumeSource: {emptyDirr: {}}}}]}}",
          "inference.adapters[0].source.volumeSource.emptyDirr", "emptyDir" },
    };
    static const struct row transformers[] = {
        { "{inference: {preset: {name: phi-4}}}", "", NULL },
        { "{inference: {preset: {name: acme/phi-4}}}", "", NULL },
        { "{inference: {preset: {name: acme/other}}}", "inference.preset.name", "transformers" },
        { "{}", "inference.preset.name", "transformers" },
        { "{inference: {preset: {name: llama-3.3-70b-instruct}}}", "resource.instanceType",
          "131.42 GiB" },
    };
    static const struct row llama[] = {
        { "{metadata: {annotations: {kaito.sh/runtime: llama.cpp}}, inference: {preset: {name: "
          "phi-4-mini-instruct}}}",
          "", NULL },
        { "{metadata: {annotations: {kaito.sh/runtime: llama.cpp}}, inference: {preset: {name: "
          "phi-4}}}",
          "inference.preset.name", "GGUF" },
    };
    CREATE(workspace, "{}", NULL, rows);
    CREATE(workspace, "{gates: {vLLM: false}}", NULL, transformers);
    CREATE(workspace, "{}", NULL, llama);
}

static void counts_and_selectors(void **state)
{
    static const struct row rows[] = {
        { "{resource: {count: 1}}", "", NULL },
        { "{resource: {count: 0}}", "resource.count", "1 or more" },
        { "{resource: {count: -1}}", "resource.count", NULL },
        { "{resource: {count: 3000000000}}", "resource.count", NULL },
        { "{resource: {labelSelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}}}",
          "", NULL },
        { "{resource: {labelSelector: {matchExpressions: [{key: a, operator: In, values: [b, c]}]}}}",
          "resource.labelSelector.matchExpressions[0]", "matchLabels" },
        { "{resource: {labelSelector: {matchLabels: {apps: null, kaito.sh/workspace: x}}}}",
          "resource.labelSelector.matchLabels", "of your own" },
        { "{resource: {labelSelector: {matchLabels: {kaito.sh/workspace: x}}}}", "", NULL },
        { "{resource: {labelSelector: {matchLabels: {a: 'b c'}}}}",
          "resource.labelSelector.matchLabels[a]", NULL },
        { "{resource: {labelSelector: {matchLabels: {'a b': c}}}}",
          "resource.labelSelector.matchLabels", NULL },
    };
    CREATE(workspace, "{}", NULL, rows);
}

static void adapters(void **state)
{
    static const struct row rows[] = {
        { "{inference: {adapters: [{source: {name: a, image: 'r/a:1'}}]}}", "", NULL },
        { "{inference: {adapters: [{source: {name: a, volumeSource: {emptyDir: {}}}}]}}", "",
          NULL },
        { "{inference: {adapters: [{strength: '1'}]}}", "inference.adapters[0].source", NULL },
        { "{inference: {adapters: [{source: {name: a}}]}}", "inference.adapters[0].source",
          "image or volumeSource" },
        { "{inference: {adapters: [{source: {image: 'r/a:1'}}]}}",
          "inference.adapters[0].source.name", NULL },
        { "{inference: {adapters: [{source: {name: A_b, image: 'r/a:1'}}]}}",
          "inference.adapters[0].source.name", NULL },
        { "{inference: {adapters: [{source: {name: a, image: 'r/A:1'}}]}}",
          "inference.adapters[0].source.image", NULL },
        { "{inference: {adapters: [{source: {name: a, image: 'r/a:1', volumeSource: {emptyDir: "
          "{}}}}]}}",
          "inference.adapters[0].source", "both" },
        { "{inference: {adapters: [{source: {name: a, image: 'r/a:1'}}, {source: {name: a, image: "
          "'r/b:1'}}]}}",
          "inference.adapters[1].source.name", "of its own" },
        { "{inference: {adapters: [{source: {name: a, image: 'r/a:1'}, strength: '0.5'}]}}",
          "inference.adapters[0].strength", "vLLM" },
    };
    CREATE(workspace, "{}", NULL, rows);
}

static void annotations(void **state)
{
    static const struct row rows[] = {
        { "{metadata: {annotations: {kaito.sh/node-image-family: ' UBUNTU'}}}", "", NULL },
        { "{metadata: {annotations: {kaito.sh/node-image-family: win}}}",
          "metadata.annotations[kaito.sh/node-image-family]", "ubuntu, azurelinux" },
        { "{metadata: {annotations: {kaito.sh/performance-mode: Balanced}}}",
          "metadata.annotations[kaito.sh/performance-mode]",
          "balanced, interactivity, throughput" },
        { "{metadata: {annotations: {kaito.sh/use-local-weights: 'yes'}}}",
          "metadata.annotations[kaito.sh/use-local-weights]", "true, false" },
    };
    static const struct row classes[] = {
        { "{metadata: {annotations: {kaito.sh/node-class-name: b}}}", "", NULL },
        { "{metadata: {annotations: {kaito.sh/node-class-name: c}}}",
          "metadata.annotations[kaito.sh/node-class-name]", "a, b" },
    };
    CREATE(workspace, "{}", NULL, rows);
    CREATE(workspace, "{provisioner: karpenter, nodeClasses: [a, b]}", NULL, classes);
}

static const char nodes[] =
    "[{kind: Node, metadata: {name: n1, labels: {apps: x, nvidia.com/gpu.product: A100, "
    "nvidia.com/gpu.count: '1', nvidia.com/gpu.memory: '81920'}}}, "
    "{kind: Node, metadata: {name: n2, labels: {apps: yy, nvidia.com/gpu.product: A100, "
    "nvidia.com/gpu.count: '1', nvidia.com/gpu.memory: '81920'}}}, "
    "{kind: Node, metadata: {name: n3, labels: {apps: yy, nvidia.com/gpu.product: H100, "
    "nvidia.com/gpu.count: '1', nvidia.com/gpu.memory: '81920'}}}, "
    "{kind: Node, metadata: {name: n4, labels: {apps: z, nvidia.com/gpu.product: A100}}}]";

static void own_nodes(void **state)
{
    static const struct row rows[] = {
        { "{resource: {instanceType: null}}", "", NULL },
        { "{}", "resource.instanceType", "byo" },
        { "{resource: {instanceType: null, labelSelector: {matchLabels: {apps: q}}}}",
          "resource.labelSelector", "selects no node" },
        { "{resource: {instanceType: null, labelSelector: {matchLabels: {apps: yy}}}}",
          "resource.labelSelector", "different GPUs" },
        { "{resource: {instanceType: null, labelSelector: {matchLabels: {apps: z}}}}",
          "resource.labelSelector", "nvidia.com/gpu.count" },
        { "{resource: {instanceType: null}, inference: {preset: {name: llama-3.3-70b-instruct}}}",
          "resource.labelSelector", "131.42 GiB" },
        { "{resource: {instanceType: null}, inference: {preset: {name: llama-3.3-70b-instruct}}, "
          "metadata: {annotations: {kaito.sh/bypass-resource-checks: 'false'}}}",
          "", NULL },
        { "{resource: {instanceType: null, labelSelector: {matchLabels: {apps: q}}}, inference: "
          "{preset: null, template: {spec: {containers: [{name: c}]}}}}",
          "", NULL },
        { "{apiVersion: kaito.sh/v1alpha1}", "", NULL }, /* its schema fills the type in */
    };
    CREATE(workspace, "{provisioner: byo}", nodes, rows);
}

/* T37 */
static void partitions(void **state)
{
    static const char gates[] =
        "{provisioner: byo, gates: {enableMIG: true, enableAccelerator: true}}";
    static const struct row rows[] = {
        { "{resource: {instanceType: null, partition: {mode: mig, profile: 1g.10gb}}}", "", NULL },
        { "{resource: {instanceType: null, partition: {mode: mig, profile: 1g.10gb}}, inference: "
          "{preset: {name: llama-3.1-8b-instruct}}}",
          "resource.partition.profile", "too small" },
        { "{resource: {instanceType: null, partition: {mode: mig, profile: 1g.10g}}}",
          "resource.partition.profile", "7g.180gb" },
        { "{resource: {instanceType: null, partition: {mode: mig}}}", "resource.partition.profile",
          "required" },
        { "{resource: {instanceType: null, partition: {mode: mig, profile: 1g.10gb, count: 1}}}",
          "resource.partition.count", NULL },
        { "{resource: {instanceType: null, partition: {mode: accelerator, count: 2}}}", "", NULL },
        { "{resource: {instanceType: null, partition: {mode: accelerator, count: 0}}}",
          "resource.partition.count", NULL },
        { "{resource: {instanceType: null, partition: {mode: accelerator}}}",
          "resource.partition.count", "required" },
        { "{resource: {instanceType: null, partition: {mode: accelerator, count: 1, profile: x}}}",
          "resource.partition.profile", NULL },
        { "{resource: {instanceType: null, partition: {mode: mps}}}", "resource.partition.mode",
          NULL },
    };
    static const struct row off[] = {
        { "{resource: {instanceType: null, partition: {mode: mig, profile: 1g.10gb}}}",
          "resource.partition", "enableMIG=true" },
    };
    static const struct row automatic[] = {
        { "{resource: {partition: {mode: accelerator, count: 2}}}", "resource.partition", "byo" },
    };
    CREATE(workspace, gates, NULL, rows);
    CREATE(workspace, "{provisioner: byo}", NULL, off);
    CREATE(workspace, "{gates: {enableAccelerator: true}}", NULL, automatic);
    update_in(workspace, gates, "{resource: {partition: {mode: accelerator, count: 2}}}",
              "{resource: {partition: {mode: accelerator, count: 4}}}", "resource.partition");
}

static void configurations(void **state)
{
    static const struct {
        const char *text;
        bool fine;
    } rows[] = {
        { "vllm: {max-model-len: 4096}", true },
        { "vllm:\n  max-model-len: '4096' # tokens\n", true },
        { "vllm:\n  max-model-len: 131072\n", true },
        { "vllm:\n  max-model-len: 131073\n", false },
        { "vllm:\n  max-model-len: 0\n", false },
        { "vllm:\n  max-model-len: -1\n", false },
        { "vllm:\n  max-model-len: 4_096\n", false },
        { "vllm:\n  max-model-len: 0x10\n", false },
        { "vllm:\n  max-model-len: 1e3\n", false },
        { "vllm:\n  max-model-len: auto\n", false },
        { "vllm:\n  max-model-len:\n", true },
        { "vllm:\n  a: [1]\n", false },
        { "vllm: [a]", false },
        { "- a", false },
        { "a: {b: [c]}", true },
        { "", true },
        { "{", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_ARENA a = arena_new();
        struct operator_settings settings;
        struct admission_verdict v;
        settings_of(a, NULL, &settings);
        struct json *map = OBJ("kind", STR("ConfigMap"), "metadata",
                               OBJ("name", STR("c"), "namespace", STR("ns1")), "data",
                               OBJ("inference_config.yaml", STR(rows[i].text)));
        struct admission_request q = { ADMISSION_CREATE, NULL,
                                       changed(a, workspace, "{inference: {config: c}}") };
        review_with(a, &settings, ARR(map), &q, &v);
        check_verdict(a, &v,
                      &(struct row){ rows[i].text, rows[i].fine ? "" : "inference.config", NULL });
    }
    static const struct row missing[] = {
        { "{inference: {config: other}}", "inference.config", "namespace \"ns1\"" },
    };
    CREATE(workspace, "{}", NULL, missing);
}

static void streaming(void **state)
{
    static const char gates[] = "{gates: {ModelMirror: true, ModelStreaming: true}}";
    static const char driver[] = "[{kind: CSIDriver, metadata: {name: blob.csi.azure.com}}]";
    static const char annotation[] = "metadata.annotations[kaito.sh/model-streaming]";
    static const struct row without[] = {
        { "{}", annotation, "CSI driver" },
        { "{metadata: {annotations: {kaito.sh/model-streaming: disabled}}}", "", NULL },
    };
    static const struct row with[] = { { "{}", "", NULL } };
    CREATE(workspace, gates, NULL, without);
    CREATE(workspace, gates, driver, with);
    update_in(workspace, gates, "{}",
              "{metadata: {annotations: {kaito.sh/model-streaming: disabled}}}", annotation);
}

static void tunings(void **state)
{
    static const struct row rows[] = {
        { "{}", "", NULL },
        { "{tuning: {method: QLoRA}}", "tuning.config", "qlora" },
        { "{tuning: {method: full}}", "tuning.method", NULL },
        { "{tuning: {preset: {name: mistral-7b}}}", "", NULL },
        { "{tuning: {preset: {name: gpt-oss-20b}}}", "tuning.preset.name", "cannot be tuned" },
        { "{tuning: {preset: {name: nope}}}", "tuning.preset.name", "not a preset" },
        { "{tuning: {preset: null}}", "tuning.preset", NULL },
        { "{resource: {count: 2}}", "resource.count", "one node" },
        { "{resource: {instanceType: Standard_D8s_v5}}", "resource.instanceType", NULL },
        { "{resource: {partition: {mode: mig, profile: 1g.5gb}}}", "resource.partition", NULL },
        { "{tuning: {input: {urls: null}}}", "tuning.input", "it has 0" },
        { "{tuning: {input: {image: 'r/a:1'}}}", "tuning.input", "it has 2" },
        { "{tuning: {input: null}}", "tuning.input", NULL },
        { "{tuning: {output: {image: null}}}", "tuning.output", "neither" },
        { "{tuning: {output: {imagePushSecret: null}}}", "tuning.output.imagePushSecret", NULL },
        { "{tuning: {output: {volumeSource: {emptyDir: {}}}}}", "tuning.output", "both" },
        { "{tuning: {config: other}}", "tuning.config", "ns1" },
        { "{tuning: {config: null}}", "tuning.config", "lora-params-template" },
        { "{inference: {preset: {name: phi-4}}}", "tuning", "two Workspaces" },
    };
    AUTO_ARENA a = arena_new();
    CREATE(tuning, "{}", arena_printf(a, "[%s]", training), rows);
}

static void training_configurations(void **state)
{
    static const struct {
        const char *method, *text;
        bool fine;
    } rows[] = {
        { "lora", "training_config: {}", true },
        { "lora", "training_config:", false },
        { "lora", "a: b", false },
        { "lora", "training_config: {Other: {}}", false },
        { "qlora", "training_config: {QuantizationConfig: {load_in_4bit: true}}", true },
        { "qlora", "training_config: {QuantizationConfig: {load_in_4bit: 'true'}}", false },
        { "qlora", "training_config: {}", false },
        { "lora", "training_config: {QuantizationConfig: {load_in_8bit: true}}", false },
        { "lora", "training_config: {TrainingArguments: {output_dir: a/../b}}", true },
        { "lora", "training_config: {TrainingArguments: {output_dir: a/..}}", false },
        { "lora", "training_config: {TrainingArguments: {output_dir: ../mnt/a}}", false },
        { "lora", "training_config: {TrainingArguments: {output_dir: 7}}", false },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_ARENA a = arena_new();
        struct operator_settings settings;
        struct admission_verdict v;
        settings_of(a, NULL, &settings);
        struct json *map = OBJ("kind", STR("ConfigMap"), "metadata",
                               OBJ("name", STR("tc"), "namespace", STR("ns1")), "data",
                               OBJ("training_config.yaml", STR(rows[i].text)));
        struct json *obj = object_of(a, tuning);
        json_set_str(a, json_get(obj, "tuning"), "method", rows[i].method);
        struct admission_request q = { ADMISSION_CREATE, NULL, obj };
        review_with(a, &settings, ARR(map), &q, &v);
        check_verdict(a, &v,
                      &(struct row){ rows[i].text, rows[i].fine ? "" : "tuning.config", NULL });
    }
}

static void data_urls(void **state)
{
    static const struct {
        const char *url;
        bool fine;
    } rows[] = {
        { "https://example.com/a?b=c#d", true },
        { "http://EXAMPLE.com:8080/", true },
        { "http://8.8.8.8/", true },
        { "http://[2001:4860:4860::8888]/", true },
        { "http://10.example.com/", true },
        { "ftp://example.com/", false },
        { "//example.com/", false },
        { "https:///a", false },
        { "https:example.com", false },
        { "http://localhost/", false },
        { "http://LOCALHOST./", false },
        { "http://a.localhost:1/", false },
        { "http://metadata.google.internal./", false },
        { "http://0.0.0.0/", false },
        { "http://0/", false },
        { "http://127.1/", false },
        { "http://2130706433/", false },
        { "http://0x7f000001/", false },
        { "http://0177.0.0.1/", false },
        { "http://100.100.100.200/", false },
        { "http://169.254.169.254/", false },
        { "http://172.31.255.255/", false },
        { "http://172.32.0.1/", true },
        { "http://224.0.0.1/", false },
        { "http://[::]/", false },
        { "http://[::1]:80/", false },
        { "http://[::ffff:10.0.0.1]/", false },
        { "http://[64:ff9b::7f00:1]/", false },
        { "http://[2002:7f00:1::]/", false },
        { "http://[fe80::1%25eth0]/", false },
        { "http://[fd00:ec2::254]/", false },
        { "http://[example.com]/", false },
        { "http://user:password@example.com/", false },
        { "http://example.com@127.0.0.1/", false },
        { "http://127.0.0.1#@example.com/", false },
        { "http://exa mple.com/", false },
        { "http://example.com:port/", false },
        { "http://example.com/%zz", false },
        { "", false },
    };
    AUTO_ARENA a = arena_new();
    char *objects = arena_printf(a, "[%s]", training);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *patch = arena_printf(a, "{tuning: {input: {urls: ['%s']}}}", rows[i].url);
        struct row row = { patch, rows[i].fine ? "" : "tuning.input.urls[0]", NULL };
        create_in(tuning, "{}", objects, &row, 1);
    }
}

static void images(void **state)
{
    static const struct {
        const char *image;
        bool fine;
    } rows[] = {
        { "a", true },
        { "a:1", true },
        { "a/b", true },
        { "reg.io:5000/a/b__c/d.e-f:v1.2_x", true },
        { "localhost/a", true },
        { "REG/a", true },
        { "[::1]:5000/a", true },
        { "reg.io/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          true },
        { "reg.io/a@sha256:aa", false },
        { "reg.io/A", false },
        { "reg.io//a", false },
        { "reg.io/a:", false },
        { "reg.io/a:-1", false },
        { "reg.io/a b", false },
        { "reg.io/a..b", false },
        { "reg.io/a___b", false },
        { "-reg.io/a", false },
        { "reg.io:x/a", false },
        { "/a", false },
        { "reg.io/a/", false },
    };
    AUTO_ARENA a = arena_new();
    char *objects = arena_printf(a, "[%s]", training);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *patch = arena_printf(a, "{tuning: {output: {image: '%s'}}}", rows[i].image);
        struct row row = { patch, rows[i].fine ? "" : "tuning.output.image", NULL };
        create_in(tuning, "{}", objects, &row, 1);
    }
}

/* T21 */
static void sets(void **state)
{
    static const struct row rows[] = {
        { "{spec: {replicas: 0}}", "", NULL },
        { "{spec: {replicas: null}}", "", NULL },
        { "{spec: {replicas: -1}}", "spec.replicas", "0 or more" },
        { "{spec: {template: {resource: {instanceType: bogus}}}}",
          "spec.template.resource.instanceType", NULL },
        { "{spec: {template: {inference: {preset: {name: nope}}}}}",
          "spec.template.inference.preset.name", NULL },
        { "{spec: {template: {metadata: {annotations: {kaito.sh/performance-mode: x}}}}}",
          "spec.template.metadata.annotations[kaito.sh/performance-mode]", NULL },
        { "{spec: {labelSelector: {matchLabels: {a: 'b c'}}}}", "spec.labelSelector.matchLabels[a]",
          NULL },
        { "{spec: {autoUpgrade: {maintenanceWindow: {schedule: '0 2 * * 6', duration: 0s}}}}",
          "spec.autoUpgrade.maintenanceWindow.duration", NULL },
        { "{spec: {autoUpgrade: {maintenanceWindow: {schedule: '0 2 * * 6', duration: x}}}}",
          "spec.autoUpgrade.maintenanceWindow.duration", NULL },
        { "{spec: null}", "spec", NULL },
    };
    static const struct {
        const char *schedule;
        bool fine;
    } schedules[] = {
        { "0 2 * * 6", true },
        { "*/15 0-6 1,15 JAN-mar mon", true },
        { "@weekly", true },
        { "@every 1h30m", true },
        { "CRON_TZ=Europe/Berlin 0 2 * * 6", true },
        { "TZ=UTC @daily", true },
        { "CRON_TZ=Europe/Berlin", false },
        { "0 2 * * 7", false },
        { "60 2 * * *", false },
        { "0 2 * *", false },
        { "0 0 2 * * 6", false },
        { "*/0 * * * *", false },
        { "5-1 * * * *", false },
        { "@never", false },
        { "", false },
    };
    CREATE(set, "{}", NULL, rows);
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(schedules); i++) {
        char *patch = arena_printf(
            a, "{spec: {autoUpgrade: {maintenanceWindow: {schedule: '%s', duration: 4h}}}}",
            schedules[i].schedule);
        struct row row = { patch,
                           schedules[i].fine ? "" : "spec.autoUpgrade.maintenanceWindow.schedule",
                           NULL };
        create_in(set, "{}", NULL, &row, 1);
    }
    update_in(set, "{}", "{spec: {replicas: -1}}", "{spec: {replicas: -1, nodeCountLimit: 2}}", "");
    update_in(set, "{}", "{}", "{spec: {replicas: -1}}", "spec.replicas");
    update_in(set, "{}", "{}", "{spec: {template: {inference: {preset: {name: nope}}}}}",
              "spec.template.inference.preset.name");
}

static void multi_roles(void **state)
{
    static const struct row rows[] = {
        { "{}", "", NULL },
        { "{spec: {model: {name: ''}}}", "spec.model.name", NULL },
        { "{spec: {labelSelector: {matchLabels: null}}}", "spec.labelSelector", NULL },
        { "{spec: {roles: [{type: prefill, instanceType: x}]}}", "spec.roles", "it has 1 and 0" },
        { "{spec: {roles: [{type: prefill, instanceType: x}, {type: router, instanceType: x}]}}",
          "spec.roles[1].type", NULL },
        { "{spec: {roles: [{type: prefill}, {type: decode, instanceType: x}]}}",
          "spec.roles[0].instanceType", NULL },
        { "{spec: {roles: [{type: prefill, instanceType: x, replicas: 0}, {type: decode, "
          "instanceType: x}]}}",
          "spec.roles[0].replicas", NULL },
    };
    CREATE(multi_role, "{}", NULL, rows);
    update_in(multi_role, "{}", "{}", "{spec: {model: {name: PHI-4}}}", "spec.model.name");
}

/* T19 */
static void rag_engines(void **state)
{
    static const struct row rows[] = {
        { "{}", "", NULL },
        { "{spec: null}", "spec", "Embedding must be specified" },
        { "{metadata: {name: 1a}}", "metadata.name", NULL },
        { "{spec: {embedding: {local: null}}}", "spec.embedding", "not neither" },
        { "{spec: {embedding: {remote: {url: 'http://e'}}}}", "spec.embedding", "but not both" },
        { "{spec: {embedding: {local: {image: 'reg.io/m:1'}}}}", "spec.embedding.local",
          "but not both" },
        { "{spec: {embedding: {local: {modelID: null}}}}", "spec.embedding.local", "not neither" },
        { "{spec: {embedding: {local: {modelID: null, image: m}}}}", "spec.embedding.local.image",
          NULL },
        { "{spec: {embedding: {local: null, remote: {url: nope}}}}", "spec.embedding.remote.url",
          NULL },
        { "{spec: {inferenceService: {url: 'http://x/v1', contextWindowSize: 0}}}",
          "spec.inferenceService.contextWindowSize", NULL },
        { "{spec: {inferenceService: {url: '<x>', contextWindowSize: 1}}}",
          "spec.inferenceService.url", NULL },
        { "{spec: {compute: {instanceType: Standard_D8s_v5, labelSelector: {}}}}", "", NULL },
        { "{spec: {compute: {instanceType: Standard_E8, labelSelector: {}}}}",
          "spec.compute.instanceType", NULL },
        { "{spec: {compute: {labelSelector: {}}}}", "spec.compute.instanceType", NULL },
        { "{spec: {guardrails: {enabled: true}}}", "spec.guardrails.enabled",
          "kubectl get configmap ragengine-guardrails-policy-template -n kaito-workspace" },
        { "{spec: {guardrails: {enabled: true, configMapRef: {name: g}}}}",
          "spec.guardrails.configMapRef.name", "references ConfigMap \"g\"" },
        { "{spec: {guardrails: {enabled: true, configMapRef: {name: empty}}}}",
          "spec.guardrails.configMapRef.name", "guardrails.yaml in ConfigMap" },
        { "{spec: {guardrails: {enabled: false, configMapRef: {name: g}}}}", "", NULL },
        { "{spec: {storage: {persistentVolume: {persistentVolumeClaim: p, size: 1}}}}",
          "spec.storage.persistentVolume.size", NULL },
    };
    CREATE(rag, "{}", "[{kind: ConfigMap, metadata: {name: empty, namespace: ns1}}]", rows);
    update_in(rag, "{}", "{}", "{spec: {compute: {instanceType: p, labelSelector: {}}}}",
              "spec.compute");
}

/* T22: what was wrong before does not forbid a change elsewhere. */
static void old_faults(void **state)
{
    update_in(workspace, "{}", "{resource: {count: 0}}",
              "{resource: {count: 0}, metadata: {labels: {a: b}}}", "");
    update_in(workspace, "{}", "{metadata: {name: 1a}}", "{metadata: {name: 1a, finalizers: [f]}}",
              "");
    update_in(workspace, "{}", "{inference: {adapters: [{strength: '9'}]}}",
              "{inference: {adapters: [{strength: '9'}], config: c}}", "");
    update_in(workspace, "{}", "{inference: {preset: {name: gone}}}",
              "{inference: {preset: {name: gone}, config: c}}", "");
    update_in(workspace, "{}", "{bogus: 1}", "{bogus: 1, metadata: {labels: {a: b}}}", "");
    update_in(workspace, "{}", "{metadata: {annotations: {kaito.sh/performance-mode: x}}}",
              "{metadata: {annotations: {kaito.sh/performance-mode: x, a: b}}}", "");
    update_in(workspace, "{}", "{metadata: {annotations: {kaito.sh/performance-mode: x}}}",
              "{metadata: {annotations: {kaito.sh/performance-mode: z}}}",
              "metadata.annotations[kaito.sh/performance-mode]");
    /* The operator changed from nodes of the user to nodes of its own. */
    update_in(workspace, "{}", "{resource: {instanceType: null}}",
              "{resource: {instanceType: null}, metadata: {finalizers: []}}", "");
    update_in(workspace, "{}", "{resource: {instanceType: null}}",
              "{resource: {instanceType: null}, inference: {config: c}}", "");
    update_in(workspace, "{}", "{resource: {instanceType: null}}",
              "{resource: {instanceType: Standard_E8}}", "resource.instanceType");
    update_in(workspace, "{provisioner: byo}", "{resource: {instanceType: null}}", "{}",
              "resource.instanceType");
}

static void what_is_going_away_can_be_changed(void **state)
{
    static const char deleting[] = "deletionTimestamp: '2026-01-01T00:00:00Z'";
    AUTO_ARENA a = arena_new();
    char *old = arena_printf(a, "{metadata: {%s, finalizers: [f]}}", deleting);
    char *obj =
        arena_printf(a, "{metadata: {%s}, resource: null, inference: null, x: y}", deleting);
    update_in(workspace, "{}", old, obj, "");
    update_in(rag, "{}", old, obj, "");
    update_in(set, "{}", old, arena_printf(a, "{metadata: {%s}, spec: null}", deleting), "");
}

/* A status has no specification to be judged. */
static void subresources_pass(void **state)
{
    AUTO_ARENA a = arena_new();
    struct operator_settings settings;
    struct admission_verdict v;
    settings_of(a, NULL, &settings);
    struct json *obj = changed(a, workspace, "{inference: null, status: {state: Ready}}");
    struct admission_request q = { ADMISSION_UPDATE, "status", obj, object_of(a, workspace) };
    review_with(a, &settings, json_new_array(a), &q, &v);
    assert_true(v.allowed);
    q = (struct admission_request){ ADMISSION_DELETE, NULL, NULL, obj };
    review_with(a, &settings, json_new_array(a), &q, &v);
    assert_true(v.allowed);
    q = (struct admission_request){ ADMISSION_CREATE, NULL, object_of(a, "{kind: Pod}"), NULL };
    review_with(a, &settings, json_new_array(a), &q, &v);
    check_verdict(a, &v, &(struct row){ "Pod", "kind", "Workspace" });
    q.object = NULL;
    review_with(a, &settings, json_new_array(a), &q, &v);
    assert_false(v.allowed);
}

static void what_comes_out(void **state)
{
    AUTO_ARENA a = arena_new();
    struct operator_settings settings;
    struct admission_verdict v;
    settings_of(a, NULL, &settings);
    struct admission_request q = {
        ADMISSION_CREATE, NULL, changed(a, workspace, "{metadata: {name: A}, resource: {count: 0}}")
    };
    review_with(a, &settings, json_new_array(a), &q, &v);
    const char *text = admission_denial(a, &v);
    assert_true(str_has_prefix(text, "validation failed: metadata.name: \"A\" cannot be"));
    assert_non_null(strstr(text, "\nresource.count: \"0\" is not"));
    const struct json *json = admission_verdict_json(a, &v);
    assert_false(json_find_bool(json, true, "allowed"));
    assert_int_equal(json_size(json_get(json, "errors")), 2);
    assert_string_equal(json_find_str(json_at(json_get(json, "errors"), 1), "value"), "0");
    q.object = object_of(a, workspace);
    review_with(a, &settings, json_new_array(a), &q, &v);
    assert_null(admission_denial(a, &v));
    assert_string_equal(json_text(a, admission_verdict_json(a, &v)),
                        "{\"allowed\":true,\"errors\":[]}");
}

UNIT_TESTS(TEST(names), TEST(instance_types), TEST(presets_and_templates),
           TEST(counts_and_selectors), TEST(adapters), TEST(annotations), TEST(own_nodes),
           TEST(partitions), TEST(configurations), TEST(streaming), TEST(tunings),
           TEST(training_configurations), TEST(data_urls), TEST(images), TEST(sets),
           TEST(multi_roles), TEST(rag_engines), TEST(old_faults),
           TEST(what_is_going_away_can_be_changed), TEST(subresources_pass), TEST(what_comes_out))
