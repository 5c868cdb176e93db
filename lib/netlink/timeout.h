/* How long the sockets of this room wait for an answer of the kernel. One value for the process; it
 * counts for those that are opened after it was set. */
#pragma once

#include <stdint.h>

void netlink_set_timeout(uint32_t seconds);
uint32_t netlink_timeout_s(void); /* 10 until it is set */
