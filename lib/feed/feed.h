/* Watches kinds at the API and keeps a store equal to it: list, watch, decode, put.
 *
 * An outage keeps the last state. An object that does not decode is logged with kind, key, field
 * path and reason, counted (canal_objects_rejected_total{kind}), and its last good version, if any,
 * stays; it is asked for again with backoff. A complete re-list removes what vanished; a failed one
 * removes nothing, and one older than what we have is refused. in_sync is called once, when every
 * kind has had its first complete list; nothing may be written before. A kind the API does not
 * serve (404) counts as empty at the start and is tried again; once it had objects, a 404 changes
 * nothing, because API servers answer it while they start. */
#pragma once

#include "lib/kube/kube.h"
#include "lib/model/store.h"

struct feed;
struct metrics;

struct feed_spec {
    enum kind kind;
    const char *field_selector; /* NULL or e.g. "spec.nodeName=n1" */
};

/* Borrows kube and store until the feed is gone; copies the specs. */
struct feed *feed_new(struct kube *kube, struct store *store, const struct feed_spec *specs,
                      size_t n_specs, void (*in_sync)(void *owner), void *owner);
void feed_start(struct feed *feed);
bool feed_is_in_sync(const struct feed *feed);
/* Which kinds are not in sync, why as far as is known, and what to do about it, for people; "" when
 * in sync. Borrowed until the next call. */
const char *feed_waits_for(struct feed *feed);
/* Every change up to this resourceVersion is in the store: the smallest of all kinds', so on a
 * quiet cluster it moves with the API's bookmarks (once a minute). 0: not known, a list is under
 * way. */
uint64_t feed_version(const struct feed *feed);
/* Milliseconds since the API last answered, UINT64_MAX when never: for health and logs. */
uint64_t feed_silent_ms(const struct feed *feed);
/* Defines and keeps the feed's metrics there; call before feed_start(). */
void feed_set_metrics(struct feed *feed, struct metrics *metrics);
/* Stops all watches; the loop must turn until it returns from uv_run, before kube_free(). */
void feed_free(struct feed *feed);
