/* Starting containers: image, volumes, environment, shim; and watching them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "machine/kubelet_internal.h"
#include "machine/logs.h"
#include "json/build.h"

#define IMAGE_FIRST_MS 10000
#define IMAGE_MAX_MS 60000 /* programs are put where they belong faster than images */
#define CONFIG_FIRST_MS 1000
#define CONFIG_MAX_MS 30000
#define VOLUMES_FIRST_MS 500
#define VOLUMES_MAX_MS 30000
/* As much of a failed container's last words as goes into its status, as the kubelet has it. */
#define MESSAGE_MAX_BYTES 2048
#define MESSAGE_MAX_LINES 80

/* ---- events about the pod ------------------------------------------------------------------------------------------ */

#define EVENT(p, pod, type, reason, ...)                                                           \
    event_record((p)->k->o.events, (pod), (type), (reason), __VA_ARGS__)

static void fail_event(struct pod *p, const struct json *pod, const char *text)
{
    EVENT(p, pod, "Warning", "Failed", "Error: %s", text);
}

/* ---- watching ------------------------------------------------------------------------------------------------------ */

/* What the container said last, for the status: when its policy asks for it and it failed. */
static char *last_words(struct arena *a, const struct pod *p, const struct json *spec,
                        const char *dir, int exit_code)
{
    if (exit_code == 0 ||
        !str_eq(json_find_str(spec, "terminationMessagePolicy"), "FallbackToLogsOnError"))
        return NULL;
    return log_tail(a, dir, MESSAGE_MAX_LINES, MESSAGE_MAX_BYTES);
}

void pod_collect_process(struct pod *p, size_t index)
{
    AUTO_ARENA a = arena_new();
    struct pod_process *pp = &p->processes[index];
    struct container *c = &p->containers[index];
    const char *dir = pod_container_dir(a, p, index, c->attempt);
    loop_remove(p->k->loop, &pp->started);
    loop_remove(p->k->loop, &pp->ended);
    pod_cancel_probes(p, index);
    container_release(&pp->process);
    struct container_state s;
    container_collect(a, dir, kubelet_wall(p->k), &s);
    struct json *pod = pod_json(a, p);
    if (s.error)
        fail_event(p, pod, s.error);
    else
        s.error = last_words(a, p, pod_container_spec(pod, c), dir, s.exit_code);
    bool start_error = s.pid == 0 && !s.lost;
    pod_take_end(a, p, index, &s);
    c->end.start_error = c->end.set && start_error;
    struct pod_view view = {
        .pod = pod, .containers = p->containers, .count = p->count, .gone = p->gone
    };
    if (container_will_restart(&view, c) && container_backoff_end(c) > kubelet_mono(p->k))
        EVENT(p, pod, "Warning", "BackOff",
              "Back-off restarting failed container %s in pod %s_%s(%s)", c->name, p->name, p->ns,
              p->uid);
    pod_mark(p);
}

static void on_ended(struct loop_source *source, uint32_t events)
{
    struct pod_process *pp = LOOP_OWNER(source, struct pod_process, ended);
    pod_collect_process(pp->pod, pp->index);
}

static void on_started(struct loop_source *source, uint32_t events)
{
    struct pod_process *pp = LOOP_OWNER(source, struct pod_process, started);
    AUTO_ARENA a = arena_new();
    struct pod *p = pp->pod;
    struct container *c = &p->containers[pp->index];
    loop_remove(p->k->loop, source);
    close(pp->process.started_fd);
    pp->process.started_fd = -1;
    struct container_state s;
    if (container_state_read(a, pod_container_dir(a, p, pp->index, c->attempt), &s, NULL) < 0 ||
        s.pid == 0)
        return; /* it could not: the shim ends, and that tells the rest */
    container_set_running(c, s.started_ns, kubelet_mono(p->k));
    EVENT(p, pod_json(a, p), "Normal", "Started", "Started container %s", c->name);
    pod_mark(p);
}

void pod_watch_process(struct pod *p, size_t index)
{
    struct pod_process *pp = &p->processes[index];
    CLEANUP(error_cleanup) struct error *err = NULL;
    pp->ended.on_event = on_ended;
    pp->started.on_event = on_started;
    int r = loop_add(p->k->loop, &pp->ended, pp->process.pidfd, EPOLLIN, &err);
    if (r == 0 && pp->process.started_fd >= 0)
        r = loop_add(p->k->loop, &pp->started, pp->process.started_fd, EPOLLIN, &err);
    if (r < 0)
        log_error("cannot watch a container", "pod", p->name, "error", error_message(err), NULL);
}

/* ---- volumes ------------------------------------------------------------------------------------------------------- */

static void set_volumes_error(struct pod *p, const char *text)
{
    free(p->volumes_error);
    p->volumes_error = mem_strdup(text);
}

static bool prepare_volumes(struct pod *p, const struct pod_context *x, struct arena *a,
                            const struct json *pod)
{
    if (p->volumes_ready)
        return true;
    int64_t now = kubelet_mono(p->k);
    if (now < p->volumes_retry) {
        p->wake_at = MIN(p->wake_at, p->volumes_retry);
        return false;
    }
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (volumes_setup(a, x, &err) == 0) {
        p->volumes_ready = true;
        p->volumes_failures = 0;
        set_volumes_error(p, NULL);
        return true;
    }
    if (!str_eq(p->volumes_error, error_message(err)))
        EVENT(p, pod, "Warning", "FailedMount", "%s", error_message(err));
    set_volumes_error(p, error_message(err));
    int64_t delay = VOLUMES_FIRST_MS;
    for (unsigned i = 0; i < p->volumes_failures && delay < VOLUMES_MAX_MS; i++)
        delay *= 2;
    p->volumes_failures++;
    p->volumes_retry = now + MIN(delay, (int64_t)VOLUMES_MAX_MS) * NS_PER_MS;
    p->wake_at = MIN(p->wake_at, p->volumes_retry);
    return false;
}

void pod_refresh_volumes(struct pod *p, struct arena *a, const struct json *pod)
{
    if (!p->volumes_ready) {
        p->volumes_retry = 0;
        return;
    }
    struct pod_context x;
    pod_context_init(&x, a, p, pod);
    CLEANUP(error_cleanup) struct error *err = NULL;
    /* A ConfigMap that is deleted while it is mounted leaves the files as they are. */
    if (volumes_setup(a, &x, &err) < 0 && error_code(err) != ERROR_NOT_FOUND)
        log_warn("cannot refresh volumes", "pod", p->name, "error", error_message(err), NULL);
}

/* ---- the program --------------------------------------------------------------------------------------------------- */

static const char *env_value(char *const *env, const char *name)
{
    size_t len = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    return NULL;
}

/* As the shell would find it, in the container's own PATH; as it is when it cannot be found: the
 * error names it. */
static const char *find_program(struct arena *a, const char *name, char *const *env,
                                const char *cwd)
{
    if (name[0] == '/')
        return name;
    if (strchr(name, '/'))
        return arena_printf(a, "%s/%s", cwd, name);
    const char *path = env_value(env, "PATH");
    char **dirs = str_split(a, path ? path : "", ':', NULL);
    for (size_t i = 0; dirs[i]; i++) {
        const char *candidate = arena_printf(a, "%s/%s", dirs[i], name);
        if (dirs[i][0] == '/' && access(candidate, X_OK) == 0)
            return candidate;
    }
    return NULL;
}

/* What the image runs when the container names nothing, and the container's args behind it. */
static char **whole_command(struct arena *a, const struct image *image,
                            const struct env_result *env)
{
    if (env->has_command || !image->command)
        return env->argv;
    size_t n = 0;
    size_t args = 0;
    while (image->command[n])
        n++;
    while (env->argv[args])
        args++;
    char **argv = arena_zalloc(a, (n + args + 1) * sizeof(*argv));
    memcpy(argv, image->command, n * sizeof(*argv));
    memcpy(argv + n, env->argv, args * sizeof(*argv));
    return argv;
}

struct launch_plan {
    const char *cwd;
    const char *path;
    char **argv;
    char **env;
};

static int plan_launch(struct arena *a, struct pod *p, const struct pod_context *x,
                       const struct json *spec, const struct image *image, const char *dir,
                       struct launch_plan *ret, struct error **err)
{
    struct mount *mounts = NULL;
    size_t n = 0;
    int r = volumes_mounts(a, x, spec, &mounts, &n, err);
    if (r < 0)
        return r;
    struct env_request request = {
        .pod = x,
        .container = spec,
        .image_env = image->env,
        .path = image->path,
        .mounts = mounts,
        .mount_count = n,
    };
    struct env_result env;
    r = env_build(a, &request, &env, err);
    if (r < 0)
        return r;
    const char *cwd = json_find_str(spec, "workingDir");
    *ret = (struct launch_plan){
        .cwd =
            str_empty(cwd) ? arena_printf(a, "%s/work", dir) : volumes_translate(a, mounts, n, cwd),
        .argv = whole_command(a, image, &env),
        .env = env.env,
    };
    if (!ret->argv[0])
        return error_set(err, ERROR_INVALID, "no command specified");
    ret->path = find_program(a, ret->argv[0], ret->env, ret->cwd);
    return 0;
}

/* ---- start --------------------------------------------------------------------------------------------------------- */

static bool resolve_image(struct pod *p, struct arena *a, const struct json *pod,
                          const struct json *spec, struct container *c, struct image *ret)
{
    const char *reference = json_find_str(spec, "image");
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (images_resolve(p->k->o.images, a, reference ? reference : "", ret, &err) == 0) {
        free(c->image_id);
        c->image_id = mem_strdup(ret->id);
        EVENT(p, pod, "Normal", "Pulled", "Container image \"%s\" already present on machine",
              reference);
        return true;
    }
    EVENT(p, pod, "Warning", "Failed", "Failed to pull image \"%s\": %s",
          reference ? reference : "", error_message(err));
    fail_event(p, pod, "ErrImagePull");
    EVENT(p, pod, "Normal", "BackOff", "Back-off pulling image \"%s\"", reference ? reference : "");
    container_set_waiting(c, "ErrImagePull", error_message(err), IMAGE_FIRST_MS, IMAGE_MAX_MS,
                          kubelet_mono(p->k));
    return false;
}

/* It never ran: that is an end too, with the exit code of container runtimes. */
static void set_start_error(struct pod *p, struct container *c, const char *message)
{
    int64_t now = kubelet_wall(p->k);
    struct container_end end = {
        .exit_code = 128,
        .start_error = true,
        .message = mem_strdup(message),
        .started_ns = now,
        .finished_ns = now,
    };
    container_set_exited(c, &end, kubelet_mono(p->k));
}

/* Of earlier instances, only the one before stays: its log can be asked for. */
static void remove_old_attempt(struct arena *a, struct pod *p, size_t index)
{
    unsigned attempt = p->containers[index].attempt;
    if (attempt >= 2)
        file_remove_tree(pod_container_dir(a, p, index, attempt - 2), NULL);
}

static int launch(struct arena *a, struct pod *p, size_t index, const char *dir,
                  const struct launch_plan *plan, const struct json *pod, struct error **err)
{
    if (!plan->path)
        return error_set(err, ERROR_NOT_FOUND, "exec: \"%s\": executable file not found in $PATH",
                         plan->argv[0]);
    int r = file_mkdirs(arena_printf(a, "%s/work", dir), 0755, err);
    if (r < 0)
        return r;
    struct container_launch l = {
        .dir = dir,
        .path = plan->path,
        .argv = plan->argv,
        .env = plan->env,
        .cwd = plan->cwd,
        .grace_ms = pod_spec_grace_ms(pod),
    };
    return container_launch(p->k->o.shim_path, &l, &p->processes[index].process, err);
}

void pod_start_container(struct pod *p, struct arena *a, struct json *pod, size_t index)
{
    struct container *c = &p->containers[index];
    const struct json *spec = pod_container_spec(pod, c);
    struct pod_context x;
    pod_context_init(&x, a, p, pod);
    if (!spec || !prepare_volumes(p, &x, a, pod))
        return;
    struct image image;
    if (!resolve_image(p, a, pod, spec, c, &image))
        return;
    const char *dir = pod_container_dir(a, p, index, c->has_run ? c->attempt + 1 : c->attempt);
    struct launch_plan plan;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (plan_launch(a, p, &x, spec, &image, dir, &plan, &err) < 0) {
        fail_event(p, pod, error_message(err));
        container_set_waiting(c, "CreateContainerConfigError", error_message(err), CONFIG_FIRST_MS,
                              CONFIG_MAX_MS, kubelet_mono(p->k));
        return;
    }
    container_set_starting(c, kubelet_mono(p->k));
    EVENT(p, pod, "Normal", "Created", "Created container: %s", c->name);
    if (launch(a, p, index, dir, &plan, pod, &err) < 0) {
        fail_event(p, pod, error_message(err));
        set_start_error(p, c, error_message(err));
        return;
    }
    pod_watch_process(p, index);
    remove_old_attempt(a, p, index);
}

/* ---- probes -------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *field;
    const char *word;
} probe_names[PROBE_KIND_COUNT] = {
    { "startupProbe", "Startup" },
    { "livenessProbe", "Liveness" },
    { "readinessProbe", "Readiness" },
};

static void on_probe(void *ctx, bool success, const char *message)
{
    struct pod_probe *probe = ctx;
    struct pod_process *pp = probe->process;
    struct pod *p = pp->pod;
    pp->attempts[probe->kind] = NULL;
    if (!success) {
        AUTO_ARENA a = arena_new();
        EVENT(p, pod_json(a, p), "Warning", "Unhealthy", "%s probe failed: %s",
              probe_names[probe->kind].word, message);
    }
    struct container *c = &p->containers[pp->index];
    if (probe_outcome(c, probe->kind, success, kubelet_mono(p->k)) != PROBE_NOTHING)
        pod_mark(p);
}

/* The command of an exec probe sees what the container sees. */
static bool exec_of_probe(struct arena *a, struct pod *p, const struct json *pod,
                          const struct json *spec, size_t index, const struct json *probe,
                          struct probe_request *request)
{
    struct pod_context x;
    pod_context_init(&x, a, p, pod);
    struct image image;
    struct launch_plan plan;
    const char *dir = pod_container_dir(a, p, index, p->containers[index].attempt);
    struct json *as_container = json_clone(a, spec);
    json_set(a, as_container, "command", json_clone(a, json_find(probe, "exec", "command")));
    json_set(a, as_container, "args", NULL);
    if (images_resolve(p->k->o.images, a, json_find_str(spec, "image"), &image, NULL) < 0 ||
        plan_launch(a, p, &x, as_container, &image, dir, &plan, NULL) < 0)
        return false;
    size_t n = 0;
    while (plan.env[n])
        n++;
    char **env = arena_zalloc(a, (n + 2) * sizeof(*env));
    /* Not the container's own mark: what a probe leaves behind after a crash is a stray. */
    env[0] = arena_printf(a, CONTAINER_ENV "=%s/probe", dir);
    memcpy(env + 1, plan.env, n * sizeof(*env));
    if (plan.path)
        plan.argv[0] = arena_strdup(a, plan.path);
    request->argv = plan.argv;
    request->env = env;
    request->cwd = plan.cwd;
    return true;
}

void pod_start_probe(struct pod *p, struct arena *a, const struct json *pod, size_t index,
                     enum probe_kind kind)
{
    struct pod_process *pp = &p->processes[index];
    struct container *c = &p->containers[index];
    const struct json *spec = pod_container_spec(pod, c);
    const struct json *probe = json_get(spec, probe_names[kind].field);
    struct probe_request request = {
        .spec = probe,
        .container = spec,
        .host = p->ip,
        .timeout_ms = c->probes[kind].timeout_ms,
    };
    c->probes[kind].running = true;
    if (json_get(probe, "exec") && !exec_of_probe(a, p, pod, spec, index, probe, &request))
        on_probe(&pp->probes[kind], false, "the probe's command cannot be prepared");
    else
        probe_attempt_start(p->k->loop, &request, on_probe, &pp->probes[kind], &pp->attempts[kind]);
}

void pod_cancel_probes(struct pod *p, size_t index)
{
    struct pod_process *pp = &p->processes[index];
    for (int i = 0; i < PROBE_KIND_COUNT; i++) {
        if (pp->attempts[i])
            probe_attempt_cancel(pp->attempts[i]);
        pp->attempts[i] = NULL;
        p->containers[index].probes[i].running = false;
    }
}
