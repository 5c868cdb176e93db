/* A port an endpoint gives a name. */
#pragma once

#include <stdint.h>

struct named_port {
    char *name;
    uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
    uint16_t port;
};
