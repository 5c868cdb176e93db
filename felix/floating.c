/* Claims by pod; who has an address is found anew whenever one changes. Called by felix.c. */
#include "felix/floating.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/workloads.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/base/table.h"

LOG_MODULE("floating");

/* What one pod asks for. */
struct claim {
    char *pod; /* "namespace/name" */
    char ifname[16];
    bool is_local;
    struct ip ips[POD_FLOATING_MAX]; /* of families that it has an address of */
    size_t n;
};

struct floating {
    char *prefix, *node_name;
    struct table *by_pod; /* struct claim */
    struct table *asked;  /* struct ip of all claims: for addresses of pods that come */
    struct table *told;   /* lines that were logged last: not logged again */
};

/* One pod's claim to one address. */
struct bid {
    struct ip ip;
    const struct claim *claim;
};
typedef VEC(struct bid) bid_vec;

struct floating *
floating_new(const char *interface_prefix, const char *node_name)
{
    struct floating *floating = NEW(struct floating);

    floating->prefix = xstrdup(interface_prefix);
    floating->node_name = xstrdup(node_name);
    floating->by_pod = table_new();
    floating->asked = table_new();
    floating->told = table_new();
    return floating;
}

static void
claim_free(void *value)
{
    struct claim *claim = value;

    if (claim) {
        free(claim->pod);
        free(claim);
    }
}

void
floating_free(struct floating *floating)
{
    if (floating) {
        table_free(floating->by_pod, claim_free);
        table_free(floating->asked, NULL);
        table_free(floating->told, NULL);
        free(floating->prefix);
        free(floating->node_name);
        free(floating);
    }
}

/* ---- who asks
 * ------------------------------------------------------------------------------------------- */

static bool
does_ask(const struct pod *pod)
{
    return pod && pod->asks && pod->asks->floating_ips && pod->node_name && !pod->is_host_network &&
           !pod->is_finished;
}

static void
add_key(const struct pod *pod, struct str *key)
{
    str_addf(key, "%s/%s", pod->ns, pod->name);
}

static void
put(struct floating *floating, const struct pod *pod, const char *key)
{
    struct claim *claim = NEW(struct claim);
    struct ip ips[POD_FLOATING_MAX];
    size_t n = pod_asks_floating(pod->asks, ips);

    claim->pod = xstrdup(key);
    claim->is_local = strcmp(pod->node_name, floating->node_name) == 0;
    workload_ifname(floating->prefix, pod->ns, pod->name, claim->ifname);
    for (size_t i = 0; i < n; i++) {
        const struct ip *own = ips[i].family == 4 ? &pod->ip4 : &pod->ip6;
        if (own->family != 0) {
            claim->ips[claim->n++] = ips[i];
        }
    }
    claim_free(table_put(floating->by_pod, key, claim));
}

static void
note_asked(struct floating *floating)
{
    table_free(floating->asked, NULL);
    floating->asked = table_new();
    TABLE_FOREACH (floating->by_pod, entry) {
        const struct claim *claim = table_value(entry);
        for (size_t i = 0; i < claim->n; i++) {
            table_put_bytes(floating->asked, &claim->ips[i], sizeof claim->ips[i], floating);
        }
    }
}

static bool
is_asked(const struct floating *floating, const struct ip *ip)
{
    return table_get_bytes(floating->asked, ip, sizeof *ip) != NULL;
}

static bool
has_asked_address(const struct floating *floating, const struct pod *pod)
{
    return pod && table_count(floating->asked) > 0 &&
           (is_asked(floating, &pod->ip4) || is_asked(floating, &pod->ip6));
}

/* Equal values are one value: lib/model/pod.h. */
static bool
asks_the_same(const struct pod *a, const struct pod *b)
{
    return a->asks->floating_ips == b->asks->floating_ips && a->node_name == b->node_name &&
           ip_equal(&a->ip4, &b->ip4) && ip_equal(&a->ip6, &b->ip6);
}

bool
floating_note_pod(struct floating *floating, const struct pod *was, const struct pod *now)
{
    bool asked = does_ask(was), asks = does_ask(now);
    AUTO(str) struct str key = STR_INIT;

    if (!asked && !asks) {
        return has_asked_address(floating, was) || has_asked_address(floating, now);
    }
    if (asked && asks && asks_the_same(was, now)) {
        return false;
    }
    add_key(asks ? now : was, &key);
    if (asks) {
        put(floating, now, key.text);
    } else {
        claim_free(table_take(floating->by_pod, key.text));
    }
    note_asked(floating);
    return true;
}

bool
floating_is_asked_for(const struct floating *floating)
{
    return table_count(floating->asked) > 0;
}

/* ---- who has it
 * ------------------------------------------------------------------------------------------- */

static int
bid_order(const void *a, const void *b)
{
    const struct bid *x = a, *y = b;
    int order = ip_compare(&x->ip, &y->ip);

    return order != 0 ? order : strcmp(x->claim->pod, y->claim->pod);
}

static void
sorted_bids(const struct floating *floating, bid_vec *ret_bids)
{
    TABLE_FOREACH (floating->by_pod, entry) {
        const struct claim *claim = table_value(entry);
        for (size_t i = 0; i < claim->n; i++) {
            VEC_PUSH(ret_bids, (struct bid){claim->ips[i], claim});
        }
    }
    if (ret_bids->n > 0) {
        qsort(ret_bids->items, ret_bids->n, sizeof *ret_bids->items, bid_order);
    }
}

/* 'told' becomes the lines of this time. */
static void
tell(const struct floating *floating, struct table *told, const char *line)
{
    if (!table_get(floating->told, line) && !table_get(told, line)) {
        log_warn("%s", line);
    }
    table_put(told, line, told);
}

static void
tell_in_vain(const struct floating *floating, struct table *told, const struct bid *bid,
             const struct bid *winner, const char *use)
{
    AUTO(str) struct str line = STR_INIT;
    char text[IP_TEXT_MAX];

    str_addf(&line, "pod %s does not get the floating address %s it asks for: ", bid->claim->pod,
             ip_format(&bid->ip, text));
    if (use) {
        str_addf(&line, "it is %s", use);
    } else {
        str_addf(&line, "pod %s has it", winner->claim->pod);
    }
    tell(floating, told, line.text);
}

/* All that ask for one address, in order: the first has it. */
static void
settle(const struct floating *floating, const struct bid *bids, size_t n, const char *use,
       struct table *told, floating_vec *list)
{
    const struct bid *winner = &bids[0];
    bool is_ours = !use && winner->claim->is_local;

    if (is_ours) {
        struct floating_address address = {.ip = winner->ip};
        memcpy(address.ifname, winner->claim->ifname, sizeof address.ifname);
        VEC_PUSH(list, address);
    }
    for (size_t i = 0; i < n; i++) {
        bool is_in_vain = use || bids[i].claim != winner->claim;
        if (is_in_vain && (is_ours || bids[i].claim->is_local)) {
            tell_in_vain(floating, told, &bids[i], winner, use);
        }
    }
}

/* How many are for the address of the first; whether one of them is of a pod of this node. */
static size_t
same_address(const struct bid *bids, size_t n, bool *ret_is_local)
{
    size_t i = 0;

    *ret_is_local = false;
    for (; i < n && ip_equal(&bids[i].ip, &bids[0].ip); i++) {
        *ret_is_local |= bids[i].claim->is_local;
    }
    return i;
}

void
floating_list(struct floating *floating, floating_use *use, void *owner, floating_vec *ret_list)
{
    struct table *told = table_new();
    bid_vec bids = VEC_INIT;
    bool is_local = false;

    sorted_bids(floating, &bids);
    for (size_t i = 0, n = 0; i < bids.n; i += n) {
        const struct bid *first = &bids.items[i];
        n = same_address(first, bids.n - i, &is_local);
        if (is_local) { /* to ask for the use of all of them would be a look at every pod for each
                         */
            const char *used =
                ip_is_global_unicast(&first->ip) ? use(owner, &first->ip) : "no pod's to have";
            settle(floating, first, n, used, told, ret_list);
        }
    }
    VEC_DONE(&bids);
    table_free(floating->told, NULL);
    floating->told = told;
}

const char *
floating_pod(const struct floating *floating, const struct ip *ip)
{
    const char *first = NULL;

    if (!is_asked(floating, ip) || !ip_is_global_unicast(ip)) {
        return NULL;
    }
    TABLE_FOREACH (floating->by_pod, entry) {
        const struct claim *claim = table_value(entry);
        for (size_t i = 0; i < claim->n; i++) {
            if (ip_equal(&claim->ips[i], ip) && (!first || strcmp(claim->pod, first) < 0)) {
                first = claim->pod;
            }
        }
    }
    return first;
}
