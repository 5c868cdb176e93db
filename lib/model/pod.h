/* core/v1 Pod, as small as 150,000 of them demand: what felix needs to know a workload endpoint.
 * What pods have in common (all texts but the name, labels, ports) is shared between them: see
 * lib/model/share.h. Equal pointers are equal values. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/labels.h"
#include "lib/model/named_port.h"
#include "lib/model/pod_asks.h"
#include "lib/net/prefix.h"

struct json_object;
struct kind_head;
struct kind_issues;

struct pod {
    const char *name; /* behind the struct, in the same block */
    const char *ns;
    const char *node_name;       /* NULL while unscheduled */
    const char *service_account; /* NULL when the API does not say */
    /* Without those that only felix may give an endpoint, see labels_is_reserved(). */
    struct labels labels;
    const struct named_port *ports; /* of containers and of sidecars (restartable init) */
    uint16_t n_ports;
    const struct pod_asks *asks; /* by annotations; NULL for nearly all pods */
    struct ip ip4; /* status.podIPs, else status.podIP, else the CNI plugin's annotations */
    struct ip ip6; /* family 0 when absent */
    bool is_host_network;
    /* Its addresses are no longer its own: phase Succeeded or Failed, or terminating and the CNI
     * plugin has blanked its annotation. A terminating pod otherwise keeps its policy. */
    bool is_finished;
};

/* True when the pod is a workload endpoint on 'node_name' now. */
bool pod_is_local_endpoint(const struct pod *pod, const char *node_name);

/* The row of the kind's table, see kind.h; equal compares what the struct holds. */
void *pod_decode(struct json_object *json, const struct kind_issues *issues, struct err *err);
void *pod_scan(const char *text, size_t len, struct kind_head *ret_head);
void pod_free(void *object); /* NULL is fine */
bool pod_equal(const void *a, const void *b);
