/* felix/calc: what Nodes and IPPools mean for this node. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "felix/calc/node_state.h"
#include "felix/dataplane/backend.h"
#include "test/unit/cmocka.h"

struct world {
    struct node_state *nodes;
    struct store *store;
    char hosts[512]; /* what node_state_take_hosts() told: "+10.0.0.1/32 " */
};

static void
on_change(void *owner, const struct change *change)
{
    struct world *world = owner;

    node_state_note(world->nodes, change);
}

static int
make_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    world->nodes = node_state_new("me");
    world->store = store_new(on_change, world);
    *state = world;
    return 0;
}

static int
drop_world(void **state)
{
    struct world *world = *state;

    store_free(world->store);
    node_state_free(world->nodes);
    free(world);
    return 0;
}

static void
put(struct world *world, enum kind kind, const char *name, const char *json)
{
    struct json_object *tree = json_tokener_parse(json);
    struct err err = ERR_INIT;

    assert_non_null(tree);
    void *object = kind_ops(kind)->decode(tree, NULL, &err);
    if (!object) {
        fail_msg("%s", err.text);
    }
    json_object_put(tree);
    store_put(world->store, kind, name, object);
}

static void
put_node(struct world *world, const char *name, const char *annotation, const char *internal)
{
    char json[512];

    snprintf(json, sizeof json,
             "{\"metadata\":{\"name\":\"%s\",\"annotations\":{\"projectcalico.org/IPv4Address\":"
             "\"%s\"}},\"spec\":{\"podCIDRs\":[\"10.244.3.0/24\",\"fd00:244::/64\"]},"
             "\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"%s\"}]}}",
             name, annotation, internal);
    put(world, KIND_NODE, name, json);
}

static void
put_pool(struct world *world, const char *name, const char *spec)
{
    char json[512];

    snprintf(json, sizeof json, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{%s}}", name, spec);
    put(world, KIND_IPPOOL, name, json);
}

static void
on_host(void *owner, const struct prefix *host, bool is_added)
{
    struct world *world = owner;
    char text[PREFIX_TEXT_MAX];
    size_t len = strlen(world->hosts);

    snprintf(world->hosts + len, sizeof world->hosts - len, "%c%s ", is_added ? '+' : '-',
             prefix_format(host, text));
}

static const char *
take(struct world *world)
{
    world->hosts[0] = '\0';
    node_state_take_hosts(world->nodes, on_host, world);
    return world->hosts;
}

static const char *
tunnel(struct world *world)
{
    static char text[IP_TEXT_MAX];
    struct desired_pools pools;

    node_state_pools(world->nodes, world->store, &pools);
    struct ip address = pools.tunnel_address;
    bool has_tunnel = pools.has_tunnel;
    desired_pools_done(&pools);
    return !has_tunnel ? "no tunnel" : address.family ? ip_format(&address, text) : "no address";
}

static void
hosts_are_told_once_as_they_come_and_go(void **state)
{
    struct world *world = *state;

    put_node(world, "a", "10.0.0.1/24", "10.0.0.1");
    assert_string_equal(take(world), "+10.0.0.1/32 ");
    assert_string_equal(take(world), "");
    /* Annotation and InternalIP both count: a node may be reached under either. */
    put_node(world, "a", "10.0.0.1/24", "192.168.0.1");
    assert_string_equal(take(world), "+192.168.0.1/32 ");
    put_node(world, "a", "10.0.0.2/24", "192.168.0.1");
    assert_string_equal(take(world), "-10.0.0.1/32 +10.0.0.2/32 ");
    store_delete(world->store, KIND_NODE, "a");
    assert_string_equal(take(world), "-10.0.0.2/32 -192.168.0.1/32 ");
}

static void
an_address_of_two_nodes_stays_until_both_are_gone(void **state)
{
    struct world *world = *state;
    struct ip ip;

    assert_true(ip_parse("10.0.0.1", &ip, NULL));
    put_node(world, "me", "10.0.0.1/24", "10.0.0.1");
    assert_null(node_state_other_owner(world->nodes, &ip));
    put_node(world, "twin", "10.0.0.1/24", "10.0.0.9");
    assert_string_equal(node_state_other_owner(world->nodes, &ip), "twin");
    take(world);
    store_delete(world->store, KIND_NODE, "me");
    assert_string_equal(take(world), "");
    store_delete(world->store, KIND_NODE, "twin");
    assert_non_null(strstr(take(world), "-10.0.0.1/32"));
    assert_null(node_state_other_owner(world->nodes, &ip));
}

static void
a_node_that_moves_within_one_batch_leaves_nothing_behind(void **state)
{
    struct world *world = *state;

    put_node(world, "a", "10.0.0.1/24", "10.0.0.1");
    store_delete(world->store, KIND_NODE, "a");
    assert_string_equal(take(world), "");
    put_node(world, "a", "10.0.0.1/24", "10.0.0.1");
    take(world);
    store_delete(world->store, KIND_NODE, "a");
    put_node(world, "b", "10.0.0.1/24", "10.0.0.1");
    assert_string_equal(take(world), "");
}

static void
the_tunnel_has_the_first_host_address_of_the_pod_cidr(void **state)
{
    struct world *world = *state;

    put_node(world, "me", "10.0.0.1/24", "10.0.0.1");
    put_pool(world, "plain", "\"cidr\":\"10.244.0.0/16\"");
    assert_string_equal(tunnel(world), "no tunnel");
    put_pool(world, "plain", "\"cidr\":\"10.244.0.0/16\",\"ipipMode\":\"CrossSubnet\"");
    assert_string_equal(tunnel(world), "10.244.3.1");
    put_pool(world, "plain",
             "\"cidr\":\"10.244.0.0/16\",\"ipipMode\":\"Always\",\"disabled\":true");
    assert_string_equal(tunnel(world), "10.244.3.1");
    /* The pool wants a tunnel, this node has no block in it. */
    put_pool(world, "plain", "\"cidr\":\"10.99.0.0/16\",\"ipipMode\":\"Always\"");
    assert_string_equal(tunnel(world), "no address");
}

static void
pools_sort_into_all_and_masqueraded(void **state)
{
    struct world *world = *state;
    struct desired_pools pools;

    put_pool(world, "four", "\"cidr\":\"10.244.0.0/16\",\"natOutgoing\":true");
    put_pool(world, "six", "\"cidr\":\"fd00:244::/48\"");
    node_state_pools(world->nodes, world->store, &pools);
    assert_int_equal(pools.all.n, 2);
    assert_int_equal(pools.masquerade.n, 1);
    assert_int_equal(pools.masquerade.items[0].ip.family, 4);
    desired_pools_done(&pools);
    /* Pods that have an address of it already are treated as before. */
    put_pool(world, "off", "\"cidr\":\"10.9.0.0/16\",\"natOutgoing\":true,\"disabled\":true");
    node_state_pools(world->nodes, world->store, &pools);
    assert_int_equal(pools.all.n, 3);
    assert_int_equal(pools.masquerade.n, 2);
    desired_pools_done(&pools);
}

static void
the_iptables_backend_follows_kubelet_then_the_number_of_rules(void **state)
{
    static const char hint[] = "*mangle\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n";
    static const char canary[] = "*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n";
    static const char one[] = "*filter\n-A INPUT -j ACCEPT\nCOMMIT\n";
    static const char two[] = "*filter\n-A INPUT -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n";
    const char *why = NULL;

    (void)state;
    assert_int_equal(backend_choose("", NULL, &why), IPTABLES_NFT);
    assert_int_equal(backend_choose("", "", &why), IPTABLES_NFT);
    assert_int_equal(backend_choose(hint, two, &why), IPTABLES_NFT);
    assert_int_equal(backend_choose(two, canary, &why), IPTABLES_LEGACY);
    assert_int_equal(backend_choose(one, two, &why), IPTABLES_LEGACY);
    assert_int_equal(backend_choose(two, one, &why), IPTABLES_NFT);
    assert_non_null(why);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hosts_are_told_once_as_they_come_and_go, make_world,
                                        drop_world),
        cmocka_unit_test_setup_teardown(an_address_of_two_nodes_stays_until_both_are_gone,
                                        make_world, drop_world),
        cmocka_unit_test_setup_teardown(a_node_that_moves_within_one_batch_leaves_nothing_behind,
                                        make_world, drop_world),
        cmocka_unit_test_setup_teardown(the_tunnel_has_the_first_host_address_of_the_pod_cidr,
                                        make_world, drop_world),
        cmocka_unit_test_setup_teardown(pools_sort_into_all_and_masqueraded, make_world,
                                        drop_world),
        cmocka_unit_test(the_iptables_backend_follows_kubelet_then_the_number_of_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
