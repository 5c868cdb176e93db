/* One HTTP request to the API server: URL, credentials, timeouts, and the answer as bytes. Used by
 * call.c and watch.c only. */
#pragma once

#include "lib/kube/kube.h"

struct kube_request;

struct kube_answer {
    int status;              /* HTTP status; 0: none, the transport failed */
    bool is_complete;        /* the body came whole */
    bool is_timeout;         /* nothing came for too long: do not use this connection again */
    uint64_t retry_after_ms; /* 0: the server did not say */
    const char *body;        /* of an answer that is not 2xx, its beginning; "" else; borrowed */
    struct err err;          /* why status is 0, the body not whole, or the status not 2xx */
};

struct kube_request_spec {
    const char *method;       /* "GET", "PATCH" */
    const char *path;         /* with the query, escaped */
    const char *content_type; /* with body */
    const char *body;         /* NULL: none; copied */
    uint64_t timeout_ms;
    bool is_watch; /* endless: no gzip, which would sit on events */
    bool is_fresh; /* on a new connection: the last one went silent */
    /* Bytes of a 2xx body; false ends the request with is_complete false. May be called until
     * kube_request_cancel() is over. */
    bool (*data)(void *owner, const char *bytes, size_t len);
    void (*done)(void *owner, const struct kube_answer *answer); /* once; never after cancel */
    void *owner;
};

struct kube_request *kube_request_start(struct kube *kube, const struct kube_request_spec *spec);
/* NULL is fine. Neither data nor done is called any more. */
void kube_request_cancel(struct kube_request *request);

/* min * 2^attempt up to max, half of it at random; at least 'retry_after_ms' (bounded). */
uint64_t kube_backoff_ms(const struct kube *kube, unsigned attempt, uint64_t retry_after_ms);
/* Uniform in [0, below). */
uint64_t kube_random(uint64_t below);
/* Appends text with everything but unreserved characters as %XX (RFC 3986). */
struct str;
void kube_escape(struct str *out, const char *text);
