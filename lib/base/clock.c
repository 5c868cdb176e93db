/* Clock readings. */
#include "lib/base/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t
clock_monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t
clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

void
clock_rfc3339(char *ret_text, size_t room)
{
    struct timespec now;
    struct tm utc;
    char date[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(ret_text, room, "%s.%03ldZ", date, now.tv_nsec / 1000000);
}
