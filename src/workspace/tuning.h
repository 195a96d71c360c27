/* What the files of tuning share. Nobody outside includes it. */
#pragma once

#include "workspace/decide_internal.h"

#define TUNING_DATA_DIR "/mnt/data"
#define TUNING_CONFIG_DIR "/mnt/config"
#define TUNING_CONFIG_KEY "training_config.yaml"

/* The ConfigMap of a method that says nothing of its own: "lora-params-template"; NULL: there is no
 * such method. In any case of letters. */
const char *tuning_default_config(const char *method);
/* Its content where the chart's is missing. */
const char *tuning_builtin_config(const char *config_map);

struct tuning_config {
    const char *config_map;
    const char *output_dir; /* where the result appears, below /mnt */
};

/* 0: can be used; else a problem was found and said. */
int tuning_config(struct decider *d, struct tuning_config *ret);

/* The copy of the default ConfigMap is made, or this Workspace becomes one of its owners. */
void decide_tuning_config_copy(struct decider *d, const struct tuning_config *config);

struct json *tuning_job(const struct decider *d, const struct tuning_config *config);
