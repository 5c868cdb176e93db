/* Both ends of a packet, what decides on its way, and the verdict of all. Called by felix/people.c
 * for canalctl, and by tests that hold it against packets.
 *
 *   from   its pod's egress, or what the node sends; else: elsewhere, or nobody
 *   (way)  host endpoints: felix/evaluate/flow.c says which of their lists, in which order
 *   to     its pod's ingress, unless the packet is from the node itself
 *          node: from a pod DefaultEndpointToHostAction, from others the host endpoint's ingress */
#include "felix/server/explain.h"

#include <json-c/json.h>
#include <string.h>

#include "felix/server/describe.h"
#include "lib/base/vec.h"
#include "lib/proto/proto.h"

/* Kubernetes' default range. */
#define NODE_PORT_FIRST 30000
#define NODE_PORT_LAST 32767

struct answer {
    const struct explain_question *question;
    const struct evaluate_sets *sets;
    struct json_object *decisions, *notes;
    size_t n_allowed, n_denied, n_elsewhere;
    bool is_untracked;
};

/* One line of the answer: what an end, or a host endpoint, says in its direction. */
struct part {
    const char *of;
    const struct policy_endpoint *endpoint; /* NULL: none has a say */
    enum verdict_use use;
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

/* Its key is "host <name>". */
static const char *
name_of_host(const struct policy_endpoint *endpoint)
{
    size_t len = strcspn(endpoint->key, " ");

    return endpoint->key[len] == ' ' ? endpoint->key + len + 1 : endpoint->key;
}

static struct json_object *
add_decision(struct answer *answer, const struct part *part)
{
    static const char *const uses[] = {[USE_NORMAL] = "normal",
                                       [USE_FORWARD] = "forward",
                                       [USE_PRE_DNAT] = "pre-dnat",
                                       [USE_UNTRACKED] = "untracked"};
    struct json_object *json = json_object_new_object();

    put(json, "direction", describe_direction(part->direction));
    put(json, "of", part->of);
    put(json, "verdict", part->verdict);
    put(json, "reason", part->reason);
    put(json, "by", part->by);
    if (part->endpoint) {
        put(json, "interface", part->endpoint->ifname);
    }
    if (part->endpoint && part->endpoint->is_host) {
        put(json, "host_endpoint", name_of_host(part->endpoint));
        put(json, "use", uses[part->use]);
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
        bool is_open =
            tier->is_default_pass || list->use == USE_PRE_DNAT || list->use == USE_UNTRACKED;
        put(json, "end", is_open ? "Pass" : "Deny");
        put_bool(json, "reached", is_tier_reached(walk, tier));
        json_object_object_add(json, "policies", policies);
        json_object_array_add(tiers, json);
    }
    return tiers;
}

static const char *
say_why(const struct decision *decision, const struct flow_check *check,
        const struct verdict_list *list, struct str *by)
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
        str_add(by, check->endpoint->is_host
                        ? "no policy decides, and no profile of the host endpoint allows: closed"
                        : "no policy decides, and its namespace is not known: closed");
        return "no-profile";
    case BY_NOTHING:
        break;
    }
    str_add(by, "none of the rules decides: the packet goes on");
    return "nothing";
}

static const char *
verdict_of(const struct decision *decision, enum verdict_use use)
{
    if (decision->verdict == VERDICT_DENY) {
        return "denied";
    }
    return decision->reason == BY_NOTHING && use != USE_FORWARD ? "not policed" : "allowed";
}

/* True: the packet may go on. */
static bool
judge_list(struct answer *answer, const struct flow_check *check, const char *of,
           bool *ret_is_by_rule)
{
    const struct verdict_list *list = check->endpoint->lists[check->use][check->direction];
    struct walk walk = {.sets = answer->sets};
    const struct evaluate_sets sets = {.holds = walk_holds, .step = walk_step, .owner = &walk};
    AUTO(str) struct str by = STR_INIT;
    struct decision decision;

    evaluate(list, check->packet, &sets, &decision);
    const char *reason = say_why(&decision, check, list, &by);
    const struct part part = {
        of,     check->endpoint, check->use, list->direction, verdict_of(&decision, check->use),
        reason, str_text(&by)};
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
    *ret_is_by_rule = decision.reason == BY_RULE;
    return decision.verdict == VERDICT_ALLOW;
}

/* ---- on the way
 * ------------------------------------------------------------------------------- */

/* "host endpoint n1-eth0 (eth0), before DNAT" */
static void
add_host_text(const struct flow_check *check, struct str *of)
{
    static const char *const uses[] = {[USE_NORMAL] = "",
                                       [USE_FORWARD] = ", of what is forwarded",
                                       [USE_PRE_DNAT] = ", before DNAT",
                                       [USE_UNTRACKED] = ", without tracking"};
    str_addf(of, "host endpoint %s (%s)%s", name_of_host(check->endpoint), check->endpoint->ifname,
             uses[check->use]);
}

static void
say_failsafe(struct answer *answer, const struct flow_check *check, const char *of)
{
    bool is_last = check->use == USE_NORMAL;
    const struct part part = {of,
                              check->endpoint,
                              check->use,
                              check->direction,
                              is_last ? "allowed" : "not policed",
                              "failsafe",
                              "a failsafe port of the host endpoint: no policy closes it"};

    add_decision(answer, &part);
}

static bool
tell_check(void *owner, const struct flow_check *check, bool *ret_is_by_rule)
{
    struct answer *answer = owner;
    AUTO(str) struct str of = STR_INIT;

    if (check->endpoint->is_host) {
        add_host_text(check, &of);
    } else {
        bool is_from = check->direction == EGRESS;
        add_end_text(is_from ? &answer->question->from : &answer->question->to, &of);
    }
    if (check->is_failsafe) {
        say_failsafe(answer, check, str_text(&of));
        return true;
    }
    bool is_allowed = judge_list(answer, check, str_text(&of), ret_is_by_rule);
    answer->is_untracked |= check->use == USE_UNTRACKED && is_allowed && *ret_is_by_rule;
    return is_allowed;
}

static void
walk_way(struct answer *answer)
{
    const struct explain_question *question = answer->question;
    const struct explain_end *from = &question->from, *to = &question->to;
    struct flow flow = {.packet = question->packet, .arrived = question->packet};
    struct flow_ends ends = question->ends;

    if (question->floating.family != 0) {
        flow.arrived.destination = question->floating;
    }
    ends.source = from->where == EXPLAIN_HERE ? from->endpoint : NULL;
    ends.destination = to->where == EXPLAIN_HERE ? to->endpoint : NULL;
    ends.is_from_node = from->where == EXPLAIN_HOST;
    ends.is_to_node = to->where == EXPLAIN_HOST;
    if (from->where == EXPLAIN_HERE) {
        ends.in = NULL;
    }
    if (to->where == EXPLAIN_HERE) {
        ends.out = ends.out_arrived = NULL;
    }
    flow_walk(&ends, &flow, tell_check, answer);
}

/* ---- ends
 * ------------------------------------------------------------------------------------- */

static void
say(struct answer *answer, const struct explain_end *end, enum direction direction,
    const char *const words[3])
{
    AUTO(str) struct str of = STR_INIT;

    add_end_text(end, &of);
    const struct part part = {str_text(&of), end->endpoint, USE_NORMAL, direction,
                              words[0],      words[1],      words[2]};
    add_decision(answer, &part);
}

static void
say_no_host_endpoint(struct answer *answer, const struct explain_end *end, enum direction direction)
{
    static const char *const open[] = {
        "not policed", "no-host-endpoint",
        "this is the node itself (hostNetwork pods are): no host endpoint, so no policy"};

    say(answer, end, direction, open);
}

static void
say_not_programmed(struct answer *answer, const struct explain_end *end, enum direction direction)
{
    static const char *const unknown[] = {
        "denied", "not-programmed", "felix has no policy for this interface yet: it is closed"};

    say(answer, end, direction, unknown);
}

static void
say_elsewhere(struct answer *answer, const struct explain_end *end, enum direction direction)
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

/* Where nothing on the way says it. */
static void
say_from(struct answer *answer)
{
    const struct explain_question *question = answer->question;
    static const char *const own_pod[] = {"not policed", "host-to-pod",
                                          "what the node sends to its own pods is not looked at"};

    if (question->from.where == EXPLAIN_HERE) {
        if (!question->from.endpoint) {
            say_not_programmed(answer, &question->from, EGRESS);
        }
    } else if (question->from.where != EXPLAIN_HOST) {
        say_elsewhere(answer, &question->from, EGRESS);
    } else if (question->to.where == EXPLAIN_HERE) {
        say(answer, &question->from, EGRESS, own_pod);
    } else if (!question->ends.out) {
        say_no_host_endpoint(answer, &question->from, EGRESS);
    }
}

static void
say_to_host(struct answer *answer)
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
say_to(struct answer *answer)
{
    const struct explain_question *question = answer->question;
    const struct explain_end *to = &question->to;
    static const char *const from_node[] = {"allowed", "host-to-pod",
                                            "the node may always reach its own pods (probes)"};

    switch (to->where) {
    case EXPLAIN_HERE:
        if (question->from.where == EXPLAIN_HOST) {
            say(answer, to, INGRESS, from_node);
        } else if (!to->endpoint) {
            say_not_programmed(answer, to, INGRESS);
        }
        break;
    case EXPLAIN_HOST:
        if (question->from.where == EXPLAIN_HERE) {
            say_to_host(answer);
        } else if (!question->ends.in) {
            say_no_host_endpoint(answer, to, INGRESS);
        }
        break;
    case EXPLAIN_OTHER_NODE:
    case EXPLAIN_OTHER_HOST:
    case EXPLAIN_SERVICE:
    case EXPLAIN_OUTSIDE:
        say_elsewhere(answer, to, INGRESS);
        break;
    }
}

static bool
is_of_this_node(const struct explain_end *end)
{
    return end->where == EXPLAIN_HERE || end->where == EXPLAIN_HOST;
}

/* ---- all
 * -------------------------------------------------------------------------------------- */

/* What another destination would mean, which only rules of others know. */
static void
add_note_of_dnat(struct answer *answer)
{
    switch (answer->question->to.where) {
    case EXPLAIN_SERVICE:
        add_note(answer, "the destination is in a range of service addresses. Policy sees a packet "
                         "after DNAT, except for preDNAT and doNotTrack: ask for the pod behind "
                         "the service, and its port");
        break;
    case EXPLAIN_OUTSIDE:
        add_note(answer, "if the destination is the address of a service, policy sees the packet "
                         "after DNAT: ask for the pod behind it, and its port");
        break;
    case EXPLAIN_HOST:
        if (answer->question->packet.destination_port >= NODE_PORT_FIRST &&
            answer->question->packet.destination_port <= NODE_PORT_LAST) {
            add_note(answer, "if this is a node port, only preDNAT and doNotTrack see it as it is "
                             "here; for the rest ask for the pod behind it, and its port");
        }
        break;
    case EXPLAIN_HERE:
    case EXPLAIN_OTHER_NODE:
    case EXPLAIN_OTHER_HOST:
        break;
    }
}

static void
add_note_of_floating(struct answer *answer)
{
    const struct explain_question *question = answer->question;

    if (question->floating.family != 0) {
        add_note(answer,
                 question->to.where == EXPLAIN_HERE
                     ? "the destination is a floating address: policy sees the pod's own, except "
                       "for preDNAT and doNotTrack"
                     : "the destination is a floating address of a pod on another node: policy "
                       "here sees the floating one, there the pod's own");
    }
}

static void
add_notes(struct answer *answer)
{
    const struct explain_question *question = answer->question;

    add_note_of_floating(answer);
    add_note_of_dnat(answer);
    if (question->is_pending) {
        add_note(answer, "the kernel does not hold the newest policy yet and may decide otherwise "
                         "until it does; canalctl status says what holds it up");
    }
    if (answer->is_untracked) {
        add_note(answer, "a doNotTrack policy lets it through: its answers are judged like packets "
                         "of their own, so ask for them, too, with the ports exchanged");
    }
    bool is_from_here = is_of_this_node(&question->from);
    bool is_to_here = is_of_this_node(&question->to);
    if (!is_from_here && !is_to_here) {
        if (question->has_host_endpoints) {
            add_note(answer, "neither end is on this node. Were it to forward the packet, its host "
                             "endpoints' policies with applyOnForward would count");
        }
    } else if (question->is_by_route && !(is_from_here && is_to_here)) {
        add_note(answer, "host endpoints are taken to be those of the interfaces that the routes "
                         "to both ends lead to");
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
    struct answer answer = {.question = question,
                            .sets = sets,
                            .decisions = json_object_new_array(),
                            .notes = json_object_new_array()};

    if (question->from.where == EXPLAIN_HERE && question->floating.family == 0 &&
        ip_equal(&question->from.ip, &question->to.ip)) {
        say(&answer, &question->to, INGRESS, inside);
    } else {
        say_from(&answer);
        if (is_of_this_node(&question->from) || is_of_this_node(&question->to)) {
            walk_way(&answer);
        }
        say_to(&answer);
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
    if (question->floating.family != 0) {
        char text[IP_TEXT_MAX];
        put(json, "floating", ip_format(&question->floating, text));
    }
    json_object_object_add(json, "decisions", answer.decisions);
    json_object_object_add(json, "notes", answer.notes);
    return verdict;
}
