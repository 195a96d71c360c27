/* The model store: records, imports, and downloads from a server that misbehaves on demand. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../gguf/gguf_make.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/crypto.h"
#include "http/server.h"
#include "models/transfer.h"

/* ---- a server that serves one file --------------------------------------------------------------------------- */

struct mirror {
    struct http_server *server;
    struct buf file;
    const char *token; /* asked for; NULL: open */
    size_t cut_after;  /* bytes of each answer before the connection breaks; 0: whole */
    bool no_ranges;
    int fail_status; /* answered fail_count times first */
    int fail_count;
    int requests;
    int resumed;
};

static void mirror_handle(struct http_exchange *x, void *ctx)
{
    struct mirror *m = ctx;
    __atomic_add_fetch(&m->requests, 1, __ATOMIC_SEQ_CST);
    if (strcmp(http_path(x), "/model.gguf") != 0) {
        http_reply_text(x, 404, "no such file");
        return;
    }
    if (m->fail_count > 0) {
        m->fail_count--;
        http_reply_text(x, m->fail_status, "not now");
        return;
    }
    const char *authorization = http_header(x, "Authorization");
    if (m->token &&
        (!authorization || strcmp(str_skip_prefix(authorization, "Bearer "), m->token) != 0)) {
        http_reply_text(x, 401, "who are you");
        return;
    }
    size_t from = 0;
    const char *range = http_header(x, "Range");
    if (range && !m->no_ranges) {
        sscanf(range, "bytes=%zu-", &from);
        __atomic_add_fetch(&m->resumed, 1, __ATOMIC_SEQ_CST);
        if (from >= m->file.len) {
            http_reply_text(x, 416, "nothing is left");
            return;
        }
    }
    size_t len = m->file.len - from;
    char text[64];
    if (from > 0) {
        snprintf(text, sizeof(text), "bytes %zu-%zu/%zu", from, m->file.len - 1, m->file.len);
        http_set_header(x, "Content-Range", text);
    }
    if (m->cut_after == 0 || m->cut_after >= len) {
        http_reply(x, from > 0 ? 206 : 200, "application/octet-stream", m->file.data + from, len);
        return;
    }
    /* Half of it, as a chunked answer that ends early: the total is known from Content-Range or not
     * at all, so the cut answer carries a range from the start on. */
    snprintf(text, sizeof(text), "bytes %zu-%zu/%zu", from, m->file.len - 1, m->file.len);
    http_set_header(x, "Content-Range", text);
    struct http_stream_out *out =
        http_reply_stream(x, 206, "application/octet-stream", m->file.len, NULL, NULL);
    http_stream_write(out, m->file.data + from, m->cut_after);
    http_stream_end(out);
}

struct fixture {
    char dir[64];
    struct mirror mirror;
    struct http_client *client;
    char url[64];
};

static int setup(void **state)
{
    struct fixture *f = NEW0(struct fixture);
    strcpy(f->dir, "/tmp/kaito-models-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->mirror.file = gguf_make_gemma();
    struct http_server_options options = {
        .name = "mirror", .address = "127.0.0.1", .handler = mirror_handle, .ctx = &f->mirror
    };
    assert_int_equal(http_server_start(&options, &f->mirror.server, NULL), 0);
    assert_int_equal(http_client_new(&(struct http_client_options){ 0 }, &f->client, NULL), 0);
    snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d/model.gguf",
             http_server_port(f->mirror.server));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    http_client_free(f->client);
    http_server_stop(f->mirror.server, 100);
    buf_done(&f->mirror.file);
    file_remove_tree(f->dir, NULL);
    free(f);
    return 0;
}

static struct model_pull pull_of(struct fixture *f)
{
    return (struct model_pull){ .dir = f->dir, .name = "tiny", .url = f->url, .proxy = "" };
}

static bool in_dir(struct fixture *f, const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/%s", f->dir, name);
    return file_exists(path);
}

/* ---- pull ---------------------------------------------------------------------------------------------------- */

static void a_pulled_model_is_found(void **state)
{
    struct fixture *f = *state;
    AUTO_ARENA a = arena_new();
    struct model_pull pull = pull_of(f);
    assert_int_equal(model_pull(f->client, &pull, NULL), 0);
    struct model_entry e;
    assert_int_equal(model_store_find(a, f->dir, "tiny", &e, NULL), 0);
    assert_string_equal(e.source, f->url);
    assert_string_equal(e.info.architecture, "gemma3");
    assert_int_equal(e.bytes, f->mirror.file.len);
    char sha256[SHA256_HEX_SIZE];
    sha256_hex(f->mirror.file.data, f->mirror.file.len, sha256);
    assert_string_equal(e.sha256, sha256);
    assert_false(in_dir(f, "tiny.gguf.part"));
}

static void a_cut_download_goes_on_where_it_was(void **state)
{
    struct fixture *f = *state;
    f->mirror.cut_after = f->mirror.file.len / 3 + 1;
    struct model_pull pull = pull_of(f);
    CLEANUP(error_cleanup) struct error *err = NULL;
    int r = model_pull(f->client, &pull, &err);
    assert_string_equal(error_message(err), "");
    assert_int_equal(r, 0);
    assert_int_equal(f->mirror.requests, 3);
    assert_int_equal(f->mirror.resumed, 2);
}

static void a_server_without_ranges_starts_again(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *part = mem_printf("%s/tiny.gguf.part", f->dir);
    assert_int_equal(file_write_atomic(part, f->mirror.file.data, 100, 0644, NULL), 0);
    f->mirror.no_ranges = true;
    struct model_pull pull = pull_of(f);
    assert_int_equal(model_pull(f->client, &pull, NULL), 0);
}

static void a_whole_part_is_only_checked(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *part = mem_printf("%s/tiny.gguf.part", f->dir);
    assert_int_equal(file_write_atomic(part, f->mirror.file.data, f->mirror.file.len, 0644, NULL),
                     0);
    struct model_pull pull = pull_of(f);
    assert_int_equal(model_pull(f->client, &pull, NULL), 0);
    assert_int_equal(f->mirror.requests, 1);
}

static void trouble_that_passes_is_waited_for(void **state)
{
    struct fixture *f = *state;
    f->mirror.fail_status = 503;
    f->mirror.fail_count = 2;
    struct model_pull pull = pull_of(f);
    assert_int_equal(model_pull(f->client, &pull, NULL), 0);
    assert_int_equal(f->mirror.requests, 3);
}

static void a_wrong_checksum_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct model_pull pull = pull_of(f);
    pull.sha256 = "0000000000000000000000000000000000000000000000000000000000000000";
    CLEANUP(error_cleanup) struct error *err = NULL;
    assert_int_equal(model_pull(f->client, &pull, &err), -ERROR_INVALID);
    assert_non_null(strstr(error_message(err), "checksum"));
    assert_false(in_dir(f, "tiny.gguf"));
    assert_false(in_dir(f, "tiny.gguf.part"));
}

static void a_token_is_asked_for_and_sent(void **state)
{
    struct fixture *f = *state;
    f->mirror.token = "secret";
    struct model_pull pull = pull_of(f);
    CLEANUP(error_cleanup) struct error *err = NULL;
    assert_int_equal(model_pull(f->client, &pull, &err), -ERROR_FORBIDDEN);
    assert_non_null(strstr(error_message(err), "HF_TOKEN"));
    assert_int_equal(f->mirror.requests, 1);
    pull.token = "secret";
    assert_int_equal(model_pull(f->client, &pull, NULL), 0);
}

static void an_absent_url_is_named(void **state)
{
    struct fixture *f = *state;
    struct model_pull pull = pull_of(f);
    pull.url = mem_printf("http://127.0.0.1:%d/other.gguf", http_server_port(f->mirror.server));
    CLEANUP(error_cleanup) struct error *err = NULL;
    assert_int_equal(model_pull(f->client, &pull, &err), -ERROR_NOT_FOUND);
    assert_non_null(strstr(error_message(err), pull.url));
    free((char *)pull.url);
}

static void a_web_page_is_no_model(void **state)
{
    struct fixture *f = *state;
    buf_clear(&f->mirror.file);
    buf_puts(&f->mirror.file, "<html>please log in</html>");
    struct model_pull pull = pull_of(f);
    CLEANUP(error_cleanup) struct error *err = NULL;
    assert_int_equal(model_pull(f->client, &pull, &err), -ERROR_INVALID);
    assert_non_null(strstr(error_message(err), "not a GGUF file"));
    assert_false(in_dir(f, "tiny.gguf"));
}

static void two_pulls_of_one_model_do_not_mix(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *lock_path = mem_printf("%s/.tiny.lock", f->dir);
    AUTO_FD lock = -1;
    assert_int_equal(file_lock(lock_path, &lock, NULL), 0);
    struct model_pull pull = pull_of(f);
    assert_int_equal(model_pull(f->client, &pull, NULL), -ERROR_CONFLICT);
}

/* ---- import and look-up -------------------------------------------------------------------------------------- */

static void an_imported_file_is_found(void **state)
{
    struct fixture *f = *state;
    AUTO_ARENA a = arena_new();
    const char *file = arena_printf(a, "%s/download.bin", f->dir);
    assert_int_equal(file_write_atomic(file, f->mirror.file.data, f->mirror.file.len, 0644, NULL),
                     0);
    assert_int_equal(model_import(f->dir, "mine", file, NULL, NULL, NULL), 0);
    struct model_entry e;
    assert_int_equal(model_store_find(a, f->dir, "mine", &e, NULL), 0);
    assert_string_equal(e.source, file);
    struct json *models = NULL;
    assert_int_equal(model_store_list(a, f->dir, &models, NULL), 0);
    assert_int_equal(json_size(models), 1);
    assert_string_equal(json_find_str(json_at(models, 0), "quantization"), "Q4_K_M");
    assert_int_equal(model_store_remove(a, f->dir, "mine", NULL), 0);
    assert_int_equal(model_store_find(a, f->dir, "mine", &e, NULL), -ERROR_NOT_FOUND);
}

static void a_file_put_there_by_hand_is_found_and_a_changed_one_is_read_anew(void **state)
{
    struct fixture *f = *state;
    AUTO_ARENA a = arena_new();
    const char *path = model_store_path(a, f->dir, "hand");
    assert_int_equal(file_write_atomic(path, f->mirror.file.data, f->mirror.file.len, 0644, NULL),
                     0);
    struct model_entry e;
    assert_int_equal(model_store_find(a, f->dir, "hand", &e, NULL), 0);
    assert_int_equal(model_store_record(a, f->dir, "hand", "", "", NULL), 0);
    assert_int_equal(model_store_find(a, f->dir, "hand", &e, NULL), 0);
    assert_int_equal(e.info.block_count, 18);

    assert_int_equal(truncate(path, (off_t)f->mirror.file.len - 50), 0);
    CLEANUP(error_cleanup) struct error *err = NULL;
    assert_int_equal(model_store_find(a, f->dir, "hand", &e, &err), -ERROR_INVALID);
    assert_non_null(strstr(error_message(err), "truncated"));
}

static void an_absent_model_names_the_command(void **state)
{
    struct fixture *f = *state;
    AUTO_ARENA a = arena_new();
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct model_entry e;
    assert_int_equal(model_store_find(a, f->dir, "gemma-3-270m", &e, &err), -ERROR_NOT_FOUND);
    assert_non_null(strstr(error_message(err), "kaito models pull gemma-3-270m"));
}

static void names_that_are_paths_are_refused(void **state)
{
    static const char *const bad[] = { "", ".", "../x", "a/b", "A", "-x", "a b", "x\n" };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(model_name_check(bad[i], NULL), -ERROR_INVALID);
    assert_int_equal(model_name_check("qwen3-1.7b", NULL), 0);
}

#define FIXED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_TESTS(FIXED(a_pulled_model_is_found), FIXED(a_cut_download_goes_on_where_it_was),
           FIXED(a_server_without_ranges_starts_again), FIXED(a_whole_part_is_only_checked),
           FIXED(trouble_that_passes_is_waited_for), FIXED(a_wrong_checksum_leaves_nothing),
           FIXED(a_token_is_asked_for_and_sent), FIXED(an_absent_url_is_named),
           FIXED(a_web_page_is_no_model), FIXED(two_pulls_of_one_model_do_not_mix),
           FIXED(an_imported_file_is_found),
           FIXED(a_file_put_there_by_hand_is_found_and_a_changed_one_is_read_anew),
           FIXED(an_absent_model_names_the_command), FIXED(names_that_are_paths_are_refused))
