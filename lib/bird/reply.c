/* Splits BIRD's answers into replies. Used by client.c. */
#include "lib/bird/reply.h"

#include <string.h>

enum bird_class
bird_reply_class(const struct bird_reply *reply)
{
    if (reply->lines.n == 0) {
        return BIRD_NO_ANSWER;
    }
    if (reply->code >= 9000) {
        return BIRD_NOT_COMMAND;
    }
    return reply->code >= 8000 ? BIRD_FAILED : BIRD_DONE;
}

void
bird_reply_text(const struct bird_reply *reply, struct str *out)
{
    for (size_t i = 0; i < reply->lines.n; i++) {
        str_addf(out, "%s%s", i > 0 ? "\n" : "", reply->lines.items[i].text);
    }
}

void
bird_reply_done(struct bird_reply *reply)
{
    VEC_FOREACH (&reply->lines, line) {
        free(line->text);
    }
    VEC_DONE(&reply->lines);
    *reply = (struct bird_reply){0};
}

void
bird_parser_init(struct bird_parser *parser)
{
    *parser = (struct bird_parser){.last_code = -1};
}

void
bird_parser_done(struct bird_parser *parser)
{
    str_done(&parser->input);
    bird_reply_done(&parser->reply);
}

void
bird_parser_add(struct bird_parser *parser, const void *data, size_t len)
{
    str_add_bytes(&parser->input, data, len);
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One line without its end. ret_is_last: the reply ends here. */
static bool
line_take(struct bird_parser *parser, const char *line, size_t len, bool *ret_is_last,
          struct err *err)
{
    int code = parser->last_code;
    size_t skip = 1;

    *ret_is_last = false;
    if (len > 0 && line[0] == '+') {
        return true; /* unasked; we asked for none ("echo") */
    }
    if (len >= 5 && is_digit(line[0]) && is_digit(line[1]) && is_digit(line[2]) &&
        is_digit(line[3]) && (line[4] == ' ' || line[4] == '-')) {
        code =
            (line[0] - '0') * 1000 + (line[1] - '0') * 100 + (line[2] - '0') * 10 + line[3] - '0';
        skip = 5;
        *ret_is_last = line[4] == ' ';
    } else if (len == 0 || line[0] != ' ' || code < 0) {
        return err_set(err, "not a reply of BIRD: '%.*s'", (int)(len < 60 ? len : 60), line);
    }
    parser->reply_len += len;
    if (parser->reply_len > BIRD_REPLY_MAX) {
        return err_set(err, "a reply of more than %zu bytes", BIRD_REPLY_MAX);
    }
    parser->last_code = code;
    VEC_PUSH(&parser->reply.lines,
             (struct bird_line){.code = code, .text = xstrndup(line + skip, len - skip)});
    return true;
}

bool
bird_parser_next(struct bird_parser *parser, bool *ret_ready, struct bird_reply *ret_reply,
                 struct err *err)
{
    size_t used = 0;
    bool is_last = false, is_good = true;

    while (is_good && !is_last && used < parser->input.len) {
        const char *start = parser->input.text + used;
        const char *end = memchr(start, '\n', parser->input.len - used);
        if (end == NULL) {
            if (parser->input.len - used > BIRD_LINE_MAX) {
                is_good = err_set(err, "a line of more than %zu bytes", BIRD_LINE_MAX);
            }
            break;
        }
        is_good = line_take(parser, start, (size_t)(end - start), &is_last, err);
        used += (size_t)(end - start) + 1;
    }
    str_drop(&parser->input, used);
    if (!is_good) {
        return false;
    }
    *ret_ready = is_last;
    if (is_last) {
        struct bird_reply reply = parser->reply;
        reply.code = parser->last_code;
        if (reply.code >= 8000) {
            AUTO(str) struct str text = STR_INIT;
            bird_reply_text(&reply, &text);
            (void)err_code(&reply.err, reply.code, "%s", str_text(&text));
        }
        parser->reply = (struct bird_reply){0};
        parser->reply_len = 0;
        parser->last_code = -1;
        *ret_reply = reply;
    }
    return true;
}
