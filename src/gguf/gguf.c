/* GGUF: magic, version, counts, then key-value pairs, then one record per tensor (name, dimensions,
 * type, offset), then the tensors themselves from the next multiple of general.alignment on. All
 * little-endian. Source of the layout: the format's public specification (versions 2 and 3). */
#include "gguf/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define MAX_HEAD (64 * MIB)
#define MAX_KEYS 1000000
#define MAX_TENSORS 1000000
#define MAX_STRING (16 * MIB)
#define MAX_DIMENSIONS 4
#define MAX_ARRAY_DEPTH 4
#define FIRST_READ (4 * MIB)
#define DEFAULT_ALIGNMENT 32

enum value_type {
    TYPE_UINT8,
    TYPE_INT8,
    TYPE_UINT16,
    TYPE_INT16,
    TYPE_UINT32,
    TYPE_INT32,
    TYPE_FLOAT32,
    TYPE_BOOL,
    TYPE_STRING,
    TYPE_ARRAY,
    TYPE_UINT64,
    TYPE_INT64,
    TYPE_FLOAT64,
};

static const uint8_t value_size[] = {
    [TYPE_UINT8] = 1,  [TYPE_INT8] = 1,  [TYPE_UINT16] = 2,  [TYPE_INT16] = 2,
    [TYPE_UINT32] = 4, [TYPE_INT32] = 4, [TYPE_FLOAT32] = 4, [TYPE_BOOL] = 1,
    [TYPE_UINT64] = 8, [TYPE_INT64] = 8, [TYPE_FLOAT64] = 8,
};

/* Elements per block and bytes per block of each tensor type; zero: unknown. */
static const struct {
    uint16_t elements;
    uint16_t bytes;
} tensor_block[] = {
    [0] = { 1, 4 },      /* F32 */
    [1] = { 1, 2 },      /* F16 */
    [2] = { 32, 18 },    /* Q4_0 */
    [3] = { 32, 20 },    /* Q4_1 */
    [6] = { 32, 22 },    /* Q5_0 */
    [7] = { 32, 24 },    /* Q5_1 */
    [8] = { 32, 34 },    /* Q8_0 */
    [9] = { 32, 36 },    /* Q8_1 */
    [10] = { 256, 84 },  /* Q2_K */
    [11] = { 256, 110 }, /* Q3_K */
    [12] = { 256, 144 }, /* Q4_K */
    [13] = { 256, 176 }, /* Q5_K */
    [14] = { 256, 210 }, /* Q6_K */
    [15] = { 256, 292 }, /* Q8_K */
    [16] = { 256, 66 },  /* IQ2_XXS */
    [17] = { 256, 74 },  /* IQ2_XS */
    [18] = { 256, 98 },  /* IQ3_XXS */
    [19] = { 256, 50 },  /* IQ1_S */
    [20] = { 32, 18 },   /* IQ4_NL */
    [21] = { 256, 110 }, /* IQ3_S */
    [22] = { 256, 82 },  /* IQ2_S */
    [23] = { 256, 136 }, /* IQ4_XS */
    [24] = { 1, 1 },     /* I8 */
    [25] = { 1, 2 },     /* I16 */
    [26] = { 1, 4 },     /* I32 */
    [27] = { 1, 8 },     /* I64 */
    [28] = { 1, 8 },     /* F64 */
    [29] = { 256, 56 },  /* IQ1_M */
    [30] = { 1, 2 },     /* BF16 */
    [34] = { 256, 54 },  /* TQ1_0 */
    [35] = { 256, 66 },  /* TQ2_0 */
    [39] = { 32, 17 },   /* MXFP4 */
};

/* general.file_type → the name that people use for it. */
static const struct {
    uint32_t number;
    const char *name;
} file_types[] = {
    { 0, "F32" },      { 1, "F16" },      { 2, "Q4_0" },    { 3, "Q4_1" },    { 7, "Q8_0" },
    { 8, "Q5_0" },     { 9, "Q5_1" },     { 10, "Q2_K" },   { 11, "Q3_K_S" }, { 12, "Q3_K_M" },
    { 13, "Q3_K_L" },  { 14, "Q4_K_S" },  { 15, "Q4_K_M" }, { 16, "Q5_K_S" }, { 17, "Q5_K_M" },
    { 18, "Q6_K" },    { 19, "IQ2_XXS" }, { 20, "IQ2_XS" }, { 21, "Q2_K_S" }, { 22, "IQ3_XS" },
    { 23, "IQ3_XXS" }, { 24, "IQ1_S" },   { 25, "IQ4_NL" }, { 26, "IQ3_S" },  { 27, "IQ3_M" },
    { 28, "IQ2_S" },   { 29, "IQ2_M" },   { 30, "IQ4_XS" }, { 31, "IQ1_M" },  { 32, "BF16" },
    { 36, "TQ1_0" },   { 37, "TQ2_0" },   { 38, "MXFP4" },
};

/* A cursor over the head. After a read past the end `short_read` is set and every further read
 * gives zero. */
struct cursor {
    const uint8_t *data;
    size_t len;
    size_t pos;
    bool short_read;
};

static const uint8_t *take(struct cursor *c, uint64_t n)
{
    if (c->short_read || n > c->len - c->pos) {
        c->short_read = true;
        return NULL;
    }
    const uint8_t *p = c->data + c->pos;
    c->pos += n;
    return p;
}

static uint64_t take_uint(struct cursor *c, unsigned bytes)
{
    const uint8_t *p = take(c, bytes);
    uint64_t value = 0;
    for (unsigned i = 0; p && i < bytes; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

struct text {
    const char *data;
    size_t len;
};

static int take_text(struct cursor *c, struct text *ret, struct error **err)
{
    uint64_t len = take_uint(c, 8);
    if (len > MAX_STRING)
        return error_set(err, ERROR_INVALID, "a string of %llu bytes at offset %zu (limit %zu)",
                         (unsigned long long)len, c->pos, (size_t)MAX_STRING);
    ret->data = (const char *)take(c, len);
    ret->len = ret->data ? len : 0;
    return 0;
}

static bool text_is(struct text t, const char *s)
{
    return t.len == strlen(s) && memcmp(t.data, s, t.len) == 0;
}

/* "gemma3.block_count" has the suffix "block_count" under the architecture "gemma3". */
static bool text_ends(struct text t, const char *suffix)
{
    size_t n = strlen(suffix);
    return t.len > n && t.data[t.len - n - 1] == '.' && memcmp(t.data + t.len - n, suffix, n) == 0;
}

static char *text_copy(struct arena *a, struct text t)
{
    return arena_strndup(a, t.data ? t.data : "", t.data ? strnlen(t.data, t.len) : 0);
}

static bool is_integer(uint32_t type)
{
    return type <= TYPE_INT32 || type == TYPE_UINT64 || type == TYPE_INT64;
}

/* Skips an array; of integers, *ret_max is the largest. */
static int skip_array(struct cursor *c, unsigned depth, uint64_t *ret_max, struct error **err)
{
    uint32_t type = (uint32_t)take_uint(c, 4);
    uint64_t count = take_uint(c, 8);
    if (c->short_read)
        return 0;
    if (type == TYPE_ARRAY) {
        if (depth >= MAX_ARRAY_DEPTH)
            return error_set(err, ERROR_INVALID, "arrays nested deeper than %d", MAX_ARRAY_DEPTH);
        for (uint64_t i = 0; i < count && !c->short_read; i++) {
            int r = skip_array(c, depth + 1, ret_max, err);
            if (r < 0)
                return r;
        }
        return 0;
    }
    if (type == TYPE_STRING) {
        struct text ignored;
        for (uint64_t i = 0; i < count && !c->short_read; i++) {
            int r = take_text(c, &ignored, err);
            if (r < 0)
                return r;
        }
        return 0;
    }
    if (type >= COUNT_OF(value_size))
        return error_set(err, ERROR_INVALID, "unknown value type %u", type);
    unsigned size = value_size[type];
    if (count > MAX_HEAD / size)
        return error_set(err, ERROR_INVALID, "an array of %llu elements",
                         (unsigned long long)count);
    if (is_integer(type)) {
        for (uint64_t i = 0; i < count && !c->short_read; i++)
            *ret_max = MAX(*ret_max, take_uint(c, size));
    } else {
        take(c, count * size);
    }
    return 0;
}

/* Integer keys below the architecture's prefix that we want. */
struct wanted {
    const char *suffix;
    size_t offset;
};
#define WANT(key, field)                                                                           \
    {                                                                                              \
        key, offsetof(struct gguf_info, field)                                                     \
    }
static const struct wanted wanted[] = {
    WANT("context_length", context_length),
    WANT("embedding_length", embedding_length),
    WANT("block_count", block_count),
    WANT("attention.head_count", head_count),
    WANT("attention.head_count_kv", head_count_kv),
    WANT("attention.key_length", key_length),
    WANT("attention.value_length", value_length),
    WANT("attention.sliding_window", sliding_window),
    WANT("attention.sliding_window_pattern", sliding_window_pattern),
};

static void set_wanted(struct gguf_info *info, struct text key, uint64_t value)
{
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        if (text_ends(key, wanted[i].suffix))
            memcpy((char *)info + wanted[i].offset, &value, sizeof(value));
}

static const char *file_type_name(uint64_t number)
{
    for (size_t i = 0; i < COUNT_OF(file_types); i++)
        if (file_types[i].number == number)
            return file_types[i].name;
    return "";
}

static int parse_pair(struct arena *a, struct cursor *c, struct gguf_info *info,
                      uint64_t *alignment, struct error **err)
{
    struct text key;
    int r = take_text(c, &key, err);
    if (r < 0)
        return r;
    uint32_t type = (uint32_t)take_uint(c, 4);
    if (c->short_read)
        return 0;
    if (type == TYPE_STRING) {
        struct text value;
        r = take_text(c, &value, err);
        if (r < 0 || c->short_read)
            return r;
        if (text_is(key, "general.architecture"))
            info->architecture = text_copy(a, value);
        else if (text_is(key, "general.name"))
            info->name = text_copy(a, value);
        else if (text_is(key, "tokenizer.chat_template"))
            info->chat_template = text_copy(a, value);
        return 0;
    }
    if (type == TYPE_ARRAY) {
        uint64_t max = 0;
        r = skip_array(c, 0, &max, err);
        if (r == 0 && !c->short_read && max > 0)
            set_wanted(info, key, max);
        return r;
    }
    if (type >= COUNT_OF(value_size))
        return error_set(err, ERROR_INVALID, "unknown value type %u of key \"%s\"", type,
                         text_copy(a, key));
    uint64_t value = take_uint(c, value_size[type]);
    if (c->short_read || !is_integer(type))
        return 0;
    if (text_is(key, "general.alignment"))
        *alignment = value;
    else if (text_is(key, "general.file_type"))
        info->file_type = file_type_name(value);
    else if (text_is(key, "split.count"))
        info->split_count = (uint32_t)value;
    else
        set_wanted(info, key, value);
    return 0;
}

/* Adds one tensor record; *ret_end is where its data end, relative to the start of all data. */
static int parse_tensor(struct cursor *c, uint64_t *ret_bytes, uint64_t *ret_end,
                        struct error **err)
{
    struct text name;
    int r = take_text(c, &name, err);
    if (r < 0)
        return r;
    uint32_t dimensions = (uint32_t)take_uint(c, 4);
    if (dimensions > MAX_DIMENSIONS)
        return error_set(err, ERROR_INVALID, "a tensor of %u dimensions", dimensions);
    uint64_t elements = 1;
    bool overflow = false;
    for (uint32_t i = 0; i < dimensions; i++)
        overflow |= __builtin_mul_overflow(elements, take_uint(c, 8), &elements);
    uint32_t type = (uint32_t)take_uint(c, 4);
    uint64_t offset = take_uint(c, 8);
    *ret_bytes = 0;
    *ret_end = 0;
    if (c->short_read)
        return 0;
    if (type >= COUNT_OF(tensor_block) || tensor_block[type].elements == 0)
        return error_set(err, ERROR_INVALID, "a tensor of unknown type %u", type);
    uint64_t blocks =
        elements / tensor_block[type].elements + (elements % tensor_block[type].elements != 0);
    overflow |= __builtin_mul_overflow(blocks, (uint64_t)tensor_block[type].bytes, ret_bytes);
    overflow |= __builtin_add_overflow(offset, *ret_bytes, ret_end);
    return overflow ? error_set(err, ERROR_INVALID, "a tensor with an impossible size") : 0;
}

static int parse_tensors(struct cursor *c, struct gguf_info *info, uint64_t alignment,
                         struct error **err)
{
    uint64_t data_end = 0;
    for (uint64_t i = 0; i < info->tensor_count && !c->short_read; i++) {
        uint64_t bytes = 0;
        uint64_t end = 0;
        int r = parse_tensor(c, &bytes, &end, err);
        if (r < 0)
            return r;
        if (__builtin_add_overflow(info->weight_bytes, bytes, &info->weight_bytes))
            return error_set(err, ERROR_INVALID, "tensors with an impossible size");
        data_end = MAX(data_end, end);
    }
    uint64_t start = (c->pos + alignment - 1) / alignment * alignment;
    if (__builtin_add_overflow(start, data_end, &info->expected_bytes))
        return error_set(err, ERROR_INVALID, "tensors with an impossible size");
    return 0;
}

static bool is_encoder(const char *architecture)
{
    static const char *const encoders[] = { "bert",         "nomic-bert",      "nomic-bert-moe",
                                            "jina-bert-v2", "jina-bert-v3",    "modern-bert",
                                            "neo-bert",     "gemma-embedding", "t5encoder" };
    for (size_t i = 0; i < COUNT_OF(encoders); i++)
        if (strcmp(architecture, encoders[i]) == 0)
            return true;
    return false;
}

static void fill_derived(struct gguf_info *info)
{
    if (info->head_count_kv == 0)
        info->head_count_kv = info->head_count;
    uint64_t per_head = info->head_count > 0 ? info->embedding_length / info->head_count : 0;
    if (info->key_length == 0)
        info->key_length = per_head;
    if (info->value_length == 0)
        info->value_length = per_head;
    /* Gemma's files do not all carry the pattern; its layers alternate by a fixed one. */
    if (info->sliding_window > 0 && info->sliding_window_pattern == 0) {
        if (strcmp(info->architecture, "gemma2") == 0)
            info->sliding_window_pattern = 2;
        else if (str_has_prefix(info->architecture, "gemma3"))
            info->sliding_window_pattern = 6;
    }
    info->is_embedding = is_encoder(info->architecture);
}

int gguf_parse(struct arena *a, const void *head, size_t head_len, uint64_t file_bytes,
               struct gguf_info *ret, struct error **err)
{
    struct cursor c = { .data = head, .len = head_len };
    struct gguf_info info = {
        .file_bytes = file_bytes, .architecture = "", .name = "", .file_type = ""
    };
    const uint8_t *magic = take(&c, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0)
        return error_set(err, ERROR_INVALID,
                         "it is not a GGUF file: it does not start with the letters GGUF");
    info.version = (uint32_t)take_uint(&c, 4);
    info.tensor_count = take_uint(&c, 8);
    uint64_t pairs = take_uint(&c, 8);
    if (!c.short_read && (info.version < 2 || info.version > 3))
        return error_set(err, ERROR_INVALID, "it is GGUF version %u; versions 2 and 3 are known",
                         info.version);
    if (info.tensor_count > MAX_TENSORS || pairs > MAX_KEYS)
        return error_set(err, ERROR_INVALID,
                         "its GGUF head claims %llu tensors and %llu keys: it is damaged",
                         (unsigned long long)info.tensor_count, (unsigned long long)pairs);

    uint64_t alignment = DEFAULT_ALIGNMENT;
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < pairs && !c.short_read; i++)
        r = parse_pair(a, &c, &info, &alignment, err);
    if (r == 0 && (alignment == 0 || alignment > MIB))
        r = error_set(err, ERROR_INVALID, "an alignment of %llu bytes",
                      (unsigned long long)alignment);
    if (r == 0)
        r = parse_tensors(&c, &info, alignment, err);
    if (r < 0)
        return error_prefix(err, r, "its GGUF head is damaged");
    if (c.short_read) {
        if (head_len >= file_bytes)
            return error_set(err, ERROR_INVALID,
                             "the file is truncated: its %llu bytes end inside the GGUF head",
                             (unsigned long long)file_bytes);
        return error_set(err, ERROR_TOO_LARGE, "the GGUF head is larger than %zu bytes", head_len);
    }
    fill_derived(&info);
    *ret = info;
    return 0;
}

static int read_head(int fd, size_t want, char **ret, size_t *ret_len, struct error **err)
{
    char *data = mem_try(want);
    if (!data)
        return error_set(err, ERROR_TOO_LARGE, "no memory for %zu bytes", want);
    size_t len = 0;
    while (len < want) {
        ssize_t n = pread(fd, data + len, want - len, (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int errnum = errno;
            __builtin_free(data);
            return error_set_errno(err, errnum, "cannot read it");
        }
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret = data;
    *ret_len = len;
    return 0;
}

static int open_checked(struct arena *a, const char *path, struct gguf_info *ret,
                        struct error **err)
{
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot open it");
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set_errno(err, errno, "cannot look at it");
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERROR_INVALID, "it is not a regular file");

    int r = -ERROR_TOO_LARGE;
    for (size_t want = FIRST_READ; want <= MAX_HEAD && r == -ERROR_TOO_LARGE; want *= 4) {
        AUTO_FREE char *head = NULL;
        size_t head_len = 0;
        r = read_head(fd, MIN(want, (size_t)st.st_size + 1), &head, &head_len, err);
        if (r < 0)
            return r;
        CLEANUP(error_cleanup) struct error *parse_err = NULL;
        r = gguf_parse(a, head, head_len, (uint64_t)st.st_size, ret, &parse_err);
        if (r < 0 && (r != -ERROR_TOO_LARGE || want * 4 > MAX_HEAD))
            return error_set(err, ERROR_INVALID, "%s", error_message(parse_err));
    }
    if (ret->file_bytes < ret->expected_bytes)
        return error_set(err, ERROR_INVALID,
                         "it is truncated: it has %llu bytes of %llu; fetch it again",
                         (unsigned long long)ret->file_bytes,
                         (unsigned long long)ret->expected_bytes);
    return 0;
}

int gguf_open(struct arena *a, const char *path, struct gguf_info *ret, struct error **err)
{
    int r = open_checked(a, path, ret, err);
    return r < 0 ? error_prefix(err, r, "model file %s", path) : 0;
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

#define KV_ELEMENT_BYTES 2 /* f16 */

static uint64_t saturating_mul(uint64_t x, uint64_t y)
{
    uint64_t product;
    return __builtin_mul_overflow(x, y, &product) ? UINT64_MAX : product;
}

static uint64_t saturating_add(uint64_t x, uint64_t y)
{
    uint64_t sum;
    return __builtin_add_overflow(x, y, &sum) ? UINT64_MAX : sum;
}

uint64_t gguf_kv_bytes(const struct gguf_info *g, uint64_t context_tokens)
{
    uint64_t per_layer =
        saturating_mul(saturating_mul(g->head_count_kv,
                                      saturating_add(g->key_length, g->value_length)),
                       KV_ELEMENT_BYTES);
    uint64_t windowed = 0;
    if (g->sliding_window > 0 && g->sliding_window_pattern > 1)
        windowed = g->block_count - g->block_count / g->sliding_window_pattern;
    uint64_t window = MIN(context_tokens, g->sliding_window);
    return saturating_add(saturating_mul(saturating_mul(per_layer, g->block_count - windowed),
                                         context_tokens),
                          saturating_mul(saturating_mul(per_layer, windowed), window));
}

uint64_t gguf_context_for(const struct gguf_info *g, uint64_t budget_bytes, uint64_t limit)
{
    uint64_t most = g->context_length > 0 ? g->context_length : 4096;
    if (limit > 0)
        most = MIN(most, limit);
    uint64_t low = 0;
    uint64_t high = MAX(most / GGUF_SMALLEST_CONTEXT, 1);
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        if (gguf_kv_bytes(g, middle * GGUF_SMALLEST_CONTEXT) <= budget_bytes)
            low = middle;
        else
            high = middle - 1;
    }
    return low * GGUF_SMALLEST_CONTEXT;
}
