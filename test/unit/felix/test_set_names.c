/* felix/rules/set_names: ids against answers computed apart (SHA-224, base64url), and what a policy
 * needs. */
#include <stdlib.h>
#include <string.h>

#include "felix/evaluate/set_ids.h"
#include "felix/rules/set_names.h"
#include "lib/base/alloc.h"
#include "test/unit/cmocka.h"

static void
ids_are_pure_functions_of_the_meaning(void **state)
{
    struct policy_set set;
    char name[32];

    (void)state;
    set_of_selector("a == 'b'", &set);
    assert_string_equal(set.id, "s:22Yu0YxK-nwZ7UKkwyifXT-SNUmmtQldySS1XQ");
    assert_int_equal(set.kind, SET_NETS);
    set_kernel_name(&set, 4, name);
    assert_string_equal(name, "cali40s:22Yu0YxK-nwZ7UKkwyifXT-");
    assert_int_equal(strlen(name), 31);
    set_of_named_port("a == 'b'", 6, "http", &set);
    assert_string_equal(set.id, "n:nEfqtChGV06rIY4o8zksZHr_-jqu5lLcYFTMwQ");
    assert_int_equal(set.kind, SET_IP_PORTS);
    set_of_service("ns", "web", true, &set);
    assert_string_equal(set.id, "svc:P_6MNw9nm3xcKo0IY7UGWEOZWL_g626neCQibQ");
    set_of_service("ns", "web", false, &set);
    assert_string_equal(set.id, "svc:-Bhl2nL6IIXjnEOz9y1IWNnB7F4NiGhmY9nTpw");
    assert_int_equal(set.kind, SET_NETS);
    set_kernel_name(&set, 6, name);
    assert_int_equal(strncmp(name, "cali60svc:", 10), 0);
    set_of_nodes("a == 'b'", &set);
    assert_string_equal(set.id, "node:OOFdUUs0FrurIGRtGhn6rLcIry6wKQnT_hVJ6w");
    assert_int_equal(set.kind, SET_NETS);
}

static void
count(void *owner, const struct set_need *need)
{
    (void)need;
    ++*(int *)owner;
}

static void
every_set_a_rule_names_is_told(void **state)
{
    char http[] = "http", https[] = "https", *names[] = {http, https};
    char selector[] = "a == 'b'", other[] = "c == 'd'", ns[] = "ns", service[] = "web";
    struct policy_rule in = {
        .protocol = 6,
        .source = {.selector = selector, .named_ports = names, .n_named_ports = 2},
        .destination = {.not_selector = other, .not_named_ports = names, .n_not_named_ports = 1}};
    struct policy_rule out[] = {{.destination = {.service_ns = ns, .service_name = service}},
                                {.destination = {.node_selector = selector}}};
    const struct policy policy = {.ingress = &in, .n_ingress = 1, .egress = out, .n_egress = 2};
    int n = 0;

    (void)state;
    policy_each_set(&policy, count, &n);
    assert_int_equal(n, 7);
}

static void
remembered_ids_are_those_of_the_text_not_of_its_address(void **state)
{
    struct set_ids *ids = set_ids_new();
    struct policy_set set;
    char text[32] = "a == 'b'";

    (void)state;
    for (int i = 0; i < 3; i++) {
        text[0] = (char)('a' + i);
        set_of_selector(text, &set);
        for (int again = 0; again < 2; again++) {
            const struct policy_set *known = set_ids_get(ids, set_of_selector, text);
            assert_string_equal(known->id, set.id);
            assert_int_equal(known->kind, SET_NETS);
        }
    }
    /* The same text at the same address may be about nodes a moment later. */
    for (int again = 0; again < 2; again++) {
        set_of_nodes(text, &set);
        assert_string_equal(set_ids_get(ids, set_of_nodes, text)->id, set.id);
        set_of_selector(text, &set);
        assert_string_equal(set_ids_get(ids, set_of_selector, text)->id, set.id);
    }
    /* More than are remembered at a time. */
    char *const many = xcalloc(40000, 2);
    for (int i = 0; i < 40000; i++) {
        many[2 * i] = (char)('a' + i % 26);
        set_of_selector(&many[2 * i], &set);
        assert_string_equal(set_ids_get(ids, set_of_selector, &many[2 * i])->id, set.id);
    }
    free(many);
    set_ids_free(ids);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_pure_functions_of_the_meaning),
        cmocka_unit_test(every_set_a_rule_names_is_told),
        cmocka_unit_test(remembered_ids_are_those_of_the_text_not_of_its_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
