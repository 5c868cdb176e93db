/* What the kernel tells of a packet, and the packet itself: whoever sends it wrote it. The first
 * byte chooses: a whole netlink message, or a packet's bytes. */
#include <linux/netlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "felix/rules/drop_tag.h"
#include "lib/base/alloc.h"
#include "lib/netlink/nflog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_message(const uint8_t *data, size_t size)
{
    struct nlmsghdr *header = xmalloc(size + sizeof *header);
    struct nflog_packet packet;
    struct drop_tag tag;

    memset(header, 0, sizeof *header);
    memcpy(header, data, size);
    if (size >= sizeof *header) {
        header->nlmsg_len = (uint32_t)size; /* the reader has checked that it is all there */
        if (nflog_parse(header, &packet)) {
            if (strlen(packet.prefix) >= sizeof packet.prefix) {
                abort();
            }
            (void)drop_tag_parse(packet.prefix, &tag);
        }
    }
    free(header);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet_headers headers;

    if (size == 0) {
        return 0;
    }
    if (data[0] & 1) {
        try_message(data + 1, size - 1);
        return 0;
    }
    /* Of its exact size, so that a byte too far is seen. */
    uint8_t *copy = xmemdup(data + 1, size - 1);
    if (packet_headers_parse(copy, size - 1, &headers) && headers.source.family != 4 &&
        headers.source.family != 6) {
        abort();
    }
    free(copy);
    return 0;
}
