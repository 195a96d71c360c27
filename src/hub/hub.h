/* Models that the catalogue does not have, read from Hugging Face's API (or a mirror of it): what a
 * repository holds becomes a preset like those of the catalogue.
 *
 * Answers are kept, by repository, revision and token: what one token may see is not shown to who
 * has another. Several callers that want the same model share one look-up. A known model outlives
 * an outage of the hub. Thread-safe. */
#pragma once

#include "base/clock.h"
#include "catalog/catalog.h"

struct hub;

struct hub_options {
    const struct catalog *catalog; /* outlives the hub */
    const char *endpoint;          /* NULL: HF_ENDPOINT of the environment, else huggingface.co */
    const char *default_token;     /* for requests without one; NULL: HF_TOKEN of the environment */
    const char *proxy;             /* as of struct http_request */
    struct clock *clock;           /* tells how old an answer is; NULL: the system's */
    int64_t call_timeout_ms;       /* of one request to the hub; 0: 10 s */
    size_t max_models;             /* answers kept; 0: 256 */
};

int hub_new(const struct hub_options *options, struct hub **ret, struct error **err);
/* Ends look-ups that are under way (they fail with CANCELLED) as soon as their present request is
 * over, and waits for that. Nobody may call the hub any more. */
void hub_free(struct hub *h);
DEFINE_CLEANUP(struct hub *, hub_free, hub_cleanup)

struct hub_request {
    const char *id;       /* "org/model" */
    const char *revision; /* branch, tag or commit; NULL: main */
    const char *token;    /* NULL or "": the default one */
    int64_t timeout_ms;   /* of the whole look-up, waiting included; 0: 30 s */
};

/* Blocks until the answer is known: not for an event loop. *ret lives in `a`.
 * Errors have a reason that can stand in a condition:
 *   ModelNotFound      -ERROR_NOT_FOUND    no such repository or revision, or a name that none can
 * have ModelAccessDenied  -ERROR_FORBIDDEN    the token (or its absence) is refused; says what to
 * set ModelUnsupported   -ERROR_UNSUPPORTED  no weights, configuration or architecture for the
 * engine HubUnavailable     -ERROR_UNAVAILABLE, -ERROR_TIMEOUT, -ERROR_CANCELLED: try again later
 */
int hub_find(struct hub *h, const struct hub_request *q, struct arena *a, const struct preset **ret,
             struct error **err);

/* What is known without asking: as hub_find(), at once; *ret is NULL when nothing is known. An old
 * answer counts. */
int hub_peek(struct hub *h, const struct hub_request *q, struct arena *a, const struct preset **ret,
             struct error **err);

/* Can be a repository of the hub: two names of letters, digits, '.', '-' and '_'. */
bool hub_id_is_valid(const char *id);
