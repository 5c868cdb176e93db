/* Decodes rules of Calico's NetworkPolicy and GlobalNetworkPolicy. Called by calico_policy.c. */
#include "lib/model/calico_rule.h"

#include <json-c/json.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/parse.h"
#include "lib/base/str.h"
#include "lib/model/calico_peer.h"
#include "lib/model/meta.h"

#define COMMENT_MAX 512 /* the kernel takes half of it */

static bool
action_decode(const struct json_at *at, enum rule_action *ret_action, struct err *err)
{
    static const char *const names[] = {
        [RULE_ALLOW] = "Allow", [RULE_DENY] = "Deny", [RULE_LOG] = "Log", [RULE_PASS] = "Pass"};
    const char *text = NULL;

    if (!json_get_string(at, "action", JSON_REQUIRED, &text, err)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcasecmp(text, names[i]) == 0) {
            *ret_action = (enum rule_action)i;
            return true;
        }
    }
    (void)err_set(err, "'%.64s' is not Allow, Deny, Log or Pass", text);
    return json_wrap(at, "action", err);
}

static bool
protocol_parse(const char *text, int16_t *ret_protocol, struct err *err)
{
    static const struct {
        const char *name;
        int16_t number;
    } protocols[] = {{"TCP", IPPROTO_TCP},   {"UDP", IPPROTO_UDP},
                     {"ICMP", IPPROTO_ICMP}, {"ICMPv6", IPPROTO_ICMPV6},
                     {"SCTP", IPPROTO_SCTP}, {"UDPLite", IPPROTO_UDPLITE}};
    uint32_t number = 0;

    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        if (strcasecmp(text, protocols[i].name) == 0) {
            *ret_protocol = protocols[i].number;
            return true;
        }
    }
    if (!parse_u32(text, 1, 255, &number, NULL)) {
        return err_set(err, "'%.64s' is not a protocol (a name or 1-255)", text);
    }
    *ret_protocol = (int16_t)number;
    return true;
}

/* A name, a number, or a number as text. */
static bool
protocol_decode(const struct json_at *at, const char *key, int16_t *ret_protocol, struct err *err)
{
    struct json_object *value = NULL;
    const char *text = NULL;
    int64_t number = 0;

    json_object_object_get_ex(at->json, key, &value);
    if (value == NULL) {
        return true;
    }
    if (json_object_is_type(value, json_type_string)) {
        return json_get_string(at, key, JSON_REQUIRED, &text, err) &&
               (protocol_parse(text, ret_protocol, err) || json_wrap(at, key, err));
    }
    if (!json_get_int(at, key, (struct json_range){1, 255, JSON_REQUIRED}, &number, err)) {
        return false;
    }
    *ret_protocol = (int16_t)number;
    return true;
}

static bool
icmp_decode(const struct json_at *at, const char *key, int16_t *ret_type, int16_t *ret_code,
            struct err *err)
{
    static const char *const known[] = {"type", "code", NULL};
    int64_t type = RULE_ANY, code = RULE_ANY;
    struct json_at icmp;

    if (!json_get_object(at, key, JSON_OPTIONAL, &icmp, err)) {
        return false;
    }
    if (icmp.json == NULL) {
        return true;
    }
    if (!draft_members_known(&icmp, known, err) ||
        !json_get_int(&icmp, "type", (struct json_range){0, 254, JSON_OPTIONAL}, &type, err) ||
        !json_get_int(&icmp, "code", (struct json_range){0, 255, JSON_OPTIONAL}, &code, err)) {
        return false;
    }
    if (type == RULE_ANY && code != RULE_ANY) {
        (void)err_set(err, "needs a type");
        return json_wrap(&icmp, "code", err);
    }
    *ret_type = (int16_t)type;
    *ret_code = (int16_t)code;
    return true;
}

/* What the rule asks of the packet itself. */
static bool
packet_decode(const struct json_at *at, struct policy_rule *rule, struct err *err)
{
    int64_t version = 0;

    if (!json_get_int(at, "ipVersion", (struct json_range){4, 6, JSON_OPTIONAL}, &version, err) ||
        !protocol_decode(at, "protocol", &rule->protocol, err) ||
        !protocol_decode(at, "notProtocol", &rule->not_protocol, err) ||
        !icmp_decode(at, "icmp", &rule->icmp_type, &rule->icmp_code, err) ||
        !icmp_decode(at, "notICMP", &rule->not_icmp_type, &rule->not_icmp_code, err)) {
        return false;
    }
    if (version == 5) {
        (void)err_set(err, "is neither 4 nor 6");
        return json_wrap(at, "ipVersion", err);
    }
    rule->family = (uint8_t)version;
    bool has_icmp = rule->icmp_type != RULE_ANY || rule->not_icmp_type != RULE_ANY;
    bool is_icmp4 = rule->protocol == IPPROTO_ICMP, is_icmp6 = rule->protocol == IPPROTO_ICMPV6;
    if (has_icmp && !is_icmp4 && !is_icmp6) {
        (void)err_set(err, "must be ICMP or ICMPv6 beside icmp or notICMP");
        return json_wrap(at, "protocol", err);
    }
    if ((is_icmp4 && version == 6) || (is_icmp6 && version == 4)) {
        (void)err_set(err, "%lld has no such protocol", (long long)version);
        return json_wrap(at, "ipVersion", err);
    }
    return true;
}

/* ---- both ends ------------------------------------------------------------------------------ */

static bool
has_ports(const struct rule_peer *peer)
{
    return peer->n_ports + peer->n_named_ports + peer->n_not_ports + peer->n_not_named_ports > 0;
}

/* A rule with networks of one family only, wanted or not wanted, is not for the other one. */
static bool
restrict_family(struct policy_rule *rule, const struct prefix *nets, size_t n)
{
    bool has[2] = {false, false};

    for (size_t i = 0; i < n; i++) {
        has[nets[i].ip.family == 6] = true;
    }
    if (n == 0 || (has[0] && has[1])) {
        return true;
    }
    uint8_t family = has[0] ? 4 : 6;
    if (rule->family != 0 && rule->family != family) {
        return false;
    }
    rule->family = family;
    return true;
}

/* For neither family: it matches nothing, which the struct says with networks and none. */
static void
match_nothing(struct policy_rule *rule)
{
    rule->source.has_nets = true;
    free(rule->source.nets);
    rule->source.nets = NULL;
    rule->source.n_nets = 0;
}

static bool
ends_decode(const struct rule_list *list, const struct json_at *at, struct policy_rule *rule,
            struct err *err)
{
    const char *ns = list->draft->policy->ns;

    if (!calico_peer_decode(at, "source", ns, &rule->source, err) ||
        !calico_peer_decode(at, "destination", ns, &rule->destination, err)) {
        return false;
    }
    const struct rule_peer *ends[] = {&rule->source, &rule->destination};
    static const char *const keys[] = {"source", "destination"};
    bool takes_ports = rule->protocol == IPPROTO_TCP || rule->protocol == IPPROTO_UDP ||
                       rule->protocol == IPPROTO_SCTP;
    bool matches = true;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (has_ports(ends[i]) && !takes_ports) {
            (void)err_set(err, "ports need protocol TCP, UDP or SCTP");
            return json_wrap(at, keys[i], err);
        }
        if (ends[i]->service_name != NULL && (i == 0) != list->is_ingress) {
            (void)err_set(err, "services are for the source of ingress and the destination of "
                               "egress");
            return json_wrap(at, keys[i], err);
        }
        matches &= restrict_family(rule, ends[i]->not_nets, ends[i]->n_not_nets);
    }
    if (!matches) {
        match_nothing(rule);
    }
    return true;
}

/* ---- annotations ---------------------------------------------------------------------------- */

static bool
annotation_add(void *owner, const char *key, const char *value, struct err *err)
{
    struct str *comment = owner;

    (void)err;
    if (comment->len < COMMENT_MAX) {
        str_addf(comment, "%s%.256s=%.256s", comment->len > 0 ? ", " : "", key, value);
    }
    return true;
}

/* Only a comment: a bad one changes nothing but is told. */
static void
comment_decode(const struct rule_list *list, const struct json_at *at, struct policy_rule *rule)
{
    AUTO(str) struct str comment = STR_INIT;
    struct json_at metadata, annotations;
    struct err err = ERR_INIT;

    if (!json_get_object(at, "metadata", JSON_OPTIONAL, &metadata, &err) ||
        !json_get_object(&metadata, "annotations", JSON_OPTIONAL, &annotations, &err) ||
        !json_each_string(&annotations, annotation_add, &comment, &err)) {
        draft_issue(list->draft, &err, "the annotations are ignored");
    } else if (comment.len > 0) {
        rule->comment = str_steal(&comment);
    }
}

void
calico_rule_decode(struct rule_list *list, const struct json_at *at)
{
    static const char *const known[] = {"action",   "ipVersion", "protocol", "notProtocol",
                                        "icmp",     "notICMP",   "source",   "destination",
                                        "metadata", NULL};
    struct policy_rule rule = rule_of(RULE_DENY);
    struct err err = ERR_INIT;

    if (!json_as_object(at, &err) || !action_decode(at, &rule.action, &err) ||
        !draft_members_known(at, known, &err) || !packet_decode(at, &rule, &err) ||
        !ends_decode(list, at, &rule, &err)) {
        rule_list_fail(list, rule.action, &err);
        policy_rule_done(&rule);
        return;
    }
    comment_decode(list, at, &rule);
    rule_list_take(list, &rule, at);
}
