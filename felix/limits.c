/* Everything is calculated anew when any pod's wishes change: few pods have some. */
#include "felix/limits.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/base/table.h"

LOG_MODULE("limits");

#define N_FAMILIES 2
/* The kernel refills a bucket at each tick, which may be 10 ms apart: one that holds less than what
 * comes in between lets less pass than the rate. */
#define TICKS_PER_SECOND_MIN 100

/* Pods that share a value. */
struct group {
    struct limit_value value;
    struct set *sets[N_FAMILIES]; /* NULL until known to be wanted */
    kset_member_vec members[N_FAMILIES];
};

struct limits {
    struct sets *sets;
    bool ipv6;
    uint32_t max_members;
    struct table *groups; /* by name of the set */
    VEC(struct limit_value) values;
    /* While calculating. */
    struct table *wanted; /* struct group */
    limits_lookup *lookup;
    void *owner;
};

struct limits *
limits_new(struct sets *sets, bool ipv6, uint32_t max_members)
{
    struct limits *limits = NEW(struct limits);

    limits->sets = sets;
    limits->ipv6 = ipv6;
    limits->max_members = max_members;
    limits->groups = table_new();
    return limits;
}

static void
group_free(void *value)
{
    struct group *group = value;

    for (size_t i = 0; group && i < N_FAMILIES; i++) {
        VEC_DONE(&group->members[i]);
    }
    free(group);
}

void
limits_free(struct limits *limits)
{
    if (limits) {
        table_free(limits->groups, group_free);
        VEC_DONE(&limits->values);
        free(limits);
    }
}

/* ---- what is wanted -----------------------------------------------------------------------------
 */

static void
want(struct limits *limits, const struct pod_ask *ask, const struct limit_value *value)
{
    char name[LIMIT_SET_NAME_MAX];
    size_t n = 0;
    const struct prefix *ips = limits->lookup(limits->owner, ask->ifname, &n);
    struct group *group = table_get(limits->wanted, limit_set_name(value, name));

    if (!group) {
        group = NEW(struct group);
        group->value = *value;
        table_put(limits->wanted, name, group);
    }
    for (size_t i = 0; i < n; i++) {
        VEC_PUSH(&group->members[ips[i].ip.family == 6], (struct kset_member){.prefix = ips[i]});
    }
}

static void
want_packets(struct limits *limits, const struct pod_ask *ask, enum direction direction,
             const struct pod_limits *asked)
{
    struct limit_value value = {.kind = LIMIT_PACKETS, .direction = direction};

    if (asked->packet_rate > LIMIT_PACKET_RATE_MAX) {
        log_warn_every(600, "pod %s/%s: the kernel counts up to %u packets/s, more are not limited",
                       ask->ns, ask->pod, LIMIT_PACKET_RATE_MAX);
        return;
    }
    value.a = (uint32_t)asked->packet_rate;
    value.b = (uint32_t)asked->packet_burst;
    if (value.b < value.a / TICKS_PER_SECOND_MIN) {
        value.b = value.a / TICKS_PER_SECOND_MIN;
    }
    want(limits, ask, &value);
}

static void
want_direction(struct limits *limits, const struct pod_ask *ask, enum direction direction,
               const struct pod_limits *asked)
{
    if (asked->packet_rate > 0) {
        want_packets(limits, ask, direction, asked);
    }
    /* No table of connections is as large as what does not fit. */
    if (asked->max_connections > 0 && asked->max_connections <= UINT32_MAX) {
        const struct limit_value value = {.kind = LIMIT_CONNECTIONS,
                                          .direction = direction,
                                          .a = (uint32_t)asked->max_connections};
        want(limits, ask, &value);
    }
}

static void
want_ask(void *owner, const struct pod_ask *ask)
{
    struct limits *limits = owner;

    want_direction(limits, ask, INGRESS, &ask->wanted->ingress);
    want_direction(limits, ask, EGRESS, &ask->wanted->egress);
    if (ask->wanted->dscp > 0) {
        const struct limit_value value = {
            .kind = LIMIT_DSCP, .direction = EGRESS, .a = (uint32_t)ask->wanted->dscp - 1};
        want(limits, ask, &value);
    }
}

/* ---- from what was to what is wanted ------------------------------------------------------------
 */

static void
drop_unwanted(struct limits *limits)
{
    TABLE_FOREACH (limits->groups, entry) {
        struct group *group = table_value(entry);
        char name[LIMIT_SET_NAME_MAX];
        if (table_get(limits->wanted, limit_set_name(&group->value, name))) {
            continue;
        }
        for (size_t i = 0; i < N_FAMILIES; i++) {
            if (group->sets[i]) {
                sets_drop(limits->sets, group->sets[i]);
            }
        }
        group_free(table_take(limits->groups, name));
    }
}

/* Those that are there already keep their sets. */
static void
take_wanted(struct limits *limits)
{
    TABLE_FOREACH (limits->wanted, entry) {
        struct group *group = table_value(entry);
        struct group *was = table_get(limits->groups, table_key(entry));
        for (size_t i = 0; i < (limits->ipv6 ? 2U : 1U); i++) {
            group->sets[i] = was ? was->sets[i]
                                 : sets_define(limits->sets, table_key(entry), KSET_HASH_NET,
                                               i == 0 ? 4 : 6, limits->max_members);
            set_want_all(group->sets[i], group->members[i].items, group->members[i].n);
        }
    }
}

static int
value_order(const void *a, const void *b)
{
    return limit_value_compare(a, b);
}

static bool
list_values(struct limits *limits)
{
    VEC(struct limit_value) values = VEC_INIT;

    TABLE_FOREACH (limits->groups, entry) {
        const struct group *group = table_value(entry);
        VEC_PUSH(&values, group->value);
    }
    if (values.n > 0) {
        qsort(values.items, values.n, sizeof *values.items, value_order);
    }
    bool is_changed = values.n != limits->values.n;
    for (size_t i = 0; !is_changed && i < values.n; i++) {
        is_changed = limit_value_compare(&values.items[i], &limits->values.items[i]) != 0;
    }
    limits->values.n = 0;
    VEC_FOREACH (&values, value) {
        VEC_PUSH(&limits->values, *value);
    }
    VEC_DONE(&values);
    return is_changed;
}

bool
limits_calculate(struct limits *limits, const struct asks *asks, limits_lookup *lookup, void *owner)
{
    limits->wanted = table_new();
    limits->lookup = lookup;
    limits->owner = owner;
    asks_each(asks, want_ask, limits);
    drop_unwanted(limits);
    take_wanted(limits);
    table_free(limits->groups, group_free);
    limits->groups = limits->wanted;
    limits->wanted = NULL;
    return list_values(limits);
}

const struct limit_value *
limits_values(const struct limits *limits, size_t *ret_n)
{
    *ret_n = limits->values.n;
    return limits->values.items;
}

/* ---- bandwidth ----------------------------------------------------------------------------------
 */

/* Bits to bytes; a burst of 4 Gi bits is half of what fits. */
static struct shape
shape_of(const struct pod_limits *asked)
{
    return (struct shape){.rate = asked->bandwidth / 8,
                          .burst = (uint32_t)(asked->burst / 8),
                          .peak_rate = asked->peak_rate / 8,
                          .min_burst = (uint32_t)asked->min_burst};
}

static void
add_wish(void *owner, const struct pod_ask *ask)
{
    shaping_wish_vec *wishes = owner;
    struct shaping_wish wish = {.ingress = shape_of(&ask->wanted->ingress),
                                .egress = shape_of(&ask->wanted->egress)};

    if (wish.ingress.rate > 0 || wish.egress.rate > 0) {
        memcpy(wish.ifname, ask->ifname, sizeof wish.ifname);
        VEC_PUSH(wishes, wish);
    }
}

void
limits_shaping(const struct asks *asks, shaping_wish_vec *ret_wishes)
{
    asks_each(asks, add_wish, ret_wishes);
}
