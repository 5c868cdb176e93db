/* The unix socket felix answers on: lines in, lines out. Knows nothing of what they say. */
#pragma once

#include <uv.h>

#include "lib/base/err.h"

struct server;

/* 'request' is called for each complete line; the answer may come later. 'client' is a number that
 * stays valid when the client has gone. Removes a stale socket file of an earlier run. */
MUST_CHECK bool server_new(uv_loop_t *loop, const char *path,
                           void (*request)(void *owner, uint64_t client, const char *line,
                                           size_t len),
                           void *owner, struct server **ret_server, struct err *err);
void server_free(struct server *server); /* NULL is fine; the loop must turn until closed */
/* Sends a line (with its newline); a client that has gone is ignored. */
void server_reply(struct server *server, uint64_t client, const char *line, size_t len);
