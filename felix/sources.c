/* By interface; nearly always empty. Called by felix.c. */
#include "felix/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/workloads.h"
#include "lib/base/alloc.h"
#include "lib/base/table.h"

struct sources {
    char *prefix;
    struct table *by_ifname; /* pod_source_vec */
};

struct sources *
sources_new(const char *interface_prefix)
{
    struct sources *sources = NEW(struct sources);

    sources->prefix = xstrdup(interface_prefix);
    sources->by_ifname = table_new();
    return sources;
}

static void
list_free(void *value)
{
    pod_source_vec *list = value;

    if (list) {
        VEC_DONE(list);
        free(list);
    }
}

void
sources_free(struct sources *sources)
{
    if (sources) {
        table_free(sources->by_ifname, list_free);
        free(sources->prefix);
        free(sources);
    }
}

static bool
drop(struct sources *sources, const struct pod *pod)
{
    char ifname[16];

    workload_ifname(sources->prefix, pod->ns, pod->name, ifname);
    pod_source_vec *list = table_take(sources->by_ifname, ifname);
    list_free(list);
    return list != NULL;
}

bool
sources_note_pod(struct sources *sources, const struct pod *was, const struct pod *now)
{
    struct prefix nets[POD_SOURCES_MAX];
    bool is_changed = false;

    /* Equal texts are one text: lib/model/pod.h. */
    if (was && now && was->allowed_sources == now->allowed_sources) {
        return false;
    }
    if (was && was->allowed_sources) {
        is_changed = drop(sources, was);
    }
    if (now && now->allowed_sources) {
        size_t n = pod_allowed_sources(now, nets);
        pod_source_vec *list = xcalloc(1, sizeof *list);
        for (size_t i = 0; i < n; i++) {
            struct pod_source source = {.net = nets[i]};
            workload_ifname(sources->prefix, now->ns, now->name, source.ifname);
            VEC_PUSH(list, source);
        }
        list_free(table_put(sources->by_ifname, list->items[0].ifname, list));
        is_changed = true;
    }
    return is_changed;
}

static int
source_order(const void *a, const void *b)
{
    const struct pod_source *x = a, *y = b;
    int order = strcmp(x->ifname, y->ifname);

    return order != 0 ? order : prefix_compare(&x->net, &y->net);
}

void
sources_list(const struct sources *sources, pod_source_vec *ret_list)
{
    TABLE_FOREACH (sources->by_ifname, entry) {
        const pod_source_vec *list = table_value(entry);
        VEC_FOREACH (list, source) {
            VEC_PUSH(ret_list, *source);
        }
    }
    if (ret_list->n > 0) {
        qsort(ret_list->items, ret_list->n, sizeof *ret_list->items, source_order);
    }
}
