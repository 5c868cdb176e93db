/* lib/bird/reply: BIRD's answers in any pieces, and what is no answer of BIRD. */
#include <string.h>

#include "lib/base/own.h"
#include "lib/bird/reply.h"
#include "test/unit/cmocka.h"

static const char session[] =
    "0001 BIRD 2.0.12 ready.\n"
    "2002-Name       Proto      Table      State  Since         Info\n"
    "1002-mesh_b     BGP        ---        up     22:15:19.258  Established\n"
    "1006-  BGP state:          Established\n"
    "     Neighbor address: 10.1.0.2\n"
    "+an asynchronous message\n"
    "0000 \n"
    "8002 bird.conf:3:1 syntax error\n"
    "9001 syntax error, unexpected CF_SYM_UNDEFINED\n";

static void
check_session(struct bird_reply *replies, size_t n)
{
    assert_int_equal(n, 4);
    assert_int_equal(replies[0].code, 1);
    assert_string_equal(replies[0].lines.items[0].text, "BIRD 2.0.12 ready.");
    assert_int_equal(bird_reply_class(&replies[1]), BIRD_DONE);
    assert_int_equal(replies[1].lines.n, 5);
    assert_int_equal(replies[1].lines.items[3].code, 1006);
    assert_string_equal(replies[1].lines.items[3].text, "    Neighbor address: 10.1.0.2");
    assert_int_equal(bird_reply_class(&replies[2]), BIRD_FAILED);
    assert_string_equal(replies[2].err.text, "bird.conf:3:1 syntax error");
    assert_int_equal(replies[2].err.code, 8002);
    assert_int_equal(bird_reply_class(&replies[3]), BIRD_NOT_COMMAND);
}

static void
replies_are_the_same_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof session; piece++) {
        struct bird_parser parser;
        struct bird_reply replies[8] = {0};
        size_t n = 0;

        bird_parser_init(&parser);
        for (size_t at = 0; at < strlen(session); at += piece) {
            size_t left = strlen(session) - at;
            bool is_ready = true;
            bird_parser_add(&parser, session + at, left < piece ? left : piece);
            while (is_ready) {
                assert_true(bird_parser_next(&parser, &is_ready, &replies[n], NULL));
                n += is_ready;
            }
        }
        check_session(replies, n);
        for (size_t i = 0; i < n; i++) {
            bird_reply_done(&replies[i]);
        }
        bird_parser_done(&parser);
    }
}

static void
what_is_not_bird_is_refused(void **state)
{
    static const char *const bad[] = {"HTTP/1.1 400 Bad Request\n",
                                      " continues nothing\n",
                                      "\n",
                                      "12 x\n",
                                      "0001_x\n",
                                      "00a1 x\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct bird_parser parser;
        struct bird_reply reply = {0};
        struct err err = ERR_INIT;
        bool is_ready = false;

        bird_parser_init(&parser);
        bird_parser_add(&parser, bad[i], strlen(bad[i]));
        assert_false(bird_parser_next(&parser, &is_ready, &reply, &err));
        assert_non_null(strstr(err.text, "not a reply of BIRD"));
        bird_parser_done(&parser);
    }
}

static void
a_line_without_end_is_refused(void **state)
{
    struct bird_parser parser;
    struct bird_reply reply = {0};
    bool is_ready = false, is_good = true;
    char piece[1024];

    (void)state;
    memset(piece, 'x', sizeof piece);
    bird_parser_init(&parser);
    bird_parser_add(&parser, "1002-", 5);
    for (int i = 0; i < 100 && is_good; i++) {
        bird_parser_add(&parser, piece, sizeof piece);
        is_good = bird_parser_next(&parser, &is_ready, &reply, NULL);
    }
    assert_false(is_good);
    bird_parser_done(&parser);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_the_same_in_pieces_of_any_size),
        cmocka_unit_test(what_is_not_bird_is_refused),
        cmocka_unit_test(a_line_without_end_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
