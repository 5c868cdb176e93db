/* Packets and bytes per policy rule and per reason of denial, from what `iptables-save -c` prints.
 * Pure. The kernel counts each rule anyway; which kernel rule counts which policy rule
 * felix/rules/policy_rules.h says, and the rule behind an NFLOG rule of ours is the one that
 * denies.
 *
 * Kernel counters begin anew whenever a chain is written; the totals here go on, except for a
 * policy whose rules changed, which begins anew. */
#pragma once

#include "felix/rules/policy_rules.h"
#include "felix/server/in_force.h"

struct count {
    uint64_t packets, bytes;
};

/* One reading of the kernel, both families. */
struct counts;
struct counts *counts_new(void);
void counts_free(struct counts *counts);
/* Adds what one table or all tables of a family say. What is not understood is left out. */
void counts_read(struct counts *counts, uint8_t family, const char *saved);

struct totals;
struct totals *totals_new(void);
void totals_free(struct totals *totals); /* NULL is fine */
/* 'counts' was read while the kernel held what 'in_force' says. */
void totals_add(struct totals *totals, const struct counts *counts, const struct in_force *in_force,
                const struct policy_rules_config *config);
/* Zero for what was never read. */
struct count totals_of_rule(const struct totals *totals, const struct active_policy *policy,
                            enum direction direction, size_t rule);

/* Denials that are no policy rule's: exact, where NFLOG is on. */
struct denial {
    enum drop_reason reason; /* not DROP_BY_RULE */
    enum direction direction;
    char tier[64]; /* DROP_BY_TIER; cut */
    struct count count;
};
void totals_each_denial(const struct totals *totals,
                        void (*each)(void *owner, const struct denial *denial), void *owner);
