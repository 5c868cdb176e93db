/* Walks JSON text without building trees, at a few GB/s: what lets 150,000 pods through. It jumps
 * over what nobody asked for by quotes and brackets alone; what it hands out is then read by
 * json_parse(), which is the judge of whether it is JSON. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* A member to keep. 'inside' NULL: the whole value; else only these of its members, or of those of
 * each element of a list (what is neither object nor list of objects is kept whole, so that its
 * decoder complains). Tables end with key NULL. */
struct json_keep {
    const char *key;
    size_t len;
    const struct json_keep *inside;
};
#define JSON_KEEP(name, table)                                    \
    {                                                             \
        .key = (name), .len = sizeof(name) - 1, .inside = (table) \
    }
#define JSON_KEEP_END \
    {                 \
        .key = NULL   \
    }

/* Both: text from the first byte behind the opening quote or of the value; returns the first byte
 * behind it, NULL when it does not end before 'end'. Reads nothing at or behind 'end'. */
const char *json_skip_string(const char *text, const char *end);
const char *json_skip_value(const char *text, const char *end);

/* The same for text that comes in pieces. The first quote or bracket at or behind 'text', or 'end'.
 */
const char *json_scan_structural(const char *text, const char *end);
/* From inside a string: the first byte behind it (*is_inside becomes false), or 'end'. *is_escaped
 * carries a backslash at the end of a piece over to the next one. */
const char *json_scan_string(const char *text, const char *end, bool *is_escaped, bool *is_inside);
/* The brackets outside of strings among JSON_BLOCK bytes, a bit each; *is_inside (a string) moves
 * from the first byte to behind the last. False: not to be had for these bytes (a backslash is
 * among them, or the machine lacks the instructions), take them one by one. Not for text that a
 * backslash precedes. */
#define JSON_BLOCK 64
struct json_brackets {
    uint64_t open, close;
};
bool json_scan_block(const char *text, bool *is_inside, struct json_brackets *ret_brackets);

/* A member of an object under way. */
struct json_member {
    const char *key; /* behind the quote, as it is spelled */
    size_t key_len;
    const char *value;
};
/* The members one after the other: *text is behind the opening brace or, later, behind the value
 * of the member before; the caller moves it from the value to behind it. False at the end of the
 * object (*text is then behind the brace) and, with *text NULL, when this is no object. */
bool json_next_member(const char **text, const char *end, bool is_first,
                      struct json_member *ret_member);
const char *json_skip_space(const char *text, const char *end);

/* Appends the object without the members that 'keep' does not name. Members are found by their
 * plain spelling: a key written with escapes is not recognised. */
MUST_CHECK bool json_prune(const char *text, size_t len, const struct json_keep *keep,
                           struct str *out, struct err *err);
/* The text of one member of an object; the first when there are several. False when there is none
 * or the text is no object. */
bool json_find(const char *text, size_t len, const char *key, const char **ret_value,
               size_t *ret_len);
