/* spec.versions of CustomResourceDefinitions, in the two places where the API server looks at them.
 */
#pragma once

#include "schema/field.h"

/* Each version, and what they are together. */
void crd_check_versions(const struct json *spec, const struct field_path *spec_path,
                        struct field_errors *errors);
/* What all versions have alike. */
void crd_check_common(const struct json *spec, const struct field_path *spec_path,
                      struct field_errors *errors);
