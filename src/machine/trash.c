#include "machine/trash.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define PREFIX ".gone-"

struct trash {
    char *dir;
    struct controller *controller;
};

static int reconcile(void *ctx, const char *key, struct arena *a, struct reconcile_result *ret,
                     struct error **err)
{
    struct trash *t = ctx;
    return file_remove_tree(arena_printf(a, "%s/%s", t->dir, key), err);
}

struct trash *trash_new(const char *dir, struct clock *clock, struct controller **ret_controller)
{
    struct trash *t = NEW0(struct trash);
    t->dir = mem_strdup(dir);
    t->controller = controller_new(&(struct controller_options){
        .name = "pod-cleanup", .workers = 1, .reconcile = reconcile, .ctx = t, .clock = clock });
    *ret_controller = t->controller;
    return t;
}

void trash_free(struct trash *t)
{
    if (!t)
        return;
    free(t->dir);
    free(t);
}

void trash_put(struct trash *t, const char *name)
{
    AUTO_ARENA a = arena_new();
    const char *key = arena_printf(a, PREFIX "%s", name);
    const char *from = arena_printf(a, "%s/%s", t->dir, name);
    if (rename(from, arena_printf(a, "%s/%s", t->dir, key)) == 0)
        workqueue_add(controller_queue(t->controller), key);
    else if (errno != ENOENT)
        workqueue_add(controller_queue(t->controller), name); /* as it is */
}

void trash_recover(struct trash *t)
{
    DIR *d = opendir(t->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (str_has_prefix(e->d_name, PREFIX))
            workqueue_add(controller_queue(t->controller), e->d_name);
    if (d)
        closedir(d);
}
