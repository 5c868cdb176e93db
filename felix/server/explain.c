/* Both ends of a packet, what decides at each, and the verdict of all. Called by felix/people.c for
 * canalctl, and by tests that hold it against packets.
 *
 *   from   here: its egress list        node: host endpoint, if any      else: elsewhere, or nobody
 *   to     here: its ingress list, unless the packet is from the node itself
 *          node: from a pod DefaultEndpointToHostAction, from others the host endpoint's ingress */
#include "felix/server/explain.h"

#include <json-c/json.h>
#include <string.h>

#include "felix/server/describe.h"
#include "lib/base/vec.h"
#include "lib/proto/proto.h"

struct answer {
    const struct explain_question *question;
    const struct evaluate_sets *sets;
    struct json_object *decisions, *notes;
    size_t n_allowed, n_denied, n_elsewhere;
};

/* One line of the answer: what one end says in its direction. */
struct part {
    const struct explain_end *end;
    enum direction direction;
    const char *verdict; /* "allowed" "denied" "elsewhere" "not policed" */
    const char *reason;
    const char *by;
};

static void
put(struct json_object *json, const char *key, const char *text)
{
    json_object_object_add(json, key, json_object_new_string(text));
}

static void
put_int(struct json_object *json, const char *key, int64_t number)
{
    json_object_object_add(json, key, json_object_new_int64(number));
}

static void
put_bool(struct json_object *json, const char *key, bool value)
{
    json_object_object_add(json, key, json_object_new_boolean(value));
}

static void
add_note(struct answer *answer, const char *text)
{
    json_object_array_add(answer->notes, json_object_new_string(text));
}

/* "default/web (10.0.0.1)" or "10.0.0.1" */
static void
add_end_text(const struct explain_end *end, struct str *out)
{
    char text[IP_TEXT_MAX];

    if (end->pod) {
        str_addf(out, "%s (%s)", end->pod, ip_format(&end->ip, text));
    } else {
        str_add(out, ip_format(&end->ip, text));
    }
}

static struct json_object *
add_decision(struct answer *answer, const struct part *part)
{
    struct json_object *json = json_object_new_object();
    AUTO(str) struct str of = STR_INIT;

    add_end_text(part->end, &of);
    put(json, "direction", describe_direction(part->direction));
    put(json, "of", str_text(&of));
    put(json, "verdict", part->verdict);
    put(json, "reason", part->reason);
    put(json, "by", part->by);
    if (part->end->endpoint) {
        put(json, "interface", part->end->endpoint->ifname);
    }
    answer->n_allowed += strcmp(part->verdict, "allowed") == 0;
    answer->n_denied += strcmp(part->verdict, "denied") == 0;
    answer->n_elsewhere += strcmp(part->verdict, "elsewhere") == 0;
    json_object_array_add(answer->decisions, json);
    return json;
}

/* ---- a list
 * ----------------------------------------------------------------------------------- */

struct walk {
    const struct evaluate_sets *sets;
    VEC(struct evaluate_step) steps;
};

static bool
walk_holds(void *owner, const struct policy_set *set, const struct policy_set_member *member)
{
    const struct walk *walk = owner;

    return walk->sets->holds(walk->sets->owner, set, member);
}

static void
walk_step(void *owner, const struct evaluate_step *step)
{
    struct walk *walk = owner;

    VEC_PUSH(&walk->steps, *step);
}

static const struct policy_rule *
rule_of(const struct active_policy *active, enum direction direction, size_t index)
{
    return direction == INGRESS ? &active->policy->ingress[index] : &active->policy->egress[index];
}

static struct json_object *
tell_policy(const struct walk *walk, const struct active_policy *active, enum direction direction)
{
    struct json_object *json = json_object_new_object();
    struct json_object *logs = NULL;
    AUTO(str) struct str name = STR_INIT;
    bool is_reached = false;

    describe_policy(active->policy, &name);
    put(json, "policy", str_text(&name));
    put_bool(json, "staged", active->policy->is_staged);
    VEC_FOREACH (&walk->steps, step) {
        if (step->policy != active) {
            continue;
        }
        is_reached = true;
        if (step->rule == SIZE_MAX) {
            continue;
        }
        AUTO(str) struct str text = STR_INIT;
        const struct policy_rule *rule = rule_of(active, direction, step->rule);
        describe_rule(rule, &text);
        if (rule->action == RULE_LOG) {
            AUTO(str) struct str line = STR_INIT;
            str_addf(&line, "rule %zu: %s", step->rule, str_text(&text));
            logs = logs ? logs : json_object_new_array();
            json_object_array_add(logs, json_object_new_string(str_text(&line)));
        } else {
            put_int(json, "rule", (int64_t)step->rule);
            put_int(json, "written", rule->written);
            put(json, "action", describe_action(rule->action));
            put(json, "text", str_text(&text));
        }
    }
    if (logs) {
        json_object_object_add(json, "logs", logs);
    }
    put_bool(json, "reached", is_reached);
    return json;
}

static bool
is_tier_reached(const struct walk *walk, const struct verdict_tier *tier)
{
    VEC_FOREACH (&walk->steps, step) {
        if (step->tier == tier) {
            return true;
        }
    }
    return false;
}

static struct json_object *
tell_tiers(const struct walk *walk, const struct verdict_list *list)
{
    struct json_object *tiers = json_object_new_array();

    for (size_t i = 0; i < list->n_tiers; i++) {
        const struct verdict_tier *tier = &list->tiers[i];
        struct json_object *json = json_object_new_object();
        struct json_object *policies = json_object_new_array();
        for (size_t k = 0; k < tier->n_policies; k++) {
            json_object_array_add(policies, tell_policy(walk, tier->policies[k], list->direction));
        }
        put(json, "tier", tier->name);
        put(json, "end", tier->is_default_pass ? "Pass" : "Deny");
        put_bool(json, "reached", is_tier_reached(walk, tier));
        json_object_object_add(json, "policies", policies);
        json_object_array_add(tiers, json);
    }
    return tiers;
}

static const char *
say_why(const struct decision *decision, const struct verdict_list *list, struct str *by)
{
    switch (decision->reason) {
    case BY_RULE:
        describe_policy(decision->policy->policy, by);
        str_addf(by, ", %s rule %zu: ", describe_direction(list->direction), decision->rule);
        describe_rule(rule_of(decision->policy, list->direction, decision->rule), by);
        return "rule";
    case BY_TIER:
        str_addf(by,
                 "the end of tier %s: its policies apply here and none of their rules decides, "
                 "which denies",
                 decision->tier->name);
        return "tier";
    case BY_PROFILE:
        str_add(by, list->n_tiers == 0 ? "no policy applies in this direction"
                                       : "no policy decides; what is behind the last tier allows");
        return "profile";
    case BY_NO_PROFILE:
        str_add(by, "no policy decides, and its namespace is not known: closed");
        return "no-profile";
    case BY_NOTHING:
        break;
    }
    str_add(by, "no policy applies in this direction");
    return "nothing";
}

static void
judge_list(struct answer *answer, const struct explain_end *end, const struct verdict_list *list)
{
    struct walk walk = {.sets = answer->sets};
    const struct evaluate_sets sets = {.holds = walk_holds, .step = walk_step, .owner = &walk};
    AUTO(str) struct str by = STR_INIT;
    struct decision decision;

    evaluate(list, &answer->question->packet, &sets, &decision);
    const char *reason = say_why(&decision, list, &by);
    const struct part part = {end, list->direction,
                              decision.verdict == VERDICT_ALLOW ? "allowed" : "denied", reason,
                              str_text(&by)};
    struct json_object *json = add_decision(answer, &part);
    if (decision.reason == BY_RULE) {
        AUTO(str) struct str name = STR_INIT;
        describe_policy(decision.policy->policy, &name);
        put(json, "policy", str_text(&name));
        put_int(json, "rule", (int64_t)decision.rule);
        put_int(json, "written", rule_of(decision.policy, list->direction, decision.rule)->written);
    }
    if (decision.tier) {
        put(json, "tier", decision.tier->name);
    }
    json_object_object_add(json, "tiers", tell_tiers(&walk, list));
    VEC_DONE(&walk.steps);
}

/* ---- ends
 * ------------------------------------------------------------------------------------- */

static bool
is_failsafe(const struct explain_question *question, enum direction direction)
{
    const struct failsafe_port *ports =
        direction == INGRESS ? question->failsafe_in : question->failsafe_out;
    size_t n = direction == INGRESS ? question->n_failsafe_in : question->n_failsafe_out;
    const struct packet *packet = &question->packet;
    const struct ip *peer = direction == INGRESS ? &packet->source : &packet->destination;

    for (size_t i = 0; i < n; i++) {
        if (ports[i].protocol == packet->protocol && ports[i].port == packet->destination_port &&
            (!ports[i].has_net || prefix_contains_ip(&ports[i].net, peer))) {
            return true;
        }
    }
    return false;
}

static void
say(struct answer *answer, const struct explain_end *end, enum direction direction,
    const char *const words[3])
{
    const struct part part = {end, direction, words[0], words[1], words[2]};

    add_decision(answer, &part);
}

static void
judge_host(struct answer *answer, const struct explain_end *end, enum direction direction)
{
    static const char *const open[] = {
        "not policed", "no-host-endpoint",
        "this is the node itself (hostNetwork pods are): no host endpoint, so no policy"};
    static const char *const failsafe[] = {
        "allowed", "failsafe", "a failsafe port of the host endpoint: no policy closes it"};
    const struct policy_endpoint *endpoint = end->endpoint;

    if (!endpoint || !endpoint->lists[USE_NORMAL][direction]) {
        say(answer, end, direction, open);
    } else if (is_failsafe(answer->question, direction)) {
        say(answer, end, direction, failsafe);
    } else {
        judge_list(answer, end, endpoint->lists[USE_NORMAL][direction]);
    }
}

static void
judge_pod(struct answer *answer, const struct explain_end *end, enum direction direction)
{
    static const char *const unknown[] = {
        "denied", "not-programmed", "felix has no policy for this interface yet: it is closed"};

    if (!end->endpoint || !end->endpoint->lists[USE_NORMAL][direction]) {
        say(answer, end, direction, unknown);
    } else {
        judge_list(answer, end, end->endpoint->lists[USE_NORMAL][direction]);
    }
}

static void
judge_elsewhere(struct answer *answer, const struct explain_end *end, enum direction direction)
{
    AUTO(str) struct str text = STR_INIT;

    add_end_text(end, &text);
    if (end->where == EXPLAIN_OTHER_NODE || end->where == EXPLAIN_OTHER_HOST) {
        bool is_host = end->where == EXPLAIN_OTHER_HOST;
        str_addf(&text, " %s %s%s: its %s is decided there", is_host ? "is" : "is on",
                 end->node ? "node " : "another node", end->node ? end->node : "",
                 describe_direction(direction));
        const char *const words[] = {"elsewhere", "other-node", str_text(&text)};
        say(answer, end, direction, words);
        return;
    }
    str_add(&text, " is no pod and no node of this cluster: nothing of it decides at that end");
    const char *const words[] = {"not policed", "outside", str_text(&text)};
    say(answer, end, direction, words);
}

static void
judge_from(struct answer *answer)
{
    const struct explain_question *question = answer->question;
    static const char *const own_pod[] = {"not policed", "host-to-pod",
                                          "what the node sends to its own pods is not looked at"};

    if (question->from.where == EXPLAIN_HERE) {
        judge_pod(answer, &question->from, EGRESS);
    } else if (question->from.where != EXPLAIN_HOST) {
        judge_elsewhere(answer, &question->from, EGRESS);
    } else if (question->to.where == EXPLAIN_HERE) {
        say(answer, &question->from, EGRESS, own_pod);
    } else {
        judge_host(answer, &question->from, EGRESS);
    }
}

static void
judge_to_host(struct answer *answer)
{
    static const char *const words[][3] = {
        [RULES_ACCEPT] = {"allowed", "to-host", "DefaultEndpointToHostAction is ACCEPT"},
        [RULES_DROP] = {"denied", "to-host",
                        "DefaultEndpointToHostAction is DROP: pods do not reach their own node"},
        [RULES_REJECT] =
            {"denied", "to-host",
             "DefaultEndpointToHostAction is REJECT: pods do not reach their own node"},
        [RULES_RETURN] = {"allowed", "to-host",
                          "DefaultEndpointToHostAction is RETURN: rules of others in INPUT decide"},
    };

    say(answer, &answer->question->to, INGRESS, words[answer->question->to_host]);
}

static void
judge_to(struct answer *answer)
{
    const struct explain_question *question = answer->question;
    static const char *const from_node[] = {"allowed", "host-to-pod",
                                            "the node may always reach its own pods (probes)"};

    switch (question->to.where) {
    case EXPLAIN_HERE:
        if (question->from.where == EXPLAIN_HOST) {
            say(answer, &question->to, INGRESS, from_node);
        } else {
            judge_pod(answer, &question->to, INGRESS);
        }
        break;
    case EXPLAIN_HOST:
        if (question->from.where == EXPLAIN_HERE) {
            judge_to_host(answer);
        } else {
            judge_host(answer, &question->to, INGRESS);
        }
        break;
    case EXPLAIN_OTHER_NODE:
    case EXPLAIN_OTHER_HOST:
    case EXPLAIN_SERVICE:
    case EXPLAIN_OUTSIDE:
        judge_elsewhere(answer, &question->to, INGRESS);
        break;
    }
}

/* ---- all
 * -------------------------------------------------------------------------------------- */

static void
add_notes(struct answer *answer)
{
    const struct explain_question *question = answer->question;

    if (question->to.where == EXPLAIN_SERVICE) {
        add_note(answer, "the destination is in a range of service addresses. Policy sees a packet "
                         "after DNAT: ask for the pod behind the service, and its port");
    } else if (question->to.where == EXPLAIN_OUTSIDE) {
        add_note(answer, "if the destination is the address of a service, policy sees the packet "
                         "after DNAT: ask for the pod behind it, and its port");
    }
    if (question->is_pending) {
        add_note(answer, "the kernel does not hold the newest policy yet and may decide otherwise "
                         "until it does; canalctl status says what holds it up");
    }
    if (question->has_host_endpoints) {
        add_note(answer, "this node has host endpoints; of their policies those with preDNAT, "
                         "doNotTrack and applyOnForward are not looked at here");
    }
}

static void
tell_end(const struct explain_end *end, struct json_object *json, const char *key)
{
    static const char *const names[] = {
        [EXPLAIN_HERE] = "here",
        [EXPLAIN_HOST] = "this-node",
        [EXPLAIN_OTHER_NODE] = "other-node",
        [EXPLAIN_OTHER_HOST] = "other-node-itself",
        [EXPLAIN_SERVICE] = "service",
        [EXPLAIN_OUTSIDE] = "outside",
    };
    struct json_object *object = json_object_new_object();
    AUTO(str) struct str text = STR_INIT;
    char ip[IP_TEXT_MAX];

    add_end_text(end, &text);
    put(object, "text", str_text(&text));
    put(object, "ip", ip_format(&end->ip, ip));
    put(object, "where", names[end->where]);
    if (end->pod) {
        put(object, "pod", end->pod);
    }
    if (end->node) {
        put(object, "node", end->node);
    }
    json_object_object_add(json, key, object);
}

static void
tell_packet(const struct packet *packet, struct json_object *json)
{
    struct json_object *object = json_object_new_object();
    AUTO(str) struct str text = STR_INIT;
    char number[4];
    const char *name = proto_protocol_name(packet->protocol, number);

    str_add(&text, name);
    put_int(object, "family", packet->family);
    put(object, "protocol", name);
    if (proto_has_ports(packet->protocol)) {
        str_addf(&text, "/%u", packet->destination_port);
        put_int(object, "source_port", packet->source_port);
        put_int(object, "port", packet->destination_port);
    } else if (packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6) {
        str_addf(&text, "/%u/%u", packet->icmp_type, packet->icmp_code);
        put_int(object, "icmp_type", packet->icmp_type);
        put_int(object, "icmp_code", packet->icmp_code);
    }
    put(object, "text", str_text(&text));
    json_object_object_add(json, "packet", object);
}

enum explain_verdict
explain_answer(const struct explain_question *question, const struct evaluate_sets *sets,
               struct json_object *json)
{
    static const char *const names[] = {[EXPLAIN_ALLOWED] = "allowed",
                                        [EXPLAIN_DENIED] = "denied",
                                        [EXPLAIN_ELSEWHERE] = "elsewhere"};
    static const char *const inside[] = {"allowed", "itself",
                                         "a pod's packets to itself do not leave it"};
    struct answer answer = {question, sets, json_object_new_array(), json_object_new_array(), 0,
                            0,        0};

    if (question->from.where == EXPLAIN_HERE && ip_equal(&question->from.ip, &question->to.ip)) {
        say(&answer, &question->to, INGRESS, inside);
    } else {
        judge_from(&answer);
        judge_to(&answer);
        add_notes(&answer);
    }
    bool is_host = question->from.where == EXPLAIN_HOST || question->to.where == EXPLAIN_HOST;
    enum explain_verdict verdict = answer.n_denied > 0               ? EXPLAIN_DENIED
                                   : answer.n_allowed > 0 || is_host ? EXPLAIN_ALLOWED
                                                                     : EXPLAIN_ELSEWHERE;
    put(json, "verdict", names[verdict]);
    put_bool(json, "complete", answer.n_elsewhere == 0);
    put_bool(json, "in_force", !question->is_pending);
    tell_packet(&question->packet, json);
    tell_end(&question->from, json, "from");
    tell_end(&question->to, json, "to");
    json_object_object_add(json, "decisions", answer.decisions);
    json_object_object_add(json, "notes", answer.notes);
    return verdict;
}
