/* The aborting allocator: a node agent without memory cannot do anything sensible, and half-built
 * state is worse than a restart, which leaves the kernel as it is. */
#include "lib/base/alloc.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/own.h"

static _Noreturn void
out_of_memory(size_t size)
{
    fprintf(stderr, "out of memory: %zu bytes wanted\n", size);
    abort();
}

void *
xmalloc(size_t size)
{
    void *memory = malloc(size ? size : 1);

    if (!memory) {
        out_of_memory(size);
    }
    return memory;
}

void *
xcalloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);

    if (!memory) {
        out_of_memory(count * size);
    }
    return memory;
}

void *
xrealloc(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);

    if (!memory) {
        out_of_memory(size);
    }
    return memory;
}

void *
xreallocarray(void *old, size_t count, size_t size)
{
    size_t bytes = 0;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        out_of_memory(SIZE_MAX);
    }
    return xrealloc(old, bytes);
}

char *
xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *
xstrndup(const char *text, size_t len)
{
    char *copy = xmalloc(len + 1);

    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void *
xmemdup(const void *data, size_t len)
{
    void *copy = xmalloc(len);

    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

void
own_free_pointer(void *pointer_to_pointer)
{
    void **pointer = pointer_to_pointer;

    free(*pointer);
}

void
own_close_fd(const int *fd)
{
    int saved = errno;

    if (*fd >= 0) {
        close(*fd);
    }
    errno = saved;
}
