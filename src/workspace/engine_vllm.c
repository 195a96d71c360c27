/* vLLM: what its Services look like. Its pods are not made by this version (see decide.c). */
#include "workspace/engine.h"

#include "json/build.h"

static struct json *port(struct arena *a, const char *name, int64_t number)
{
    return OBJ("name", STR(name), "protocol", STR("TCP"), "port", INT(number), "targetPort",
               INT(number));
}

static struct json *vllm_ports(struct arena *a, enum load_balancer lb)
{
    /* cache events are for routers inside the cluster, never for the outside */
    return ARR(engine_http_port(a), port(a, "ray", 6379), port(a, "dashboard", 8265),
               lb == LOAD_BALANCER_YES ? NULL : port(a, "kv-events", 5557));
}

static struct json *transformers_ports(struct arena *a, enum load_balancer lb)
{
    return ARR(engine_http_port(a), port(a, "ray", 6379), port(a, "dashboard", 8265));
}

const struct engine engine_vllm = {
    .name = "vllm",
    .format = WEIGHTS_SAFETENSORS,
    .service_ports = vllm_ports,
};

const struct engine engine_transformers = {
    .name = "transformers",
    .format = WEIGHTS_SAFETENSORS,
    .service_ports = transformers_ports,
};
