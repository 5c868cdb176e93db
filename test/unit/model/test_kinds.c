/* lib/model: what the decoders of the kinds take, leave out and refuse. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "lib/model/bgp_configuration.h"
#include "lib/model/bgp_peer.h"
#include "lib/model/ippool.h"
#include "lib/model/kind.h"
#include "lib/model/node.h"
#include "lib/model/pod.h"
#include "test/unit/cmocka.h"
#include "test/unit/model/kind_json.h"

static void
reports(enum kind kind, const char *json, const char *issue)
{
    kind_ops(kind)->free(accepts(kind, json));
    issue_says(issue);
}

static void
a_node_gives_blocks_addresses_and_annotations(void **state)
{
    char text[PREFIX_TEXT_MAX];
    struct err err;
    struct node *node = decode(
        KIND_NODE,
        "{'metadata':{'name':'n1','labels':{'b':'2','a':'1'},'annotations':{"
        "'projectcalico.org/IPv4Address':'10.0.0.1/24','projectcalico.org/ASNumber':'1.10',"
        "'projectcalico.org/RouteReflectorClusterID':'1.0.0.1',"
        "'projectcalico.org/IPv4IPIPTunnelAddr':'10.244.0.1'}},"
        "'spec':{'podCIDR':'10.244.0.0/24','podCIDRs':['10.244.0.0/24','fd00:1::/64']},"
        "'status':{'addresses':[{'type':'Hostname','address':'n1'},"
        "{'type':'InternalIP','address':'10.0.0.9'},{'type':'InternalIP','address':'fd00::1'}]}}",
        &err);

    (void)state;
    assert_non_null(node);
    assert_string_equal(str_text(&issues_text), "");
    assert_int_equal(node->n_pod_cidrs, 2);
    assert_string_equal(prefix_format(&node->pod_cidrs[1], text), "fd00:1::/64");
    struct prefix address = node_address(node, 4);
    assert_string_equal(prefix_format(&address, text), "10.0.0.1/24");
    address = node_address(node, 6);
    assert_string_equal(prefix_format(&address, text), "fd00::1/128");
    assert_int_equal(node->asn, 65546);
    assert_string_equal(node->rr_cluster_id, "1.0.0.1");
    assert_string_equal(labels_get(&node->labels, "b"), "2");
    assert_null(labels_get(&node->labels, "c"));
    assert_true(node_equal(node, node));
    node_free(node);
}

/* Names are none; what is said twice counts once. */
static void
a_node_is_reached_under_all_its_addresses(void **state)
{
    static const char wanted[] = "10.0.0.1 10.0.0.9 192.0.2.4 203.0.113.9 fd00::1 fd00::2 ";
    struct err err;
    char text[IP_TEXT_MAX];
    AUTO(str) struct str ips = STR_INIT;
    struct node *node = decode(
        KIND_NODE,
        "{'metadata':{'name':'n1','annotations':{'projectcalico.org/IPv4Address':'10.0.0.1/24',"
        "'projectcalico.org/IPv6Address':'fd00::1/64',"
        "'projectcalico.org/IPv4IPIPTunnelAddr':'10.244.0.1'}},'status':{'addresses':["
        "{'type':'ExternalIP','address':'203.0.113.9'},{'type':'InternalIP','address':'fd00::2'},"
        "{'type':'InternalIP','address':'10.0.0.9'},{'type':'InternalIP','address':'192.0.2.4'},"
        "{'type':'Hostname','address':'192.0.2.200'},{'type':'InternalDNS','address':'n1.local'},"
        "{'type':'InternalIP','address':'10.0.0.9'},{'type':'ExternalIP','address':'fd00::1'}]}}",
        &err);
    struct node *other = decode(
        KIND_NODE,
        "{'metadata':{'name':'n1'},'status':{'addresses':["
        "{'type':'InternalIP','address':'10.0.0.9'},{'type':'ExternalIP','address':'10.0.0.8'}]}}",
        &err);
    struct node *external = decode(
        KIND_NODE,
        "{'metadata':{'name':'n1'},'status':{'addresses':["
        "{'type':'InternalIP','address':'10.0.0.9'},{'type':'ExternalIP','address':'10.0.0.7'}]}}",
        &err);

    (void)state;
    assert_non_null(node);
    assert_string_equal(str_text(&issues_text), "");
    for (size_t i = 0; i < node->n_ips; i++) {
        str_addf(&ips, "%s ", ip_format(&node->ips[i], text));
    }
    assert_string_equal(str_text(&ips), wanted);
    assert_string_equal(ip_format(&node->internal_ip4, text), "10.0.0.9");
    assert_true(node_ips_equal(node, node));
    assert_false(node_ips_equal(node, other));
    assert_false(node_ips_equal(other, external));
    assert_false(node_equal(other, external));
    node_free(node);
    node_free(other);
    node_free(external);
}

static void
bad_fields_of_a_node_are_left_out_and_named(void **state)
{
    static const char *const bad[][2] = {
        {"'spec':{'podCIDRs':['10.0.0.0/33']}", "spec.podCIDRs[0]: '10.0.0.0/33'"},
        {"'spec':{'podCIDRs':['10.0.0.1/24']}", "host bits are set"},
        {"'spec':{'podCIDRs':['0.0.0.0/0']}", "cannot be the pods` network"},
        {"'spec':{'podCIDRs':['10.0.0.0/16','10.0.1.0/24']}", "overlaps another block"},
        {"'spec':{'podCIDRs':[7]}", "spec.podCIDRs[0]: is not a string"},
        {"'spec':{'podCIDRs':'10.0.0.0/24'}", "spec.podCIDRs: is not a list"},
        {"'spec':{'podCIDR':'x'}", "spec.podCIDR: 'x'"},
        {"'status':{'addresses':[{'type':'InternalIP','address':'127.0.0.1'}]}",
         "status.addresses[0].address"},
        {"'status':{'addresses':[{'type':'Hostname','address':'n'},"
         "{'type':'ExternalIP','address':'fe80::1'}]}",
         "status.addresses[1].address: 'fe80::1' is not a node`s address"},
    };
    static const char *const annotations[][3] = {
        {"IPv4Address", "10.0.0.1/24; protocol bgp x {}",
         "annotation projectcalico.org/IPv4Address"},
        {"IPv4Address", "fd00::1", "cannot be an IPv4 address of a node"},
        {"IPv6Address", "10.0.0.1", "cannot be an IPv6 address of a node"},
        {"ASNumber", "0", "annotation projectcalico.org/ASNumber"},
        {"RouteReflectorClusterID", "1 } x {", "is not a cluster id"},
        {"IPv4IPIPTunnelAddr", "none", "IPv4IPIPTunnelAddr"},
    };
    char json[512];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(str) struct str issue = STR_INIT;
        snprintf(json, sizeof json, "{'metadata':{'name':'n1'},%s}", bad[i][0]);
        str_add(&issue, bad[i][1]);
        for (size_t j = 0; j < issue.len; j++) {
            issue.text[j] = issue.text[j] == '`' ? '\'' : issue.text[j];
        }
        reports(KIND_NODE, json, issue.text);
    }
    for (size_t i = 0; i < ARRAY_LEN(annotations); i++) {
        snprintf(json, sizeof json,
                 "{'metadata':{'name':'n1','annotations':{'projectcalico.org/%s':'%s'}}}",
                 annotations[i][0], annotations[i][1]);
        reports(KIND_NODE, json, annotations[i][2]);
    }
}

static void
names_that_kubernetes_would_not_take_are_refused(void **state)
{
    static const char *const bad[] = {"",    "A",  "a b",    "a\\nb",       "a;b",
                                      "a}b", "-a", "a\\\"b", "a/../../etc", "a\\u0000b"};
    AUTO(json_tree) struct json_object *list = json_object_new_array();
    char json[512];
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(json, sizeof json, "{'metadata':{'name':'%s'}}", bad[i]);
        refuses(KIND_NODE, json, "metadata.name");
        refuses(KIND_IPPOOL, json, "metadata.name");
        refuses(KIND_BGPPEER, json, "metadata.name");
    }
    refuses(KIND_NODE, "{}", "metadata.name: is missing");
    assert_null(kind_ops(KIND_NODE)->decode(list, &issues, &err));
    assert_non_null(strstr(err.text, "metadata.name: is missing"));
    refuses(KIND_NODE, "{'metadata':{'name':'a','labels':{'x':7}}}", "label x");
}

static void
pools_with_a_bad_field_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"{}", "spec.cidr: is missing"},
        {"{'cidr':'10.0.0.0/33'}", "spec.cidr: '10.0.0.0/33'"},
        {"{'cidr':'10.0.0.1/8'}", "host bits"},
        {"{'cidr':'224.0.0.0/8'}", "cannot hold pods"},
        {"{'cidr':'10.0.0.0/8','ipipMode':'Sometimes'}", "spec.ipipMode: 'Sometimes'"},
        {"{'cidr':'10.0.0.0/8','natOutgoing':'true'}", "spec.natOutgoing"},
        {"{'cidr':'10.0.0.0/8','blockSize':8}", "spec.blockSize: 8"},
    };
    char json[256];
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(json, sizeof json, "{'metadata':{'name':'p'},'spec':%s}", bad[i][0]);
        refuses(KIND_IPPOOL, json, bad[i][1]);
    }
    struct ippool *pool =
        decode(KIND_IPPOOL,
               "{'metadata':{'name':'p'},'spec':{'cidr':'10.0.0.0/8','ipipMode':'CrossSubnet',"
               "'natOutgoing':true,'disabled':true}}",
               &err);
    assert_non_null(pool);
    assert_int_equal(pool->ipip_mode, IPIP_CROSS_SUBNET);
    assert_true(pool->nat_outgoing && pool->is_disabled && !pool->disable_bgp_export);
    assert_int_equal(pool->block_size, 26);
    ippool_free(pool);
    reports(KIND_IPPOOL,
            "{'metadata':{'name':'p'},'spec':{'cidr':'fd00::/64','ipipMode':'Always'}}",
            "IPIP carries IPv4 only");
}

static void
peers_with_a_bad_field_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"{}", "spec.peerIP: is missing"},
        {"{'peerIP':'10.0.0.1'}", "spec.asNumber: is missing"},
        {"{'peerIP':'10.0.0.1','asNumber':4294967296}", "spec.asNumber: 4294967296"},
        {"{'peerIP':'10.0.0.1','asNumber':'0x1'}", "spec.asNumber: '0x1'"},
        {"{'peerIP':'10.0.0.1','asNumber':1.5}", "spec.asNumber: is not a whole number"},
        {"{'peerIP':'tor-a','asNumber':1}", "spec.peerIP: 'tor-a'"},
        {"{'peerIP':'10.0.0.1; }','asNumber':1}", "spec.peerIP"},
        {"{'peerIP':'10.0.0.1:0','asNumber':1}", "spec.peerIP: '10.0.0.1:0': port"},
        {"{'peerIP':'[fd00::1','asNumber':1}", "spec.peerIP"},
        {"{'peerIP':'224.0.0.5','asNumber':1}", "not an address that a peer can have"},
        {"{'peerSelector':'has(x','asNumber':1}", "spec.peerSelector: expected ')'"},
        {"{'nodeSelector':'x','peerIP':'10.0.0.1','asNumber':1}", "spec.nodeSelector: expected"},
        {"{'peerSelector':'all()','asNumber':1}", "spec.asNumber: cannot be given"},
        {"{'peerSelector':'all()','peerIP':'10.0.0.1','asNumber':1}", "spec.peerSelector"},
        {"{'node':'n','nodeSelector':'all()','peerIP':'10.0.0.1','asNumber':1}",
         "spec.nodeSelector: cannot"},
        {"{'peerIP':'10.0.0.1','asNumber':1,'ttlSecurity':300}", "spec.ttlSecurity"},
        {"{'peerIP':'10.0.0.1','asNumber':1,'sourceAddress':'Any'}", "spec.sourceAddress"},
        {"{'peerIP':'10.0.0.1','asNumber':1,'maxRestartTime':'soon'}", "spec.maxRestartTime"},
        {"{'peerIP':'10.0.0.1','asNumber':1,'reachableBy':'fd00::1'}", "spec.reachableBy"},
        {"{'peerIP':'10.0.0.1','asNumber':1,'nextHopMode':'x'}", "spec.nextHopMode"},
        {"{'peerIP':'10.0.0.1','asNumber':1,'password':{}}", "spec.password"},
        {"{'peerIP':'10.0.0.1','asNumber':1,'filters':[1]}", "spec.filters[0]"},
    };
    static const struct {
        const char *text;
        uint8_t family;
        uint16_t port;
    } addresses[] = {{"10.0.0.1", 4, 0},
                     {"10.0.0.1:1179", 4, 1179},
                     {"fd00::1", 6, 0},
                     {"[fd00::1]", 6, 0},
                     {"[fd00::1]:1179", 6, 1179}};
    char json[256];
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(json, sizeof json, "{'metadata':{'name':'p'},'spec':%s}", bad[i][0]);
        refuses(KIND_BGPPEER, json, bad[i][1]);
    }
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        snprintf(json, sizeof json,
                 "{'metadata':{'name':'p'},'spec':{'peerIP':'%s','asNumber':64512}}",
                 addresses[i].text);
        struct bgp_peer *peer = decode(KIND_BGPPEER, json, &err);
        assert_non_null(peer);
        assert_int_equal(peer->peer_ip.family, addresses[i].family);
        assert_int_equal(peer->peer_port, addresses[i].port);
        bgp_peer_free(peer);
    }
}

static void
a_bgp_configuration_is_refused_only_for_what_sessions_need(void **state)
{
    (void)state;
    refuses(KIND_BGPCONFIGURATION, "{'metadata':{'name':'default'},'spec':{'asNumber':0}}",
            "spec.asNumber: 0");
    refuses(KIND_BGPCONFIGURATION,
            "{'metadata':{'name':'default'},'spec':{'nodeToNodeMeshEnabled':'no'}}",
            "spec.nodeToNodeMeshEnabled");
    refuses(KIND_BGPCONFIGURATION, "{'metadata':{'name':'default'},'spec':{'listenPort':0}}",
            "spec.listenPort");
    reports(
        KIND_BGPCONFIGURATION,
        "{'metadata':{'name':'default'},'spec':{'communities':[{'name':'x','value':'1:2:3:4'}]}}",
        "spec.communities[0]");
    reports(KIND_BGPCONFIGURATION,
            "{'metadata':{'name':'default'},'spec':{'serviceClusterIPs':[{'cidr':'x'}]}}",
            "spec.serviceClusterIPs[0].cidr");
    reports(KIND_BGPCONFIGURATION,
            "{'metadata':{'name':'default'},'spec':{'nodeMeshMaxRestartTime':'x'}}",
            "spec.nodeMeshMaxRestartTime");
}

static void
a_pod_is_a_local_endpoint_while_it_runs_here(void **state)
{
    struct err err;
    struct pod *pod = decode(KIND_POD,
                             "{'metadata':{'name':'p','namespace':'ns'},'spec':{'nodeName':'n1'},"
                             "'status':{'phase':'Running','podIP':'10.0.0.1','podIPs':"
                             "[{'ip':'10.0.0.1'},{'ip':'fd00::1'}]}}",
                             &err);

    (void)state;
    assert_non_null(pod);
    assert_int_equal(pod->ip4.family, 4);
    assert_int_equal(pod->ip6.family, 6);
    assert_true(pod_is_local_endpoint(pod, "n1"));
    assert_false(pod_is_local_endpoint(pod, "n2"));
    pod_free(pod);
    pod = decode(KIND_POD,
                 "{'metadata':{'name':'p','namespace':'ns'},'spec':{'nodeName':'n1'},"
                 "'status':{'phase':'Failed','podIP':'10.0.0.1'}}",
                 &err);
    assert_false(pod_is_local_endpoint(pod, "n1"));
    pod_free(pod);
    reports(KIND_POD, "{'metadata':{'name':'p','namespace':'ns'},'status':{'podIPs':[{'ip':'x'}]}}",
            "status.podIPs[0].ip");
}

static int
clean(void **state)
{
    (void)state;
    str_done(&issues_text);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_gives_blocks_addresses_and_annotations),
        cmocka_unit_test(a_node_is_reached_under_all_its_addresses),
        cmocka_unit_test(bad_fields_of_a_node_are_left_out_and_named),
        cmocka_unit_test(names_that_kubernetes_would_not_take_are_refused),
        cmocka_unit_test(pools_with_a_bad_field_are_refused),
        cmocka_unit_test(peers_with_a_bad_field_are_refused),
        cmocka_unit_test(a_bgp_configuration_is_refused_only_for_what_sessions_need),
        cmocka_unit_test(a_pod_is_a_local_endpoint_while_it_runs_here),
    };

    return cmocka_run_group_tests(tests, NULL, clean);
}
