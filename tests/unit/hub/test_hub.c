/* Look-ups against a hub on loopback that misbehaves on demand. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "http/server.h"
#include "hub/hub.h"

#define CONFIG                                                                                     \
    "{\"architectures\":[\"LlamaForCausalLM\"],\"num_attention_heads\":32,"                        \
    "\"num_hidden_layers\":16,\"hidden_size\":2048,\"num_key_value_heads\":8,"                     \
    "\"max_position_embeddings\":8192,\"rope_scaling\":NaN}"
#define ONE_FILE                                                                                   \
    "[{\"type\":\"file\",\"path\":\"model.safetensors\",\"size\":2147483648},"                     \
    "{\"type\":\"file\",\"path\":\"config.json\",\"size\":200}]"

struct fake {
    struct http_server *server;
    struct hub *hub;
    struct clock_virtual clock;
    char url[64];
    int requests, lists;
    int fail_status, fail_count; /* answered first */
    const char *retry_after;
    const char *token; /* what "o/gated" wants */
    const char *config;
    unsigned slow_ms;
    size_t fill; /* bytes of blanks in front of the configuration */
};

static bool authorized(struct fake *f, struct http_exchange *x)
{
    const char *header = http_header(x, "Authorization");
    return header && f->token && str_eq(str_skip_prefix(header, "Bearer "), f->token);
}

static void reply_json(struct http_exchange *x, const char *text)
{
    http_reply(x, 200, "application/json", text, strlen(text));
}

/* Three pages, the token of the next one in a link that names another host. */
static void reply_page(struct http_exchange *x)
{
    static const char *const pages[] = {
        "[{\"type\":\"file\",\"path\":\"model-00001-of-00003.safetensors\",\"size\":1073741824}]",
        "[{\"type\":\"file\",\"path\":\"model-00002-of-00003.safetensors\",\"size\":1073741824}]",
        "[{\"type\":\"file\",\"path\":\"model-00003-of-00003.safetensors\",\"size\":1073741824},"
        "{\"type\":\"file\",\"path\":\"config.json\",\"size\":100}]",
    };
    const char *cursor = http_query(x, "cursor");
    size_t page = cursor && cursor[0] >= '0' && cursor[0] <= '2' ? (size_t)(cursor[0] - '0') : 0;
    char link[200];
    snprintf(
        link, sizeof(link),
        "<https://127.0.0.2:1/first>; rel=\"first\", "
        "<https://127.0.0.2:1/api/models/o/paged/tree/main?recursive=true&cursor=%zu>; rel=\"next\"",
        page + 1);
    if (page < 2)
        http_set_header(x, "Link", link);
    reply_json(x, pages[page]);
}

static void reply_config(struct fake *f, struct http_exchange *x)
{
    const char *config = f->config ? f->config : CONFIG;
    size_t len = strlen(config);
    AUTO_FREE char *text = mem_alloc(f->fill + len);
    memset(text, ' ', f->fill);
    memcpy(text + f->fill, config, len);
    http_reply(x, 200, "text/plain", text, f->fill + len);
}

static void handle(struct http_exchange *x, void *ctx)
{
    struct fake *f = ctx;
    const char *path = http_path(x);
    const char *repo = str_skip_prefix(path, "/api/models/");
    __atomic_add_fetch(&f->requests, 1, __ATOMIC_SEQ_CST);
    if (repo)
        __atomic_add_fetch(&f->lists, 1, __ATOMIC_SEQ_CST);
    if (f->slow_ms)
        usleep(f->slow_ms * 1000);
    if (__atomic_fetch_sub(&f->fail_count, 1, __ATOMIC_SEQ_CST) > 0) {
        if (f->retry_after)
            http_set_header(x, "Retry-After", f->retry_after);
        http_reply_text(x, f->fail_status, "not now");
    } else if (strstr(path, "o/gated") && !authorized(f, x)) {
        http_reply_text(x, http_header(x, "Authorization") ? 403 : 401, "who are you");
    } else if (strstr(path, "o/none")) {
        http_reply_text(x, 404, "no such repository");
    } else if (str_has_suffix(path, "/config.json")) {
        reply_config(f, x);
    } else if (!repo) {
        http_reply_text(x, 404, "no such file");
    } else if (str_has_prefix(repo, "o/paged/")) {
        reply_page(x);
    } else if (str_has_prefix(repo, "o/broken/")) {
        reply_json(x, "[{\"path\":");
    } else if (str_has_prefix(repo, "o/bare/")) {
        reply_json(x, "[{\"type\":\"file\",\"path\":\"model.safetensors\",\"size\":1}]");
    } else {
        reply_json(x, ONE_FILE);
    }
}

static int setup(void **state)
{
    struct fake *f = NEW0(struct fake);
    clock_virtual_init(&f->clock, 1700000000 * NS_PER_S);
    struct http_server_options options = {
        .name = "hub", .address = "127.0.0.1", .threads = 8, .handler = handle, .ctx = f
    };
    assert_int_equal(http_server_start(&options, &f->server, NULL), 0);
    snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d/", http_server_port(f->server));
    struct hub_options hub = { .endpoint = f->url,
                               .default_token = "",
                               .proxy = "",
                               .clock = &f->clock.clock,
                               .call_timeout_ms = 1000,
                               .max_models = 8 };
    assert_int_equal(hub_new(&hub, &f->hub, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fake *f = *state;
    hub_free(f->hub);
    http_server_stop(f->server, 100);
    free(f);
    return 0;
}

static int find(struct fake *f, struct arena *a, const char *id, const char *token,
                const struct preset **ret, struct error **err)
{
    struct hub_request q = { .id = id, .token = token, .timeout_ms = 5000 };
    return hub_find(f->hub, &q, a, ret, err);
}

static void refused(struct fake *f, const char *id, const char *token, enum error_code code,
                    const char *reason, const char *part)
{
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    struct error *err = NULL;
    int r = find(f, a, id, token, &p, &err);
    assert_null(p);
    if (!str_eq(error_reason(err), reason))
        fail_msg("%s: %s: %s", id, error_reason(err), error_message(err));
    assert_error(r, err, code, part);
}

/* T18 */
static void a_model_is_read_once(void **state)
{
    struct fake *f = *state;
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    struct hub_request q = { .id = "O/Small" };
    assert_int_equal(hub_peek(f->hub, &q, a, &p, NULL), 0);
    assert_null(p);
    assert_int_equal(f->requests, 0);
    assert_int_equal(find(f, a, "o/small", NULL, &p, NULL), 0);
    assert_string_equal(p->name, "small");
    assert_string_equal(p->file_size, "2.00Gi");
    assert_int_equal(p->bytes_per_token, 2 * 8 * 64 * 16 * 2);
    assert_int_equal(p->context_length, 8192);
    assert_int_equal(f->requests, 2);
    assert_int_equal(find(f, a, "o/SMALL", NULL, &p, NULL), 0);
    assert_int_equal(hub_peek(f->hub, &q, a, &p, NULL), 0);
    assert_non_null(p);
    assert_int_equal(f->requests, 2);
    clock_virtual_advance(&f->clock, 3601 * NS_PER_S);
    assert_int_equal(find(f, a, "o/small", NULL, &p, NULL), 0);
    assert_int_equal(f->requests, 4);
}

static void all_pages_are_read(void **state)
{
    struct fake *f = *state;
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    assert_int_equal(find(f, a, "o/paged", NULL, &p, NULL), 0);
    assert_string_equal(p->file_size, "3.00Gi");
    assert_int_equal(f->lists, 3);
}

static void a_token_opens_for_who_has_it(void **state)
{
    struct fake *f = *state;
    f->token = "hf_one";
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    refused(f, "o/gated", NULL, ERROR_FORBIDDEN, "ModelAccessDenied", "modelAccessSecret");
    assert_int_equal(find(f, a, "o/gated", "hf_one", &p, NULL), 0);
    assert_non_null(p);
    refused(f, "o/gated", "hf_two", ERROR_FORBIDDEN, "ModelAccessDenied",
            "accept the model's terms");
    struct hub_request q = { .id = "o/gated", .token = "hf_two" };
    struct error *err = NULL;
    int r = hub_peek(f->hub, &q, a, &p, &err);
    assert_null(p);
    assert_error(r, err, ERROR_FORBIDDEN, "o/gated");
    q.token = NULL;
    r = hub_peek(f->hub, &q, a, &p, &err);
    assert_error(r, err, ERROR_FORBIDDEN, "o/gated");
    q.token = "hf_one";
    assert_int_equal(hub_peek(f->hub, &q, a, &p, NULL), 0);
    assert_non_null(p);
}

static void what_cannot_be_has_its_reason(void **state)
{
    struct fake *f = *state;
    refused(f, "o/none", NULL, ERROR_NOT_FOUND, "ModelNotFound", "revision main");
    refused(f, "o/broken", NULL, ERROR_INVALID, "ModelUnsupported", "list of files");
    f->config = "{\"architectures\":[\"NobodyForCausalLM\"]}";
    refused(f, "o/a", NULL, ERROR_UNSUPPORTED, "ModelUnsupported", "NobodyForCausalLM");
    f->config = "{\"architectures\":";
    refused(f, "o/b", NULL, ERROR_INVALID, "ModelUnsupported", "config.json");
    f->config = NULL;
    f->fill = 5 * MIB;
    refused(f, "o/c", NULL, ERROR_TOO_LARGE, "ModelUnsupported", "");
}

static void names_that_none_can_have_are_not_asked_for(void **state)
{
    static const char *const names[] = { "",      "phi-4",  "a/b/c", "/b",         "a/",
                                         "a/..",  "../b",   "a/b?x", "a/b%2e",     "a/b c",
                                         "a/b#x", "a\\b/c", "./b",   "a/b\r\nX: y" };
    struct fake *f = *state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        refused(f, names[i], NULL, ERROR_NOT_FOUND, "ModelNotFound", "org/model");
    assert_false(hub_id_is_valid(NULL));
    assert_true(hub_id_is_valid("a.b/c_d-E.1"));
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    struct error *err = NULL;
    struct hub_request q = { .id = "o/m", .revision = "../x" };
    int r = hub_find(f->hub, &q, a, &p, &err);
    assert_error(r, err, ERROR_NOT_FOUND, "revision");
    assert_int_equal(f->requests, 0);
}

static void a_busy_hub_is_asked_again(void **state)
{
    static const int statuses[] = { 429, 500, 503 };
    struct fake *f = *state;
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        f->fail_status = statuses[i];
        f->fail_count = 1;
        assert_int_equal(find(f, a, arena_printf(a, "o/busy-%zu", i), NULL, &p, NULL), 0);
    }
}

static void an_outage_is_not_asked_about_all_the_time(void **state)
{
    struct fake *f = *state;
    f->fail_status = 500;
    f->fail_count = 3;
    refused(f, "o/m", NULL, ERROR_UNAVAILABLE, "HubUnavailable", "status 500");
    int requests = f->requests;
    refused(f, "o/m", NULL, ERROR_UNAVAILABLE, "HubUnavailable", "status 500");
    assert_int_equal(f->requests, requests);
    clock_virtual_advance(&f->clock, 6 * NS_PER_S);
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    assert_int_equal(find(f, a, "o/m", NULL, &p, NULL), 0);
}

/* The wait that the server asks for is longer than the caller's time. */
static void a_long_wait_is_not_waited_for(void **state)
{
    struct fake *f = *state;
    f->fail_status = 429;
    f->fail_count = 1;
    f->retry_after = "60";
    refused(f, "o/m", NULL, ERROR_UNAVAILABLE, "HubUnavailable", "status 429");
    assert_int_equal(f->requests, 1);
}

static void a_known_model_outlives_an_outage(void **state)
{
    struct fake *f = *state;
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    assert_int_equal(find(f, a, "o/m", NULL, &p, NULL), 0);
    clock_virtual_advance(&f->clock, 2 * 3600 * NS_PER_S);
    f->fail_status = 503;
    f->fail_count = 3;
    p = NULL;
    assert_int_equal(find(f, a, "o/m", NULL, &p, NULL), 0);
    assert_string_equal(p->file_size, "2.00Gi");
}

static void a_slow_hub_ends_with_the_deadline(void **state)
{
    struct fake *f = *state;
    f->slow_ms = 700;
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    struct error *err = NULL;
    struct hub_request q = { .id = "o/m", .timeout_ms = 200 };
    int64_t start = clock_mono(clock_system());
    int r = hub_find(f->hub, &q, a, &p, &err);
    assert_string_equal(error_reason(err), "HubUnavailable");
    assert_error(r, err, ERROR_TIMEOUT, "o/m");
    assert_true(clock_mono(clock_system()) - start < 600 * NS_PER_MS);
    /* who has more time is not refused for it */
    assert_int_equal(find(f, a, "o/m", NULL, &p, NULL), 0);
}

static void *find_shared(void *arg)
{
    struct fake *f = arg;
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    return find(f, a, "o/shared", NULL, &p, NULL) == 0 && p ? f : NULL;
}

static void callers_share_one_look_up(void **state)
{
    struct fake *f = *state;
    f->slow_ms = 100;
    pthread_t threads[8];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "find", find_shared, f, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *found = NULL;
        pthread_join(threads[i], &found);
        assert_ptr_equal(found, f);
    }
    assert_int_equal(f->requests, 2);
}

static void only_so_many_are_kept(void **state)
{
    struct fake *f = *state;
    AUTO_ARENA a = arena_new();
    const struct preset *p = NULL;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(find(f, a, arena_printf(a, "o/m%d", i), NULL, &p, NULL), 0);
        clock_virtual_advance(&f->clock, NS_PER_S);
    }
    struct hub_request q = { .id = "o/m0" };
    assert_int_equal(hub_peek(f->hub, &q, a, &p, NULL), 0);
    assert_null(p);
    q.id = "o/m19";
    assert_int_equal(hub_peek(f->hub, &q, a, &p, NULL), 0);
    assert_non_null(p);
}

#define HUB_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
UNIT_TESTS(HUB_TEST(a_model_is_read_once), HUB_TEST(all_pages_are_read),
           HUB_TEST(a_token_opens_for_who_has_it), HUB_TEST(what_cannot_be_has_its_reason),
           HUB_TEST(names_that_none_can_have_are_not_asked_for),
           HUB_TEST(a_busy_hub_is_asked_again), HUB_TEST(an_outage_is_not_asked_about_all_the_time),
           HUB_TEST(a_long_wait_is_not_waited_for), HUB_TEST(a_known_model_outlives_an_outage),
           HUB_TEST(a_slow_hub_ends_with_the_deadline), HUB_TEST(callers_share_one_look_up),
           HUB_TEST(only_so_many_are_kept))
