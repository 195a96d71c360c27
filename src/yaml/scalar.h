/* What a plain scalar means: the one table that reading and writing share, so that what is written
 * reads back. */
#pragma once

#include "base/macros.h"

enum scalar_kind {
    SCALAR_STRING,
    SCALAR_NULL,
    SCALAR_BOOL,
    SCALAR_INT,
    SCALAR_FLOAT,
    SCALAR_NOT_FINITE, /* .inf, .nan: floats that JSON has no words for */
    SCALAR_AMBIGUOUS,  /* a string, where other readers of YAML see a date or a time; written in
                          quotes */
    SCALAR_MERGE,      /* << */
};

struct scalar {
    enum scalar_kind kind;
    bool boolean;
    int64_t integer;
    double number;
};

/* YAML 1.1 as Kubernetes' reader (go-yaml v2) knows it. An integer too large for int64 is a float;
 * one too large for uint64 or a float too large for a double is a string. */
struct scalar scalar_resolve(const char *s, size_t len);
