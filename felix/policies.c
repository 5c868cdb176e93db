/* Between felix/calc and the kernel: sets and chains that are wanted, and whose connections are
 * judged again. Called by felix.c. */
#include "felix/policies.h"

#include <string.h>

#include "felix/evaluate/set_ids.h"
#include "felix/host_ends.h"
#include "felix/policy_sets.h"
#include "felix/wanted_chains.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/loop/kick.h"

LOG_MODULE("policy");

/* Connections are judged at most this often; a run takes milliseconds. */
#define REVOKE_WINDOW_MS 200
/* One that took n ms is followed by another n times this later at the earliest: addresses elsewhere
 * that come and go in sets must not keep the kernel looking through its connections all the time.
 * No longer than a third of a second, for a connection is to end within one. */
#define REVOKE_REST 25
#define REVOKE_WINDOW_MAX_MS 300
#define REVOKE_RETRY_MS 1000

struct local {
    struct prefix *ips;
    size_t n_ips;
    bool is_changed; /* what applies to it is not wanted yet */
    uint64_t revisions[2];
};

struct policies {
    struct policies_spec spec;
    struct policy_state *state;
    struct policy_sets *sets;
    struct wanted_chains *chains;
    struct host_ends *host_ends;
    struct set_ids *set_ids;
    const struct policy_rules_config *config; /* borrowed, NULL before the first one */
    struct table *locals;                     /* workload interface -> struct local */
    struct table *own_addresses;              /* struct ip -> anything */
    struct table *changed;    /* ids of policies whose rules changed in this flush */
    struct table *seen_lists; /* whether one of those is in the list: by its address */
    struct revoke *revoke;
    struct kick judging;
    bool is_revoking;
    struct policy_marks marks; /* with older bits: those of an earlier mask are still about */
    bool are_marks_wanted;     /* by the tables, too */
    bool is_carrying;
};

/* ---- whose connections are judged again -------------------------------------------------------
 */

static void
touch_local(struct policies *policies, const char *ifname)
{
    struct local *local = table_get(policies->locals, ifname);

    if (local) {
        local->is_changed = true;
    }
    for (size_t i = 0; local && i < local->n_ips && policies->is_revoking; i++) {
        revoke_touch(policies->revoke, &local->ips[i].ip);
    }
}

/* What host endpoints say may concern any connection: of the node, and forwarded ones. */
static void
touch_host(struct policies *policies)
{
    if (policies->is_revoking) {
        revoke_touch_all(policies->revoke);
    }
}

static void
touch_all(struct policies *policies)
{
    if (host_ends_exist(policies->host_ends)) {
        touch_host(policies);
    }
    TABLE_FOREACH (policies->locals, entry) {
        touch_local(policies, table_key(entry));
    }
}

static bool
holds_changed(const struct policies *policies, const struct verdict_list *list)
{
    for (size_t i = 0; i < list->n_tiers; i++) {
        for (size_t k = 0; k < list->tiers[i].n_policies; k++) {
            if (table_get(policies->changed, list->tiers[i].policies[k]->id)) {
                return true;
            }
        }
    }
    return false;
}

/* Endpoints share lists: each is looked through once. */
static bool
has_changed(struct policies *policies, const struct verdict_list *list)
{
    static char yes[] = "yes", no[] = "no";

    if (!list) {
        return false;
    }
    const char *known = table_get_bytes(policies->seen_lists, &list, sizeof list);
    if (!known) {
        known = holds_changed(policies, list) ? yes : no;
        table_put_bytes(policies->seen_lists, &list, sizeof list, known == yes ? yes : no);
    }
    return known == yes;
}

static bool
has_changed_list(struct policies *policies, const struct policy_endpoint *endpoint)
{
    for (enum verdict_use use = USE_NORMAL; use < N_USES; use++) {
        if (has_changed(policies, endpoint->lists[use][INGRESS]) ||
            has_changed(policies, endpoint->lists[use][EGRESS])) {
            return true;
        }
    }
    return false;
}

static void
touch_if_changed(void *owner, const struct policy_endpoint *endpoint)
{
    struct policies *policies = owner;

    if (!has_changed_list(policies, endpoint)) {
        return;
    }
    if (endpoint->is_host) {
        touch_host(policies);
    } else {
        touch_local(policies, endpoint->ifname);
    }
}

/* The address itself, wherever it is: what it has open with pods of this node. */
static void
touch_member(struct policies *policies, const struct prefix *prefix)
{
    if (!policies->is_revoking) {
        return;
    }
    if (prefix->len == ip_bits(&prefix->ip)) {
        revoke_touch(policies->revoke, &prefix->ip);
    } else {
        touch_all(policies);
    }
}

/* ---- what is calculated -----------------------------------------------------------------------
 */

static void
on_set(void *owner, const struct policy_set *set, bool is_active)
{
    struct policies *policies = owner;

    if (is_active) {
        policy_sets_put(policies->sets, set);
    } else {
        policy_sets_remove(policies->sets, set);
    }
}

static void
on_member(void *owner, const struct policy_set *set, const struct policy_set_member *member,
          bool is_added)
{
    struct policies *policies = owner;

    policy_sets_member(policies->sets, set, member, is_added);
    touch_member(policies, &member->prefix);
}

static void
on_policy(void *owner, const struct active_policy *policy, bool is_active)
{
    struct policies *policies = owner;

    wanted_chains_policy(policies->chains, policy, is_active);
    in_force_policy(policies->spec.in_force, policy, is_active);
    if (is_active) {
        table_put(policies->changed, policy->id, policies);
    }
}

static void
on_list(void *owner, const struct verdict_list *list, bool is_active)
{
    struct policies *policies = owner;

    wanted_chains_list(policies->chains, list, is_active);
    in_force_list(policies->spec.in_force, list, is_active);
}

static void
on_endpoint(void *owner, const struct policy_endpoint *endpoint, bool is_active)
{
    struct policies *policies = owner;

    wanted_chains_endpoint(policies->chains, endpoint, is_active);
    if (!endpoint->is_host) {
        touch_local(policies, endpoint->ifname);
    }
    if (host_ends_put(policies->host_ends, endpoint, is_active)) {
        revoke_look_before_dnat(policies->revoke, host_ends_look_before_dnat(policies->host_ends));
        touch_host(policies);
    }
}

/* ---- judging ----------------------------------------------------------------------------------
 */

bool
policies_is_own_address(const struct policies *policies, const struct ip *ip)
{
    return table_get_bytes(policies->own_addresses, ip, sizeof *ip) != NULL ||
           (ip->family == 4 && ip->bytes[0] == 127);
}

static bool
holds(void *owner, const struct policy_set *set, const struct policy_set_member *member)
{
    const struct policies *policies = owner;

    return policy_state_holds(policies->state, set, member);
}

struct evaluate_sets
policies_evaluate_sets(const struct policies *policies)
{
    return (struct evaluate_sets){
        .holds = holds, .owner = (void *)(uintptr_t)policies, .ids = policies->set_ids};
}

/* What is sent to many is not forwarded here. */
static bool
is_for_node(const struct policies *policies, const struct ip *ip)
{
    return policies_is_own_address(policies, ip) || ip->bytes[0] == 0xff ||
           (ip->family == 4 && (ip->bytes[0] & 0xf0) == 0xe0);
}

/* The host endpoint on the way to or from 'peer'; where no route tells, that of the node's own
 * address. */
static const struct policy_endpoint *
host_end(struct policies *policies, const struct ip *peer, const struct ip *own)
{
    const struct policy_endpoint *endpoint = NULL;

    if (!host_ends_towards(policies->host_ends, peer, &endpoint)) {
        endpoint = policy_state_endpoint_by_ip(policies->state, own);
    }
    return endpoint && endpoint->is_host ? endpoint : NULL;
}

static void
add_host_ends(struct policies *policies, const struct flow *flow, struct flow_ends *ends)
{
    const struct packet *packet = &flow->packet, *arrived = &flow->arrived;

    ends->failsafe_in = policies->config->failsafe_in;
    ends->failsafe_out = policies->config->failsafe_out;
    ends->n_failsafe_in = policies->config->n_failsafe_in;
    ends->n_failsafe_out = policies->config->n_failsafe_out;
    if (ends->is_from_node && ends->is_to_node) {
        ends->in = host_ends_on(policies->host_ends, "lo");
    } else if (!ends->is_from_node && !ends->source) {
        ends->in = host_end(policies, &packet->source, &packet->destination);
    }
    if (!ends->destination && (ends->is_from_node || !ends->is_to_node)) {
        ends->out = host_end(policies, &packet->destination, &packet->source);
    }
    if (ends->is_from_node) {
        ends->out_arrived = host_end(policies, &arrived->destination, &arrived->source);
    }
}

static const struct policy_endpoint *
pod_with(const struct policies *policies, const struct ip *ip)
{
    const struct policy_endpoint *endpoint = policy_state_endpoint_by_ip(policies->state, ip);

    return endpoint && !endpoint->is_host ? endpoint : NULL;
}

struct flow_ends
policies_flow_ends(struct policies *policies, const struct flow *flow)
{
    struct flow_ends ends = {.source = pod_with(policies, &flow->packet.source),
                             .destination = pod_with(policies, &flow->packet.destination),
                             .is_from_node =
                                 policies_is_own_address(policies, &flow->packet.source),
                             .is_to_node = is_for_node(policies, &flow->packet.destination)};

    if (policies->config && host_ends_exist(policies->host_ends)) {
        add_host_ends(policies, flow, &ends);
    }
    return ends;
}

void
policies_forget_routes(struct policies *policies)
{
    host_ends_forget(policies->host_ends);
}

bool
policies_host_endpoints_differ(const struct policies *policies)
{
    return host_ends_differ(policies->host_ends);
}

static bool
is_allowed(void *owner, const struct flow *flow)
{
    struct policies *policies = owner;
    struct flow_ends ends = policies_flow_ends(policies, flow);
    const struct evaluate_sets sets = policies_evaluate_sets(policies);

    ends.is_open = true;
    return flow_is_allowed(&ends, flow, &sets);
}

static bool
has_older_marks(const struct policies *policies)
{
    const struct policy_marks *marks = &policies->marks;

    return marks->also_refused || marks->also_arrived || marks->also_from_pod;
}

static void
end_older_marks(struct policies *policies)
{
    struct policy_marks *marks = &policies->marks;

    marks->also_refused = marks->also_arrived = marks->also_from_pod = 0;
    policies->spec.carried(policies->spec.owner);
}

static uint64_t
rest_after(const struct revoke_report *report)
{
    uint64_t rest_ms = report->us * REVOKE_REST / 1000;

    rest_ms = rest_ms < REVOKE_WINDOW_MAX_MS ? rest_ms : REVOKE_WINDOW_MAX_MS;
    return rest_ms > REVOKE_WINDOW_MS ? rest_ms : REVOKE_WINDOW_MS;
}

static void
on_judged(void *owner, const struct revoke_report *report, const struct err *err)
{
    struct policies *policies = owner;
    const struct policy_marks *marks = &policies->marks;

    if (!err && policies->is_carrying && report->bit == marks->refused &&
        report->carried == marks->also_refused) {
        end_older_marks(policies);
    }
    policies->judging.window_ms = rest_after(report);
    if (err) {
        log_error_every(60, "open connections cannot be judged: %s; trying again", err->text);
        kick_later(&policies->judging, REVOKE_RETRY_MS);
    } else if (report->n_refused > 0) {
        log_info("policy ended %zu open connections", report->n_refused);
    }
}

static void
judge(void *owner)
{
    struct policies *policies = owner;

    host_ends_forget(policies->host_ends);
    revoke_start(policies->revoke);
}

/* From here on nothing gives the older bits. What has them is judged once more behind that: it may
 * have been allowed again meanwhile. */
static void
carry_marks(struct policies *policies)
{
    if (policies->marks.also_refused == 0) {
        end_older_marks(policies);
        return;
    }
    policies->is_carrying = true;
    revoke_carry(policies->revoke, policies->marks.also_refused);
    touch_all(policies);
    kick(&policies->judging);
}

void
policies_settled(struct policies *policies)
{
    if (has_older_marks(policies) && policies->are_marks_wanted && !policies->is_carrying) {
        carry_marks(policies);
    } else if (policies->is_revoking) {
        kick(&policies->judging);
    }
}

void
policies_set_revoking(struct policies *policies, bool is_on)
{
    bool was_on = policies->is_revoking;

    policies->is_revoking = is_on;
    if (is_on && !was_on) {
        touch_all(policies);
    }
}

/* ---- from outside -----------------------------------------------------------------------------
 */

const struct prefix *
policies_addresses(void *owner, const char *ifname, size_t *ret_n)
{
    const struct policies *policies = owner;
    const struct local *local = table_get(policies->locals, ifname);

    *ret_n = local ? local->n_ips : 0;
    return local ? local->ips : NULL;
}

struct policies *
policies_new(const struct policies_spec *spec)
{
    struct policies *policies = NEW(struct policies);
    const struct policy_state_spec calculation = {.node_name = spec->node_name,
                                                  .interface_prefix = spec->interface_prefix,
                                                  .set = on_set,
                                                  .member = on_member,
                                                  .policy = on_policy,
                                                  .list = on_list,
                                                  .endpoint = on_endpoint,
                                                  .owner = policies};
    const struct revoke_spec revoking = {.loop = spec->loop,
                                         .bit = REVOKE_BIT_DEFAULT,
                                         .is_allowed = is_allowed,
                                         .done = on_judged,
                                         .owner = policies};

    policies->spec = *spec;
    policies->state = policy_state_new(&calculation);
    policies->sets = policy_sets_new(spec->sets, spec->ipv6, spec->max_ipset_size);
    policies->chains = wanted_chains_new(spec->interface_prefix, policies_addresses, policies);
    policies->set_ids = set_ids_new();
    policies->host_ends = host_ends_new(spec->netlink, spec->interface_prefix);
    policies->locals = table_new();
    policies->own_addresses = table_new();
    policies->changed = table_new();
    policies->revoke = revoke_new(&revoking);
    kick_init(&policies->judging, spec->loop, REVOKE_WINDOW_MS, judge, policies);
    return policies;
}

static void
local_free(void *value)
{
    struct local *local = value;

    if (local) {
        free(local->ips);
        free(local);
    }
}

void
policies_stop(struct policies *policies)
{
    kick_close(&policies->judging);
    revoke_free(policies->revoke);
}

void
policies_free(struct policies *policies)
{
    if (policies) {
        wanted_chains_free(policies->chains);
        policy_sets_free(policies->sets);
        policy_state_free(policies->state);
        host_ends_free(policies->host_ends);
        set_ids_free(policies->set_ids);
        table_free(policies->locals, local_free);
        table_free(policies->own_addresses, NULL);
        table_free(policies->changed, NULL);
        free(policies);
    }
}

const struct policy_state *
policies_state(const struct policies *policies)
{
    return policies->state;
}

void
policies_note(struct policies *policies, const struct change *change)
{
    policy_state_note(policies->state, change);
}

void
policies_put_local(struct policies *policies, const char *ifname, const char *ns, const char *pod,
                   const struct prefix *ips, size_t n)
{
    struct local *local = NEW(struct local);

    local->is_changed = true;
    local->ips = xmemdup(ips, n * sizeof *ips);
    local->n_ips = n;
    local_free(table_put(policies->locals, ifname, local));
    policy_state_put_local(policies->state, ifname, ns, pod, ips, n);
    wanted_chains_addresses_changed(policies->chains);
}

void
policies_remove_local(struct policies *policies, const char *ifname)
{
    policy_state_remove_local(policies->state, ifname);
    local_free(table_take(policies->locals, ifname));
}

void
policies_interfaces(struct policies *policies, const struct policy_interface *interfaces, size_t n)
{
    table_free(policies->own_addresses, NULL);
    policies->own_addresses = table_new();
    for (size_t i = 0; i < n; i++) {
        table_put_bytes(policies->own_addresses, &interfaces[i].ip, sizeof interfaces[i].ip,
                        policies);
    }
    policy_state_interfaces(policies->state, interfaces, n);
}

void
policies_configure(struct policies *policies, const struct static_rules_config *config)
{
    policies->marks = config->policy->marks;
    policies->are_marks_wanted = policies->is_carrying = false;
    revoke_set_bit(policies->revoke, policies->marks.refused);
    policies->config = config->policy;
    if (host_ends_exist(policies->host_ends)) {
        touch_host(policies); /* failsafe ports are settings */
    }
    wanted_chains_configure(policies->chains, config);
}

void
policies_sources(struct policies *policies, const struct pod_source *sources, size_t n)
{
    wanted_chains_sources(policies->chains, sources, n);
}

void
policies_limits(struct policies *policies, const struct limit_value *limits, size_t n)
{
    wanted_chains_limits(policies->chains, limits, n);
}

void
policies_floating(struct policies *policies, const floating_vec *addresses)
{
    wanted_chains_floating(policies->chains, addresses);
}

void
policies_floating_pairs(const struct policies *policies, floating_pair_vec *ret_pairs)
{
    wanted_chains_floating_pairs(policies->chains, ret_pairs);
}

void
policies_flush(struct policies *policies)
{
    policy_state_flush(policies->state);
    if (table_count(policies->changed) > 0) {
        policies->seen_lists = table_new();
        wanted_chains_each_endpoint(policies->chains, touch_if_changed, policies);
        table_free(policies->seen_lists, NULL);
        table_free(policies->changed, NULL);
        policies->changed = table_new();
    }
}

void
policies_want(struct policies *policies, struct iptables *const tables[2])
{
    wanted_chains_want(policies->chains, tables);
    policies->are_marks_wanted = true;
    TABLE_FOREACH (policies->locals, entry) {
        struct local *local = table_value(entry);
        for (size_t i = 0; i < ARRAY_LEN(local->revisions) && local->is_changed; i++) {
            local->revisions[i] = tables[i] ? iptables_wanted_revision(tables[i]) : 0;
        }
        local->is_changed = false;
    }
}

bool
policies_revisions(const struct policies *policies, const char *ifname, uint64_t ret_wanted[2])
{
    const struct local *local = table_get(policies->locals, ifname);

    if (!local) {
        return false;
    }
    memcpy(ret_wanted, local->revisions, sizeof local->revisions);
    return !local->is_changed;
}

bool
policies_knows_pod(const struct policies *policies, const char *ifname)
{
    return policy_state_knows_pod(policies->state, ifname);
}
