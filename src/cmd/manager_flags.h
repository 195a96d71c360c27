/* Flags and environment of `kaito manager`, under the names of KAITO v0.12's workspace executable.
 * Nothing here reads a file, a clock or the cluster. */
#pragma once

#include "base/flags.h"
#include "operator/settings.h"

/* As they were given. Strings live as long as argv. */
struct manager_flags {
    const char *kubeconfig, *context;
    double qps;
    int64_t burst;
    const char *metrics_address, *health_address;
    bool leader_elect;
    bool webhook;
    bool version;
    const char *feature_gates;
    const char *node_provisioner;
    const char *image_family;
    const char *node_class_group, *node_class_kind, *node_class_version, *node_class_resource;
    const char *node_classes; /* JSON text */
    const char *mirror_storage_class, *streaming_service_account;
    const char *mirror_cpu, *mirror_memory;
    const char *cloud, *registry; /* instead of the environment; "": the environment's */
    const char *estimator;
    const char *log_level, *log_format; /* ours */
    bool zap_devel;
    const char *zap_encoder, *zap_level, *zap_stacktrace, *zap_time;
    int64_t klog_v;
    /* Where klog would write its lines; ours go to stderr. */
    struct {
        bool flags[6];
        const char *texts[5];
        int64_t size;
    } ignored;
};

/* As when nothing is given. */
extern const struct manager_flags MANAGER_FLAGS_DEFAULT;

/* -ERROR_INVALID: the command line is wrong; -ERROR_CANCELLED: help was printed. Operands count as
 * wrong: Go would take "--webhook false" for a flag and an operand, and ignore all that follows. */
int manager_flags_parse(int argc, char **argv, struct manager_flags *ret, struct error **err);
extern const char manager_flags_usage[];

/* What they mean. */
struct manager_config {
    struct operator_settings settings;
    const char *log_level, *log_format; /* as in daemon.h */
    const char *webhook_service;        /* "": no webhook is served */
    uint16_t webhook_port;
    const char *webhook_namespace; /* of the Service and the Secret */
};

/* env: getenv() or a stand-in for tests. account_namespace: what the service account's file says,
 * "" when there is none. The result lives in the arena, argv and the environment. -ERROR_INVALID
 * names the flag or the variable, its value and the way out. */
int manager_config_make(struct arena *a, const struct manager_flags *f,
                        char *(*env)(const char *name), const char *account_namespace,
                        struct manager_config *ret, struct error **err);

/* Only what the controllers read of it. */
int manager_settings_make(struct arena *a, const struct manager_flags *f,
                          char *(*env)(const char *name), const char *account_namespace,
                          struct operator_settings *ret, struct error **err);
