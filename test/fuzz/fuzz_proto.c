/* Messages on felix's socket, both ways: what is accepted must survive being written and read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/proto/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_request(const char *line, size_t len)
{
    AUTO(str) struct str once = STR_INIT;
    AUTO(str) struct str twice = STR_INIT;
    struct proto_request request;

    if (!proto_request_read(line, len, &request, NULL)) {
        return;
    }
    proto_request_write(&request, &once);
    proto_request_done(&request);
    if (!proto_request_read(once.text, once.len, &request, NULL)) {
        abort();
    }
    proto_request_write(&request, &twice);
    proto_request_done(&request);
    /* One line, or it would be two messages. */
    if (strcmp(once.text, twice.text) != 0 || strchr(once.text, '\n') != once.text + once.len - 1) {
        abort();
    }
}

static void
check_reply(const char *line, size_t len)
{
    AUTO(str) struct str out = STR_INIT;
    struct proto_reply reply;

    if (!proto_reply_read(line, len, &reply, NULL)) {
        return;
    }
    proto_reply_write(&reply, &out);
    proto_reply_done(&reply);
    if (!proto_reply_read(out.text, out.len, &reply, NULL)) {
        abort();
    }
    proto_reply_done(&reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_request((const char *)data, size);
    check_reply((const char *)data, size);
    return 0;
}
