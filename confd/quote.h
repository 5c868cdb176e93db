/* The one place that decides what may be written into BIRD's configuration.
 *
 * BIRD 2.0.12: strings have no escapes, so '"' and control characters cannot occur in them; symbols
 * have at most 64 characters, those with '-', '.' or ':' stand in single quotes, and quoting does
 * not turn a keyword into a symbol, so generated names start with a prefix that no keyword has. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

#define QUOTE_SYMBOL_MAX 64

/* Appends "<prefix><name>" as a symbol. Characters that no symbol can hold become '_'; a name that
 * was changed or cut ends in '_' and 8 hex digits of its hash, so it stays distinct and stable. */
void quote_symbol(const char *prefix, const char *name, struct str *out);
/* Appends text for a comment: printable ASCII only, at most 200 characters. */
void quote_comment(const char *text, struct str *out);
/* For what is put between double quotes: file paths, interface patterns. */
MUST_CHECK bool quote_string_ok(const char *text, struct err *err);
