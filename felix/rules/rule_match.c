/* struct policy_rule → matches. Called by policy_chain.c for every rule, in both families.
 *
 * The order inside a rule is cheap first: protocol, networks, ports, ICMP, then sets. */
#include "felix/rules/rule_match.h"

#include "felix/rules/set_names.h"

#define MULTIPORT_SLOTS 15 /* a range takes two */

/* One end of the packet, while its matches are written. */
struct side {
    struct rule_match *match;
    const struct policy_rule *rule;
    const struct rule_peer *peer;
    uint8_t family;
    bool is_source;
    bool has_address; /* "-s" or "-d" is taken in the base */
};

static text_vec *
new_block(struct rule_match *match)
{
    return &match->blocks[match->n_blocks++];
}

static char *
net_match(const struct side *side, const struct prefix *net, const char *negation)
{
    struct str out = STR_INIT;
    char text[PREFIX_TEXT_MAX];

    str_addf(&out, "%s -%c %s", negation, side->is_source ? 's' : 'd', prefix_format(net, text));
    return str_steal(&out);
}

static void
add_and_free(struct rule_match *match, char *text)
{
    str_add(&match->base, text);
    free(text);
}

static void
add_net_block(const struct side *side)
{
    text_vec *block = new_block(side->match);

    for (size_t i = 0; i < side->peer->n_nets; i++) {
        const struct prefix *net = &side->peer->nets[i];
        if (net->ip.family == side->family) {
            VEC_PUSH(block, net_match(side, net, ""));
        }
    }
}

static void
add_nets(struct side *side)
{
    const struct rule_peer *peer = side->peer;
    const struct prefix *one = NULL;
    size_t n = 0;

    if (!peer->has_nets) {
        return;
    }
    for (size_t i = 0; i < peer->n_nets; i++) {
        if (peer->nets[i].ip.family != side->family) {
            continue;
        }
        if (peer->nets[i].len == 0) {
            return; /* everything */
        }
        one = &peer->nets[i];
        n++;
    }
    if (n == 0) {
        side->match->is_never = true;
    } else if (n == 1) {
        add_and_free(side->match, net_match(side, one, ""));
        side->has_address = true;
    } else {
        add_net_block(side);
        side->has_address = true;
    }
}

static void
add_not_nets(struct side *side)
{
    const struct rule_peer *peer = side->peer;
    size_t n = 0;

    for (size_t i = 0; i < peer->n_not_nets; i++) {
        if (peer->not_nets[i].ip.family == side->family) {
            n++;
            side->match->is_never |= peer->not_nets[i].len == 0;
        }
    }
    for (size_t i = 0; i < peer->n_not_nets; i++) {
        const struct prefix *net = &peer->not_nets[i];
        if (net->ip.family != side->family) {
            continue;
        }
        if (n == 1 && !side->has_address) {
            add_and_free(side->match, net_match(side, net, " !"));
        } else {
            VEC_PUSH(&side->match->excepted, net_match(side, net, ""));
        }
    }
}

static char *
set_match(const struct side *side, const struct policy_set *set, const char *negation)
{
    struct str out = STR_INIT;
    char name[32];
    const char *flag = side->is_source ? "src" : "dst";

    set_kernel_name(set, side->family, name);
    str_addf(&out, " -m set%s --match-set %s %s", negation, name, flag);
    if (set->kind == SET_IP_PORTS) {
        str_addf(&out, ",%s", flag);
    }
    return str_steal(&out);
}

static char *
named_port_match(const struct side *side, const char *name, const char *negation)
{
    struct policy_set set;

    set_of_named_port(side->peer->selector, (uint8_t)side->rule->protocol, name, &set);
    return set_match(side, &set, negation);
}

/* Numbers from *at on, as many as one match takes; *at moves behind them. */
static char *
port_match(const struct side *side, const struct port_range *ports, size_t n, size_t *at,
           const char *negation)
{
    struct str out = STR_INIT;
    const char *option = side->is_source ? "--sports" : "--dports";
    size_t slots = 0, first = *at;

    str_addf(&out, " -m multiport%s %s ", negation, option);
    for (; *at < n; (*at)++) {
        const struct port_range *range = &ports[*at];
        size_t needed = range->first == range->last ? 1 : 2;
        if (slots + needed > MULTIPORT_SLOTS) {
            break;
        }
        slots += needed;
        str_addf(&out, "%s%u", *at > first ? "," : "", range->first);
        if (needed == 2) {
            str_addf(&out, ":%u", range->last);
        }
    }
    return str_steal(&out);
}

static bool
has_ports(const struct policy_rule *rule)
{
    switch (rule->protocol) {
    case IPPROTO_TCP:
    case IPPROTO_UDP:
    case IPPROTO_SCTP:
    case IPPROTO_UDPLITE:
        return true;
    default:
        return false;
    }
}

/* One of the numbers or one of the names. */
static void
add_ports(struct side *side)
{
    const struct rule_peer *peer = side->peer;
    text_vec found = VEC_INIT;

    for (size_t at = 0; at < peer->n_ports;) {
        VEC_PUSH(&found, port_match(side, peer->ports, peer->n_ports, &at, ""));
    }
    for (size_t i = 0; i < peer->n_named_ports; i++) {
        VEC_PUSH(&found, named_port_match(side, peer->named_ports[i], ""));
    }
    if (found.n == 1) {
        add_and_free(side->match, found.items[0]);
        VEC_DONE(&found);
    } else if (found.n > 1) {
        /* Each is a kernel rule of its own, where multiport wants to see the protocol again. */
        text_vec *block = new_block(side->match);
        VEC_FOREACH (&found, text) {
            struct str out = STR_INIT;
            str_addf(&out, " -p %d%s", side->rule->protocol, *text);
            VEC_PUSH(block, str_steal(&out));
            free(*text);
        }
        VEC_DONE(&found);
    }
}

static void
add_not_ports(struct side *side)
{
    const struct rule_peer *peer = side->peer;

    for (size_t at = 0; at < peer->n_not_ports;) {
        add_and_free(side->match, port_match(side, peer->not_ports, peer->n_not_ports, &at, " !"));
    }
    for (size_t i = 0; i < peer->n_not_named_ports; i++) {
        add_and_free(side->match, named_port_match(side, peer->not_named_ports[i], " !"));
    }
}

static void
add_sets(struct side *side)
{
    const struct rule_peer *peer = side->peer;
    struct policy_set set;

    if (peer->selector) {
        set_of_selector(peer->selector, &set);
        add_and_free(side->match, set_match(side, &set, ""));
    } else if (peer->not_selector) {
        set_of_selector(peer->not_selector, &set);
        add_and_free(side->match, set_match(side, &set, " !"));
    }
    if (peer->node_selector) {
        set_of_nodes(peer->node_selector, &set);
        add_and_free(side->match, set_match(side, &set, ""));
    }
    if (peer->service_name) {
        set_of_service(peer->service_ns, peer->service_name, !side->is_source, &set);
        add_and_free(side->match, set_match(side, &set, ""));
    }
}

static void
add_icmp(struct rule_match *match, const struct policy_rule *rule, uint8_t family)
{
    const char *name = family == 4 ? "icmp" : "icmp6";
    const char *option = family == 4 ? "--icmp-type" : "--icmpv6-type";
    const struct {
        int16_t type, code;
        const char *negation;
    } parts[] = {{rule->icmp_type, rule->icmp_code, ""},
                 {rule->not_icmp_type, rule->not_icmp_code, " !"}};

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].type == RULE_ANY) {
            continue;
        }
        str_addf(&match->base, " -m %s%s %s %d", name, parts[i].negation, option, parts[i].type);
        if (parts[i].code != RULE_ANY) {
            str_addf(&match->base, "/%d", parts[i].code);
        }
    }
}

static void
add_protocol(struct rule_match *match, const struct policy_rule *rule, uint8_t family)
{
    int16_t icmp = family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    bool wants_icmp = rule->icmp_type != RULE_ANY || rule->not_icmp_type != RULE_ANY;
    int16_t protocol = wants_icmp && rule->protocol == RULE_ANY ? icmp : rule->protocol;

    match->is_never |= wants_icmp && protocol != icmp;
    match->is_never |= protocol != RULE_ANY && protocol == rule->not_protocol;
    if (protocol != RULE_ANY) {
        str_addf(&match->base, " -p %d", protocol);
    } else if (rule->not_protocol != RULE_ANY) {
        str_addf(&match->base, " ! -p %d", rule->not_protocol);
    }
}

static bool
names_ports(const struct rule_peer *peer)
{
    return peer->n_ports + peer->n_named_ports + peer->n_not_ports + peer->n_not_named_ports > 0;
}

void
rule_match_init(struct rule_match *match, const struct policy_rule *rule, uint8_t family)
{
    struct side sides[] = {{match, rule, &rule->source, family, true, false},
                           {match, rule, &rule->destination, family, false, false}};

    *match = (struct rule_match){.is_never = rule->family != 0 && rule->family != family};
    add_protocol(match, rule, family);
    for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
        add_nets(&sides[i]);
        add_not_nets(&sides[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
        if (has_ports(rule)) {
            add_ports(&sides[i]);
            add_not_ports(&sides[i]);
        } else if (names_ports(sides[i].peer)) {
            /* No decoder gives this. What cannot be said opens nothing and denies more. */
            match->is_never |= rule->action == RULE_ALLOW || rule->action == RULE_LOG;
        }
    }
    add_icmp(match, rule, family);
    for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
        add_sets(&sides[i]);
    }
}

static void
texts_done(text_vec *texts)
{
    VEC_FOREACH (texts, text) {
        free(*text);
    }
    VEC_DONE(texts);
}

void
rule_match_done(struct rule_match *match)
{
    str_done(&match->base);
    for (size_t i = 0; i < match->n_blocks; i++) {
        texts_done(&match->blocks[i]);
    }
    texts_done(&match->excepted);
}
