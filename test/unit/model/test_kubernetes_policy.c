/* lib/model: what the decoders of Kubernetes' own policy kinds take, leave out, close and refuse.
 */
#include "test/unit/model/policy_text.h"

/* ---- networking.k8s.io NetworkPolicy -------------------------------------------------------- */

#define NS "projectcalico.org/namespace == `n`"
#define K8S "projectcalico.org/orchestrator == `k8s`"
#define IN_NS "sel=<(" NS " && " K8S

static void
a_network_policy_selects_pods_of_its_namespace(void **state)
{
#define META "{'metadata':{'namespace':'n','name':'x'}"
    (void)state;
    gives(KIND_NETWORKPOLICY, META "}", "default/1000 in [(" NS " && " K8S ")]", NULL);
    gives(KIND_NETWORKPOLICY,
          META ",'spec':{'podSelector':{'matchLabels':{'b':'2','a':'1'},'matchExpressions':["
               "{'key':'c','operator':'In','values':['y','x']},"
               "{'key':'d','operator':'NotIn','values':['z']},"
               "{'key':'e','operator':'Exists'},{'key':'f','operator':'DoesNotExist','values':[]}"
               "]},'policyTypes':['Egress','Ingress']}}",
          "default/1000 in+out [(" NS " && " K8S " && a == `1` && b == `2` && c in {`x`, `y`} && "
          "d not in {`z`} && has(e) && !has(f))]",
          NULL);
}

static void
directions_of_a_network_policy_default_as_in_the_api(void **state)
{
    static const char *const cases[][3] = {
        {"'egress':[{}]", "in+out", "\nout allow"},
        {"'egress':[]", "in", ""},
        {"'ingress':[{}]", "in", "\nin allow"},
        {"'policyTypes':['Egress'],'egress':[{}]", "out", "\nout allow"},
        {"'policyTypes':[],'egress':[{}]", "in+out", "\nout allow"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(str) struct str json = STR_INIT;
        AUTO(str) struct str wanted = STR_INIT;
        str_addf(&json, META ",'spec':{%s}}", cases[i][0]);
        str_addf(&wanted, "default/1000 %s [(" NS " && " K8S ")]%s", cases[i][1], cases[i][2]);
        gives(KIND_NETWORKPOLICY, json.text, wanted.text, NULL);
    }
    gives(KIND_NETWORKPOLICY, META ",'spec':{'policyTypes':['Ingress'],'egress':[{}]}}",
          "default/1000 in [(" NS " && " K8S ")]",
          "spec.egress: the policy is not for this direction; the rules are ignored");
    gives(KIND_NETWORKPOLICY, META ",'spec':{'policyTypes':['Ingress','ingress']}}",
          "default/1000 in+out [(" NS " && " K8S ")]",
          "spec.policyTypes[1]: 'ingress' is not Ingress or Egress; the policy is for both");
}

static void
rules_of_a_network_policy_are_peers_times_ports(void **state)
{
    static const struct rule_case cases[] = {
        {"{}", "in allow", NULL},
        {"{'from':[],'ports':[]}", "in allow", NULL},
        {"{'from':null,'ports':null}", "in allow", NULL},
        {"{'from':[{'podSelector':{}}]}", "in allow src(" IN_NS ")>)", NULL},
        {"{'from':[{'podSelector':{'matchLabels':{'a':'b'}}}]}",
         "in allow src(" IN_NS " && a == `b`)>)", NULL},
        {"{'from':[{'namespaceSelector':{}}]}",
         "in allow src(sel=<(" K8S " && has(projectcalico.org/namespace))>)", NULL},
        {"{'from':[{'namespaceSelector':{'matchLabels':{'kubernetes.io/metadata.name':'o'}}}]}",
         "in allow src(sel=<(" K8S " && pcns.kubernetes.io/metadata.name == `o`)>)", NULL},
        {"{'from':[{'namespaceSelector':{'matchExpressions':[{'key':'t','operator':"
         "'DoesNotExist'}]},'podSelector':{'matchLabels':{'a':'b'}}}]}",
         "in allow src(sel=<(" K8S " && !has(pcns.t) && a == `b`)>)", NULL},
        {"{'from':[{'ipBlock':{'cidr':'10.0.0.7/8','except':['10.1.0.0/16','10.2.0.0/16']}}]}",
         "in allow src(nets=10.0.0.0/8 !nets=10.1.0.0/16,10.2.0.0/16)", NULL},
        {"{'from':[{'ipBlock':{'cidr':'fd00::/8'}}]}", "in allow src(nets=fd00::/8)", NULL},
        {"{'ports':[{}]}", "in allow p6", NULL},
        {"{'ports':[{'protocol':'UDP'},{'protocol':'SCTP','port':9}]}",
         "in allow p17\nin allow p132 dst(ports=9)", NULL},
        {"{'ports':[{'port':82},{'port':80},{'port':90,'endPort':100},{'port':81},{'port':95},"
         "{'port':'http'},{'port':'dns'},{'port':'http'}]}",
         "in allow p6 dst(ports=80-82,90-100 names=dns,http)", NULL},
        {"{'ports':[{'port':80},{'protocol':'TCP'}]}", "in allow p6", NULL},
        {"{'ports':[{'port':'8080'}]}", "in allow p6 dst(ports=8080)", NULL},
        {"{'from':[{'podSelector':{}},{'ipBlock':{'cidr':'10.0.0.0/8'}}],"
         "'ports':[{'port':1},{'port':2,'protocol':'UDP'}]}",
         "in allow p6 src(" IN_NS ")>) dst(ports=1)\nin allow p17 src(" IN_NS
         ")>) dst(ports=2)\nin allow p6 src(nets=10.0.0.0/8) dst(ports=1)\n"
         "in allow p17 src(nets=10.0.0.0/8) dst(ports=2)",
         NULL},
    };

    (void)state;
    rules_give(KIND_NETWORKPOLICY, META ",'spec':{'ingress':[@]}}",
               "default/1000 in [(" NS " && " K8S ")]", cases, ARRAY_LEN(cases));
}

static void
egress_of_a_network_policy_has_peer_and_ports_at_one_end(void **state)
{
    static const struct rule_case cases[] = {
        {"{'to':[{'podSelector':{}}],'ports':[{'port':'web'}]}",
         "out allow p6 dst(" IN_NS ")> names=web)", NULL},
        {"{'from':[{'podSelector':{}}]}", "",
         "spec.egress[0].from: is not supported; the rule is left out"},
    };

    (void)state;
    rules_give(KIND_NETWORKPOLICY, META ",'spec':{'policyTypes':['Egress'],'egress':[@]}}",
               "default/1000 out [(" NS " && " K8S ")]", cases, ARRAY_LEN(cases));
}

static void
what_a_network_policy_does_not_say_clearly_allows_nothing(void **state)
{
#define NONE(path) path "; the peer is left out"
    static const struct rule_case cases[] = {
        {"7", "", "spec.ingress[0]: an object is wanted, here is a number; the rule is left out"},
        {"{'from':{}}", "", "spec.ingress[0].from: a list is wanted"},
        {"{'ports':7}", "", "spec.ingress[0].ports: a list is wanted"},
        {"{'form':[]}", "", "spec.ingress[0].form: is not supported; the rule is left out"},
        {"{'from':[{}]}", "", NONE("spec.ingress[0].from[0]: names no peer")},
        {"{'from':[null]}", "", NONE("spec.ingress[0].from[0]: an object is wanted, here is null")},
        {"{'from':[{'podSelector':null}]}", "", NONE("spec.ingress[0].from[0]: names no peer")},
        {"{'from':[{'podSelector':[]}]}", "",
         NONE("spec.ingress[0].from[0].podSelector: an object is wanted, here is a list")},
        {"{'from':[{'serviceSelector':{}}]}", "",
         NONE("spec.ingress[0].from[0].serviceSelector: is not supported")},
        {"{'from':[{'podSelector':{'matchLabels':{'a':7}}}]}", "",
         NONE("spec.ingress[0].from[0].podSelector.matchLabels.a: a string is wanted, here is a "
              "number")},
        {"{'from':[{'podSelector':{'matchLabels':{'a`b':'x'}}}]}", "",
         NONE("matchLabels[\"a'b\"]: 'a'b' is not a label's name")},
        {"{'from':[{'podSelector':{'matchLabels':{'a':'`\\\"'}}}]}", "",
         NONE("podSelector.matchLabels.a: ''\"' is not a label's value")},
        {"{'from':[{'podSelector':{'matchExpression':[]}}]}", "",
         NONE("podSelector.matchExpression: is not supported")},
        {"{'from':[{'podSelector':{'matchExpressions':[{'key':'a','operator':'Gt','values':['1']}]"
         "}}]}",
         "",
         NONE("podSelector.matchExpressions[0].operator: 'Gt' is not In, NotIn, Exists or "
              "DoesNotExist")},
        {"{'from':[{'podSelector':{'matchExpressions':[{'key':'a','operator':'In'}]}}]}", "",
         NONE("podSelector.matchExpressions[0].values: is missing")},
        {"{'from':[{'podSelector':{'matchExpressions':[{'key':'a','operator':'In','values':[]}]}}]"
         "}",
         "", NONE("podSelector.matchExpressions[0].values: is empty")},
        {"{'from':[{'podSelector':{'matchExpressions':[{'key':'a','operator':'Exists','values':["
         "'1']}]}}]}",
         "", NONE("podSelector.matchExpressions[0].values: must be empty with Exists")},
        {"{'from':[{'podSelector':{'matchExpressions':[{'operator':'Exists'}]}}]}", "",
         NONE("podSelector.matchExpressions[0].key: is missing")},
        {"{'from':[{'ipBlock':{'cidr':'10.0.0.0/33'}}]}", "",
         "spec.ingress[0].from[0].ipBlock.cidr: '10.0.0.0/33'"},
        {"{'from':[{'ipBlock':{'cidr':'10.0.0.1'}}]}", "",
         NONE("spec.ingress[0].from[0].ipBlock.cidr: '10.0.0.1' is not a prefix")},
        {"{'from':[{'ipBlock':{}}]}", "", NONE("spec.ingress[0].from[0].ipBlock.cidr: is missing")},
        {"{'from':[{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.0.0.0/8x']}}]}", "",
         "spec.ingress[0].from[0].ipBlock.except[0]: '10.0.0.0/8x'"},
        {"{'from':[{'ipBlock':{'cidr':'10.0.0.0/8','except':'10.1.0.0/16'}}]}", "",
         "spec.ingress[0].from[0].ipBlock.except: a list is wanted"},
        {"{'from':[{'ipBlock':{'cidr':'10.0.0.0/8'},'podSelector':{}}]}", "",
         NONE("spec.ingress[0].from[0]: has an ipBlock and a selector")},
        /* The other alternatives stay. */
        {"{'from':[{'ipBlock':{'cidr':'nonsense'}},{'ipBlock':{'cidr':'10.0.0.0/8'}}]}",
         "in allow src(nets=10.0.0.0/8)", "spec.ingress[0].from[0].ipBlock.cidr"},
        {"{'ports':[{'port':0}]}", "",
         "spec.ingress[0].ports[0].port: 0 is not from 1 to 65535; the port is left out"},
        {"{'ports':[{'port':65536},{'port':1}]}", "in allow p6 dst(ports=1)",
         "spec.ingress[0].ports[0].port: 65536 is not from 1 to 65535; the port is left out"},
        {"{'ports':[{'port':80.5}]}", "", "spec.ingress[0].ports[0].port: a number is wanted"},
        {"{'ports':[{'port':'a b'}]}", "",
         "spec.ingress[0].ports[0].port: 'a b' is not the name of a port"},
        {"{'ports':[{'port':'80\\u0000x'}]}", "", "spec.ingress[0].ports[0].port: a NUL"},
        {"{'ports':[{'port':80,'endPort':79}]}", "",
         "spec.ingress[0].ports[0].endPort: 79 is not from 80 to 65535"},
        {"{'ports':[{'port':'http','endPort':90}]}", "",
         "spec.ingress[0].ports[0].endPort: needs a port that is a number"},
        {"{'ports':[{'endPort':90}]}", "", "spec.ingress[0].ports[0].endPort: needs a port"},
        {"{'ports':[{'protocol':'ICMP'}]}", "",
         "spec.ingress[0].ports[0].protocol: 'ICMP' is not TCP, UDP or SCTP; the port is left out"},
        {"{'ports':[{'prt':80}]}", "", "spec.ingress[0].ports[0].prt: is not supported"},
        {"{'ports':['80']}", "", "spec.ingress[0].ports[0]: an object is wanted"},
    };

    (void)state;
    rules_give(KIND_NETWORKPOLICY, META ",'spec':{'ingress':[@]}}",
               "default/1000 in [(" NS " && " K8S ")]", cases, ARRAY_LEN(cases));
    gives(KIND_NETWORKPOLICY, META ",'spec':{'ingress':{}}}",
          "default/1000 in [(" NS " && " K8S ")]",
          "spec.ingress: a list is wanted, here is an object; the rule is left out");
}

static void
a_network_policy_for_nobody_knows_whom_closes_its_namespace(void **state)
{
    static const char *const bad[] = {"[]", "{'matchLabels':{'a':1}}", "{'matchLabel':{}}",
                                      "{'matchExpressions':[{'key':'a','operator':'x'}]}", "7"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(str) struct str json = STR_INIT;
        str_addf(&json, META ",'spec':{'podSelector':%s,'ingress':[{}]}}", bad[i]);
        gives(KIND_NETWORKPOLICY, json.text, "default/1000 in [(" NS " && " K8S ")]",
              "the policy is for its whole namespace and allows nothing");
    }
    refuses_policy(KIND_NETWORKPOLICY, "{'metadata':{'name':'x'}}",
                   "metadata.namespace: is missing");
    refuses_policy(KIND_NETWORKPOLICY, "{'metadata':{'namespace':'n'}}",
                   "metadata.name: is missing");
    refuses_policy(KIND_NETWORKPOLICY, META ",'spec':[]}",
                   "spec: an object is wanted, here is a list");
}

static void
peers_times_ports_cannot_grow_without_end(void **state)
{
    AUTO(str) struct str json = STR_INIT;
    struct err err;

    (void)state;
    str_add(&json, META ",'spec':{'ingress':[{'from':[");
    for (size_t i = 0; i < 20000; i++) {
        str_addf(&json, "%s{'podSelector':{}}", i > 0 ? "," : "");
    }
    str_add(&json, "],'ports':[");
    for (size_t i = 0; i < 20000; i++) {
        str_addf(&json, "%s{'port':%zu}", i > 0 ? "," : "", 2 * i + 1);
    }
    str_add(&json, "]},{}]}}");
    struct policy *policy = decode_policy(KIND_NETWORKPOLICY, json.text, &err);
    assert_non_null(policy);
    assert_int_equal(policy->n_ingress, 3);
    assert_int_equal(policy->ingress[2].destination.n_ports, 20000);
    assert_non_null(strstr(str_text(&issues_text),
                           "spec.ingress[0]: rules, networks and ports are more than 65536"));
    policy_free(policy);
}

/* ---- policy.networking.k8s.io ClusterNetworkPolicy ------------------------------------------ */

#define CLUSTER \
    "{'metadata':{'name':'x'},'spec':{'tier':'Admin','priority':7,'subject':{'namespaces':{}}"
#define CLUSTER_SELECTOR "[(" K8S " && has(projectcalico.org/namespace))]"

static void
a_cluster_network_policy_is_for_pods_and_has_its_tier(void **state)
{
    static const struct {
        const char *spec, *wanted;
    } cases[] = {
        {"'tier':'Admin','priority':0,'subject':{'namespaces':{}}",
         "kube-admin/0  " CLUSTER_SELECTOR},
        {"'tier':'Baseline','priority':1000,'subject':{'namespaces':{'matchLabels':{'a':'b'}}}",
         "kube-baseline/1000  [(" K8S " && pcns.a == `b`)]"},
        {"'tier':'Admin','priority':1,'subject':{'pods':{'namespaceSelector':{},'podSelector':{"
         "'matchLabels':{'a':'b'}}}}",
         "kube-admin/1  [(" K8S " && has(projectcalico.org/namespace) && a == `b`)]"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(str) struct str json = STR_INIT;
        str_addf(&json, "{'metadata':{'name':'x'},'spec':{%s}}", cases[i].spec);
        gives(KIND_CLUSTERNETWORKPOLICY, json.text, cases[i].wanted, NULL);
    }
    gives(KIND_CLUSTERNETWORKPOLICY, CLUSTER ",'targets':[]}}", "kube-admin/7  " CLUSTER_SELECTOR,
          "spec.targets: is not supported; it is ignored");
}

static void
a_cluster_network_policy_that_cannot_be_placed_is_refused(void **state)
{
    static const char *const bad[][2] = {
        {"", "spec.tier: is missing"},
        {"'tier':'Admin'", "spec.priority: is missing"},
        {"'tier':'Admin','priority':1001", "spec.priority: 1001 is not from 0 to 1000"},
        {"'tier':'Admin','priority':-1", "spec.priority: -1 is not from 0 to 1000"},
        {"'tier':'Admin','priority':1.5", "spec.priority: a number is wanted"},
        {"'tier':'Admin','priority':1", "spec.subject: is missing"},
        {"'tier':'Admin','priority':1,'subject':{}", "spec.subject: must have one member, not 0"},
        {"'tier':'Admin','priority':1,'subject':{'namespaces':{},'pods':{}}",
         "spec.subject: must have one member, not 2"},
        {"'tier':'Admin','priority':1,'subject':{'nodes':{}}",
         "spec.subject: is neither namespaces nor pods"},
        {"'tier':'Admin','priority':1,'subject':{'namespaces':{'matchLabels':7}}",
         "spec.subject.namespaces.matchLabels: an object is wanted"},
        {"'tier':'Admin','priority':1,'subject':{'pods':{'podSelector':{}}}",
         "spec.subject.pods.namespaceSelector: is missing"},
        {"'tier':'Default','priority':1,'subject':{'namespaces':{}}",
         "spec.tier: 'Default' is not Admin or Baseline"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(str) struct str json = STR_INIT;
        str_addf(&json, "{'metadata':{'name':'x'},'spec':{%s}}", bad[i][0]);
        refuses_policy(KIND_CLUSTERNETWORKPOLICY, json.text, bad[i][1]);
    }
}

static void
rules_of_a_cluster_network_policy_are_peers_times_protocols(void **state)
{
#define ANY_NS "(" K8S " && has(projectcalico.org/namespace))"
    static const struct rule_case cases[] = {
        {"{'action':'Accept','to':[{'namespaces':{}}]}", "out allow dst(sel=<" ANY_NS ">)", NULL},
        {"{'name':'a b','action':'Deny','to':[{'pods':{'namespaceSelector':{'matchLabels':{'n':'1'"
         "}},'podSelector':{'matchLabels':{'a':'b'}}}}]}",
         "out deny dst(sel=<(" K8S " && pcns.n == `1` && a == `b`)>) # a b", NULL},
        {"{'action':'Pass','to':[{'networks':['10.0.0.0/8','fd00::/8']}]}",
         "out pass dst(nets=10.0.0.0/8,fd00::/8)", NULL},
        {"{'action':'Deny','to':[{'nodes':{}},{'nodes':{'matchLabels':{'z':'1','a.b/c':''},"
         "'matchExpressions':[{'key':'p','operator':'DoesNotExist'}]}}],'protocols':["
         "{'sctp':{'destinationPort':{'number':80}}},{'tcp':{'destinationPort':{'number':80}}}]}",
         "out deny p6 dst(nodes=<all()> ports=80)\n"
         "out deny p132 dst(nodes=<all()> ports=80)\n"
         "out deny p6 dst(nodes=<(a.b/c == `` && z == `1` && !has(p))> ports=80)\n"
         "out deny p132 dst(nodes=<(a.b/c == `` && z == `1` && !has(p))> ports=80)",
         NULL},
        {"{'action':'Deny','to':[{'networks':['0.0.0.0/0']},{'namespaces':{}}],'protocols':["
         "{'tcp':{'destinationPort':{'number':80}}},"
         "{'tcp':{'destinationPort':{'range':{'start':81,'end':90}}}},"
         "{'udp':{'destinationPort':{'number':53}}},"
         "{'sctp':{'destinationPort':{'range':{'start':1,'end':65535}}}}]}",
         "out deny p6 dst(nets=0.0.0.0/0 ports=80-90)\n"
         "out deny p17 dst(nets=0.0.0.0/0 ports=53)\n"
         "out deny p132 dst(nets=0.0.0.0/0 ports=1-65535)\n"
         "out deny p6 dst(sel=<" ANY_NS "> ports=80-90)\n"
         "out deny p17 dst(sel=<" ANY_NS "> ports=53)\n"
         "out deny p132 dst(sel=<" ANY_NS "> ports=1-65535)",
         NULL},
        {"{'action':'Accept','to':[{'namespaces':{}}],'protocols':[{'destinationNamedPort':'w'}]}",
         "out allow p6 dst(sel=<" ANY_NS "> names=w)\n"
         "out allow p17 dst(sel=<" ANY_NS "> names=w)\n"
         "out allow p132 dst(sel=<" ANY_NS "> names=w)",
         NULL},
    };

    (void)state;
    rules_give(KIND_CLUSTERNETWORKPOLICY, CLUSTER ",'egress':[@]}}",
               "kube-admin/7 out " CLUSTER_SELECTOR, cases, ARRAY_LEN(cases));
}

/* What is wrong with a rule, without its action. */
static const char *const bad_cluster_rules[][2] = {
    {"'to':[]", "spec.egress[0].to: is empty"},
    {"'to':{}", "spec.egress[0].to: a list is wanted"},
    {"'name':'x'", "spec.egress[0].to: is missing"},
    {"'to':[{'namespaces':{}}],'name':7", "spec.egress[0].name: a string is wanted"},
    {"'to':[{'namespaces':{}}],'from':[]", "spec.egress[0].from: is not supported"},
    {"'to':[{'namespaces':{}},{}]", "spec.egress[0].to[1]: must have one member, not 0"},
    {"'to':[{'namespaces':null}]", "spec.egress[0].to[0]: names no peer"},
    {"'to':[{'namespaces':{},'networks':['10.0.0.0/8']}]", "to[0]: must have one member, not 2"},
    {"'to':[{'nodes':{},'namespaces':{}}]", "to[0]: must have one member, not 2"},
    {"'to':[{'nodes':null}]", "spec.egress[0].to[0]: names no peer"},
    {"'to':[{'nodes':[]}]", "spec.egress[0].to[0].nodes: an object is wanted"},
    {"'to':[{'nodes':{'labels':{}}}]", "spec.egress[0].to[0].nodes.labels: is not supported"},
    {"'to':[{'nodes':{'matchLabels':{'a b':'c'}}}]",
     "nodes.matchLabels[\"a b\"]: 'a b' is not a label"},
    {"'to':[{'nodes':{'matchExpressions':[{'key':'a','operator':'Gt','values':['1']}]}}]",
     "nodes.matchExpressions[0].operator: 'Gt' is not In"},
    {"'to':[{'nodes':{}}],'protocols':[{'destinationNamedPort':'a'}]",
     "protocols[0].destinationNamedPort: nodes have no ports with names"},
    {"'to':[{'namespaces':{}},{'nodes':{}}],'protocols':[{'destinationNamedPort':'a'}]",
     "protocols[0].destinationNamedPort: nodes have no ports with names"},
    {"'to':[{'domainNames':['a.b']}]", "spec.egress[0].to[0].domainNames: is not supported"},
    {"'to':[{'namespaces':{'matchLabels':{'a':7}}}]", "to[0].namespaces.matchLabels.a: a string"},
    {"'to':[{'namespaces':{'sameLabels':['a']}}]", "to[0].namespaces.sameLabels: is not supported"},
    {"'to':[{'pods':{'podSelector':{},'namespaceSelector':{},'x':1}}]", "pods.x: is not supported"},
    {"'to':[{'pods':{'namespaceSelector':{}}}]", "to[0].pods.podSelector: is missing"},
    {"'to':[{'networks':[]}]", "spec.egress[0].to[0].networks: is empty"},
    {"'to':[{'networks':['10.0.0.0/33']}]", "spec.egress[0].to[0].networks[0]: '10.0.0.0/33'"},
    {"'to':[{'networks':[7]}]", "spec.egress[0].to[0].networks[0]: a string is wanted"},
    {"'to':[{'namespaces':{}}],'protocols':7", "spec.egress[0].protocols: a list is wanted"},
    {"'to':[{'namespaces':{}}],'protocols':[{}]", "protocols[0]: must have one member, not 0"},
    {"'to':[{'namespaces':{}}],'protocols':[7]", "protocols[0]: an object is wanted"},
    {"'to':[{'namespaces':{}}],'protocols':[{'icmp':{}}]", "protocols[0]: is not tcp, udp, sctp"},
    {"'to':[{'namespaces':{}}],'protocols':[{'tcp':{}}]", "tcp.destinationPort: is missing"},
    {"'to':[{'namespaces':{}}],'protocols':[{'tcp':{'sourcePort':{}}}]", "tcp.sourcePort: is not"},
    {"'to':[{'namespaces':{}}],'protocols':[{'tcp':{'destinationPort':{}}}]",
     "tcp.destinationPort: needs either number or range"},
    {"'to':[{'namespaces':{}}],'protocols':[{'tcp':{'destinationPort':{'number':0}}}]",
     "tcp.destinationPort.number: 0 is not from 1 to 65535"},
    {"'to':[{'namespaces':{}}],'protocols':[{'udp':{'destinationPort':{'range':{'start':9,'end':8}}"
     "}}]",
     "udp.destinationPort.range.end: 8 is not from 9 to 65535"},
    {"'to':[{'namespaces':{}}],'protocols':[{'udp':{'destinationPort':{'range':{'start':9}}}}]",
     "udp.destinationPort.range.end: is missing"},
    {"'to':[{'namespaces':{}}],'protocols':[{'destinationNamedPort':'a b'}]",
     "protocols[0].destinationNamedPort: 'a b' is not the name of a port"},
    {"'to':[{'networks':['10.0.0.0/8']}],'protocols':[{'destinationNamedPort':'a'}]",
     "protocols[0].destinationNamedPort: networks have no ports with names"},
};

static void
a_cluster_rule_that_is_not_understood_fails_as_its_api_says(void **state)
{
    static const char *const actions[] = {"Accept", "Deny", "Pass"};

    (void)state;
    for (size_t i = 0; i < 3 * ARRAY_LEN(bad_cluster_rules); i++) {
        AUTO(str) struct str rule = STR_INIT;
        bool is_left_out = i % 3 == 0;
        const char *const *bad = bad_cluster_rules[i / 3];
        str_addf(&rule, "{'action':'%s',%s}", actions[i % 3], bad[0]);
        const struct rule_case one = {rule.text, is_left_out ? "" : "out deny", bad[1]};
        rules_give(KIND_CLUSTERNETWORKPOLICY, CLUSTER ",'egress':[@]}}",
                   is_left_out ? "kube-admin/7  " CLUSTER_SELECTOR
                               : "kube-admin/7 out " CLUSTER_SELECTOR,
                   &one, 1);
    }
    const struct rule_case others[] = {
        {"{'action':'Allow'}", "in deny", "spec.ingress[0].action: 'Allow' is not Accept"},
        {"{'from':[]}", "in deny", "spec.ingress[0].action: is missing"},
        {"{'action':'Pass','from':[{'networks':['10.0.0.0/8']}]}", "in deny",
         "spec.ingress[0].from[0].networks: is not supported"},
        {"{'action':'Deny','from':[{'nodes':{}}]}", "in deny",
         "spec.ingress[0].from[0].nodes: is not supported"},
    };
    const struct rule_case accepts = {"{'action':'Accept','from':[{'nodes':{}}]}", "",
                                      "spec.ingress[0].from[0].nodes: is not supported"};
    rules_give(KIND_CLUSTERNETWORKPOLICY, CLUSTER ",'ingress':[@]}}",
               "kube-admin/7 in " CLUSTER_SELECTOR, others, ARRAY_LEN(others));
    rules_give(KIND_CLUSTERNETWORKPOLICY, CLUSTER ",'ingress':[@]}}",
               "kube-admin/7  " CLUSTER_SELECTOR, &accepts, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_policy_selects_pods_of_its_namespace),
        cmocka_unit_test(directions_of_a_network_policy_default_as_in_the_api),
        cmocka_unit_test(rules_of_a_network_policy_are_peers_times_ports),
        cmocka_unit_test(egress_of_a_network_policy_has_peer_and_ports_at_one_end),
        cmocka_unit_test(what_a_network_policy_does_not_say_clearly_allows_nothing),
        cmocka_unit_test(a_network_policy_for_nobody_knows_whom_closes_its_namespace),
        cmocka_unit_test(peers_times_ports_cannot_grow_without_end),
        cmocka_unit_test(a_cluster_network_policy_is_for_pods_and_has_its_tier),
        cmocka_unit_test(a_cluster_network_policy_that_cannot_be_placed_is_refused),
        cmocka_unit_test(rules_of_a_cluster_network_policy_are_peers_times_protocols),
        cmocka_unit_test(a_cluster_rule_that_is_not_understood_fails_as_its_api_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
