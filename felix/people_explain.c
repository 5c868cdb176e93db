/* Whose address an end of a packet is, and then felix/server/explain.c. A part of people.c. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "felix/people.h"
#include "felix/server/explain.h"
#include "lib/base/alloc.h"

#define CODE_NOT_THERE 100
#define CODE_NOT_YET PROTO_CODE_AGAIN

/* An end while it is looked for; 'name' is what end.pod points at. */
struct search {
    const struct felix *felix;
    const struct proto_place *place;
    struct ip ips[2];   /* what it may be meant with: IPv4, IPv6; family 0: none */
    struct ip floating; /* given, and replaced by the pod's own in 'ips' where the pod is here */
    char ifname[16];    /* of a pod of this node */
    struct str name;
    struct explain_end end;
};

static void
search_done(struct search *search)
{
    str_done(&search->name);
}

static void
add_ip(struct search *search, const struct ip *ip)
{
    if (ip->family != 0) {
        search->ips[ip->family == 6] = *ip;
    }
}

/* ---- a pod by name
 * ---------------------------------------------------------------------------- */

/* What the CNI plugin told is there before the API has it. */
static void
look_at_workload(void *owner, const struct workload *workload)
{
    struct search *search = owner;

    if (!workload->ns || !workload->pod || strcmp(workload->ns, search->place->namespace) != 0 ||
        strcmp(workload->pod, search->place->pod) != 0) {
        return;
    }
    search->end.where = EXPLAIN_HERE;
    snprintf(search->ifname, sizeof search->ifname, "%s", workload->ifname);
    for (size_t i = 0; i < workload->n_ips; i++) {
        add_ip(search, &workload->ips[i].ip);
    }
}

static void
place_pod(struct search *search, const struct pod *pod)
{
    bool is_here = pod->node_name && strcmp(pod->node_name, search->felix->node_name) == 0;

    search->end.node = is_here ? NULL : pod->node_name;
    if (pod->is_host_network) {
        search->end.where = is_here ? EXPLAIN_HOST : EXPLAIN_OTHER_HOST;
    } else {
        search->end.where = is_here ? EXPLAIN_HERE : EXPLAIN_OTHER_NODE;
    }
}

static bool
find_by_name(struct search *search, struct err *err)
{
    str_addf(&search->name, "%s/%s", search->place->namespace, search->place->pod);
    search->end.pod = search->name.text;
    workloads_each(search->felix->workloads, look_at_workload, search);
    if (search->ifname[0] != '\0') {
        return true;
    }
    const struct pod *pod = store_get(search->felix->store, KIND_POD, search->name.text);
    if (!pod) {
        return err_code(err, CODE_NOT_THERE,
                        "there is no pod %s in the cluster, as far as felix has heard",
                        search->name.text);
    }
    if (pod->is_finished) {
        return err_code(err, CODE_NOT_THERE,
                        "pod %s has ended: its address is not its own any more", search->name.text);
    }
    place_pod(search, pod);
    add_ip(search, &pod->ip4);
    add_ip(search, &pod->ip6);
    return search->ips[0].family != 0 || search->ips[1].family != 0 ||
           err_code(err, CODE_NOT_THERE, "pod %s has no address yet", search->name.text);
}

/* ---- an address
 * ------------------------------------------------------------------------------- */

/* Whose floating address it is. */
static bool
find_floating(struct search *search)
{
    const struct felix *felix = search->felix;
    const struct ip *ip = &search->place->ip;
    const char *key = felix->settings->floating_ips == 1 ? floating_pod(felix->floating, ip) : NULL;
    const struct pod *pod = key ? store_get(felix->store, KIND_POD, key) : NULL;

    if (!pod) {
        return false;
    }
    place_pod(search, pod);
    search->floating = *ip;
    str_add(&search->name, key);
    search->end.pod = search->name.text;
    if (search->end.where == EXPLAIN_HERE) {
        workload_ifname(felix->prefixes.items[0], pod->ns, pod->name, search->ifname);
        add_ip(search, ip->family == 4 ? &pod->ip4 : &pod->ip6);
    }
    return true;
}

static void
find_by_address(struct search *search)
{
    const struct felix *felix = search->felix;
    const struct ip *ip = &search->place->ip;
    const struct policy_endpoint *endpoint =
        policy_state_endpoint_by_ip(policies_state(felix->policies), ip);
    struct explain_end *end = &search->end;

    add_ip(search, ip);
    if (endpoint && !endpoint->is_host) {
        end->where = EXPLAIN_HERE;
        snprintf(search->ifname, sizeof search->ifname, "%s", endpoint->ifname);
        end->pod = strncmp(endpoint->key, "pod ", 4) == 0 ? endpoint->key + 4 : NULL;
        return;
    }
    if (policies_is_own_address(felix->policies, ip)) {
        end->where = EXPLAIN_HOST;
        return;
    }
    const struct pod *pod = people_find_pod(felix, ip);
    if (pod && !pod->is_host_network) {
        place_pod(search, pod);
        str_addf(&search->name, "%s/%s", pod->ns, pod->name);
        end->pod = search->name.text;
        return;
    }
    end->node = addresses_node(felix, ip);
    if (end->node) {
        end->where = EXPLAIN_OTHER_HOST;
    } else if (addresses_is_service(felix, ip)) {
        end->where = EXPLAIN_SERVICE;
    } else if (!find_floating(search)) {
        end->where = EXPLAIN_OUTSIDE;
    }
}

/* ---- both
 * ------------------------------------------------------------------------------------- */

static bool
find(struct search *search, const struct felix *felix, const struct proto_place *place,
     struct err *err)
{
    *search = (struct search){.felix = felix, .place = place};
    if (place->pod) {
        return find_by_name(search, err);
    }
    find_by_address(search);
    return true;
}

/* IPv4 where nothing says otherwise and both have it. */
static bool
choose_family(const struct search *from, const struct search *to, uint8_t wanted, size_t *ret_index,
              struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(from->ips); i++) {
        if ((wanted == 0 || wanted == (i == 0 ? 4 : 6)) && from->ips[i].family != 0 &&
            to->ips[i].family != 0) {
            *ret_index = i;
            return true;
        }
    }
    return err_code(err, CODE_NOT_THERE, "the two have no addresses of %s",
                    wanted == 4   ? "IPv4"
                    : wanted == 6 ? "IPv6"
                                  : "one family");
}

static void
settle(struct search *search, size_t index)
{
    const struct policy_state *state = policies_state(search->felix->policies);
    struct explain_end *end = &search->end;

    end->ip = search->ips[index];
    if (end->where == EXPLAIN_HERE && search->ifname[0] != '\0') {
        end->endpoint = policy_state_endpoint(state, search->ifname);
    }
}

static void
answer(struct felix *felix, uint64_t client, const struct proto_explain *explain,
       const struct search *from, const struct search *to)
{
    const struct policy_rules_config *config = &felix->rules->policy;
    const struct evaluate_sets sets = policies_evaluate_sets(felix->policies);
    struct explain_question question = {
        .from = from->end,
        .to = to->end,
        .packet = {.family = from->end.ip.family,
                   .source = from->end.ip,
                   .destination = to->end.ip,
                   .protocol = explain->protocol,
                   .source_port = explain->source_port,
                   .destination_port = explain->port,
                   .icmp_type = explain->icmp_type,
                   .icmp_code = explain->icmp_code},
        .floating = to->floating,
        .to_host = config->to_host,
        .has_host_endpoints = people_has_host_endpoints(felix),
        .is_by_route = policies_host_endpoints_differ(felix->policies),
        .is_pending =
            felix->flush.armed || !felix_is_dataplane_good(felix) || !tables_are_in_place(felix),
    };
    struct flow flow = {.packet = question.packet, .arrived = question.packet};

    if (to->floating.family != 0) {
        flow.arrived.destination = to->floating;
    }
    policies_forget_routes(felix->policies);
    question.ends = policies_flow_ends(felix->policies, &flow);
    struct json_object *json = json_object_new_object();

    json_object_object_add(json, "ok", json_object_new_boolean(true));
    explain_answer(&question, &sets, json);
    people_send(felix, client, json);
}

void
people_explain(struct felix *felix, uint64_t client, const struct proto_explain *explain)
{
    struct search from = {0}, to = {0};
    struct err err = ERR_INIT;
    size_t index = 0;

    if (!felix->is_in_sync || !felix->rules) {
        people_refuse(felix, client, CODE_NOT_YET,
                      "the first complete list from the API has not arrived: what is in the kernel "
                      "is of an earlier run");
        return;
    }
    /* What has come and is not calculated yet is part of the answer. */
    policies_flush(felix->policies);
    if (find(&from, felix, &explain->from, &err) && find(&to, felix, &explain->to, &err) &&
        choose_family(&from, &to, explain->family, &index, &err)) {
        settle(&from, index);
        settle(&to, index);
        answer(felix, client, explain, &from, &to);
    } else {
        people_refuse(felix, client, err.code, err.text);
    }
    search_done(&from);
    search_done(&to);
}
