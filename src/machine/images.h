/* Which local program stands for a container image: by data (data/images.json), over which a user's
 * file is laid.
 *
 *     {"images": [
 *       {"match": "kaito-llama-cpp", "executables": ["kaito-serve"], "command": ["kaito-serve"],
 *        "env": {"A": "b"}, "path": ["/opt/engine/bin"], "get": "how to get what is missing"},
 *       {"match": "docker.io/library/busybox:*", "run": "host"}]}
 *
 *     match        the last element of the repository's name, or, when it has a "/", "*" or "?", a
 *                  glob on the whole reference
 *     executables  programs that must be found in path, the engine path or PATH; without them the
 *                  image cannot be "pulled"
 *     command      what runs when the container names no command
 *     path         directories in front of the container's PATH
 *     run          "host": the container's command as it is, with the host's PATH
 *
 * The first entry that matches counts, the user's before ours. Thread-safe. */
#pragma once

#include "json/json.h"

struct images;

struct images_options {
    const char *engine_path; /* ":"-separated; may be NULL */
    const char *user_file;   /* read when it is there, and again when it changes; may be NULL */
    bool must_exist;         /* the user named the file: it has to be there */
};

int images_new(const struct images_options *options, struct images **ret, struct error **err);
void images_free(struct images *im);

struct image {
    const char *id;         /* for imageID: "local:///usr/bin/kaito-serve", or "local://host" */
    char *const *command;   /* default command, NULL-terminated; NULL: none */
    const char *path;       /* PATH of the container */
    const struct json *env; /* {"NAME": "value"}; NULL: none */
};

/* -ERROR_NOT_FOUND: no entry, or a program of it is missing; the text says which image it is and
 * what to do. */
int images_resolve(struct images *im, struct arena *a, const char *reference, struct image *ret,
                   struct error **err);

/* A descriptor that becomes readable when the user's file or a program on the engine path may have
 * changed; read it empty. -1 when there is nothing to watch. The caller closes it. */
int images_watch(const struct images *im);

/* The last element of the repository name: "registry:5000/a/b:tag" → "b". */
char *image_name(struct arena *a, const char *reference);
