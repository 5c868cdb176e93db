/* Error texts. Values quoted in them may come from the API, so control characters are replaced:
 * an error text is always one printable line. */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void
make_printable(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
}

void
err_set_code(struct err *err, int code, const char *format, ...)
{
    va_list args;

    if (!err) {
        return;
    }
    /* The arguments may point into the old text. */
    char text[ERR_TEXT_MAX];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_printable(text);
    memcpy(err->text, text, sizeof text);
    err->code = code;
}

void
err_set_errno(struct err *err, int number, const char *format, ...)
{
    va_list args;
    char text[ERR_TEXT_MAX];

    if (!err) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set_code(err, number, "%s: %s", text, strerror(number));
}

void
err_add_context(struct err *err, const char *format, ...)
{
    va_list args;
    char text[ERR_TEXT_MAX];

    if (!err) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set_code(err, err->code, "%s: %s", text, err->text);
}

void
err_clear(struct err *err)
{
    if (err) {
        err->code = 0;
        err->text[0] = '\0';
    }
}
