/* Keeps one family's tables equal to a ruleset: read back (iptables-save), compare hashes, write
 * the difference in one iptables-restore stream, read back again. Children are started one at a
 * time; nothing blocks. Sets that rules name have to exist before iptables_want(). */
#pragma once

#include <uv.h>

#include "felix/rules/ruleset.h"

struct iptables;

enum iptables_backend {
    IPTABLES_AUTO,
    IPTABLES_LEGACY,
    IPTABLES_NFT
};

struct iptables_result {
    bool in_place; /* read back and equal to what was wanted when the cycle began */
    bool wrote; /* something had to be written: after the first time that is drift, or a change */
    bool is_drift; /* what was in place was no longer, and is again */
    struct err err;
};

struct iptables_spec {
    uint8_t family;
    enum iptables_backend backend; /* not AUTO */
    uint32_t lock_wait_s;          /* for the xtables lock */
    void (*settled)(void *owner, const struct iptables_result *result);
    void *owner;
};

struct iptables *iptables_new(uv_loop_t *loop, const struct iptables_spec *spec);
/* Nothing new is begun; a child that runs is let to its end. NULL is fine. */
void iptables_stop(struct iptables *tables);
/* After iptables_stop(), and after the loop has turned until nothing was left. */
void iptables_free(struct iptables *tables);
/* Takes the contents of 'set' (left empty). Runs a cycle when it differs from what was wanted. */
void iptables_want(struct iptables *tables, struct ruleset *set);
/* Read back and repair: on a notification, and every refresh interval. A cycle that is running is
 * followed by another. */
void iptables_check(struct iptables *tables);
bool iptables_is_in_place(const struct iptables *tables);
