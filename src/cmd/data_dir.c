#include "cmd/data_dir.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"

const char *data_dir_default(struct arena *a)
{
    const char *given = getenv("KAITO_DATA_DIR");
    if (!str_empty(given))
        return arena_strdup(a, given);
    if (geteuid() == 0)
        return "/var/lib/kaito";
    const char *xdg = getenv("XDG_DATA_HOME");
    if (!str_empty(xdg))
        return arena_printf(a, "%s/kaito", xdg);
    const char *home = getenv("HOME");
    return arena_printf(a, "%s/.local/share/kaito", str_empty(home) ? "." : home);
}

int data_dir_absolute(struct arena *a, const char **path, struct error **err)
{
    if ((*path)[0] == '/')
        return 0;
    if (str_empty(*path))
        return error_set(err, ERROR_INVALID, "--data-dir is empty; name a directory");
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof(cwd)))
        return error_set_errno(err, errno, "cannot find the current directory");
    *path = arena_printf(a, "%s/%s", cwd, *path);
    return 0;
}
