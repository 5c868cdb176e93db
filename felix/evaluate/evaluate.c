/* Walks a verdict list as the kernel walks the chains rendered from it: tiers in order, their
 * policies in order, their rules in order. Called by the judging of open connections, by explain,
 * and by the tests that hold chains, packets and this against each other. */
#include "felix/evaluate/evaluate.h"

#include <string.h>

#include "felix/evaluate/set_ids.h"
#include "felix/rules/set_names.h"

#define PROTOCOL_ICMP 1
#define PROTOCOL_ICMP6 58

/* One end of the packet, as a rule's peer looks at it. */
struct end {
    const struct ip *ip;
    uint16_t port;
    uint8_t protocol;
    bool is_destination;
};

static bool
has_ports(uint8_t protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* ---- sets
 * ------------------------------------------------------------------------------------- */

static bool
set_holds(const struct evaluate_sets *sets, const struct policy_set *set, const struct end *end)
{
    struct policy_set_member member = {.prefix = prefix_of_ip(end->ip)};

    if (set->kind == SET_IP_PORTS) {
        member.protocol = end->protocol;
        member.port = end->port;
    }
    return sets->holds(sets->owner, set, &member);
}

static bool
selector_holds(const struct evaluate_sets *sets, set_of_text *set_of, const char *selector,
               const struct end *end)
{
    struct policy_set set;

    if (sets->ids) {
        return set_holds(sets, set_ids_get(sets->ids, set_of, selector), end);
    }
    set_of(selector, &set);
    return set_holds(sets, &set, end);
}

static bool
service_holds(const struct evaluate_sets *sets, const struct rule_peer *peer, const struct end *end)
{
    struct policy_set set;

    if (end->is_destination && !has_ports(end->protocol)) {
        return false;
    }
    set_of_service(peer->service_ns, peer->service_name, end->is_destination, &set);
    return set_holds(sets, &set, end);
}

static bool
is_named_port(const struct evaluate_sets *sets, const char *selector, char *const *names, size_t n,
              const struct end *end)
{
    for (size_t i = 0; i < n; i++) {
        struct policy_set set;
        set_of_named_port(selector, end->protocol, names[i], &set);
        if (set_holds(sets, &set, end)) {
            return true;
        }
    }
    return false;
}

/* ---- one rule
 * --------------------------------------------------------------------------------- */

static bool
is_in_nets(const struct prefix *nets, size_t n, const struct ip *ip)
{
    for (size_t i = 0; i < n; i++) {
        if (nets[i].ip.family == ip->family && prefix_contains_ip(&nets[i], ip)) {
            return true;
        }
    }
    return false;
}

static bool
is_in_ranges(const struct port_range *ranges, size_t n, uint16_t port)
{
    for (size_t i = 0; i < n; i++) {
        if (ranges[i].first <= port && port <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

static bool
address_matches(const struct rule_peer *peer, const struct end *end,
                const struct evaluate_sets *sets)
{
    if (peer->has_nets && !is_in_nets(peer->nets, peer->n_nets, end->ip)) {
        return false;
    }
    if (is_in_nets(peer->not_nets, peer->n_not_nets, end->ip)) {
        return false;
    }
    if (peer->selector && !selector_holds(sets, set_of_selector, peer->selector, end)) {
        return false;
    }
    if (peer->not_selector && selector_holds(sets, set_of_selector, peer->not_selector, end)) {
        return false;
    }
    if (peer->node_selector && !selector_holds(sets, set_of_nodes, peer->node_selector, end)) {
        return false;
    }
    return !peer->service_name || service_holds(sets, peer, end);
}

static bool
port_matches(const struct rule_peer *peer, const struct end *end, const struct evaluate_sets *sets)
{
    bool wants = peer->n_ports + peer->n_named_ports > 0;
    bool refuses = peer->n_not_ports + peer->n_not_named_ports > 0;

    if (!wants && !refuses) {
        return true;
    }
    if (!has_ports(end->protocol)) {
        return false;
    }
    if (wants && !is_in_ranges(peer->ports, peer->n_ports, end->port) &&
        !is_named_port(sets, peer->selector, peer->named_ports, peer->n_named_ports, end)) {
        return false;
    }
    return !is_in_ranges(peer->not_ports, peer->n_not_ports, end->port) &&
           !is_named_port(sets, peer->selector, peer->not_named_ports, peer->n_not_named_ports,
                          end);
}

static bool
protocol_matches(const struct policy_rule *rule, const struct packet *packet)
{
    if (rule->family != 0 && rule->family != packet->family) {
        return false;
    }
    if (rule->protocol != RULE_ANY && rule->protocol != packet->protocol) {
        return false;
    }
    return rule->not_protocol == RULE_ANY || rule->not_protocol != packet->protocol;
}

static bool
is_icmp(int16_t type, int16_t code, const struct packet *packet)
{
    return type == packet->icmp_type && (code == RULE_ANY || code == packet->icmp_code);
}

/* A type is looked at in the packets that have one, never in others: also what excludes a type
 * matches nothing but ICMP. */
static bool
icmp_matches(const struct policy_rule *rule, const struct packet *packet)
{
    bool wants = rule->icmp_type != RULE_ANY;
    bool refuses = rule->not_icmp_type != RULE_ANY;

    if (!wants && !refuses) {
        return true;
    }
    if (packet->protocol != (packet->family == 6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP)) {
        return false;
    }
    if (wants && !is_icmp(rule->icmp_type, rule->icmp_code, packet)) {
        return false;
    }
    return !refuses || !is_icmp(rule->not_icmp_type, rule->not_icmp_code, packet);
}

bool
evaluate_rule_matches(const struct policy_rule *rule, const struct packet *packet,
                      const struct evaluate_sets *sets)
{
    const struct end source = {&packet->source, packet->source_port, packet->protocol, false};
    const struct end destination = {&packet->destination, packet->destination_port,
                                    packet->protocol, true};

    /* Cheap ones first: sets cost a look at their members, perhaps a hash of their name. */
    return protocol_matches(rule, packet) && icmp_matches(rule, packet) &&
           address_matches(&rule->source, &source, sets) &&
           address_matches(&rule->destination, &destination, sets) &&
           port_matches(&rule->source, &source, sets) &&
           port_matches(&rule->destination, &destination, sets);
}

/* ---- the walk
 * --------------------------------------------------------------------------------- */

struct walk {
    const struct verdict_list *list;
    const struct packet *packet;
    const struct evaluate_sets *sets;
};

enum outcome {
    OUTCOME_NONE, /* no rule decided */
    OUTCOME_PASS,
    OUTCOME_DECIDED,
};

static void
tell(const struct walk *walk, const struct verdict_tier *tier, const struct active_policy *policy,
     size_t rule)
{
    if (walk->sets->step) {
        const struct evaluate_step step = {tier, policy, rule};
        walk->sets->step(walk->sets->owner, &step);
    }
}

/* The first rule that matches and is no Log; Logs on the way are told. SIZE_MAX: none. */
static size_t
find_rule(const struct walk *walk, const struct verdict_tier *tier,
          const struct active_policy *active)
{
    bool is_in = walk->list->direction == INGRESS;
    const struct policy_rule *rules = is_in ? active->policy->ingress : active->policy->egress;
    size_t n = is_in ? active->policy->n_ingress : active->policy->n_egress;

    for (size_t i = 0; i < n; i++) {
        if (!evaluate_rule_matches(&rules[i], walk->packet, walk->sets)) {
            continue;
        }
        tell(walk, tier, active, i);
        if (rules[i].action != RULE_LOG) {
            return i;
        }
    }
    tell(walk, tier, active, SIZE_MAX);
    return SIZE_MAX;
}

static enum outcome
judge_policy(const struct walk *walk, const struct verdict_tier *tier,
             const struct active_policy *active, struct decision *decision)
{
    size_t rule = find_rule(walk, tier, active);

    if (rule == SIZE_MAX || active->policy->is_staged) {
        return OUTCOME_NONE;
    }
    const struct policy_rule *rules =
        walk->list->direction == INGRESS ? active->policy->ingress : active->policy->egress;
    if (rules[rule].action == RULE_PASS) {
        return OUTCOME_PASS;
    }
    decision->verdict = rules[rule].action == RULE_ALLOW ? VERDICT_ALLOW : VERDICT_DENY;
    decision->reason = BY_RULE;
    decision->tier = tier;
    decision->policy = active;
    decision->rule = rule;
    return OUTCOME_DECIDED;
}

static bool
denies_by_default(enum verdict_use use)
{
    return use == USE_NORMAL || use == USE_FORWARD;
}

/* True when the tier decided. */
static bool
judge_tier(const struct walk *walk, const struct verdict_tier *tier, struct decision *decision)
{
    const struct active_policy *last = NULL;

    for (size_t i = 0; i < tier->n_policies; i++) {
        const struct active_policy *active = tier->policies[i];
        bool is_staged = active->policy->is_staged;
        if (is_staged && !walk->sets->step) {
            continue;
        }
        if (!is_staged) {
            last = active;
        }
        switch (judge_policy(walk, tier, active, decision)) {
        case OUTCOME_DECIDED:
            return true;
        case OUTCOME_PASS:
            return false;
        case OUTCOME_NONE:
            break;
        }
    }
    if (!last || tier->is_default_pass || !denies_by_default(walk->list->use)) {
        return false;
    }
    decision->verdict = VERDICT_DENY;
    decision->reason = BY_TIER;
    decision->tier = tier;
    decision->policy = last;
    return true;
}

void
evaluate(const struct verdict_list *list, const struct packet *packet,
         const struct evaluate_sets *sets, struct decision *ret_decision)
{
    const struct walk walk = {list, packet, sets};

    *ret_decision = (struct decision){.verdict = VERDICT_DENY};
    for (size_t i = 0; i < list->n_tiers; i++) {
        if (judge_tier(&walk, &list->tiers[i], ret_decision)) {
            return;
        }
    }
    if (list->use != USE_NORMAL) {
        ret_decision->verdict = VERDICT_ALLOW;
        ret_decision->reason = BY_NOTHING;
        return;
    }
    ret_decision->verdict = list->is_profile_allow ? VERDICT_ALLOW : VERDICT_DENY;
    ret_decision->reason = list->is_profile_allow ? BY_PROFILE : BY_NO_PROFILE;
}
