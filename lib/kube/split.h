/* Finds the objects in a stream of JSON as it arrives, in chunks of any size: the items of a list,
 * or the events of a watch. Nothing but the object under way is held.
 *
 * It judges brackets, quotes and the outermost members; whether an object is JSON inside, the
 * reader of the object says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum split_mode {
    SPLIT_LIST,   /* one object; each element of its member "items", and its member "metadata" */
    SPLIT_STREAM, /* objects one after the other */
};

#define SPLIT_OBJECT_MAX ((size_t)8 * 1024 * 1024) /* etcd takes 1.5 MiB */
#define SPLIT_METADATA_MAX ((size_t)64 * 1024)
#define SPLIT_DEPTH_MAX 64

/* Texts are borrowed for the call. False with err ends the stream. */
struct split_ops {
    bool (*object)(void *owner, const char *json, size_t len, struct err *err);
    bool (*metadata)(void *owner, const char *json, size_t len, struct err *err); /* SPLIT_LIST */
};

/* Where in the grammar the next byte stands. */
enum split_state {
    SPLIT_START,
    SPLIT_KEY_OR_END,
    SPLIT_KEY_START,
    SPLIT_KEY,
    SPLIT_COLON,
    SPLIT_VALUE_START,
    SPLIT_AFTER_VALUE,
    SPLIT_ITEM_OR_END,
    SPLIT_ITEM_START,
    SPLIT_AFTER_ITEM,
    SPLIT_INSIDE, /* in a value; its end is found by depth and quotes */
    SPLIT_SCALAR,
    SPLIT_DONE,
};

enum split_capture {
    SPLIT_SKIP,
    SPLIT_OBJECT,
    SPLIT_METADATA
};

struct split {
    enum split_mode mode;
    const struct split_ops *ops;
    void *owner;
    enum split_state state;
    enum split_state next; /* after the value under way */
    enum split_capture capture;
    bool is_in_string, is_escaped;
    bool has_items, has_metadata;
    unsigned depth;
    uint64_t kinds; /* one bit a level: 1 = object, 0 = array; the innermost lowest */
    char key[16];
    size_t key_len;
    uint64_t n_objects;
    uint64_t n_bytes;
    struct str pending; /* what arrived of the value under way */
};

void split_init(struct split *split, enum split_mode mode, const struct split_ops *ops,
                void *owner);
void split_done(struct split *split);
/* False: the stream is not what it should be, or an op refused; feed no more. */
MUST_CHECK bool split_feed(struct split *split, const char *data, size_t len, struct err *err);
/* The stream has ended: was it at a point where it may? A list must have had its items (an array
 * or null) and its metadata. */
MUST_CHECK bool split_end(const struct split *split, struct err *err);
