/* One box: API server, node and controllers of one machine, put together and taken apart in order.
 */
#pragma once

#include "base/error.h"

struct onebox;

struct onebox_options {
    const char *data_dir;
    const char *address; /* of the API server; loopback */
    uint16_t port;
    const char *kubeconfig;  /* path to write; NULL: DATA_DIR/kubeconfig */
    const char *node_name;   /* NULL: the host's name */
    const char *models_dir;  /* NULL: DATA_DIR/models, or $KAITO_MODELS_DIR */
    const char *engine_path; /* NULL: beside the executable */
    const char *images_file; /* NULL: DATA_DIR/images.json when it is there */
};

/* Starts everything; when it returns 0, /readyz answers 200. On failure nothing is left running and
 * the data are intact. */
int onebox_start(const struct onebox_options *options, struct onebox **ret, struct error **err);
/* Ends every process and thread; pods run again at the next start. */
void onebox_stop(struct onebox *box, int64_t stop_grace_ms);

uint16_t onebox_port(const struct onebox *box);
const char *onebox_kubeconfig(const struct onebox *box);
