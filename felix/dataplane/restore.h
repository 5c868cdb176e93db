/* Hands input to one family's iptables-restore --noflush, and tells whether all of it was taken.
 * The process is kept and spoken to again: on nft a commit then takes well under a millisecond,
 * where a new process waits 12-16 ms for the kernel as its socket closes. After a failure, and
 * where there is no pseudo terminal, a process of its own takes the next input. */
#pragma once

#include <uv.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct restore;

struct restore_spec {
    const char *name; /* "iptables-nft-restore"; copied */
    uint32_t lock_wait_s;
    uint32_t lock_probe_ms; /* 0: as the tool has it; iptables before 1.8.8 only */
    /* A kept process ends when nothing came for this long; 0: kept for as long as we live. */
    uint64_t idle_ms;
    uint64_t deadline_ms; /* for an answer; 0: a minute */
};

struct restore *restore_new(uv_loop_t *loop, const struct restore_spec *spec);
/* From the next write on; the kept process is asked for with other arguments, so it is ended. */
void restore_set_lock(struct restore *restore, uint32_t wait_s, uint32_t probe_ms);
/* What runs is let to its end. NULL is fine. */
void restore_stop(struct restore *restore);
/* After restore_stop(), and after the loop has turned until nothing was left. */
void restore_free(struct restore *restore);
/* One at a time; calls done exactly once, from the loop. With good false the input may have been
 * taken in part, a table at a time. */
void restore_write(struct restore *restore, const struct str *input,
                   void (*done)(void *owner, bool good, const struct err *err), void *owner);
/* The line of the last input that the tool refused, "" when that is not known: "-A cali-pi-x ...".
 * Borrowed until the next write. Known after a failure of a process of its own only. */
const char *restore_refused_line(const struct restore *restore);
