/* IP_AUTODETECTION_METHOD and node names: operators type them. What is accepted must be usable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "felix/node/detect.h"
#include "felix/node/node_name.h"
#include "lib/base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct link link = {.index = 1, .name = "eth0", .is_up = true};
    struct address address = {.index = 1, .is_usable = true};
    link_vec links = {.items = &link, .n = 1};
    address_vec addresses = {.items = &address, .n = 1};
    const struct detect_input input = {.links = &links, .addresses = &addresses};
    struct detect_method method;
    struct prefix found;

    /* Long expressions take glibc's matcher time that grows with their square. */
    char *text = xstrndup((const char *)data, size < 300 ? size : 300);
    if (!prefix_parse_host("10.0.0.1/24", &address.prefix, NULL)) {
        abort();
    }
    if (detect_parse(text, &method, NULL) && detect_address(&method, 4, &input, &found, NULL) &&
        !prefix_equal(&found, &address.prefix)) {
        abort();
    }
    if (node_name_is_valid(text) && strpbrk(text, "/?%# \n\"")) {
        abort();
    }
    free(text);
    return 0;
}
