/* Resource quantities: "100m", "1.5", "2Gi", "1e3". Exact within int64 nano-units to exa-units:
 * what is finer than a nano-unit is rounded away from zero, binary ones end at 2^63-1, and more
 * than 36 digits are refused. Blanks around are ignored, as in JSON of the API. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/* Value rounded up (away from zero) to an integer (bytes, counts); what does not fit becomes
 * INT64_MAX or INT64_MIN. -ERROR_INVALID with the API server's words. */
int quantity_value(const char *text, int64_t *ret, struct error **err);
/* In thousandths, rounded up (CPU). */
int quantity_milli(const char *text, int64_t *ret, struct error **err);
/* Canonical text: "1000m" → "1", "1024Mi" → "1Gi", "0.1" → "100m". A text that the API server would
 * keep as it is (it does so for some that are not canonical: "+5", "1.500") is kept. */
int quantity_canonical(struct arena *a, const char *text, char **ret, struct error **err);
/* The same as it becomes in resource lists (requests, limits, capacity, quota), which the API
 * server rounds up to thousandths: "100u" → "1m". */
int quantity_canonical_milli(struct arena *a, const char *text, char **ret, struct error **err);
/* -1, 0, 1; both valid (an invalid one counts as 0). */
int quantity_compare(const char *x, const char *y);
char *quantity_from_bytes(struct arena *a,
                          int64_t bytes); /* BinarySI: "11Gi", "1536Mi", else plain */
