/* A Workspace with a model that the catalogue does not have: the controller asks a hub on loopback,
 * with the token of the Secret that the Workspace names. */
#include <stdio.h>

#include "base/str.h"
#include "http/server.h"
#include "hub/hub.h"
#include "kube/meta.h"
#include "world.h"

#define WORKSPACE(model)                                                                           \
    "{'apiVersion':'kaito.sh/v1beta1','kind':'Workspace','metadata':{'name':'w'},'resource':"      \
    "{'labelSelector':{'matchLabels':{'apps':'x'}}},'inference':{'preset':{'name':'" model         \
    "','presetOptions':{'modelAccessSecret':'token'}}}}"
#define CONFIG                                                                                     \
    "{\"architectures\":[\"LlamaForCausalLM\"],\"num_attention_heads\":32,"                        \
    "\"num_hidden_layers\":16,\"hidden_size\":2048,\"num_key_value_heads\":8,"                     \
    "\"max_position_embeddings\":8192}"
#define FILES                                                                                      \
    "[{\"type\":\"file\",\"path\":\"model.safetensors\",\"size\":2147483648},"                     \
    "{\"type\":\"file\",\"path\":\"config.json\",\"size\":200}]"

struct fixture {
    struct world w;
    struct http_server *server;
    struct catalog *catalog;
    char url[64];
};

static void handle(struct http_exchange *x, void *ctx)
{
    const char *path = http_path(x), *authorization = http_header(x, "Authorization");
    if (strstr(path, "o/none"))
        http_reply_text(x, 404, "no such repository");
    else if (!str_eq(authorization, "Bearer secret"))
        http_reply_text(x, authorization ? 403 : 401, "who are you");
    else if (str_has_suffix(path, "/config.json"))
        http_reply_text(x, 200, CONFIG);
    else
        http_reply(x, 200, "application/json", FILES, strlen(FILES));
}

static void start(struct fixture *f)
{
    struct error *err = NULL;
    world_start(&f->w);
    f->w.settings.models_dir = NULL;
    struct http_server_options options = {
        .name = "hub", .address = "127.0.0.1", .threads = 2, .handler = handle, .ctx = f
    };
    assert_int_equal(http_server_start(&options, &f->server, NULL), 0);
    snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d/", http_server_port(f->server));
    f->catalog = catalog_new();
    if (hub_new(&(struct hub_options){ .catalog = f->catalog,
                                       .endpoint = f->url,
                                       .default_token = "",
                                       .proxy = "" },
                &f->w.settings.hub, &err) < 0)
        fail_msg("%s", error_message(err));
    world_add_node(&f->w, "n1",
                   "{'apps':'x','nvidia.com/gpu.product':'NVIDIA-A100-SXM4-80GB',"
                   "'nvidia.com/gpu.count':'1','nvidia.com/gpu.memory':'81920'}");
    world_start_controller(&f->w);
}

static void stop(struct fixture *f)
{
    struct hub *hub = f->w.settings.hub;
    world_stop(&f->w);
    hub_free(hub);
    catalog_free(f->catalog);
    http_server_stop(f->server, 100);
}

/* "secret" and a line's end, as editors leave it */
#define TOKEN "{'metadata':{'name':'token'},'data':{'HF_TOKEN':'%s'}}"

static void a_model_of_the_hub_is_served(void **state)
{
    struct fixture f;
    start(&f);
    world_create(&f.w, &KUBE_SECRETS,
                 world_parse(&f.w, arena_printf(f.w.a, TOKEN, "c2VjcmV0Cg==")));
    world_create(&f.w, &KUBE_WORKSPACES, world_parse(&f.w, WORKSPACE("o/model")));
    struct json *set = world_wait_exists(&f.w, &KUBE_STATEFULSETS, "w");
    const struct json *container =
        json_at(json_find(set, "spec", "template", "spec", "containers"), 0);
    if (!strstr(json_text(f.w.a, json_get(container, "command")), "o/model"))
        fail_msg("%s", json_text(f.w.a, json_get(container, "command")));
    const struct json *ws = world_wait_condition(&f.w, "w", "ResourceReady", "True", NULL, NULL);
    assert_int_equal(json_find_int(ws, 0, "status", "targetNodeCount"), 1);
    stop(&f);
}

static void expect_refusal(const char *secret, const char *text, const char *reason,
                           const char *part)
{
    struct fixture f;
    start(&f);
    if (secret)
        world_create(&f.w, &KUBE_SECRETS, world_parse(&f.w, arena_printf(f.w.a, TOKEN, secret)));
    world_create(&f.w, &KUBE_WORKSPACES, world_parse(&f.w, text));
    world_wait_condition(&f.w, "w", "InferenceReady", "False", reason, part);
    assert_null(world_get(&f.w, &KUBE_STATEFULSETS, NS, "w"));
    stop(&f);
}

static void what_the_hub_refuses_is_said(void **state)
{
    expect_refusal(NULL, WORKSPACE("o/model"), "AccessSecretMissing", "HF_TOKEN");
    expect_refusal("", WORKSPACE("o/model"), "AccessSecretMissing", "\"token\"");
    expect_refusal("d3Jvbmc=", WORKSPACE("o/model"), "ModelAccessDenied", "o/model");
    expect_refusal("c2VjcmV0", WORKSPACE("o/none"), "ModelNotFound", "o/none");
}

UNIT_TESTS(TEST(a_model_of_the_hub_is_served), TEST(what_the_hub_refuses_is_said))
