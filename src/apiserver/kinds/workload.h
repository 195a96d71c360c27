/* What kinds that make pods from a template have in common. */
#pragma once

#include "schema/field.h"

/* spec.selector of a Deployment or ReplicaSet, and that the template is one of its pods. */
void workload_check_replicated(const struct json *spec, const struct field_path *p,
                               struct field_errors *errors);
/* Counts of a status: none negative; none of `parts` above status.replicas, and availableReplicas
 * not above readyReplicas. Both lists end with NULL. */
void workload_check_counts(const struct json *status, const char *const *counts,
                           const char *const *parts, struct field_errors *errors);

/* The member of all containers of the template, with commas between them. */
struct json *workload_containers_cell(struct arena *a, const struct json *obj, const char *member);
/* A LabelSelector as the query that it stands for; `none` when it has no requirements. */
struct json *workload_selector_cell(struct arena *a, const struct json *selector, const char *none);
