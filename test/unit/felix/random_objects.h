/* For test_policy_state_random.c: one random event, of any kind of object or local endpoint. */
#pragma once

#include "test/unit/felix/told.h"

/* ---- random objects ---------------------------------------------------------------------------
 */

static void
add_pair(struct str *out, const char *key, const char *value)
{
    str_addf(out, "%s\"%s\":\"%s\"", out->len > 0 ? "," : "", key, value);
}

/* Each key in half of the objects, with one of three values. */
static void
random_labels(const char *const *keys, size_t n, struct str *out)
{
    static const char *const values[] = {"x", "y", "z"};

    str_clear(out);
    str_add(out, "");
    for (size_t i = 0; i < n; i++) {
        if (pick(2)) {
            add_pair(out, keys[i], values[pick(3)]);
        }
    }
}

static void
put_labelled(struct world *world, enum kind kind, const char *key, const char *const *keys,
             const char *rest)
{
    AUTO(str) struct str labels = STR_INIT;
    AUTO(str) struct str body = STR_INIT;

    random_labels(keys, 2, &labels);
    str_addf(&body, ",\"labels\":{%s}}%s", str_text(&labels), rest);
    cluster_put(&world->cluster, kind, key, body.text);
}

static const char *const item_keys[] = {"app", "role"};
static const char *const namespace_keys[] = {"env", "projectcalico.org/name"};
static const char *const account_keys[] = {"team", "rank"};

static const char *
random_ip(void)
{
    static const char *const ips[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.4", "10.0.1.5",
                                      "10.1.0.6", "10.1.0.7", "fd00::1",  "fd00::2",  "fd00:1::3"};

    return ips[pick(ARRAY_LEN(ips))];
}

static const char *
random_net(void)
{
    static const char *const nets[] = {"0.0.0.0/0", "0.0.0.0/1",   "10.0.0.0/8", "10.0.0.0/24",
                                       "::/0",      "fd00::/16",   "10.0.0.1",   "fd00::1",
                                       "10.0.1.4",  "10.0.0.0/16", "8000::/1",   "10.1.0.0/30"};

    return nets[pick(ARRAY_LEN(nets))];
}

static void
random_namespaced_key(char prefix, unsigned n, char ret_key[32])
{
    unsigned ns = pick(3);

    snprintf(ret_key, 32, "n%u/%c%u", ns, prefix, pick(n));
}

/* True when the event was a deletion. */
static bool
delete_now_and_then(struct world *world, enum kind kind, const char *key)
{
    if (pick(4) != 0) {
        return false;
    }
    cluster_delete(&world->cluster, kind, key);
    return true;
}

static void
random_pod(struct world *world)
{
    AUTO(str) struct str rest = STR_INIT;
    char key[32];

    random_namespaced_key('p', 5, key);
    if (delete_now_and_then(world, KIND_POD, key)) {
        return;
    }
    str_addf(&rest, ",\"spec\":{\"hostNetwork\":%s", pick(10) ? "false" : "true");
    if (pick(10)) {
        str_addf(&rest, ",\"nodeName\":\"n%u\"", pick(2));
    }
    if (pick(4)) {
        str_addf(&rest, ",\"serviceAccountName\":\"s%u\"", pick(2));
    }
    str_addf(&rest,
             ",\"containers\":[{\"ports\":[{\"name\":\"%s\",\"protocol\":\"%s\","
             "\"containerPort\":%u}]}]},\"status\":{\"phase\":\"%s\",\"podIPs\":[",
             pick(2) ? "http" : "dns", pick(2) ? "TCP" : "UDP", 80 + pick(2),
             pick(8) ? "Running" : "Failed");
    if (pick(4)) {
        str_addf(&rest, "{\"ip\":\"%s\"}", random_ip());
    }
    str_add(&rest, "]}");
    put_labelled(world, KIND_POD, key, item_keys, rest.text);
}

static void
random_parent(struct world *world)
{
    char key[32];

    if (pick(2)) {
        snprintf(key, sizeof key, "n%u", pick(3));
        if (!delete_now_and_then(world, KIND_NAMESPACE, key)) {
            put_labelled(world, KIND_NAMESPACE, key, namespace_keys, "");
        }
    } else {
        random_namespaced_key('s', 2, key);
        if (!delete_now_and_then(world, KIND_SERVICEACCOUNT, key)) {
            put_labelled(world, KIND_SERVICEACCOUNT, key, account_keys, "");
        }
    }
}

static void
random_network_set(struct world *world)
{
    enum kind kind = pick(2) ? KIND_NETWORKSET : KIND_GLOBALNETWORKSET;
    AUTO(str) struct str rest = STR_INIT;
    char key[32];

    if (kind == KIND_NETWORKSET) {
        random_namespaced_key('w', 2, key);
    } else {
        snprintf(key, sizeof key, "g%u", pick(3));
    }
    if (delete_now_and_then(world, kind, key)) {
        return;
    }
    str_add(&rest, ",\"spec\":{\"nets\":[");
    for (unsigned i = 0, n = pick(4); i < n; i++) {
        str_addf(&rest, "%s\"%s\"", i > 0 ? "," : "", random_net());
    }
    str_add(&rest, "]}");
    put_labelled(world, kind, key, item_keys, rest.text);
}

static void
random_host(struct world *world)
{
    static const char *const interfaces[] = {"eth0", "eth1", "*", "cali0", NULL};
    static const char *const profiles[] = {"projectcalico-default-allow", "kns.n0", "other"};
    const char *interface = interfaces[pick(ARRAY_LEN(interfaces))];
    AUTO(str) struct str rest = STR_INIT;
    char key[32];

    snprintf(key, sizeof key, "h%u", pick(5));
    if (delete_now_and_then(world, KIND_HOSTENDPOINT, key)) {
        return;
    }
    str_addf(&rest, ",\"spec\":{\"node\":\"%s\"", pick(4) ? "n1" : "n2");
    if (interface != NULL) {
        str_addf(&rest, ",\"interfaceName\":\"%s\"", interface);
    }
    if (interface == NULL || pick(2)) {
        str_addf(&rest, ",\"expectedIPs\":[\"%s\"]", random_ip());
    }
    if (pick(2)) {
        str_addf(&rest, ",\"profiles\":[\"%s\"]", profiles[pick(3)]);
    }
    str_addf(&rest, ",\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":%u}]}",
             90 + pick(2));
    put_labelled(world, KIND_HOSTENDPOINT, key, item_keys, rest.text);
}

static void
random_slice(struct world *world)
{
    AUTO(str) struct str body = STR_INIT;
    char key[32];

    random_namespaced_key('e', 3, key);
    if (delete_now_and_then(world, KIND_ENDPOINTSLICE, key)) {
        return;
    }
    if (pick(4)) {
        str_addf(&body, ",\"labels\":{\"kubernetes.io/service-name\":\"v%u\"}", pick(2));
    }
    str_addf(&body,
             "},\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"%s\",\"%s\"]}],"
             "\"ports\":[",
             random_ip(), random_ip());
    for (unsigned i = 0, n = pick(3); i < n; i++) {
        str_addf(&body, "%s{\"name\":\"q%u\",\"protocol\":\"TCP\",\"port\":%u}", i > 0 ? "," : "",
                 i, 80 + pick(3));
    }
    str_add(&body, "]");
    cluster_put(&world->cluster, KIND_ENDPOINTSLICE, key, body.text);
}

static void
random_node(struct world *world)
{
    AUTO(str) struct str rest = STR_INIT;
    char key[32];

    snprintf(key, sizeof key, "m%u", pick(4));
    if (delete_now_and_then(world, KIND_NODE, key)) {
        return;
    }
    str_add(&rest, ",\"status\":{\"addresses\":[");
    for (unsigned i = 0, n = pick(3); i < n; i++) {
        str_addf(&rest, "%s{\"type\":\"%s\",\"address\":\"%s\"}", i > 0 ? "," : "",
                 pick(2) ? "InternalIP" : "ExternalIP", random_ip());
    }
    str_add(&rest, "]}");
    put_labelled(world, KIND_NODE, key, item_keys, rest.text);
}

static const char *const tier_names[] = {"default", "kube-admin", "kube-baseline",
                                         "t0",      "t1",         "t2"};

static void
random_tier(struct world *world)
{
    const char *name = tier_names[pick(ARRAY_LEN(tier_names))];
    char body[128];

    if (delete_now_and_then(world, KIND_TIER, name)) {
        return;
    }
    snprintf(body, sizeof body, "},\"spec\":{\"order\":%u,\"defaultAction\":\"%s\"}",
             pick(3) * 900000, pick(2) ? "Pass" : "Deny");
    cluster_put(&world->cluster, KIND_TIER, name, body);
}

static void
random_atom(struct str *out)
{
    static const char *const atoms[] = {
        "app == 'x'",
        "app != 'y'",
        "role in {'x','z'}",
        "role not in {'x'}",
        "has(app)",
        "!has(role)",
        "all()",
        "app starts with 'z'",
        "pcns.env == 'x'",
        "has(pcns.env)",
        "pcns.projectcalico.org/name in {'n1','x'}",
        "pcsa.team == 'y'",
        "projectcalico.org/namespace == 'n0'",
        "projectcalico.org/orchestrator == 'k8s'",
        "projectcalico.org/serviceaccount == 's1'",
        "!has(projectcalico.org/namespace)",
    };

    str_add(out, atoms[pick(ARRAY_LEN(atoms))]);
}

/* Canonical; the caller frees. */
static char *
random_selector(void)
{
    AUTO(str) struct str text = STR_INIT;
    AUTO(str) struct str canonical = STR_INIT;
    struct selector *selector = NULL;

    random_atom(&text);
    for (unsigned i = 0, n = pick(3); i < n; i++) {
        str_add(&text, pick(3) ? " && " : " || ");
        random_atom(&text);
    }
    assert_true(selector_parse(text.text, &selector, NULL));
    selector_print(selector, &canonical);
    selector_free(selector);
    return str_steal(&canonical);
}

static void
random_peer(struct policy_rule *rule, struct rule_peer *peer)
{
    switch (pick(6)) {
    case 5:
        peer->node_selector = random_selector();
        break;
    case 0:
        peer->selector = random_selector();
        break;
    case 1:
        peer->not_selector = random_selector();
        break;
    case 2:
        rule->protocol = pick(2) ? IPPROTO_TCP : IPPROTO_UDP;
        peer->selector = pick(2) ? random_selector() : NULL;
        peer->named_ports = xcalloc(1, sizeof(char *));
        peer->named_ports[0] = xstrdup(pick(2) ? "http" : "dns");
        peer->n_named_ports = 1;
        break;
    case 3: {
        char ns[8], name[8];
        snprintf(ns, sizeof ns, "n%u", pick(3));
        snprintf(name, sizeof name, "v%u", pick(2));
        peer->service_ns = xstrdup(ns);
        peer->service_name = xstrdup(name);
        break;
    }
    default:
        break;
    }
}

static void
random_rules(struct policy *policy)
{
    for (unsigned i = 0, n = pick(4); i < n; i++) {
        struct policy_rule *rule = policy_add_rule(policy, pick(2), (enum rule_action)pick(4));
        random_peer(rule, pick(2) ? &rule->source : &rule->destination);
    }
}

static const struct {
    enum kind kind;
    enum policy_origin origin;
    bool is_staged, is_namespaced;
} policy_kinds[] = {
    {KIND_NETWORKPOLICY, POLICY_KUBERNETES, false, true},
    {KIND_CALICONETWORKPOLICY, POLICY_NAMESPACED, false, true},
    {KIND_GLOBALNETWORKPOLICY, POLICY_GLOBAL, false, false},
    {KIND_STAGEDNETWORKPOLICY, POLICY_NAMESPACED, true, true},
    {KIND_STAGEDGLOBALNETWORKPOLICY, POLICY_GLOBAL, true, false},
    {KIND_STAGEDKUBERNETESNETWORKPOLICY, POLICY_KUBERNETES, true, true},
    {KIND_CLUSTERNETWORKPOLICY, POLICY_CLUSTER, false, false},
};

static struct policy *
random_policy_object(unsigned which, const char *ns, const char *name)
{
    struct policy *policy = policy_make(ns, name, "");

    policy->origin = policy_kinds[which].origin;
    policy->is_staged = policy_kinds[which].is_staged;
    free(policy->selector);
    policy->selector = random_selector();
    free(policy->tier);
    policy->tier = xstrdup(tier_names[pick(ARRAY_LEN(tier_names))]);
    policy->order = pick(3) ? (double)pick(3) : HUGE_VAL;
    policy->applies_ingress = pick(4) != 0;
    policy->applies_egress = pick(2) != 0;
    policy->is_always_programmed = pick(10) == 0;
    if (policy->origin == POLICY_GLOBAL && pick(2)) {
        policy->applies_on_forward = true;
        policy->is_untracked = pick(3) == 0;
        policy->is_pre_dnat = !policy->is_untracked && pick(3) == 0;
    }
    random_rules(policy);
    return policy;
}

static void
exchange(char **one, char **other)
{
    char *text = *one;

    *one = *other;
    *other = text;
}

/* 'policy' becomes what 'was' is but for one thing. Rules are always new ones. */
static void
keep_most(struct policy *policy, const struct policy *was)
{
    AUTO_FREE char *tier = xstrdup(was->tier);
    AUTO_FREE char *selector = xstrdup(was->selector);
    const struct policy drawn = *policy;
    unsigned what = pick(6);

    if (what != 0) {
        policy->order = was->order;
    }
    if (what != 1) {
        exchange(&policy->tier, &tier);
    }
    if (what != 2) {
        exchange(&policy->selector, &selector);
    }
    policy->applies_ingress = what == 3 ? drawn.applies_ingress : was->applies_ingress;
    policy->applies_egress = what == 3 ? drawn.applies_egress : was->applies_egress;
    if (what != 4) {
        policy->is_untracked = was->is_untracked;
        policy->is_pre_dnat = was->is_pre_dnat;
        policy->applies_on_forward = was->applies_on_forward;
    }
    policy->is_always_programmed =
        what == 5 ? drawn.is_always_programmed : was->is_always_programmed;
}

static void
random_policy(struct world *world)
{
    unsigned which = pick(ARRAY_LEN(policy_kinds));
    enum kind kind = policy_kinds[which].kind;
    char key[32], ns[8], name[8];

    snprintf(ns, sizeof ns, "n%u", pick(3));
    snprintf(name, sizeof name, "a%u", pick(3));
    if (policy_kinds[which].is_namespaced) {
        snprintf(key, sizeof key, "%s/%s", ns, name);
    } else {
        snprintf(key, sizeof key, "%s", name);
    }
    if (delete_now_and_then(world, kind, key)) {
        return;
    }
    struct policy *policy =
        random_policy_object(which, policy_kinds[which].is_namespaced ? ns : NULL, name);
    const struct policy *was = store_get(world->cluster.store, kind, key);
    if (was != NULL && pick(3)) {
        keep_most(policy, was);
    }
    store_put(world->cluster.store, kind, key, policy);
}

static void
random_local(struct world *world)
{
    struct local_model *local = &world->locals[pick(N_LOCALS)];

    free(local->ns);
    free(local->pod);
    local->ns = local->pod = NULL;
    if (pick(3) == 0) {
        local->is_there = false;
        local->n_ips = 0;
        policy_state_remove_local(world->cluster.state, local->ifname);
        return;
    }
    local->is_there = true;
    if (pick(10)) {
        char key[32];
        random_namespaced_key('p', 5, key);
        *strchr(key, '/') = '\0';
        local->ns = xstrdup(key);
        local->pod = xstrdup(key + strlen(key) + 1);
    }
    local->n_ips = 1 + pick(2);
    for (size_t i = 0; i < local->n_ips; i++) {
        assert_true(prefix_parse_host(random_ip(), &local->ips[i], NULL));
    }
    policy_state_put_local(world->cluster.state, local->ifname, local->ns, local->pod, local->ips,
                           local->n_ips);
}

static void
random_interfaces(struct world *world)
{
    static const char *const names[] = {"eth0", "eth1", "eth2", "cali9"};

    world->n_interfaces = pick(N_INTERFACES + 1);
    for (size_t i = 0; i < world->n_interfaces; i++) {
        snprintf(world->interfaces[i].ifname, sizeof world->interfaces[i].ifname, "%s",
                 names[pick(4)]);
        assert_true(ip_parse(random_ip(), &world->interfaces[i].ip, NULL));
    }
    policy_state_interfaces(world->cluster.state, world->interfaces, world->n_interfaces);
}

static void
random_event(struct world *world)
{
    unsigned what = pick(100);

    if (what < 25) {
        random_pod(world);
    } else if (what < 32) {
        random_parent(world);
    } else if (what < 40) {
        random_network_set(world);
    } else if (what < 47) {
        random_host(world);
    } else if (what < 53) {
        random_slice(world);
    } else if (what < 58) {
        random_tier(world);
    } else if (what < 80) {
        random_policy(world);
    } else if (what < 92) {
        random_local(world);
    } else if (what < 97) {
        random_node(world);
    } else {
        random_interfaces(world);
    }
}
