/* BIRD's replies: the first byte is the size of the pieces, the rest what arrives. */
#include <stdint.h>
#include <stdlib.h>

#include "confd/status.h"
#include "lib/bird/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bird_parser parser;
    struct err err = ERR_INIT;
    bool is_good = true;

    if (size < 1) {
        return 0;
    }
    size_t piece = data[0] + 1u;
    bird_parser_init(&parser);
    for (size_t at = 1; is_good && at < size; at += piece) {
        bool is_ready = true;
        bird_parser_add(&parser, data + at, size - at < piece ? size - at : piece);
        while (is_good && is_ready) {
            struct bird_reply reply = {0};
            is_good = bird_parser_next(&parser, &is_ready, &reply, &err);
            if (is_good && is_ready) {
                struct bgp_status status;
                if (bird_reply_class(&reply) == BIRD_NO_ANSWER) {
                    abort();
                }
                bgp_status_parse(&reply, &status);
                bgp_status_done(&status);
                bird_reply_done(&reply);
            }
        }
    }
    bird_parser_done(&parser);
    return 0;
}
