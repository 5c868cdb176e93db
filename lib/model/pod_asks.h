/* What a pod asks of its node by annotations, which nearly no pod does: sources, floating
 * addresses, limits, a DSCP. The annotations are Calico's. What is not understood is reported, and
 * asks for nothing; the others hold. */
#pragma once

#include <stdint.h>

#include "lib/net/prefix.h"

struct json_object;
struct kind_issues;

/* All of them, for those who look at annotations before this room does. */
#define POD_ASKS_ANNOTATIONS(EACH)                      \
    EACH("cni.projectcalico.org/allowedSourcePrefixes") \
    EACH("cni.projectcalico.org/floatingIPs")           \
    EACH("qos.projectcalico.org/ingressBandwidth")      \
    EACH("qos.projectcalico.org/egressBandwidth")       \
    EACH("qos.projectcalico.org/ingressBurst")          \
    EACH("qos.projectcalico.org/egressBurst")           \
    EACH("qos.projectcalico.org/ingressPeakrate")       \
    EACH("qos.projectcalico.org/egressPeakrate")        \
    EACH("qos.projectcalico.org/ingressMinburst")       \
    EACH("qos.projectcalico.org/egressMinburst")        \
    EACH("qos.projectcalico.org/ingressPacketRate")     \
    EACH("qos.projectcalico.org/egressPacketRate")      \
    EACH("qos.projectcalico.org/ingressPacketBurst")    \
    EACH("qos.projectcalico.org/egressPacketBurst")     \
    EACH("qos.projectcalico.org/ingressMaxConnections") \
    EACH("qos.projectcalico.org/egressMaxConnections")  \
    EACH("qos.projectcalico.org/dscp")                  \
    EACH("kubernetes.io/ingress-bandwidth")             \
    EACH("kubernetes.io/egress-bandwidth")

/* Of one direction; 0: none.
 * https://docs.tigera.io/calico/latest/networking/configuring/qos-controls The ranges of the
 * annotations are Calico's; that of the kubernetes.io ones is that of bandwidth, and they count
 * only where the other is not there. */
struct pod_limits {
    uint64_t bandwidth;    /* bits per second, 1k-1P */
    uint64_t burst;        /* bits above that at once, 1k-4Gi; with a bandwidth 4Gi if not said */
    uint64_t peak_rate;    /* bits per second of the burst, above bandwidth */
    uint64_t min_burst;    /* bytes at once at the peak rate */
    uint64_t packet_rate;  /* packets per second, 10-1T */
    uint64_t packet_burst; /* packets, 1-10k; with a rate 5 if not said */
    uint64_t max_connections; /* 1-100G */
};

/* Equal pointers are equal values. */
struct pod_asks {
    const char *sources;      /* networks with commas between them, or NULL */
    const char *floating_ips; /* addresses with commas between them, or NULL */
    struct pod_limits ingress, egress;
    uint64_t dscp; /* + 1: 1-64; 0: none */
};

#define POD_SOURCES_MAX 32
#define POD_FLOATING_MAX 32
/* Networks beyond its own addresses that the pod asks to send from; how many. NULL asks nothing. */
size_t pod_asks_sources(const struct pod_asks *asks, struct prefix ret_nets[POD_SOURCES_MAX]);
/* Addresses under which it asks to be reached besides its own. */
size_t pod_asks_floating(const struct pod_asks *asks, struct ip ret_ips[POD_FLOATING_MAX]);

/* The annotation qos.projectcalico.org/dscp, of host endpoints as well: "46", "EF", "af41" (the
 * names of RFC 2474, 2597, 3246, 5865 and 8622) → value + 1; 0: none. */
uint8_t dscp_decode(struct json_object *annotations, const struct kind_issues *issues);

/* 'annotations' may be NULL. NULL when nothing is asked for; else a reference, to be dropped. */
const struct pod_asks *pod_asks_take(struct json_object *annotations,
                                     const struct kind_issues *issues);
void pod_asks_drop(const struct pod_asks *asks); /* NULL is fine */
