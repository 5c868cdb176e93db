/* lib/model: a Pod straight from its text. Whatever is taken this way must be what json-c and
 * pod_decode() make of the same text; what they report or refuse must not be taken. */
#include <stdio.h>

#include "lib/json/scan.h"
#include "test/unit/cmocka.h"
#include "test/unit/model/scanned.h"

/* Single quotes stand for double quotes. */
static const char *const plain[] = {
    "{'kind':'Pod','apiVersion':'v1','metadata':{'name':'web-7d4b-x1','generateName':'web-7d4b-',"
    "'namespace':'shop','uid':'9f0c','resourceVersion':'4711','labels':{'tier':'front',"
    "'app.kubernetes.io/name':'','app':'web'},'annotations':{'note':'x',"
    "'cni.projectcalico.org/podIP':'10.1.2.3/32','cni.projectcalico.org/podIPs':'10.1.2.3/32'},"
    "'managedFields':[{'fieldsV1':{'f:metadata':{'k:{\\'uid\\':\\'9f0c\\'}':{}}}}]},"
    "'spec':{'volumes':[{'name':'v'}],'initContainers':[{'name':'once','ports':[{'name':'never',"
    "'containerPort':1}]},{'name':'proxy','ports':[{'name':'admin','containerPort':15000,"
    "'protocol':'TCP'}],'restartPolicy':'Always'}],'containers':[{'name':'app','ports':["
    "{'name':'http','containerPort':8080,'protocol':'TCP'},{'name':'dns','containerPort':53,"
    "'protocol':'UDP'},{'containerPort':9}]},{'name':'log'}],'nodeName':'n1',"
    "'serviceAccountName':'default','hostNetwork':false},'status':{'phase':'Running',"
    "'podIP':'10.1.2.3','podIPs':[{'ip':'10.1.2.3'},{'ip':'fd00::3'}]}}",
    " {\n  'status': { 'podIPs': [ ], 'podIP': '10.1.2.3', 'phase': 'Failed' } ,\n"
    "  'spec': { 'hostNetwork': true , 'containers': [ { 'ports': [ { 'protocol': 'SCTP',"
    " 'containerPort': 65535 , 'name': 's' } ] } ] },\n"
    "  'metadata': { 'namespace': 'n', 'name': 'p' } }\n",
    "{'metadata':{'name':'p','namespace':'n','deletionTimestamp':'2026-01-01T00:00:00Z',"
    "'annotations':{'cni.projectcalico.org/podIPs':''},'labels':{}},'status':{'phase':'Running'}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{},'spe\\u0063':0}",
};

/* Each has one thing that pod_decode() must judge, or that only json-c reads right. */
static const char *const odd[] = {
    "[]",
    "{}",
    "{'metadata':{'name':'p'}}",
    "{'metadata':{'namespace':'n'}}",
    "{'metadata':{'name':'P','namespace':'n'}}",
    "{'metadata':{'name':'p','namespace':'n/m'}}",
    "{'metadata':{'name':'p','namespace':null}}",
    "{'metadata':{'name':'p','namespace':'n','name':'q'}}",
    "{'metadata':{'name':'p','namespace':'n'},'metadata':{'name':'q','namespace':'n'}}",
    "{'metadata':{'name':'p','namespace':'n','labels':{'a':'1','b':'','a':'2'}}}",
    "{'metadata':{'name':'p','namespace':'n','labels':{'a':1}}}",
    "{'metadata':{'name':'p','namespace':'n','labels':{'a\\u0062':'1'}}}",
    "{'metadata':{'name':'p','namespace':'n','labels':{'a':'\\u0062'}}}",
    "{'metadata':{'name':'p','namespace':'n','labels':{'a':'\xc3\xa4'}}}",
    "{'metadata':{'name':'p','namespace':'n','labels':{'a':'b\tc'}}}",
    "{'metadata':{'name':'p','namespace':'n','labels':{'pcns.a':'b'}}}",
    "{'metadata':{'name':'p','namespace':'n','labels':{'projectcalico.org/namespace':'b'}}}",
    "{'metadata':{'name':'p','namespace':'n','labels':null}}",
    "{'metadata':{'name':'p','namespace':'n','deletionTimestamp':null}}",
    "{'metadata':{'name':'p','namespace':'n','annotations':{'cni.projectcalico.org/podIP':"
    "'10.1.2.3/32'}}}",
    "{'metadata':{'name':'p','namespace':'n','annotations':{"
    "'cni.projectcalico.org/allowedSourcePrefixes':'[]'}}}",
    "{'metadata':{'name':'p','namespace':'n','annotations':{'qos.projectcalico.org/dscp':'1'}}}",
    "{'metadata':{'name':'p','namespace':'n','annotations':{'qos.projectcalico.org/dscp':7}}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'hostNetwork':'true'}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'hostNetwork':True}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'nodeName':7}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'containers':{}}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'containers':[null]}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'containers':[{'ports':[{'name':'a b',"
    "'containerPort':1}]}]}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'containers':[{'ports':[{'name':'a',"
    "'containerPort':0}]}]}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'containers':[{'ports':[{'name':'a',"
    "'containerPort':65536}]}]}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'containers':[{'ports':[{'name':'a',"
    "'containerPort':-1}]}]}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'containers':[{'ports':[{'name':'a',"
    "'containerPort':1e2}]}]}}",
    "{'metadata':{'name':'p','namespace':'n'},'spec':{'containers':[{'ports':[{'name':'a',"
    "'containerPort':80,'protocol':'ICMP'}]}]}}",
    "{'metadata':{'name':'p','namespace':'n'},'status':{'podIP':'10.1.2.300'}}",
    "{'metadata':{'name':'p','namespace':'n'},'status':{'podIP':'10.1.2.3/32'}}",
    "{'metadata':{'name':'p','namespace':'n'},'status':{'podIPs':['10.1.2.3']}}",
    "{'metadata':{'name':'p','namespace':'n'},'status':{'podIPs':[{'ip':'10.1.2.3','x':0}]}}",
    "{'metadata':{'name':'p','namespace':'n'},'status':{'podIPs':null}}",
    "{'metadata':{'name':'p','namespace':'n'}} {}",
    "{'metadata':{'name':'p','namespace':'n'},}",
    "{'metadata':{'name':'p','namespace':'n'}",
};

static void
set_text(struct str *str, const char *text)
{
    str_clear(str);
    for (; *text != '\0'; text++) {
        str_add_char(str, *text == '\'' ? '"' : *text);
    }
}

/* In memory of its own size, so that valgrind and ASan see a read behind it. */
static enum scanned
compare(const struct str *text)
{
    char *copy = malloc(text->len + 1);

    memcpy(copy, text->text, text->len);
    enum scanned result = scanned(KIND_POD, copy, text->len);
    free(copy);
    if (result == SCANNED_WRONG) {
        fail_msg("taken for something else: %s", text->text);
    }
    return result;
}

static void
plain_pods_are_read_as_their_trees_are(void **state)
{
    AUTO(str) struct str text = STR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        set_text(&text, plain[i]);
        if (compare(&text) != SCANNED_SAME) {
            fail_msg("not taken: %s", text.text);
        }
    }
}

static void
what_is_odd_is_left_to_the_decoder(void **state)
{
    AUTO(str) struct str text = STR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        set_text(&text, odd[i]);
        if (compare(&text) != SCANNED_NOT) {
            fail_msg("taken: %s", text.text);
        }
    }
}

/* 'from' with the bytes [start, end) replaced. */
static void
splice(struct str *out, const struct str *from, size_t start, size_t end, const char *with)
{
    str_clear(out);
    str_add_bytes(out, from->text, start);
    str_add(out, with);
    str_add_bytes(out, from->text + end, from->len - end);
}

static void
one_byte_more_less_or_other_is_never_misread(void **state)
{
    static const char *const bytes[] = {"",  "\"", "\\", "{", "}",    "[", "]",    ",",
                                        ":", " ",  "0",  "a", "\x1f", "/", "\x7f", "\xc3"};
    AUTO(str) struct str text = STR_INIT;
    AUTO(str) struct str other = STR_INIT;
    size_t n_taken = 0, n = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        set_text(&text, plain[i]);
        for (size_t at = 0; at < text.len; at++) {
            for (size_t b = 0; b < ARRAY_LEN(bytes); b++) {
                splice(&other, &text, at, at + 1, bytes[b]);
                n_taken += compare(&other) == SCANNED_SAME;
                splice(&other, &text, at, at, bytes[b]);
                n_taken += compare(&other) == SCANNED_SAME;
                n += 2;
            }
        }
    }
    /* Both ways are there: neither is the test of nothing. */
    assert_true(n_taken > n / 10 && n_taken < n * 9 / 10);
}

/* The next member of an object, in the order of the text; its value is [*start, *end). */
static bool
next_value(const struct str *text, size_t *start, size_t *end)
{
    for (size_t at = *start; at < text->len; at++) {
        if (text->text[at] == '"') {
            at = (size_t)(json_skip_string(text->text + at + 1, text->text + text->len) -
                          text->text) -
                 1;
        } else if (text->text[at] == ':') {
            const char *value = json_skip_space(text->text + at + 1, text->text + text->len);
            *start = (size_t)(value - text->text);
            *end = (size_t)(json_skip_value(value, text->text + text->len) - text->text);
            return true;
        }
    }
    return false;
}

static void
any_value_for_another_is_never_misread(void **state)
{
    static const char *const values[] = {
        "null",
        "true",
        "false",
        "0",
        "1",
        "65535",
        "65536",
        "-1",
        "1.5",
        "\"\"",
        "\"a\"",
        "[]",
        "[{}]",
        "{}",
        "[1]",
        "[[]]",
        "nul",
        "\"\\u0061\"",
        "01",
        "{\"ip\":\"\"}",
        "[{\"ip\":\"\"}]",
        "[{\"ip\":\"::1\"},{\"ip\":\"::2\"}]",
        "[{\"ports\":[]}]",
        "\"Always\"",
        "[{\"ports\":[{\"name\":\"z\",\"containerPort\":1}]},{\"ports\":null}]",
        "NaN",
        "'a'"};
    AUTO(str) struct str text = STR_INIT;
    AUTO(str) struct str other = STR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        size_t start = 0, end = 0;
        set_text(&text, plain[i]);
        while (next_value(&text, &start, &end)) {
            for (size_t v = 0; v < ARRAY_LEN(values); v++) {
                splice(&other, &text, start, end, values[v]);
                compare(&other);
                /* The same place, the value twice: text that no longer is one object. */
                splice(&other, &text, end, end, values[v]);
                compare(&other);
            }
        }
    }
}

static void
a_member_that_comes_twice_is_never_misread(void **state)
{
    static const char *const members[] = {"\"metadata\":{\"name\":\"q\",\"namespace\":\"m\"},",
                                          "\"name\":\"q\",",
                                          "\"namespace\":\"m\",",
                                          "\"labels\":{\"b\":\"c\"},",
                                          "\"tier\":\"back\",",
                                          "\"resourceVersion\":\"1\",",
                                          "\"podIP\":\"10.9.9.9\",",
                                          "\"podIPs\":[],",
                                          "\"ip\":\"10.9.9.9\",",
                                          "\"containers\":[],",
                                          "\"initContainers\":[],",
                                          "\"ports\":[],",
                                          "\"containerPort\":2,",
                                          "\"protocol\":\"UDP\",",
                                          "\"restartPolicy\":\"Never\",",
                                          "\"phase\":\"Failed\",",
                                          "\"nodeName\":\"n2\",",
                                          "\"hostNetwork\":true,",
                                          "\"n\\u0061me\":\"q\",",
                                          "\"deletionTimestamp\":\"x\",",
                                          "\"cni.projectcalico.org/podIPs\":\"\","};
    AUTO(str) struct str text = STR_INIT;
    AUTO(str) struct str other = STR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        set_text(&text, plain[i]);
        for (size_t at = 0; at < text.len; at++) {
            for (size_t m = 0; text.text[at] == '{' && m < ARRAY_LEN(members); m++) {
                splice(&other, &text, at + 1, at + 1, members[m]);
                compare(&other);
            }
        }
    }
}

/* An object under construction: what stands before its next member, and behind its last. */
struct around {
    const char *before, *behind;
};

static void
compose(struct str *text, const struct around *around, const char *key, const char *value)
{
    str_clear(text);
    str_add(text, around->before);
    if (key != NULL) {
        str_addf(text, ",\"%s\":%s", key, value);
    }
    str_add(text, around->behind);
}

static void
check_kept(const struct json_keep *keep, const struct around *around)
{
    AUTO(str) struct str text = STR_INIT;

    compose(&text, around, NULL, NULL);
    if (compare(&text) != SCANNED_SAME) {
        fail_msg("not taken: %s", text.text);
    }
    for (; keep->key; keep++) {
        compose(&text, around, keep->key, "null");
        if (compare(&text) != SCANNED_NOT) {
            fail_msg("%s is jumped over, lib/model/pod_text.c does not know it", keep->key);
        }
        if (keep->inside == NULL || strcmp(keep->key, "metadata") == 0) {
            continue;
        }
        bool is_list = strstr("containers initContainers ports", keep->key);
        AUTO(str) struct str before = STR_INIT;
        AUTO(str) struct str behind = STR_INIT;
        str_addf(&before, "%s,\"%s\":%s{\"x\":\"\"", around->before, keep->key, is_list ? "[" : "");
        str_addf(&behind, "}%s%s", is_list ? "]" : "", around->behind);
        check_kept(keep->inside, &(struct around){str_text(&before), str_text(&behind)});
    }
}

static void
every_member_the_feed_keeps_is_looked_at(void **state)
{
    const struct json_keep *pod = feed_keep(KIND_POD);

    (void)state;
    check_kept(pod, &(struct around){"{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"}", "}"});
    assert_string_equal(pod->key, "metadata");
    check_kept(pod->inside,
               &(struct around){"{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"", "}}"});
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_pods_are_read_as_their_trees_are),
        cmocka_unit_test(what_is_odd_is_left_to_the_decoder),
        cmocka_unit_test(one_byte_more_less_or_other_is_never_misread),
        cmocka_unit_test(any_value_for_another_is_never_misread),
        cmocka_unit_test(a_member_that_comes_twice_is_never_misread),
        cmocka_unit_test(every_member_the_feed_keeps_is_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
