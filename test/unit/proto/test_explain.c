/* lib/proto: what is asked to be explained. */
#include <string.h>

#include "lib/proto/proto.h"
#include "test/unit/cmocka.h"

#define FROM_TO "{\"op\":\"explain\",\"from\":{\"pod\":\"a/b\"},\"to\":{\"ip\":\"10.0.0.1\"},"

static void
a_question_keeps_its_fields(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {FROM_TO "\"protocol\":\"TCP\",\"port\":80}",
         FROM_TO "\"protocol\":\"tcp\",\"port\":80,\"source_port\":49152,\"family\":4}\n"},
        {FROM_TO "\"protocol\":\"132\",\"port\":65535,\"source_port\":1}",
         FROM_TO "\"protocol\":\"sctp\",\"port\":65535,\"source_port\":1,\"family\":4}\n"},
        {FROM_TO "\"protocol\":\"icmp\"}",
         FROM_TO "\"protocol\":\"icmp\",\"icmp_type\":8,\"icmp_code\":0,\"family\":4}\n"},
        {FROM_TO "\"protocol\":\"50\",\"port\":80}", FROM_TO "\"protocol\":\"50\",\"family\":4}\n"},
        {"{\"op\":\"explain\",\"from\":{\"ip\":\"fd00::1\"},\"to\":{\"pod\":\"kube-system/x.y-0\"},"
         "\"protocol\":\"icmpv6\",\"icmp_type\":1,\"icmp_code\":4}",
         "{\"op\":\"explain\",\"from\":{\"ip\":\"fd00::1\"},\"to\":{\"pod\":\"kube-system/x.y-0\"},"
         "\"protocol\":\"icmpv6\",\"icmp_type\":1,\"icmp_code\":4,\"family\":6}\n"},
        {"{\"op\":\"explain\",\"from\":{\"pod\":\"a/b\"},\"to\":{\"pod\":\"a/c\"},"
         "\"protocol\":\"udp\",\"port\":53}",
         "{\"op\":\"explain\",\"from\":{\"pod\":\"a/b\"},\"to\":{\"pod\":\"a/c\"},"
         "\"protocol\":\"udp\",\"port\":53,\"source_port\":49152}\n"},
        {"{\"op\":\"drops\"}", "{\"op\":\"drops\"}\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(str) struct str out = STR_INIT;
        struct proto_request request;
        struct err err = ERR_INIT;
        if (!proto_request_read(cases[i].in, strlen(cases[i].in), &request, &err)) {
            fail_msg("%s: %s", cases[i].in, err.text);
        }
        proto_request_write(&request, &out);
        proto_request_done(&request);
        AUTO(str) struct str plain = STR_INIT;
        for (const char *c = out.text; *c != '\0'; c++) {
            if (*c != '\\') { /* json-c escapes slashes */
                str_add_char(&plain, *c);
            }
        }
        assert_string_equal(plain.text, cases[i].out);
    }
}

static void
questions_without_sense_are_refused(void **state)
{
    static const struct {
        const char *line, *reason;
    } cases[] = {
        {"{\"op\":\"explain\"}", "from"},
        {"{\"op\":\"explain\",\"from\":7}", "from"},
        {"{\"op\":\"explain\",\"from\":{},\"to\":{\"ip\":\"1.2.3.4\"}}", "from: either pod or ip"},
        {"{\"op\":\"explain\",\"from\":{\"ip\":\"1.2.3.4\",\"pod\":\"a/b\"}}", "either pod or ip"},
        {"{\"op\":\"explain\",\"from\":{\"pod\":\"ab\"}}", "from.pod: 'ab' is not namespace/name"},
        {"{\"op\":\"explain\",\"from\":{\"pod\":\"/b\"}}", "is not namespace/name"},
        {"{\"op\":\"explain\",\"from\":{\"pod\":\"a/\"}}", "is not namespace/name"},
        {"{\"op\":\"explain\",\"from\":{\"pod\":\"a/b/c\"}}", "is not namespace/name"},
        {"{\"op\":\"explain\",\"from\":{\"pod\":\"a/b\\u0007\"}}", "is not namespace/name"},
        {"{\"op\":\"explain\",\"from\":{\"ip\":\"10.0.0.0/8\"}}", "from.ip"},
        {"{\"op\":\"explain\",\"from\":{\"ip\":\"\"}}", "from.ip"},
        {FROM_TO "\"port\":80}", "protocol"},
        {FROM_TO "\"protocol\":\"tcpp\",\"port\":80}", "protocol: 'tcpp' is not a protocol"},
        {FROM_TO "\"protocol\":\"0\",\"port\":80}", "is not a protocol"},
        {FROM_TO "\"protocol\":\"256\",\"port\":80}", "is not a protocol"},
        {FROM_TO "\"protocol\":\"tcp\"}", "port"},
        {FROM_TO "\"protocol\":\"tcp\",\"port\":0}", "port"},
        {FROM_TO "\"protocol\":\"tcp\",\"port\":65536}", "port"},
        {FROM_TO "\"protocol\":\"tcp\",\"port\":\"http\"}", "port"},
        {FROM_TO "\"protocol\":\"icmp\",\"icmp_type\":256}", "icmp_type"},
        {FROM_TO "\"protocol\":\"tcp\",\"port\":1,\"family\":5}", "family"},
        {FROM_TO "\"protocol\":\"tcp\",\"port\":1,\"family\":6}", "different families"},
        {FROM_TO "\"protocol\":\"icmpv6\"}", "different families"},
        {"{\"op\":\"explain\",\"from\":{\"ip\":\"fd00::1\"},\"to\":{\"ip\":\"10.0.0.1\"},"
         "\"protocol\":\"udp\",\"port\":1}",
         "different families"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        struct proto_request request;
        if (proto_request_read(cases[i].line, strlen(cases[i].line), &request, &err)) {
            fail_msg("%s was taken", cases[i].line);
        }
        if (!strstr(err.text, cases[i].reason)) {
            fail_msg("%s: %s", cases[i].line, err.text);
        }
        assert_null(request.explain.from.pod);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_keeps_its_fields),
        cmocka_unit_test(questions_without_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
