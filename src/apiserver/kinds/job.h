/* Parts of the rules for Jobs, a file each. */
#pragma once

#include "apiserver/kinds/rules.h"
#include "apiserver/strategy.h"

/* podFailurePolicy, successPolicy, podReplacementPolicy. */
void job_validate_policies(const struct json *spec, const struct field_path *p,
                           struct field_errors *errors);
/* A write of status. */
void job_validate_status(const struct json *obj, const struct json *old,
                         struct field_errors *errors);

bool job_is_indexed(const struct json *obj);
/* "1,3-5" with numbers below `completions`, growing; how many they are, or -1 with err. */
int64_t job_count_indexes(const char *text, int64_t completions, struct error **err);
bool job_has_index(const char *text, int64_t index);
