/* Watches kinds at the API and keeps a store equal to it: list, watch, decode, put.
 *
 * An outage keeps the last state. An object that does not decode is logged with kind, key, field
 * path and reason, counted (canal_objects_rejected_total{kind}), and its last good version, if any,
 * stays; it is asked for again with backoff. A re-list removes what vanished. in_sync is called
 * once, when every kind has had its first complete list; nothing may be written before. A kind the
 * API does not serve (404) counts as empty and is tried again. */
#pragma once

#include <uv.h>

#include "lib/kube/kube.h"
#include "lib/model/store.h"

struct feed;

struct feed_spec {
    enum kind kind;
    const char *field_selector; /* NULL or e.g. "spec.nodeName=n1" */
};

struct feed *feed_new(uv_loop_t *loop, struct kube *kube, struct store *store,
                      const struct feed_spec *specs, size_t n_specs, void (*in_sync)(void *owner),
                      void *owner);
void feed_start(struct feed *feed);
bool feed_is_in_sync(const struct feed *feed);
/* Milliseconds since the API last answered, UINT64_MAX when never: for health and logs. */
uint64_t feed_silent_ms(const struct feed *feed);
/* Stops all watches; the loop must turn until it returns from uv_run. */
void feed_free(struct feed *feed);
