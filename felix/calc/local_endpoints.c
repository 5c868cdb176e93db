/* Endpoints of this node and the lists that apply to them. A pod is put by whoever wires it, a
 * host's interface is bound to the HostEndpoint with the lowest name that speaks of it.
 *
 *   note, put   the endpoint is an item of the index of policies, with the labels it has now; what
 *               may have changed for it makes it dirty
 *   resolve     dirty ones get lists: one look at policies for each group of equal endpoints
 *   tell        endpoints with other lists; after everything else, those that are gone
 *
 * Used by policy_state.c. */
#include "felix/calc/local_endpoints.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/calc/host_claims.h"
#include "felix/calc/item_labels.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/model/host_endpoint.h"
#include "lib/model/namespace.h"
#include "lib/model/pod.h"

#define PROFILE_ALLOW "projectcalico-default-allow"
#define PROFILE_OF_NAMESPACE "kns."

/* An interface. */
struct local {
    struct policy_endpoint endpoint; /* as told */
    struct verdict_answer answer;    /* what it has taken; told at the next telling */
    struct index_item *item;         /* NULL: no policy can select it */
    char ifname[IFNAMSIZ];
    bool is_there; /* else its end is to be told */
    bool is_told;
    bool is_dirty; /* among the dirty */
    bool is_changed;
    bool has_answer;
    /* of a pod or container */
    char *pod; /* "namespace/name"; NULL: a container that is no pod, or a host's interface */
    struct prefix *ips;
    size_t n_ips;
    struct local *next_of_pod;
    /* of the host */
    bool is_host;
    const struct host_endpoint *host; /* NULL until bound anew, once any of them changed */
    char *host_name;
};

struct local_endpoints {
    struct local_endpoints_spec spec;
    struct table *by_ifname;  /* -> struct local */
    struct table *by_pod;     /* "namespace/name" -> struct local, a chain */
    struct table *by_ip;      /* struct ip -> struct ip_owners */
    struct table *namespaces; /* those that exist; the value is not looked at */
    struct host_claims *claims;
    bool is_binding_due;
    VEC(struct local *) dirty;
    struct item_labels labels; /* scratch */
    applied_vec applied;       /* scratch */
    uint64_t n_resolved;
};

struct ip_owners {
    VEC(struct local *) locals; /* the last one was put last */
};

/* ---- what is touched --------------------------------------------------------------------------
 */

static void
touch(struct local_endpoints *endpoints, struct local *local)
{
    if (!local->is_dirty) {
        local->is_dirty = true;
        VEC_PUSH(&endpoints->dirty, local);
    }
}

void
local_endpoints_touch(void *endpoints, void *endpoint)
{
    touch(endpoints, endpoint);
}

static struct local *
local_get(struct local_endpoints *endpoints, const char *ifname)
{
    struct local *local = table_get(endpoints->by_ifname, ifname);

    if (local == NULL) {
        local = NEW(struct local);
        snprintf(local->ifname, sizeof local->ifname, "%s", ifname);
        table_put(endpoints->by_ifname, ifname, local);
    }
    local->is_there = true;
    touch(endpoints, local);
    return local;
}

/* 'object' NULL: no policy can select it. */
static void
index_local(struct local_endpoints *endpoints, struct local *local, enum kind kind,
            const void *object)
{
    struct label_index *index = active_policies_index(endpoints->spec.policies);
    struct item_labels *labels = &endpoints->labels;

    if (object == NULL) {
        if (local->item != NULL) {
            label_index_remove(index, local->item);
            local->item = NULL;
            touch(endpoints, local);
        }
        return;
    }
    item_labels_fill(labels, kind, object);
    if (local->item == NULL) {
        local->item = label_index_add(index, &labels->labels, labels->parents, local);
        touch(endpoints, local);
    } else {
        label_index_change(index, local->item, &labels->labels, labels->parents);
    }
}

/* ---- pods and containers ----------------------------------------------------------------------
 */

static void
join_ip(struct local_endpoints *endpoints, struct local *local, const struct ip *ip)
{
    struct ip_owners *owners = table_get_bytes(endpoints->by_ip, ip, sizeof *ip);

    if (owners == NULL) {
        owners = NEW(struct ip_owners);
        table_put_bytes(endpoints->by_ip, ip, sizeof *ip, owners);
    }
    VEC_PUSH(&owners->locals, local);
}

static void
leave_ip(struct local_endpoints *endpoints, const struct local *local, const struct ip *ip)
{
    struct ip_owners *owners = table_get_bytes(endpoints->by_ip, ip, sizeof *ip);
    size_t n = 0;
    bool is_out = false;

    for (size_t i = 0; owners != NULL && i < owners->locals.n; i++) {
        if (!is_out && owners->locals.items[i] == local) {
            is_out = true;
        } else {
            owners->locals.items[n++] = owners->locals.items[i];
        }
    }
    if (owners != NULL && (owners->locals.n = n) == 0) {
        table_take_bytes(endpoints->by_ip, ip, sizeof *ip);
        VEC_DONE(&owners->locals);
        free(owners);
    }
}

static void
join_pod(struct local_endpoints *endpoints, struct local *local, const char *pod)
{
    if (pod != NULL) {
        local->pod = xstrdup(pod);
        local->next_of_pod = table_get(endpoints->by_pod, pod);
        table_put(endpoints->by_pod, pod, local);
    }
}

static void
leave_pod(struct local_endpoints *endpoints, struct local *local)
{
    struct local *first = local->pod != NULL ? table_get(endpoints->by_pod, local->pod) : NULL;

    if (first == local) {
        if (local->next_of_pod != NULL) {
            table_put(endpoints->by_pod, local->pod, local->next_of_pod);
        } else {
            table_take(endpoints->by_pod, local->pod);
        }
    } else {
        while (first != NULL && first->next_of_pod != local) {
            first = first->next_of_pod;
        }
        if (first != NULL) {
            first->next_of_pod = local->next_of_pod;
        }
    }
    local->next_of_pod = NULL;
    free(local->pod);
    local->pod = NULL;
}

static void
take_ips(struct local_endpoints *endpoints, struct local *local, const struct prefix *ips, size_t n)
{
    local->ips = n > 0 ? xmemdup(ips, n * sizeof *ips) : NULL;
    local->n_ips = n;
    for (size_t i = 0; i < n; i++) {
        join_ip(endpoints, local, &ips[i].ip);
        if (local->pod != NULL) {
            set_pool_add_address(endpoints->spec.sets, local->pod, &ips[i]);
        }
    }
}

/* Of the pod it had then; 'pod' may be another one by now. */
static void
drop_ips(struct local_endpoints *endpoints, const struct local *local, const char *pod,
         const struct prefix *ips, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        leave_ip(endpoints, local, &ips[i].ip);
        if (pod != NULL) {
            set_pool_remove_address(endpoints->spec.sets, pod, &ips[i]);
        }
    }
}

static void
unhost(struct local_endpoints *endpoints, struct local *local)
{
    if (local->is_host) {
        index_local(endpoints, local, KIND_HOSTENDPOINT, NULL);
        free(local->host_name);
        local->host_name = NULL;
        local->host = NULL;
        local->is_host = false;
        endpoints->is_binding_due = true;
    }
}

static bool
is_same_pod(const struct local *local, const char *pod)
{
    return local->pod != NULL && pod != NULL ? strcmp(local->pod, pod) == 0 : local->pod == pod;
}

void
local_endpoints_put(struct local_endpoints *endpoints, const char *ifname, const char *pod,
                    const struct prefix *ips, size_t n)
{
    if (strlen(ifname) >= IFNAMSIZ) {
        return; /* no interface is called so */
    }
    struct local *local = local_get(endpoints, ifname);
    struct prefix *old_ips = local->ips;
    size_t n_old = local->n_ips;
    AUTO_FREE char *old_pod = local->pod != NULL ? xstrdup(local->pod) : NULL;

    unhost(endpoints, local);
    if (!is_same_pod(local, pod)) {
        leave_pod(endpoints, local);
        join_pod(endpoints, local, pod);
    }
    /* New addresses before old ones go: what stays does not leave its sets. */
    take_ips(endpoints, local, ips, n);
    drop_ips(endpoints, local, old_pod, old_ips, n_old);
    free(old_ips);
    index_local(endpoints, local, KIND_POD,
                pod != NULL ? set_pool_pod(endpoints->spec.sets, pod) : NULL);
}

static void
local_leave(struct local_endpoints *endpoints, struct local *local)
{
    unhost(endpoints, local);
    index_local(endpoints, local, KIND_POD, NULL);
    drop_ips(endpoints, local, local->pod, local->ips, local->n_ips);
    free(local->ips);
    local->ips = NULL;
    local->n_ips = 0;
    leave_pod(endpoints, local);
    local->is_there = false;
    touch(endpoints, local);
}

void
local_endpoints_remove(struct local_endpoints *endpoints, const char *ifname)
{
    struct local *local = table_get(endpoints->by_ifname, ifname);

    if (local != NULL && local->is_there && !local->is_host) {
        local_leave(endpoints, local);
        endpoints->is_binding_due = true; /* a HostEndpoint may speak of the name */
    }
}

bool
local_endpoints_knows_pod(const struct local_endpoints *endpoints, const char *ifname)
{
    const struct local *local = table_get(endpoints->by_ifname, ifname);

    return local != NULL && local->is_there && !local->is_host && local->item != NULL;
}

/* ---- what the cluster says --------------------------------------------------------------------
 */

static void
note_pod(struct local_endpoints *endpoints, const struct change *change)
{
    for (struct local *local = table_get(endpoints->by_pod, change->key); local != NULL;
         local = local->next_of_pod) {
        index_local(endpoints, local, KIND_POD, set_pool_pod(endpoints->spec.sets, change->key));
    }
}

static bool
is_of_namespace(const struct local *local, const char *ns)
{
    size_t len = strlen(ns);

    if (local->is_host) {
        return true; /* its profiles may name the namespace */
    }
    return local->pod != NULL && strncmp(local->pod, ns, len) == 0 && local->pod[len] == '/';
}

static void
note_namespace(struct local_endpoints *endpoints, const struct change *change)
{
    if (change->was != NULL && change->now != NULL) {
        return;
    }
    if (change->now != NULL) {
        table_put(endpoints->namespaces, change->key, endpoints);
    } else {
        table_take(endpoints->namespaces, change->key);
    }
    TABLE_FOREACH (endpoints->by_ifname, it) {
        struct local *local = table_value(it);
        if (is_of_namespace(local, change->key)) {
            touch(endpoints, local);
        }
    }
}

/* What they are bound to is not looked at until they are bound anew. */
static void
unbind_hosts(struct local_endpoints *endpoints)
{
    endpoints->is_binding_due = true;
    TABLE_FOREACH (endpoints->by_ifname, it) {
        ((struct local *)table_value(it))->host = NULL;
    }
}

void
local_endpoints_note(struct local_endpoints *endpoints, const struct change *change)
{
    if (change->kind == KIND_POD) {
        note_pod(endpoints, change);
    } else if (change->kind == KIND_NAMESPACE) {
        note_namespace(endpoints, change);
    } else if (host_claims_note(endpoints->claims, change)) {
        unbind_hosts(endpoints);
    }
}

/* ---- the host ---------------------------------------------------------------------------------
 */

void
local_endpoints_interfaces(struct local_endpoints *endpoints,
                           const struct policy_interface *interfaces, size_t n)
{
    if (host_claims_interfaces(endpoints->claims, interfaces, n)) {
        endpoints->is_binding_due = true;
    }
}

static void
bind_host(struct local_endpoints *endpoints, const char *ifname, const struct host_endpoint *host)
{
    struct local *local = table_get(endpoints->by_ifname, ifname);

    if (local != NULL && local->is_there && !local->is_host) {
        return; /* it is a pod's */
    }
    local = local_get(endpoints, ifname);
    local->is_host = true;
    local->host = host;
    if (local->endpoint.dscp != host->dscp) {
        touch(endpoints, local);
    }
    free(local->host_name);
    local->host_name = xstrdup(host->name);
    index_local(endpoints, local, KIND_HOSTENDPOINT, host);
}

void
local_endpoints_bind_hosts(struct local_endpoints *endpoints)
{
    struct table *claims = NULL;

    if (!endpoints->is_binding_due) {
        return;
    }
    claims = host_claims_made(endpoints->claims);
    TABLE_FOREACH (endpoints->by_ifname, it) {
        struct local *local = table_value(it);
        if (local->is_there && local->is_host && table_get(claims, local->ifname) == NULL) {
            local_leave(endpoints, local);
        }
    }
    TABLE_FOREACH (claims, it) {
        bind_host(endpoints, table_key(it), table_value(it));
    }
    table_free(claims, NULL);
    endpoints->is_binding_due = false;
}

/* ---- lists ------------------------------------------------------------------------------------
 */

static bool
is_known_namespace(const struct local_endpoints *endpoints, const char *ns, size_t len)
{
    return table_get_bytes(endpoints->namespaces, ns, len) != NULL;
}

static bool
allows_by_profile(const struct local_endpoints *endpoints, const struct local *local)
{
    size_t len = strlen(PROFILE_OF_NAMESPACE);

    if (!local->is_host) {
        return local->pod == NULL ||
               (local->item != NULL &&
                is_known_namespace(endpoints, local->pod, strcspn(local->pod, "/")));
    }
    for (size_t i = 0; i < local->host->n_profiles; i++) {
        const char *profile = local->host->profiles[i];
        if (strcmp(profile, PROFILE_ALLOW) == 0 ||
            (strncmp(profile, PROFILE_OF_NAMESPACE, len) == 0 &&
             is_known_namespace(endpoints, profile + len, strlen(profile + len)))) {
            return true;
        }
    }
    return false;
}

/* What lists depend on: endpoints alike in it have the same. */
struct alike {
    const void *group;
    bool is_host, is_any_interface, is_profile_allow;
};

/* Takes the lists, asking policies once for all that are alike. */
static void
take_answer(struct local_endpoints *endpoints, struct local *local, struct table *answers)
{
    struct alike alike;

    memset(&alike, 0, sizeof alike); /* padding is part of the key */
    alike.group = local->item != NULL ? label_index_group(local->item) : NULL;
    alike.is_host = local->is_host;
    alike.is_any_interface = strcmp(local->ifname, "*") == 0;
    alike.is_profile_allow = allows_by_profile(endpoints, local);

    struct verdict_answer *known = table_get_bytes(answers, &alike, sizeof alike);
    if (known != NULL) {
        verdict_lists_take_again(endpoints->spec.lists, known);
        local->answer = *known;
        return;
    }
    endpoints->n_resolved++;
    endpoints->applied.n = 0;
    if (local->item != NULL) {
        active_policies_of(endpoints->spec.policies, local->item, &endpoints->applied);
    }
    verdict_lists_take(endpoints->spec.lists,
                       &(struct verdict_question){.applied = endpoints->applied.items,
                                                  .n_applied = endpoints->applied.n,
                                                  .is_host = alike.is_host,
                                                  .is_any_interface = alike.is_any_interface,
                                                  .is_profile_allow = alike.is_profile_allow},
                       &local->answer);
    table_put_bytes(answers, &alike, sizeof alike, xmemdup(&local->answer, sizeof local->answer));
}

static void
name_key(const struct local *local, char ret_key[POLICY_KEY_MAX])
{
    if (local->is_host) {
        snprintf(ret_key, POLICY_KEY_MAX, "host %s", local->host_name);
    } else if (local->pod != NULL) {
        snprintf(ret_key, POLICY_KEY_MAX, "pod %s", local->pod);
    } else {
        snprintf(ret_key, POLICY_KEY_MAX, "container %s", local->ifname);
    }
}

static void
resolve(struct local_endpoints *endpoints, struct local *local, struct table *answers)
{
    struct policy_endpoint now = {.is_host = local->is_host};
    struct verdict_answer was = local->answer;
    bool had_answer = local->has_answer;

    if (local->is_there) {
        /* The new ones before the old: those in both stay. */
        take_answer(endpoints, local, answers);
        local->has_answer = true;
    } else {
        local->has_answer = false;
    }
    if (had_answer) {
        verdict_lists_drop(endpoints->spec.lists, &was);
    }
    if (!local->is_there) {
        return;
    }
    name_key(local, now.key);
    memcpy(now.ifname, local->ifname, sizeof now.ifname);
    memcpy(now.lists, local->answer.lists, sizeof now.lists);
    now.dscp = local->is_host && local->host ? local->host->dscp : 0;
    local->is_changed = !local->is_told || strcmp(now.key, local->endpoint.key) != 0 ||
                        now.is_host != local->endpoint.is_host ||
                        now.dscp != local->endpoint.dscp ||
                        memcmp(now.lists, local->endpoint.lists, sizeof now.lists) != 0;
    local->endpoint = now;
}

void
local_endpoints_resolve(struct local_endpoints *endpoints)
{
    struct table *answers = NULL;

    if (endpoints->dirty.n == 0) {
        return;
    }
    answers = table_new();
    VEC_FOREACH (&endpoints->dirty, it) {
        resolve(endpoints, *it, answers);
    }
    table_free(answers, free);
}

void
local_endpoints_tell_added(struct local_endpoints *endpoints)
{
    VEC_FOREACH (&endpoints->dirty, it) {
        struct local *local = *it;
        if (local->is_there && local->is_changed) {
            local->is_told = true;
            local->is_changed = false;
            endpoints->spec.endpoint(endpoints->spec.owner, &local->endpoint, true);
        }
    }
}

static void
local_free(void *value)
{
    struct local *local = value;

    free(local->pod);
    free(local->ips);
    free(local->host_name);
    free(local);
}

void
local_endpoints_tell_removed(struct local_endpoints *endpoints)
{
    for (size_t i = endpoints->dirty.n; i > 0; i--) {
        struct local *local = endpoints->dirty.items[i - 1];
        local->is_dirty = false;
        if (local->is_there) {
            continue;
        }
        table_take(endpoints->by_ifname, local->ifname);
        if (local->is_told) {
            endpoints->spec.endpoint(endpoints->spec.owner, &local->endpoint, false);
        }
        local_free(local);
    }
    VEC_DONE(&endpoints->dirty);
}

/* ---- asking, making, freeing ------------------------------------------------------------------
 */

static const struct policy_endpoint *
as_told(const struct local *local)
{
    return local != NULL && local->is_told ? &local->endpoint : NULL;
}

const struct policy_endpoint *
local_endpoints_by_ifname(const struct local_endpoints *endpoints, const char *ifname)
{
    return as_told(table_get(endpoints->by_ifname, ifname));
}

const struct policy_endpoint *
local_endpoints_by_ip(const struct local_endpoints *endpoints, const struct ip *ip)
{
    const struct ip_owners *owners = table_get_bytes(endpoints->by_ip, ip, sizeof *ip);

    if (owners != NULL) {
        return as_told(owners->locals.items[owners->locals.n - 1]);
    }
    const char *ifname = host_claims_ifname(endpoints->claims, ip);
    if (ifname == NULL) {
        return NULL;
    }
    const struct policy_endpoint *own = local_endpoints_by_ifname(endpoints, ifname);
    return own != NULL ? own : local_endpoints_by_ifname(endpoints, "*");
}

const struct policy_endpoint *
local_endpoints_by_key(const struct local_endpoints *endpoints, const char *key)
{
    if (strncmp(key, "pod ", 4) == 0) {
        return as_told(table_get(endpoints->by_pod, key + 4));
    }
    TABLE_FOREACH (endpoints->by_ifname, it) {
        const struct policy_endpoint *endpoint = as_told(table_value(it));
        if (endpoint != NULL && strcmp(endpoint->key, key) == 0) {
            return endpoint;
        }
    }
    return NULL;
}

void
local_endpoints_each(const struct local_endpoints *endpoints,
                     void (*each)(void *owner, const struct policy_endpoint *endpoint), void *owner)
{
    TABLE_FOREACH (endpoints->by_ifname, it) {
        const struct policy_endpoint *endpoint = as_told(table_value(it));
        if (endpoint != NULL) {
            each(owner, endpoint);
        }
    }
}

struct local_endpoints_stats
local_endpoints_stats(const struct local_endpoints *endpoints)
{
    return (struct local_endpoints_stats){.n_endpoints = table_count(endpoints->by_ifname),
                                          .n_resolved = endpoints->n_resolved};
}

struct local_endpoints *
local_endpoints_new(const struct local_endpoints_spec *spec)
{
    struct local_endpoints *endpoints = NEW(struct local_endpoints);

    endpoints->spec = *spec;
    endpoints->by_ifname = table_new();
    endpoints->by_pod = table_new();
    endpoints->by_ip = table_new();
    endpoints->namespaces = table_new();
    endpoints->claims = host_claims_new(spec->node_name, spec->interface_prefix);
    return endpoints;
}

static void
owners_free(void *value)
{
    struct ip_owners *owners = value;

    VEC_DONE(&owners->locals);
    free(owners);
}

void
local_endpoints_free(struct local_endpoints *endpoints)
{
    if (endpoints == NULL) {
        return;
    }
    table_free(endpoints->by_ifname, local_free);
    table_free(endpoints->by_pod, NULL);
    table_free(endpoints->by_ip, owners_free);
    table_free(endpoints->namespaces, NULL);
    host_claims_free(endpoints->claims);
    VEC_DONE(&endpoints->dirty);
    VEC_DONE(&endpoints->applied);
    item_labels_done(&endpoints->labels);
    free(endpoints);
}
