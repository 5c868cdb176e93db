/* lib/model: what the decoders of Calico's policy kinds take, leave out, close and refuse. */
#include "lib/selector/selector.h"
#include "test/unit/model/policy_text.h"

#define NS "projectcalico.org/namespace == `n`"
#define META "{'metadata':{'namespace':'n','name':'default.x'}"
#define GLOBAL "{'metadata':{'name':'x'}"

/* ---- the policy ----------------------------------------------------------------------------- */

struct spec_case {
    const char *spec, *wanted, *issue;
};

static void
specs_give(enum kind kind, const struct spec_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        AUTO(str) struct str json = STR_INIT;
        str_addf(&json, "%s,'spec':{%s}}", kind_ops(kind)->is_namespaced ? META : GLOBAL,
                 cases[i].spec);
        gives(kind, json.text, cases[i].wanted, cases[i].issue);
    }
}

static void
a_namespaced_policy_is_for_endpoints_of_its_namespace(void **state)
{
    static const struct spec_case cases[] = {
        {"", "default/inf in [" NS "]", NULL},
        {"'selector':'all()'", "default/inf in [" NS "]", NULL},
        {"'selector':'a == `1` || has(b)','tier':'sec','order':-1.5",
         "sec/-1.5 in [(" NS " && (a == `1` || has(b)))]", NULL},
        {"'serviceAccountSelector':'all()','selector':'!has(a)'",
         "default/inf in [(" NS " && has(projectcalico.org/serviceaccount) && !has(a))]", NULL},
        {"'serviceAccountSelector':'a == `1`'", "default/inf in [(" NS " && pcsa.a == `1`)]", NULL},
        {"'tier':'','order':100,'performanceHints':['AssumeNeededOnEveryNode']",
         "default/100 in [" NS "] always", NULL},
        {"'performanceHints':['Faster']", "default/inf in [" NS "]",
         "spec.performanceHints[0]: 'Faster' is not known; the hint is ignored"},
        {"'performanceHints':[7]", "default/inf in [" NS "]", "spec.performanceHints[0]: a string"},
        {"'performanceHints':7", "default/inf in [" NS "]", "spec.performanceHints: a list"},
        {"'selctor':'a'", "default/inf in [" NS "]",
         "spec.selctor: is not supported; it is ignored"},
        {"'namespaceSelector':'a'", "default/inf in [" NS "]", "spec.namespaceSelector: is not"},
        {"'preDNAT':true", "default/inf in [" NS "]", "spec.preDNAT: is not supported"},
    };

    (void)state;
    specs_give(KIND_CALICONETWORKPOLICY, cases, ARRAY_LEN(cases));
    gives(KIND_CALICONETWORKPOLICY, META "}", "default/inf in [" NS "]", NULL);
}

static void
a_global_policy_is_for_all_that_it_selects(void **state)
{
    static const struct spec_case cases[] = {
        {"", "default/inf in [all()]", NULL},
        {"'selector':'all()','namespaceSelector':'all()'",
         "default/inf in [has(projectcalico.org/namespace)]", NULL},
        {"'namespaceSelector':'global()'", "default/inf in [!has(projectcalico.org/namespace)]",
         NULL},
        {"'namespaceSelector':'a == `1`','serviceAccountSelector':'b in {`x`}','selector':'has(c)'",
         "default/inf in [(pcns.a == `1` && pcsa.b in {`x`} && has(c))]", NULL},
        {"'doNotTrack':true", "default/inf in [all()] untracked forward", NULL},
        {"'preDNAT':true,'applyOnForward':true", "default/inf in [all()] prednat forward", NULL},
        {"'applyOnForward':true", "default/inf in [all()] forward", NULL},
        {"'preDNAT':true,'types':['Ingress','Egress'],'egress':[{'action':'Deny'}]",
         "default/inf in [all()] prednat forward",
         "spec.preDNAT: the policy can be for ingress only; egress is ignored"},
    };

    (void)state;
    specs_give(KIND_GLOBALNETWORKPOLICY, cases, ARRAY_LEN(cases));
}

static void
directions_default_to_those_with_rules(void **state)
{
#define RULE "{'action':'Deny'}"
    static const struct spec_case cases[] = {
        {"'ingress':[" RULE "]", "default/inf in [all()]\nin deny", NULL},
        {"'egress':[" RULE "]", "default/inf out [all()]\nout deny", NULL},
        {"'egress':[],'types':[]", "default/inf in [all()]", NULL},
        {"'ingress':[" RULE "],'egress':[" RULE "]",
         "default/inf in+out [all()]\nin deny\nout deny", NULL},
        {"'types':['Egress']", "default/inf out [all()]", NULL},
        {"'types':['Egress'],'ingress':[" RULE "]", "default/inf out [all()]",
         "spec.ingress: the policy is not for this direction"},
        {"'types':['Both']", "default/inf in+out [all()]",
         "spec.types[0]: 'Both' is not Ingress or Egress; the policy is for both directions"},
        {"'types':'Ingress'", "default/inf in+out [all()]", "spec.types: a list is wanted"},
        {"'ingress':7", "default/inf in [all()]\nin deny",
         "spec.ingress: a list is wanted, here is a number; the rule denies everything"},
        {"'egress':{}", "default/inf out [all()]\nout deny", "spec.egress: a list is wanted"},
    };

    (void)state;
    specs_give(KIND_GLOBALNETWORKPOLICY, cases, ARRAY_LEN(cases));
}

static void
staged_policies_are_marked_and_void_ones_apply_to_nothing(void **state)
{
    static const struct spec_case cases[] = {
        {"'egress':[" RULE "]", "default/inf out [" NS "] staged\nout deny", NULL},
        {"'stagedAction':'Set'", "default/inf in [" NS "] staged", NULL},
        {"'stagedAction':'Learn'", "default/inf in [" NS "] staged", NULL},
        {"'stagedAction':'Delete','ingress':[" RULE "]", "default/inf  [!all()] staged", NULL},
        {"'stagedAction':'Ignore'", "default/inf  [!all()] staged", NULL},
        {"'stagedAction':'Undo'", "default/inf in [" NS "] staged",
         "spec.stagedAction: 'Undo' is not Set, Delete, Learn or Ignore; it is taken as Set"},
        {"'stagedAction':7", "default/inf in [" NS "] staged", "spec.stagedAction: a string"},
    };

    (void)state;
    specs_give(KIND_STAGEDNETWORKPOLICY, cases, ARRAY_LEN(cases));
    gives(KIND_STAGEDGLOBALNETWORKPOLICY, GLOBAL ",'spec':{'preDNAT':true,'stagedAction':'Set'}}",
          "default/inf in [all()] staged prednat forward", NULL);
    gives(KIND_STAGEDKUBERNETESNETWORKPOLICY, META ",'spec':{'egress':[{}],'stagedAction':'Set'}}",
          "default/1000 in+out [(" NS " && projectcalico.org/orchestrator == `k8s`)] staged\n"
          "out allow",
          NULL);
    gives(KIND_STAGEDKUBERNETESNETWORKPOLICY, META ",'spec':{'stagedAction':'Delete'}}",
          "default/1000  [!all()] staged", NULL);
    gives(KIND_CALICONETWORKPOLICY, META ",'spec':{'stagedAction':'Delete'}}",
          "default/inf in [" NS "]", "spec.stagedAction: is not supported");
}

static void
a_policy_that_cannot_be_placed_is_refused(void **state)
{
    static const char *const bad[][2] = {
        {"'tier':7", "spec.tier: a string is wanted"},
        {"'tier':'A b'", "spec.tier: 'A b' is not the name of a tier"},
        {"'order':'10'", "spec.order: is not a number"},
        {"'order':1e999", "spec.order: is not a number"},
        {"'order':true", "spec.order: is not a number"},
        {"'selector':'a ='", "spec.selector: expected an operator"},
        {"'selector':7", "spec.selector: a string is wanted"},
        {"'selector':'global()'", "spec.selector: global() can stand in a namespaceSelector only"},
        {"'namespaceSelector':'a ='", "spec.namespaceSelector: expected an operator"},
        {"'serviceAccountSelector':'(has(a)'", "spec.serviceAccountSelector: expected ')'"},
        {"'preDNAT':'yes'", "spec.preDNAT: true or false is wanted"},
        {"'doNotTrack':1", "spec.doNotTrack: true or false is wanted"},
        {"'applyOnForward':1", "spec.applyOnForward: true or false is wanted"},
        {"'doNotTrack':true,'preDNAT':true", "spec.preDNAT: cannot be given together"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(str) struct str json = STR_INIT;
        str_addf(&json, GLOBAL ",'spec':{%s}}", bad[i][0]);
        refuses_policy(KIND_GLOBALNETWORKPOLICY, json.text, bad[i][1]);
    }
    refuses_policy(KIND_GLOBALNETWORKPOLICY, "{'metadata':{'name':'X y'}}", "metadata.name: 'X y'");
    refuses_policy(KIND_CALICONETWORKPOLICY, GLOBAL "}", "metadata.namespace: is missing");
    refuses_policy(KIND_CALICONETWORKPOLICY, META ",'spec':{'order':[]}}", "spec.order");
}

static void
a_namespaced_policy_with_a_bad_selector_closes_its_namespace(void **state)
{
#define CLOSED "; the policy is for its whole namespace and allows nothing"
    static const struct spec_case cases[] = {
        {"'selector':'a = `1`'", "default/inf in [" NS "]",
         "spec.selector: expected an operator (==, !=, in, not in, contains, starts with, ends "
         "with) at character 3, at '= '1''" CLOSED},
        {"'serviceAccountSelector':'!'", "default/inf in [" NS "]",
         "spec.serviceAccountSelector: expected a label name at character 2, at ''" CLOSED},
        {"'selector':[],'ingress':[{'action':'Log'},{'action':'Allow'},{'action':'Pass','protocol':"
         "'TCP'},{'action':'Deny','protocol':'UDP'}]",
         "default/inf in [" NS "]\nin log\nin deny p6\nin deny p17",
         "spec.selector: a string is wanted, here is a list" CLOSED},
    };

    (void)state;
    specs_give(KIND_CALICONETWORKPOLICY, cases, ARRAY_LEN(cases));
}

/* ---- rules ---------------------------------------------------------------------------------- */

#define ALLOW "'action':'Allow'"
#define TCP "'action':'Allow','protocol':'TCP'"

static void
rules_ask_for_protocols_and_icmp(void **state)
{
    static const struct rule_case cases[] = {
        {"{" ALLOW "}", "in allow", NULL},
        {"{'action':'Deny'}", "in deny", NULL},
        {"{'action':'Log'}", "in log", NULL},
        {"{'action':'pass'}", "in pass", NULL},
        {"{" ALLOW ",'ipVersion':4}", "in allow v4", NULL},
        {"{" ALLOW ",'ipVersion':6,'protocol':'ICMPv6'}", "in allow v6 p58", NULL},
        {"{" ALLOW ",'protocol':'tcp'}", "in allow p6", NULL},
        {"{" ALLOW ",'protocol':'UDP'}", "in allow p17", NULL},
        {"{" ALLOW ",'protocol':'SCTP'}", "in allow p132", NULL},
        {"{" ALLOW ",'protocol':'UDPLite'}", "in allow p136", NULL},
        {"{" ALLOW ",'protocol':'ICMP'}", "in allow p1", NULL},
        {"{" ALLOW ",'protocol':255}", "in allow p255", NULL},
        {"{" ALLOW ",'protocol':'47','notProtocol':'TCP'}", "in allow p47 !p6", NULL},
        {"{" ALLOW ",'notProtocol':6}", "in allow !p6", NULL},
        {"{" ALLOW ",'protocol':'ICMP','icmp':{'type':8,'code':0}}", "in allow p1 icmp8/0", NULL},
        {"{" ALLOW ",'protocol':'ICMP','icmp':{'type':0},'notICMP':{'type':254,'code':255}}",
         "in allow p1 icmp0 !icmp254/255", NULL},
        {"{" ALLOW ",'protocol':1,'icmp':{}}", "in allow p1", NULL},
        {"{" ALLOW ",'protocol':'ICMPv6','notICMP':{'type':8}}", "in allow p58 !icmp8", NULL},
        {"{" ALLOW ",'metadata':{'annotations':{'who':'me','why':'\\n\\\"`'}}}",
         "in allow # who=me, why=\n`'", NULL},
        {"{" ALLOW ",'metadata':{'annotations':{'who':7}}}", "in allow",
         "spec.ingress[0].metadata.annotations.who: a string is wanted, here is a number; the "
         "annotations are ignored"},
    };

    (void)state;
    rules_give(KIND_GLOBALNETWORKPOLICY, GLOBAL ",'spec':{'ingress':[@]}}",
               "default/inf in [all()]", cases, ARRAY_LEN(cases));
}

static void
rules_ask_for_networks_and_ports(void **state)
{
    static const struct rule_case cases[] = {
        {"{" ALLOW ",'source':{},'destination':{}}", "in allow", NULL},
        {"{" ALLOW ",'source':{'nets':['10.0.0.9/8','10.1.1.1','fd00::1/64'],'notNets':[]}}",
         "in allow src(nets=10.0.0.0/8,10.1.1.1/32,fd00::/64)", NULL},
        {"{" ALLOW ",'destination':{'notNets':['10.0.0.0/8','fd00::/8']}}",
         "in allow dst(!nets=10.0.0.0/8,fd00::/8)", NULL},
        /* Of one family only: not for the other. */
        {"{" ALLOW ",'destination':{'notNets':['10.0.0.0/8']}}",
         "in allow v4 dst(!nets=10.0.0.0/8)", NULL},
        {"{" ALLOW ",'source':{'notNets':['fd00::/8']}}", "in allow v6 src(!nets=fd00::/8)", NULL},
        {"{" ALLOW ",'source':{'notNets':['fd00::/8']},'destination':{'notNets':['10.0.0.0/8']}}",
         "in allow v6 src(nets=none !nets=fd00::/8) dst(!nets=10.0.0.0/8)", NULL},
        {"{" ALLOW ",'ipVersion':4,'source':{'nets':['::/0'],'notNets':['fd00::/8']}}",
         "in allow v4 src(nets=none !nets=fd00::/8)", NULL},
        {"{" TCP ",'source':{'ports':[1]},'destination':{'ports':[80,'81','90:100','1:9','http'],"
         "'notPorts':['a-b_c.D',95]}}",
         "in allow p6 src(ports=1) dst(ports=80,81,90-100,1-9 names=http !ports=95 "
         "!names=a-b_c.D)",
         NULL},
        {"{" ALLOW ",'protocol':'SCTP','destination':{'ports':['65535:65535']}}",
         "in allow p132 dst(ports=65535)", NULL},
    };

    (void)state;
    rules_give(KIND_GLOBALNETWORKPOLICY, GLOBAL ",'spec':{'ingress':[@]}}",
               "default/inf in [all()]", cases, ARRAY_LEN(cases));
}

static void
selectors_of_global_rules_are_about_the_cluster(void **state)
{
    static const struct rule_case cases[] = {
        {"{" ALLOW ",'source':{'selector':'a == `1`'}}", "in allow src(sel=<a == `1`>)", NULL},
        {"{" ALLOW ",'source':{'selector':'all()'}}", "in allow src(sel=<all()>)", NULL},
        {"{" ALLOW ",'source':{'selector':''}}", "in allow", NULL},
        {"{" ALLOW ",'source':{'notSelector':'has(a)'}}", "in allow src(!sel=<has(a)>)", NULL},
        {"{" ALLOW ",'source':{'selector':'has(b)','notSelector':'has(a) || has(c)'}}",
         "in allow src(sel=<(has(b) && !(has(a) || has(c)))>)", NULL},
        {"{" ALLOW ",'source':{'selector':'has(b)','notSelector':'!has(a)'}}",
         "in allow src(sel=<(has(b) && has(a))>)", NULL},
        {"{" ALLOW ",'source':{'namespaceSelector':'all()'}}",
         "in allow src(sel=<has(projectcalico.org/namespace)>)", NULL},
        {"{" ALLOW ",'source':{'namespaceSelector':'global() || a == `1`','selector':'has(x)'}}",
         "in allow src(sel=<((!has(projectcalico.org/namespace) || pcns.a == `1`) && has(x))>)",
         NULL},
        {"{" ALLOW ",'source':{'namespaceSelector':'has(a)','notSelector':'has(x)'}}",
         "in allow src(sel=<(has(pcns.a) && !has(x))>)", NULL},
        {"{" ALLOW ",'source':{'serviceAccounts':{'names':['b','a'],'selector':'all()'}}}",
         "in allow src(sel=<projectcalico.org/serviceaccount in {`a`, `b`}>)", NULL},
        {"{" ALLOW ",'source':{'serviceAccounts':{'selector':'x != `1`'}}}",
         "in allow src(sel=<pcsa.x != `1`>)", NULL},
        {"{" ALLOW ",'source':{'serviceAccounts':{}}}", "in allow", NULL},
        {"{" ALLOW ",'source':{'services':{'name':'s','namespace':'o'}}}", "in allow src(svc=o/s)",
         NULL},
    };

    (void)state;
    rules_give(KIND_GLOBALNETWORKPOLICY, GLOBAL ",'spec':{'ingress':[@]}}",
               "default/inf in [all()]", cases, ARRAY_LEN(cases));
}

static void
selectors_of_namespaced_rules_stay_in_the_namespace(void **state)
{
    static const struct rule_case cases[] = {
        {"{" ALLOW ",'destination':{'selector':'has(a)'}}",
         "out allow dst(sel=<(" NS " && has(a))>)", NULL},
        {"{" ALLOW ",'destination':{'selector':'all()'}}", "out allow dst(sel=<" NS ">)", NULL},
        {"{" ALLOW ",'destination':{'notSelector':'has(a)'}}",
         "out allow dst(sel=<(" NS " && !has(a))>)", NULL},
        {"{" ALLOW ",'destination':{'serviceAccounts':{'names':['a']}}}",
         "out allow dst(sel=<(" NS " && projectcalico.org/serviceaccount in {`a`})>)", NULL},
        {"{" ALLOW ",'destination':{'serviceAccounts':{}}}", "out allow dst(sel=<" NS ">)", NULL},
        {"{" ALLOW ",'destination':{'namespaceSelector':'has(b)','selector':'has(a)'}}",
         "out allow dst(sel=<(has(pcns.b) && has(a))>)", NULL},
        {"{" ALLOW ",'destination':{'nets':['10.0.0.0/8']}}", "out allow dst(nets=10.0.0.0/8)",
         NULL},
        {"{" ALLOW ",'destination':{'services':{'name':'s'}}}", "out allow dst(svc=n/s)", NULL},
        {"{" TCP ",'destination':{'services':{'name':'s','namespace':'o'}},'source':{'ports':[1]}}",
         "out allow p6 src(ports=1) dst(svc=o/s)", NULL},
    };

    (void)state;
    rules_give(KIND_CALICONETWORKPOLICY, META ",'spec':{'egress':[@]}}", "default/inf out [" NS "]",
               cases, ARRAY_LEN(cases));
}

/* What is wrong with a rule, without its action; each is tried with all four. */
static const char *const bad_rules[][2] = {
    {"'ipVersion':5", "spec.ingress[0].ipVersion: is neither 4 nor 6"},
    {"'ipVersion':7", "spec.ingress[0].ipVersion: 7 is not from 4 to 6"},
    {"'ipVersion':'4'", "spec.ingress[0].ipVersion: a number is wanted"},
    {"'protocol':'XYZ'", "spec.ingress[0].protocol: 'XYZ' is not a protocol"},
    {"'protocol':0", "spec.ingress[0].protocol: 0 is not from 1 to 255"},
    {"'protocol':256", "spec.ingress[0].protocol: 256 is not from 1 to 255"},
    {"'protocol':{}", "spec.ingress[0].protocol: a number is wanted"},
    {"'notProtocol':'-1'", "spec.ingress[0].notProtocol: '-1' is not a protocol"},
    {"'ipVersion':4,'protocol':'ICMPv6'", "spec.ingress[0].ipVersion: 4 has no such protocol"},
    {"'ipVersion':6,'protocol':'ICMP'", "spec.ingress[0].ipVersion: 6 has no such protocol"},
    {"'protocol':'TCP','icmp':{'type':8}", "spec.ingress[0].protocol: must be ICMP or ICMPv6"},
    {"'icmp':{'type':8}", "spec.ingress[0].protocol: must be ICMP or ICMPv6"},
    {"'notICMP':{'type':8}", "spec.ingress[0].protocol: must be ICMP or ICMPv6"},
    {"'icmp':{'type':255}", "spec.ingress[0].icmp.type: 255 is not from 0 to 254"},
    {"'icmp':{'type':8,'code':256}", "spec.ingress[0].icmp.code: 256 is not from 0 to 255"},
    {"'icmp':{'code':1}", "spec.ingress[0].icmp.code: needs a type"},
    {"'notICMP':{'kind':1}", "spec.ingress[0].notICMP.kind: is not supported"},
    {"'icmp':8", "spec.ingress[0].icmp: an object is wanted"},
    {"'http':{'methods':['GET']}", "spec.ingress[0].http: is not supported"},
    {"'notHTTP':{}", "spec.ingress[0].notHTTP: is not supported"},
    {"'source':[]", "spec.ingress[0].source: an object is wanted"},
    {"'source':{'domains':['a.b']}", "spec.ingress[0].source.domains: is not supported"},
    {"'source':{'nets':['10.0.0.0/33']}", "spec.ingress[0].source.nets[0]: '10.0.0.0/33'"},
    {"'source':{'nets':['10.0.0.0/8','']}", "spec.ingress[0].source.nets[1]: ''"},
    {"'source':{'nets':'10.0.0.0/8'}", "spec.ingress[0].source.nets: a list is wanted"},
    {"'source':{'nets':[7]}", "spec.ingress[0].source.nets[0]: a string is wanted"},
    {"'source':{'notNets':['x']}", "spec.ingress[0].source.notNets[0]: 'x'"},
    {"'source':{'selector':'a = 1'}", "spec.ingress[0].source.selector: expected an operator"},
    {"'source':{'selector':7}", "spec.ingress[0].source.selector: a string is wanted"},
    {"'source':{'selector':'!global()'}",
     "spec.ingress[0].source.selector: global() can stand in a namespaceSelector only"},
    {"'source':{'notSelector':'global()'}", "spec.ingress[0].source.notSelector: global() can"},
    {"'source':{'selector':'has(a)','notSelector':'global()'}",
     "spec.ingress[0].source.notSelector: global() can stand"},
    {"'source':{'serviceAccounts':{'selector':'global()'}}", "selector: global() can stand in"},
    {"'source':{'notSelector':'('}", "spec.ingress[0].source.notSelector: expected"},
    {"'source':{'selector':'all()','notSelector':'('}", "spec.ingress[0].source.notSelector"},
    {"'source':{'namespaceSelector':'has('}", "spec.ingress[0].source.namespaceSelector"},
    {"'source':{'serviceAccounts':[]}", "spec.ingress[0].source.serviceAccounts: an object"},
    {"'source':{'serviceAccounts':{'name':'x'}}",
     "spec.ingress[0].source.serviceAccounts.name: is not supported"},
    {"'source':{'serviceAccounts':{'names':['a`b']}}",
     "spec.ingress[0].source.serviceAccounts.names[0]: 'a'b' is not the name of a service account"},
    {"'source':{'serviceAccounts':{'names':'a'}}",
     "spec.ingress[0].source.serviceAccounts.names: a list is wanted"},
    {"'source':{'serviceAccounts':{'selector':'&&'}}",
     "spec.ingress[0].source.serviceAccounts.selector: expected"},
    {"'source':{'ports':[80]}", "spec.ingress[0].source: ports need protocol TCP, UDP or SCTP"},
    {"'notProtocol':'TCP','source':{'notPorts':['a']}", "spec.ingress[0].source: ports need"},
    {"'protocol':'ICMP','destination':{'ports':[80]}", "spec.ingress[0].destination: ports need"},
    {"'protocol':'TCP','source':{'ports':[0]}", "spec.ingress[0].source.ports[0]: 0 is not a port"},
    {"'protocol':'TCP','source':{'ports':['0']}", "spec.ingress[0].source.ports[0]: '0'"},
    {"'protocol':'TCP','source':{'ports':[65536]}", "source.ports[0]: 65536 is not a port"},
    {"'protocol':'TCP','source':{'ports':['90:80']}",
     "spec.ingress[0].source.ports[0]: '90:80' ends before it begins"},
    {"'protocol':'TCP','source':{'ports':['0:9']}", "spec.ingress[0].source.ports[0]: '0'"},
    {"'protocol':'TCP','source':{'ports':['1:2:3']}", "spec.ingress[0].source.ports[0]: '2:3'"},
    {"'protocol':'TCP','source':{'ports':[':']}", "spec.ingress[0].source.ports[0]: ''"},
    {"'protocol':'TCP','source':{'ports':['']}", "spec.ingress[0].source.ports[0]: ''"},
    {"'protocol':'TCP','source':{'ports':['80-90 ']}", "spec.ingress[0].source.ports[0]: '80-90 '"},
    {"'protocol':'TCP','source':{'ports':[80.5]}", "spec.ingress[0].source.ports[0]: a string"},
    {"'protocol':'TCP','source':{'ports':80}", "spec.ingress[0].source.ports: a list is wanted"},
    {"'source':{'services':{'namespace':'o'}}", "source.services.name: is missing"},
    {"'source':{'services':{'name':'s'}}", "source.services.namespace: is missing"},
    {"'source':{'services':{'name':'S s','namespace':'o'}}", "source.services.name: 'S s' is not"},
    {"'source':{'services':{'name':'s','namespace':'o','port':1}}", "source.services.port: is not"},
    {"'source':{'services':{'name':'s','namespace':'o'},'nets':['10.0.0.0/8']}",
     "spec.ingress[0].source.services: cannot be given together with nets"},
    {"'destination':{'services':{'name':'s','namespace':'o'}}",
     "spec.ingress[0].destination: services are for the source of ingress"},
    {"'protocol':'TCP','destination':{'services':{'name':'s','namespace':'o'},'ports':[1]}",
     "spec.ingress[0].destination.services: has ports of its own"},
    {"'sauce':{}", "spec.ingress[0].sauce: is not supported"},
};

static void
a_rule_that_is_not_understood_opens_nothing(void **state)
{
    static const char *const actions[] = {"Allow", "Log", "Deny", "Pass"};

    (void)state;
    for (size_t i = 0; i < 4 * ARRAY_LEN(bad_rules); i++) {
        AUTO(str) struct str rule = STR_INIT;
        bool is_left_out = i % 4 < 2;
        const char *const *bad = bad_rules[i / 4];
        str_addf(&rule, "{'action':'%s',%s},{'action':'Allow'}", actions[i % 4], bad[0]);
        /* Nothing behind a rule that denies everything is ever reached. */
        const struct rule_case one = {rule.text, is_left_out ? "in allow" : "in deny", bad[1]};
        rules_give(KIND_GLOBALNETWORKPOLICY, GLOBAL ",'spec':{'ingress':[@]}}",
                   "default/inf in [all()]", &one, 1);
        const char *what = is_left_out ? "; the rule is left out" : "; the rule denies everything";
        if (strstr(str_text(&issues_text), what) == NULL) {
            fail_msg("'%s' does not say '%s'", issues_text.text, what);
        }
    }
}

static void
a_rule_without_a_known_action_denies_everything(void **state)
{
    static const struct rule_case cases[] = {
        {"{}", "in deny", "spec.ingress[0].action: is missing; the rule denies everything"},
        {"{'action':'Accept'}", "in deny",
         "spec.ingress[0].action: 'Accept' is not Allow, Deny, Log or Pass"},
        {"{'action':7}", "in deny", "spec.ingress[0].action: a string is wanted"},
        {"7", "in deny", "spec.ingress[0]: an object is wanted"},
        {"null", "in deny", "spec.ingress[0]: an object is wanted, here is null"},
    };

    (void)state;
    rules_give(KIND_GLOBALNETWORKPOLICY, GLOBAL ",'spec':{'ingress':[@]}}",
               "default/inf in [all()]", cases, ARRAY_LEN(cases));
}

static void
rules_know_which_element_they_were_written_as(void **state)
{
    struct err err;
    struct policy *policy =
        decode(KIND_GLOBALNETWORKPOLICY,
               GLOBAL ",'spec':{'ingress':[{'action':'Allow','http':{}},{'action':'Allow'},"
                      "{'action':'Log','ipVersion':5},{'action':'Deny','http':{}}]}}",
               &err);

    (void)state;
    assert_non_null(policy);
    assert_int_equal(policy->n_ingress, 2);
    assert_int_equal(policy->ingress[0].written, 1);
    assert_int_equal(policy->ingress[1].written, 3);
    policy_free(policy);
}

/* ---- size ----------------------------------------------------------------------------------- */

/* A policy whose ingress is 'rule' n times; JSON with double quotes. */
static struct policy *
many(const char *rule, size_t n, const char *last)
{
    AUTO(str) struct str json = STR_INIT;
    struct err err;

    str_add(&json, GLOBAL ",'spec':{'ingress':[");
    for (size_t i = 0; i < n; i++) {
        str_addf(&json, "%s,", rule);
    }
    str_addf(&json, "%s]}}", last);
    struct policy *policy = decode_policy(KIND_GLOBALNETWORKPOLICY, json.text, &err);
    assert_non_null(policy);
    return policy;
}

static void
ten_thousand_rules_are_taken_and_what_is_too_much_is_closed(void **state)
{
    struct policy *policy =
        many("{'action':'Allow','source':{'nets':['10.0.0.0/8']}}", 10000, "{'action':'Deny'}");

    (void)state;
    assert_int_equal(policy->n_ingress, 10001);
    assert_int_equal(policy->ingress[10000].action, RULE_DENY);
    assert_string_equal(str_text(&issues_text), "");
    policy_free(policy);
    policy = many("{'action':'Allow'}", 65535, "{'action':'Allow'}");
    assert_int_equal(policy->n_ingress, 65536);
    policy_free(policy);
    policy = many("{'action':'Allow'}", 65536, "{'action':'Allow'},{'action':'Allow'}");
    assert_int_equal(policy->n_ingress, 65536);
    assert_string_equal(str_text(&issues_text),
                        "spec.ingress[65536]: rules, networks and ports are more than 65536; from "
                        "here on those that allow are left out, and the first other denies all\n");
    policy_free(policy);
    policy = many("{'action':'Allow'}", 70000,
                  "{'action':'Pass','protocol':'TCP'},{'action':'Allow'},{'action':'Deny'}");
    assert_int_equal(policy->n_ingress, 65537);
    assert_int_equal(policy->ingress[65536].action, RULE_DENY);
    assert_int_equal(policy->ingress[65536].protocol, RULE_ANY);
    policy_free(policy);
}

/* A namespaceSelector of about that length. */
static void
long_selector(size_t len, struct str *json)
{
    str_add(json, GLOBAL ",'spec':{'namespaceSelector':'");
    while (json->len < len) {
        str_add(json, "a == `b` || ");
    }
    str_add(json, "all()'}}");
}

static void
a_selector_of_64_kib_does_no_harm(void **state)
{
    AUTO(str) struct str json = STR_INIT;
    struct err err;

    (void)state;
    long_selector(65000, &json);
    struct policy *policy = decode_policy(KIND_GLOBALNETWORKPOLICY, json.text, &err);
    assert_non_null(policy);
    policy_free(policy);
    str_clear(&json);
    long_selector(66000, &json);
    refuses_policy(KIND_GLOBALNETWORKPOLICY, json.text, "characters are more than 65536");
}

/* 'n' times 'open', something, and as many closing parentheses. */
static void
nested(const char *open, size_t n, struct str *json)
{
    str_add(json, GLOBAL ",'spec':{'serviceAccountSelector':'has(z)','selector':'");
    for (size_t i = 0; i < n; i++) {
        str_add(json, open);
    }
    str_add(json, "has(c)");
    for (size_t i = 0; i < n; i++) {
        str_add(json, ")");
    }
    str_add(json, "'}}");
}

static void
what_is_made_of_a_deep_selector_parses_or_is_refused(void **state)
{
    static const char *const open[] = {"has(a) || has(b) && (", "has(a) && (", "!("};
    size_t n_refused = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(open) * SELECTOR_DEPTH_MAX; i++) {
        AUTO(str) struct str json = STR_INIT;
        struct selector *selector = NULL;
        size_t depth = i / ARRAY_LEN(open);
        struct err err;
        nested(open[i % ARRAY_LEN(open)], depth, &json);
        struct policy *policy = decode_policy(KIND_GLOBALNETWORKPOLICY, json.text, &err);
        if (policy == NULL) {
            assert_true(depth > 100);
            assert_non_null(strstr(err.text, "expected fewer parentheses"));
            n_refused++;
            continue;
        }
        assert_true(selector_parse(policy->selector, &selector, NULL));
        selector_free(selector);
        policy_free(policy);
    }
    assert_true(n_refused > 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_namespaced_policy_is_for_endpoints_of_its_namespace),
        cmocka_unit_test(a_global_policy_is_for_all_that_it_selects),
        cmocka_unit_test(directions_default_to_those_with_rules),
        cmocka_unit_test(staged_policies_are_marked_and_void_ones_apply_to_nothing),
        cmocka_unit_test(a_policy_that_cannot_be_placed_is_refused),
        cmocka_unit_test(a_namespaced_policy_with_a_bad_selector_closes_its_namespace),
        cmocka_unit_test(rules_ask_for_protocols_and_icmp),
        cmocka_unit_test(rules_ask_for_networks_and_ports),
        cmocka_unit_test(selectors_of_global_rules_are_about_the_cluster),
        cmocka_unit_test(selectors_of_namespaced_rules_stay_in_the_namespace),
        cmocka_unit_test(a_rule_that_is_not_understood_opens_nothing),
        cmocka_unit_test(a_rule_without_a_known_action_denies_everything),
        cmocka_unit_test(rules_know_which_element_they_were_written_as),
        cmocka_unit_test(ten_thousand_rules_are_taken_and_what_is_too_much_is_closed),
        cmocka_unit_test(a_selector_of_64_kib_does_no_harm),
        cmocka_unit_test(what_is_made_of_a_deep_selector_parses_or_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
