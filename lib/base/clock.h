/* Time: monotonic for durations, wall clock for what people read. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);
/* Writes RFC 3339 UTC with milliseconds, "2026-01-31T12:00:00.000Z" (24 characters). */
void clock_rfc3339(char *ret_text, size_t room);
