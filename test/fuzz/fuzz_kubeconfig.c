/* The kubeconfig parser: any bytes give a configuration or a reason, and the reason is never empty.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/kube/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kube_config config = {0};
    struct err err = ERR_INIT;

    if (kube_config_parse((const char *)data, size, "/dir", &config, &err)) {
        if (!config.server) {
            abort();
        }
        kube_config_done(&config);
    } else if (err.text[0] == '\0') {
        abort();
    }
    return 0;
}
