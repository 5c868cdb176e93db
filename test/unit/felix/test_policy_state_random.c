/* felix/calc/policy_state under random histories: after every flush what it told is held against
 * what the objects say, worked out from scratch by matching everything with everything; every
 * output is held against the order that never opens; at the end the same objects in another order
 * must give the same.
 *
 * CANAL_TEST_EVENTS sets how many events there are, CANAL_TEST_SEED the first seed. */
#include "lib/model/endpoint_slice.h"
#include "lib/model/host_endpoint.h"
#include "lib/model/namespace.h"
#include "lib/model/network_set.h"
#include "lib/model/pod.h"
#include "lib/model/tier.h"
#include "test/unit/felix/cluster.h"

#define N_EVENTS 100000
#define EVENTS_PER_SEED 5000
#define N_LOCALS 6
#define N_INTERFACES 3

#include "lib/base/table.h"
#include "lib/selector/selector.h"

/* ---- what was told ----------------------------------------------------------------------------
 */

struct told_set {
    struct policy_set set;
    struct table *members; /* packed -> the number of the flush that told it, as a pointer */
    uintptr_t flush;       /* that told it */
};

struct told_endpoint {
    const struct policy_endpoint *endpoint;
    char *text; /* as it was when told */
    uintptr_t flush;
};

struct told {
    struct table *sets;      /* id -> struct told_set */
    struct table *policies;  /* id -> const struct active_policy */
    struct table *lists;     /* id -> const struct verdict_list */
    struct table *endpoints; /* ifname -> struct told_endpoint */
    struct table *changed;   /* "kind key" of policies that changed since the last flush */
    struct table *new_ones;  /* policies and lists told first by this flush */
    uintptr_t flush;
    bool is_flushing, has_removed;
};

struct local_model {
    char ifname[16];
    bool is_there;
    char *ns, *pod; /* NULL: no pod's */
    struct prefix ips[2];
    size_t n_ips;
};

struct world {
    struct cluster cluster;
    struct told told;
    struct local_model locals[N_LOCALS];
    struct policy_interface interfaces[N_INTERFACES];
    size_t n_interfaces;
    struct table *selectors; /* text -> struct selector */
};

static char in_use; /* a value for tables that are sets */

static unsigned
pick(unsigned n)
{
    return (unsigned)rand() % n;
}

struct packed {
    uint8_t bytes[24];
};

static struct packed
pack(const struct policy_set_member *member)
{
    struct packed packed = {0};

    memcpy(packed.bytes, &member->prefix.ip, 17);
    packed.bytes[17] = member->prefix.len;
    packed.bytes[18] = member->protocol;
    memcpy(packed.bytes + 19, &member->port, 2);
    return packed;
}

/* What all outputs have in common: only while flushing; what is added comes before what goes. */
static struct told *
step(void *owner, bool is_added)
{
    struct told *told = owner;

    assert_true(told->is_flushing);
    assert_false(is_added && told->has_removed);
    told->has_removed |= !is_added;
    return told;
}

static void
set_needed(void *owner, const struct set_need *need)
{
    const struct told *told = owner;

    assert_non_null(table_get(told->sets, need->set.id));
}

static void
set_not_needed(void *owner, const struct set_need *need)
{
    assert_string_not_equal(owner, need->set.id);
}

static void
told_set_free(void *value)
{
    struct told_set *set = value;

    table_free(set->members, NULL);
    free(set);
}

static void
on_set(void *owner, const struct policy_set *set, bool is_active)
{
    struct told *told = step(owner, is_active);
    char id[POLICY_SET_ID_MAX];

    snprintf(id, sizeof id, "%s", set->id);
    if (is_active) {
        struct told_set *it = NEW(struct told_set);
        it->set = *set;
        it->members = table_new();
        it->flush = told->flush;
        assert_null(table_put(told->sets, set->id, it));
        return;
    }
    struct told_set *it = table_take(told->sets, set->id);
    assert_non_null(it);
    assert_true(it->flush < told->flush);
    told_set_free(it);
    TABLE_FOREACH (told->policies, entry) {
        const struct active_policy *active = table_value(entry);
        policy_each_set(active->policy, set_not_needed, id);
    }
}

static void
on_member(void *owner, const struct policy_set *set, const struct policy_set_member *member,
          bool is_added)
{
    struct told *told = step(owner, is_added);
    struct told_set *it = table_get(told->sets, set->id);
    struct packed packed = pack(member);

    assert_non_null(it);
    assert_true(member->prefix.len > 0);
    if (is_added) {
        assert_null(table_put_bytes(it->members, &packed, sizeof packed, (void *)told->flush));
    } else {
        uintptr_t flush = (uintptr_t)table_take_bytes(it->members, &packed, sizeof packed);
        assert_true(flush > 0 && flush < told->flush);
    }
}

static bool
lists_policy(const struct verdict_list *list, const struct active_policy *policy)
{
    for (size_t i = 0; i < list->n_tiers; i++) {
        for (size_t k = 0; k < list->tiers[i].n_policies; k++) {
            if (list->tiers[i].policies[k] == policy) {
                return true;
            }
        }
    }
    return false;
}

static void
policy_key(const struct policy *policy, struct str *out)
{
    str_addf(out, "%d%d %s/%s", policy->origin, policy->is_staged,
             policy->ns != NULL ? policy->ns : "", policy->name);
}

static void
on_policy(void *owner, const struct active_policy *policy, bool is_active)
{
    struct told *told = step(owner, is_active);
    AUTO(str) struct str key = STR_INIT;

    if (!is_active) {
        assert_ptr_equal(table_take(told->policies, policy->id), policy);
        assert_null(table_get(told->new_ones, policy->id));
        TABLE_FOREACH (told->lists, it) {
            assert_false(lists_policy(table_value(it), policy));
        }
        return;
    }
    policy_each_set(policy->policy, set_needed, told);
    if (table_put(told->policies, policy->id, (void *)(uintptr_t)policy) != NULL) {
        policy_key(policy->policy, &key);
        assert_non_null(table_take(told->changed, key.text));
    } else {
        assert_null(table_put(told->new_ones, policy->id, &in_use));
    }
}

static void
on_list(void *owner, const struct verdict_list *list, bool is_active)
{
    struct told *told = step(owner, is_active);

    if (!is_active) {
        assert_ptr_equal(table_take(told->lists, list->id), list);
        assert_null(table_get(told->new_ones, list->id));
        TABLE_FOREACH (told->endpoints, it) {
            const struct told_endpoint *endpoint = table_value(it);
            for (size_t i = 0; i < (size_t)N_USES * N_DIRECTIONS; i++) {
                assert_ptr_not_equal(endpoint->endpoint->lists[i / 2][i % 2], list);
            }
        }
        return;
    }
    assert_null(table_put(told->lists, list->id, (void *)(uintptr_t)list));
    assert_null(table_put(told->new_ones, list->id, &in_use));
    for (size_t i = 0; i < list->n_tiers; i++) {
        assert_true(list->tiers[i].n_policies > 0);
        for (size_t k = 0; k < list->tiers[i].n_policies; k++) {
            const struct active_policy *policy = list->tiers[i].policies[k];
            assert_ptr_equal(table_get(told->policies, policy->id), policy);
        }
    }
}

static void
list_text(const struct verdict_list *list, struct str *out)
{
    for (size_t i = 0; i < list->n_tiers; i++) {
        const struct verdict_tier *tier = &list->tiers[i];
        str_addf(out, " %s(%d)", tier->name, tier->is_default_pass);
        for (size_t k = 0; k < tier->n_policies; k++) {
            str_add_char(out, ' ');
            policy_key(tier->policies[k]->policy, out);
        }
    }
    str_addf(out, " %d\n", list->is_profile_allow);
}

static void
endpoint_text(const struct policy_endpoint *endpoint, struct str *out)
{
    str_addf(out, "%s %s %d\n", endpoint->ifname, endpoint->key, endpoint->is_host);
    for (unsigned use = 0; use < N_USES; use++) {
        for (unsigned direction = 0; direction < N_DIRECTIONS; direction++) {
            const struct verdict_list *list = endpoint->lists[use][direction];
            if (list != NULL) {
                assert_true(list->use == use && list->direction == direction);
                str_addf(out, "%u%u", use, direction);
                list_text(list, out);
            }
        }
    }
}

static void
told_endpoint_free(void *value)
{
    struct told_endpoint *it = value;

    free(it->text);
    free(it);
}

static void
on_endpoint(void *owner, const struct policy_endpoint *endpoint, bool is_active)
{
    struct told *told = step(owner, is_active);
    struct told_endpoint *it = table_take(told->endpoints, endpoint->ifname);
    AUTO(str) struct str text = STR_INIT;

    if (!is_active) {
        assert_non_null(it);
        assert_true(it->flush < told->flush);
        told_endpoint_free(it);
        return;
    }
    endpoint_text(endpoint, &text);
    if (it != NULL) {
        assert_true(it->flush < told->flush);
        assert_string_not_equal(it->text, text.text);
        told_endpoint_free(it);
    }
    for (size_t i = 0; i < (size_t)N_USES * N_DIRECTIONS; i++) {
        const struct verdict_list *list = endpoint->lists[i / 2][i % 2];
        assert_true(list != NULL || i / 2 != USE_NORMAL);
        if (list != NULL) {
            assert_ptr_equal(table_get(told->lists, list->id), list);
        }
    }
    it = NEW(struct told_endpoint);
    it->endpoint = endpoint;
    it->flush = told->flush;
    it->text = str_steal(&text);
    table_put(told->endpoints, endpoint->ifname, it);
}

static void
told_init(struct told *told)
{
    *told = (struct told){.sets = table_new(),
                          .policies = table_new(),
                          .lists = table_new(),
                          .endpoints = table_new(),
                          .changed = table_new(),
                          .new_ones = table_new()};
}

static void
told_done(struct told *told)
{
    table_free(told->sets, told_set_free);
    table_free(told->policies, NULL);
    table_free(told->lists, NULL);
    table_free(told->endpoints, told_endpoint_free);
    table_free(told->changed, NULL);
    table_free(told->new_ones, NULL);
}

static struct policy_state *
state_new(struct told *told)
{
    told_init(told);
    return policy_state_new(&(struct policy_state_spec){.node_name = "n1",
                                                        .interface_prefix = "cali",
                                                        .set = on_set,
                                                        .member = on_member,
                                                        .policy = on_policy,
                                                        .list = on_list,
                                                        .endpoint = on_endpoint,
                                                        .owner = told});
}

static void
state_flush(struct policy_state *state, struct told *told)
{
    told->flush++;
    told->is_flushing = true;
    told->has_removed = false;
    policy_state_flush(state);
    told->is_flushing = false;
    table_free(told->changed, NULL);
    told->changed = table_new();
    table_free(told->new_ones, NULL);
    told->new_ones = table_new();
}

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
    switch (pick(5)) {
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
    } else if (what < 97) {
        random_local(world);
    } else {
        random_interfaces(world);
    }
}

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

/* ---- the check --------------------------------------------------------------------------------
 */

static bool
is_active(struct expected *expected, const struct policy *policy)
{
    if (policy->is_always_programmed) {
        return true;
    }
    VEC_FOREACH (&expected->here, item) {
        if (item->object != NULL && matches(expected->world, policy->selector, item)) {
            return true;
        }
    }
    return false;
}

static void
check_policies(struct expected *expected)
{
    const struct store *store = expected->world->cluster.store;
    const struct told *told = &expected->world->told;
    struct table *objects = table_new();
    AUTO(str) struct str key = STR_INIT;

    for (size_t k = 0; k < ARRAY_LEN(policy_kinds); k++) {
        for (size_t i = 0; i < store_count(store, policy_kinds[k].kind); i++) {
            const struct policy *policy = store_at(store, policy_kinds[k].kind, i);
            if (is_active(expected, policy)) {
                table_put_bytes(objects, (const void *)&policy, sizeof policy, &in_use);
                policy_each_set(policy, check_set, expected);
            }
        }
    }
    assert_int_equal(table_count(told->policies), table_count(objects));
    TABLE_FOREACH (told->policies, it) {
        const struct active_policy *active = table_value(it);
        assert_non_null(
            table_get_bytes(objects, (const void *)&active->policy, sizeof active->policy));
    }
    assert_int_equal(table_count(told->sets), table_count(expected->set_ids));
    table_free(objects, NULL);
}

/* No list without an endpoint. */
static void
check_lists(const struct world *world)
{
    struct table *used = table_new();

    TABLE_FOREACH (world->told.endpoints, it) {
        const struct told_endpoint *told = table_value(it);
        for (size_t i = 0; i < (size_t)N_USES * N_DIRECTIONS; i++) {
            const struct verdict_list *list = told->endpoint->lists[i / 2][i % 2];
            if (list != NULL) {
                table_put(used, list->id, &in_use);
                assert_ptr_equal(table_get(world->told.lists, list->id), list);
            }
        }
    }
    assert_int_equal(table_count(used), table_count(world->told.lists));
    table_free(used, NULL);
}

static void
check(struct world *world)
{
    struct expected expected = {.world = world, .set_ids = table_new()};

    collect_items(&expected);
    collect_here(&expected);
    check_policies(&expected);
    check_endpoints(&expected);
    check_lists(world);
    VEC_FOREACH (&expected.items, it) {
        labels_done(&it->labels);
    }
    VEC_FOREACH (&expected.here, it) {
        labels_done(&it->labels);
    }
    VEC_FOREACH (&expected.texts, it) {
        str_done(it);
    }
    VEC_DONE(&expected.items);
    VEC_DONE(&expected.here);
    VEC_DONE(&expected.texts);
    table_free(expected.set_ids, NULL);
}

/* ---- in another order -------------------------------------------------------------------------
 */

static int
compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
told_text(const struct told *told, struct str *out)
{
    VEC(char *) lines = VEC_INIT;

    TABLE_FOREACH (told->sets, it) {
        const struct told_set *set = table_value(it);
        TABLE_FOREACH (set->members, member) {
            struct str line = STR_INIT;
            str_addf(&line, "member %s ", set->set.id);
            for (size_t i = 0; i < sizeof(struct packed); i++) {
                str_addf(&line, "%02x", (unsigned char)table_key(member)[i]);
            }
            VEC_PUSH(&lines, str_steal(&line));
        }
        struct str line = STR_INIT;
        str_addf(&line, "set %s %d", set->set.id, set->set.kind);
        VEC_PUSH(&lines, str_steal(&line));
    }
    TABLE_FOREACH (told->policies, it) {
        VEC_PUSH(&lines, xstrdup(table_key(it)));
    }
    TABLE_FOREACH (told->lists, it) {
        VEC_PUSH(&lines, xstrdup(table_key(it)));
    }
    TABLE_FOREACH (told->endpoints, it) {
        const struct told_endpoint *endpoint = table_value(it);
        VEC_PUSH(&lines, xstrdup(endpoint->text));
    }
    if (lines.n > 0) {
        qsort(lines.items, lines.n, sizeof *lines.items, compare_texts);
    }
    VEC_FOREACH (&lines, it) {
        str_addf(out, "%s\n", *it);
        free(*it);
    }
    VEC_DONE(&lines);
}

/* An object, or a local endpoint (kind N_KINDS). */
struct piece {
    enum kind kind;
    size_t index;
};

static void
give(const struct world *world, struct policy_state *state, const struct piece *piece)
{
    const struct store *store = world->cluster.store;

    if (piece->kind < N_KINDS) {
        const struct change change = {.kind = piece->kind,
                                      .key = store_key_at(store, piece->kind, piece->index),
                                      .now = store_at(store, piece->kind, piece->index)};
        policy_state_note(state, &change);
    } else if (world->locals[piece->index].is_there) {
        const struct local_model *local = &world->locals[piece->index];
        policy_state_put_local(state, local->ifname, local->ns, local->pod, local->ips,
                               local->n_ips);
    }
}

static void
check_another_order(const struct world *world)
{
    VEC(struct piece) pieces = VEC_INIT;
    AUTO(str) struct str one = STR_INIT;
    AUTO(str) struct str other = STR_INIT;
    struct told told;
    struct policy_state *state = state_new(&told);

    for (unsigned kind = 0; kind < N_KINDS; kind++) {
        for (size_t i = 0; i < store_count(world->cluster.store, (enum kind)kind); i++) {
            VEC_PUSH(&pieces, (struct piece){(enum kind)kind, i});
        }
    }
    for (size_t i = 0; i < N_LOCALS; i++) {
        VEC_PUSH(&pieces, (struct piece){N_KINDS, i});
    }
    policy_state_interfaces(state, world->interfaces, world->n_interfaces);
    while (pieces.n > 0) {
        size_t at = pick((unsigned)pieces.n);
        give(world, state, &pieces.items[at]);
        VEC_REMOVE_SWAP(&pieces, at);
        if (pick(10) == 0) {
            state_flush(state, &told);
        }
    }
    state_flush(state, &told);
    told_text(&world->told, &one);
    told_text(&told, &other);
    assert_string_equal(str_text(&one), str_text(&other));
    VEC_DONE(&pieces);
    policy_state_free(state);
    told_done(&told);
}

/* ---- histories --------------------------------------------------------------------------------
 */

static void
on_change(void *owner, const struct change *change)
{
    struct world *world = owner;

    if (kind_is_policy(change->kind)) {
        AUTO(str) struct str key = STR_INIT;
        policy_key(change->now != NULL ? change->now : change->was, &key);
        table_put(world->told.changed, key.text, &in_use);
    }
    policy_state_note(world->cluster.state, change);
}

static void
free_selector(void *value)
{
    selector_free(value);
}

static void
run_history(unsigned seed, long n_events)
{
    struct world *world = NEW(struct world);

    srand(seed);
    world->cluster.state = state_new(&world->told);
    world->cluster.store = store_new(on_change, world);
    world->selectors = table_new();
    for (size_t i = 0; i < N_LOCALS; i++) {
        snprintf(world->locals[i].ifname, sizeof world->locals[i].ifname, "cali%zu", i);
    }
    for (long i = 0; i < n_events; i++) {
        random_event(world);
        if (pick(2 + seed % 20) == 0) {
            state_flush(world->cluster.state, &world->told);
            check(world);
        }
        if (pick(500) == 0) {
            state_flush(world->cluster.state, &world->told);
            check_another_order(world);
        }
    }
    state_flush(world->cluster.state, &world->told);
    check(world);
    check_another_order(world);
    policy_state_free(world->cluster.state);
    store_free(world->cluster.store);
    told_done(&world->told);
    table_free(world->selectors, free_selector);
    for (size_t i = 0; i < N_LOCALS; i++) {
        free(world->locals[i].ns);
        free(world->locals[i].pod);
    }
    free(world);
}

static long
setting(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

static void
random_histories_give_what_the_objects_say(void **state)
{
    long n_left = setting("CANAL_TEST_EVENTS", N_EVENTS);
    unsigned seed = (unsigned)setting("CANAL_TEST_SEED", 1);

    (void)state;
    for (; n_left > 0; n_left -= EVENTS_PER_SEED) {
        print_message("seed %u\n", seed);
        run_history(seed++, n_left < EVENTS_PER_SEED ? n_left : EVENTS_PER_SEED);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_give_what_the_objects_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
