/* Resource quantities: "100m", "1.5", "2Gi", "1e3". Exact within int64 nano-units to exa-units. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/* Value rounded up to an integer (bytes, counts). -ERROR_INVALID with the API server's words. */
int quantity_value(const char *text, int64_t *ret, struct error **err);
/* In thousandths, rounded up (CPU). */
int quantity_milli(const char *text, int64_t *ret, struct error **err);
/* Canonical text: "1000m" → "1", "1024Mi" → "1Gi", "0.1" → "100m". */
int quantity_canonical(struct arena *a, const char *text, char **ret, struct error **err);
/* -1, 0, 1; both valid. */
int quantity_compare(const char *x, const char *y);
char *quantity_from_bytes(struct arena *a, int64_t bytes);   /* BinarySI: "11Gi", "1536Mi", else plain */
