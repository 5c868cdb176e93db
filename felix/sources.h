/* Sources that pods of this node may have besides their own addresses: what their annotations list,
 * while WorkloadSourceSpoofing is "Any". */
#pragma once

#include "felix/rules/static_rules.h"
#include "lib/base/vec.h"
#include "lib/model/pod.h"

struct sources;
typedef VEC(struct pod_source) pod_source_vec; /* a name for a container, as route_vec */

struct sources *sources_new(const char *interface_prefix);
void sources_free(struct sources *sources); /* NULL is fine */
/* A local pod: 'now' NULL when it goes, 'was' when it comes. True when something changed. */
bool sources_note_pod(struct sources *sources, const struct pod *was, const struct pod *now);
/* Appends all, in an order that does not depend on history. */
void sources_list(const struct sources *sources, pod_source_vec *ret_list);
