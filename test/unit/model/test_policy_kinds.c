/* lib/model: what the decoders of the policy kinds take, leave out, close and refuse.
 *
 * Policies are compared as text, a line each for the head and every rule:
 *
 *     default/1000 in+out [<selector>]
 *     in allow v4 p6 src(nets=10.0.0.0/8 !nets=10.1.0.0/16 sel=<..>) dst(ports=80-90 names=http)
 */
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/str.h"
#include "lib/model/kind.h"
#include "lib/model/policy.h"
#include "lib/selector/selector.h"
#include "test/unit/cmocka.h"

static struct str issues_text;

static void
report(void *owner, const char *text)
{
    (void)owner;
    str_addf(&issues_text, "%s\n", text);
}

static const struct kind_issues issues = {.report = report};

/* Single quotes stand for double quotes, ` for a single one. */
static struct policy *
decode(enum kind kind, const char *text, struct err *err)
{
    AUTO(str) struct str json = STR_INIT;

    str_add(&json, text);
    for (size_t i = 0; i < json.len; i++) {
        json.text[i] = json.text[i] == '\'' ? '"' : json.text[i] == '`' ? '\'' : json.text[i];
    }
    struct json_object *object = json_tokener_parse(json.text);
    if (object == NULL) {
        fail_msg("not JSON: %s", json.text);
    }
    str_clear(&issues_text);
    *err = (struct err)ERR_INIT;
    struct policy *policy = kind_ops(kind)->decode(object, &issues, err);
    struct policy *again = kind_ops(kind)->decode(object, NULL, NULL);
    json_object_put(object);
    assert_int_equal(policy == NULL, again == NULL);
    assert_true(policy == NULL || policy_equal(policy, again));
    policy_free(again);
    return policy;
}

static void
print_nets(const char *what, const struct prefix *nets, size_t n, struct str *out)
{
    char text[PREFIX_TEXT_MAX];

    for (size_t i = 0; i < n; i++) {
        str_addf(out, "%s%s", i == 0 ? what : ",", prefix_format(&nets[i], text));
    }
}

static void
print_ports(const char *what, const struct port_range *ports, size_t n, struct str *out)
{
    for (size_t i = 0; i < n; i++) {
        str_addf(out, "%s%u", i == 0 ? what : ",", ports[i].first);
        if (ports[i].last != ports[i].first) {
            str_addf(out, "-%u", ports[i].last);
        }
    }
}

static void
print_names(const char *what, char *const *names, size_t n, struct str *out)
{
    for (size_t i = 0; i < n; i++) {
        str_addf(out, "%s%s", i == 0 ? what : ",", names[i]);
    }
}

static void
print_peer(const char *what, const struct rule_peer *peer, struct str *out)
{
    AUTO(str) struct str text = STR_INIT;

    if (peer->has_nets && peer->n_nets == 0) {
        str_add(&text, " nets=none");
    }
    print_nets(" nets=", peer->nets, peer->n_nets, &text);
    print_nets(" !nets=", peer->not_nets, peer->n_not_nets, &text);
    if (peer->selector != NULL) {
        str_addf(&text, " sel=<%s>", peer->selector);
    }
    if (peer->not_selector != NULL) {
        str_addf(&text, " !sel=<%s>", peer->not_selector);
    }
    print_ports(" ports=", peer->ports, peer->n_ports, &text);
    print_names(" names=", peer->named_ports, peer->n_named_ports, &text);
    print_ports(" !ports=", peer->not_ports, peer->n_not_ports, &text);
    print_names(" !names=", peer->not_named_ports, peer->n_not_named_ports, &text);
    if (peer->service_name != NULL) {
        str_addf(&text, " svc=%s/%s", peer->service_ns, peer->service_name);
    }
    if (text.len > 0) {
        str_addf(out, " %s(%s)", what, text.text + 1);
    }
}

static void
print_number(const char *what, int number, struct str *out)
{
    if (number != RULE_ANY) {
        str_addf(out, "%s%d", what, number);
    }
}

static void
print_rules(const char *direction, const struct policy_rule *rules, size_t n, struct str *out)
{
    static const char *const actions[] = {
        [RULE_ALLOW] = "allow", [RULE_DENY] = "deny", [RULE_LOG] = "log", [RULE_PASS] = "pass"};

    for (size_t i = 0; i < n; i++) {
        str_addf(out, "\n%s %s", direction, actions[rules[i].action]);
        print_number(" v", rules[i].family == 0 ? RULE_ANY : rules[i].family, out);
        print_number(" p", rules[i].protocol, out);
        print_number(" !p", rules[i].not_protocol, out);
        print_number(" icmp", rules[i].icmp_type, out);
        print_number("/", rules[i].icmp_code, out);
        print_number(" !icmp", rules[i].not_icmp_type, out);
        print_number("/", rules[i].not_icmp_code, out);
        print_peer("src", &rules[i].source, out);
        print_peer("dst", &rules[i].destination, out);
        if (rules[i].comment != NULL) {
            str_addf(out, " # %s", rules[i].comment);
        }
    }
}

static void
print(const struct policy *policy, struct str *out)
{
    str_addf(out, "%s/%g", policy->tier, policy->order);
    str_addf(out, " %s%s%s", policy->applies_ingress ? "in" : "",
             policy->applies_ingress && policy->applies_egress ? "+" : "",
             policy->applies_egress ? "out" : "");
    str_addf(out, " [%s]", policy->selector);
    str_add(out, policy->is_staged ? " staged" : "");
    str_add(out, policy->is_untracked ? " untracked" : "");
    str_add(out, policy->is_pre_dnat ? " prednat" : "");
    str_add(out, policy->applies_on_forward ? " forward" : "");
    str_add(out, policy->is_always_programmed ? " always" : "");
    print_rules("in", policy->ingress, policy->n_ingress, out);
    print_rules("out", policy->egress, policy->n_egress, out);
}

/* 'wanted' with ` for double quotes, as selectors have many of them. */
static void
gives(enum kind kind, const char *json, const char *wanted, const char *issue)
{
    AUTO(str) struct str text = STR_INIT;
    struct err err;
    struct policy *policy = decode(kind, json, &err);

    if (policy == NULL) {
        fail_msg("must not be refused: %s: %s", json, err.text);
        return;
    }
    print(policy, &text);
    policy_free(policy);
    for (size_t i = 0; i < text.len; i++) {
        text.text[i] = text.text[i] == '"' ? '`' : text.text[i];
    }
    if (strcmp(text.text, wanted) != 0) {
        fail_msg("of %s\nis     %s\nwanted %s", json, text.text, wanted);
    }
    if (issue == NULL ? issues_text.len > 0 : strstr(str_text(&issues_text), issue) == NULL) {
        fail_msg("of %s\nissues: '%s', wanted '%s'", json, str_text(&issues_text),
                 issue != NULL ? issue : "");
    }
}

static void
refuses(enum kind kind, const char *json, const char *reason)
{
    struct err err;
    struct policy *policy = decode(kind, json, &err);

    if (policy != NULL) {
        fail_msg("must be refused: %s", json);
    }
    if (strstr(err.text, reason) == NULL) {
        fail_msg("of %s: '%s' does not say '%s'", json, err.text, reason);
    }
}

/* One rule in a policy of the kind, where @ stands; what comes behind the head is wanted. */
struct rule_case {
    const char *rule, *wanted, *issue;
};

static void
rules_give(enum kind kind, const char *head_json, const char *head, const struct rule_case *cases,
           size_t n)
{
    const char *hole = strchr(head_json, '@');

    for (size_t i = 0; i < n; i++) {
        AUTO(str) struct str json = STR_INIT;
        AUTO(str) struct str wanted = STR_INIT;

        str_add_bytes(&json, head_json, (size_t)(hole - head_json));
        str_addf(&json, "%s%s", cases[i].rule, hole + 1);
        str_addf(&wanted, "%s%s%s", head, cases[i].wanted[0] != '\0' ? "\n" : "", cases[i].wanted);
        gives(kind, json.text, wanted.text, cases[i].issue);
    }
}

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
    refuses(KIND_NETWORKPOLICY, "{'metadata':{'name':'x'}}", "metadata.namespace: is missing");
    refuses(KIND_NETWORKPOLICY, "{'metadata':{'namespace':'n'}}", "metadata.name: is missing");
    refuses(KIND_NETWORKPOLICY, META ",'spec':[]}", "spec: an object is wanted, here is a list");
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
