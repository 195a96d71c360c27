/* A keyed hash of byte strings. The key is drawn once per process, so that keys chosen by an
 * outsider (labels, JSON members) cannot be made to collide. Values differ from run to run: never
 * store them. */
#pragma once

#include "base/macros.h"

uint64_t hash_bytes(const void *data, size_t len);
