/* Label and field selectors: from query text and from LabelSelector objects, compiled once, matched
 * often. */
#pragma once

#include "json/json.h"

struct selector;
struct kube_object;

/* "a=b,c!=d,e in (f,g),!h,i,j>1". Errors as the API server words them. "" selects everything. At
 * most 256 KiB of text. */
int selector_parse_labels(const char *text, struct selector **ret, struct error **err);
/* A metav1.LabelSelector object; NULL selects nothing, {} selects everything. */
int selector_from_object(const struct json *label_selector, struct selector **ret,
                         struct error **err);
/* "metadata.name=x,status.phase!=Running" */
int selector_parse_fields(const char *text, struct selector **ret, struct error **err);
void selector_free(struct selector *s);
DEFINE_CLEANUP(struct selector *, selector_free, selector_cleanup)

bool selector_empty(const struct selector *s); /* selects everything */
bool selector_matches_labels(const struct selector *s,
                             const struct json *labels); /* NULL: no labels */
bool selector_matches_object(const struct selector *s,
                             const struct kube_object *o); /* its labels; parses nothing */
/* Fields are looked up in the object by dotted path; absent is "". */
bool selector_matches_fields(const struct selector *s, const struct json *obj);
/* The requirements, sorted by key, for checks: key, operator ("=", "!=", "in", "notin", "exists",
 * "!", ">", "<"), first value or NULL. */
size_t selector_count(const struct selector *s);
void selector_get(const struct selector *s, size_t i, const char **ret_key, const char **ret_op,
                  const char **ret_value);
/* The query text of it. */
char *selector_text(struct arena *a, const struct selector *s);

/* Validity of names, with the API server's words in the error (no field path in front; several
 * problems are joined by "; "). */
int kube_validate_label_key(const char *key, struct error **err); /* qualified name */
int kube_validate_label_value(const char *value, struct error **err);
int kube_validate_dns1123_label(const char *name, struct error **err);     /* at most 63 */
int kube_validate_dns1123_subdomain(const char *name, struct error **err); /* at most 253 */
int kube_validate_dns1035_label(const char *name, struct error **err);     /* Services */
