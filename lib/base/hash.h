/* Seeded 64-bit hash of bytes, for tables; not for anything that is stored or sent. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t len);
