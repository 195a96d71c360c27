/* Rules for values that several kinds have: names, ports, addresses, quantities. Each adds to
 * errors what is wrong. */
#pragma once

#include "schema/field.h"

/* Functions like those of kube/selector.h: one error that holds all texts, joined by "; ". */
int rule_config_key(const char *key, struct error **err);
int rule_env_name(const char *name, struct error **err);
int rule_port_name(const char *name, struct error **err);
int rule_http_header_name(const char *name, struct error **err);
int rule_percent(const char *text, struct error **err);

typedef int rule_text(const char *text, struct error **err);
void check_text(const char *text, rule_text *rule, const struct field_path *p,
                struct field_errors *errors);
/* All texts of the rule in one error, with commas between them, after `prefix`; for `shown` where
 * what is checked is not what the user wrote. */
void check_joined(const char *checked, const char *shown, const char *prefix, rule_text *rule,
                  const struct field_path *p, struct field_errors *errors);

bool is_one_of(const char *s, const char *const *known);
/* "" and NULL: Required; else one of known (NULL-terminated, shown in this order). */
void check_enum(const char *value, const char *const *known, const struct field_path *p,
                struct field_errors *errors);

void check_not_negative(const struct json *v, const struct field_path *p,
                        struct field_errors *errors);
void check_port_number(const struct json *v, const struct field_path *p,
                       struct field_errors *errors);
/* An int-or-string that names a port. */
void check_port(const struct json *v, const struct field_path *p, struct field_errors *errors);
void check_protocol(const char *protocol, const struct field_path *p, struct field_errors *errors);

/* A valid address; also for ones that others are to reach ("endpoint": not loopback, link-local …).
 */
void check_ip(const char *ip, const struct field_path *p, struct field_errors *errors);
void check_endpoint_ip(const char *ip, bool loopback_allowed, const struct field_path *p,
                       struct field_errors *errors);
bool is_ip(const char *s);
void check_cidr(const char *cidr, const struct field_path *p, struct field_errors *errors);

/* cpu, memory, storage, pods …: names of resources without a domain. */
bool is_standard_resource(const char *name);
/* A quantity that is not negative, and whole for resources that come in whole numbers. */
void check_resource_quantity(const char *resource, const char *quantity, const struct field_path *p,
                             struct field_errors *errors);
bool is_integer_resource(const char *name);
bool quantity_is_negative(const char *quantity);

/* "field is immutable" unless both are equal; absent, null and empty strings are the same. */
void check_immutable(const struct json *now, const struct json *old, const struct field_path *p,
                     struct field_errors *errors);
bool same_value(const struct json *x, const struct json *y);

/* "name is neither a standard finalizer name nor is it fully qualified" */
void check_finalizer_name(const char *name, const struct field_path *p,
                          struct field_errors *errors);
