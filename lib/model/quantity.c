/* Called by pod_asks.c. */
#include "lib/model/quantity.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

#define DIGITS_MAX 18 /* of the number, so that it fits 64 bits */
#define EXPONENT_MAX 18

static const struct suffix {
    const char *text;
    long double factor;
} suffixes[] = {
    {"", 1.0L},
    {"n", 1e-9L},
    {"u", 1e-6L},
    {"m", 1e-3L},
    {"k", 1e3L},
    {"M", 1e6L},
    {"G", 1e9L},
    {"T", 1e12L},
    {"P", 1e15L},
    {"E", 1e18L},
    {"Ki", 1024.0L},
    {"Mi", 1024.0L * 1024},
    {"Gi", 1024.0L * 1024 * 1024},
    {"Ti", 1024.0L * 1024 * 1024 * 1024},
    {"Pi", 1024.0L * 1024 * 1024 * 1024 * 1024},
    {"Ei", 1024.0L * 1024 * 1024 * 1024 * 1024 * 1024},
};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "12.5": the digits as one number, and how many of them stand behind the point. */
static const char *
read_digits(const char *at, uint64_t *ret_number, unsigned *ret_decimals)
{
    unsigned n = 0;
    bool is_behind = false;

    for (*ret_number = 0, *ret_decimals = 0; is_digit(*at) || (*at == '.' && !is_behind); at++) {
        if (*at == '.') {
            is_behind = true;
            continue;
        }
        n++;
        if (n > DIGITS_MAX) {
            return NULL;
        }
        *ret_number = *ret_number * 10 + (uint64_t)(*at - '0');
        *ret_decimals += is_behind;
    }
    return n > 0 ? at : NULL;
}

/* "e6", "E-2": ten to the power of. */
static bool
read_exponent(const char *at, long double *ret_factor)
{
    bool is_negative = at[1] == '-';
    const char *digits = at + 1 + (at[1] == '-' || at[1] == '+');
    uint64_t n = 0;
    unsigned decimals = 0;
    const char *end = read_digits(digits, &n, &decimals);

    if (!end || *end != '\0' || strchr(digits, '.') || n > EXPONENT_MAX) {
        return false;
    }
    for (*ret_factor = 1.0L; n > 0; n--) {
        *ret_factor *= 10;
    }
    *ret_factor = is_negative ? 1 / *ret_factor : *ret_factor;
    return true;
}

static bool
read_factor(const char *at, long double *ret_factor)
{
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (strcmp(at, suffixes[i].text) == 0) {
            *ret_factor = suffixes[i].factor;
            return true;
        }
    }
    return (*at == 'e' || *at == 'E') && read_exponent(at, ret_factor);
}

bool
quantity_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value, struct err *err)
{
    uint64_t number = 0;
    unsigned decimals = 0;
    long double factor = 1;
    const char *at = read_digits(text + (*text == '+'), &number, &decimals);

    if (!at || !read_factor(at, &factor)) {
        return err_set(err, "'%.64s' is not a quantity such as 100M or 1Gi", text);
    }
    long double value = (long double)number * factor;
    for (; decimals > 0; decimals--) {
        value /= 10;
    }
    if (value < (long double)min || value > (long double)max) {
        return err_set(err, "%.64s is not between %" PRIu64 " and %" PRIu64, text, min, max);
    }
    *ret_value = (uint64_t)value;
    *ret_value += (long double)*ret_value < value;
    return true;
}
