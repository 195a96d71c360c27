#include <stdio.h>

#include "base/macros.h"
#include "base/str.h"
#include "cmd/manager_flags.h"
#include "json/json.h"
#include "unit.h"

#define CLASSES                                                                                    \
    "[{\"name\":\"ubuntu\",\"default\":true,\"spec\":{\"osDiskSizeGB\":300}},{\"name\":\"linux\"}]"

struct fixture {
    struct arena *a;
    struct manager_flags flags;
    struct manager_config config;
    struct error *err;
};

/* The environment of the test that runs. */
static const char *const *environment;

static char *test_env(const char *name)
{
    for (const char *const *pair = environment; pair && *pair; pair += 2)
        if (strcmp(*pair, name) == 0)
            return (char *)pair[1];
    return NULL;
}

static const char *const azure[] = { "CLOUD_PROVIDER", "azure", NULL };

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .a = arena_new() };
    environment = azure;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_free(f->a);
    error_free(f->err);
    return 0;
}

static int parse(struct fixture *f, const char *const *args)
{
    char *argv[32] = { (char *)"manager" };
    int argc = 1;
    while (args && args[argc - 1]) {
        argv[argc] = (char *)args[argc - 1];
        argc++;
    }
    return manager_flags_parse(argc, argv, &f->flags, &f->err);
}

#define PARSE(f, ...) parse((f), (const char *const[]){ __VA_ARGS__, NULL })

static int make(struct fixture *f, const char *account)
{
    return manager_config_make(f->a, &f->flags, test_env, account, &f->config, &f->err);
}

static void good(struct fixture *f, int parsed)
{
    if (parsed == 0)
        parsed = make(f, "");
    if (parsed < 0)
        fail_msg("%s", error_message(f->err));
}

/* The command line is read, its meaning refused. */
static void refused(struct fixture *f, int parsed, const char *part)
{
    if (parsed < 0)
        fail_msg("%s", error_message(f->err));
    int r = make(f, "");
    assert_error(r, f->err, ERROR_INVALID, part);
}

static void has_the_defaults_of_the_reference(void **state)
{
    struct fixture *f = *state;
    good(f, parse(f, NULL));
    assert_string_equal(f->flags.metrics_address, ":8080");
    assert_string_equal(f->flags.health_address, ":8081");
    assert_false(f->flags.leader_elect);
    assert_true(f->flags.webhook);
    const struct operator_settings *s = &f->config.settings;
    assert_int_equal(s->provisioner, PROVISIONER_AZURE_GPU);
    for (int i = 0; i < GATE_COUNT; i++)
        assert_int_equal(s->gates.on[i], i == GATE_VLLM || i == GATE_INFERENCE_SET);
    assert_string_equal(s->cloud, "azure");
    assert_string_equal(s->image_registry, "mcr.microsoft.com/aks/kaito");
    assert_string_equal(s->release_namespace, "kaito-workspace");
    assert_string_equal(s->image_family, "ubuntu");
    assert_string_equal(s->mirror_storage_class, "");
    assert_string_equal(s->streaming_service_account, "");
    assert_string_equal(s->mirror_cpu, "3");
    assert_string_equal(s->mirror_memory, "8Gi");
    assert_false(s->precise_estimator);
    assert_null(s->node_classes);
    assert_string_equal(f->config.webhook_service, "");
    assert_int_equal(f->config.webhook_port, 9443);
    assert_string_equal(f->config.log_level, "info");
    assert_string_equal(f->config.log_format, "text");
}

static void reads_flags_as_go_does(void **state)
{
    struct fixture *f = *state;
    good(f, PARSE(f, "-leader-elect", "--webhook=false", "-kube-client-qps", "7.5",
                  "--kube-client-burst=9", "--metrics-bind-address", "127.0.0.1:1",
                  "-health-probe-bind-address=0", "--kubeconfig=/k", "--zap-log-level=debug",
                  "-zap-encoder", "json"));
    assert_true(f->flags.leader_elect);
    assert_false(f->flags.webhook);
    assert_true(f->flags.qps > 7.4 && f->flags.qps < 7.6);
    assert_int_equal(f->flags.burst, 9);
    assert_string_equal(f->flags.metrics_address, "127.0.0.1:1");
    assert_string_equal(f->flags.health_address, "0");
    assert_string_equal(f->flags.kubeconfig, "/k");
    assert_string_equal(f->config.log_level, "debug");
    assert_string_equal(f->config.log_format, "json");
}

static void refuses_what_it_does_not_know(void **state)
{
    struct fixture *f = *state;
    assert_error(PARSE(f, "--node-provisionr=byo"), f->err, ERROR_INVALID, "--node-provisioner");
    assert_error(PARSE(f, "--leader-elect", "false"), f->err, ERROR_INVALID,
                 "unexpected argument \"false\"");
    assert_error(PARSE(f, "--leader-elect=maybe"), f->err, ERROR_INVALID, "maybe");
    assert_error(PARSE(f, "--kube-client-burst=many"), f->err, ERROR_INVALID, "many");
    assert_error(PARSE(f, "--feature-gates"), f->err, ERROR_INVALID, "--feature-gates");
}

static void takes_the_flags_of_zap_and_klog(void **state)
{
    static const struct {
        const char *flag, *level, *format;
    } rows[] = {
        { "--zap-devel", "info", "text" },
        { "--zap-devel=false", "info", "json" },
        { "--zap-encoder=console", "info", "text" },
        { "--zap-log-level=error", "error", "text" },
        { "--zap-log-level=panic", "error", "text" },
        { "--zap-log-level=3", "debug", "text" },
        { "--zap-stacktrace-level=error", "info", "text" },
        { "--zap-time-encoding=rfc3339nano", "info", "text" },
        { "-v=3", "info", "text" },
        { "-v=4", "debug", "text" },
        { "--logtostderr=false", "info", "text" },
        { "--log_file=/x", "info", "text" },
        { "--log_file_max_size=5", "info", "text" },
        { "--stderrthreshold=WARNING", "info", "text" },
        { "--vmodule=a=1", "info", "text" },
        { "--log-level=warn", "warn", "text" },
        { "--log-format=json", "info", "json" },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        good(f, PARSE(f, rows[i].flag));
        assert_string_equal(f->config.log_level, rows[i].level);
        assert_string_equal(f->config.log_format, rows[i].format);
    }
    good(f, PARSE(f, "--zap-log-level=debug", "--log-level=error", "-v=9"));
    assert_string_equal(f->config.log_level, "error");
    refused(f, PARSE(f, "--zap-log-level=loud"), "--zap-log-level is \"loud\"");
    refused(f, PARSE(f, "--zap-encoder=xml"), "--zap-encoder is \"xml\"");
    refused(f, PARSE(f, "--zap-time-encoding=sundial"), "--zap-time-encoding");
}

static void reads_the_environment(void **state)
{
    struct fixture *f = *state;
    static const char *const all[] = {
        "CLOUD_PROVIDER",  "aws",        "PRESET_REGISTRY_NAME", "example.azurecr.io/kaito",
        "WEBHOOK_SERVICE", "svc",        "WEBHOOK_PORT",         "18082",
        "SYSTEM_NAMESPACE", "system",    "RELEASE_NAMESPACE",    "release",
        NULL,
    };
    environment = all;
    good(f, parse(f, NULL));
    assert_string_equal(f->config.settings.cloud, "aws");
    assert_string_equal(f->config.settings.image_registry, "example.azurecr.io/kaito");
    assert_string_equal(f->config.settings.release_namespace, "release");
    assert_string_equal(f->config.webhook_service, "svc");
    assert_int_equal(f->config.webhook_port, 18082);
    assert_string_equal(f->config.webhook_namespace, "system");

    /* a pod knows its namespace better than its environment */
    assert_int_equal(make(f, "kaito-here"), 0);
    assert_string_equal(f->config.settings.release_namespace, "kaito-here");

    good(f, PARSE(f, "--webhook=false", "--cloud=arc", "--registry=r"));
    assert_string_equal(f->config.webhook_service, "");
    assert_string_equal(f->config.settings.cloud, "arc");
    assert_string_equal(f->config.settings.image_registry, "r");
}

static void refuses_a_wrong_environment(void **state)
{
    static const struct {
        const char *env[5];
        const char *part;
    } rows[] = {
        { { NULL }, "CLOUD_PROVIDER is not set" },
        { { "CLOUD_PROVIDER", "" }, "CLOUD_PROVIDER is not set" },
        { { "CLOUD_PROVIDER", "gcp" }, "CLOUD_PROVIDER is \"gcp\"; it can be azure, aws or arc" },
        { { "CLOUD_PROVIDER", "Azure" }, "CLOUD_PROVIDER is \"Azure\"" },
        { { "CLOUD_PROVIDER", "azure", "WEBHOOK_PORT", "x" }, "WEBHOOK_PORT is \"x\"" },
        { { "CLOUD_PROVIDER", "azure", "WEBHOOK_PORT", "0" }, "WEBHOOK_PORT is \"0\"" },
        { { "CLOUD_PROVIDER", "azure", "WEBHOOK_PORT", "70000" }, "WEBHOOK_PORT is \"70000\"" },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        environment = rows[i].env;
        refused(f, parse(f, NULL), rows[i].part);
    }
    environment = NULL;
    refused(f, PARSE(f, "--cloud=gcp"), "--cloud is \"gcp\"");
}

/* The provisioner decides whether nodes are made, whatever the gate says. */
static void provisioner_overrides_the_gate(void **state)
{
    static const struct {
        const char *provisioner, *gates;
        bool off;
    } rows[] = {
        { "--node-provisioner=byo", "--feature-gates=disableNodeAutoProvisioning=false", true },
        { "--node-provisioner=byo", "--feature-gates=vLLM=true", true },
        { "--node-provisioner=azure-gpu-provisioner",
          "--feature-gates=disableNodeAutoProvisioning=true", false },
        { "--node-provisioner=karpenter", "--feature-gates=disableNodeAutoProvisioning=true",
          false },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        good(f, PARSE(f, rows[i].provisioner, rows[i].gates, "--karpenter-node-classes=" CLASSES));
        assert_int_equal(f->config.settings.gates.on[GATE_NO_NODE_PROVISIONING], rows[i].off);
    }
    refused(f, PARSE(f, "--node-provisioner=kwok"), "--node-provisioner is \"kwok\"");
    refused(f, PARSE(f, "--node-provisioner="), "--node-provisioner is \"\"");
}

static void refuses_wrong_gates(void **state)
{
    struct fixture *f = *state;
    refused(f, PARSE(f, "--feature-gates=vllm=true"), "vllm");
    refused(f, PARSE(f, "--feature-gates=vLLM"), "vLLM");
    refused(f, PARSE(f, "--feature-gates=ModelStreaming=true"), "ModelMirror");
    good(f, PARSE(f, "--feature-gates="));
    good(f, PARSE(f, "--feature-gates=ModelStreaming=true,ModelMirror=true,enableMIG=true"));
    assert_true(f->config.settings.gates.on[GATE_MIG]);
}

static void reads_node_classes(void **state)
{
    struct fixture *f = *state;
    good(f, PARSE(f, "--node-provisioner=karpenter", "--karpenter-node-classes=" CLASSES));
    const struct operator_settings *s = &f->config.settings;
    assert_string_equal(s->node_class_group, "karpenter.azure.com");
    assert_string_equal(s->node_class_kind, "AKSNodeClass");
    assert_string_equal(s->node_class_version, "v1beta1");
    assert_string_equal(s->node_class_resource, "aksnodeclasses");
    assert_int_equal(json_size(s->node_classes), 2);
    good(f, PARSE(f, "--node-provisioner=karpenter", "--karpenter-node-classes=" CLASSES,
                  "--karpenter-node-class-group=karpenter.k8s.aws",
                  "--karpenter-node-class-kind=EC2NodeClass", "--karpenter-node-class-version=v1",
                  "--karpenter-node-class-resource-name=ec2nodeclasses"));
    assert_string_equal(s->node_class_resource, "ec2nodeclasses");
    /* with other provisioners it is not read */
    good(f, PARSE(f, "--karpenter-node-classes=nonsense"));
    assert_null(s->node_classes);
}

static void refuses_wrong_node_classes(void **state)
{
    static const struct {
        const char *flag, *part;
    } rows[] = {
        { "--karpenter-node-classes=", "--karpenter-node-classes is not set" },
        { "--karpenter-node-classes={", "--karpenter-node-classes: " },
        { "--karpenter-node-classes={}", "must be an array" },
        { "--karpenter-node-classes=[]", "at least one" },
        { "--karpenter-node-classes=[1]", "[0] is not an object" },
        { "--karpenter-node-classes=[{\"default\":true}]", "[0] has no name" },
        { "--karpenter-node-classes=[{\"name\":\"A_b\",\"default\":true}]", "[0].name is \"A_b\"" },
        { "--karpenter-node-classes=[{\"name\":\"a\"}]", "0 of them" },
        { "--karpenter-node-classes=[{\"name\":\"a\",\"default\":\"true\"}]", "[0].default" },
        { "--karpenter-node-classes=[{\"name\":\"a\",\"default\":true,\"spec\":1}]", "[0].spec" },
        { "--karpenter-node-classes=[{\"name\":\"a\",\"default\":true},"
          "{\"name\":\"b\",\"default\":true}]",
          "2 of them" },
        { "--karpenter-node-classes=[{\"name\":\"a\",\"default\":true},{\"name\":\"a\"}]",
          "the name \"a\" is there twice" },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        refused(f, PARSE(f, "--node-provisioner=karpenter", rows[i].flag), rows[i].part);
    refused(f, PARSE(f, "--node-provisioner=karpenter"), "--karpenter-node-classes is not set");
    refused(f, PARSE(f, "--node-provisioner=karpenter", "--karpenter-node-classes=" CLASSES,
                     "--karpenter-node-class-group="),
            "--karpenter-node-class-group is not set");
}

static void reads_the_other_flags(void **state)
{
    struct fixture *f = *state;
    good(f, PARSE(f, "--default-node-image-family=AzureLinux", "--estimator=precise",
                  "--default-model-mirror-storage-class=blob",
                  "--default-streaming-service-account=sa", "--model-mirror-download-cpu=500m",
                  "--model-mirror-download-memory=16Gi"));
    const struct operator_settings *s = &f->config.settings;
    assert_string_equal(s->image_family, "azurelinux");
    assert_true(s->precise_estimator);
    assert_string_equal(s->mirror_storage_class, "blob");
    assert_string_equal(s->streaming_service_account, "sa");
    assert_string_equal(s->mirror_cpu, "500m");
    assert_string_equal(s->mirror_memory, "16Gi");
    refused(f, PARSE(f, "--default-node-image-family=windows"), "is \"windows\"");
    refused(f, PARSE(f, "--estimator=best"), "--estimator is \"best\"");
    refused(f, PARSE(f, "--model-mirror-download-cpu=two"), "--model-mirror-download-cpu");
    refused(f, PARSE(f, "--model-mirror-download-memory=0"), "--model-mirror-download-memory");
    refused(f, PARSE(f, "--kube-client-burst=-1"), "--kube-client-burst is -1");
}

#define FIXTURE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

UNIT_TESTS(FIXTURE_TEST(has_the_defaults_of_the_reference), FIXTURE_TEST(reads_flags_as_go_does),
           FIXTURE_TEST(refuses_what_it_does_not_know),
           FIXTURE_TEST(takes_the_flags_of_zap_and_klog), FIXTURE_TEST(reads_the_environment),
           FIXTURE_TEST(refuses_a_wrong_environment), FIXTURE_TEST(provisioner_overrides_the_gate),
           FIXTURE_TEST(refuses_wrong_gates), FIXTURE_TEST(reads_node_classes),
           FIXTURE_TEST(refuses_wrong_node_classes), FIXTURE_TEST(reads_the_other_flags))
