/* This node's addresses: detected, checked against other nodes, and written to the Node object's
 * annotations (projectcalico.org/IPv4Address and so on), where confd of every node reads them. */
#pragma once

#include "felix/calc/node_state.h"
#include "felix/settings.h"
#include "lib/kube/kube.h"
#include "lib/model/node.h"
#include "lib/netlink/netlink.h"

struct identity;

struct identity_state {
    bool is_settled;        /* every address that is wanted is known, unique and written */
    struct prefix address4; /* family 0: none */
    struct prefix address6;
    int index4;        /* interface that holds address4; 0 none */
    bool is_contested; /* not settled, and other nodes may not find this one's pods */
    char reason[256];  /* why not settled */
};

struct identity *identity_new(struct kube *kube, const char *node_name,
                              const struct felix_settings *settings);
void identity_free(struct identity *identity);
/* Detects and compares; starts a PATCH when the annotations differ and none is under way. */
void identity_update(struct identity *identity, struct netlink *netlink, const struct node *node,
                     const struct node_state *nodes, const struct ip *tunnel_address);
const struct identity_state *identity_state(const struct identity *identity);
