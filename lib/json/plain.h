/* Reads an object straight from its text, without a tree, as long as it is plain: strings of
 * printable ASCII without escapes, small numbers, no null, no member twice. That is what nearly all
 * objects of a cluster are, and it takes a tenth of the time.
 *
 * All of them take the text from the first byte of the value and return the byte behind it, or NULL
 * for "not plain". That is no verdict: json_parse() and a decoder are then to be asked. What
 * json_parse() refuses, these refuse; members nobody asked for are jumped over as json_prune()
 * jumps over them. Nothing at or behind 'end' is read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A string in the text, not terminated; NULL: it was not there. */
struct json_span {
    const char *text;
    size_t len;
};

/* Reads the value into the place 'offset' bytes into 'object'. */
typedef const char *json_plain_reader(const char *text, const char *end, void *object,
                                      size_t offset);

/* Tables end with key NULL and have at most 32 rows. */
struct json_plain_field {
    const char *key;
    size_t len;
    json_plain_reader *read;
    size_t offset;
};
#define JSON_PLAIN(name, reader, place)                                              \
    {                                                                                \
        .key = (name), .len = sizeof(name) - 1, .read = (reader), .offset = (place), \
    }
#define JSON_PLAIN_END \
    {                  \
        .key = NULL    \
    }

json_plain_reader json_plain_span;   /* a string, into a struct json_span */
json_plain_reader json_plain_bool;   /* into a bool */
json_plain_reader json_plain_number; /* 1 to 999,999,999, into a uint32_t */

const char *json_plain_object(const char *text, const char *end,
                              const struct json_plain_field *fields, void *object);
/* The same; a member that is not in the table is not plain. */
const char *json_plain_whole_object(const char *text, const char *end,
                                    const struct json_plain_field *fields, void *object);
const char *json_plain_list(const char *text, const char *end, json_plain_reader *each,
                            void *object, size_t offset);
/* An object of strings with keys of any name: put() is told each; false from it is "not plain". Who
 * gives a key twice is not noticed. */
const char *json_plain_map(const char *text, const char *end,
                           bool (*put)(void *owner, struct json_span key, struct json_span value),
                           void *owner);
