/* Rules of Kubernetes' kinds are products: any of the peers, on any of the ports. Internal to
 * lib/model. */
#pragma once

#include "lib/model/policy_draft.h"

#define N_PORT_PROTOCOLS 3 /* TCP, UDP, SCTP */

struct port_group {
    bool is_wanted;
    bool is_any; /* every port of the protocol */
    VEC(struct port_range) ranges;
    VEC(char *) names;
};

struct cross {
    /* Everything: no peer or port is asked for. False and none in the lists: nothing matches. */
    bool is_any_peer, is_any_port;
    VEC(struct rule_peer) peers;
    struct port_group groups[N_PORT_PROTOCOLS];
};

void cross_done(struct cross *cross); /* AUTO(cross) struct cross c = {0}; */
/* The index of "TCP", "UDP", "SCTP", in any case of letters; false for other words. */
MUST_CHECK bool port_protocol_find(const char *name, size_t *ret_index);
void cross_add_protocol(struct cross *cross, size_t protocol); /* with every port */
void cross_add_range(struct cross *cross, size_t protocol, struct port_range range);
void cross_add_name(struct cross *cross, size_t protocol, const char *name);
/* Adds the rules to the list; 'comment' may be NULL. */
void cross_rules(struct cross *cross, struct rule_list *list, enum rule_action action,
                 const char *comment, const struct json_at *at);
