/* Pods straight from their text: what is taken is what json-c and the decoder make of it. */
#include <stdint.h>
#include <stdlib.h>

#include "test/unit/model/scanned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (scanned(KIND_POD, (const char *)data, size) == SCANNED_WRONG) {
        abort();
    }
    return 0;
}
