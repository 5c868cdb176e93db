/* Ownership by scope: AUTO(str) struct str text = STR_INIT; calls str_done(&text) when the scope
 * ends, AUTO_FREE frees a plain pointer. MUST_CHECK marks results that may not be ignored. */
#pragma once

#include <stdlib.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define AUTO(type) __attribute__((cleanup(type##_done)))
#define AUTO_FREE __attribute__((cleanup(own_free_pointer)))
#define AUTO_FD __attribute__((cleanup(own_close_fd)))

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

void own_free_pointer(void *pointer_to_pointer);
void own_close_fd(const int *fd); /* ignores a negative descriptor, keeps errno */
