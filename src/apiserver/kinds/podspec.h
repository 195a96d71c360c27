/* Pod specs: those of pods and those of templates. */
#pragma once

#include "apiserver/kinds/rules.h"
#include "apiserver/strategy.h"

/* Defaults that depend on other fields; the static ones are in the type data. */
void podspec_default(struct arena *a, struct json *spec);
/* Those that only pods get, not templates: requests from limits, host ports, service links. */
void podspec_default_pod(struct arena *a, struct json *spec);

/* Adds to selectors what their matchLabelKeys stand for. */
void podspec_apply_label_keys(struct arena *a, struct json *spec, const struct json *labels);

/* All rules. is_pod: the spec of a pod itself. */
void podspec_validate(const struct json *spec, bool is_pod, const struct field_path *p,
                      struct field_errors *errors);
/* A template of a workload: metadata's labels and annotations, and the spec. */
void podspec_validate_template(const struct json *template, const struct field_path *p,
                               struct field_errors *errors);
/* What is allowed but most likely not meant. holder: a pod, or a template that stands at `prefix`
 * ("spec.template."). */
void podspec_warn(const struct json *holder, const char *prefix, struct json *warnings,
                  struct arena *a);
/* Of bytes there are no fractions. */
void podspec_warn_fraction(const struct json *amounts, const char *resource, const char *path,
                           struct json *warnings, struct arena *a);

/* ---- parts, a file each ---------------------------------------------------------------------- */

enum container_kind { CONTAINER_REGULAR, CONTAINER_INIT, CONTAINER_EPHEMERAL };

void podspec_validate_containers(const struct json *spec, const struct field_path *p,
                                 struct field_errors *errors);
void podspec_validate_volumes(const struct json *volumes, const struct field_path *p,
                              struct field_errors *errors);
/* Probes and hooks. grace: terminationGracePeriodSeconds, -1: not set. */
void podspec_validate_probe(const struct json *probe, int64_t grace, const struct field_path *p,
                            struct field_errors *errors);
void podspec_validate_lifecycle(const struct json *lifecycle, int64_t grace,
                                const struct field_path *p, struct field_errors *errors);
void podspec_validate_env(const struct json *container, const struct field_path *p,
                          struct field_errors *errors);
void podspec_validate_resources(const struct json *resources, const struct json *claims,
                                const struct field_path *p, struct field_errors *errors);
/* Affinity, tolerations, spreading. */
void podspec_validate_scheduling(const struct json *spec, const struct field_path *p,
                                 struct field_errors *errors);
/* The terms of a NodeSelector. */
void podspec_validate_node_terms(const struct json *terms, const struct field_path *p,
                                 struct field_errors *errors);
void podspec_validate_tolerations(const struct json *tolerations, const struct field_path *p,
                                  struct field_errors *errors);
void podspec_validate_security(const struct json *spec, const struct field_path *p,
                               struct field_errors *errors);
void podspec_validate_container_security(const struct json *context, bool host_users,
                                         const struct field_path *p, struct field_errors *errors);

/* A fieldRef or resourceFieldRef; known: the paths that are supported here. in_volume: a container
 * must be named. */
void podspec_validate_field_ref(const struct json *ref, const char *const *known,
                                const struct field_path *p, struct field_errors *errors);
void podspec_validate_resource_ref(const struct json *ref, bool in_volume,
                                   const struct field_path *p, struct field_errors *errors);
/* A path that stays below where it starts. */
void podspec_validate_relative_path(const char *path, const struct field_path *p,
                                    struct field_errors *errors);
void podspec_validate_no_backsteps(const char *path, const struct field_path *p,
                                   struct field_errors *errors);
void podspec_validate_host_path(const struct json *source, const struct field_path *p,
                                struct field_errors *errors);
/* Adds to errors when list[index]'s member has a value that an earlier element has. */
bool repeats_earlier(const struct json *list, size_t index, const char *member);
