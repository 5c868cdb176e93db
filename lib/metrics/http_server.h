/* /metrics, /readiness and /liveness over HTTP (libmicrohttpd, driven by the program's own loop).
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "lib/base/err.h"
#include "lib/metrics/health.h"
#include "lib/metrics/metrics.h"

struct http_server;

struct http_server_spec {
    const char *host; /* an address or "localhost"; "" is every address */
    uint16_t port;
    struct metrics *metrics; /* borrowed; NULL: /metrics answers 404 */
    struct health *health;   /* borrowed; NULL: the health paths answer 404 */
};

MUST_CHECK bool http_server_new(uv_loop_t *loop, const struct http_server_spec *spec,
                                struct http_server **ret_server, struct err *err);
/* NULL is fine; the loop must turn once more before it is closed. */
void http_server_free(struct http_server *server);
