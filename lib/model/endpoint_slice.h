/* discovery.k8s.io/v1 EndpointSlice: addresses and ports behind a service, ready or not. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/model/named_port.h"
#include "lib/net/ip.h"

struct json_object;
struct kind_issues;
struct err;

struct endpoint_slice {
    char *ns;
    char *name;
    char *service; /* label kubernetes.io/service-name; NULL: of no service */
    struct ip *ips;
    size_t n_ips;
    struct named_port *ports; /* names may be ""; a port without a number is left out */
    size_t n_ports;
};

/* The row of the kind's table, see kind.h. */
void *endpoint_slice_decode(struct json_object *json, const struct kind_issues *issues,
                            struct err *err);
void endpoint_slice_free(void *object);
bool endpoint_slice_equal(const void *a, const void *b);
