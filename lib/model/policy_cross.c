/* Peers times ports. Called by kubernetes_policy.c and cluster_policy.c. */
#include "lib/model/policy_cross.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <strings.h>

#include "lib/model/meta.h"

static const struct {
    const char *name;
    int16_t number;
} protocols[N_PORT_PROTOCOLS] = {
    {"TCP", IPPROTO_TCP}, {"UDP", IPPROTO_UDP}, {"SCTP", IPPROTO_SCTP}};

bool
port_protocol_find(const char *name, size_t *ret_index)
{
    for (size_t i = 0; i < N_PORT_PROTOCOLS; i++) {
        if (strcasecmp(name, protocols[i].name) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

void
cross_done(struct cross *cross)
{
    VEC_FOREACH (&cross->peers, peer) {
        struct policy_rule rule = {.source = *peer};
        policy_rule_done(&rule);
    }
    VEC_DONE(&cross->peers);
    for (size_t i = 0; i < N_PORT_PROTOCOLS; i++) {
        VEC_DONE(&cross->groups[i].ranges);
        texts_free(cross->groups[i].names.items, cross->groups[i].names.n);
    }
}

void
cross_add_protocol(struct cross *cross, size_t protocol)
{
    cross->groups[protocol].is_wanted = cross->groups[protocol].is_any = true;
}

void
cross_add_range(struct cross *cross, size_t protocol, struct port_range range)
{
    cross->groups[protocol].is_wanted = true;
    VEC_PUSH(&cross->groups[protocol].ranges, range);
}

void
cross_add_name(struct cross *cross, size_t protocol, const char *name)
{
    cross->groups[protocol].is_wanted = true;
    VEC_PUSH(&cross->groups[protocol].names, xstrdup(name));
}

static int
compare_ranges(const void *a, const void *b)
{
    return ((const struct port_range *)a)->first - ((const struct port_range *)b)->first;
}

/* Sorted, with those that touch made one: fewer matches for the kernel. */
static void
merge_ranges(struct port_group *group)
{
    struct port_range *ranges = group->ranges.items;
    size_t n = 0;

    if (group->ranges.n == 0) {
        return;
    }
    qsort(ranges, group->ranges.n, sizeof(*ranges), compare_ranges);
    for (size_t i = 1; i < group->ranges.n; i++) {
        if (ranges[i].first > ranges[n].last + 1) {
            ranges[++n] = ranges[i];
        } else if (ranges[i].last > ranges[n].last) {
            ranges[n].last = ranges[i].last;
        }
    }
    group->ranges.n = n + 1;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
merge_names(struct port_group *group)
{
    char **names = group->names.items;
    size_t n = 0;

    if (group->names.n == 0) {
        return;
    }
    qsort(names, group->names.n, sizeof(*names), compare_names);
    for (size_t i = 1; i < group->names.n; i++) {
        if (strcmp(names[i], names[n]) == 0) {
            free(names[i]);
        } else {
            names[++n] = names[i];
        }
    }
    group->names.n = n + 1;
}

static void
copy_peer(const struct rule_peer *from, struct rule_peer *to)
{
    *to = (struct rule_peer){
        .has_nets = from->has_nets,
        .nets = from->n_nets > 0 ? xmemdup(from->nets, from->n_nets * sizeof(*from->nets)) : NULL,
        .n_nets = from->n_nets,
        .not_nets = from->n_not_nets > 0
                        ? xmemdup(from->not_nets, from->n_not_nets * sizeof(*from->not_nets))
                        : NULL,
        .n_not_nets = from->n_not_nets,
        .selector = from->selector != NULL ? xstrdup(from->selector) : NULL,
        .node_selector = from->node_selector != NULL ? xstrdup(from->node_selector) : NULL,
    };
}

static void
copy_ports(const struct port_group *group, struct rule_peer *to)
{
    if (group->is_any) {
        return;
    }
    if (group->ranges.n > 0) {
        to->ports = xmemdup(group->ranges.items, group->ranges.n * sizeof(*group->ranges.items));
        to->n_ports = group->ranges.n;
    }
    if (group->names.n > 0) {
        to->named_ports = xcalloc(group->names.n, sizeof(*to->named_ports));
        to->n_named_ports = group->names.n;
    }
    for (size_t i = 0; i < group->names.n; i++) {
        to->named_ports[i] = xstrdup(group->names.items[i]);
    }
}

struct product {
    struct rule_list *list;
    enum rule_action action;
    const char *comment;
    const struct json_at *at;
};

/* 'peer' or 'group' NULL: any. */
static void
add_rule(const struct product *product, const struct rule_peer *peer,
         const struct port_group *group, int16_t protocol)
{
    struct policy_rule rule = rule_of(product->action);
    struct rule_peer *other = product->list->is_ingress ? &rule.source : &rule.destination;

    rule.protocol = protocol;
    if (peer != NULL) {
        copy_peer(peer, other);
    }
    if (group != NULL) {
        copy_ports(group, &rule.destination);
    }
    rule.comment = product->comment != NULL ? xstrdup(product->comment) : NULL;
    rule_list_take(product->list, &rule, product->at);
}

/* False when the list is full: nothing behind it changes anything. */
static bool
add_rules_of_peer(const struct product *product, const struct cross *cross,
                  const struct rule_peer *peer)
{
    if (cross->is_any_port) {
        add_rule(product, peer, NULL, RULE_ANY);
        return !product->list->is_full;
    }
    for (size_t i = 0; i < N_PORT_PROTOCOLS; i++) {
        if (!cross->groups[i].is_wanted) {
            continue;
        }
        add_rule(product, peer, &cross->groups[i], protocols[i].number);
        if (product->list->is_full) {
            return false;
        }
    }
    return true;
}

void
cross_rules(struct cross *cross, struct rule_list *list, enum rule_action action,
            const char *comment, const struct json_at *at)
{
    const struct product product = {list, action, comment, at};

    for (size_t i = 0; i < N_PORT_PROTOCOLS; i++) {
        merge_ranges(&cross->groups[i]);
        merge_names(&cross->groups[i]);
    }
    if (cross->is_any_peer) {
        (void)add_rules_of_peer(&product, cross, NULL);
        return;
    }
    VEC_FOREACH (&cross->peers, peer) {
        if (!add_rules_of_peer(&product, cross, peer)) {
            return;
        }
    }
}
