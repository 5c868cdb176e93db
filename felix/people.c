/* What people ask felix: endpoints, policies with counters, drops, explanations; and what of that
 * goes to metrics. Called by felix/requests.c for the socket; felix/people_explain.c is a part of
 * it. */
#include "felix/people.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "felix/server/counters.h"
#include "felix/server/describe.h"
#include "felix/server/drops.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/table.h"

LOG_MODULE("people");

#define CODE_BUSY PROTO_CODE_AGAIN
/* Whose address it is takes a look at every pod of the cluster: so many in a second, and so many
 * answers kept. */
#define LOOKS_PER_SECOND 20
#define NAMES_MAX 1024

struct people {
    struct felix *felix;
    struct in_force *in_force;
    struct counters *counters;
    struct drops *drops;
    struct table *names; /* struct ip -> "namespace/name", or "" */
    uint64_t look_second;
    uint32_t n_looks;
};

/* ---- answers
 * ---------------------------------------------------------------------------------- */

void
people_send(struct felix *felix, uint64_t client, struct json_object *json)
{
    const char *text = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);

    unix_server_send(felix->server, client, text, strlen(text));
    json_object_put(json);
}

void
people_refuse(struct felix *felix, uint64_t client, int code, const char *reason)
{
    AUTO(str) struct str line = STR_INIT;

    proto_refuse(&line, code, reason);
    unix_server_send(felix->server, client, line.text, line.len - 1); /* the newline is theirs */
}

static struct json_object *
good_answer(void)
{
    struct json_object *json = json_object_new_object();

    json_object_object_add(json, "ok", json_object_new_boolean(true));
    return json;
}

static void
put(struct json_object *json, const char *key, const char *text)
{
    json_object_object_add(json, key, json_object_new_string(text));
}

/* ---- endpoints
 * -------------------------------------------------------------------------------- */

struct listing {
    const struct felix *felix;
    struct json_object *array;
};

static int64_t
n_policies(const struct policy_endpoint *endpoint, enum direction direction)
{
    const struct verdict_list *list = endpoint->lists[USE_NORMAL][direction];
    int64_t n = 0;

    for (size_t i = 0; list && i < list->n_tiers; i++) {
        n += (int64_t)list->tiers[i].n_policies;
    }
    return n;
}

/* Returns whether its rules are in the kernel, too. */
static bool
add_policy_state(const struct felix *felix, const char *ifname, struct json_object *item)
{
    const struct policy_endpoint *endpoint =
        policy_state_endpoint(policies_state(felix->policies), ifname);
    struct json_object *counts = json_object_new_object();
    struct json_object *revision = json_object_new_object();
    uint64_t wanted[N_FAMILIES] = {0};

    for (enum direction direction = INGRESS; endpoint && direction <= EGRESS; direction++) {
        json_object_object_add(counts, describe_direction(direction),
                               json_object_new_int64(n_policies(endpoint, direction)));
    }
    json_object_object_add(item, "policies", counts);
    bool is_known = policies_revisions(felix->policies, ifname, wanted);
    bool is_held = is_known && tables_hold(felix, wanted);
    uint64_t programmed = felix->tables[0] ? iptables_in_place_revision(felix->tables[0]) : 0;
    programmed = is_held || programmed > wanted[0] ? wanted[0] : programmed;
    json_object_object_add(revision, "wanted", json_object_new_int64((int64_t)wanted[0]));
    json_object_object_add(revision, "programmed", json_object_new_int64((int64_t)programmed));
    json_object_object_add(item, "revision", revision);
    return is_held;
}

static void
list_workload(void *owner, const struct workload *workload)
{
    struct listing *listing = owner;
    struct json_object *item = json_object_new_object();
    struct json_object *ips = json_object_new_array();
    char text[PREFIX_TEXT_MAX];

    for (size_t i = 0; i < workload->n_ips; i++) {
        json_object_array_add(ips, json_object_new_string(prefix_format(&workload->ips[i], text)));
    }
    put(item, "interface", workload->ifname);
    put(item, "namespace", workload->ns ? workload->ns : "");
    put(item, "pod", workload->pod ? workload->pod : "");
    json_object_object_add(item, "ips", ips);
    put(item, "source", workload->container_id ? "cni" : "api");
    bool is_held = add_policy_state(listing->felix, workload->ifname, item);
    bool is_wired = endpoints_is_programmed(listing->felix->endpoints, workload->ifname);
    json_object_object_add(item, "programmed", json_object_new_boolean(is_wired && is_held));
    json_object_array_add(listing->array, item);
}

static void
list_endpoints(struct felix *felix, uint64_t client)
{
    struct listing listing = {.felix = felix, .array = json_object_new_array()};
    struct json_object *json = good_answer();

    workloads_each(felix->workloads, list_workload, &listing);
    json_object_object_add(json, "endpoints", listing.array);
    people_send(felix, client, json);
}

/* ---- policies and counters
 * -------------------------------------------------------------------- */

struct asking {
    struct people *people;
    uint64_t client;
};

struct policy_listing {
    const struct totals *totals;
    struct json_object *array;
};

static void
add_rules(const struct policy_listing *listing, const struct active_policy *active,
          enum direction direction, struct json_object *json)
{
    const struct policy *policy = active->policy;
    const struct policy_rule *rules = direction == INGRESS ? policy->ingress : policy->egress;
    size_t n = direction == INGRESS ? policy->n_ingress : policy->n_egress;
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < n; i++) {
        struct json_object *rule = json_object_new_object();
        struct count count = totals_of_rule(listing->totals, active, direction, i);
        AUTO(str) struct str text = STR_INIT;
        describe_rule(&rules[i], &text);
        put(rule, "action", describe_action(rules[i].action));
        put(rule, "text", str_text(&text));
        json_object_object_add(rule, "packets", json_object_new_int64((int64_t)count.packets));
        json_object_object_add(rule, "bytes", json_object_new_int64((int64_t)count.bytes));
        json_object_array_add(array, rule);
    }
    json_object_object_add(json, describe_direction(direction), array);
}

static void
list_policy(void *owner, const struct active_policy *active, uint64_t revision)
{
    struct policy_listing *listing = owner;
    const struct policy *policy = active->policy;
    struct json_object *json = json_object_new_object();
    AUTO(str) struct str title = STR_INIT;

    (void)revision;
    describe_policy(policy, &title);
    put(json, "policy", str_text(&title));
    put(json, "kind", describe_kind(policy));
    put(json, "namespace", policy->ns ? policy->ns : "");
    put(json, "name", policy->name);
    put(json, "tier", policy->tier);
    if (isfinite(policy->order)) {
        json_object_object_add(json, "order",
                               policy->order == floor(policy->order) && fabs(policy->order) < 1e15
                                   ? json_object_new_int64((int64_t)policy->order)
                                   : json_object_new_double(policy->order));
    }
    json_object_object_add(json, "staged", json_object_new_boolean(policy->is_staged));
    put(json, "selector", policy->selector);
    if (policy->applies_ingress) {
        add_rules(listing, active, INGRESS, json);
    }
    if (policy->applies_egress) {
        add_rules(listing, active, EGRESS, json);
    }
    json_object_array_add(listing->array, json);
}

static void
on_counted(void *owner, const struct err *err)
{
    struct asking *asking = owner;
    struct people *people = asking->people;
    struct policy_listing listing = {counters_totals(people->counters), json_object_new_array()};
    struct json_object *json = good_answer();

    in_force_each_policy(people->in_force, list_policy, &listing);
    json_object_object_add(json, "policies", listing.array);
    if (err) {
        put(json, "uncounted", err->text);
    }
    people_send(people->felix, asking->client, json);
    free(asking);
}

static void
list_policies(struct people *people, uint64_t client)
{
    struct asking *asking = NEW(struct asking);

    *asking = (struct asking){people, client};
    counters_read(people->counters, on_counted, asking);
}

struct host_search {
    bool is_found;
};

static void
find_host(void *owner, const struct policy_endpoint *endpoint)
{
    struct host_search *search = owner;

    search->is_found |= endpoint->is_host;
}

bool
people_has_host_endpoints(const struct felix *felix)
{
    struct host_search search = {false};
    const struct policy_state_visitor visitor = {.endpoint = find_host, .owner = &search};

    policy_state_visit(policies_state(felix->policies), &visitor);
    return search.is_found;
}

static bool
counters_source(void *owner, struct counters_source *ret_source)
{
    static const char *const tools[][N_FAMILIES] = {
        [IPTABLES_AUTO] = {NULL, NULL},
        [IPTABLES_LEGACY] = {"iptables-legacy-save", "ip6tables-legacy-save"},
        [IPTABLES_NFT] = {"iptables-nft-save", "ip6tables-nft-save"},
    };
    const struct people *people = owner;
    const struct felix *felix = people->felix;

    if (!felix->rules || !tables_are_in_place(felix)) {
        return false;
    }
    ret_source->config = &felix->rules->policy;
    for (size_t i = 0; i < N_FAMILIES; i++) {
        ret_source->tools[i] = felix->tables[i] ? tools[felix->backend][i] : NULL;
    }
    ret_source->is_all_tables = people_has_host_endpoints(felix);
    return true;
}

/* ---- drops
 * ------------------------------------------------------------------------------------ */

static void
send_drop(void *owner, uint64_t client, const char *line, size_t len)
{
    const struct people *people = owner;

    unix_server_send(people->felix->server, client, line, len);
}

static bool
may_look(struct people *people)
{
    uint64_t second = clock_monotonic_ms() / 1000;

    if (people->look_second != second) {
        people->look_second = second;
        people->n_looks = 0;
    }
    return people->n_looks++ < LOOKS_PER_SECOND;
}

const struct pod *
people_find_pod(const struct felix *felix, const struct ip *ip)
{
    const struct pod *host = NULL;

    for (size_t i = 0; i < store_count(felix->store, KIND_POD); i++) {
        const struct pod *pod = store_at(felix->store, KIND_POD, i);
        if (pod->is_finished || (!ip_equal(&pod->ip4, ip) && !ip_equal(&pod->ip6, ip))) {
            continue;
        }
        if (!pod->is_host_network) {
            return pod;
        }
        host = pod;
    }
    return host;
}

static const char *
name_of_remote(struct people *people, const struct ip *ip)
{
    const char *known = table_get_bytes(people->names, ip, sizeof *ip);
    AUTO(str) struct str name = STR_INIT;

    if (known || !may_look(people)) {
        return known;
    }
    if (table_count(people->names) >= NAMES_MAX) {
        table_free(people->names, free);
        people->names = table_new();
    }
    const struct pod *pod = people_find_pod(people->felix, ip);
    if (pod && !pod->is_host_network) { /* there may be many of those with one address */
        str_addf(&name, "%s/%s", pod->ns, pod->name);
    }
    char *kept = xstrdup(str_text(&name));
    table_put_bytes(people->names, ip, sizeof *ip, kept);
    return kept;
}

static const char *
pod_of(void *owner, const struct ip *ip, bool *ret_is_local)
{
    struct people *people = owner;
    const struct policy_endpoint *endpoint =
        policy_state_endpoint_by_ip(policies_state(people->felix->policies), ip);
    const char *name = NULL;

    *ret_is_local = endpoint && !endpoint->is_host;
    if (*ret_is_local) {
        return strncmp(endpoint->key, "pod ", 4) == 0 ? endpoint->key + 4 : NULL;
    }
    name = name_of_remote(people, ip);
    return name && *name ? name : NULL;
}

static void
forget_name(struct people *people, const struct pod *pod)
{
    const struct ip *ips[] = {pod ? &pod->ip4 : NULL, pod ? &pod->ip6 : NULL};

    for (size_t i = 0; pod && i < ARRAY_LEN(ips); i++) {
        free(table_take_bytes(people->names, ips[i], sizeof *ips[i]));
    }
}

void
people_note_pod(struct people *people, const struct change *change)
{
    if (table_count(people->names) > 0) {
        forget_name(people, change->was);
        forget_name(people, change->now);
    }
}

static void
answer_drops(struct people *people, uint64_t client, bool is_recent)
{
    struct felix *felix = people->felix;
    unsigned group = felix->settings->drop_log_group;
    AUTO(str) struct str line = STR_INIT;
    struct err err = ERR_INIT;

    if (group == 0) {
        people_refuse(felix, client, CODE_BUSY,
                      "drops are not told: DropLogGroup (CANAL_DROP_LOG) is 0");
    } else if (!drops_listen(people->drops, group, &err)) {
        people_refuse(felix, client, CODE_BUSY, err.text);
    } else if (is_recent) {
        str_add(&line, "{\"ok\":true,\"drops\":");
        drops_write_recent(people->drops, &line);
        str_add_char(&line, '}');
        unix_server_send(felix->server, client, line.text, line.len);
    } else if (drops_follow(people->drops, client)) {
        unix_server_keep(felix->server, client);
        people_send(felix, client, good_answer());
    } else {
        people_refuse(felix, client, CODE_BUSY, "too many follow the drops already");
    }
}

void
people_gone(void *owner, uint64_t client)
{
    const struct felix *felix = owner;

    drops_unfollow(felix->people->drops, client);
}

void
people_tick(struct people *people)
{
    struct err err = ERR_INIT;

    if (!drops_listen(people->drops, people->felix->settings->drop_log_group, &err)) {
        log_warn_every(600, "%s; drops are not told, all else works", err.text);
    }
}

uint64_t
people_n_drops(const struct people *people)
{
    return drops_n_seen(people->drops);
}

/* ---- life
 * ------------------------------------------------------------------------------------- */

void
people_handle(struct people *people, uint64_t client, const struct proto_request *request)
{
    switch (request->op) {
    case PROTO_ENDPOINTS:
        list_endpoints(people->felix, client);
        break;
    case PROTO_EXPLAIN:
        people_explain(people->felix, client, &request->explain);
        break;
    case PROTO_DROPS:
        answer_drops(people, client, request->recent);
        break;
    case PROTO_POLICIES:
        list_policies(people, client);
        break;
    case PROTO_POD_ADD:
    case PROTO_POD_DEL:
    case PROTO_POD_CHECK:
    case PROTO_POD_GC:
    case PROTO_STATUS:
        break; /* not for us */
    }
}

struct in_force *
people_in_force(const struct people *people)
{
    return people->in_force;
}

struct people *
people_new(struct felix *felix)
{
    struct people *people = NEW(struct people);

    people->felix = felix;
    people->names = table_new();
    people->in_force = in_force_new();
    const struct counters_spec counters = {.loop = felix->loop,
                                           .metrics = felix->metrics,
                                           .in_force = people->in_force,
                                           .source = counters_source,
                                           .owner = people};
    const struct drops_spec drops = {.loop = felix->loop,
                                     .metrics = felix->metrics,
                                     .in_force = people->in_force,
                                     .pod_of = pod_of,
                                     .send = send_drop,
                                     .owner = people};
    people->counters = counters_new(&counters);
    people->drops = drops_new(&drops);
    return people;
}

void
people_stop(struct people *people)
{
    counters_stop(people->counters);
    drops_stop(people->drops);
}

void
people_free(struct people *people)
{
    if (people) {
        counters_free(people->counters);
        drops_free(people->drops);
        in_force_free(people->in_force);
        table_free(people->names, free);
        free(people);
    }
}
