/* Reading the head of a GGUF file (versions 2 and 3): what the model is, whether the file is whole,
 * and how much memory it will want. The tensors themselves are not read. Pure over bytes;
 * gguf_open() adds the file. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct gguf_info {
    uint32_t version;
    uint64_t tensor_count;
    uint64_t file_bytes;       /* as it is on the disk */
    uint64_t expected_bytes;   /* end of the last tensor: a smaller file is truncated */
    uint64_t weight_bytes;     /* all tensors */
    const char *architecture;  /* "gemma3" */
    const char *name;          /* general.name; "" when absent */
    const char *file_type;     /* "Q4_K_M"; "" when unknown */
    const char *chat_template; /* NULL when absent */
    uint64_t context_length;
    uint64_t embedding_length;
    uint64_t block_count;
    uint64_t head_count;
    uint64_t head_count_kv; /* the largest of all layers when it is a list */
    uint64_t key_length;    /* per head */
    uint64_t value_length;
    uint64_t sliding_window;         /* 0: none */
    uint64_t sliding_window_pattern; /* every n-th layer sees everything (Gemma); 0: unknown */
    bool is_embedding;               /* an encoder (bert …): no generation */
    uint32_t split_count;            /* > 1: one part of several */
};

/* `head` holds the first head_len bytes of a file of file_bytes. -ERROR_INVALID: not GGUF, broken,
 * or more than the caps (64 MiB of head, 1,000,000 keys, 16 MiB per string, 4 array dimensions …);
 * -ERROR_TOO_LARGE: more bytes of the head are needed. A truncated file is no error here: compare
 * file_bytes with expected_bytes. */
int gguf_parse(struct arena *a, const void *head, size_t head_len, uint64_t file_bytes,
               struct gguf_info *ret, struct error **err);

/* Opens and parses. Errors say the path; a truncated file is -ERROR_INVALID with both sizes in the
 * text. */
int gguf_open(struct arena *a, const char *path, struct gguf_info *ret, struct error **err);

/* What llama.cpp needs beside weights and cache: compute graphs, tokenizer, HTTP server. Measured
 * with models of 0.3 to 4 billion parameters: 90 to 300 MiB. */
#define GGUF_ENGINE_BYTES (320 * MIB)
/* Tokens; contexts are multiples of it, and less makes no sense. */
#define GGUF_SMALLEST_CONTEXT 256

/* Bytes of key-value cache for one token of context beyond what sliding windows keep, and for the
 * windows themselves; f16 keys and values. */
uint64_t gguf_kv_bytes(const struct gguf_info *g, uint64_t context_tokens);
/* The largest context, a multiple of 256, at most `limit` (0: the model's own), whose cache fits
 * budget_bytes; 0 when even 256 does not. */
uint64_t gguf_context_for(const struct gguf_info *g, uint64_t budget_bytes, uint64_t limit);
