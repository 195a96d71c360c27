/* Server-side printing: meta.k8s.io/v1 Table for lists and single objects. Pure. */
#pragma once

#include "apiserver/strategy.h"

/* list: a List object or a single object of kind k. include_object: "Metadata" (default), "Object",
 * "None". with_columns false leaves columnDefinitions empty (later watch events). */
struct json *table_from(struct arena *a, const struct api_kind *k,
                        const struct json *list_or_object, const char *include_object,
                        bool with_columns, int64_t now_wall_ns);

/* additionalPrinterColumns of a CRD version, compiled; errors as for CRD creation. */
struct crd_columns;
int crd_columns_compile(const struct json *additional_printer_columns, const char *path,
                        struct crd_columns **ret, struct field_errors *errors);
void crd_columns_free(struct crd_columns *c);
