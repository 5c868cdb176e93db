/* lib/model/policy: order and equality of policies. */
#include <math.h>
#include <stdlib.h>

#include "lib/base/alloc.h"
#include "lib/model/policy.h"
#include "test/unit/cmocka.h"

static struct policy *
make(enum policy_origin origin, const char *ns, const char *name, double order)
{
    struct policy *policy = NEW(struct policy);

    policy->origin = origin;
    policy->ns = ns != NULL ? xstrdup(ns) : NULL;
    policy->name = xstrdup(name);
    policy->tier = xstrdup("default");
    policy->selector = xstrdup("all()");
    policy->order = order;
    policy->n_ingress = 1;
    policy->ingress = NEW(struct policy_rule);
    policy->ingress[0].source.n_nets = 1;
    policy->ingress[0].source.nets = NEW(struct prefix);
    return policy;
}

static void
policies_sort_by_order_then_by_name_namespace_and_kind(void **state)
{
    /* In this order. '-' sorts before the '/' behind a name. */
    struct policy *sorted[] = {
        make(POLICY_GLOBAL, NULL, "z", -1),        make(POLICY_GLOBAL, NULL, "y", 0.5),
        make(POLICY_KUBERNETES, "a", "x-y", 1000), make(POLICY_GLOBAL, NULL, "x", 1000),
        make(POLICY_KUBERNETES, "a", "x", 1000),   make(POLICY_NAMESPACED, "a", "x", 1000),
        make(POLICY_KUBERNETES, "b", "x", 1000),   make(POLICY_GLOBAL, NULL, "a", HUGE_VAL),
        make(POLICY_GLOBAL, NULL, "b", HUGE_VAL),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
        for (size_t j = 0; j < ARRAY_LEN(sorted); j++) {
            int order = policy_compare(sorted[i], sorted[j]);
            assert_int_equal(order < 0 ? -1 : order > 0, i < j ? -1 : i > j);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
        policy_free(sorted[i]);
    }
    policy_free(NULL);
}

static void
policies_are_equal_when_all_of_their_rules_are(void **state)
{
    struct policy *a = make(POLICY_GLOBAL, NULL, "a", HUGE_VAL);
    struct policy *b = make(POLICY_GLOBAL, NULL, "a", HUGE_VAL);

    (void)state;
    assert_true(policy_equal(a, b));
    b->ingress[0].source.nets[0].len = 1;
    assert_false(policy_equal(a, b));
    b->ingress[0].source.nets[0].len = 0;
    b->ingress[0].comment = xstrdup("x");
    assert_false(policy_equal(a, b));
    policy_free(a);
    policy_free(b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_sort_by_order_then_by_name_namespace_and_kind),
        cmocka_unit_test(policies_are_equal_when_all_of_their_rules_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
