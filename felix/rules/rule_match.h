/* What one policy rule asks of a packet, in iptables' words. One kernel rule holds most of them;
 * what does not fit (one of several networks, or of several networks and more ports than a rule
 * takes) becomes blocks of alternatives, and networks that are excepted a list of their own. */
#pragma once

#include "felix/policy.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"

#define RULE_BLOCKS_MAX 4 /* networks and ports, of both ends */

typedef VEC(char *) text_vec;

struct rule_match {
    bool is_never;                    /* nothing of this family can match: no rule is written */
    struct str base;                  /* matches that all must hold: " -p 6 -s 10.0.0.0/8" */
    text_vec blocks[RULE_BLOCKS_MAX]; /* of each block one must hold */
    size_t n_blocks;
    text_vec excepted; /* none may hold */
};

void rule_match_init(struct rule_match *match, const struct policy_rule *rule, uint8_t family);
void rule_match_done(struct rule_match *match);
