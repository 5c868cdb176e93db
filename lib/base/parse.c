/* Parsers of small values. */
#include "lib/base/parse.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"

static bool
digits_to_u64(const char **text, uint64_t max, uint64_t *ret_value)
{
    const char *c = *text;
    uint64_t value = 0;

    if (!isdigit((unsigned char)*c)) {
        return false;
    }
    for (; isdigit((unsigned char)*c); c++) {
        value = value * 10 + (uint64_t)(*c - '0');
        if (value > max) {
            return false;
        }
    }
    *text = c;
    *ret_value = value;
    return true;
}

bool
parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value, struct err *err)
{
    const char *rest = text;
    uint64_t value = 0;

    if (!digits_to_u64(&rest, max, &value) || *rest != '\0' || value < min) {
        return err_set(err, "'%.64s' is not a number from %u to %u", text, min, max);
    }
    *ret_value = (uint32_t)value;
    return true;
}

bool
parse_mask(const char *text, uint32_t *ret_mask, struct err *err)
{
    bool is_hex = strncasecmp(text, "0x", 2) == 0;
    const char *digits = is_hex ? text + 2 : text;
    size_t len = strlen(digits);

    if (!is_hex && parse_u32(text, 0, UINT32_MAX, ret_mask, NULL)) {
        return true;
    }
    if (!is_hex || len == 0 || len > 8 || strspn(digits, "0123456789abcdefABCDEF") != len) {
        return err_set(err, "'%.64s' is not a mask such as 0xffff0000", text);
    }
    *ret_mask = (uint32_t)strtoul(digits, NULL, 16);
    return true;
}

bool
parse_bool(const char *text, bool *ret_value, struct err *err)
{
    static const char *const yes[] = {"true", "1", "yes", "on", "enabled"};
    static const char *const no[] = {"false", "0", "no", "off", "disabled"};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0) {
            *ret_value = true;
            return true;
        }
        if (strcasecmp(text, no[i]) == 0) {
            *ret_value = false;
            return true;
        }
    }
    return err_set(err, "'%.64s' is not true or false", text);
}

static bool
unit_us(const char **text, uint64_t *ret_us)
{
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {{"ms", 1000}, {"us", 1}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000ULL}};

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        size_t len = strlen(units[i].name);
        if (strncmp(*text, units[i].name, len) == 0) {
            *text += len;
            *ret_us = units[i].us;
            return true;
        }
    }
    return false;
}

static bool
duration_part(const char **rest, bool is_first, uint64_t *total_us)
{
    uint64_t whole = 0;
    uint64_t fraction = 0;
    uint64_t scale = 1;
    uint64_t unit = 1000000;

    if (!digits_to_u64(rest, 1000000000, &whole)) {
        return false;
    }
    if (**rest == '.') {
        (*rest)++;
        const char *start = *rest;
        if (!digits_to_u64(rest, 999999, &fraction)) {
            return false;
        }
        for (const char *c = start; c < *rest; c++) {
            scale *= 10;
        }
    }
    /* A bare number is seconds, but only when it is all there is. */
    if (!unit_us(rest, &unit) && (**rest != '\0' || !is_first)) {
        return false;
    }
    *total_us += whole * unit + fraction * unit / scale;
    return true;
}

bool
parse_duration_ms(const char *text, uint64_t *ret_ms, struct err *err)
{
    const char *rest = text;
    uint64_t total_us = 0;

    do {
        if (!duration_part(&rest, rest == text, &total_us)) {
            return err_set(err, "'%.64s' is not a duration such as 90s, 1m30s or 250ms", text);
        }
    } while (*rest != '\0');
    *ret_ms = total_us / 1000;
    return true;
}

bool
parse_asn(const char *text, uint32_t *ret_asn, struct err *err)
{
    const char *rest = text;
    uint64_t high = 0;
    uint64_t value = 0;
    bool good = digits_to_u64(&rest, UINT32_MAX, &value);

    if (good && *rest == '.') {
        rest++;
        high = value;
        good = high <= 65535 && digits_to_u64(&rest, 65535, &value);
        value |= high << 16;
    }
    if (!good || *rest != '\0' || value == 0) {
        return err_set(err, "'%.64s' is not an AS number (1-4294967295)", text);
    }
    *ret_asn = (uint32_t)value;
    return true;
}
