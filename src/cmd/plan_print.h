/* A plan for people and for programs. */
#pragma once

#include "cmd/plan_world.h"

/* Each Workspace with its nodes, whether its model fits and why, and what is made for it. */
void plan_print_text(struct arena *a, const struct plan *p);
/* {"refused": […], "workspaces": […], "objects": […], "warnings": […]} */
struct json *plan_json(struct arena *a, const struct plan *p);
/* What would be created, as it could be applied: without what only a server fills in. */
struct json *plan_objects(struct arena *a, const struct plan *p);
/* Whether something of it is refused, or can never run as it is. */
bool plan_fails(const struct plan *p);
