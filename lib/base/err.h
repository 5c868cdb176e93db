/* One way to fail: a function returns false and leaves the reason in a caller-owned struct err.
 *
 *     if (!asn_parse(text, &asn, err)) {
 *         return err_wrap(err, "BGPPeer %s: spec.asNumber", name);
 *     }
 *
 * err_set(), err_sys() and err_wrap() have the constant value false, so compilers see that outputs
 * stay unset. A NULL err is allowed everywhere: the caller does not want the reason. */
#pragma once

#include <stdbool.h>

#include "lib/base/own.h"

#define ERR_TEXT_MAX 512

struct err {
    int code;                /* errno, a CNI code or 0; what it means is the callee's contract */
    char text[ERR_TEXT_MAX]; /* never empty after a failure; cut, not overflown */
};

#define ERR_INIT \
    {            \
        0        \
    }

/* Sets the text, code 0. */
#define err_set(err, ...) (err_set_code((err), 0, __VA_ARGS__), false)
/* Sets text and code. */
#define err_code(err, code, ...) (err_set_code((err), (code), __VA_ARGS__), false)
/* Sets the text followed by ": strerror(number)"; 'number' is a positive errno and becomes code. */
#define err_sys(err, number, ...) (err_set_errno((err), (number), __VA_ARGS__), false)
/* Puts context and ": " in front of the text that is there. */
#define err_wrap(err, ...) (err_add_context((err), __VA_ARGS__), false)

void err_set_code(struct err *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);
void err_set_errno(struct err *err, int number, const char *format, ...) PRINTF_LIKE(3, 4);
void err_add_context(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);
void err_clear(struct err *err);
