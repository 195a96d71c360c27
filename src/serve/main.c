/* `kaito-serve ENGINE …`: the entry point of a model container. Reads the mounted configuration,
 * checks the weights and the memory, and becomes the engine. A failure is one line on stderr, which
 * the pod's log and termination show. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/flags.h"
#include "base/mem.h"
#include "base/str.h"
#include "serve/serve.h"

#define MAX_CONFIG (1 * MIB)
#define ENGINE "llama.cpp"

struct serve_flags {
    const char *model;
    const char *served_name;
    const char *host;
    const char *config_file;
    int64_t port;
    int64_t max_model_len;
};

static int parse_flags(int argc, char **argv, struct serve_flags *f, struct error **err)
{
    struct flag flags[] = {
        { "model", FLAG_STRING, &f->model, "FILE", "the GGUF file", 0 },
        { "served-model-name", FLAG_STRING, &f->served_name, "NAME",
          "the name that clients ask for", 0 },
        { "host", FLAG_STRING, &f->host, "ADDRESS",
          "where to listen; $KAITO_POD_IP or all addresses when not given", 0 },
        { "port", FLAG_INT, &f->port, "PORT", "where to listen", 0 },
        { "kaito-config-file", FLAG_STRING, &f->config_file, "FILE", "inference_config.yaml", 0 },
        { "max-model-len", FLAG_INT, &f->max_model_len, "TOKENS",
          "context length; what fits when not given", 0 },
        { .name = NULL },
    };
    struct flag_set set = {
        .usage = "kaito-serve " ENGINE " --model=FILE [flags]",
        .summary = "Starts the model server of a KAITO container.",
        .flags = flags,
    };
    if (argc < 2 || strcmp(argv[1], ENGINE) != 0)
        return error_set(err, ERROR_INVALID, "the engine is missing or unknown; usage: %s",
                         set.usage);
    AUTO_FREE char **operands = NULL;
    size_t n = 0;
    int r = flags_parse(&set, argc - 1, argv + 1, &operands, &n, err);
    if (r == 0 && n > 0)
        return error_set(err, ERROR_INVALID, "unexpected argument \"%s\"", operands[0]);
    if (r == 0 && str_empty(f->model))
        return error_set(err, ERROR_INVALID, "--model is missing; it names the GGUF file");
    if (r == 0 && (f->port < 1 || f->port > UINT16_MAX))
        return error_set(err, ERROR_INVALID, "--port is %lld; it can be 1 to 65535",
                         (long long)f->port);
    return r;
}

static int read_config(struct arena *a, const char *path, struct json **ret, struct error **err)
{
    if (str_empty(path))
        return 0;
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    int r = file_read(path, MAX_CONFIG, &text, &len, err);
    if (r == 0)
        r = serve_config_section(a, text, len, ENGINE, ret, err);
    return r < 0 ? error_prefix(err, r, "configuration %s", path) : 0;
}

static int serve(struct arena *a, const struct serve_flags *f, struct error **err)
{
    const char *pod_ip = getenv("KAITO_POD_IP");
    struct json *config = NULL;
    int r = read_config(a, f->config_file, &config, err);
    if (r < 0)
        return r;
    struct gguf_info model;
    r = gguf_open(a, f->model, &model, err);
    if (r < 0)
        return r;
    struct serve_request request = {
        .model_path = f->model,
        .served_name = str_empty(f->served_name) ? model.name : f->served_name,
        .host = !str_empty(f->host)  ? f->host
                : !str_empty(pod_ip) ? pod_ip
                                     : "0.0.0.0",
        .port = f->port,
        .max_model_len = f->max_model_len,
        .config = config,
        .memory_bytes = serve_memory_available(),
        .cpus = serve_cpu_count(),
    };
    char **argv = NULL;
    uint64_t context = 0;
    r = serve_llama_argv(a, &request, &model, &argv, &context, err);
    if (r < 0)
        return r;
    fprintf(stderr, "kaito-serve: %s (%s, %s), %llu tokens of context, %u threads, %s:%lld\n",
            request.served_name, model.architecture, model.file_type, (unsigned long long)context,
            request.cpus, request.host, (long long)request.port);
    execvp(argv[0], argv);
    return error_set_errno(err, errno, "cannot start %s; it must be in PATH", argv[0]);
}

int main(int argc, char **argv)
{
    AUTO_ARENA a = arena_new();
    struct serve_flags f = { .port = 5000 };
    CLEANUP(error_cleanup) struct error *err = NULL;
    int r = parse_flags(argc, argv, &f, &err);
    if (r == -ERROR_CANCELLED)
        return 0;
    if (r == 0)
        r = serve(a, &f, &err);
    fprintf(stderr, "kaito-serve: %s\n", error_message(err));
    return 1;
}
