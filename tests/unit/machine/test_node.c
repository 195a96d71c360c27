#include "machine/node.h"

#include "kube/meta.h"
#include "machine_test.h"

#define T0 (INT64_C(1767366245) * NS_PER_S)

static const struct node_facts facts = {
    .cpus = 8,
    .memory_bytes = 16 * (int64_t)GIB,
    .disk_bytes = 100 * (int64_t)GIB,
    .machine_id = "m",
    .boot_id = "b",
    .system_uuid = "u",
    .os_image = "Test OS",
    .kernel = "6.1",
    .architecture = "amd64",
};

static void a_new_node_has_what_the_machine_has(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *n = node_decide(a, "box", &facts, NULL, T0);
    assert_string_equal(meta_name(n), "box");
    assert_string_equal(
        json_text(a, json_find(n, "status", "capacity")),
        "{\"cpu\":\"8\",\"ephemeral-storage\":\"104857600Ki\",\"memory\":\"16777216Ki\",\"pods\":\"110\"}");
    assert_string_equal(json_find_str(n, "status", "allocatable", "memory"), "16515072Ki");
    assert_string_equal(meta_label(n, "kubernetes.io/arch"), "amd64");
    assert_string_equal(meta_label(n, "node.kubernetes.io/instance-type"), "one-box");
    assert_null(meta_label(n, "nvidia.com/gpu.count"));
    const struct json *ready = condition_find(json_find(n, "status", "conditions"), "Ready");
    assert_string_equal(json_find_str(ready, "lastTransitionTime"), "2026-01-02T15:04:05Z");
}

static void what_others_have_put_on_it_stays(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *n = node_decide(a, "box", &facts, NULL, T0);
    struct json *labels = json_find(n, "metadata", "labels");
    json_set_str(a, labels, "apps", "llm");
    json_set_str(a, labels, "node.kubernetes.io/instance-type", "Standard_NC24");
    json_set(a, n, "spec", OBJ("taints", ARR(OBJ("key", STR("k"), "effect", STR("NoSchedule")))));
    struct json *again = node_decide(a, "box", &facts, n, T0 + 3600 * NS_PER_S);
    assert_true(json_equal(n, again)); /* nothing to write an hour later */
    struct node_facts more = facts;
    more.memory_bytes *= 2;
    again = node_decide(a, "box", &more, n, T0);
    assert_string_equal(json_find_str(again, "status", "capacity", "memory"), "33554432Ki");
    assert_string_equal(meta_label(again, "apps"), "llm");
}

static void gpus_are_resources_and_labels(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *root = *state;
    for (int i = 0; i < 2; i++) {
        const char *dir = arena_printf(a, "%s/proc/driver/nvidia/gpus/0000:0%d:00.0", root, i);
        file_mkdirs(dir, 0755, NULL);
        write_all(arena_printf(a, "%s/information", dir),
                  "Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   \t\t 0\n");
    }
    file_mkdirs(arena_printf(a, "%s/etc", root), 0755, NULL);
    write_all(arena_printf(a, "%s/etc/os-release", root),
              "NAME=x\nPRETTY_NAME=\"Some Linux 1\"\nID=y\n");
    write_all(arena_printf(a, "%s/proc/meminfo", root), "MemTotal:       2048 kB\nMemFree: 1 kB\n");
    struct node_facts f;
    node_facts_read(a, root, root, &f);
    assert_int_equal(f.gpus, 2);
    assert_string_equal(f.gpu_model, "NVIDIA-A100-SXM4-80GB");
    assert_string_equal(f.os_image, "Some Linux 1");
    assert_int_equal(f.memory_bytes, 2048 * 1024);
    assert_true(f.cpus >= 1 && f.disk_bytes > 0);
    struct json *n = node_decide(a, "box", &f, NULL, T0);
    assert_string_equal(json_find_str(n, "status", "capacity", "nvidia.com/gpu"), "2");
    assert_string_equal(meta_label(n, "nvidia.com/gpu.product"), "NVIDIA-A100-SXM4-80GB");
    assert_string_equal(meta_label(n, "nvidia.com/gpu.count"), "2");
}

static void the_first_name_lasts(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *name = node_lasting_name(a, *state);
    assert_string_equal(name, node_default_name(a));
    write_all(arena_printf(a, "%s/node-name", (char *)*state), "earlier\n");
    assert_string_equal(node_lasting_name(a, *state), "earlier");
    write_all(arena_printf(a, "%s/node-name", (char *)*state), "Not Valid");
    assert_string_equal(node_lasting_name(a, *state), name);
}

static void names_are_valid(void **state)
{
    AUTO_ARENA a = arena_new();
    const char *name = node_default_name(a);
    assert_true(strlen(name) > 0 && name[0] != '-');
}

UNIT_TESTS(TEST(a_new_node_has_what_the_machine_has), TEST(what_others_have_put_on_it_stays),
           TEST_IN_DIR(gpus_are_resources_and_labels), TEST_IN_DIR(the_first_name_lasts),
           TEST(names_are_valid))
