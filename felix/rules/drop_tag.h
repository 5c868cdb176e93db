/* The prefix of the NFLOG message of a packet that was denied: who denied it, in at most 63
 * characters that need no quoting. "canal:R:i:12:<id>". */
#pragma once

#include <stdbool.h>

#include "felix/policy.h"

#define DROP_TAG_MAX 64 /* the kernel's, with the NUL */

enum drop_reason {
    DROP_BY_RULE,       /* id: of the policy, index: of its rule */
    DROP_BY_TIER,       /* id: of the verdict list, index: of its tier */
    DROP_BY_NO_PROFILE, /* id: of the verdict list */
    DROP_REFUSED,       /* an open connection that is no longer allowed */
    DROP_UNKNOWN,       /* from or to an interface no endpoint is known for */
    DROP_TO_HOST,       /* DefaultEndpointToHostAction */
    DROP_SERVICE_LOOP,
    DROP_INVALID, /* of no connection (conntrack state INVALID) */
};
#define N_DROP_REASONS 8

struct drop_tag {
    enum drop_reason reason;
    enum direction direction;
    unsigned index;
    char id[33]; /* "" for the last five */
};

void drop_tag_format(const struct drop_tag *tag, char ret_text[DROP_TAG_MAX]);
/* False for what this did not write. */
bool drop_tag_parse(const char *text, struct drop_tag *ret_tag);
