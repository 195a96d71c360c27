/* Makes small GGUF files for tests: a head as the format has it, tensors of zeros. */
#pragma once

#include <string.h>

#include "base/buf.h"

struct gguf_make {
    struct buf keys;
    struct buf tensors;
    uint64_t key_count;
    uint64_t tensor_count;
    uint64_t data_bytes;
};

static inline void gguf_put(struct buf *b, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buf_putc(b, (char)(value >> (8 * i)));
}

static inline void gguf_put_string(struct buf *b, const char *s)
{
    gguf_put(b, strlen(s), 8);
    buf_puts(b, s);
}

static inline void gguf_make_init(struct gguf_make *g)
{
    *g = (struct gguf_make){ .keys = BUF_INIT(MIB), .tensors = BUF_INIT(MIB) };
}

static inline void gguf_add_string(struct gguf_make *g, const char *key, const char *value)
{
    gguf_put_string(&g->keys, key);
    gguf_put(&g->keys, 8, 4);
    gguf_put_string(&g->keys, value);
    g->key_count++;
}

static inline void gguf_add_u32(struct gguf_make *g, const char *key, uint32_t value)
{
    gguf_put_string(&g->keys, key);
    gguf_put(&g->keys, 4, 4);
    gguf_put(&g->keys, value, 4);
    g->key_count++;
}

static inline void gguf_add_u32_array(struct gguf_make *g, const char *key, const uint32_t *values,
                                      size_t n)
{
    gguf_put_string(&g->keys, key);
    gguf_put(&g->keys, 9, 4);
    gguf_put(&g->keys, 4, 4);
    gguf_put(&g->keys, n, 8);
    for (size_t i = 0; i < n; i++)
        gguf_put(&g->keys, values[i], 4);
    g->key_count++;
}

/* A one-dimensional F32 tensor. */
static inline void gguf_add_tensor(struct gguf_make *g, const char *name, uint64_t elements)
{
    gguf_put_string(&g->tensors, name);
    gguf_put(&g->tensors, 1, 4);
    gguf_put(&g->tensors, elements, 8);
    gguf_put(&g->tensors, 0, 4);
    gguf_put(&g->tensors, g->data_bytes, 8);
    g->data_bytes += (elements * 4 + 31) / 32 * 32;
    g->tensor_count++;
}

/* The whole file; buf_done() it. */
static inline struct buf gguf_make_file(struct gguf_make *g)
{
    struct buf file = BUF_INIT(64 * MIB);
    buf_puts(&file, "GGUF");
    gguf_put(&file, 3, 4);
    gguf_put(&file, g->tensor_count, 8);
    gguf_put(&file, g->key_count, 8);
    buf_append(&file, g->keys.data, g->keys.len);
    buf_append(&file, g->tensors.data, g->tensors.len);
    while (file.len % 32 != 0)
        buf_putc(&file, 0);
    for (uint64_t i = 0; i < g->data_bytes; i++)
        buf_putc(&file, 0);
    buf_done(&g->keys);
    buf_done(&g->tensors);
    return file;
}

/* A model shaped like a small Gemma 3: 18 layers, every 6th sees everything. */
static inline struct buf gguf_make_gemma(void)
{
    struct gguf_make g;
    gguf_make_init(&g);
    gguf_add_string(&g, "general.architecture", "gemma3");
    gguf_add_string(&g, "general.name", "Tiny");
    gguf_add_u32(&g, "general.file_type", 15);
    gguf_add_u32(&g, "gemma3.context_length", 32768);
    gguf_add_u32(&g, "gemma3.embedding_length", 640);
    gguf_add_u32(&g, "gemma3.block_count", 18);
    gguf_add_u32(&g, "gemma3.attention.head_count", 4);
    gguf_add_u32(&g, "gemma3.attention.head_count_kv", 1);
    gguf_add_u32(&g, "gemma3.attention.key_length", 256);
    gguf_add_u32(&g, "gemma3.attention.value_length", 256);
    gguf_add_u32(&g, "gemma3.attention.sliding_window", 512);
    gguf_add_tensor(&g, "token_embd.weight", 4096);
    gguf_add_tensor(&g, "output_norm.weight", 640);
    return gguf_make_file(&g);
}
