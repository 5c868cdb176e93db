/* A multiply-fold hash, eight bytes a step, with a seed drawn once per process. */
#include "lib/base/hash.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static uint64_t
seed(void)
{
    static uint64_t value;

    if (value == 0 && getrandom(&value, sizeof value, GRND_NONBLOCK) != (ssize_t)sizeof value) {
        value = 0x9e3779b97f4a7c15ULL ^ (uint64_t)getpid();
    }
    return value | 1;
}

static uint64_t
fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t
hash_bytes(const void *data, size_t len)
{
    const unsigned char *bytes = data;
    uint64_t hash = seed() ^ len;

    while (len >= 8) {
        uint64_t word = 0;
        memcpy(&word, bytes, 8);
        hash = fold(hash ^ word, 0xa0761d6478bd642fULL);
        bytes += 8;
        len -= 8;
    }
    uint64_t tail = 0;
    if (len > 0) {
        memcpy(&tail, bytes, len);
    }
    return fold(hash ^ tail, 0xe7037ed1a0b428dbULL);
}
