/* A server on a unix stream socket that speaks lines: every request is one line, every answer is
 * one line. A client may send several requests; answers may come at any later time, by client id,
 * also after the client has gone (they are then thrown away).
 *
 * Limits: clients, bytes of a line, bytes of answers not yet read by the client, and idle time; a
 * client beyond its limits is cut off, the others do not notice. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "lib/base/err.h"

struct unix_server;

struct unix_server_spec {
    const char *path; /* shorter than 108 bytes; its directory exists */
    mode_t mode;      /* 0600: root only */
    size_t max_clients;
    size_t max_line;   /* without the newline */
    size_t max_queued; /* bytes */
    uint64_t idle_ms;  /* without a byte from the client and with no request unanswered */
    /* One request, NUL-terminated, without the newline; borrowed for the call. */
    void (*line)(void *owner, uint64_t client, const char *line, size_t len);
    void (*gone)(void *owner, uint64_t client); /* NULL: nobody wants to know */
    void *owner;
};

/* A socket file nobody listens on is replaced, a live one is an error. Copies the spec. */
MUST_CHECK bool unix_server_new(uv_loop_t *loop, const struct unix_server_spec *spec,
                                struct unix_server **ret_server, struct err *err);
/* Sends 'text' and a newline; 'text' has none. */
void unix_server_send(struct unix_server *server, uint64_t client, const char *text, size_t len);
/* The client follows something: it is not cut off for being idle. */
void unix_server_keep(struct unix_server *server, uint64_t client);
/* Cuts the client off once its answers are sent. */
void unix_server_close(struct unix_server *server, uint64_t client);
size_t unix_server_n_clients(const struct unix_server *server);
/* Removes the socket file; the loop must turn until it returns from uv_run. gone() is not called.
 */
void unix_server_free(struct unix_server *server);
