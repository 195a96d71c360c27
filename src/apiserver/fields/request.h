/* Where writes and metadata.managedFields meet. */
#pragma once

#include "apiserver/request.h"

/* The object that is about to be created (old NULL) or to replace `old`, decoded and with its
 * defaults, gets the managers that it will have then. */
void fields_track(struct api_request *rq, struct json *obj, const struct json *old);

/* The same for what the server itself does to the status of an object while it is written. */
void fields_track_own(struct api_request *rq, struct json *obj, const struct json *old);

/* Server-side apply: *ret is the object with the patch applied and its managers, decoded. old NULL:
 * there is none. */
int fields_apply(struct api_request *rq, const struct json *patch, const struct json *old,
                 struct json **ret);

/* Where managers differ in their times only and nothing else does, the old times stay. */
void fields_keep_times(struct arena *a, struct json *obj, const struct json *old);

/* ---- the scale subresource, whose managers are those of the object that have its replicas ------------------------ */

/* managedFields of the Scale of an object. */
struct json *fields_of_scale(struct api_request *rq, const struct json *entries);
/* Those of the object once the Scale has `scale`. */
struct json *fields_from_scale(struct api_request *rq, const struct json *entries,
                               const struct json *scale);
