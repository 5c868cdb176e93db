/* felix's policy without a kernel: decodes objects, calculates, and answers what becomes of
 * packets. For tests that hold it against a reference (test/policy). One JSON value a line on
 * standard input:
 *
 *     {"reset": "node"}                  forgets everything, asks for this node from now on
 *     {"object": {...}}                  as the API has it; put, or with "delete": true taken away
 *     {"local": {"ifname", "namespace", "pod", "ips": ["10.0.0.1", ...]}}
 *     {"flush": true}                    calculates; answers with one line
 *     {"packets": [["10.0.0.1", "10.0.0.2", 6, 40000, 80, 0, 0], ...]}
 *     {"host": "eth0", "packets": [...]}
 *     {"told": true}
 *
 * A flush is answered by what was found wrong since the last one, as a list of texts. Packets are
 * answered by a list of [is_allowed, [egress], [ingress]]; an end that is not here is null, else
 * [is_allowed, reason, policy, rule]. For a host endpoint it is a list of these for each use
 * (normal, forward, untracked, before DNAT) and direction (ingress, egress), or null when the
 * interface has none. "told" is answered by how many sets, members, and policies, lists and
 * endpoints together a kernel would hold.
 *
 * The outputs of the calculation are kept as the kernel would keep them; what is evaluated are
 * these copies, so an output that was not told, or told twice, shows as a wrong verdict or as an
 * error. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/calc/policy_state.h"
#include "felix/evaluate/flow.h"
#include "lib/base/alloc.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/json/json.h"

struct eval {
    char *node;
    struct store *store;
    struct policy_state *state;
    struct table *sets;   /* id → table of members by their bytes */
    struct table *told;   /* "policy <id>", "list <id>", "endpoint <key>": is active */
    struct table *locals; /* interfaces put */
    struct str issues;    /* JSON texts, joined by commas */
    struct evaluate_sets answers;
};

static void
issue(void *owner, const char *text)
{
    struct eval *eval = owner;
    struct json_object *json = json_object_new_string(text);

    str_addf(&eval->issues, "%s%s", eval->issues.len ? ", " : "", json_object_to_json_string(json));
    json_object_put(json);
}

/* ---- what the calculation tells ---------------------------------------------------------------
 */
static void
on_set(void *owner, const struct policy_set *set, bool is_active)
{
    struct eval *eval = owner;
    struct table *members = table_get(eval->sets, set->id);

    if (is_active == (members != NULL)) {
        issue(eval, is_active ? "told of a set twice" : "told of the end of no set");
        return;
    }
    if (is_active) {
        table_put(eval->sets, set->id, table_new());
        return;
    }
    table_take(eval->sets, set->id);
    table_free(members, free);
}

struct member_key {
    struct ip ip;
    uint8_t len;
    uint16_t port;
    uint8_t protocol, nothing; /* no padding: keys are compared as bytes */
};
_Static_assert(sizeof(struct member_key) == 22, "padding");

static struct member_key
member_key(const struct policy_set_member *member, uint8_t len)
{
    struct member_key key;

    memset(&key, 0, sizeof key);
    key.len = len;
    key.protocol = member->protocol;
    key.port = member->port;
    key.ip = prefix_network(&(struct prefix){.ip = member->prefix.ip, .len = len}).ip;
    return key;
}

static void
on_member(void *owner, const struct policy_set *set, const struct policy_set_member *member,
          bool is_added)
{
    struct eval *eval = owner;
    struct table *members = table_get(eval->sets, set->id);
    struct member_key key = member_key(member, member->prefix.len);

    if (!members) {
        issue(eval, "told of a member of no set");
        return;
    }
    if (is_added) {
        if (table_get_bytes(members, &key, sizeof key)) {
            issue(eval, "told of a member twice");
            return;
        }
        table_put_bytes(members, &key, sizeof key, xmalloc(1));
        return;
    }
    void *was = table_take_bytes(members, &key, sizeof key);
    if (!was) {
        issue(eval, "told of the end of no member");
    }
    free(was);
}

static bool
copy_holds(void *owner, const struct policy_set *set, const struct policy_set_member *member)
{
    struct eval *eval = owner;
    const struct table *members = table_get(eval->sets, set->id);
    int bits = ip_bits(&member->prefix.ip);
    bool is_found = false;

    if (!members) {
        issue(eval, "a rule names a set that is not active");
    }
    for (int len = bits; members && !is_found && len >= (set->kind == SET_NETS ? 0 : bits); len--) {
        struct member_key key = member_key(member, (uint8_t)len);
        is_found = table_get_bytes(members, &key, sizeof key) != NULL;
    }
    if (is_found != policy_state_holds(eval->state, set, member)) {
        issue(eval, "policy_state_holds() and the members told differ");
    }
    return is_found;
}

static void
note_told(struct eval *eval, const char *what, const char *id, bool is_active)
{
    char key[400];

    snprintf(key, sizeof key, "%s %s", what, id);
    if (is_active) {
        table_put(eval->told, key, eval);
    } else if (!table_take(eval->told, key)) {
        issue(eval, key);
    }
}

static void
on_policy(void *owner, const struct active_policy *policy, bool is_active)
{
    note_told(owner, "policy", policy->id, is_active);
}

static void
on_list(void *owner, const struct verdict_list *list, bool is_active)
{
    struct eval *eval = owner;

    note_told(eval, "list", list->id, is_active);
    for (size_t i = 0; is_active && i < list->n_tiers; i++) {
        for (size_t j = 0; j < list->tiers[i].n_policies; j++) {
            char key[64];

            snprintf(key, sizeof key, "policy %s", list->tiers[i].policies[j]->id);
            if (!table_get(eval->told, key)) {
                issue(eval, "told of a list before one of its policies");
            }
        }
    }
}

static void
on_endpoint(void *owner, const struct policy_endpoint *endpoint, bool is_active)
{
    struct eval *eval = owner;

    note_told(eval, "endpoint", endpoint->key, is_active);
    for (int direction = 0; is_active && direction < N_DIRECTIONS; direction++) {
        const struct verdict_list *list = endpoint->lists[USE_NORMAL][direction];
        char key[64];

        snprintf(key, sizeof key, "list %s", list ? list->id : "missing");
        if (!table_get(eval->told, key)) {
            issue(eval, "told of an endpoint before one of its lists");
        }
    }
}

/* ---- lines -------------------------------------------------------------------------------------
 */
static void
on_change(void *owner, const struct change *change)
{
    policy_state_note(((struct eval *)owner)->state, change);
}

static void
free_set(void *set)
{
    table_free(set, free);
}

static void
stop(struct eval *eval)
{
    if (!eval->state) {
        return;
    }
    policy_state_free(eval->state);
    store_free(eval->store);
    table_free(eval->sets, free_set);
    table_free(eval->told, NULL);
    table_free(eval->locals, NULL);
    str_done(&eval->issues);
    free(eval->node);
}

static void
reset(struct eval *eval, const char *node)
{
    char *name = xstrdup(node);
    struct policy_state_spec spec = {.node_name = name,
                                     .interface_prefix = "cali",
                                     .set = on_set,
                                     .member = on_member,
                                     .policy = on_policy,
                                     .list = on_list,
                                     .endpoint = on_endpoint,
                                     .owner = eval};

    stop(eval);
    *eval = (struct eval){
        .node = name, .sets = table_new(), .told = table_new(), .locals = table_new()};
    eval->answers = (struct evaluate_sets){.holds = copy_holds, .owner = eval};
    eval->store = store_new(on_change, eval);
    eval->state = policy_state_new(&spec);
}

static const char *
text_of(struct json_object *json, const char *key)
{
    struct json_object *found = NULL;

    return json_object_object_get_ex(json, key, &found) ? json_object_get_string(found) : NULL;
}

static enum kind
kind_of(struct json_object *object)
{
    const char *version = text_of(object, "apiVersion"), *name = text_of(object, "kind");

    for (enum kind kind = 0; version && name && kind < N_KINDS; kind++) {
        const struct kind_ops *ops = kind_ops(kind);
        char full[128];

        snprintf(full, sizeof full, "%s%s%s", ops->group, *ops->group ? "/" : "", ops->version);
        const char *own = strncmp(ops->name, "Calico", 6) == 0 ? ops->name + 6 : ops->name;
        if (strcmp(own, name) == 0 && strcmp(full, version) == 0) {
            return kind;
        }
    }
    return N_KINDS;
}

static void
put_object(struct eval *eval, struct json_object *object, bool is_deleted)
{
    enum kind kind = kind_of(object);
    struct json_object *metadata = NULL;
    struct err err = ERR_INIT;
    char key[600];

    if (kind == N_KINDS || !json_object_object_get_ex(object, "metadata", &metadata)) {
        issue(eval, "an object of no known kind");
        return;
    }
    const char *ns = text_of(metadata, "namespace"), *name = text_of(metadata, "name");
    snprintf(key, sizeof key, "%s%s%s", ns ? ns : "", ns ? "/" : "", name ? name : "");
    if (is_deleted) {
        store_delete(eval->store, kind, key);
        return;
    }
    const struct kind_issues issues = {.report = issue, .owner = eval};
    void *decoded = kind_ops(kind)->decode(object, &issues, &err);
    if (!decoded) {
        issue(eval, err.text);
        store_delete(eval->store, kind, key);
        return;
    }
    store_put(eval->store, kind, key, decoded);
}

static void
put_local(struct eval *eval, struct json_object *local)
{
    struct json_object *list = NULL;
    struct prefix ips[8];
    size_t n = 0;

    json_object_object_get_ex(local, "ips", &list);
    for (size_t i = 0; list && i < json_object_array_length(list) && n < 8; i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(list, i));
        if (prefix_parse_host(text, &ips[n], NULL)) {
            n++;
        }
    }
    const char *ifname = text_of(local, "ifname");
    table_put(eval->locals, ifname, eval);
    policy_state_put_local(eval->state, ifname, text_of(local, "namespace"), text_of(local, "pod"),
                           ips, n);
}

static bool
read_packet(struct json_object *json, struct packet *ret_packet)
{
    int numbers[5];

    if (!ip_parse(json_object_get_string(json_object_array_get_idx(json, 0)), &ret_packet->source,
                  NULL) ||
        !ip_parse(json_object_get_string(json_object_array_get_idx(json, 1)),
                  &ret_packet->destination, NULL)) {
        return false;
    }
    for (size_t i = 0; i < 5; i++) {
        numbers[i] = json_object_get_int(json_object_array_get_idx(json, i + 2));
    }
    ret_packet->family = ret_packet->source.family;
    ret_packet->protocol = (uint8_t)numbers[0];
    ret_packet->source_port = (uint16_t)numbers[1];
    ret_packet->destination_port = (uint16_t)numbers[2];
    ret_packet->icmp_type = (uint8_t)numbers[3];
    ret_packet->icmp_code = (uint8_t)numbers[4];
    return true;
}

/* ---- answers -----------------------------------------------------------------------------------
 */
static void
answer_list(struct eval *eval, const struct verdict_list *list, const struct packet *packet)
{
    static const char *const reasons[] = {[BY_RULE] = "rule",
                                          [BY_TIER] = "tier",
                                          [BY_PROFILE] = "profile",
                                          [BY_NO_PROFILE] = "no profile",
                                          [BY_NOTHING] = "nothing"};
    static const char *const origins[] = {[POLICY_KUBERNETES] = "NetworkPolicy",
                                          [POLICY_CLUSTER] = "ClusterNetworkPolicy",
                                          [POLICY_NAMESPACED] = "CalicoNetworkPolicy",
                                          [POLICY_GLOBAL] = "GlobalNetworkPolicy"};
    struct decision decision;

    if (!list) {
        fputs("null", stdout);
        return;
    }
    evaluate(list, packet, &eval->answers, &decision);
    const struct policy *policy = decision.reason == BY_RULE ? decision.policy->policy : NULL;
    printf("[%s, \"%s\"", decision.verdict == VERDICT_ALLOW ? "true" : "false",
           reasons[decision.reason]);
    if (policy) {
        const struct policy_rule *rules =
            list->direction == INGRESS ? policy->ingress : policy->egress;
        printf(", \"%s %s%s%s\", %zu]", origins[policy->origin], policy->ns ? policy->ns : "",
               policy->ns ? "/" : "", policy->name, (size_t)rules[decision.rule].written);
    } else {
        fputs(", null, null]", stdout);
    }
}

static void
answer_packet(struct eval *eval, const struct packet *packet)
{
    const struct flow flow = {.packet = *packet, .arrived = *packet};
    const struct flow_ends ends = {
        .source = policy_state_endpoint_by_ip(eval->state, &packet->source),
        .destination = policy_state_endpoint_by_ip(eval->state, &packet->destination)};

    printf("[%s, ", flow_is_allowed(&ends, &flow, &eval->answers) ? "true" : "false");
    answer_list(eval, ends.source ? ends.source->lists[USE_NORMAL][EGRESS] : NULL, packet);
    fputs(", ", stdout);
    answer_list(eval, ends.destination ? ends.destination->lists[USE_NORMAL][INGRESS] : NULL,
                packet);
    fputs("]", stdout);
}

static void
answer_host_packet(struct eval *eval, const struct policy_endpoint *host,
                   const struct packet *packet)
{
    static const enum verdict_use uses[] = {USE_NORMAL, USE_FORWARD, USE_UNTRACKED, USE_PRE_DNAT};

    for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
        fputs(i == 0 ? "[" : ", ", stdout);
        answer_list(eval, host->lists[uses[i]][INGRESS], packet);
        fputs(", ", stdout);
        answer_list(eval, host->lists[uses[i]][EGRESS], packet);
    }
    fputs("]", stdout);
}

/* 'interface' NULL: of pods, by address. */
static void
answer_packets(struct eval *eval, const char *interface, struct json_object *packets)
{
    const struct policy_endpoint *host =
        interface ? policy_state_endpoint(eval->state, interface) : NULL;

    if (interface && !host) {
        puts("null");
        fflush(stdout);
        return;
    }
    fputs("[", stdout);
    for (size_t i = 0; i < json_object_array_length(packets); i++) {
        struct packet packet = {0};

        fputs(i > 0 ? ", " : "", stdout);
        if (!read_packet(json_object_array_get_idx(packets, i), &packet)) {
            fputs("null", stdout);
        } else if (host) {
            answer_host_packet(eval, host, &packet);
        } else {
            answer_packet(eval, &packet);
        }
    }
    puts("]");
    fflush(stdout);
}

static void
answer_issues(struct eval *eval)
{
    printf("[%s]\n", str_text(&eval->issues));
    fflush(stdout);
    str_clear(&eval->issues);
}

static void
answer_told(const struct eval *eval)
{
    size_t n_members = 0;

    TABLE_FOREACH (eval->sets, entry) {
        n_members += table_count(table_value(entry));
    }
    printf("[%zu, %zu, %zu]\n", table_count(eval->sets), n_members, table_count(eval->told));
    fflush(stdout);
}

static void
take_line(struct eval *eval, struct json_object *line)
{
    struct json_object *value = NULL;

    if (json_object_object_get_ex(line, "reset", &value)) {
        reset(eval, json_object_get_string(value));
    } else if (!eval->state) {
        fputs("policy-eval: the first line has to be a reset\n", stderr);
        exit(2);
    } else if (json_object_object_get_ex(line, "object", &value)) {
        put_object(eval, value, json_object_object_get_ex(line, "delete", NULL));
    } else if (json_object_object_get_ex(line, "local", &value)) {
        put_local(eval, value);
    } else if (json_object_object_get_ex(line, "flush", &value)) {
        policy_state_flush(eval->state);
        answer_issues(eval);
    } else if (json_object_object_get_ex(line, "told", &value)) {
        answer_told(eval);
    } else if (json_object_object_get_ex(line, "packets", &value)) {
        answer_packets(eval, text_of(line, "host"), value);
    }
}

int
main(void)
{
    struct eval eval = {0};
    char *text = NULL;
    size_t room = 0;
    ssize_t len = 0;

    while ((len = getline(&text, &room, stdin)) > 0) {
        struct json_object *line = NULL;
        struct err err = ERR_INIT;

        if (!json_parse(text, (size_t)len, &line, &err)) {
            fprintf(stderr, "policy-eval: %s\n", err.text);
            return 2;
        }
        take_line(&eval, line);
        json_object_put(line);
    }
    stop(&eval);
    free(text);
    return 0;
}
