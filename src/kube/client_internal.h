/* For the files of this folder that make requests on a client's transport themselves. */
#pragma once

#include "kube/cancel.h"
#include "kube/client.h"

/* What kube_client_interrupt() sets. */
struct kube_cancel *kube_client_cancel(struct kube_client *c);
/* Of the calls from now on. Only while no other thread uses the client. */
void kube_client_set_timeout(struct kube_client *c, int64_t ms);
