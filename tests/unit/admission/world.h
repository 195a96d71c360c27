/* What the tests of this folder share: reviews of objects in a world of objects. */
#pragma once

#include "unit.h"

#include "admission/admission.h"
#include "json/build.h"

/* {"cloud", "provisioner", "nodeClasses", "gates", "releaseNamespace"} over what an operator on
 * Azure has. The cloud "unset" is none. */
void settings_of(struct arena *a, const struct json *config, struct operator_settings *ret);

/* Catalogue and types are made once and freed when the process ends. */
void review_with(struct arena *a, const struct operator_settings *settings,
                 const struct json *objects, const struct admission_request *q,
                 struct admission_verdict *ret);

/* YAML of one object, which may be in flow style. */
struct json *object_of(struct arena *a, const char *yaml);

/* All lines of a file of this folder. */
struct json *lines_of(struct arena *a, const char *file);
