/* The embedded API server and nothing else, until SIGTERM: serve DATA_DIR PORT */
#include <signal.h>
#include <stdio.h>

#include "apiserver/apiserver.h"
#include "base/log.h"
#include "base/str.h"

/* The network that the real API server of the comparison allocates from, so that errors name the
 * same one. */
#define SERVICE_CIDR "10.97.0.0/16"

static int serve(const char *data_dir, uint16_t port, const sigset_t *until, struct error **err)
{
    struct apiserver *server = NULL;
    int r = apiserver_new(&(struct apiserver_options){ .data_dir = data_dir,
                                                       .service_cidr = SERVICE_CIDR,
                                                       .service_address = "127.0.0.1",
                                                       .service_port = port },
                          &server, err);
    if (r < 0)
        return r;
    struct apiserver_front *front = NULL;
    r = apiserver_front_start(server,
                              &(struct apiserver_front_options){ .address = "127.0.0.1",
                                                                 .port = port },
                              &front, err);
    if (r == 0) {
        int signal_number = 0;
        sigwait(until, &signal_number);
        apiserver_front_stop(front);
    }
    apiserver_free(server);
    return r;
}

int main(int argc, char **argv)
{
    int64_t port = 0;
    if (argc != 3 || str_to_int64(argv[2], &port) < 0) {
        fputs("usage: serve DATA_DIR PORT\n", stderr);
        return 2;
    }
    sigset_t until;
    sigemptyset(&until);
    sigaddset(&until, SIGTERM);
    sigaddset(&until, SIGINT);
    sigprocmask(SIG_BLOCK, &until, NULL); /* before any thread: they all inherit it */
    log_setup(LOG_INFO, LOG_TEXT);
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (serve(argv[1], (uint16_t)port, &until, &err) < 0) {
        fprintf(stderr, "serve: %s\n", error_message(err));
        return 1;
    }
    return 0;
}
