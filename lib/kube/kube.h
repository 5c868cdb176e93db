/* A client of one Kubernetes API server: credentials, transport, and single requests. See watch.h
 * for lists and watches, http.h for what is below.
 *
 * Credentials: kubeconfig (client certificate or token, CA; no exec plugins) or the in-cluster
 * service account. Token files are read again when they change, certificate files at every new
 * connection. Credentials never appear in errors or logs.
 *
 * Nothing here may be called from within a callback of the same kube except where it says so:
 * kube_get() and kube_patch() may. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/base/err.h"

struct kube;
struct json_object;

/* How patient the client is; tests want less patience than clusters. */
struct kube_timing {
    uint64_t backoff_min_ms; /* before the first retry; doubles, with jitter of half */
    uint64_t backoff_max_ms; /* also the longest Retry-After that is honoured, times ten */
    uint64_t connect_ms;     /* TCP and TLS */
    uint64_t request_ms;     /* one page, one GET, one PATCH from start to end */
    uint64_t silent_ms;      /* a watch without a complete event or bookmark for so long is dead */
    uint64_t watch_min_s;    /* timeoutSeconds asked of the server, at random between these */
    uint64_t watch_max_s;    /* (spreads the renewals of many nodes) */
    uint64_t distrust_ms;    /* how long a list older than what we have is refused; then it must be
                                a restored backup of etcd and is believed */
    uint64_t page_limit;     /* objects a page */
};
extern const struct kube_timing kube_timing_default;

/* 'kubeconfig' NULL: $KUBECONFIG, else in-cluster. Reads files, opens no connection. */
MUST_CHECK bool kube_new(uv_loop_t *loop, const char *kubeconfig, struct kube **ret_kube,
                         struct err *err);
/* Ends requests without calling done; the loop must turn until it returns from uv_run. */
void kube_free(struct kube *kube);
void kube_set_timing(struct kube *kube, const struct kube_timing *timing);
const struct kube_timing *kube_timing(const struct kube *kube);
uv_loop_t *kube_loop(const struct kube *kube);
/* "https://10.0.0.1:6443", for logs. */
const char *kube_server(const struct kube *kube);
/* Milliseconds since the API last answered anything, UINT64_MAX when never. */
uint64_t kube_silent_ms(const struct kube *kube);

struct kube_reply {
    int status;               /* HTTP status; 0: no answer, err.text says why */
    struct err err;           /* set when status is not 2xx */
    struct json_object *body; /* borrowed; NULL when none or not JSON */
};

struct kube_write {
    const char *path;         /* "/api/v1/nodes/n1/status" */
    const char *content_type; /* NULL: "application/merge-patch+json" (RFC 7396); or
                                 "application/strategic-merge-patch+json" */
    const char *json;         /* copied, as are the others */
    uint64_t deadline_ms;
};
/* Retries conflicts (409), 401 (the token may just have changed), 429, 5xx and lost connections
 * with backoff until the deadline, then calls done once with the last answer. */
void kube_patch(struct kube *kube, const struct kube_write *write,
                void (*done)(void *owner, const struct kube_reply *reply), void *owner);
void kube_get(struct kube *kube, const char *path, uint64_t deadline_ms,
              void (*done)(void *owner, const struct kube_reply *reply), void *owner);
/* Forgets every kube_get() and kube_patch() of this owner; done is not called for them. */
void kube_forget(struct kube *kube, const void *owner);
