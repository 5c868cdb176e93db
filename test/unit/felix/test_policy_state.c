/* felix/calc/policy_state: what it tells, and when. Random histories: test_policy_state_random.c.
 */
#include "test/unit/felix/cluster.h"

struct world {
    struct cluster cluster;
    struct str told; /* "+set +member 10.0.0.1/32 +policy a +list +endpoint pod a/x -..." */
};

static void
on_set(void *owner, const struct policy_set *set, bool is_active)
{
    (void)set;
    str_add(owner, is_active ? " +set" : " -set");
}

static void
on_member(void *owner, const struct policy_set *set, const struct policy_set_member *member,
          bool is_added)
{
    char text[PREFIX_TEXT_MAX];

    str_addf(owner, " %cmember %s", is_added ? '+' : '-', prefix_format(&member->prefix, text));
    if (set->kind == SET_IP_PORTS) {
        str_addf(owner, ",%u:%u", member->protocol, member->port);
    }
}

static void
on_policy(void *owner, const struct active_policy *policy, bool is_active)
{
    str_addf(owner, " %cpolicy %s", is_active ? '+' : '-', policy->policy->name);
}

static void
on_list(void *owner, const struct verdict_list *list, bool is_active)
{
    (void)list;
    str_add(owner, is_active ? " +list" : " -list");
}

static void
on_endpoint(void *owner, const struct policy_endpoint *endpoint, bool is_active)
{
    str_addf(owner, " %cendpoint %s", is_active ? '+' : '-', endpoint->key);
}

static int
setup(void **state)
{
    struct world *world = NEW(struct world);

    world->cluster.store = store_new(cluster_on_change, &world->cluster);
    world->cluster.state = policy_state_new(&(struct policy_state_spec){.node_name = "n1",
                                                                        .interface_prefix = "cali",
                                                                        .set = on_set,
                                                                        .member = on_member,
                                                                        .policy = on_policy,
                                                                        .list = on_list,
                                                                        .endpoint = on_endpoint,
                                                                        .owner = &world->told});
    *state = world;
    return 0;
}

static int
teardown(void **state)
{
    struct world *world = *state;

    policy_state_free(world->cluster.state);
    store_free(world->cluster.store);
    str_done(&world->told);
    free(world);
    return 0;
}

/* Flushes; what was told since. */
static void
expect(struct world *world, const char *told)
{
    str_clear(&world->told);
    str_add(&world->told, "");
    policy_state_flush(world->cluster.state);
    assert_string_equal(str_text(&world->told), told);
}

static void
flush(struct world *world)
{
    policy_state_flush(world->cluster.state);
}

/* "default(Deny): a b; other(Pass): c; allow" */
static const char *
list_text(const struct verdict_list *list, struct str *out)
{
    str_clear(out);
    for (size_t i = 0; i < list->n_tiers; i++) {
        const struct verdict_tier *tier = &list->tiers[i];
        str_addf(out, "%s(%s):", tier->name, tier->is_default_pass ? "Pass" : "Deny");
        for (size_t k = 0; k < tier->n_policies; k++) {
            str_addf(out, " %s", tier->policies[k]->policy->name);
        }
        str_add(out, "; ");
    }
    str_add(out, list->is_profile_allow ? "allow" : "deny");
    return str_text(out);
}

static void
expect_list(const struct world *world, const char *ifname, enum verdict_use use,
            enum direction direction, const char *text)
{
    const struct policy_endpoint *endpoint = policy_state_endpoint(world->cluster.state, ifname);
    AUTO(str) struct str out = STR_INIT;

    assert_non_null(endpoint);
    const struct verdict_list *list = endpoint->lists[use][direction];
    if (text == NULL) {
        assert_null(list);
    } else {
        assert_non_null(list);
        assert_string_equal(list_text(list, &out), text);
    }
}

static void
expect_ingress(const struct world *world, const char *ifname, const char *text)
{
    expect_list(world, ifname, USE_NORMAL, INGRESS, text);
}

static bool
holds(const struct world *world, const struct policy_set *set, const char *prefix, uint16_t port)
{
    struct policy_set_member member = {.protocol = port ? IPPROTO_TCP : 0, .port = port};

    assert_true(prefix_parse_host(prefix, &member.prefix, NULL));
    return policy_state_holds(world->cluster.state, set, &member);
}

static bool
selector_holds(const struct world *world, const char *selector, const char *prefix)
{
    struct policy_set set;

    set_of_selector(selector, &set);
    return holds(world, &set, prefix, 0);
}

/* A local pod a/x (app=x) in a known namespace, told. */
static void
local_pod(struct world *world)
{
    put_namespace(&world->cluster, "a", "");
    put_pod(&world->cluster, "a/x", "app=x", "10.0.0.1");
    put_local(&world->cluster, "cali1", "a/x", "10.0.0.1");
    flush(world);
}

/* ---- order ------------------------------------------------------------------------------------
 */

static void
outputs_come_in_an_order_that_never_opens(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;

    put_namespace(cluster, "a", "");
    put_pod(cluster, "a/x", "app=x", "10.0.0.1");
    put_pod(cluster, "a/y", "app=y", "10.0.0.2");
    put_simple_policy(cluster, "p", "app == 'x'", "app == 'y'");
    expect(world, "");
    put_local(cluster, "cali1", "a/x", "10.0.0.1");
    expect(world, " +set +member 10.0.0.2/32 +policy p +list +list +endpoint pod a/x");
    expect_ingress(world, "cali1", "default(Deny): p; allow");
    expect_list(world, "cali1", USE_NORMAL, EGRESS, "allow");
    /* Another policy with another set takes its place. */
    put_simple_policy(cluster, "q", "app == 'x'", "app == 'x'");
    cluster_delete(cluster, KIND_GLOBALNETWORKPOLICY, "p");
    expect(world, " +set +member 10.0.0.1/32 +policy q +list +endpoint pod a/x"
                  " -list -policy p -set");
    policy_state_remove_local(cluster->state, "cali1");
    expect(world, " -endpoint pod a/x -list -list -policy q -set");
    expect(world, "");
}

static void
what_comes_and_goes_between_flushes_is_not_told(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;

    local_pod(world);
    put_simple_policy(cluster, "p", "app == 'x'", "app == 'y'");
    flush(world);
    put_simple_policy(cluster, "q", "app == 'x'", "app == 'z'");
    put_pod(cluster, "a/y", "app=y", "10.0.0.2");
    put_local(cluster, "cali2", "a/y", "10.0.0.2");
    cluster_delete(cluster, KIND_GLOBALNETWORKPOLICY, "q");
    cluster_delete(cluster, KIND_POD, "a/y");
    policy_state_remove_local(cluster->state, "cali2");
    expect(world, "");
    /* A policy that is no longer needed, and then is, stays. */
    policy_state_remove_local(cluster->state, "cali1");
    put_local(cluster, "cali1", "a/x", "10.0.0.1");
    expect(world, "");
}

static void
a_policy_made_again_between_flushes_is_told_as_changed(void **state)
{
    struct world *world = *state;

    local_pod(world);
    put_simple_policy(&world->cluster, "p", "app == 'x'", "app == 'y'");
    flush(world);
    cluster_delete(&world->cluster, KIND_GLOBALNETWORKPOLICY, "p");
    put_simple_policy(&world->cluster, "p", "app == 'x'", "app == 'x'");
    expect(world, " +set +member 10.0.0.1/32 +policy p -set");
}

static void
a_policy_whose_object_is_gone_has_no_rules_until_that_is_told(void **state)
{
    struct world *world = *state;

    local_pod(world);
    put_simple_policy(&world->cluster, "p", "app == 'x'", "app == 'y'");
    flush(world);
    const struct policy_endpoint *endpoint = policy_state_endpoint(world->cluster.state, "cali1");
    const struct active_policy *p = endpoint->lists[USE_NORMAL][INGRESS]->tiers[0].policies[0];
    assert_int_equal(p->policy->n_ingress, 1);
    cluster_delete(&world->cluster, KIND_GLOBALNETWORKPOLICY, "p");
    assert_int_equal(p->policy->n_ingress, 0);
    assert_string_equal(p->policy->name, "p");
    expect(world, " +list +endpoint pod a/x -list -policy p -set");
}

static void
rules_change_without_new_lists(void **state)
{
    struct world *world = *state;

    local_pod(world);
    put_simple_policy(&world->cluster, "p", "app == 'x'", NULL);
    flush(world);
    put_simple_policy(&world->cluster, "p", "app == 'x'", "app == 'x'");
    expect(world, " +set +member 10.0.0.1/32 +policy p");
    put_simple_policy(&world->cluster, "p", "app == 'x'", NULL);
    expect(world, " +policy p -set");
}

/* ---- members ----------------------------------------------------------------------------------
 */

static void
pods_that_share_an_address_are_counted(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;

    local_pod(world);
    put_simple_policy(cluster, "p", "app == 'x'", "app == 'y'");
    put_pod(cluster, "a/y1", "app=y", "10.0.0.2");
    put_pod(cluster, "a/y2", "app=y", "10.0.0.2");
    flush(world);
    cluster_delete(cluster, KIND_POD, "a/y1");
    expect(world, "");
    put_pod(cluster, "a/y2", "app=y", "10.0.0.3");
    expect(world, " +member 10.0.0.3/32 -member 10.0.0.2/32");
    put_pod(cluster, "a/y2", "app=z", "10.0.0.4");
    expect(world, " -member 10.0.0.3/32");
}

static void
an_address_counts_before_the_api_has_it(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;

    local_pod(world);
    put_simple_policy(cluster, "p", "app == 'x'", "app == 'y'");
    put_local(cluster, "cali2", "a/y", "10.0.0.2");
    flush(world);
    assert_false(selector_holds(world, "app == 'y'", "10.0.0.2"));
    assert_false(policy_state_knows_pod(cluster->state, "cali2"));
    put_pod(cluster, "a/y", "app=y", NULL);
    expect(world, " +member 10.0.0.2/32 +list +endpoint pod a/y -list -list");
    assert_true(policy_state_knows_pod(cluster->state, "cali2"));
    put_pod(cluster, "a/y", "app=y", "10.0.0.2");
    expect(world, "");
    /* Another interface takes over under the same name. */
    put_local(cluster, "cali2", "a/y", "10.0.0.3");
    expect(world, " +member 10.0.0.3/32");
    policy_state_remove_local(cluster->state, "cali2");
    expect(world, " -endpoint pod a/y -list -member 10.0.0.3/32");
    assert_true(selector_holds(world, "app == 'y'", "10.0.0.2"));
}

static void
pods_without_an_address_of_their_own_are_no_members(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;
    static const char body[] = ",\"labels\":{\"app\":\"y\"}},\"spec\":{\"hostNetwork\":%s%s},"
                               "\"status\":{\"phase\":\"%s\",\"podIP\":\"10.0.0.2\"}";
    static const char there[] = ",\"nodeName\":\"n2\"";
    char text[256];

    local_pod(world);
    put_simple_policy(cluster, "p", "app == 'x'", "app == 'y'");
    snprintf(text, sizeof text, body, "false", there, "Running");
    cluster_put(cluster, KIND_POD, "a/y", text);
    flush(world);
    snprintf(text, sizeof text, body, "false", there, "Succeeded");
    cluster_put(cluster, KIND_POD, "a/y", text);
    expect(world, " -member 10.0.0.2/32");
    snprintf(text, sizeof text, body, "false", there, "Running");
    cluster_put(cluster, KIND_POD, "a/y", text);
    expect(world, " +member 10.0.0.2/32");
    snprintf(text, sizeof text, body, "true", there, "Running");
    cluster_put(cluster, KIND_POD, "a/y", text);
    expect(world, " -member 10.0.0.2/32");
    snprintf(text, sizeof text, body, "false", there, "Running");
    cluster_put(cluster, KIND_POD, "a/y", text);
    expect(world, " +member 10.0.0.2/32");
    snprintf(text, sizeof text, body, "false", "", "Running");
    cluster_put(cluster, KIND_POD, "a/y", text);
    expect(world, " -member 10.0.0.2/32");
}

static void
labels_come_from_namespace_and_account_too(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;
    static const char selector[] = "pcns.env == \"prod\" && pcsa.team == \"red\" && "
                                   "pcns.projectcalico.org/name == \"b\" && "
                                   "projectcalico.org/serviceaccount == \"sa\" && "
                                   "projectcalico.org/namespace == \"b\" && "
                                   "projectcalico.org/orchestrator == \"k8s\"";

    local_pod(world);
    put_simple_policy(cluster, "p", "app == 'x'", selector);
    put_pod(cluster, "b/y", "app=y", "10.0.0.2");
    put_namespace(cluster, "b", "env=prod");
    expect(world, " +set +policy p +list +endpoint pod a/x -list");
    cluster_put(cluster, KIND_SERVICEACCOUNT, "b/sa", ",\"labels\":{\"team\":\"red\"}}");
    expect(world, " +member 10.0.0.2/32");
    put_namespace(cluster, "b", "env=test");
    expect(world, " -member 10.0.0.2/32");
}

static void
network_sets_are_members_with_all_addresses_in_two_halves(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;

    local_pod(world);
    put_simple_policy(cluster, "p", "app == 'x'", "set == 'y'");
    cluster_put(cluster, KIND_GLOBALNETWORKSET, "g",
                ",\"labels\":{\"set\":\"y\"}},\"spec\":{\"nets\":[\"0.0.0.0/0\"]}");
    expect(world, " +set +member 0.0.0.0/1 +member 128.0.0.0/1 +policy p"
                  " +list +endpoint pod a/x -list");
    cluster_put(cluster, KIND_NETWORKSET, "b/n",
                ",\"labels\":{\"set\":\"y\"}},\"spec\":{\"nets\":[\"0.0.0.0/1\",\"fd00::/8\"]}");
    expect(world, " +member fd00::/8");
    cluster_delete(cluster, KIND_GLOBALNETWORKSET, "g");
    expect(world, " -member 128.0.0.0/1");
    assert_true(selector_holds(world, "set == 'y'", "127.1.2.3"));
    assert_false(selector_holds(world, "set == 'y'", "128.1.2.3"));
    assert_true(selector_holds(world, "set == 'y'", "fdff::1"));
    assert_false(selector_holds(world, "set == 'y'", "fe80::1"));
    assert_false(selector_holds(world, "set == 'z'", "127.1.2.3"));
}

static void
named_ports_come_from_pods_and_host_endpoints(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;
    struct policy *policy = policy_make(NULL, "p", "app == 'x'");
    struct policy_rule *rule = policy_add_rule(policy, true, RULE_ALLOW);
    struct policy_set set;

    rule->protocol = IPPROTO_TCP;
    rule->destination.named_ports = xcalloc(1, sizeof(char *));
    rule->destination.named_ports[0] = xstrdup("http");
    rule->destination.n_named_ports = 1;
    local_pod(world);
    put_policy(cluster, policy);
    expect(world, " +set +member 10.0.0.1/32,6:8080 +policy p +list +endpoint pod a/x -list");
    cluster_put(cluster, KIND_HOSTENDPOINT, "h",
                "},\"spec\":{\"node\":\"other\",\"expectedIPs\":[\"10.9.0.1\"],\"ports\":["
                "{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":80},"
                "{\"name\":\"http\",\"protocol\":\"UDP\",\"port\":81}]}");
    cluster_put(cluster, KIND_GLOBALNETWORKSET, "g", "},\"spec\":{\"nets\":[\"10.8.0.1/32\"]}");
    expect(world, " +member 10.9.0.1/32,6:80");
    set_of_named_port(NULL, IPPROTO_TCP, "http", &set);
    assert_true(holds(world, &set, "10.9.0.1", 80));
    assert_false(holds(world, &set, "10.9.0.1", 81));
    cluster_delete(cluster, KIND_HOSTENDPOINT, "h");
    expect(world, " -member 10.9.0.1/32,6:80");
}

static void
services_are_the_members_of_their_slices(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;
    struct policy *policy = policy_make(NULL, "p", "app == 'x'");
    struct policy_rule *in = policy_add_rule(policy, true, RULE_ALLOW);
    static const char slice[] =
        ",\"labels\":{\"kubernetes.io/service-name\":\"s\"}},\"addressType\":\"IPv4\","
        "\"endpoints\":[{\"addresses\":[\"10.0.0.7\"]}],"
        "\"ports\":[{\"name\":\"\",\"protocol\":\"TCP\",\"port\":80}]";
    static const char other[] =
        ",\"labels\":{\"kubernetes.io/service-name\":\"other\"}},\"addressType\":\"IPv4\","
        "\"endpoints\":[{\"addresses\":[\"10.0.0.7\"]}]";

    in->source.service_ns = xstrdup("a");
    in->source.service_name = xstrdup("s");
    struct policy_rule *out = policy_add_rule(policy, false, RULE_ALLOW);
    out->destination.service_ns = xstrdup("a");
    out->destination.service_name = xstrdup("s");
    local_pod(world);
    cluster_put(cluster, KIND_ENDPOINTSLICE, "a/s-1", slice);
    cluster_put(cluster, KIND_ENDPOINTSLICE, "b/s-1", slice);
    put_policy(cluster, policy);
    expect(world, " +set +member 10.0.0.7/32 +set +member 10.0.0.7/32,6:80 +policy p +list"
                  " +endpoint pod a/x -list");
    cluster_put(cluster, KIND_ENDPOINTSLICE, "a/s-2", slice);
    expect(world, "");
    cluster_put(cluster, KIND_ENDPOINTSLICE, "a/s-1", other);
    expect(world, "");
    cluster_delete(cluster, KIND_ENDPOINTSLICE, "a/s-2");
    expect(world, " -member 10.0.0.7/32,6:80 -member 10.0.0.7/32");
}

static void
put_node(struct cluster *cluster, const char *name, const char *labels, const char *ips)
{
    AUTO_FREE char *copy = xstrdup(ips);
    AUTO(str) struct str inside = STR_INIT;
    AUTO(str) struct str body = STR_INIT;
    char *save = NULL;

    str_addf(&body, ",\"labels\":{%s}},\"status\":{\"addresses\":[", json_labels(labels, &inside));
    for (char *ip = strtok_r(copy, ",", &save); ip; ip = strtok_r(NULL, ",", &save)) {
        str_addf(&body, "%s{\"type\":\"InternalIP\",\"address\":\"%s\"}", ip == copy ? "" : ",",
                 ip);
    }
    str_add(&body, "]}");
    cluster_put(cluster, KIND_NODE, name, body.text);
}

static void
put_node_policy(struct cluster *cluster, const char *name, const char *nodes)
{
    struct policy *policy = policy_make(NULL, name, "app == 'x'");

    policy_add_rule(policy, false, RULE_DENY)->destination.node_selector = xstrdup(nodes);
    put_policy(cluster, policy);
}

static void
nodes_are_members_while_their_labels_match(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;

    local_pod(world);
    put_node(cluster, "m1", "role=db", "192.0.2.1,fd00::1");
    put_node(cluster, "m2", "role=web", "192.0.2.2");
    put_node_policy(cluster, "p", "role == 'db'");
    expect(world, " +set +member 192.0.2.1/32 +member fd00::1/128 +policy p +list"
                  " +endpoint pod a/x -list");
    /* One that comes, one that is relabelled, one of an address that changes, one that goes. */
    put_node(cluster, "m3", "role=db", "192.0.2.3");
    expect(world, " +member 192.0.2.3/32");
    put_node(cluster, "m2", "role=db", "192.0.2.2");
    put_node(cluster, "m3", "role=other", "192.0.2.3");
    expect(world, " +member 192.0.2.2/32 -member 192.0.2.3/32");
    put_node(cluster, "m1", "role=db,more=1", "192.0.2.1,192.0.2.9");
    expect(world, " +member 192.0.2.9/32 -member fd00::1/128");
    cluster_delete(cluster, KIND_NODE, "m1");
    expect(world, " -member 192.0.2.1/32 -member 192.0.2.9/32");
    put_node(cluster, "m1", "role=db", "192.0.2.2"); /* an address of two */
    expect(world, "");
    cluster_delete(cluster, KIND_NODE, "m2");
    expect(world, "");
    put_node(cluster, "m1", "role=db", "");
    expect(world, " -member 192.0.2.2/32");
    /* One selector of two policies is one set. */
    put_node_policy(cluster, "q", "role == 'db'");
    cluster_delete(cluster, KIND_GLOBALNETWORKPOLICY, "p");
    expect(world, " +policy q +list +endpoint pod a/x -list -policy p");
    put_node(cluster, "m1", "role=db", "192.0.2.1");
    expect(world, " +member 192.0.2.1/32");
    cluster_delete(cluster, KIND_GLOBALNETWORKPOLICY, "q");
    expect(world, " +list +endpoint pod a/x -list -policy q -set");
    put_node(cluster, "m1", "role=db", "192.0.2.2");
    expect(world, "");
}

/* The same text in both worlds is two sets, and neither sees the other's. */
static void
labels_of_nodes_are_apart_from_all_others(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;
    static const char *const selectors[] = {"all()",
                                            "app == 'x'",
                                            "app != 'y'",
                                            "!has(role)",
                                            "pcns.projectcalico.org/name == 'a'",
                                            "projectcalico.org/orchestrator == 'k8s'"};
    struct policy *policy = policy_make(NULL, "p", "app == 'x'");

    for (size_t i = 0; i < ARRAY_LEN(selectors); i++) {
        struct policy_rule *rule = policy_add_rule(policy, false, RULE_DENY);
        rule->destination.node_selector = xstrdup(selectors[i]);
        rule = policy_add_rule(policy, false, RULE_ALLOW);
        rule->destination.selector = xstrdup(selectors[i]);
    }
    local_pod(world);
    put_policy(cluster, policy);
    cluster_put(cluster, KIND_HOSTENDPOINT, "h",
                ",\"labels\":{\"app\":\"x\"}},\"spec\":{\"node\":\"m1\",\"interfaceName\":\"eth0\","
                "\"expectedIPs\":[\"10.0.0.3\"]}");
    cluster_put(cluster, KIND_GLOBALNETWORKSET, "s",
                ",\"labels\":{\"app\":\"x\"}},\"spec\":{\"nets\":[\"10.0.0.4/32\"]}");
    put_node(cluster, "m1", "app=x", "192.0.2.1");
    flush(world);
    for (size_t i = 0; i < ARRAY_LEN(selectors); i++) {
        bool is_nodes_own = i < 4;
        struct policy_set set;
        set_of_nodes(selectors[i], &set);
        assert_int_equal(holds(world, &set, "192.0.2.1", 0), is_nodes_own);
        assert_false(holds(world, &set, "10.0.0.1", 0));
        assert_false(holds(world, &set, "10.0.0.3", 0));
        assert_false(holds(world, &set, "10.0.0.4", 0));
        assert_true(selector_holds(world, selectors[i], "10.0.0.1"));
        assert_false(selector_holds(world, selectors[i], "192.0.2.1"));
    }
}

/* ---- what applies -----------------------------------------------------------------------------
 */

static void
a_pod_is_closed_until_object_and_namespace_are_known(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;

    put_local(cluster, "cali1", "a/x", "10.0.0.1");
    put_simple_policy(cluster, "every", "all()", NULL);
    flush(world);
    expect_ingress(world, "cali1", "deny");
    put_pod(cluster, "a/x", "app=x", NULL);
    flush(world);
    expect_ingress(world, "cali1", "default(Deny): every; deny");
    put_namespace(cluster, "a", "");
    flush(world);
    expect_ingress(world, "cali1", "default(Deny): every; allow");
    cluster_delete(cluster, KIND_POD, "a/x");
    flush(world);
    expect_ingress(world, "cali1", "deny");
}

static void
a_container_that_is_no_pod_is_open(void **state)
{
    struct world *world = *state;

    put_simple_policy(&world->cluster, "every", "all()", NULL);
    put_local(&world->cluster, "cali1", NULL, "10.0.0.1");
    flush(world);
    expect_ingress(world, "cali1", "allow");
    expect_list(world, "cali1", USE_NORMAL, EGRESS, "allow");
    /* It becomes a pod's by being put again. */
    put_local(&world->cluster, "cali1", "a/x", "10.0.0.1");
    expect(world, " +list +list +endpoint pod a/x -list -list");
    expect_ingress(world, "cali1", "deny");
}

static void
put_tier(struct cluster *cluster, const char *name, const char *order, const char *action)
{
    char body[128];

    snprintf(body, sizeof body, "},\"spec\":{\"order\":%s,\"defaultAction\":\"%s\"}", order,
             action);
    cluster_put(cluster, KIND_TIER, name, body);
}

static void
put_tiered(struct cluster *cluster, const char *name, const char *tier, double order)
{
    struct policy *policy = policy_make(NULL, name, "app == 'x'");

    free(policy->tier);
    policy->tier = xstrdup(tier);
    policy->order = order;
    put_policy(cluster, policy);
}

static void
tiers_order_policies_and_may_change(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;

    local_pod(world);
    put_tiered(cluster, "base", "kube-baseline", 1);
    put_tiered(cluster, "last", "default", HUGE_VAL);
    put_tiered(cluster, "first", "default", -1);
    put_tiered(cluster, "admin", "kube-admin", 1);
    put_tiered(cluster, "own", "mine", 1);
    flush(world);
    expect_ingress(world, "cali1",
                   "kube-admin(Pass): admin; default(Deny): first last;"
                   " kube-baseline(Pass): base; mine(Deny): own; allow");
    put_tier(cluster, "mine", "10", "Pass");
    flush(world);
    expect_ingress(world, "cali1",
                   "mine(Pass): own; kube-admin(Pass): admin;"
                   " default(Deny): first last; kube-baseline(Pass): base; allow");
    put_tier(cluster, "mine", "2000", "Deny");
    put_tier(cluster, "default", "1", "Pass");
    cluster_delete(cluster, KIND_GLOBALNETWORKPOLICY, "last");
    flush(world);
    expect_ingress(world, "cali1",
                   "kube-admin(Pass): admin; mine(Deny): own;"
                   " default(Deny): first; kube-baseline(Pass): base; allow");
    cluster_delete(cluster, KIND_TIER, "default");
    cluster_delete(cluster, KIND_TIER, "mine");
    put_tiered(cluster, "first", "default", 2);
    flush(world);
    expect_ingress(world, "cali1",
                   "kube-admin(Pass): admin; default(Deny): first;"
                   " kube-baseline(Pass): base; mine(Deny): own; allow");
}

static void
staged_policies_are_listed(void **state)
{
    struct world *world = *state;
    struct policy *policy = policy_make("a", "s", "app == 'x'");

    local_pod(world);
    policy->is_staged = true;
    put_policy(&world->cluster, policy);
    put_policy(&world->cluster, policy_make("a", "s", "app == 'x'"));
    flush(world);
    expect_ingress(world, "cali1", "default(Deny): s s; allow");
    cluster_delete(&world->cluster, KIND_CALICONETWORKPOLICY, "a/s");
    flush(world);
    expect_ingress(world, "cali1", "default(Deny): s; allow");
}

static void
some_policies_are_active_without_an_endpoint(void **state)
{
    struct world *world = *state;
    struct policy *policy = policy_make(NULL, "p", "app == 'x'");

    policy->is_always_programmed = true;
    put_policy(&world->cluster, policy);
    expect(world, " +policy p");
    put_simple_policy(&world->cluster, "p", "app == 'x'", NULL);
    expect(world, " -policy p");
}

/* ---- hosts ------------------------------------------------------------------------------------
 */

static void
put_host(struct cluster *cluster, const char *name, const char *spec)
{
    AUTO(str) struct str body = STR_INIT;

    str_addf(&body, ",\"labels\":{\"host\":\"%s\"}},\"spec\":{\"node\":\"n1\",%s}", name, spec);
    cluster_put(cluster, KIND_HOSTENDPOINT, name, body.text);
}

static void
host_endpoints_are_bound_by_name_address_and_star(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;
    struct policy_interface interfaces[2] = {{.ifname = "eth1"}, {.ifname = "cali1"}};

    assert_true(ip_parse("10.1.0.1", &interfaces[0].ip, NULL));
    assert_true(ip_parse("10.1.0.1", &interfaces[1].ip, NULL));
    put_host(cluster, "b", "\"interfaceName\":\"eth0\"");
    put_host(cluster, "c", "\"expectedIPs\":[\"10.1.0.1\"]");
    put_host(cluster, "d",
             "\"interfaceName\":\"*\",\"profiles\":[\"projectcalico-default-allow\"]");
    put_host(cluster, "e", "\"interfaceName\":\"cali1\"");
    cluster_put(cluster, KIND_HOSTENDPOINT, "f",
                "},\"spec\":{\"node\":\"n2\",\"interfaceName\":\"eth2\"}");
    flush(world);
    assert_string_equal(policy_state_endpoint(cluster->state, "eth0")->key, "host b");
    assert_string_equal(policy_state_endpoint(cluster->state, "*")->key, "host d");
    assert_null(policy_state_endpoint(cluster->state, "eth1"));
    assert_null(policy_state_endpoint(cluster->state, "eth2"));
    assert_null(policy_state_endpoint(cluster->state, "cali1"));
    expect_ingress(world, "eth0", "deny");
    expect_ingress(world, "*", "allow");
    policy_state_interfaces(cluster->state, interfaces, 2);
    put_host(cluster, "a", "\"interfaceName\":\"eth0\",\"profiles\":[\"kns.a\"]");
    expect(world, " +endpoint host a +endpoint host c");
    expect_ingress(world, "eth0", "deny");
    assert_string_equal(policy_state_endpoint_by_ip(cluster->state, &interfaces[0].ip)->key,
                        "host c");
    put_namespace(cluster, "a", "");
    cluster_delete(cluster, KIND_HOSTENDPOINT, "c");
    expect(world, " +endpoint host a -endpoint host c -list -list");
    expect_ingress(world, "eth0", "allow");
    cluster_delete(cluster, KIND_HOSTENDPOINT, "a");
    expect(world, " +list +list +endpoint host b");
    assert_string_equal(policy_state_endpoint_by_key(cluster->state, "host b")->ifname, "eth0");
    assert_null(policy_state_endpoint_by_key(cluster->state, "host a"));
}

static void
put_use(struct cluster *cluster, const char *name, const char *uses)
{
    struct policy *policy = policy_make(NULL, name, "all()");

    policy->applies_egress = true;
    policy->is_untracked = strchr(uses, 'u') != NULL;
    policy->is_pre_dnat = strchr(uses, 'd') != NULL;
    policy->applies_on_forward = strchr(uses, 'f') != NULL;
    put_policy(cluster, policy);
}

static void
uses_of_policies_differ_by_endpoint(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;

    local_pod(world);
    put_host(cluster, "b", "\"interfaceName\":\"eth0\"");
    put_host(cluster, "c", "\"interfaceName\":\"*\"");
    flush(world);
    expect_list(world, "eth0", USE_FORWARD, INGRESS, NULL);
    put_use(cluster, "normal", "");
    put_use(cluster, "untracked", "uf");
    put_use(cluster, "dnat", "df");
    put_use(cluster, "forward", "f");
    flush(world);
    expect_ingress(world, "cali1", "default(Deny): forward normal; allow");
    expect_list(world, "cali1", USE_FORWARD, INGRESS, NULL);
    expect_list(world, "cali1", USE_PRE_DNAT, INGRESS, NULL);
    expect_list(world, "cali1", USE_UNTRACKED, EGRESS, NULL);
    expect_ingress(world, "eth0", "default(Deny): forward normal; deny");
    expect_list(world, "eth0", USE_FORWARD, EGRESS, "default(Deny): forward; deny");
    expect_list(world, "eth0", USE_PRE_DNAT, INGRESS, "default(Deny): dnat; deny");
    expect_list(world, "eth0", USE_PRE_DNAT, EGRESS, NULL);
    expect_list(world, "eth0", USE_UNTRACKED, EGRESS, "default(Deny): untracked; deny");
    expect_list(world, "*", USE_UNTRACKED, INGRESS, NULL);
    expect_list(world, "*", USE_PRE_DNAT, INGRESS, "default(Deny): dnat; deny");
}

static void
a_pods_interface_is_no_hosts(void **state)
{
    struct world *world = *state;
    struct cluster *cluster = &world->cluster;

    put_host(cluster, "b", "\"interfaceName\":\"veth0\"");
    flush(world);
    put_local(cluster, "veth0", NULL, "10.0.0.1");
    expect(world, " +list +list +endpoint container veth0 -list -list");
    policy_state_remove_local(cluster->state, "veth0");
    expect(world, " +list +list +endpoint host b -list -list");
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static void
endpoints_policies_and_lists_are_found(void **state)
{
    struct world *world = *state;
    const struct policy_state *policies = world->cluster.state;
    struct ip ip;

    local_pod(world);
    put_simple_policy(&world->cluster, "p", "app == 'x'", NULL);
    flush(world);
    const struct policy_endpoint *endpoint = policy_state_endpoint(policies, "cali1");
    const struct verdict_list *list = endpoint->lists[USE_NORMAL][INGRESS];
    assert_true(ip_parse("10.0.0.1", &ip, NULL));
    assert_ptr_equal(policy_state_endpoint_by_ip(policies, &ip), endpoint);
    assert_ptr_equal(policy_state_endpoint_by_key(policies, "pod a/x"), endpoint);
    assert_null(policy_state_endpoint_by_key(policies, "pod a/y"));
    assert_ptr_equal(policy_state_list_by_id(policies, list->id), list);
    assert_ptr_equal(policy_state_policy_by_id(policies, list->tiers[0].policies[0]->id),
                     list->tiers[0].policies[0]);
    assert_null(policy_state_policy_by_id(policies, list->id));
    const struct policy_state_stats stats = policy_state_stats(policies);
    assert_int_equal(stats.n_active_policies, 1);
    assert_int_equal(stats.n_endpoints, 1);
    assert_int_equal(stats.n_lists, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(outputs_come_in_an_order_that_never_opens),
        TEST(what_comes_and_goes_between_flushes_is_not_told),
        TEST(a_policy_made_again_between_flushes_is_told_as_changed),
        TEST(a_policy_whose_object_is_gone_has_no_rules_until_that_is_told),
        TEST(rules_change_without_new_lists),
        TEST(pods_that_share_an_address_are_counted),
        TEST(an_address_counts_before_the_api_has_it),
        TEST(pods_without_an_address_of_their_own_are_no_members),
        TEST(labels_come_from_namespace_and_account_too),
        TEST(network_sets_are_members_with_all_addresses_in_two_halves),
        TEST(named_ports_come_from_pods_and_host_endpoints),
        TEST(services_are_the_members_of_their_slices),
        TEST(nodes_are_members_while_their_labels_match),
        TEST(labels_of_nodes_are_apart_from_all_others),
        TEST(a_pod_is_closed_until_object_and_namespace_are_known),
        TEST(a_container_that_is_no_pod_is_open),
        TEST(tiers_order_policies_and_may_change),
        TEST(staged_policies_are_listed),
        TEST(some_policies_are_active_without_an_endpoint),
        TEST(host_endpoints_are_bound_by_name_address_and_star),
        TEST(uses_of_policies_differ_by_endpoint),
        TEST(a_pods_interface_is_no_hosts),
        TEST(endpoints_policies_and_lists_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
