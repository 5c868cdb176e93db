/* The skip-scanner. Used by lib/kube to take watch events apart and by lib/feed to cut objects down
 * to what the decoders read, before json-c sees them.
 *
 * SSE2 is part of x86-64, so there is no dispatch; elsewhere the plain loops do. */
#include "lib/json/scan.h"

#include <stdint.h>
#include <string.h>

#include "lib/json/json.h"

#ifdef __SSE2__
#include <emmintrin.h>

static unsigned
quotes_and_escapes(const char *text)
{
    __m128i bytes;
    memcpy(&bytes, text, sizeof bytes);
    __m128i hits = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(hits);
}

/* '[' and '{', ']' and '}' differ in the bit 0x20 only. */
static unsigned
quotes_and_brackets(const char *text)
{
    __m128i bytes;
    memcpy(&bytes, text, sizeof bytes);
    __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    __m128i hits = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                _mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')),
                                             _mm_cmpeq_epi8(folded, _mm_set1_epi8('}'))));
    return (unsigned)_mm_movemask_epi8(hits);
}

/* What the bytes of a block are, a bit each. */
struct classes {
    uint64_t quotes, escapes, open, close;
};

static void
classify(const char *text, struct classes *classes)
{
    for (unsigned shift = 0; shift < JSON_BLOCK; shift += sizeof(__m128i)) {
        __m128i bytes;
        memcpy(&bytes, text + shift, sizeof bytes);
        __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        unsigned quotes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
        unsigned escapes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        unsigned open = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')));
        unsigned close = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(folded, _mm_set1_epi8('}')));
        classes->quotes |= (uint64_t)quotes << shift;
        classes->escapes |= (uint64_t)escapes << shift;
        classes->open |= (uint64_t)open << shift;
        classes->close |= (uint64_t)close << shift;
    }
}

bool
json_scan_block(const char *text, bool *is_inside, struct json_brackets *ret_brackets)
{
    struct classes classes = {0};

    classify(text, &classes);
    if (classes.escapes) {
        return false;
    }
    /* A byte is inside when the quotes up to it are odd in number: each step doubles how far back
     * a bit looks. */
    uint64_t inside = classes.quotes;
    for (unsigned reach = 1; reach < JSON_BLOCK; reach *= 2) {
        inside ^= inside << reach;
    }
    if (*is_inside) {
        inside = ~inside;
    }
    *is_inside = inside >> (JSON_BLOCK - 1);
    ret_brackets->open = classes.open & ~inside;
    ret_brackets->close = classes.close & ~inside;
    return true;
}
#define STEP 16
#else
#define STEP 0

bool
json_scan_block(const char *text, bool *is_inside, struct json_brackets *ret_brackets)
{
    (void)text;
    (void)is_inside;
    (void)ret_brackets;
    return false;
}
#endif

/* First '"' or '\\' at or behind text. */
static const char *
next_in_string(const char *text, const char *end)
{
#ifdef __SSE2__
    while (end - text >= STEP) {
        unsigned hits = quotes_and_escapes(text);
        if (hits) {
            return text + __builtin_ctz(hits);
        }
        text += STEP;
    }
#endif
    while (text < end && *text != '"' && *text != '\\') {
        text++;
    }
    return text;
}

const char *
json_scan_structural(const char *text, const char *end)
{
#ifdef __SSE2__
    while (end - text >= STEP) {
        unsigned hits = quotes_and_brackets(text);
        if (hits) {
            return text + __builtin_ctz(hits);
        }
        text += STEP;
    }
#endif
    while (text < end && *text != '"' && (*text | 0x20) != '{' && (*text | 0x20) != '}') {
        text++;
    }
    return text;
}

const char *
json_skip_string(const char *text, const char *end)
{
    for (;;) {
        text = next_in_string(text, end);
        if (text >= end) {
            return NULL;
        }
        if (*text == '"') {
            return text + 1;
        }
        if (end - text < 2) {
            return NULL;
        }
        text += 2;
    }
}

const char *
json_scan_string(const char *text, const char *end, bool *is_escaped, bool *is_inside)
{
    if (*is_escaped && text < end) {
        *is_escaped = false;
        text++;
    }
    while ((text = next_in_string(text, end)) < end) {
        if (*text == '"') {
            *is_inside = false;
            return text + 1;
        }
        if (end - text == 1) {
            *is_escaped = true;
            return end;
        }
        text += 2;
    }
    return end;
}

const char *
json_skip_space(const char *text, const char *end)
{
    while (text < end && (*text == ' ' || *text == '\n' || *text == '\t' || *text == '\r')) {
        text++;
    }
    return text;
}

/* Goes over whole blocks while depth stays above zero; returns where that ends, outside of a
 * string, or NULL when the text ends inside of one. */
static const char *
skip_blocks(const char *text, const char *end, size_t *depth)
{
    bool is_inside = false;
    bool was_inside = false;
    struct json_brackets brackets;

    while (end - text >= JSON_BLOCK && json_scan_block(text, &is_inside, &brackets)) {
        size_t n_closed = (size_t)__builtin_popcountll(brackets.close);
        if (n_closed >= *depth) {
            /* It may end here; only the order of the brackets says. */
            is_inside = was_inside;
            break;
        }
        *depth += (size_t)__builtin_popcountll(brackets.open) - n_closed;
        was_inside = is_inside;
        text += JSON_BLOCK;
    }
    return is_inside ? json_skip_string(text, end) : text;
}

/* 'text' is behind the opening bracket. */
static const char *
skip_container(const char *text, const char *end)
{
    size_t depth = 1;

    while (text && (text = skip_blocks(text, end, &depth))) {
        const char *stop = end - text > JSON_BLOCK ? text + JSON_BLOCK : end;
        while (text && text < stop) {
            text = json_scan_structural(text, end);
            if (text >= end) {
                return NULL;
            }
            char c = *text++;
            if (c == '"') {
                text = json_skip_string(text, end);
            } else if ((c | 0x20) == '{') {
                depth++;
            } else if (--depth == 0) {
                return text;
            }
        }
        if (text >= end) {
            return NULL;
        }
    }
    return NULL;
}

const char *
json_skip_value(const char *text, const char *end)
{
    if (text >= end) {
        return NULL;
    }
    if (*text == '"') {
        return json_skip_string(text + 1, end);
    }
    if ((*text | 0x20) == '{') {
        return skip_container(text + 1, end);
    }
    const char *start = text;
    while (text < end && !strchr(",]} \n\t\r:\"{[", *text)) {
        text++;
    }
    return text > start ? text : NULL;
}

bool
json_next_member(const char **text, const char *end, bool is_first, struct json_member *ret_member)
{
    const char *at = json_skip_space(*text, end);

    *text = NULL;
    if (at < end && *at == '}') {
        *text = at + 1;
        return false;
    }
    if (!is_first) {
        if (at >= end || *at != ',') {
            return false;
        }
        at = json_skip_space(at + 1, end);
    }
    if (at >= end || *at != '"') {
        return false;
    }
    struct json_member member = {.key = at + 1};
    at = json_skip_string(at + 1, end);
    if (!at) {
        return false;
    }
    member.key_len = (size_t)(at - 1 - member.key);
    at = json_skip_space(at, end);
    if (at >= end || *at != ':') {
        return false;
    }
    member.value = *text = json_skip_space(at + 1, end);
    *ret_member = member;
    return true;
}

static const struct json_keep *
find_keep(const struct json_keep *keep, const struct json_member *member)
{
    for (; keep->key; keep++) {
        if (keep->len == member->key_len && memcmp(keep->key, member->key, keep->len) == 0) {
            return keep;
        }
    }
    return NULL;
}

/* All of them return the byte behind what they read, NULL when it is broken. They go as deep as the
 * table, no deeper, and pass over each byte once: what is kept in part is not skipped first. */
static const char *prune_object(const char *text, const char *end, const struct json_keep *keep,
                                struct str *out);

static const char *
keep_value(const char *text, const char *end, struct str *out)
{
    const char *value_end = json_skip_value(text, end);

    if (value_end) {
        str_add_bytes(out, text, (size_t)(value_end - text));
    }
    return value_end;
}

/* 'text' is behind the opening bracket. Lists inside lists are kept whole. */
static const char *
prune_array(const char *text, const char *end, const struct json_keep *keep, struct str *out)
{
    str_add_char(out, '[');
    text = json_skip_space(text, end);
    for (bool is_first = true; text < end && *text != ']'; is_first = false) {
        if (!is_first) {
            if (*text != ',') {
                return NULL;
            }
            str_add_char(out, ',');
            text = json_skip_space(text + 1, end);
        }
        text = text < end && *text == '{' ? prune_object(text + 1, end, keep, out)
                                          : keep_value(text, end, out);
        if (!text) {
            return NULL;
        }
        text = json_skip_space(text, end);
    }
    str_add_char(out, ']');
    return text < end ? text + 1 : NULL;
}

static const char *
prune_value(const char *text, const char *end, const struct json_keep *keep, struct str *out)
{
    if (keep && text < end && *text == '{') {
        return prune_object(text + 1, end, keep, out);
    }
    if (keep && text < end && *text == '[') {
        return prune_array(text + 1, end, keep, out);
    }
    return keep_value(text, end, out);
}

/* 'text' is behind the opening brace. */
static const char *
prune_object(const char *text, const char *end, const struct json_keep *keep, struct str *out)
{
    struct json_member member;
    bool is_first_kept = true;

    str_add_char(out, '{');
    for (bool is_first = true; json_next_member(&text, end, is_first, &member); is_first = false) {
        const struct json_keep *found = find_keep(keep, &member);
        if (!found) {
            text = json_skip_value(text, end);
        } else {
            if (!is_first_kept) {
                str_add_char(out, ',');
            }
            is_first_kept = false;
            str_add_char(out, '"');
            str_add_bytes(out, member.key, member.key_len);
            str_add_bytes(out, "\":", 2);
            text = prune_value(text, end, found->inside, out);
        }
        if (!text) {
            return NULL;
        }
    }
    str_add_char(out, '}');
    return text;
}

bool
json_prune(const char *text, size_t len, const struct json_keep *keep, struct str *out,
           struct err *err)
{
    const char *end = text + len;
    const char *at = json_skip_space(text, end);

    if (at >= end || *at != '{') {
        return err_set(err, "not a JSON object");
    }
    at = prune_object(at + 1, end, keep, out);
    if (!at || json_skip_space(at, end) != end) {
        return err_set(err, "not JSON: brackets, quotes or commas are wrong");
    }
    return true;
}

bool
json_find(const char *text, size_t len, const char *key, const char **ret_value, size_t *ret_len)
{
    const char *end = text + len;
    const char *at = json_skip_space(text, end);
    size_t key_len = strlen(key);
    struct json_member member;

    if (at >= end || *at++ != '{') {
        return false;
    }
    for (bool is_first = true; json_next_member(&at, end, is_first, &member); is_first = false) {
        at = json_skip_value(member.value, end);
        if (!at) {
            return false;
        }
        if (member.key_len == key_len && memcmp(member.key, key, key_len) == 0) {
            *ret_value = member.value;
            *ret_len = (size_t)(at - member.value);
            return true;
        }
    }
    return false;
}
