/* The growing text buffer. */
#include "lib/base/str.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"

void
str_done(struct str *str)
{
    free(str->text);
    *str = (struct str)STR_INIT;
}

void
str_clear(struct str *str)
{
    str->len = 0;
    if (str->text) {
        str->text[0] = '\0';
    }
}

char *
str_reserve(struct str *str, size_t len)
{
    size_t need = str->len + len + 1;

    if (need > str->room) {
        size_t room = str->room ? str->room : 64;
        while (room < need) {
            room *= 2;
        }
        str->text = xrealloc(str->text, room);
        str->room = room;
    }
    str->text[str->len] = '\0';
    return str->text + str->len;
}

void
str_add_bytes(struct str *str, const void *data, size_t len)
{
    char *end = str_reserve(str, len);

    if (len > 0) {
        memcpy(end, data, len);
    }
    str->len += len;
    str->text[str->len] = '\0';
}

void
str_add(struct str *str, const char *text)
{
    str_add_bytes(str, text, strlen(text));
}

void
str_add_char(struct str *str, char c)
{
    str_add_bytes(str, &c, 1);
}

void
str_vaddf(struct str *str, const char *format, va_list args)
{
    va_list again;

    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    if (len > 0) {
        vsnprintf(str_reserve(str, (size_t)len), (size_t)len + 1, format, again);
        str->len += (size_t)len;
    }
    va_end(again);
}

void
str_addf(struct str *str, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    str_vaddf(str, format, args);
    va_end(args);
}

void
str_drop(struct str *str, size_t len)
{
    if (len >= str->len) {
        str_clear(str);
        return;
    }
    memmove(str->text, str->text + len, str->len - len + 1);
    str->len -= len;
}

const char *
str_text(const struct str *str)
{
    return str->text ? str->text : "";
}

char *
str_steal(struct str *str)
{
    char *text = str->text ? str->text : xstrdup("");

    *str = (struct str)STR_INIT;
    return text;
}
