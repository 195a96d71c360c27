/* Images whose files pods read: adapters, and data to tune with. Pure. */
#pragma once

#include "json/json.h"

#define PULL_SECRETS_DIR "/root/.docker/config.d"

/* The reference as registries know it: "phi" → "docker.io/library/phi:latest". A digest counts
 * more than a tag beside it. -ERROR_INVALID says what is wrong with it. */
int image_reference(struct arena *a, const char *text, const char **ret, struct error **err);

/* A name for a volume or container out of names that users chose: "a-b-c" as it is, where it is
 * too long or has other characters something like it that is as unique. */
char *pull_safe_name(struct arena *a, const char *prefix, const char *name, const char *suffix);

/* `name` has the words that tell this image's Secrets from others': "in-tuning-input". NULL when
 * there are none and `always` is not set. */
struct json *pull_secrets_volume(struct arena *a, const char *name, const struct json *secrets,
                                 bool always);
struct json *pull_secrets_mount(struct arena *a, const char *name, const struct json *secrets,
                                bool always);
/* The container that puts the image's /data into `target`; mounts (array) become its own. */
struct json *pull_container(struct arena *a, const char *name, const char *image,
                            const char *target, struct json *mounts);
/* [{"name": …}, …] of an array of names, without repetition, added to `list`. */
void pull_append_secrets(struct arena *a, struct json *list, const struct json *names);
