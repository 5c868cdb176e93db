/* Kernel settings below /proc/sys/net of this network namespace. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

/* Makes the file hold 'value'; writes only when it does not. *ret_changed may be NULL. err.code
 * ENOENT: the kernel has no such setting (no IPv6, or the interface is gone). */
MUST_CHECK bool sysctl_ensure(const char *path, const char *value, bool *ret_changed,
                              struct err *err);
/* ip_forward and IPv6 forwarding. */
MUST_CHECK bool sysctl_forwarding(bool ipv6, bool *ret_changed, struct err *err);
/* What a workload interface needs: proxy ARP and NDP without delay, forwarding, no router
 * advertisements from pods, loopback routing for hostPort. */
MUST_CHECK bool sysctl_workload(const char *ifname, bool ipv6, bool *ret_changed, struct err *err);
/* rp_filter of an interface: what new ones get, or off. Where that of "all" is on, it stays on. */
MUST_CHECK bool sysctl_source_check(const char *ifname, bool is_on, struct err *err);
/* How many neighbours the kernel takes of "ipv4" or "ipv6"; false where that cannot be seen. */
MUST_CHECK bool sysctl_neighbour_room(const char *family, uint64_t *ret_room);
