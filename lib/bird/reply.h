/* BIRD's control protocol, reading side (BIRD 2 manual, "Remote control"; doc/reply_codes): lines
 * "NNNN text" end a reply, "NNNN-text" belong to one that goes on, " text" repeats the code of the
 * line before, "+text" comes unasked. Codes: 0xxx done, 1xxx data, 2xxx headings, 8xxx the command
 * failed, 9xxx the command was not understood. Pure: bytes in, replies out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"

#define BIRD_LINE_MAX ((size_t)64 * 1024)
#define BIRD_REPLY_MAX ((size_t)64 * 1024 * 1024)

struct bird_line {
    int code;
    char *text; /* without code and line end */
};

struct bird_reply {
    int code; /* of the last line; 0 and err set: no answer */
    VEC(struct bird_line) lines;
    struct err err; /* no answer: why; 8xxx and 9xxx: what BIRD said */
};

enum bird_class {
    BIRD_NO_ANSWER,
    BIRD_DONE,        /* 0xxx, 1xxx, 2xxx */
    BIRD_FAILED,      /* 8xxx */
    BIRD_NOT_COMMAND, /* 9xxx */
};

enum bird_class bird_reply_class(const struct bird_reply *reply);
/* All texts, one a line: for logs and errors. */
void bird_reply_text(const struct bird_reply *reply, struct str *out);
void bird_reply_done(struct bird_reply *reply);

struct bird_parser {
    struct str input;
    struct bird_reply reply; /* so far */
    size_t reply_len;
    int last_code; /* of the line before; -1: none in this reply */
};

void bird_parser_init(struct bird_parser *parser);
void bird_parser_done(struct bird_parser *parser);
/* Adds bytes as they arrive, in any pieces. */
void bird_parser_add(struct bird_parser *parser, const void *data, size_t len);
/* Takes the next complete reply; the caller gives it to bird_reply_done(). ret_ready false: more
 * bytes are needed. False: this is not BIRD talking; the connection is of no use any more. */
MUST_CHECK bool bird_parser_next(struct bird_parser *parser, bool *ret_ready,
                                 struct bird_reply *ret_reply, struct err *err);
