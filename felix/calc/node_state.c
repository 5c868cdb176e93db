/* Node addresses with reference counts (two nodes may share one for a moment, or by mistake), and
 * the names behind each address, so that a duplicate is told with both names. */
#include "felix/calc/node_state.h"

#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/table.h"
#include "lib/model/ippool.h"
#include "lib/model/node.h"

struct host {
    struct prefix address;
    VEC(char *) nodes; /* names of those that have it */
    bool is_reported;  /* as added */
};

struct node_state {
    char *node_name;
    struct table *hosts; /* address text -> struct host */
    VEC(struct prefix) touched;
};

struct node_state *
node_state_new(const char *node_name)
{
    struct node_state *state = NEW(struct node_state);

    state->node_name = xstrdup(node_name);
    state->hosts = table_new();
    return state;
}

static void
host_free(void *value)
{
    struct host *host = value;

    VEC_FOREACH (&host->nodes, name) {
        free(*name);
    }
    VEC_DONE(&host->nodes);
    free(host);
}

void
node_state_free(struct node_state *state)
{
    if (state) {
        table_free(state->hosts, host_free);
        VEC_DONE(&state->touched);
        free(state->node_name);
        free(state);
    }
}

static struct host *
host_get(const struct node_state *state, const struct ip *ip)
{
    char text[IP_TEXT_MAX];

    return table_get(state->hosts, ip_format(ip, text));
}

static void
host_add(struct node_state *state, const struct ip *ip, const char *name)
{
    char text[IP_TEXT_MAX];
    struct host *host = host_get(state, ip);

    if (!host) {
        host = NEW(struct host);
        host->address = prefix_of_ip(ip);
        table_put(state->hosts, ip_format(ip, text), host);
    }
    VEC_FOREACH (&host->nodes, it) {
        if (strcmp(*it, name) == 0) {
            return;
        }
    }
    VEC_PUSH(&host->nodes, xstrdup(name));
    VEC_PUSH(&state->touched, host->address);
}

static void
host_remove(struct node_state *state, const struct ip *ip, const char *name)
{
    struct host *host = host_get(state, ip);

    for (size_t i = 0; host && i < host->nodes.n; i++) {
        if (strcmp(host->nodes.items[i], name) == 0) {
            free(host->nodes.items[i]);
            VEC_REMOVE_SWAP(&host->nodes, i);
            VEC_PUSH(&state->touched, host->address);
            return;
        }
    }
}

/* A node's tunnel endpoints are its BGP addresses; its InternalIPs count as well, because a node
 * that has not written its annotation yet is reached under those. */
static void
each_address(struct node_state *state, const struct node *node,
             void (*each)(struct node_state *state, const struct ip *ip, const char *name))
{
    const struct ip *const ips[] = {&node->bgp_ip4.ip, &node->bgp_ip6.ip, &node->internal_ip4,
                                    &node->internal_ip6};

    for (size_t i = 0; i < ARRAY_LEN(ips); i++) {
        if (ips[i]->family != 0) {
            each(state, ips[i], node->name);
        }
    }
}

void
node_state_note(struct node_state *state, const struct change *change)
{
    if (change->kind != KIND_NODE) {
        return;
    }
    if (change->was) {
        each_address(state, change->was, host_remove);
    }
    if (change->now) {
        each_address(state, change->now, host_add);
    }
}

void
node_state_take_hosts(struct node_state *state,
                      void (*each)(void *owner, const struct prefix *host, bool is_added),
                      void *owner)
{
    VEC_FOREACH (&state->touched, address) {
        char text[IP_TEXT_MAX];
        struct host *host = host_get(state, &address->ip);
        if (!host) {
            continue;
        }
        bool is_there = host->nodes.n > 0;
        if (is_there != host->is_reported) {
            each(owner, &host->address, is_there);
            host->is_reported = is_there;
        }
        if (!is_there) {
            host_free(table_take(state->hosts, ip_format(&address->ip, text)));
        }
    }
    state->touched.n = 0;
}

void
node_state_each_host(const struct node_state *state,
                     void (*each)(void *owner, const struct prefix *host, bool is_added),
                     void *owner)
{
    TABLE_FOREACH (state->hosts, entry) {
        const struct host *host = table_value(entry);
        if (host->is_reported) {
            each(owner, &host->address, true);
        }
    }
}

static void
tunnel_address(const struct node *node, const struct ippool *pool, struct ip *ret_address)
{
    for (size_t i = 0; i < node->n_pod_cidrs && ret_address->family == 0; i++) {
        const struct prefix *cidr = &node->pod_cidrs[i];
        if (cidr->ip.family == 4 && cidr->len < 31 && prefix_contains(&pool->cidr, cidr) &&
            !ip_add(&cidr->ip, 1, ret_address)) {
            *ret_address = (struct ip){0};
        }
    }
}

void
node_state_pools(const struct node_state *state, const struct store *store,
                 struct desired_pools *ret_pools)
{
    const struct node *node = store_get(store, KIND_NODE, state->node_name);

    *ret_pools = (struct desired_pools){0};
    for (size_t i = 0; i < store_count(store, KIND_IPPOOL); i++) {
        const struct ippool *pool = store_at(store, KIND_IPPOOL, i);
        /* 'disabled' ends allocation only: what has an address of the pool goes on as before. */
        VEC_PUSH(&ret_pools->all, pool->cidr);
        if (pool->nat_outgoing) {
            VEC_PUSH(&ret_pools->masquerade, pool->cidr);
        }
        if (pool->cidr.ip.family == 4 && pool->ipip_mode != IPIP_NEVER) {
            ret_pools->has_tunnel = true;
            if (node) {
                tunnel_address(node, pool, &ret_pools->tunnel_address);
            }
        }
    }
}

const char *
node_state_other_owner(const struct node_state *state, const struct ip *address)
{
    const struct host *host = host_get(state, address);

    for (size_t i = 0; host && i < host->nodes.n; i++) {
        if (strcmp(host->nodes.items[i], state->node_name) != 0) {
            return host->nodes.items[i];
        }
    }
    return NULL;
}
