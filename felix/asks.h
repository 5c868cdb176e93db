/* What pods of this node ask for by annotations (lib/model/pod_asks.h), by interface. Nearly always
 * empty. */
#pragma once

#include "felix/rules/static_rules.h"
#include "lib/base/vec.h"
#include "lib/model/pod.h"

struct asks;
typedef VEC(struct pod_source) pod_source_vec; /* a name for a container, as route_vec */

/* One pod that asks for something. */
struct pod_ask {
    char ifname[16];
    char *ns, *pod;
    const struct pod_asks *wanted; /* as long as the pod is noted */
};

struct asks *asks_new(const char *interface_prefix);
void asks_free(struct asks *asks); /* NULL is fine */
/* A local pod: 'now' NULL when it goes, 'was' when it comes. True when something changed. 'now' is
 * read until it is noted as 'was'. */
bool asks_note_pod(struct asks *asks, const struct pod *was, const struct pod *now);
/* A pod that asks for something has this interface. */
bool asks_has(const struct asks *asks, const char *ifname);
/* Calls each(), in an order that does not depend on history. */
void asks_each(const struct asks *asks, void (*each)(void *owner, const struct pod_ask *ask),
               void *owner);
/* Appends all sources besides own addresses, in that order. */
void asks_sources(const struct asks *asks, pod_source_vec *ret_list);
