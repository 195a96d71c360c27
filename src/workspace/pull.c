#include "workspace/pull.h"

#include <ctype.h>
#include <string.h>

#include "base/embed.h"
#include "base/str.h"
#include "http/crypto.h"
#include "kube/selector.h"
#include "json/build.h"

EMBEDDED(pull_image);

#define PULLER_IMAGE "mcr.microsoft.com/aks/skopeo:1.14.4-6"
#define MAX_REFERENCE 512
#define MAX_NAME 63

/* ---- references ---------------------------------------------------------------------------------------------------- */

static int bad_reference(struct error **err, const char *text, const char *why)
{
    int r = error_set(err, ERROR_INVALID, "\"%.*s\" is no image reference: %s", MAX_REFERENCE, text,
                      why);
    if (err)
        error_set_reason(*err, "InvalidImage");
    return r;
}

static bool all_in(const char *s, const char *characters)
{
    return s[strspn(s, characters)] == '\0';
}

#define LOWER_DIGITS "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* "a/b-c/d__e": each part begins and ends with a letter or digit. */
static bool is_path(struct arena *a, const char *path)
{
    size_t n = 0;
    char **parts = str_split(a, path, '/', &n);
    for (size_t i = 0; i < n; i++) {
        const char *p = parts[i];
        size_t len = strlen(p);
        if (len == 0 || !all_in(p, LOWER_DIGITS "._-") || !isalnum((unsigned char)p[0]) ||
            !isalnum((unsigned char)p[len - 1]) || strstr(p, "..") || strstr(p, "___"))
            return false;
    }
    return true;
}

/* The first part is a registry when it could not be part of a path. */
static bool is_domain(const char *part)
{
    return strpbrk(part, ".:") || STREQ(part, "localhost") || strpbrk(part, UPPER);
}

static bool is_good_domain(const char *domain)
{
    size_t len = strcspn(domain, ":");
    bool bracket = domain[0] == '[';
    if (bracket)
        return strchr(domain, ']') && all_in(domain, "[]:0123456789abcdefABCDEF");
    return len > 0 && strspn(domain, LOWER_DIGITS UPPER ".-") == len &&
           (domain[len] == '\0' || (domain[len + 1] && all_in(domain + len + 1, "0123456789")));
}

static bool is_tag(const char *tag)
{
    return tag[0] && tag[0] != '.' && tag[0] != '-' && strlen(tag) <= 128 &&
           all_in(tag, LOWER_DIGITS UPPER "._-");
}

static bool is_digest(const char *digest)
{
    const char *hex = strchr(digest, ':');
    return hex && hex > digest && strlen(hex + 1) >= 32 && all_in(hex + 1, "0123456789abcdef");
}

int image_reference(struct arena *a, const char *text, const char **ret, struct error **err)
{
    if (!text[0] || strlen(text) > MAX_REFERENCE)
        return bad_reference(err, text, "it is empty or too long");
    char *name = arena_strdup(a, text);
    char *digest = strchr(name, '@');
    if (digest)
        *digest++ = '\0';
    char *slash = strrchr(name, '/');
    char *tag = strchr(slash ? slash : name, ':');
    if (tag)
        *tag++ = '\0';
    if (digest && !is_digest(digest))
        return bad_reference(err, text, "its digest is none");
    if (tag && !is_tag(tag))
        return bad_reference(err, text, "its tag is none");
    const char *domain = "docker.io";
    const char *path = name;
    char *first = strchr(name, '/');
    if (first) {
        *first = '\0';
        if (is_domain(name)) {
            domain = STREQ(name, "index.docker.io") ? "docker.io" : name;
            path = first + 1;
        } else {
            *first = '/';
        }
    }
    if (!is_good_domain(domain))
        return bad_reference(err, text, "its registry is no host name");
    if (!is_path(a, path))
        return bad_reference(err, text,
                             "a repository has lower-case letters, digits and - _ . only");
    bool official = STREQ(domain, "docker.io") && !strchr(path, '/');
    *ret =
        arena_printf(a, "%s/%s%s%s%s", domain, official ? "library/" : "", path, digest ? "@" : ":",
                     digest ? digest
                     : tag  ? tag
                            : "latest");
    return 0;
}

/* ---- names --------------------------------------------------------------------------------------------------------- */

char *pull_safe_name(struct arena *a, const char *prefix, const char *name, const char *suffix)
{
    char *plain = arena_printf(a, "%s%s%s", prefix, name, suffix);
    if (kube_validate_dns1123_label(plain, NULL) == 0)
        return plain;
    char hex[SHA256_HEX_SIZE];
    sha256_hex(name, strlen(name), hex);
    size_t fixed = strlen(prefix) + strlen(suffix) + 9;
    int room = fixed < MAX_NAME ? (int)(MAX_NAME - fixed) : 0;
    char *safe = arena_printf(a, "%s%.*s-%.8s%s", prefix, room, name, hex, suffix);
    for (char *p = safe; *p; p++)
        *p = isalnum((unsigned char)*p) ? (char)tolower((unsigned char)*p) : '-';
    return safe;
}

/* ---- pieces of pods ------------------------------------------------------------------------------------------------ */

static const char *secrets_name(struct arena *a, const char *name)
{
    return pull_safe_name(a, "docker-config-", name, "");
}

/* A Secret that is listed twice is one. */
static bool named_before(const struct json *names, size_t index)
{
    const char *name = json_string(json_at(names, index));
    for (size_t i = 0; i < index; i++)
        if (str_eq(json_string(json_at(names, i)), name))
            return true;
    return false;
}

/* clang-format off */
struct json *pull_secrets_volume(struct arena *a, const char *name, const struct json *secrets, bool always)
{
    if (json_size(secrets) == 0 && !always)
        return NULL;
    struct json *sources = EMPTY_ARR();
    JSON_FOREACH(it, secrets) {
        if (named_before(secrets, it.index))
            continue;
        struct json *item = OBJ("key", STR(".dockerconfigjson"),
                                "path", STRF("%s.json", str_or_empty(json_string(it.value))));
        json_append(sources, OBJ("secret", OBJ("name", json_clone(a, it.value), "items", ARR(item))));
    }
    return OBJ("name", STR(secrets_name(a, name)), "projected", OBJ("sources", sources));
}

struct json *pull_secrets_mount(struct arena *a, const char *name, const struct json *secrets, bool always)
{
    if (json_size(secrets) == 0 && !always)
        return NULL;
    return OBJ("name", STR(secrets_name(a, name)), "mountPath", STRF(PULL_SECRETS_DIR "/%s", pull_safe_name(a, "", name, "")));
}

struct json *pull_container(struct arena *a, const char *name, const char *image, const char *target,
                            struct json *mounts)
{
    const char *reference = NULL;
    if (image_reference(a, image, &reference, NULL) < 0)
        reference = image;
    return OBJ("name", STR(name),
               "image", STR(PULLER_IMAGE),
               "command", ARR(STR("/bin/sh"), STR("-c")),
               "args", ARR(STRF("#!/bin/sh\nimage=%s\ntarget=%s\n%s", str_shell_word(a, reference),
                                str_shell_word(a, target), data_pull_image)),
               "volumeMounts", mounts);
}
/* clang-format on */

void pull_append_secrets(struct arena *a, struct json *list, const struct json *names)
{
    JSON_FOREACH(it, names) {
        bool there = false;
        JSON_FOREACH(old, list)
            there |= str_eq(json_find_str(old.value, "name"), json_string(it.value));
        if (!there)
            json_append(list, OBJ("name", json_clone(a, it.value)));
    }
}
