/* The parts of policy_rules_static() that stand in chains which static_rules.c makes, too. */
#pragma once

#include "felix/rules/policy_rules.h"

/* raw cali-PREROUTING, behind anti-spoofing. */
void host_rules_raw_input(const struct policy_rules_config *config, uint8_t family,
                          struct chain *chain);
/* filter cali-INPUT and cali-OUTPUT, behind what guards IPIP. */
void host_rules_input(const struct policy_rules_config *config, uint8_t family,
                      struct chain *chain);
void host_rules_output(const struct policy_rules_config *config, uint8_t family,
                       struct chain *chain);

/* Pieces that ipvs_rules.c has in common with it: the short path of open connections ('match' says
 * of which packets), no bits, and the table's allow action for packets with the accept bit. */
void host_rules_established(const struct policy_rules_config *config, struct chain *chain,
                            const char *match);
void host_rules_clear(const struct policy_rules_config *config, struct chain *chain);
void host_rules_accept_marked(const struct policy_rules_config *config, struct chain *chain,
                              enum rules_action action);
