/* Floating addresses: under which pods ask to be reached besides their own (the annotation
 * cni.projectcalico.org/floatingIPs). Which pod of the cluster has one is the same on every node:
 * of those that ask, the first by namespace and name. Nearly always empty. */
#pragma once

#include "felix/desired.h"
#include "lib/model/pod.h"

struct floating;

/* What an address is already ("a node's"), which therefore nobody gets; NULL: nothing. */
typedef const char *floating_use(void *owner, const struct ip *ip);

struct floating *floating_new(const char *interface_prefix, const char *node_name);
void floating_free(struct floating *floating); /* NULL is fine */
/* Any pod of the cluster: 'now' NULL when it goes, 'was' when it comes. True when something
 * changed, be it that a pod's own address is one that is asked for. */
bool floating_note_pod(struct floating *floating, const struct pod *was, const struct pod *now);
/* Some pod asks for one. */
bool floating_is_asked_for(const struct floating *floating);
/* Appends those that pods of this node have, in an order that does not depend on history. What they
 * ask for in vain is logged, once until it changes. */
void floating_list(struct floating *floating, floating_use *use, void *owner,
                   floating_vec *ret_list);
/* "namespace/name" of the pod that has it, if nothing else uses it; NULL: none. Borrowed until the
 * next note. */
const char *floating_pod(const struct floating *floating, const struct ip *ip);
