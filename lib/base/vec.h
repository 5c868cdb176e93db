/* Growing arrays by macro, for any element type:
 *
 *     VEC(struct prefix) nets = VEC_INIT;
 *     VEC_PUSH(&nets, net);
 *     VEC_FOREACH (&nets, it) { use(it); }      it points to the element
 *     VEC_DONE(&nets);
 *
 * Pointers to elements are borrowed until the next push. */
#pragma once

#include <stddef.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/own.h"

#define VEC(type)    \
    struct {         \
        type *items; \
        size_t n;    \
        size_t room; \
    }

#define VEC_INIT \
    {            \
        0        \
    }

#define VEC_GROW(vec)                                                                       \
    do {                                                                                    \
        if ((vec)->n == (vec)->room) {                                                      \
            (vec)->room = (vec)->room ? (vec)->room * 2 : 8;                                \
            (vec)->items = xreallocarray((vec)->items, (vec)->room, sizeof(*(vec)->items)); \
        }                                                                                   \
    } while (0)

#define VEC_PUSH(vec, ...)                        \
    do {                                          \
        VEC_GROW(vec);                            \
        (vec)->items[(vec)->n++] = (__VA_ARGS__); \
    } while (0)

/* Removes element i; the last one takes its place. */
#define VEC_REMOVE_SWAP(vec, i)                       \
    do {                                              \
        (vec)->items[i] = (vec)->items[(vec)->n - 1]; \
        (vec)->n--;                                   \
    } while (0)

#define VEC_DONE(vec)               \
    do {                            \
        free((vec)->items);         \
        (vec)->items = NULL;        \
        (vec)->n = (vec)->room = 0; \
    } while (0)

#define VEC_FOREACH(vec, it)                           \
    for (__typeof__(*(vec)->items) *it = (vec)->items; \
         (vec)->n > 0 && it < (vec)->items + (vec)->n; it++)
