/* Labels or selected annotations of one object: sorted by key, immutable after decode. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct label {
    char *key;
    char *value;
};

struct labels {
    struct label *items; /* sorted by key, no key twice */
    size_t n;
};

void labels_done(struct labels *labels);
const char *labels_get(const struct labels *labels, const char *key); /* NULL when absent */
bool labels_equal(const struct labels *a, const struct labels *b);
