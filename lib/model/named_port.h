/* A port an endpoint gives a name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct json_object;
struct kind_issues;

struct named_port {
    char *name;
    uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
    uint16_t port;
};

/* Where a kind keeps a port's number, and whether a port without a name counts. */
struct named_port_form {
    const char *path; /* of the list */
    const char *port_field;
    bool takes_nameless; /* the name is then "" */
};

/* What a rule may call a port: such a name is also safe in the names of sets and in messages. */
bool named_port_is_name(const char *name);
/* Reads one {name, protocol, port}. True and *ret_is_usable false: nothing is wrong with it, but it
 * cannot be named (no name, no number, a protocol without ports). The name is borrowed from the
 * JSON. Protocol absent is TCP. */
MUST_CHECK bool named_port_decode(struct json_object *json, const struct named_port_form *form,
                                  struct named_port *ret_port, bool *ret_is_usable,
                                  struct err *err);
/* Reads the list; a bad item is left out and reported as path[i]. Array and names are one block of
 * memory: free() releases it. */
MUST_CHECK bool named_ports_decode(struct json_object *json, const struct named_port_form *form,
                                   const struct kind_issues *issues, struct named_port **ret_ports,
                                   size_t *ret_n, struct err *err);
/* A copy in one block; NULL when n is 0. */
struct named_port *named_ports_from(const struct named_port *ports, size_t n);
bool named_ports_equal(const struct named_port *a, size_t n_a, const struct named_port *b,
                       size_t n_b);
