/* The streaming splitter, a state machine over bytes with one fast path: inside a value it jumps
 * from quote to bracket. Called by lib/kube/watch.c from curl's write callback. */
#include "lib/kube/split.h"

#include <string.h>

#include "lib/base/own.h"
#include "lib/json/scan.h"

void
split_init(struct split *split, enum split_mode mode, const struct split_ops *ops, void *owner)
{
    *split = (struct split){.mode = mode, .ops = ops, .owner = owner};
}

void
split_done(struct split *split)
{
    str_done(&split->pending);
}

static bool
bad(const struct split *split, const char *at, const char *start, const char *wanted,
    struct err *err)
{
    return err_set(err, "not JSON at byte %llu: %s is wanted, here is '%c'",
                   (unsigned long long)(split->n_bytes + (uint64_t)(at - start)), wanted, *at);
}

static bool
give(struct split *split, const char *json, size_t len, struct err *err)
{
    switch (split->capture) {
    case SPLIT_SKIP:
        return true;
    case SPLIT_OBJECT:
        split->n_objects++;
        return split->ops->object(split->owner, json, len, err);
    case SPLIT_METADATA:
        split->has_metadata = true;
        return split->ops->metadata(split->owner, json, len, err);
    }
    return true;
}

static bool
hold(struct split *split, const char *data, size_t len, struct err *err)
{
    size_t max = split->capture == SPLIT_METADATA ? SPLIT_METADATA_MAX : SPLIT_OBJECT_MAX;

    if (split->capture == SPLIT_SKIP) {
        return true;
    }
    if (len > max || split->pending.len > max - len) {
        return err_set(err, "an object of more than %zu bytes", max);
    }
    str_add_bytes(&split->pending, data, len);
    return true;
}

/* The value under way ended before 'end'; its part in this chunk begins at 'from'. */
static bool
finish(struct split *split, const char *from, const char *end, struct err *err)
{
    split->state = split->next;
    if (split->capture == SPLIT_SKIP) {
        return true;
    }
    if (split->pending.len == 0) {
        return give(split, from, (size_t)(end - from), err);
    }
    if (!hold(split, from, (size_t)(end - from), err)) {
        return false;
    }
    bool good = give(split, split->pending.text, split->pending.len, err);
    str_clear(&split->pending);
    /* One big object must not cost its size for the life of the watch. */
    if (split->pending.room > 256 * 1024UL) {
        str_done(&split->pending);
    }
    return good;
}

static bool
open_bracket(struct split *split, char c, struct err *err)
{
    if (split->depth == SPLIT_DEPTH_MAX) {
        return err_set(err, "an object nested deeper than %d", SPLIT_DEPTH_MAX);
    }
    split->depth++;
    split->kinds = split->kinds << 1 | (c == '{');
    return true;
}

static bool
close_bracket(struct split *split, char c, struct err *err)
{
    if ((split->kinds & 1) != (c == '}')) {
        return err_set(err, "not JSON: '%c' closes what it did not open", c);
    }
    split->depth--;
    split->kinds >>= 1;
    return true;
}

static bool
bracket(struct split *split, char c, struct err *err)
{
    return (c | 0x20) == '{' ? open_bracket(split, c, err) : close_bracket(split, c, err);
}

/* Takes whole blocks from *at, up to the value's end or to bytes that must be taken one by one. */
static bool
run_blocks(struct split *split, const char **at, const char *end, struct err *err)
{
    struct json_brackets brackets;

    while (split->depth > 0 && !split->is_escaped && end - *at >= JSON_BLOCK &&
           json_scan_block(*at, &split->is_in_string, &brackets)) {
        const char *block = *at;
        *at += JSON_BLOCK;
        for (uint64_t left = brackets.open | brackets.close; left; left &= left - 1) {
            const char *found = block + __builtin_ctzll(left);
            if (!bracket(split, *found, err)) {
                return false;
            }
            if (split->depth == 0) {
                split->is_in_string = false;
                *at = found + 1;
                return true;
            }
        }
    }
    return true;
}

/* One string or bracket from *at; it may end in the middle of a string. */
static bool
run_token(struct split *split, const char **at, const char *end, struct err *err)
{
    if (split->is_in_string) {
        *at = json_scan_string(*at, end, &split->is_escaped, &split->is_in_string);
        return true;
    }
    *at = json_scan_structural(*at, end);
    if (*at >= end) {
        return true;
    }
    char c = *(*at)++;
    if (c == '"') {
        split->is_in_string = true;
        return true;
    }
    return bracket(split, c, err);
}

/* Runs through a value from *at; stops behind it with the state 'next', or at the end. */
static bool
run_inside(struct split *split, const char **at, const char *end, struct err *err)
{
    bool is_ended = false;

    while (*at < end && !is_ended) {
        if (!run_blocks(split, at, end, err)) {
            return false;
        }
        const char *stop = end - *at > JSON_BLOCK ? *at + JSON_BLOCK : end;
        is_ended = split->depth == 0 && !split->is_in_string;
        while (*at < stop && !is_ended) {
            if (!run_token(split, at, stop, err)) {
                return false;
            }
            is_ended = split->depth == 0 && !split->is_in_string;
        }
    }
    if (is_ended) {
        split->state = split->next;
    }
    return true;
}

/* Begins the value at c; the caller has set 'next' and 'capture'. */
static bool
begin_value(struct split *split, char c, struct err *err)
{
    split->depth = 0;
    split->kinds = 0;
    split->state = SPLIT_INSIDE;
    if (c == '"') {
        split->is_in_string = true;
        return true;
    }
    if ((c | 0x20) == '{') {
        return open_bracket(split, c, err);
    }
    if (c == '-' || (c >= '0' && c <= '9') || c == 't' || c == 'f' || c == 'n') {
        split->state = SPLIT_SCALAR;
        return true;
    }
    return err_set(err, "not JSON: a value cannot begin with '%c'", c);
}

static bool
is_key(const struct split *split, const char *key)
{
    return split->key_len == strlen(key) && memcmp(split->key, key, split->key_len) == 0;
}

/* The first byte of a value of the outermost object. */
static bool
begin_member(struct split *split, char c, struct err *err)
{
    split->next = SPLIT_AFTER_VALUE;
    split->capture = SPLIT_SKIP;
    if (is_key(split, "items")) {
        if (split->has_items) {
            return err_set(err, "items twice in one list");
        }
        split->has_items = true;
        if (c == '[') {
            split->state = SPLIT_ITEM_OR_END;
            return true;
        }
        if (c != 'n') {
            return err_set(err, "items is not a list");
        }
    }
    if (is_key(split, "metadata") && c == '{') {
        split->capture = SPLIT_METADATA;
    }
    return begin_value(split, c, err);
}

static bool
begin_object(struct split *split, char c, enum split_state next, struct err *err)
{
    if (c != '{') {
        return err_set(err, "object %llu is none: it begins with '%c'",
                       (unsigned long long)split->n_objects, c);
    }
    split->next = next;
    split->capture = SPLIT_OBJECT;
    return begin_value(split, c, err);
}

static void
key_byte(struct split *split, char c)
{
    if (split->is_escaped) {
        split->is_escaped = false;
    } else if (c == '\\') {
        split->is_escaped = true;
    } else if (c == '"') {
        split->state = SPLIT_COLON;
        return;
    }
    /* Longer than any key of interest: it only must not look like one. */
    if (split->key_len < sizeof split->key) {
        split->key[split->key_len++] = c;
    }
}

/* What each state does with a byte that is no white space. Sets *ret_wanted and returns false when
 * the byte is not one of those the state takes. */
static bool
step(struct split *split, char c, const char **ret_wanted)
{
    static const struct {
        const char *takes; /* byte and, at the same place in 'goes', the state it leads to */
        enum split_state goes[2];
        const char *wanted;
    } table[] = {
        [SPLIT_KEY_OR_END] = {"\"}", {SPLIT_KEY, SPLIT_DONE}, "a key or '}'"},
        [SPLIT_KEY_START] = {"\"", {SPLIT_KEY}, "a key"},
        [SPLIT_COLON] = {":", {SPLIT_VALUE_START}, "':'"},
        [SPLIT_AFTER_VALUE] = {",}", {SPLIT_KEY_START, SPLIT_DONE}, "',' or '}'"},
        [SPLIT_AFTER_ITEM] = {",]", {SPLIT_ITEM_START, SPLIT_AFTER_VALUE}, "',' or ']'"},
        [SPLIT_DONE] = {"", {0}, "the end"},
    };
    const char *found = strchr(table[split->state].takes, c);

    if (c == '\0' || !found) {
        *ret_wanted = table[split->state].wanted;
        return false;
    }
    split->state = table[split->state].goes[found - table[split->state].takes];
    if (split->state == SPLIT_KEY) {
        split->key_len = 0;
    }
    return true;
}

/* A byte outside of values, keys and white space. Begins a value (state SPLIT_INSIDE or
 * SPLIT_SCALAR) or moves on. */
static bool
outside(struct split *split, const char *at, const char *start, struct err *err)
{
    const char *wanted = "a value";

    switch (split->state) {
    case SPLIT_START:
        if (split->mode == SPLIT_STREAM) {
            return begin_object(split, *at, SPLIT_START, err);
        }
        if (*at != '{') {
            return bad(split, at, start, "'{'", err);
        }
        split->state = SPLIT_KEY_OR_END;
        return true;
    case SPLIT_VALUE_START:
        return begin_member(split, *at, err);
    case SPLIT_ITEM_OR_END:
        if (*at == ']') {
            split->state = SPLIT_AFTER_VALUE;
            return true;
        }
        return begin_object(split, *at, SPLIT_AFTER_ITEM, err);
    case SPLIT_ITEM_START:
        return begin_object(split, *at, SPLIT_AFTER_ITEM, err);
    case SPLIT_KEY_OR_END:
    case SPLIT_KEY_START:
    case SPLIT_COLON:
    case SPLIT_AFTER_VALUE:
    case SPLIT_AFTER_ITEM:
    case SPLIT_DONE:
        return step(split, *at, &wanted) || bad(split, at, start, wanted, err);
    case SPLIT_KEY:
    case SPLIT_INSIDE:
    case SPLIT_SCALAR:
        break; /* not outside */
    }
    return bad(split, at, start, wanted, err);
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool
feed_chunk(struct split *split, const char *data, const char *end, struct err *err)
{
    const char *from = data; /* where the captured value begins in this chunk */
    const char *at = data;

    while (at < end) {
        if (split->state == SPLIT_INSIDE) {
            if (!run_inside(split, &at, end, err)) {
                return false;
            }
            if (split->state != SPLIT_INSIDE && !finish(split, from, at, err)) {
                return false;
            }
        } else if (split->state == SPLIT_SCALAR) {
            if (is_space(*at) || *at == ',' || *at == '}') {
                split->state = split->next;
            } else {
                at++;
            }
        } else if (split->state == SPLIT_KEY) {
            key_byte(split, *at++);
        } else if (is_space(*at)) {
            at++;
        } else {
            from = at;
            if (!outside(split, at, data, err)) {
                return false;
            }
            at++;
        }
    }
    return split->state != SPLIT_INSIDE || hold(split, from, (size_t)(end - from), err);
}

bool
split_feed(struct split *split, const char *data, size_t len, struct err *err)
{
    bool good = feed_chunk(split, data, data + len, err);

    split->n_bytes += len;
    return good;
}

bool
split_end(const struct split *split, struct err *err)
{
    if (split->state != (split->mode == SPLIT_LIST ? SPLIT_DONE : SPLIT_START)) {
        return err_set(err, "it ends in the middle, after %llu bytes",
                       (unsigned long long)split->n_bytes);
    }
    if (split->mode == SPLIT_LIST && (!split->has_items || !split->has_metadata)) {
        return err_set(err, "not a list: no %s", split->has_items ? "metadata" : "items");
    }
    return true;
}
