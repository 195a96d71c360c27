/* What is read keeps its value when it is written, and is written the same the second time. */
#include "fuzz.h"
#include "kube/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    const char *text = arena_strndup(a, (const char *)data, size);
    CLEANUP(error_cleanup) struct error *err = NULL;
    char *canonical = NULL, *again = NULL, *rounded = NULL;
    int64_t value, milli, n;
    if (quantity_canonical(a, text, &canonical, &err) < 0) {
        must(*error_message(err));
        must(quantity_value(text, &value, NULL) < 0);
        return 0;
    }
    must(quantity_canonical(a, canonical, &again, NULL) == 0);
    must(strcmp(canonical, again) == 0);
    must(quantity_compare(text, canonical) == 0 && quantity_compare(canonical, text) == 0);
    must(quantity_value(text, &value, NULL) == 0 && quantity_value(canonical, &n, NULL) == 0 &&
         n == value);
    must(quantity_milli(text, &milli, NULL) == 0 && quantity_milli(canonical, &n, NULL) == 0 &&
         n == milli);

    must(quantity_canonical_milli(a, text, &rounded, NULL) == 0);
    must(quantity_milli(rounded, &n, NULL) == 0 && n == milli);
    int sign = quantity_compare(text, "0");
    must(sign * quantity_compare(rounded, text) >= 0); /* away from zero */
    must(quantity_compare("0", text) == -sign);
    must(sign == 0  ? value == 0 && milli == 0
         : sign > 0 ? value > 0 && milli > 0
                    : value < 0 && milli < 0);
    if (value > INT64_MIN)
        must(quantity_value(quantity_from_bytes(a, value), &n, NULL) == 0 && n == value);
    return 0;
}
