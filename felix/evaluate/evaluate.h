/* The verdict on one packet, from the same values the rules are rendered from. Pure: no I/O, no
 * clock. Used to re-judge open connections and to explain; tests hold it against the kernel and
 * against a reference written from the semantics. */
#pragma once

#include "felix/policy.h"

struct set_ids;

struct packet {
    uint8_t family;
    struct ip source, destination; /* after DNAT */
    uint8_t protocol;
    uint16_t source_port, destination_port; /* TCP, UDP, SCTP */
    uint8_t icmp_type, icmp_code;
};

enum verdict {
    VERDICT_ALLOW,
    VERDICT_DENY,
};

enum verdict_reason {
    BY_RULE,       /* policy, rule */
    BY_TIER,       /* the end of a tier whose default action is Deny */
    BY_PROFILE,    /* no tier decided; the profile allows */
    BY_NO_PROFILE, /* no tier decided and no profile allows */
    BY_NOTHING,    /* no tier decides and the use does not deny by default */
};

struct decision {
    enum verdict verdict;
    enum verdict_reason reason;
    const struct verdict_tier *tier;    /* BY_RULE, BY_TIER */
    const struct active_policy *policy; /* BY_RULE; BY_TIER: the last of the tier */
    size_t rule;                        /* index in its direction */
};

/* A rule that was met on the way: for explaining. The action is what the rule says; staged policies
 * are shown and have no effect. */
struct evaluate_step {
    const struct verdict_tier *tier;
    const struct active_policy *policy;
    size_t rule; /* SIZE_MAX: no rule of the policy matched */
};

struct evaluate_sets {
    /* Whether the address (and port) is in the set. */
    bool (*holds)(void *owner, const struct policy_set *set,
                  const struct policy_set_member *member);
    void (*step)(void *owner, const struct evaluate_step *step); /* NULL is fine */
    void *owner;
    struct set_ids *ids; /* borrowed, for many packets; NULL is fine */
};

void evaluate(const struct verdict_list *list, const struct packet *packet,
              const struct evaluate_sets *sets, struct decision *ret_decision);
/* One rule against one packet. */
bool evaluate_rule_matches(const struct policy_rule *rule, const struct packet *packet,
                           const struct evaluate_sets *sets);
