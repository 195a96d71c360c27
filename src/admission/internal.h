/* What the files of this folder share. Nobody outside includes it. */
#pragma once

#include "admission/admission.h"

/* One review under way. */
struct review {
    struct arena *a;
    const struct admission *ad;
    struct admission_verdict *verdict;
};

/* ---- review.c ---------------------------------------------------------------------------------- */

/* The text says what is wrong and the way out; it follows the value, if there is one: `"x" is
 * not …`. value NULL: nothing is there. */
void fault(struct review *rv, const char *field, const char *value, const char *fmt, ...)
    ATTR_PRINTF(4, 5);
void warn(struct review *rv, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* A value as a fault shows it; NULL when it is absent. */
const char *shown(struct review *rv, const struct json *v);
const char *member_path(struct review *rv, const char *base, const char *member);
const char *element_path(struct review *rv, const char *base, size_t index);
const char *key_path(struct review *rv, const char *base, const char *key);
/* Whether two values mean the same as the Go type: what is empty there equals what is absent. */
bool same_as(struct review *rv, const char *go_type, const struct json *x, const struct json *y);

bool automatic_nodes(const struct review *rv); /* nodes are brought up for what needs them */
bool one_box(const struct review *rv);         /* there are neither instance types nor GPU labels */

/* ---- what a Workspace asks for ----------------------------------------------------------------- */

enum runtime { RUNTIME_VLLM, RUNTIME_TRANSFORMERS, RUNTIME_LLAMA };

/* It stands in an object of its own or in the template of what makes Workspaces. */
struct subject {
    const char *ns;
    const struct json *annotations, *resource, *selector, *inference, *tuning;
    const char *annotations_path, *resource_path, *selector_path, *inference_path, *tuning_path;
    bool v1alpha1;

    /* Filled in by subject_complete(). */
    const char *preset_name;     /* of inference; NULL when there is none */
    const struct preset *preset; /* NULL: not in the catalogue */
    enum runtime runtime;
    bool bypass; /* the annotation that switches checks of memory off is there */
};

void subject_of_workspace(struct review *rv, const struct json *obj, struct subject *ret);
void subject_complete(const struct review *rv, struct subject *s);
const char *annotation_of(const struct json *annotations, const char *key);

/* ---- names.c ------------------------------------------------------------------------------------ */

/* A name that pods and Services can be derived from, at most `longest` characters: `why` says what
 * becomes of it ("its pods are named after it"). */
void check_name(struct review *rv, const struct json *obj, size_t longest, const char *why);

/* matchLabels and expressions that ask for one value, as one object; NULL after a fault. */
struct json *check_selector(struct review *rv, const struct json *selector, const char *path);
/* Those of check_selector that are not KAITO's own; NULL after a fault: nothing would be left. */
struct json *user_labels(struct review *rv, const struct json *selector, const char *path);
bool same_selector(struct review *rv, const struct json *x, const struct json *y);

/* An image reference as docker reads it: "reg.io:5000/a/b:tag@sha256:…". */
bool image_reference_valid(const char *image);

/* ---- url.c -------------------------------------------------------------------------------------- */

/* NULL, or what is wrong with a URL that data are fetched from. */
const char *data_url_problem(struct arena *a, const char *url);
/* As Go's url.ParseRequestURI takes it: absolute, or a path. */
bool request_uri_valid(const char *url);

/* ---- annotations.c ------------------------------------------------------------------------------ */

void check_annotations(struct review *rv, const struct subject *s);
/* What transformers cannot run. */
void check_runtime(struct review *rv, const struct subject *s);
/* Weights that are streamed from object storage. */
void check_streaming(struct review *rv, const struct subject *s);

/* ---- resource.c, nodes.c ------------------------------------------------------------------------ */

/* Presence only. */
void check_instance_type_given(struct review *rv, const struct subject *s);
/* It has GPUs that the work can use. */
void check_instance_type_fits(struct review *rv, const struct subject *s);
void check_count(struct review *rv, const struct subject *s);
void check_resource_of_inference(struct review *rv, const struct subject *s);
void check_partition(struct review *rv, const struct subject *s);
void check_own_nodes(struct review *rv, const struct subject *s);
/* nodes of gpu_bytes each; `field` is what has to grow. */
void check_memory(struct review *rv, const struct subject *s, const char *field, const char *value,
                  int64_t nodes, int64_t gpu_bytes);

/* ---- inference.c, tuning.c, training_config.c --------------------------------------------------- */

/* It can be asked for by this name; nothing is looked up on the network. */
bool preset_name_valid(const struct review *rv, const char *name);
void check_preset_name(struct review *rv, const char *name, const char *field);
void check_inference(struct review *rv, const struct subject *s);
void check_adapters(struct review *rv, const struct subject *s);
void check_inference_config(struct review *rv, const struct subject *s);

void check_tuning(struct review *rv, const struct subject *s);
void check_tuning_input(struct review *rv, const struct subject *s);
void check_tuning_output(struct review *rv, const struct subject *s);
/* What is wrong with the key training_config.yaml; method: "lora", "qlora". */
void check_training_config(struct review *rv, const char *field, const char *value,
                           const struct json *config_map, const char *method);

/* ---- the kinds ---------------------------------------------------------------------------------- */

/* Everything about a Workspace but its name. */
void check_subject(struct review *rv, const struct subject *s);

typedef void check_fn(struct review *rv, const struct json *obj);
typedef void check_change_fn(struct review *rv, const struct json *obj, const struct json *old);

/* *_new: what is asked of objects that are created. *_valid: what is asked of objects that are
 * changed, where the old one answers for what it had already. *_change: what may not be changed. */
check_fn workspace_new, workspace_valid;
check_change_fn workspace_change;
check_fn inference_set_new, inference_set_valid;
check_change_fn inference_set_change;
check_fn multi_role_new, multi_role_valid;
check_change_fn multi_role_change;
check_fn model_mirror_new;
check_change_fn model_mirror_change;
check_fn rag_engine_new, rag_engine_valid;
check_change_fn rag_engine_change;
