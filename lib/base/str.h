/* A growing text buffer. Always NUL-terminated once something was added; str_text() is never NULL.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "lib/base/own.h"

struct str {
    char *text; /* NULL while nothing was added */
    size_t len; /* bytes without the NUL */
    size_t room;
};

#define STR_INIT \
    {            \
        0        \
    }

void str_done(struct str *str);  /* frees, leaves STR_INIT */
void str_clear(struct str *str); /* keeps the memory */
void str_add(struct str *str, const char *text);
void str_add_char(struct str *str, char c);
void str_add_bytes(struct str *str, const void *data, size_t len);
void str_addf(struct str *str, const char *format, ...) PRINTF_LIKE(2, 3);
void str_vaddf(struct str *str, const char *format, va_list args) PRINTF_LIKE(2, 0);
/* Makes room for 'len' more bytes and returns where they go; str->len is the caller's to raise. */
char *str_reserve(struct str *str, size_t len);
/* Drops the first 'len' bytes. */
void str_drop(struct str *str, size_t len);
const char *str_text(const struct str *str); /* borrowed until the next change */
char *str_steal(struct str *str);            /* the caller frees; 'str' is empty afterwards */
