/* A client of one BIRD's control socket. Connects, reconnects for ever, sends one command at a
 * time, gives each a deadline. A late or unreadable answer closes the connection: replies carry no
 * number, so one that is lost would shift all that follow. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/bird/reply.h"

struct bird_client;

/* 'on_state' is called when BIRD has greeted (true) and when the connection ends (false). */
struct bird_client *bird_client_new(uv_loop_t *loop, const char *socket_path,
                                    void (*on_state)(void *owner, bool is_connected), void *owner);
/* Ends open commands without calling done; the loop must turn until it returns. NULL is fine. */
void bird_client_free(struct bird_client *client);
bool bird_client_is_connected(const struct bird_client *client);
/* Sends one line. done is called exactly once, never from within this call, and borrows the reply;
 * without a connection, or when it ends, the class is BIRD_NO_ANSWER. 'command' is copied and holds
 * no line end. */
void bird_client_send(struct bird_client *client, const char *command, uint64_t deadline_ms,
                      void (*done)(void *owner, const struct bird_reply *reply), void *owner);
