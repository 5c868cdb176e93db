/* Values that many objects have in common, stored once and counted: the pods of one Deployment
 * share their labels, ports, namespace and service account, and a cluster has 150,000 of them. A
 * value is bytes, with room in front of them for what the owner of the pool derives from them (an
 * array of pointers into the bytes, say), filled in once. Equal bytes with equal room are one
 * value, so comparing pointers compares values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct share {
    struct share_entry **slots;
    size_t n_slots; /* power of two, or 0 */
    size_t n;
};

/* Start of the value: 'room' bytes (zeros and *ret_is_new true the first time), then the bytes. One
 * reference more. */
void *share_take(struct share *share, size_t room, const void *bytes, size_t len, bool *ret_is_new);
/* Gives back a reference; the last one frees the value, the last value all memory. NULL is fine. */
void share_drop(struct share *share, const void *value);
/* A text. */
const char *share_text(struct share *share, const char *text);
