/* Texts around a container: its log, its image's name, its arguments, the spec that its shim reads.
 * The first byte says which. */
#include "base/mem.h"
#include "fuzz.h"
#include "machine/images.h"
#include "machine/logs.h"
#include "machine/podenv.h"
#include "shim/shim.h"

static void try_log(const char *data, size_t len)
{
    for (const char *end = data + len; data < end;) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        size_t line_len = newline ? (size_t)(newline - data) : (size_t)(end - data);
        struct log_line line;
        if (log_line_parse(data, line_len, &line) == 0) {
            must(line.text >= data && line.text + line.text_len == data + line_len);
            must(line.stamp == data && line.stamp_len < line_len);
        }
        data += line_len + 1;
    }
}

static void try_image(const char *text)
{
    AUTO_ARENA a = arena_new();
    const char *name = image_name(a, text);
    must(strlen(name) <= strlen(text));
    must(strcspn(name, "/:@") == strlen(name));
}

static const char *lookup(void *ctx, const char *name)
{
    return name[0] == 'A' ? "value" : NULL;
}

static void try_words(const char *text)
{
    static const struct mount mounts[] = { { "/mnt/config", "/r/c", false },
                                           { "/mnt", "/r/m", false },
                                           { "/", "/r", false } };
    AUTO_ARENA a = arena_new();
    const char *moved = volumes_translate(a, mounts, COUNT_OF(mounts), text);
    must(strlen(moved) <= 2 * strlen(text) + 1);
    must(volumes_translate(a, NULL, 0, text) &&
         strcmp(volumes_translate(a, NULL, 0, text), text) == 0);
    const char *expanded = env_expand(a, text, lookup, NULL);
    must(strlen(expanded) <= 2 * strlen(text) + 8);
}

static void try_spec(const char *data, size_t len)
{
    char *copy = mem_alloc(len + 1);
    memcpy(copy, data, len);
    struct shim_spec spec;
    if (shim_spec_parse(copy, len, &spec, NULL) < 0) {
        free(copy);
        return;
    }
    must(spec.path && spec.argv[0] && spec.grace_ms >= 0);
    shim_spec_done(&spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *rest = (const char *)data + 1;
    AUTO_FREE char *text = mem_strndup(rest, size - 1);
    switch (data[0]) {
    case 'i':
        try_image(text);
        break;
    case 'w':
        try_words(text);
        break;
    case 's':
        try_spec(rest, size - 1);
        break;
    default:
        try_log(rest, size - 1);
    }
    return 0;
}
