/* A selector that parses is written and read again the same; it matches labels and cached objects
 * alike; names are judged. */
#include "fuzz.h"
#include "kube/object.h"
#include "kube/selector.h"
#include "json/build.h"

static void round_trip(struct arena *a, const char *text,
                       int (*parse)(const char *, struct selector **, struct error **))
{
    CLEANUP(selector_cleanup) struct selector *s = NULL, *again = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (parse(text, &s, &err) < 0) {
        must(*error_message(err));
        return;
    }
    /* Fields keep the order of the terms as they were written, so their text settles in the second
     * round. */
    const char *written = selector_text(a, s);
    must(parse(written, &again, NULL) == 0);
    must(parse == selector_parse_fields || strcmp(selector_text(a, again), written) == 0);
    must(strlen(selector_text(a, again)) == strlen(written));
    must(selector_count(again) == selector_count(s));

    struct json *obj =
        OBJ("metadata", OBJ("name", STR("x"), "labels", OBJ("a", STR("b"), "n", STR("5"))), "b",
            BOOL(true));
    CLEANUP(kube_object_cleanup) struct kube_object *o = kube_object_new(obj);
    const struct json *labels = json_find(obj, "metadata", "labels");
    must(selector_matches_labels(s, labels) == selector_matches_labels(again, labels));
    must(selector_matches_labels(s, labels) == selector_matches_object(s, o));
    must(selector_matches_fields(s, obj) == selector_matches_fields(again, obj));
    must(!selector_empty(s) || selector_matches_labels(s, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new();
    const char *text = arena_strndup(a, (const char *)data, size);
    round_trip(a, text, selector_parse_labels);
    round_trip(a, text, selector_parse_fields);

    CLEANUP(error_cleanup) struct error *err = NULL;
    bool label = kube_validate_dns1123_label(text, NULL) == 0;
    bool subdomain = kube_validate_dns1123_subdomain(text, NULL) == 0;
    bool value = kube_validate_label_value(text, &err) == 0;
    must(!label || subdomain);
    must(!label || value);
    must(kube_validate_dns1035_label(text, NULL) < 0 || label);
    must(value == !err);
    kube_validate_label_key(text, NULL);

    struct json *object = NULL;
    CLEANUP(selector_cleanup) struct selector *s = NULL;
    if (json_parse(a, text, strlen(text), &object, NULL) == 0 &&
        selector_from_object(object, &s, NULL) == 0)
        selector_text(a, s);
    return 0;
}
