/* lib/model: kinds that say who an endpoint is: pods, namespaces, service accounts, tiers, network
 * sets, host endpoints, endpoint slices; and what they share. */
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/model/endpoint_slice.h"
#include "lib/model/felix_configuration.h"
#include "lib/model/host_endpoint.h"
#include "lib/model/kind.h"
#include "lib/model/namespace.h"
#include "lib/model/network_set.h"
#include "lib/model/pod.h"
#include "lib/model/share.h"
#include "lib/model/tier.h"
#include "test/unit/cmocka.h"
#include "test/unit/model/kind_json.h"

/* ---- pods
 * ------------------------------------------------------------------------------------------ */

#define POD(metadata, spec, status)                                                           \
    "{'metadata':{'name':'p','namespace':'ns'" metadata "},'spec':{'nodeName':'n1'" spec "}," \
    "'status':{" status "}}"

static void
a_pod_names_its_ports_and_service_account(void **state)
{
    struct pod *pod = accepts(
        KIND_POD,
        POD("",
            ",'serviceAccountName':'builder','containers':[{'name':'a','ports':[{'name':'http',"
            "'containerPort':8080},{'containerPort':9},{'name':'dns','containerPort':53,"
            "'protocol':'UDP'}]},{'name':'b'}],'initContainers':[{'ports':[{'name':'gone',"
            "'containerPort':1}]},{'restartPolicy':'Always','ports':[{'name':'mesh',"
            "'containerPort':15001,'protocol':'SCTP'}]}]",
            ""));

    (void)state;
    assert_string_equal(pod->service_account, "builder");
    assert_int_equal(pod->n_ports, 3);
    assert_string_equal(pod->ports[0].name, "http");
    assert_int_equal(pod->ports[0].port, 8080);
    assert_int_equal(pod->ports[0].protocol, 6);
    assert_string_equal(pod->ports[1].name, "dns");
    assert_int_equal(pod->ports[1].protocol, 17);
    assert_string_equal(pod->ports[2].name, "mesh");
    assert_int_equal(pod->ports[2].protocol, 132);
    assert_string_equal(str_text(&issues_text), "");
    pod_free(pod);
}

static void
bad_ports_of_a_pod_are_left_out_and_named(void **state)
{
    static const char *const bad[][2] = {
        {"{'name':'a b','containerPort':1}", "spec.containers[0].ports[0]: name: 'a b'"},
        {"{'name':'a','containerPort':0}", "spec.containers[0].ports[0]: containerPort: 0"},
        {"{'name':'a','containerPort':65536}", "containerPort: 65536"},
        {"{'name':'a','containerPort':'80'}", "containerPort: is not a whole number"},
        {"{'name':7,'containerPort':80}", "name: is not a string"},
        {"7", "spec.containers[0].ports[0]: is not an object"},
    };
    char json[512];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(json, sizeof json,
                 POD("", ",'containers':[{'ports':[%s,{'name':'ok','containerPort':2}]}]", ""),
                 bad[i][0]);
        struct pod *pod = accepts(KIND_POD, json);
        issue_says(bad[i][1]);
        assert_int_equal(pod->n_ports, 1);
        assert_string_equal(pod->ports[0].name, "ok");
        pod_free(pod);
    }
    refuses(KIND_POD, POD("", ",'containers':{}", ""), "spec.containers: is not a list");
    refuses(KIND_POD, POD("", ",'containers':[{'ports':1}]", ""),
            "spec.containers[0]: ports: is not a list");
    refuses(KIND_POD, POD("", ",'serviceAccountName':1", ""), "spec.serviceAccountName");
}

static void
a_pod_cannot_pass_for_another_by_its_labels(void **state)
{
    struct pod *pod = accepts(KIND_POD, POD(",'labels':{'app':'a','pcns.team':'red','pcsa.x':'y',"
                                            "'projectcalico.org/namespace':'kube-system',"
                                            "'projectcalico.org/serviceaccount':'admin',"
                                            "'projectcalico.org/orchestrator':'k8s','pcnsx':'own'}",
                                            "", ""));

    (void)state;
    assert_int_equal(pod->labels.n, 2);
    assert_string_equal(labels_get(&pod->labels, "app"), "a");
    assert_string_equal(labels_get(&pod->labels, "pcnsx"), "own");
    issue_says("label pcns.team: is not for objects to set; left out");
    pod_free(pod);
}

static void
a_terminating_pod_stays_until_its_addresses_are_given_back(void **state)
{
    static const struct {
        const char *json;
        bool is_finished;
        const char *ip;
    } cases[] = {
        {POD("", "", "'podIP':'10.0.0.1'"), false, "10.0.0.1"},
        {POD(",'deletionTimestamp':'t'", "", "'podIP':'10.0.0.1'"), false, "10.0.0.1"},
        {POD(",'deletionTimestamp':'t','annotations':{'cni.projectcalico.org/podIPs':''}", "",
             "'podIP':'10.0.0.1'"),
         true, "10.0.0.1"},
        {POD(",'deletionTimestamp':'t','annotations':{'cni.projectcalico.org/podIP':''}", "",
             "'podIP':'10.0.0.1'"),
         true, "10.0.0.1"},
        {POD(",'deletionTimestamp':'t','annotations':{'cni.projectcalico.org/podIP':'',"
             "'cni.projectcalico.org/podIPs':'10.0.0.1/32'}",
             "", "'podIP':'10.0.0.1'"),
         false, "10.0.0.1"},
        {POD(",'annotations':{'cni.projectcalico.org/podIPs':''}", "", "'podIP':'10.0.0.1'"), false,
         "10.0.0.1"},
        {POD("", "", "'phase':'Succeeded','podIP':'10.0.0.1'"), true, "10.0.0.1"},
        {POD("", "", "'phase':'Failed'"), true, NULL},
        {POD("", "", "'phase':'Unknown'"), false, NULL},
        /* The plugin's annotation is there before the status, and yields to it. */
        {POD(",'annotations':{'cni.projectcalico.org/podIPs':'10.0.0.2/32,fd00::2/128'}", "", ""),
         false, "10.0.0.2"},
        {POD(",'annotations':{'cni.projectcalico.org/podIP':'10.0.0.3'}", "", ""), false,
         "10.0.0.3"},
        {POD(",'annotations':{'cni.projectcalico.org/podIPs':'10.0.0.2/32'}", "",
             "'podIP':'10.0.0.1'"),
         false, "10.0.0.1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pod *pod = accepts(KIND_POD, cases[i].json);
        char text[IP_TEXT_MAX] = "";
        if (pod->is_finished != cases[i].is_finished ||
            (cases[i].ip == NULL ? pod->ip4.family != 0
                                 : strcmp(ip_format(&pod->ip4, text), cases[i].ip) != 0)) {
            fail_msg("case %zu: finished %d, address %s", i, pod->is_finished, text);
        }
        pod_free(pod);
    }
    struct pod *pod = accepts(
        KIND_POD, POD(",'annotations':{'cni.projectcalico.org/podIPs':'10.0.0.0/24'}", "", ""));
    issue_says("annotation cni.projectcalico.org/podIPs: '10.0.0.0/24' is not one address");
    assert_int_equal(pod->ip4.family, 0);
    pod_free(pod);
}

static void
a_pod_lists_the_sources_it_asks_for(void **state)
{
    struct prefix nets[POD_SOURCES_MAX];
    char text[PREFIX_TEXT_MAX];
    struct pod *pod =
        accepts(KIND_POD, POD(",'annotations':{'cni.projectcalico.org/allowedSourcePrefixes':"
                              "'[\\'8.8.8.8\\', \\'1.1.1.7/24\\',\\'fd00::/8\\',\\'x\\',7]'}",
                              "", ""));

    (void)state;
    issue_says("annotation cni.projectcalico.org/allowedSourcePrefixes: 'x'");
    assert_string_equal(pod->asks->sources, "8.8.8.8/32,1.1.1.0/24,fd00::/8");
    assert_int_equal(pod_asks_sources(pod->asks, nets), 3);
    assert_string_equal(prefix_format(&nets[1], text), "1.1.1.0/24");
    pod_free(pod);
    static const char *const bad[] = {"{}", "[", "8.8.8.8/32", "['1.1.1.1']x", "[]", "7"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(str) struct str json = STR_INIT;
        str_addf(&json,
                 POD(",'annotations':{'cni.projectcalico.org/allowedSourcePrefixes':'%s'}", "", ""),
                 bad[i][0] == '[' && bad[i][1] == '\'' ? "[\\'1.1.1.1\\']x" : bad[i]);
        pod = accepts(KIND_POD, json.text);
        assert_null(pod->asks);
        assert_int_equal(pod_asks_sources(pod->asks, nets), 0);
        pod_free(pod);
    }
}

#define ANNOTATED(text) POD(",'annotations':{" text "}", "", "")

static void
a_pod_lists_its_floating_addresses(void **state)
{
    struct ip ips[POD_FLOATING_MAX];
    char text[IP_TEXT_MAX];
    struct pod *pod =
        accepts(KIND_POD, ANNOTATED("'cni.projectcalico.org/floatingIPs':"
                                    "'[\\'10.9.0.1\\',\\'fd00:0::9\\',\\'10.9.0.0/24\\',null]'"));

    (void)state;
    issue_says("annotation cni.projectcalico.org/floatingIPs: '10.9.0.0/24'");
    assert_string_equal(pod->asks->floating_ips, "10.9.0.1,fd00::9");
    assert_int_equal(pod_asks_floating(pod->asks, ips), 2);
    assert_string_equal(ip_format(&ips[1], text), "fd00::9");
    pod_free(pod);
    assert_int_equal(pod_asks_floating(NULL, ips), 0);
}

static void
a_pod_asks_for_limits(void **state)
{
    struct pod *pod =
        accepts(KIND_POD, ANNOTATED("'qos.projectcalico.org/ingressBandwidth':'10M',"
                                    "'kubernetes.io/ingress-bandwidth':'7M',"
                                    "'kubernetes.io/egress-bandwidth':'1Gi',"
                                    "'qos.projectcalico.org/egressBurst':'2e6',"
                                    "'qos.projectcalico.org/egressPacketRate':'1.5k',"
                                    "'qos.projectcalico.org/ingressMaxConnections':'3',"
                                    "'qos.projectcalico.org/dscp':'af41'"));
    struct pod *same =
        accepts(KIND_POD, ANNOTATED("'qos.projectcalico.org/dscp':'34',"
                                    "'qos.projectcalico.org/ingressBandwidth':'10000k',"
                                    "'kubernetes.io/egress-bandwidth':'1024Mi',"
                                    "'qos.projectcalico.org/egressBurst':'2M',"
                                    "'qos.projectcalico.org/egressPacketRate':'1500',"
                                    "'qos.projectcalico.org/ingressMaxConnections':'3'"));
    const struct pod_asks *asks = pod->asks;

    (void)state;
    assert_int_equal(asks->ingress.bandwidth, 10000000);
    assert_int_equal(asks->ingress.burst, 4ULL << 30);
    assert_int_equal(asks->egress.bandwidth, 1ULL << 30);
    assert_int_equal(asks->egress.burst, 2000000);
    assert_int_equal(asks->egress.packet_rate, 1500);
    assert_int_equal(asks->egress.packet_burst, 5);
    assert_int_equal(asks->ingress.packet_rate, 0);
    assert_int_equal(asks->ingress.max_connections, 3);
    assert_int_equal(asks->dscp, 34 + 1);
    assert_true(pod_equal(pod, same) && pod->asks == same->asks);
    pod_free(pod);
    pod_free(same);
}

static void
a_limit_that_is_not_understood_limits_nothing(void **state)
{
    static const struct {
        const char *annotation, *issue;
    } cases[] = {
        {"'qos.projectcalico.org/ingressBandwidth':'999'", "ingressBandwidth: 999 is not between"},
        {"'qos.projectcalico.org/ingressBandwidth':'10 M'", "'10 M' is not a quantity"},
        {"'qos.projectcalico.org/ingressBandwidth':'-1k'", "'-1k' is not a quantity"},
        {"'qos.projectcalico.org/ingressBandwidth':'1e99'", "'1e99' is not a quantity"},
        {"'qos.projectcalico.org/ingressBandwidth':'1.2.3'", "'1.2.3' is not a quantity"},
        {"'qos.projectcalico.org/ingressBandwidth':'9999999999999999999k'", "not a quantity"},
        {"'qos.projectcalico.org/egressBurst':'1M'", "egressBurst: there is no bandwidth"},
        {"'qos.projectcalico.org/egressPeakrate':'1M'", "egressPeakrate: there is no bandwidth"},
        {"'qos.projectcalico.org/egressMinburst':'1500'", "egressMinburst: there is no peak rate"},
        {"'qos.projectcalico.org/egressPacketBurst':'5'", "PacketBurst: there is no packet rate"},
        {"'qos.projectcalico.org/egressPacketRate':'9'", "egressPacketRate: 9 is not between 10"},
        {"'qos.projectcalico.org/ingressMaxConnections':'0'", "0 is not between 1"},
        {"'qos.projectcalico.org/dscp':'64'", "dscp: '64' is neither 0-63"},
        {"'qos.projectcalico.org/dscp':'AF44'", "dscp: 'AF44' is neither"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(str) struct str json = STR_INIT;
        str_addf(&json, ANNOTATED("%s"), cases[i].annotation);
        struct pod *pod = accepts(KIND_POD, json.text);
        issue_says(cases[i].issue);
        assert_null(pod->asks);
        pod_free(pod);
    }
    struct pod *pod = accepts(KIND_POD, ANNOTATED("'qos.projectcalico.org/egressBandwidth':'2M',"
                                                  "'qos.projectcalico.org/egressPeakrate':'2M',"
                                                  "'qos.projectcalico.org/dscp':'x'"));
    issue_says("dscp: 'x'");
    assert_int_equal(pod->asks->egress.bandwidth, 2000000);
    assert_int_equal(pod->asks->egress.peak_rate, 0);
    pod_free(pod);
}

static void
pods_that_are_alike_share_what_they_have_in_common(void **state)
{
    const char *text = POD(",'labels':{'b':'2','a':'1'}",
                           ",'containers':[{'ports':[{'name':'http','containerPort':80}]}]", "");
    struct pod *one = accepts(KIND_POD, text);
    struct pod *same = accepts(
        KIND_POD, POD(",'labels':{'a':'1','b':'2'}",
                      ",'containers':[{'ports':[{'name':'http','containerPort':80}]}]", ""));
    struct pod *other = accepts(
        KIND_POD, POD(",'labels':{'a':'1','b':'3'}",
                      ",'containers':[{'ports':[{'name':'http','containerPort':81}]}]", ""));

    (void)state;
    assert_ptr_equal(one->labels.items, same->labels.items);
    assert_ptr_equal(one->ports, same->ports);
    assert_ptr_equal(one->ns, other->ns);
    assert_true(pod_equal(one, same));
    assert_ptr_not_equal(one->labels.items, other->labels.items);
    assert_ptr_not_equal(one->ports, other->ports);
    assert_false(pod_equal(one, other));
    pod_free(one);
    assert_string_equal(labels_get(&same->labels, "a"), "1");
    assert_string_equal(same->ports[0].name, "http");
    pod_free(same);
    pod_free(other);
}

static void
shared_values_survive_any_order_of_taking_and_dropping(void **state)
{
    enum {
        N = 2000
    };
    struct share share = {0};
    const char *held[N];
    char text[16];

    (void)state;
    for (size_t i = 0; i < N; i++) {
        snprintf(text, sizeof text, "v%zu", i % 700);
        held[i] = share_text(&share, text);
    }
    assert_int_equal(share.n, 700);
    for (size_t i = 0; i < N; i += 2) {
        share_drop(&share, held[i]);
    }
    for (size_t i = 1; i < N; i += 2) {
        snprintf(text, sizeof text, "v%zu", i % 700);
        assert_string_equal(held[i], text);
        share_drop(&share, held[i]);
    }
    assert_int_equal(share.n, 0);
    assert_null(share.slots);
}

/* ---- namespaces, tiers
 * ----------------------------------------------------------------------------------------- */

static void
namespaces_and_accounts_give_labels(void **state)
{
    struct namespace *ns =
        accepts(KIND_NAMESPACE, "{'metadata':{'name':'red','labels':{'team':'a'}},'spec':{}}");
    struct service_account *account =
        accepts(KIND_SERVICEACCOUNT,
                "{'metadata':{'name':'ci','namespace':'red','labels':{'role':'b'}},'secrets':[]}");

    (void)state;
    assert_string_equal(labels_get(&ns->labels, "team"), "a");
    assert_string_equal(account->ns, "red");
    assert_string_equal(labels_get(&account->labels, "role"), "b");
    assert_true(namespace_equal(ns, ns) && service_account_equal(account, account));
    namespace_free(ns);
    service_account_free(account);
    refuses(KIND_SERVICEACCOUNT, "{'metadata':{'name':'x'}}", "metadata.namespace: is missing");
    refuses(KIND_NAMESPACE, "{'metadata':{'name':'x','labels':[]}}", "metadata.labels");
}

static void
a_tier_denies_unless_it_says_pass(void **state)
{
    static const struct {
        const char *spec;
        double order;
        bool is_pass;
        const char *issue;
    } cases[] = {
        {"{'order':10,'defaultAction':'Pass'}", 10, true, ""},
        {"{'order':10.5}", 10.5, false, ""},
        {"{'order':-1,'defaultAction':'Deny'}", -1, false, ""},
        {"{}", HUGE_VAL, false, ""},
        {"{'order':null}", HUGE_VAL, false, ""},
        {"{'defaultAction':'Allow'}", HUGE_VAL, false, "spec.defaultAction: 'Allow'"},
        {"{'defaultAction':'pass'}", HUGE_VAL, false, "spec.defaultAction: 'pass'"},
    };
    char json[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(json, sizeof json, "{'metadata':{'name':'t'},'spec':%s}", cases[i].spec);
        struct tier *tier = accepts(KIND_TIER, json);
        assert_false(tier->order < cases[i].order || tier->order > cases[i].order);
        assert_int_equal(tier->is_default_pass, cases[i].is_pass);
        issue_says(cases[i].issue);
        tier_free(tier);
    }
    refuses(KIND_TIER, "{'metadata':{'name':'t'},'spec':{'order':'1'}}", "spec.order");
    refuses(KIND_TIER, "{'metadata':{'name':'t'},'spec':{'defaultAction':1}}",
            "spec.defaultAction");
}

static void
built_in_tiers_stay_as_they_are(void **state)
{
    static const struct {
        const char *name;
        double order;
        bool is_pass;
    } builtins[] = {
        {"kube-admin", 1e3, true}, {"default", 1e6, false}, {"kube-baseline", 1e7, true}};
    char json[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
        const struct tier *builtin = tier_builtin(builtins[i].name);
        assert_int_equal((long)builtin->order, (long)builtins[i].order);
        assert_int_equal(builtin->is_default_pass, builtins[i].is_pass);
        snprintf(json, sizeof json,
                 "{'metadata':{'name':'%s'},'spec':{'order':5,'defaultAction':'%s'}}",
                 builtins[i].name, builtins[i].is_pass ? "Deny" : "Pass");
        struct tier *tier = accepts(KIND_TIER, json);
        assert_true(tier_equal(tier, builtin));
        issue_says("is a built-in tier");
        tier_free(tier);
        snprintf(json, sizeof json,
                 "{'metadata':{'name':'%s'},'spec':{'order':%.0f,'defaultAction':'%s'}}",
                 builtins[i].name, builtins[i].order, builtins[i].is_pass ? "Pass" : "Deny");
        tier = accepts(KIND_TIER, json);
        assert_string_equal(str_text(&issues_text), "");
        tier_free(tier);
    }
    assert_null(tier_builtin("other"));
    assert_true(tier_compare(tier_builtin("kube-admin"), tier_builtin("default")) < 0);
    assert_true(tier_compare(tier_builtin("kube-baseline"), tier_builtin("default")) > 0);
}

/* ---- network sets, host endpoints
 * ----------------------------------------------------------------------------------------- */

static void
a_network_set_holds_each_network_once(void **state)
{
    char text[PREFIX_TEXT_MAX];
    struct network_set *set = accepts(
        KIND_GLOBALNETWORKSET,
        "{'metadata':{'name':'s','labels':{'a':'b'}},'spec':{'nets':['10.1.2.3/8','10.0.0.0/8',"
        "'192.0.2.1','fd00::1/64','0.0.0.0/0','x','10.0.0.0/33',7]}}");

    (void)state;
    assert_int_equal(set->n_nets, 4);
    assert_string_equal(prefix_format(&set->nets[0], text), "0.0.0.0/0");
    assert_string_equal(prefix_format(&set->nets[1], text), "10.0.0.0/8");
    assert_string_equal(prefix_format(&set->nets[2], text), "192.0.2.1/32");
    assert_string_equal(prefix_format(&set->nets[3], text), "fd00::/64");
    issue_says("spec.nets[5]: 'x'");
    issue_says("spec.nets[6]: '10.0.0.0/33'");
    issue_says("spec.nets[7]: is not a string");
    assert_null(set->ns);
    assert_true(network_set_equal(set, set));
    network_set_free(set);
    refuses(KIND_NETWORKSET, "{'metadata':{'name':'s'}}", "metadata.namespace: is missing");
    refuses(KIND_GLOBALNETWORKSET, "{'metadata':{'name':'s'},'spec':{'nets':'10.0.0.0/8'}}",
            "spec.nets: is not a list");
}

static void
labels_that_calico_keeps_in_an_annotation_stand_for_those_of_the_crd(void **state)
{
    struct network_set *set =
        accepts(KIND_NETWORKSET,
                "{'metadata':{'name':'s','namespace':'ns','labels':{'crd':'1'},'annotations':{"
                "'projectcalico.org/metadata':'{\\'labels\\':{\\'v3\\':\\'2\\',\\'pcns.x\\':"
                "\\'spoof\\'},\\'uid\\':\\'u\\'}'}},'spec':{}}");

    (void)state;
    assert_int_equal(set->labels.n, 1);
    assert_string_equal(labels_get(&set->labels, "v3"), "2");
    issue_says("label pcns.x");
    network_set_free(set);
    set = accepts(KIND_NETWORKSET,
                  "{'metadata':{'name':'s','namespace':'ns','labels':{'crd':'1'},'annotations':{"
                  "'projectcalico.org/metadata':'{\\'creationTimestamp\\':null}'}}}");
    assert_int_equal(set->labels.n, 0);
    network_set_free(set);
    set =
        accepts(KIND_NETWORKSET, "{'metadata':{'name':'s','namespace':'ns','labels':{'crd':'1'}}}");
    assert_string_equal(labels_get(&set->labels, "crd"), "1");
    network_set_free(set);
    refuses(KIND_NETWORKSET,
            "{'metadata':{'name':'s','namespace':'ns','annotations':{"
            "'projectcalico.org/metadata':'{'}}}",
            "annotation projectcalico.org/metadata");
    refuses(KIND_NETWORKSET,
            "{'metadata':{'name':'s','namespace':'ns','annotations':{"
            "'projectcalico.org/metadata':'[]'}}}",
            "annotation projectcalico.org/metadata: is not an object");
    refuses(KIND_NETWORKSET,
            "{'metadata':{'name':'s','namespace':'ns','annotations':{"
            "'projectcalico.org/metadata':'{\\'labels\\':{\\'a\\':1}}'}}}",
            "label a");
}

static void
a_host_endpoint_is_an_interface_of_a_node(void **state)
{
    static const char *const bad[][2] = {
        {"{'interfaceName':'eth0'}", "spec.node: is missing"},
        {"{'node':'N 1','interfaceName':'eth0'}", "spec.node: 'N 1'"},
        {"{'node':'n1'}", "neither interfaceName nor expectedIPs"},
        {"{'node':'n1','expectedIPs':['x']}", "neither interfaceName nor expectedIPs"},
        {"{'node':'n1','interfaceName':'eth+'}", "spec.interfaceName: 'eth+'"},
        {"{'node':'n1','interfaceName':'eth0 -j ACCEPT'}", "spec.interfaceName"},
        {"{'node':'n1','interfaceName':'a-name-too-long1'}", "spec.interfaceName"},
        {"{'node':'n1','interfaceName':'eth0','profiles':[1]}", "spec.profiles[0]"},
        {"{'node':'n1','interfaceName':'eth0','ports':1}", "spec.ports"},
    };
    char json[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(json, sizeof json, "{'metadata':{'name':'h'},'spec':%s}", bad[i][0]);
        refuses(KIND_HOSTENDPOINT, json, bad[i][1]);
    }
    struct host_endpoint *host = accepts(
        KIND_HOSTENDPOINT,
        "{'metadata':{'name':'h','labels':{'a':'b'}},'spec':{'node':'n1','interfaceName':'*',"
        "'expectedIPs':['10.0.0.1','x','fd00::1'],'profiles':['projectcalico-default-allow','p'],"
        "'ports':[{'name':'ssh','port':22,'protocol':'TCP'},{'name':'p','port':9,'protocol':17},"
        "{'name':'q','port':9,'protocol':'ICMP'}]}}");
    assert_string_equal(host->interface_name, "*");
    assert_int_equal(host->n_expected_ips, 2);
    assert_int_equal(host->n_profiles, 2);
    assert_int_equal(host->n_ports, 2);
    assert_int_equal(host->ports[1].protocol, 17);
    issue_says("spec.expectedIPs[1]: 'x'");
    issue_says("spec.profiles[1]: 'p' is not known; it allows nothing");
    assert_true(host_endpoint_equal(host, host));
    host_endpoint_free(host);
}

/* ---- slices
 * ------------------------------------------------------------------------------------------ */

static void
a_slice_gives_addresses_and_ports_of_its_service(void **state)
{
    struct endpoint_slice *slice = accepts(
        KIND_ENDPOINTSLICE,
        "{'metadata':{'name':'web-1','namespace':'ns','labels':{'kubernetes.io/service-name':'web',"
        "'x':'y'}},'addressType':'IPv4','endpoints':[{'addresses':['10.0.0.2'],'conditions':{"
        "'ready':false},'targetRef':{}},{'addresses':['10.0.0.1','bad']},{'addresses':["
        "'10.0.0.2']}],'ports':[{'name':'','port':80,'protocol':'TCP'},{'port':53,'protocol':"
        "'UDP','name':'dns'},{'name':'none'}]}");

    (void)state;
    assert_string_equal(slice->service, "web");
    assert_int_equal(slice->n_ips, 2);
    assert_int_equal(slice->ips[0].bytes[3], 1);
    assert_int_equal(slice->n_ports, 2);
    assert_string_equal(slice->ports[0].name, "");
    assert_int_equal(slice->ports[0].port, 80);
    assert_int_equal(slice->ports[1].protocol, 17);
    issue_says("endpoints[1]: 'bad'");
    endpoint_slice_free(slice);
    slice = accepts(KIND_ENDPOINTSLICE,
                    "{'metadata':{'name':'f','namespace':'ns'},'addressType':'FQDN','endpoints':["
                    "{'addresses':['example.com']}],'ports':null}");
    assert_int_equal(slice->n_ips + slice->n_ports, 0);
    assert_null(slice->service);
    assert_string_equal(str_text(&issues_text), "");
    endpoint_slice_free(slice);
    refuses(KIND_ENDPOINTSLICE,
            "{'metadata':{'name':'f','namespace':'ns'},'endpoints':{'addresses':[]}}",
            "endpoints: is not a list");
}

static void
the_order_of_endpoints_is_no_difference(void **state)
{
    struct endpoint_slice *a =
        accepts(KIND_ENDPOINTSLICE, "{'metadata':{'name':'s','namespace':'ns'},'endpoints':["
                                    "{'addresses':['10.0.0.2']},{'addresses':['10.0.0.1']}]}");
    struct endpoint_slice *b =
        accepts(KIND_ENDPOINTSLICE, "{'metadata':{'name':'s','namespace':'ns'},'endpoints':["
                                    "{'addresses':['10.0.0.1','10.0.0.2']}]}");

    (void)state;
    assert_true(endpoint_slice_equal(a, b));
    endpoint_slice_free(a);
    endpoint_slice_free(b);
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
        cmocka_unit_test(a_pod_names_its_ports_and_service_account),
        cmocka_unit_test(bad_ports_of_a_pod_are_left_out_and_named),
        cmocka_unit_test(a_pod_cannot_pass_for_another_by_its_labels),
        cmocka_unit_test(a_terminating_pod_stays_until_its_addresses_are_given_back),
        cmocka_unit_test(a_pod_lists_the_sources_it_asks_for),
        cmocka_unit_test(a_pod_lists_its_floating_addresses),
        cmocka_unit_test(a_pod_asks_for_limits),
        cmocka_unit_test(a_limit_that_is_not_understood_limits_nothing),
        cmocka_unit_test(pods_that_are_alike_share_what_they_have_in_common),
        cmocka_unit_test(shared_values_survive_any_order_of_taking_and_dropping),
        cmocka_unit_test(namespaces_and_accounts_give_labels),
        cmocka_unit_test(a_tier_denies_unless_it_says_pass),
        cmocka_unit_test(built_in_tiers_stay_as_they_are),
        cmocka_unit_test(a_network_set_holds_each_network_once),
        cmocka_unit_test(labels_that_calico_keeps_in_an_annotation_stand_for_those_of_the_crd),
        cmocka_unit_test(a_host_endpoint_is_an_interface_of_a_node),
        cmocka_unit_test(a_slice_gives_addresses_and_ports_of_its_service),
        cmocka_unit_test(the_order_of_endpoints_is_no_difference),
    };

    return cmocka_run_group_tests(tests, NULL, clean);
}
