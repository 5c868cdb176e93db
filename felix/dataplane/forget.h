/* Lets the kernel forget connections to floating addresses that lead elsewhere now. The nat table
 * is asked for the first packet only, so a flow that does not end (UDP, ping) would keep the way it
 * began with. Its next packet is a new connection, which policy judges.
 *
 * The table of connections is read on one of libuv's worker threads, whole: it happens when an
 * address comes, moves or goes. Called by addresses.c. */
#pragma once

#include <uv.h>

#include "felix/rules/static_rules.h"

struct forget;

struct forget *forget_new(uv_loop_t *loop);
/* All floating addresses as the rules in the kernel have them now: connections to those that are
 * not as they were go. While a run goes on, the next one follows it; what failed is logged and done
 * again with the next. */
void forget_follow(struct forget *forget, const struct floating_pair *pairs, size_t n);
/* The loop must turn until it returns from uv_run. NULL is fine. */
void forget_free(struct forget *forget);
