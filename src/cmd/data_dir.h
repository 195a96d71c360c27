/* Where one box keeps its data. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/* $KAITO_DATA_DIR; else /var/lib/kaito for root; else $XDG_DATA_HOME/kaito or ~/.local/share/kaito.
 */
const char *data_dir_default(struct arena *a);
/* Makes *path absolute: pods are started from other directories. */
int data_dir_absolute(struct arena *a, const char **path, struct error **err);
