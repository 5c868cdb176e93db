/* For test_policy_state_random.c: what has to hold, worked out from scratch by matching everything
 * with everything. */
#pragma once

#include "test/unit/felix/random_objects.h"

/* ---- from scratch -----------------------------------------------------------------------------
 */

/* One that has labels: everything a selector can match. */
struct item {
    enum kind kind;
    const void *object;
    struct labels labels;
};

struct expected {
    struct world *world;
    VEC(struct item) items; /* of the cluster */
    VEC(struct item) here;  /* of this node; object NULL: has no labels, nothing selects it */
    VEC(struct str) texts;  /* beside 'here': what the endpoint should be, or none */
    struct table *set_ids;  /* those seen */
};

static const struct selector *
parsed(struct world *world, const char *text)
{
    struct selector *selector = table_get(world->selectors, text);

    if (selector == NULL) {
        assert_true(selector_parse(text, &selector, NULL));
        table_put(world->selectors, text, selector);
    }
    return selector;
}

static bool
matches(struct world *world, const char *text, const struct item *item)
{
    return selector_matches(parsed(world, text), labels_lookup, &item->labels);
}

typedef VEC(struct label) pair_vec;

static void
add_unless_there(pair_vec *pairs, const char *key, const char *value)
{
    VEC_FOREACH (pairs, it) {
        if (strcmp(it->key, key) == 0) {
            return;
        }
    }
    VEC_PUSH(pairs, (struct label){xstrdup(key), xstrdup(value)});
}

static void
inherit(pair_vec *pairs, const char *prefix, const char *name, const struct labels *labels)
{
    char key[128];

    snprintf(key, sizeof key, "%sprojectcalico.org/name", prefix);
    add_unless_there(pairs, key, name);
    for (size_t i = 0; i < labels->n; i++) {
        snprintf(key, sizeof key, "%s%s", prefix, labels->items[i].key);
        add_unless_there(pairs, key, labels->items[i].value);
    }
}

static void
add_all(pair_vec *pairs, const struct labels *labels)
{
    for (size_t i = 0; i < labels->n; i++) {
        add_unless_there(pairs, labels->items[i].key, labels->items[i].value);
    }
}

static void
add_namespace(const struct store *store, pair_vec *pairs, const char *name)
{
    const struct namespace *ns = store_get(store, KIND_NAMESPACE, name);

    add_unless_there(pairs, "projectcalico.org/namespace", name);
    if (ns != NULL) {
        inherit(pairs, "pcns.", name, &ns->labels);
    }
}

static void
add_account(const struct store *store, pair_vec *pairs, const struct pod *pod)
{
    char key[64];

    if (pod->service_account == NULL) {
        return;
    }
    snprintf(key, sizeof key, "%s/%s", pod->ns, pod->service_account);
    const struct service_account *account = store_get(store, KIND_SERVICEACCOUNT, key);
    add_unless_there(pairs, "projectcalico.org/serviceaccount", pod->service_account);
    if (account != NULL) {
        inherit(pairs, "pcsa.", account->name, &account->labels);
    }
}

static struct item
item_of(const struct store *store, enum kind kind, const void *object)
{
    struct item item = {.kind = kind, .object = object};
    pair_vec pairs = VEC_INIT;

    if (kind == KIND_POD) {
        const struct pod *pod = object;
        add_all(&pairs, &pod->labels);
        add_unless_there(&pairs, "projectcalico.org/orchestrator", "k8s");
        add_namespace(store, &pairs, pod->ns);
        add_account(store, &pairs, pod);
    } else if (kind == KIND_HOSTENDPOINT) {
        add_all(&pairs, &((const struct host_endpoint *)object)->labels);
    } else {
        const struct network_set *set = object;
        add_all(&pairs, &set->labels);
        if (set->ns != NULL) {
            add_namespace(store, &pairs, set->ns);
        }
    }
    item.labels = labels_from(pairs.items, pairs.n);
    VEC_FOREACH (&pairs, it) {
        free(it->key);
        free(it->value);
    }
    VEC_DONE(&pairs);
    return item;
}

/* Policy is about scheduled pods that are not in the node's network. */
static bool
is_subject(const struct pod *pod)
{
    return pod != NULL && !pod->is_host_network && pod->node_name != NULL;
}

static void
collect_items(struct expected *expected)
{
    static const enum kind kinds[] = {KIND_POD, KIND_NETWORKSET, KIND_GLOBALNETWORKSET,
                                      KIND_HOSTENDPOINT};
    const struct store *store = expected->world->cluster.store;

    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        for (size_t i = 0; i < store_count(store, kinds[k]); i++) {
            const struct pod *pod = store_at(store, kinds[k], i);
            if (kinds[k] != KIND_POD || (is_subject(pod) && !pod->is_finished)) {
                VEC_PUSH(&expected->items, item_of(store, kinds[k], pod));
            }
        }
    }
}

/* ---- expected members -------------------------------------------------------------------------
 */

typedef VEC(struct prefix) net_vec;

static void
nets_of(const struct world *world, const struct item *item, net_vec *nets)
{
    if (item->kind == KIND_POD) {
        const struct pod *pod = item->object;
        const struct ip *ips[] = {&pod->ip4, &pod->ip6};
        for (size_t i = 0; i < 2; i++) {
            if (ips[i]->family != 0) {
                VEC_PUSH(nets, prefix_of_ip(ips[i]));
            }
        }
        for (size_t i = 0; i < N_LOCALS; i++) {
            const struct local_model *local = &world->locals[i];
            bool is_its = local->is_there && local->pod != NULL &&
                          strcmp(local->pod, pod->name) == 0 && strcmp(local->ns, pod->ns) == 0;
            for (size_t k = 0; is_its && k < local->n_ips; k++) {
                VEC_PUSH(nets, local->ips[k]);
            }
        }
    } else if (item->kind == KIND_HOSTENDPOINT) {
        const struct host_endpoint *host = item->object;
        for (size_t i = 0; i < host->n_expected_ips; i++) {
            VEC_PUSH(nets, prefix_of_ip(&host->expected_ips[i]));
        }
    } else {
        const struct network_set *set = item->object;
        for (size_t i = 0; i < set->n_nets; i++) {
            VEC_PUSH(nets, set->nets[i]);
        }
    }
}

static void
expect_member(struct table *members, const struct prefix *net, uint8_t protocol, uint16_t port)
{
    struct policy_set_member member = {.prefix = *net, .protocol = protocol, .port = port};

    if (net->len == 0) {
        member.prefix.len = 1;
        struct packed low = pack(&member);
        table_put_bytes(members, &low, sizeof low, &in_use);
        member.prefix.ip.bytes[0] = 0x80;
    }
    struct packed packed = pack(&member);
    table_put_bytes(members, &packed, sizeof packed, &in_use);
}

static void
expect_ports(struct table *members, const struct item *item, const net_vec *nets,
             const struct set_need *need)
{
    const struct named_port *ports = NULL;
    size_t n = 0;

    if (item->kind == KIND_POD) {
        ports = ((const struct pod *)item->object)->ports;
        n = ((const struct pod *)item->object)->n_ports;
    } else if (item->kind == KIND_HOSTENDPOINT) {
        ports = ((const struct host_endpoint *)item->object)->ports;
        n = ((const struct host_endpoint *)item->object)->n_ports;
    }
    for (size_t i = 0; i < n; i++) {
        bool is_it =
            strcmp(ports[i].name, need->port_name) == 0 && ports[i].protocol == need->protocol;
        for (size_t k = 0; is_it && k < nets->n; k++) {
            expect_member(members, &nets->items[k], ports[i].protocol, ports[i].port);
        }
    }
}

static void
expect_service(struct table *members, const struct store *store, const struct set_need *need)
{
    for (size_t i = 0; i < store_count(store, KIND_ENDPOINTSLICE); i++) {
        const struct endpoint_slice *slice = store_at(store, KIND_ENDPOINTSLICE, i);
        if (slice->service == NULL || strcmp(slice->service, need->service_name) != 0 ||
            strcmp(slice->ns, need->service_ns) != 0) {
            continue;
        }
        for (size_t k = 0; k < slice->n_ips; k++) {
            struct prefix net = prefix_of_ip(&slice->ips[k]);
            if (need->set.kind == SET_NETS) {
                expect_member(members, &net, 0, 0);
            }
            for (size_t p = 0; need->set.kind == SET_IP_PORTS && p < slice->n_ports; p++) {
                expect_member(members, &net, slice->ports[p].protocol, slice->ports[p].port);
            }
        }
    }
}

static void
expect_selected(struct expected *expected, struct table *members, const struct set_need *need)
{
    VEC_FOREACH (&expected->items, item) {
        net_vec nets = VEC_INIT;
        if (need->selector != NULL && !matches(expected->world, need->selector, item)) {
            continue;
        }
        nets_of(expected->world, item, &nets);
        if (need->port_name != NULL) {
            expect_ports(members, item, &nets, need);
        } else {
            VEC_FOREACH (&nets, net) {
                expect_member(members, net, 0, 0);
            }
        }
        VEC_DONE(&nets);
    }
}

static void
expect_nodes(struct expected *expected, struct table *members, const struct set_need *need)
{
    const struct store *store = expected->world->cluster.store;
    const struct selector *selector = parsed(expected->world, need->node_selector);

    for (size_t i = 0; i < store_count(store, KIND_NODE); i++) {
        const struct node *node = store_at(store, KIND_NODE, i);
        bool is_it = selector_matches(selector, labels_lookup, &node->labels);
        for (size_t k = 0; is_it && k < node->n_ips; k++) {
            struct prefix net = prefix_of_ip(&node->ips[k]);
            expect_member(members, &net, 0, 0);
        }
    }
}

/* What policy_state_holds() says of an address, against the members one by one. */
static void
check_holds(const struct world *world, const struct told_set *set)
{
    struct policy_set_member asked = {.protocol = 0};
    bool is_held = false;

    assert_true(prefix_parse_host(random_ip(), &asked.prefix, NULL));
    if (set->set.kind == SET_IP_PORTS) {
        asked.protocol = IPPROTO_TCP;
        asked.port = (uint16_t)(80 + pick(2));
    }
    TABLE_FOREACH (set->members, it) {
        struct policy_set_member member = {.protocol = 0};
        const char *key = table_key(it);
        memcpy(&member.prefix.ip, key, 17);
        member.prefix.len = (uint8_t)key[17];
        member.protocol = (uint8_t)key[18];
        memcpy(&member.port, key + 19, 2);
        is_held |= member.prefix.ip.family == asked.prefix.ip.family &&
                   prefix_contains_ip(&member.prefix, &asked.prefix.ip) &&
                   member.protocol == asked.protocol && member.port == asked.port;
    }
    assert_int_equal(policy_state_holds(world->cluster.state, &set->set, &asked), is_held);
}

static void
check_set(void *owner, const struct set_need *need)
{
    struct expected *expected = owner;
    const struct told_set *told = table_get(expected->world->told.sets, need->set.id);

    if (table_put(expected->set_ids, need->set.id, &in_use) != NULL) {
        return;
    }
    assert_non_null(told);
    struct table *members = table_new();
    if (need->service_name != NULL) {
        expect_service(members, expected->world->cluster.store, need);
    } else if (need->node_selector != NULL) {
        expect_nodes(expected, members, need);
    } else {
        expect_selected(expected, members, need);
    }
    assert_int_equal(table_count(told->members), table_count(members));
    TABLE_FOREACH (members, it) {
        assert_non_null(table_get_bytes(told->members, table_key(it), table_key_len(it)));
    }
    table_free(members, NULL);
    check_holds(expected->world, told);
}

/* ---- expected endpoints -----------------------------------------------------------------------
 */

static void
expect_local(struct expected *expected, const struct local_model *local)
{
    const struct store *store = expected->world->cluster.store;
    struct item item = {.kind = KIND_POD};
    struct str text = STR_INIT;
    char key[64];

    if (local->pod == NULL) {
        str_addf(&text, "%s container %s 0\n00 1\n01 1\n", local->ifname, local->ifname);
    } else {
        snprintf(key, sizeof key, "%s/%s", local->ns, local->pod);
        const struct pod *pod = store_get(store, KIND_POD, key);
        str_addf(&text, "%s pod %s 0\n", local->ifname, key);
        if (is_subject(pod)) {
            item = item_of(store, KIND_POD, pod);
        } else {
            str_add(&text, "00 0\n01 0\n");
        }
    }
    assert_int_equal(policy_state_knows_pod(expected->world->cluster.state, local->ifname),
                     item.object != NULL);
    VEC_PUSH(&expected->here, item);
    VEC_PUSH(&expected->texts, text);
}

static bool
speaks_of(const struct world *world, const struct host_endpoint *host, const char *ifname)
{
    if (strcmp(host->node, "n1") != 0) {
        return false;
    }
    if (host->interface_name != NULL) {
        return strcmp(host->interface_name, ifname) == 0;
    }
    for (size_t i = 0; i < world->n_interfaces; i++) {
        for (size_t k = 0; k < host->n_expected_ips; k++) {
            if (strcmp(world->interfaces[i].ifname, ifname) == 0 &&
                ip_equal(&world->interfaces[i].ip, &host->expected_ips[k])) {
                return true;
            }
        }
    }
    return false;
}

static void
expect_host(struct expected *expected, const char *ifname)
{
    const struct store *store = expected->world->cluster.store;
    const struct host_endpoint *best = NULL;
    struct str text = STR_INIT;

    for (size_t i = 0; i < store_count(store, KIND_HOSTENDPOINT); i++) {
        const struct host_endpoint *host = store_at(store, KIND_HOSTENDPOINT, i);
        if (speaks_of(expected->world, host, ifname) &&
            (best == NULL || strcmp(host->name, best->name) < 0)) {
            best = host;
        }
    }
    if (best != NULL) {
        str_addf(&text, "%s host %s 1\n", ifname, best->name);
        VEC_PUSH(&expected->here, item_of(store, KIND_HOSTENDPOINT, best));
        VEC_PUSH(&expected->texts, text);
    }
}

static void
collect_here(struct expected *expected)
{
    static const char *const names[] = {"eth0", "eth1", "eth2", "*"};

    for (size_t i = 0; i < N_LOCALS; i++) {
        if (expected->world->locals[i].is_there) {
            expect_local(expected, &expected->world->locals[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        expect_host(expected, names[i]);
    }
}

/* Smaller comes first. */
static bool
comes_before(const struct store *store, const struct policy *a, const struct policy *b)
{
    const struct tier *one = tier_builtin(a->tier), *other = tier_builtin(b->tier);

    one = one != NULL ? one : store_get(store, KIND_TIER, a->tier);
    other = other != NULL ? other : store_get(store, KIND_TIER, b->tier);
    if (strcmp(a->tier, b->tier) == 0) {
        return policy_compare(a, b) < 0;
    }
    if (one == NULL || other == NULL) {
        return one != NULL || (other == NULL && strcmp(a->tier, b->tier) < 0);
    }
    return one->order < other->order ||
           (!(one->order > other->order) && strcmp(a->tier, b->tier) < 0);
}

typedef VEC(const struct policy *) policy_vec;

static void
insert_in_order(const struct store *store, policy_vec *policies, const struct policy *policy)
{
    size_t at = policies->n;

    VEC_PUSH(policies, policy);
    for (; at > 0 && comes_before(store, policy, policies->items[at - 1]); at--) {
        policies->items[at] = policies->items[at - 1];
    }
    policies->items[at] = policy;
}

static bool
works_for(const struct policy *policy, bool is_host, bool is_star, unsigned use, unsigned direction)
{
    if (direction == INGRESS ? !policy->applies_ingress : !policy->applies_egress) {
        return false;
    }
    if (policy->is_untracked) {
        return use == USE_UNTRACKED && is_host && !is_star;
    }
    if (policy->is_pre_dnat) {
        return use == USE_PRE_DNAT && is_host && direction == INGRESS;
    }
    return use == USE_NORMAL || (use == USE_FORWARD && is_host && policy->applies_on_forward);
}

static void
expect_list(const struct store *store, const policy_vec *policies, struct str *out)
{
    const char *tier = "";

    VEC_FOREACH (policies, it) {
        if (strcmp(tier, (*it)->tier) != 0) {
            const struct tier *object = tier_builtin((*it)->tier);
            object = object != NULL ? object : store_get(store, KIND_TIER, (*it)->tier);
            tier = (*it)->tier;
            str_addf(out, " %s(%d)", tier, object != NULL && object->is_default_pass);
        }
        str_add_char(out, ' ');
        policy_key(*it, out);
    }
}

static bool
profile_allows(const struct store *store, const struct item *item)
{
    if (item->kind == KIND_POD) {
        return store_get(store, KIND_NAMESPACE, ((const struct pod *)item->object)->ns) != NULL;
    }
    const struct host_endpoint *host = item->object;
    for (size_t i = 0; i < host->n_profiles; i++) {
        if (strcmp(host->profiles[i], "projectcalico-default-allow") == 0 ||
            (strncmp(host->profiles[i], "kns.", 4) == 0 &&
             store_get(store, KIND_NAMESPACE, host->profiles[i] + 4) != NULL)) {
            return true;
        }
    }
    return false;
}

static void
expect_lists(struct expected *expected, const struct item *item, struct str *text)
{
    const struct store *store = expected->world->cluster.store;
    bool is_host = item->kind == KIND_HOSTENDPOINT, is_star = text->text[0] == '*';
    policy_vec applied = VEC_INIT;

    for (size_t k = 0; k < ARRAY_LEN(policy_kinds); k++) {
        for (size_t i = 0; i < store_count(store, policy_kinds[k].kind); i++) {
            const struct policy *policy = store_at(store, policy_kinds[k].kind, i);
            if (matches(expected->world, policy->selector, item)) {
                insert_in_order(store, &applied, policy);
            }
        }
    }
    for (unsigned i = 0; i < N_USES * N_DIRECTIONS; i++) {
        policy_vec used = VEC_INIT;
        VEC_FOREACH (&applied, it) {
            if (works_for(*it, is_host, is_star, i / 2, i % 2)) {
                VEC_PUSH(&used, *it);
            }
        }
        if (used.n > 0 || i / 2 == USE_NORMAL) {
            bool has_profile = i / 2 == USE_NORMAL;
            str_addf(text, "%u%u", i / 2, i % 2);
            expect_list(store, &used, text);
            str_addf(text, " %d\n", has_profile && profile_allows(store, item));
        }
        VEC_DONE(&used);
    }
    VEC_DONE(&applied);
}

static void
check_endpoints(struct expected *expected)
{
    const struct world *world = expected->world;

    assert_int_equal(table_count(world->told.endpoints), expected->here.n);
    for (size_t i = 0; i < expected->here.n; i++) {
        struct str *text = &expected->texts.items[i];
        AUTO(str) struct str now = STR_INIT;
        char ifname[16];
        if (expected->here.items[i].object != NULL) {
            expect_lists(expected, &expected->here.items[i], text);
        }
        snprintf(ifname, sizeof ifname, "%.*s", (int)strcspn(text->text, " "), text->text);
        const struct told_endpoint *told = table_get(world->told.endpoints, ifname);
        assert_non_null(told);
        assert_ptr_equal(policy_state_endpoint(world->cluster.state, ifname), told->endpoint);
        endpoint_text(told->endpoint, &now);
        assert_string_equal(now.text, text->text);
        assert_string_equal(told->text, text->text);
    }
}
