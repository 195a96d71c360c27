/* Rules of metadata that all kinds share. */
#pragma once

#include "schema/field.h"

/* Whether a name may be used; the error may hold several texts, joined by "; " (kube/selector.h has
 * such functions). */
typedef int metadata_name_rule(const char *name, struct error **err);

/* A name that can stand in a path: anything but ".", "..", "/" and "%". */
int metadata_name_path_segment(const char *name, struct error **err);

/* For creates. `meta` is the metadata object, `path` where it stands. With generateName set, the
 * prefix is checked too. */
void metadata_validate(const struct json *meta, bool namespaced, metadata_name_rule *rule,
                       const struct field_path *path, struct field_errors *errors);
/* For updates: what may not change, then labels, annotations, owners. */
void metadata_validate_update(const struct json *meta, const struct json *old,
                              const struct field_path *path, struct field_errors *errors);

void metadata_validate_labels(const struct json *labels, const struct field_path *path,
                              struct field_errors *errors);
void metadata_validate_annotations(const struct json *annotations, const struct field_path *path,
                                   struct field_errors *errors);
/* A metav1.LabelSelector. */
void metadata_validate_selector(const struct json *selector, const struct field_path *path,
                                struct field_errors *errors);

/* One "Invalid value" for each text of err ("a; b"), which is freed. */
void field_invalid_each(struct field_errors *errors, const struct field_path *path,
                        const char *value, struct error *err);
