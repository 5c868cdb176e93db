/* What wire.c and wire_look.c share; nobody else includes this. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "lib/base/err.h"

#define WIRE_BUFFER 16384

struct wire {
    struct mnl_socket *host;
    struct mnl_socket *pod;
    int host_ns;
    uint32_t seq;
    char buffer[WIRE_BUFFER];
};

struct found_link {
    int index;
    uint8_t mac[6];
    char alias[64];
};

/* Begins a request in wire->buffer. */
struct nlmsghdr *wire_message(struct wire *wire, uint16_t type, uint16_t flags);
/* Sends the message that is in wire->buffer; returns 0 or an errno. Answers go to each(). EINTR:
 * the list changed while it was read, and something may be missing. */
int wire_exchange(struct wire *wire, struct mnl_socket *sock, mnl_cb_t each, void *owner);
struct ifinfomsg *wire_put_link(struct nlmsghdr *header, int index);
int wire_on_link(const struct nlmsghdr *header, void *owner); /* fills a struct found_link */
/* 0, ENODEV or another errno. */
int wire_find_link(struct wire *wire, struct mnl_socket *sock, const char *name,
                   struct found_link *ret_link);
bool wire_is_alias_of(const struct found_link *link, const char *container_id);
bool wire_delete_link(struct wire *wire, struct mnl_socket *sock, int index, struct err *err);
/* "<what>: <the errno's text>", as CNI_IO; returns false. */
bool wire_fail(struct err *err, int number, const char *what);
