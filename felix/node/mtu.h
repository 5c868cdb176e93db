/* The MTU pods get: what fits through the node's own interfaces. */
#pragma once

#include <stdint.h>

#include "lib/netlink/netlink.h"

/* With a pattern (MTUIfacePattern, an extended regular expression; "" and "none" are none) the
 * smallest MTU of the interfaces it matches that are up; without one, or when it matches none, that
 * of the interface 'index', which has the node's address. 0: there is no such interface. */
uint32_t mtu_of_node(const link_vec *links, int index, const char *pattern);
