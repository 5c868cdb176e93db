/* Keeps one family's tables equal to what is wanted, chain by chain: what changed is written in one
 * iptables-restore stream over all tables, and is in place when the tool says so. The tables are
 * read back (iptables-save) before the first write, after a failure, and when iptables_check() says
 * that somebody may have touched them. Children are started one at a time; nothing blocks.
 *
 * Chains "cali-*" and rules with the comment "cali:<hash>" that are not wanted are removed,
 * Calico's too; chains of others are never touched. Sets that rules name have to exist before
 * iptables_apply(). */
#pragma once

#include <uv.h>

#include "felix/rules/ruleset.h"
#include "lib/netlink/monitor.h"

struct iptables;

enum iptables_backend {
    IPTABLES_AUTO,
    IPTABLES_LEGACY,
    IPTABLES_NFT
};

struct iptables_result {
    bool in_place;
    bool wrote;        /* something had to be written */
    bool is_drift;     /* what was in place was no longer, and is again */
    bool is_for_a_set; /* not in place, because somebody has destroyed a set that rules name */
    struct err err;
};

struct iptables_times {
    uint32_t lock_wait_s;   /* for the xtables lock */
    uint32_t lock_probe_ms; /* between two tries for it; 0: as the tool has it */
    /* Read back this long after a write where the kernel tells nothing of others' (legacy): another
     * tool may have written over it. 0: 5 s. */
    uint64_t post_write_check_ms;
};

struct iptables_spec {
    uint8_t family;
    enum iptables_backend backend; /* not AUTO */
    struct iptables_times times;
    void (*settled)(void *owner, const struct iptables_result *result);
    void *owner;
};

struct iptables *iptables_new(uv_loop_t *loop, const struct iptables_spec *spec);
/* From the next write on. NULL is fine. */
void iptables_set_times(struct iptables *tables, const struct iptables_times *times);
/* Nothing new is begun; a child that runs is let to its end. NULL is fine. */
void iptables_stop(struct iptables *tables);
/* After iptables_stop(), and after the loop has turned until nothing was left. */
void iptables_free(struct iptables *tables);

/* Takes the chains of 'set' (left empty; its hooks are not looked at): each replaces the wanted
 * chain of its table and name. Equal chains change nothing. */
void iptables_want_chains(struct iptables *tables, struct ruleset *set);
/* A chain that another wanted chain still names stays until that changes. */
void iptables_unwant_chain(struct iptables *tables, const char *table, const char *name);
/* All hooks; replaces those wanted before. */
void iptables_want_hooks(struct iptables *tables, const struct hook *hooks, size_t n);
/* Writes what changed, at once unless a cycle runs or has just ended. Nothing is read or written
 * before the first of these; further ones with nothing changed cost nothing. */
void iptables_apply(struct iptables *tables);
/* The same, but up to 'delay_ms' later, when the other family is about to write: the kernel (nft)
 * has one generation for both, and of two commits prepared at the same time one is sent back to
 * read everything again; legacy tools share a lock. iptables_apply() when the other has settled. */
void iptables_apply_within(struct iptables *tables, uint64_t delay_ms);
/* Read back and repair: every refresh interval. */
void iptables_check(struct iptables *tables);
/* MONITOR_RULE, MONITOR_RULES and MONITOR_RULES_LOST, all of them: what others write is told from
 * our own writes by counting. Starts a check where it is needed. */
void iptables_on_nft(struct iptables *tables, const struct monitor_note *note);

/* Counts up with every want that changed something. */
uint64_t iptables_wanted_revision(const struct iptables *tables);
/* The newest one of which everything was read back or acknowledged; 0 before the first cycle ended
 * well. It does not count down when another tool damages what was in place. */
uint64_t iptables_in_place_revision(const struct iptables *tables);
/* How long the present cycle has lasted; 0: none runs. */
uint64_t iptables_busy_ms(const struct iptables *tables);
/* All that is wanted, as far as is known. */
bool iptables_is_in_place(const struct iptables *tables);
