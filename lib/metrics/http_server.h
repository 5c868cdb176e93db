/* /metrics, /readiness and /liveness over HTTP (libmicrohttpd, driven by the program's own loop).
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "lib/base/err.h"
#include "lib/metrics/health.h"
#include "lib/metrics/metrics.h"

struct http_server;

/* Borrows metrics and health (each may be NULL: its paths answer 404). 'host' is an address or
 * "localhost"; "" is every address. */
MUST_CHECK bool http_server_new(uv_loop_t *loop, const char *host, uint16_t port,
                                struct metrics *metrics, struct health *health,
                                struct http_server **ret_server, struct err *err);
/* NULL is fine; the loop must turn once more before it is closed. */
void http_server_free(struct http_server *server);
