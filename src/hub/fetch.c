#include "hub/fetch.h"

#include "base/clock.h"
#include "base/str.h"

#define ATTEMPTS 3
#define RETRY_DELAY_MS 500
#define MAX_PAGES 200
#define MAX_CONFIG (4 * MIB)
#define MAX_PAGE (16 * MIB)
#define MAX_INDEX (64 * MIB)

static int refuse(struct error **err, int r, const char *reason)
{
    if (r < 0 && err && *err)
        error_set_reason(*err, reason);
    return r;
}

static const char *revision_of(const struct hub_fetch *f)
{
    return f->revision ? f->revision : "main";
}

/* ---- one request ---------------------------------------------------------------------------------------------- */

static int64_t left_ms(const struct hub_fetch *f)
{
    return (f->deadline_ns - clock_mono(clock_system())) / NS_PER_MS;
}

static bool is_passing(int r, int status)
{
    if (r < 0)
        return r == -ERROR_UNAVAILABLE || r == -ERROR_TIMEOUT;
    return status == 408 || status == 429 || status >= 500;
}

/* How long the server asked to wait, else longer with each try. */
static int64_t delay_ms(const struct http_response *response, unsigned attempt)
{
    int64_t seconds = 0;
    const char *text = http_response_header(response, "retry-after");
    if (text && str_to_int64(text, &seconds) == 0 && seconds >= 0 && seconds < 3600)
        return MAX(seconds * 1000, (int64_t)RETRY_DELAY_MS);
    return (int64_t)RETRY_DELAY_MS << attempt;
}

static int call_once(const struct hub_fetch *f, struct arena *a, const char *url, size_t max,
                     struct http_response *ret, struct error **err)
{
    int64_t left = left_ms(f);
    if (left <= 0)
        return error_set(err, ERROR_TIMEOUT, "no time is left");
    struct http_header header = { "Authorization", arena_printf(a, "Bearer %s", f->token) };
    struct http_request request = {
        .url = url,
        .headers = &header,
        .header_count = str_empty(f->token) ? 0 : 1,
        .timeout_ms = MIN(left, f->call_timeout_ms),
        .max_response = max,
        .proxy = f->proxy,
        .follow_redirects = true,
    };
    return http_call(f->client, &request, ret, err);
}

static int give_up(const struct hub_fetch *f, int r, int status, struct error **err)
{
    if (r == 0)
        r = error_set(err, ERROR_UNAVAILABLE, "status %d", status);
    return refuse(err, error_prefix(err, r, "%s cannot be asked for %s", f->endpoint, f->id),
                  "HubUnavailable");
}

/* Any status below 500 but 408 and 429 is a success of this call. */
static int get(const struct hub_fetch *f, struct arena *a, const char *url, size_t max,
               struct http_response *ret, struct error **err)
{
    for (unsigned attempt = 0;; attempt++) {
        struct http_response response = HTTP_RESPONSE_INIT;
        CLEANUP(error_cleanup) struct error *failure = NULL;
        int r = call_once(f, a, url, max, &response, &failure);
        if (!is_passing(r, response.status)) {
            if (r == 0) {
                *ret = response;
                return 0;
            }
            http_response_done(&response);
            if (err)
                *err = TAKE_PTR(failure);
            return r == -ERROR_TOO_LARGE ? refuse(err, r, "ModelUnsupported")
                                         : give_up(f, r, 0, err);
        }
        int status = response.status;
        int64_t wait = delay_ms(&response, attempt);
        http_response_done(&response);
        if (attempt + 1 >= ATTEMPTS || wait >= left_ms(f) || !f->pause(f->ctx, wait)) {
            if (err)
                *err = TAKE_PTR(failure);
            return give_up(f, r, status, err);
        }
    }
}

static int denied(const struct hub_fetch *f, int status, struct error **err)
{
    int r;
    if (str_empty(f->token))
        r = error_set(err, ERROR_FORBIDDEN,
                      "%s needs a token, or does not exist (status %d); name a Secret with the key "
                      "HF_TOKEN in inference.preset.presetOptions.modelAccessSecret",
                      f->id, status);
    else
        r = error_set(
            err, ERROR_FORBIDDEN,
            "the token may not read %s (status %d); accept the model's terms at %s/%s with "
            "the account of the Secret's HF_TOKEN, or name another Secret in "
            "inference.preset.presetOptions.modelAccessSecret",
            f->id, status, f->endpoint, f->id);
    return refuse(err, r, "ModelAccessDenied");
}

static int check_status(const struct hub_fetch *f, int status, const char *what, struct error **err)
{
    if (status == 200)
        return 0;
    if (status == 401 || status == 403)
        return denied(f, status, err);
    if (status == 404 || status == 410)
        return refuse(err,
                      error_set(err, ERROR_NOT_FOUND, "%s has no %s at revision %s (%s)", f->id,
                                what, revision_of(f), f->endpoint),
                      "ModelNotFound");
    return give_up(f, 0, status, err);
}

/* ---- the list of files ---------------------------------------------------------------------------------------- */

/* The query of the next page. The rest of the link is not used: the token goes to the endpoint that
 * was configured and to no other. */
static const char *next_query(struct arena *a, const struct http_response *response)
{
    const char *link = http_response_header(response, "link");
    const char *rel = link ? strstr(link, "rel=\"next\"") : NULL;
    if (!rel)
        return NULL;
    const char *start = NULL;
    for (const char *s = link; s < rel; s++)
        if (*s == '<')
            start = s + 1;
    const char *end = start ? strchr(start, '>') : NULL;
    const char *query = start ? strchr(start, '?') : NULL;
    return query && end && query < end ? arena_strndup(a, query, (size_t)(end - query)) : NULL;
}

static int read_page(const struct hub_fetch *f, struct arena *a, const char *url,
                     struct hub_list *list, const char **ret_next, struct error **err)
{
    struct http_response response = HTTP_RESPONSE_INIT;
    int r = get(f, a, url, MAX_PAGE, &response, err);
    if (r < 0)
        return r;
    r = check_status(f, response.status, "files", err);
    if (r == 0)
        r = refuse(err, hub_list_add(a, list, response.body.data, response.body.len, err),
                   "ModelUnsupported");
    *ret_next = next_query(a, &response);
    http_response_done(&response);
    return r;
}

static int read_list(const struct hub_fetch *f, struct arena *a, struct hub_list *list,
                     struct error **err)
{
    const char *base =
        arena_printf(a, "%s/api/models/%s/tree/%s", f->endpoint, f->id, revision_of(f));
    const char *query = "?recursive=true";
    for (unsigned page = 0; query; page++) {
        if (page == MAX_PAGES)
            return refuse(err,
                          error_set(err, ERROR_TOO_LARGE,
                                    "the list of its files has more than %d pages", MAX_PAGES),
                          "ModelUnsupported");
        int r = read_page(f, a, arena_printf(a, "%s%s", base, query), list, &query, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- its files ------------------------------------------------------------------------------------------------ */

static int read_file(const struct hub_fetch *f, struct arena *a, const char *name, size_t max,
                     struct http_response *ret, struct error **err)
{
    const char *url =
        arena_printf(a, "%s/%s/resolve/%s/%s", f->endpoint, f->id, revision_of(f), name);
    int r = get(f, a, url, max, ret, err);
    if (r == 0)
        r = check_status(f, ret->status, name, err);
    return r;
}

static int read_weights(const struct hub_fetch *f, struct arena *a, const struct hub_list *list,
                        struct hub_weights *ret, struct error **err)
{
    int r = hub_list_weights(list, ret, err);
    if (r < 0 || !ret->index)
        return refuse(err, r, "ModelUnsupported");
    struct http_response response = HTTP_RESPONSE_INIT;
    r = read_file(f, a, ret->index, MAX_INDEX, &response, err);
    if (r == 0) {
        r = hub_index_bytes(list, response.body.data, response.body.len, &ret->bytes, err);
        refuse(err, error_prefix(err, r, "%s", ret->index), "ModelUnsupported");
    }
    http_response_done(&response);
    return r;
}

/* Repositories in Mistral's format may have its params.json alone. */
static const char *config_name(const struct hub_list *list, enum hub_format format)
{
    bool other = format == HUB_MISTRAL && !hub_list_find(list, "config.json") &&
                 hub_list_find(list, "params.json");
    return other ? "params.json" : "config.json";
}

static int read_config(const struct hub_fetch *f, struct arena *a, const char *name,
                       struct json **ret, struct error **err)
{
    struct http_response response = HTTP_RESPONSE_INIT;
    int r = read_file(f, a, name, MAX_CONFIG, &response, err);
    if (r == -ERROR_NOT_FOUND)
        refuse(err, r, "ModelUnsupported"); /* the repository itself is there */
    if (r == 0) {
        r = hub_config_parse(a, response.body.data, response.body.len, ret, err);
        refuse(err, error_prefix(err, r, "%s", name), "ModelUnsupported");
    }
    http_response_done(&response);
    return r;
}

int hub_fetch_preset(const struct hub_fetch *f, struct arena *a, struct preset **ret,
                     struct error **err)
{
    AUTO_ARENA work = arena_new();
    struct hub_list list = HUB_LIST_INIT;
    struct hub_model model = { .id = arena_strdup(a, f->id),
                               .revision = arena_strdup(a, f->revision) };
    struct json *config = NULL;
    int r = read_list(f, work, &list, err);
    if (r == 0)
        r = read_weights(f, work, &list, &model.weights, err);
    if (r == 0)
        r = read_config(f, work, config_name(&list, model.weights.format), &config, err);
    if (r == 0) {
        model.config = config;
        r = refuse(err, hub_make_preset(a, f->rules, f->catalog, &model, ret, err),
                   "ModelUnsupported");
    }
    if (r < 0 && !str_has_prefix(error_message(err ? *err : NULL), f->endpoint))
        error_prefix(err, r, "model %s", f->id);
    return r;
}
