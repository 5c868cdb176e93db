/* A client of one Kubernetes API server: credentials and transport. See http.h and watch.h for
 * requests.
 *
 * Credentials: kubeconfig (client certificate or token, CA; no exec plugins) or the in-cluster
 * service account, whose token file is read again when it changes. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "lib/base/err.h"

struct kube;
struct json_object;

/* 'kubeconfig' NULL: $KUBECONFIG, else in-cluster. Reads files, opens no connection. */
MUST_CHECK bool kube_new(uv_loop_t *loop, const char *kubeconfig, struct kube **ret_kube,
                         struct err *err);
void kube_free(struct kube *kube);

struct kube_reply {
    int status;               /* HTTP status; 0: no answer, err.text says why */
    struct err err;           /* set when status is not 2xx */
    struct json_object *body; /* borrowed; NULL when none or not JSON */
};

/* Merge patch (RFC 7396) of 'path' ("/api/v1/nodes/n1/status"); 'json' is copied. Retries
 * conflicts, 429, 5xx and lost connections with backoff until 'deadline_ms', then calls done once.
 */
void kube_patch(struct kube *kube, const char *path, const char *content_type, const char *json,
                uint64_t deadline_ms, void (*done)(void *owner, const struct kube_reply *reply),
                void *owner);
void kube_get(struct kube *kube, const char *path, uint64_t deadline_ms,
              void (*done)(void *owner, const struct kube_reply *reply), void *owner);
