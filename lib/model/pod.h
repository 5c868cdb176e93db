/* core/v1 Pod, as small as 150,000 of them demand: what felix needs to know a workload endpoint. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/labels.h"
#include "lib/net/ip.h"

struct json_object;
struct kind_issues;

struct pod {
    char *name;
    char *ns;
    char *node_name; /* NULL while unscheduled */
    struct ip ip4;   /* status.podIPs, else status.podIP; family 0 when absent */
    struct ip ip6;
    bool is_host_network;
    bool is_finished; /* phase Succeeded or Failed: its addresses are no longer its own */
    struct labels labels;
};

/* True when the pod is a workload endpoint on 'node_name' now. */
bool pod_is_local_endpoint(const struct pod *pod, const char *node_name);

/* The row of the kind's table, see kind.h; equal compares what the struct holds. */
void *pod_decode(struct json_object *json, const struct kind_issues *issues, struct err *err);
void pod_free(void *object); /* NULL is fine */
bool pod_equal(const void *a, const void *b);
