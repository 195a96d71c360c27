#pragma once

#include "apiserver/kinds/rules.h"

/* The spec of a PersistentVolumeClaim, also inside of claim templates. */
void pvc_validate_spec(const struct json *spec, const struct field_path *p,
                       struct field_errors *errors);
/* path: where its resources stand. */
void pvc_warn_spec(const struct json *spec, const char *path, struct json *warnings,
                   struct arena *a);
/* Access modes, of claims and of volumes. */
void pvc_validate_access(const struct json *modes, const struct field_path *p,
                         struct field_errors *errors);
/* "RWO,RWX" */
struct json *pvc_access_cell(struct arena *a, const struct json *modes);
