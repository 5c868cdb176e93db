/* Used by felix.c whenever links change. */
#include "felix/node/mtu.h"

#include <regex.h>
#include <strings.h>

static uint32_t
smallest_matching(const link_vec *links, const char *pattern)
{
    regex_t regex;
    uint32_t mtu = 0;

    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return 0; /* refused when it was set */
    }
    VEC_FOREACH (links, link) {
        if (link->is_up && !link->is_loopback && regexec(&regex, link->name, 0, NULL, 0) == 0 &&
            (mtu == 0 || link->mtu < mtu)) {
            mtu = link->mtu;
        }
    }
    regfree(&regex);
    return mtu;
}

uint32_t
mtu_of_node(const link_vec *links, int index, const char *pattern)
{
    uint32_t mtu = 0;

    if (*pattern != '\0' && strcasecmp(pattern, "none") != 0) {
        mtu = smallest_matching(links, pattern);
    }
    if (mtu > 0) {
        return mtu;
    }
    VEC_FOREACH (links, link) {
        mtu = index > 0 && link->index == index ? link->mtu : mtu;
    }
    return mtu;
}
