/* What the Gateway API inference extension needs for one name: an OCIRepository and a HelmRelease
 * of Flux, which install an inference pool and the endpoint picker in front of it. Pure. */
#pragma once

#include "kube/controller.h"
#include "operator/decision.h"
#include "operator/settings.h"

struct pool_wanted {
    const struct json *owner;
    const struct kube_resource *owner_resource;
    const char *interval; /* of Flux: "0s", "10m0s" */
    struct json *labels;  /* of the pods that serve, as an object */
    struct json *flags;   /* of the endpoint picker; NULL: none */
    const char *plugins;  /* its configuration; NULL: its own */
};

struct pool_observed {
    bool served; /* Flux is installed */
    const struct json *repository;
    const struct json *release;
};

struct pool_caches {
    struct informer *repositories, *releases;
};

/* Optional informers: Flux may be installed later, or go. */
struct pool_caches pool_informers(struct manager *m);
/* NAME-inferencepool, of the owner's namespace. */
const char *pool_name(struct arena *a, const char *owner);
void pool_observe(struct arena *a, const struct pool_caches *caches, const char *ns,
                  const char *owner, struct pool_observed *ret);

/* The writes that make the two what they should be. *ret_problem: what keeps the pool from being
 * ready, in words; NULL: nothing. */
void pool_decide(struct arena *a, struct decision *d, const struct pool_wanted *w,
                 const struct pool_observed *o, const char **ret_problem);
