/* Called by felix.c. */
#include "felix/asks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/workloads.h"
#include "lib/base/alloc.h"
#include "lib/base/table.h"

struct asks {
    char *prefix;
    struct table *by_ifname; /* struct pod_ask */
};

struct asks *
asks_new(const char *interface_prefix)
{
    struct asks *asks = NEW(struct asks);

    asks->prefix = xstrdup(interface_prefix);
    asks->by_ifname = table_new();
    return asks;
}

static void
ask_free(void *value)
{
    struct pod_ask *ask = value;

    if (ask) {
        free(ask->ns);
        free(ask->pod);
        free(ask);
    }
}

void
asks_free(struct asks *asks)
{
    if (asks) {
        table_free(asks->by_ifname, ask_free);
        free(asks->prefix);
        free(asks);
    }
}

static void
drop(struct asks *asks, const struct pod *pod)
{
    char ifname[16];

    workload_ifname(asks->prefix, pod->ns, pod->name, ifname);
    ask_free(table_take(asks->by_ifname, ifname));
}

static void
put(struct asks *asks, const struct pod *pod)
{
    struct pod_ask *ask = NEW(struct pod_ask);

    workload_ifname(asks->prefix, pod->ns, pod->name, ask->ifname);
    ask->ns = xstrdup(pod->ns);
    ask->pod = xstrdup(pod->name);
    ask->wanted = pod->asks;
    ask_free(table_put(asks->by_ifname, ask->ifname, ask));
}

bool
asks_note_pod(struct asks *asks, const struct pod *was, const struct pod *now)
{
    if (was && was->asks) {
        drop(asks, was);
    }
    if (now && now->asks) {
        put(asks, now);
    }
    /* Equal values are one value: lib/model/pod_asks.h. */
    return (was ? was->asks : NULL) != (now ? now->asks : NULL);
}

bool
asks_has(const struct asks *asks, const char *ifname)
{
    return table_get(asks->by_ifname, ifname) != NULL;
}

static int
ask_order(const void *a, const void *b)
{
    const struct pod_ask *const *x = a, *const *y = b;

    return strcmp((*x)->ifname, (*y)->ifname);
}

void
asks_each(const struct asks *asks, void (*each)(void *owner, const struct pod_ask *ask),
          void *owner)
{
    VEC(const struct pod_ask *) list = VEC_INIT;

    TABLE_FOREACH (asks->by_ifname, entry) {
        VEC_PUSH(&list, table_value(entry));
    }
    if (list.n > 0) {
        qsort(list.items, list.n, sizeof(struct pod_ask *), ask_order);
    }
    VEC_FOREACH (&list, ask) {
        each(owner, *ask);
    }
    VEC_DONE(&list);
}

static int
net_order(const void *a, const void *b)
{
    return prefix_compare(a, b);
}

static void
add_sources(void *owner, const struct pod_ask *ask)
{
    pod_source_vec *list = owner;
    struct prefix nets[POD_SOURCES_MAX];
    size_t n = pod_asks_sources(ask->wanted, nets);

    qsort(nets, n, sizeof *nets, net_order);
    for (size_t i = 0; i < n; i++) {
        struct pod_source source = {.net = nets[i]};
        memcpy(source.ifname, ask->ifname, sizeof source.ifname);
        VEC_PUSH(list, source);
    }
}

void
asks_sources(const struct asks *asks, pod_source_vec *ret_list)
{
    asks_each(asks, add_sources, ret_list);
}
