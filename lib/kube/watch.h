/* Follows one collection of the API: lists it in pages, then watches it, for ever. Says what it
 * sees as JSON text, one object a call, as the bytes arrive.
 *
 * What can go wrong and what happens then:
 *   connection lost, 429, 5xx, silence   the watch is resumed from the last resourceVersion, with
 *                                        backoff; Retry-After is honoured
 *   410 Gone, as status or ERROR event   a new list
 *   bytes that are no JSON, cut objects  that request ends there; a list begins anew, a watch
 *                                        resumes behind the last good event
 *   a list older than what we have       refused and asked for again (a replica that lags); after
 *                                        'distrust_ms' believed (etcd restored from a backup)
 *   an event older than what we have     dropped
 * Nothing is ever taken away but by a DELETED event or a complete list.
 *
 * resourceVersions: officially opaque for clients until Kubernetes 1.34; since KEP-5504 (1.35) they
 * are declared to be integers that can be compared within one resource. etcd's revision has been
 * behind them from the beginning. Versions that are no integers are passed through and not
 * compared. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/kube/kube.h"

struct kube_watch;

enum kube_verb {
    KUBE_ADDED,
    KUBE_MODIFIED,
    KUBE_DELETED
};

struct kube_watch_ops {
    /* A list begins. 'is_rollback': it is older than what we have, and is to be believed. A list
     * that fails is followed by another list_begin, without list_end. */
    void (*list_begin)(void *owner, bool is_rollback);
    /* False with err: this is no JSON; the list is given up, the watch resumed before it. */
    bool (*item)(void *owner, const char *json, size_t len, struct err *err);
    bool (*event)(void *owner, enum kube_verb verb, const char *json, size_t len, struct err *err);
    /* The list is complete: what it did not name is gone. */
    void (*list_end)(void *owner);
    /* The API does not serve this collection (404). Repeated with every retry. */
    void (*absent)(void *owner);
    /* Something failed and is tried again in 'retry_ms'. err->code is the HTTP status; 0: there was
     * no answer. */
    void (*trouble)(void *owner, const struct err *err, uint64_t retry_ms);
};

/* 'path': "/api/v1/nodes"; 'field_selector': NULL or "spec.nodeName=n1"; both copied. */
struct kube_watch *kube_watch_new(struct kube *kube, const char *path, const char *field_selector,
                                  const struct kube_watch_ops *ops, void *owner);
void kube_watch_start(struct kube_watch *watch);
/* Lists anew, because what was told last cannot be relied on; where a list is under way or due,
 * that one does. Not from within an op. */
void kube_watch_list(struct kube_watch *watch);
/* Not from within an op. The loop must turn until it returns from uv_run. NULL is fine. */
void kube_watch_free(struct kube_watch *watch);
/* Events dropped because they were older than what we had. */
uint64_t kube_watch_n_stale(const struct kube_watch *watch);
/* Everything up to this resourceVersion has been told; 0: nothing yet, or it is no integer. */
uint64_t kube_watch_version(const struct kube_watch *watch);
/* 0 when the text is no integer. */
uint64_t kube_version_number(const char *text, size_t len);
