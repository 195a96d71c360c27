#include "serve/serve.h"

#include "base/str.h"
#include "yaml/yaml.h"

int serve_config_section(struct arena *a, const char *text, size_t len, const char *name,
                         struct json **ret, struct error **err)
{
    *ret = NULL;
    if (!text)
        return 0;
    struct json *config = NULL;
    int r = yaml_parse(a, text, len, &config, err);
    if (r < 0)
        return r;
    struct json *section = json_get(config, name);
    if (!section || json_is_null(section))
        return 0;
    if (!json_is_object(section))
        return error_set(err, ERROR_INVALID, "\"%s\" is of type %s; it must be a map of options",
                         name, json_type_name(json_type(section)));
    JSON_FOREACH(it, section) {
        if (json_is_object(it.value) || json_is_array(it.value))
            return error_set(err, ERROR_INVALID,
                             "\"%s.%s\" is of type %s; options are single values", name, it.key,
                             json_type_name(json_type(it.value)));
    }
    *ret = section;
    return 0;
}
