/* Ends open connections that policy does not allow any more. Their entries in the kernel's
 * connection table get a bit in their mark, which the rules drop ahead of accepting what is
 * established. Nothing is deleted, so a packet in the middle of a connection cannot make the
 * kernel see a new one, perhaps in the other direction.
 *
 * Only entries of touched addresses are looked at, or all when everything is touched. Those that
 * are allowed (again) lose the bit; no other bit is changed. The table is read on libuv's worker
 * threads in portions, entries are judged on the loop in slices of a few milliseconds.
 *
 * Judged is the first packet of a connection as it was after DNAT, from the original source to
 * where replies come from, and as it arrived. Entries of an expected connection are judged as the
 * one they belong to. Entries in zones other than 0 are not ours. */
#pragma once

#include <uv.h>

#include "felix/evaluate/flow.h"
#include "lib/base/err.h"

#define REVOKE_BIT_DEFAULT 0x80000000U

struct revoke;

struct revoke_report {
    size_t n_seen;    /* entries of touched addresses */
    size_t n_refused; /* got the bit */
    size_t n_allowed; /* lost it */
    uint32_t bit;     /* which */
    uint32_t carried; /* connections that had one of these have 'bit' instead; 0: judged */
    uint64_t us;      /* from start to the last mark */
};

struct revoke_spec {
    uv_loop_t *loop;
    uint32_t bit; /* of the connection mark */
    /* Whether the connection with this first packet is still allowed. Flows from the node to its
     * own pods must be. felix/evaluate/flow.h. */
    bool (*is_allowed)(void *owner, const struct flow *flow);
    /* A run is over; 'err' NULL: all is well. After an error the addresses are touched again; start
     * again later. NULL is fine. */
    void (*done)(void *owner, const struct revoke_report *report, const struct err *err);
    void *owner;
};

struct revoke *revoke_new(const struct revoke_spec *spec);
/* Takes effect when the next run starts. */
void revoke_set_bit(struct revoke *revoke, uint32_t bit);
/* Connections with one of these bits, of an earlier mask, get the present one instead. The next run
 * does that, whoever they are of, and nothing else. */
void revoke_carry(struct revoke *revoke, uint32_t bits);
/* An address whose connections may have lost or won something: of an endpoint that is new, has
 * another list, or whose policies or sets in them changed. Gathered until revoke_start(). */
void revoke_touch(struct revoke *revoke, const struct ip *ip);
/* Every connection may have: what applies to the host's own interfaces changed, which see them all.
 */
void revoke_touch_all(struct revoke *revoke);
/* Whether a touched address counts where a connection went to before DNAT, too: only then does it
 * cost a pass over the whole table. */
void revoke_look_before_dnat(struct revoke *revoke, bool is_on);
/* To be called when the rules that refuse new connections are in the kernel: what was established
 * before is in the table by now. While a run goes on, the next one follows by itself. */
void revoke_start(struct revoke *revoke);
bool revoke_is_busy(const struct revoke *revoke);
/* The loop must turn until it returns from uv_run. done() is not called. */
void revoke_free(struct revoke *revoke);
