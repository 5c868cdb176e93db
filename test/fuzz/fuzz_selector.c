/* Selectors: whatever parses prints, and what it prints parses to the same and means the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/selector/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *
get(const void *labels, const char *key)
{
    (void)labels;
    return key[0] == 'a' ? key : NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = xstrndup((const char *)data, size);
    AUTO(str) struct str printed = STR_INIT;
    AUTO(str) struct str again = STR_INIT;
    struct selector *selector = NULL, *second = NULL;
    struct err err = ERR_INIT;

    if (!selector_parse(text, &selector, &err)) {
        if (err.text[0] == '\0') {
            abort();
        }
        return 0;
    }
    selector_print(selector, &printed);
    /* Canonical text has its own parentheses and may pass the limits that the original kept. */
    if (selector_parse(str_text(&printed), &second, NULL)) {
        selector_print(second, &again);
        if (strcmp(str_text(&printed), str_text(&again)) != 0 ||
            selector_matches(selector, get, NULL) != selector_matches(second, get, NULL)) {
            abort();
        }
    } else if (printed.len < 90) {
        abort();
    }
    selector_free(selector);
    selector_free(second);
    return 0;
}
