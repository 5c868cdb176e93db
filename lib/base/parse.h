/* Small values out of text. All refuse trailing garbage and name the bad value in the error. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

/* Decimal digits only, no sign, no space. */
MUST_CHECK bool parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value,
                          struct err *err);
/* Bits: "0xffff0000" or the same in decimal. */
MUST_CHECK bool parse_mask(const char *text, uint32_t *ret_mask, struct err *err);
/* "true" "false" "1" "0" "yes" "no" "on" "off", "Enabled" "Disabled"; any case. */
MUST_CHECK bool parse_bool(const char *text, bool *ret_value, struct err *err);
/* Go-style durations ("1m30s", "250ms", "1.5s") and bare numbers, which are seconds. */
MUST_CHECK bool parse_duration_ms(const char *text, uint64_t *ret_ms, struct err *err);
/* AS number, RFC 4271 and 6793: asplain "64512" or asdot "1.10"; 1-4294967295. */
MUST_CHECK bool parse_asn(const char *text, uint32_t *ret_asn, struct err *err);
