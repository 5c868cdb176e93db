/* Readers of plain text. Called by the decoders of kinds that a cluster has very many of. */
#include "lib/json/plain.h"

#include <string.h>

#include "lib/json/scan.h"

#define DIGITS_MAX 9

static bool
is_plain(const char *text, size_t len)
{
    bool is_good = true;

    /* Without a way out, so that the compiler may take many at once. */
    for (size_t i = 0; i < len; i++) {
        is_good &= text[i] >= 0x20 && text[i] <= 0x7e && text[i] != '\\';
    }
    return is_good;
}

static const char *
read_span(const char *text, const char *end, struct json_span *ret_span)
{
    if (text >= end || *text != '"') {
        return NULL;
    }
    const char *behind = json_skip_string(text + 1, end);
    if (!behind) {
        return NULL;
    }
    *ret_span = (struct json_span){.text = text + 1, .len = (size_t)(behind - text) - 2};
    return is_plain(ret_span->text, ret_span->len) ? behind : NULL;
}

const char *
json_plain_span(const char *text, const char *end, void *object, size_t offset)
{
    return read_span(text, end, (struct json_span *)((char *)object + offset));
}

const char *
json_plain_bool(const char *text, const char *end, void *object, size_t offset)
{
    bool *value = (bool *)((char *)object + offset);
    const char *behind = json_skip_value(text, end);
    size_t len = behind ? (size_t)(behind - text) : 0;

    if (len == 4 && memcmp(text, "true", 4) == 0) {
        *value = true;
    } else if (len == 5 && memcmp(text, "false", 5) == 0) {
        *value = false;
    } else {
        return NULL;
    }
    return behind;
}

const char *
json_plain_number(const char *text, const char *end, void *object, size_t offset)
{
    const char *behind = json_skip_value(text, end);
    uint32_t number = 0;

    if (!behind || behind - text > DIGITS_MAX || *text == '0') {
        return NULL;
    }
    for (; text < behind; text++) {
        if (*text < '0' || *text > '9') {
            return NULL;
        }
        number = number * 10 + (uint32_t)(*text - '0');
    }
    memcpy((char *)object + offset, &number, sizeof number);
    return behind;
}

static const struct json_plain_field *
find_field(const struct json_plain_field *fields, const struct json_member *member)
{
    for (; fields->key; fields++) {
        if (fields->len == member->key_len && memcmp(fields->key, member->key, fields->len) == 0) {
            return fields;
        }
    }
    return NULL;
}

static const char *
read_object(const char *text, const char *end, const struct json_plain_field *fields, bool is_whole,
            void *object)
{
    struct json_member member;
    uint32_t seen = 0;

    if (text >= end || *text++ != '{') {
        return NULL;
    }
    for (bool is_first = true; json_next_member(&text, end, is_first, &member); is_first = false) {
        const struct json_plain_field *field = find_field(fields, &member);
        if (field) {
            uint32_t bit = UINT32_C(1) << (field - fields);
            text = seen & bit ? NULL : field->read(text, end, object, field->offset);
            seen |= bit;
        } else {
            text = is_whole ? NULL : json_skip_value(text, end);
        }
        if (!text) {
            return NULL;
        }
    }
    return text;
}

const char *
json_plain_object(const char *text, const char *end, const struct json_plain_field *fields,
                  void *object)
{
    return read_object(text, end, fields, false, object);
}

const char *
json_plain_whole_object(const char *text, const char *end, const struct json_plain_field *fields,
                        void *object)
{
    return read_object(text, end, fields, true, object);
}

const char *
json_plain_list(const char *text, const char *end, json_plain_reader *each, void *object,
                size_t offset)
{
    if (text >= end || *text != '[') {
        return NULL;
    }
    text = json_skip_space(text + 1, end);
    for (bool is_first = true; text < end && *text != ']'; is_first = false) {
        if (!is_first) {
            if (*text != ',') {
                return NULL;
            }
            text = json_skip_space(text + 1, end);
        }
        text = each(text, end, object, offset);
        if (!text) {
            return NULL;
        }
        text = json_skip_space(text, end);
    }
    return text < end ? text + 1 : NULL;
}

const char *
json_plain_map(const char *text, const char *end,
               bool (*put)(void *owner, struct json_span key, struct json_span value), void *owner)
{
    struct json_member member;

    if (text >= end || *text++ != '{') {
        return NULL;
    }
    for (bool is_first = true; json_next_member(&text, end, is_first, &member); is_first = false) {
        struct json_span key = {.text = member.key, .len = member.key_len};
        struct json_span value;
        text = read_span(text, end, &value);
        if (!text || !is_plain(key.text, key.len) || !put(owner, key, value)) {
            return NULL;
        }
    }
    return text;
}
