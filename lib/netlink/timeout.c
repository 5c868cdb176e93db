/* Apart from netlink.c, because what has no libnl (the CNI plugin) has sockets of nfnetlink. */
#include "lib/netlink/timeout.h"

static _Atomic uint32_t timeout_s = 10; /* sockets are opened on worker threads, too */

void
netlink_set_timeout(uint32_t seconds)
{
    timeout_s = seconds;
}

uint32_t
netlink_timeout_s(void)
{
    return timeout_s;
}
