#include "gguf/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    struct gguf_info g;
    if (gguf_parse(a, data, size, size, &g, NULL) == 0) {
        gguf_kv_bytes(&g, 4096);
        gguf_context_for(&g, g.expected_bytes, 0);
    }
    return 0;
}
