/* A policy of any kind in the one form felix calculates with. Decoders of the kinds
 * (networking.k8s.io NetworkPolicy; projectcalico NetworkPolicy, GlobalNetworkPolicy and their
 * staged forms; policy.networking.k8s.io ClusterNetworkPolicy v1alpha2) give this struct; nothing
 * after them knows the kinds' own shapes.
 *
 * Selectors are complete here: namespaces, service accounts and the kind's own restrictions are
 * part of the text (labels `projectcalico.org/namespace`, `projectcalico.org/orchestrator`,
 * `projectcalico.org/serviceaccount`, and the prefixes `pcns.` and `pcsa.` for those of an
 * endpoint's namespace and service account), and the text is canonical, so equal texts are equal
 * selectors.
 *
 * What is not understood never opens: a rule that allows is left out, a rule that denies or passes
 * and is not understood denies everything; both are reported. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/net/prefix.h"

enum policy_origin {
    POLICY_KUBERNETES, /* networking.k8s.io/v1 NetworkPolicy */
    POLICY_CLUSTER,    /* policy.networking.k8s.io ClusterNetworkPolicy */
    POLICY_NAMESPACED, /* projectcalico NetworkPolicy */
    POLICY_GLOBAL,     /* projectcalico GlobalNetworkPolicy */
};

enum rule_action {
    RULE_ALLOW,
    RULE_DENY,
    RULE_LOG,
    RULE_PASS
};

#define RULE_ANY (-1) /* protocol, ICMP type or code that is not given */

struct port_range {
    uint16_t first, last; /* inclusive */
};

/* One end of the packet. All that is given must hold. */
struct rule_peer {
    bool has_nets; /* with no net of the packet's family nothing matches */
    struct prefix *nets;
    size_t n_nets;
    struct prefix *not_nets;
    size_t n_not_nets;
    char *selector;     /* the address belongs to an endpoint or network set that matches; NULL */
    char *not_selector; /* it belongs to none that matches; only where selector is NULL */
    /* It is a Node's whose labels match; NULL. The labels of nodes are a world of their own: the
     * selectors above never see them, and this one sees nothing else. Alone at its end. */
    char *node_selector;
    /* Ports: one of the numbers or one of the names. Only with protocol TCP, UDP or SCTP. A name
     * means (address, port) of every endpoint matching 'selector' (or of all) that has a port of
     * that name and protocol. */
    struct port_range *ports;
    size_t n_ports;
    char **named_ports;
    size_t n_named_ports;
    struct port_range *not_ports;
    size_t n_not_ports;
    char **not_named_ports;
    size_t n_not_named_ports;
    /* Addresses (destination: with ports) of the service's EndpointSlices; NULL. */
    char *service_ns;
    char *service_name;
};

struct policy_rule {
    enum rule_action action;
    uint32_t written; /* which element of the object's list it comes from; several may share one */
    uint8_t family;   /* 4, 6; 0 both */
    int16_t protocol, not_protocol; /* numbers of IANA, or RULE_ANY */
    int16_t icmp_type, icmp_code;   /* of the family's ICMP; with protocol given, too */
    int16_t not_icmp_type, not_icmp_code;
    struct rule_peer source, destination;
    char *comment; /* what the rule's annotations say, "key=value, ..."; hostile text; NULL */
};

struct policy {
    enum policy_origin origin;
    bool is_staged; /* counted, never enforced */
    char *ns;       /* NULL: cluster-wide */
    char *name;
    char *tier;     /* "default", "kube-admin", ... */
    double order;   /* HUGE_VAL: none */
    char *selector; /* endpoints it applies to; canonical */
    bool applies_ingress, applies_egress;
    bool is_untracked;         /* doNotTrack */
    bool is_pre_dnat;          /* preDNAT */
    bool applies_on_forward;   /* applyOnForward, also with the two above */
    bool is_always_programmed; /* performanceHints: AssumeNeededOnEveryNode */
    struct policy_rule *ingress, *egress;
    size_t n_ingress, n_egress;
};

void policy_free(void *object); /* NULL is fine */
void policy_rule_done(struct policy_rule *rule);
bool policy_equal(const void *a, const void *b);
/* Tier order inside: order, then "name/namespace/kind"; negative, zero, positive. */
int policy_compare(const struct policy *a, const struct policy *b);
/* The kind's word in that order; Kubernetes' kinds have their own, as two kinds are NetworkPolicy.
 * "KubernetesNetworkPolicy", "StagedGlobalNetworkPolicy", ... */
const char *policy_kind_name(const struct policy *policy);
