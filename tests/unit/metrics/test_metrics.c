#include "unit.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "metrics/metrics.h"

/* The registry is one for the process: a test looks only at the families whose names begin with its
 * prefix. */
static char *exposition(const char *prefix)
{
    AUTO_BUF all = BUF_INIT(16 * MIB);
    struct buf out = BUF_INIT(16 * MIB);
    metrics_write(&all);
    for (const char *line = buf_str(&all); *line;) {
        size_t len = strcspn(line, "\n") + 1;
        const char *name = str_skip_prefix(line, "# HELP ");
        if (!name)
            name = str_skip_prefix(line, "# TYPE ");
        if (!name)
            name = line;
        if (str_has_prefix(name, prefix))
            buf_append(&out, line, len);
        line += len;
    }
    return buf_steal(&out);
}

static void assert_exposition(const char *prefix, const char *want)
{
    AUTO_FREE char *got = exposition(prefix);
    assert_string_equal(got, want);
}

static void writes_counters_and_gauges(void **state)
{
    static const char *const labels[] = { "method", "code", NULL };
    struct metric *requests =
        metric_counter("a_requests_total", "Requests\nwith \\ and \"quotes\".", labels);
    struct metric *up = metric_gauge("a_up", "Whether it is up.", NULL);
    metric_add(requests, 1, "PUT", "200");
    metric_add(requests, 2, "GET", "404");
    metric_add(requests, 1, "GET", "200");
    metric_add(requests, 1, "a\"b\\c\nd", "");
    metric_add(requests, 0.5, "GET", "200");
    assert_exposition("a_", "# HELP a_requests_total Requests\\nwith \\\\ and \"quotes\".\n"
                            "# TYPE a_requests_total counter\n"
                            "a_requests_total{method=\"GET\",code=\"200\"} 1.5\n"
                            "a_requests_total{method=\"GET\",code=\"404\"} 2\n"
                            "a_requests_total{method=\"PUT\",code=\"200\"} 1\n"
                            "a_requests_total{method=\"a\\\"b\\\\c\\nd\",code=\"\"} 1\n"
                            "# HELP a_up Whether it is up.\n"
                            "# TYPE a_up gauge\n"
                            "a_up 0\n");
    assert_true(metric_value(requests, "GET", "404") == 2);
    assert_true(metric_value(requests, "GET", "500") == 0);
    metric_set(up, -3);
    metric_add(up, -1);
    assert_true(metric_value(up) == -4);
    assert_ptr_equal(metric_gauge("a_up", "again", NULL), up);
    metric_remove(requests, "GET", "404");
    metric_reset(up);
    assert_true(metric_value(up) == 0);
    metric_reset(requests);
    assert_exposition("a_", "# HELP a_up Whether it is up.\n# TYPE a_up gauge\na_up 0\n");
}

static void writes_histograms_cumulatively(void **state)
{
    static const char *const labels[] = { "verb", NULL };
    static const double buckets[] = { 0.005, 0.1, 1, 2500000 };
    struct metric *m = metric_histogram("b_seconds", "How long.", labels, buckets, 4);
    metric_observe(m, 0.005, "GET");
    metric_observe(m, 0.05, "GET");
    metric_observe(m, 0.5, "GET");
    metric_observe(m, 3000000, "GET");
    assert_exposition("b_", "# HELP b_seconds How long.\n"
                            "# TYPE b_seconds histogram\n"
                            "b_seconds_bucket{verb=\"GET\",le=\"0.005\"} 1\n"
                            "b_seconds_bucket{verb=\"GET\",le=\"0.1\"} 2\n"
                            "b_seconds_bucket{verb=\"GET\",le=\"1\"} 3\n"
                            "b_seconds_bucket{verb=\"GET\",le=\"2.5e+06\"} 3\n"
                            "b_seconds_bucket{verb=\"GET\",le=\"+Inf\"} 4\n"
                            "b_seconds_sum{verb=\"GET\"} 3.000000555e+06\n"
                            "b_seconds_count{verb=\"GET\"} 4\n");
    static const double one[] = { 1 };
    metric_histogram("b2_plain", "", NULL, one, 1);
    assert_exposition(
        "b2_",
        "# HELP b2_plain \n# TYPE b2_plain histogram\n"
        "b2_plain_bucket{le=\"1\"} 0\nb2_plain_bucket{le=\"+Inf\"} 0\nb2_plain_sum 0\nb2_plain_count 0\n");
}

/* As Go's strconv.FormatFloat(v, 'g', -1, 64) writes them. */
static void writes_numbers_like_go(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { 1, "1" },
        { -1, "-1" },
        { 0.1, "0.1" },
        { 100000, "100000" },
        { 1000000, "1e+06" },
        { 123456, "123456" },
        { 1234567, "1.234567e+06" },
        { 0.0001, "0.0001" },
        { 0.00001, "1e-05" },
        { 1e21, "1e+21" },
        { 1.0 / 3, "0.3333333333333333" },
        { 99999.5, "99999.5" },
        { INFINITY, "+Inf" },
        { -INFINITY, "-Inf" },
        { (double)NAN, "NaN" },
    };
    struct metric *m = metric_gauge("c_value", "v", NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        metric_set(m, cases[i].value);
        char want[128];
        snprintf(want, sizeof want, "# HELP c_value v\n# TYPE c_value gauge\nc_value %s\n",
                 cases[i].text);
        assert_exposition("c_", want);
    }
}

static void caps_label_sets(void **state)
{
    static const char *const labels[] = { "pod", NULL };
    struct metric *m = metric_counter("d_total", "Many.", labels);
    for (int i = 0; i < 10010; i++) {
        char pod[32];
        snprintf(pod, sizeof pod, "pod-%d", i);
        metric_add(m, 1, pod);
    }
    assert_exposition(
        "kaito_metrics_dropped_total",
        "# HELP kaito_metrics_dropped_total Label sets that were dropped because their metric had too many.\n"
        "# TYPE kaito_metrics_dropped_total counter\nkaito_metrics_dropped_total 10\n");
    assert_true(metric_value(m, "pod-9999") == 1);
    assert_true(metric_value(m, "pod-10000") == 0);
    metric_add(m, 1, "pod-5"); /* those that are there go on */
    assert_true(metric_value(m, "pod-5") == 2);
    metric_reset(m);
}

static void refresh(void *ctx)
{
    metric_set(metric_gauge("e_refreshed", "Set by a collector.", NULL), (*(double *)ctx)++);
}

static void asks_collectors(void **state)
{
    static double value = 7;
    metrics_on_collect(refresh, &value);
    assert_exposition(
        "e_", "# HELP e_refreshed Set by a collector.\n# TYPE e_refreshed gauge\ne_refreshed 7\n");
    assert_exposition(
        "e_", "# HELP e_refreshed Set by a collector.\n# TYPE e_refreshed gauge\ne_refreshed 8\n");
}

static void knows_the_process(void **state)
{
    metrics_register_process();
    AUTO_FREE char *text = exposition("process_");
    assert_non_null(strstr(text, "\nprocess_cpu_seconds_total "));
    assert_non_null(strstr(text, "\nprocess_start_time_seconds 1."));
    assert_true(metric_value(metric_gauge("process_open_fds", "", NULL)) >= 3);
    assert_true(metric_value(metric_gauge("process_resident_memory_bytes", "", NULL)) > 100000);
}

static void *count_up(void *arg)
{
    struct metric *m = arg;
    for (int i = 0; i < 2000; i++) {
        char label[16];
        snprintf(label, sizeof label, "%d", i % 7);
        metric_add(m, 1, label);
        if (i % 500 == 0) {
            AUTO_BUF out = BUF_INIT(16 * MIB);
            metrics_write(&out);
        }
    }
    return NULL;
}

static void counts_from_many_threads(void **state)
{
    static const char *const labels[] = { "n", NULL };
    struct metric *m = metric_counter("f_total", "", labels);
    pthread_t threads[8];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "count", count_up, m, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(threads[i]);
    double sum = 0;
    for (int i = 0; i < 7; i++) {
        char label[16];
        snprintf(label, sizeof label, "%d", i);
        sum += metric_value(m, label);
    }
    assert_true(sum == 16000);
}

UNIT_TESTS(TEST(writes_counters_and_gauges), TEST(writes_histograms_cumulatively),
           TEST(writes_numbers_like_go), TEST(caps_label_sets), TEST(asks_collectors),
           TEST(knows_the_process), TEST(counts_from_many_threads))
