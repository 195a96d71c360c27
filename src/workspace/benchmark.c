/* The engine measures itself before it gets ready and leaves two lines in its log:
 *
 *     … KAITO_BENCHMARK_CONFIG <time> {"duration_sec": …, "input_tokens": …, "output_tokens": …,
 * "max_concurrency": …} … KAITO_BENCHMARK_RESULT <time> {"vllm_total_tpm": …}
 *
 * The last of each counts. What was read once is kept for good. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "workspace/decide_internal.h"
#include "json/build.h"

#define RESULT_TAG "KAITO_BENCHMARK_RESULT"
#define CONFIG_TAG "KAITO_BENCHMARK_CONFIG"
/* A failed reading is tried again: the log may be late. */
#define RETRY_MS 30000

/* The object of the last line that carries the tag. */
static struct json *last_tagged(struct arena *a, const char *log, const char *tag)
{
    const char *line = NULL;
    for (const char *at = log; (at = strstr(at, tag)); at += strlen(tag))
        line = at + strlen(tag);
    if (!line)
        return NULL;
    size_t len = strcspn(line, "\r\n");
    const char *start = memchr(line, '{', len);
    struct json *v = NULL;
    if (!start || json_parse(a, start, len - (size_t)(start - line), &v, NULL) < 0)
        return NULL;
    return v;
}

/* A number as a person writes it: 12345.67, 1000000. */
static struct json *number_text(struct arena *a, const struct json *number)
{
    char text[64];
    if (!json_is_number(number))
        return NULL;
    snprintf(text, sizeof(text), "%.6f", json_double(number, 0));
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '0')
        len--;
    if (len > 0 && text[len - 1] == '.')
        len--;
    return json_new_string_n(a, text, len);
}

/* clang-format off */
static struct json *performance(struct decider *d, const struct json *result, const struct json *config)
{
    struct arena *a = d->a;
    struct json *settings = OBJ("durationSec", number_text(a, json_get(config, "duration_sec")),
                                "inputTokens", number_text(a, json_get(config, "input_tokens")),
                                "outputTokens", number_text(a, json_get(config, "output_tokens")),
                                "maxConcurrency", number_text(a, json_get(config, "max_concurrency")),
                                "engine", STR("vllm"),
                                "engineVersion", STR(KAITO_BASE_VLLM),
                                "quantization", STR(d->choice.preset->quantization));
    struct json *peak = OBJ("description", STR("stress/high-concurrency"),
                            "value", number_text(a, json_get(result, "vllm_total_tpm")),
                            "unit", STR("tokens/min"),
                            "config", settings);
    return OBJ("metrics", OBJ("peakTokensPerMinute", peak));
}
/* clang-format on */

bool benchmark_expected(const struct json *statefulset)
{
    JSON_FOREACH(it, json_find(statefulset, "spec", "template", "spec", "containers")) {
        JSON_FOREACH(word, json_find(it.value, "startupProbe", "exec", "command")) {
            const char *s = json_string(word.value);
            if (s && strstr(s, BENCHMARK_SCRIPT))
                return true;
        }
    }
    return false;
}

bool benchmark_premature(const struct json *statefulset)
{
    const struct json *status = json_get(statefulset, "status");
    const char *update = json_find_str(status, "updateRevision");
    int64_t generation = meta_generation(statefulset);
    return json_find_int(status, generation, "observedGeneration") < generation ||
           (update && !str_eq(update, json_find_str(status, "currentRevision")));
}

enum benchmark decide_benchmark(struct decider *d, struct json *status, struct json *conditions)
{
    const struct engine *engine = d->choice.engine;
    if (!engine || !engine->benchmarks || !d->choice.preset || !engine_benchmark_wanted(&d->ws) ||
        !benchmark_expected(d->o->statefulset))
        return BENCHMARK_NONE;
    if (d->upgrading) { /* what was measured was another engine */
        json_del(status, "performance");
        condition_remove(conditions, "BenchmarkCompleted");
    }
    if (benchmark_premature(d->o->statefulset) || d->upgrading)
        return BENCHMARK_NONE;
    struct condition done = { "BenchmarkCompleted", "True", "BenchmarkCompleted",
                              "benchmark result has been recorded" };
    if (condition_is(conditions, done.type, "True")) {
        condition_set(d->a, conditions, &done, d->ws.generation, d->in->now_ns);
        return BENCHMARK_DONE;
    }
    const char *log = d->o->benchmark_log ? d->o->benchmark_log : "";
    struct json *result = last_tagged(d->a, log, RESULT_TAG),
                *config = last_tagged(d->a, log, CONFIG_TAG);
    if (result && config && json_double(json_get(result, "vllm_total_tpm"), 0) > 0) {
        json_set(d->a, status, "performance", performance(d, result, config));
        condition_set(d->a, conditions, &done, d->ws.generation, d->in->now_ns);
        return BENCHMARK_DONE;
    }
    const char *why = d->o->benchmark_error ? d->o->benchmark_error
                      : !result || !config  ? "the log has no benchmark result"
                                            : "the measured tokens per minute are not above 0";
    condition_set(d->a, conditions,
                  &(struct condition){ done.type, "False", "BenchmarkFailed", why },
                  d->ws.generation, d->in->now_ns);
    d->out->requeue_ms = RETRY_MS;
    return BENCHMARK_FAILED;
}
