/* felix/rules: rulesets against what iptables-save prints. The kernel is played by a few lines of
 * text; real tools and real packets are in test/functional/test_felix_rules.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/rules/rules_state.h"
#include "felix/rules/static_rules.h"
#include "test/unit/cmocka.h"

/* What iptables-save prints after 'restore' went into an empty kernel. The caller frees. */
static char *
saved_after(const char *restore)
{
    char *copy = strdup(restore);
    char *line = copy;

    while ((line = strstr(line, "\n-I "))) {
        line[2] = 'A';
    }
    return copy;
}

static char *
diff(const struct ruleset *want, const char *saved)
{
    struct str out = STR_INIT;
    struct err err = ERR_INIT;

    if (!ruleset_diff(want, saved, &out, &err)) {
        fail_msg("%s", err.text);
    }
    return out.text ? out.text : strdup("");
}

static void
simple_rules(struct ruleset *set)
{
    const struct hook hook = {"filter", "INPUT", "cali-INPUT", false};
    struct chain *chain = NULL;

    ruleset_init(set);
    chain = ruleset_chain(set, "filter", "cali-INPUT");
    chain_add(chain, "-p %s -j ACCEPT", "tcp");
    chain_add(chain, "-j DROP");
    ruleset_hook(set, &hook);
}

static char *
simple_saved(void)
{
    struct ruleset want;
    simple_rules(&want);
    char *restore = diff(&want, "");
    char *saved = saved_after(restore);

    free(restore);
    ruleset_done(&want);
    return saved;
}

/* 'text' with the first 'from' replaced. The caller frees. */
static char *
replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    struct str out = STR_INIT;

    assert_non_null(at);
    str_add_bytes(&out, text, (size_t)(at - text));
    str_add(&out, to);
    str_add(&out, at + strlen(from));
    return out.text;
}

/* The line of 'text' that holds 'what', with its newline. The caller frees. */
static char *
line_with(const char *text, const char *what)
{
    const char *at = strstr(text, what);

    assert_non_null(at);
    while (at > text && at[-1] != '\n') {
        at--;
    }
    return strndup(at, strcspn(at, "\n") + 1);
}

static void
what_was_written_reads_back_as_equal(void **state)
{
    static const struct static_rules_config configs[] = {
        {.workload_prefix = "cali"},
        {.workload_prefix = "cali", .has_tunnel = true, .has_random_fully = true},
        {.workload_prefix = "tap", .is_append_mode = true, .has_tunnel = true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
        for (uint8_t family = 4; family <= 6; family += 2) {
            struct ruleset want;
            ruleset_init(&want);
            static_rules(&configs[i], family, &want);
            char *restore = diff(&want, "");
            char *saved = saved_after(restore);
            char *again = diff(&want, saved);
            assert_string_not_equal(restore, "");
            assert_string_equal(again, "");
            free(restore);
            free(saved);
            free(again);
            ruleset_done(&want);
        }
    }
}

static void
a_rule_that_is_missing_edited_or_moved_rewrites_its_chain_alone(void **state)
{
    char *saved = simple_saved();
    char *first = line_with(saved, "-p tcp");
    char *last = line_with(saved, "-j DROP");
    char *both = NULL;
    struct ruleset want;

    (void)state;
    assert_true(asprintf(&both, "%s%s", first, last) > 0);
    char *swapped = NULL;
    assert_true(asprintf(&swapped, "%s%s", last, first) > 0);
    char *twice = NULL;
    assert_true(asprintf(&twice, "%s%s", both, last) > 0);
    char *edited = replaced(both, "cali:", "cali:x");
    char *plain = NULL;
    assert_true(asprintf(&plain, "-A cali-INPUT -j ACCEPT\n%s", both) > 0);
    char *const changed[] = {first, last, swapped, twice, edited, plain, strdup("")};

    simple_rules(&want);
    for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
        char *now = replaced(saved, both, changed[i]);
        char *restore = diff(&want, now);
        assert_non_null(strstr(restore, ":cali-INPUT - [0:0]\n"));
        assert_non_null(strstr(restore, both));
        /* The hook is right: it is left alone, so there is no moment without it. */
        assert_null(strstr(restore, "INPUT -m comment --comment \"cali:\" -j"));
        assert_null(strstr(restore, "-I INPUT"));
        assert_null(strstr(restore, "-D "));
        free(now);
        free(restore);
    }
    for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
        free(changed[i]);
    }
    free(both);
    free(saved);
    ruleset_done(&want);
}

static void
a_hook_that_is_missing_comes_back_and_one_too_many_goes(void **state)
{
    char *saved = simple_saved();
    char *hook = line_with(saved, "-j cali-INPUT");
    char *two = NULL;
    struct ruleset want;

    (void)state;
    simple_rules(&want);
    char *without = replaced(saved, hook, "");
    char *restore = diff(&want, without);
    assert_non_null(strstr(restore, "-I INPUT -m comment"));
    assert_null(strstr(restore, ":cali-INPUT"));
    free(restore);
    free(without);

    assert_true(asprintf(&two, "%s%s", hook, hook) > 0);
    char *doubled = replaced(saved, hook, two);
    restore = diff(&want, doubled);
    char *removal = line_with(restore, "-D INPUT");
    /* Taken off by its whole text, which iptables-save gave. */
    assert_string_equal(removal + 3, hook + 3);
    assert_null(strstr(restore, "-I INPUT"));
    free(removal);
    free(restore);
    free(doubled);
    free(two);
    free(hook);
    free(saved);
    ruleset_done(&want);
}

static void
chains_and_rules_of_others_are_not_looked_at(void **state)
{
    static const char foreign[] =
        "*filter\n:INPUT DROP [5:300]\n:KUBE-FIREWALL - [0:0]\n:calico-like - [0:0]\n"
        "-A INPUT -j KUBE-FIREWALL\n"
        "-A INPUT -m comment --comment \"california: not ours\" -j ACCEPT\n"
        "-A KUBE-FIREWALL -m comment --comment \"cali\" -j DROP\nCOMMIT\n"
        "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
        "*security\n:cali-odd - [0:0]\n-A cali-odd -j DROP\nCOMMIT\n";
    struct ruleset none;

    (void)state;
    ruleset_init(&none);
    char *restore = diff(&none, foreign);
    assert_string_equal(restore, "");
    free(restore);
}

static void
leftovers_are_unhooked_emptied_and_then_deleted(void **state)
{
    static const char leftover[] =
        "*filter\n:FORWARD ACCEPT [0:0]\n:cali-FORWARD - [0:0]\n:cali-tw-cali123 - [0:0]\n"
        "-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD\n"
        "-A FORWARD -j cali-FORWARD\n"
        "-A cali-FORWARD -m comment --comment \"cali:6Zj\" -g cali-tw-cali123\n"
        "-A cali-tw-cali123 -m comment --comment \"cali:abc\" -j DROP\nCOMMIT\n";
    struct ruleset none;

    (void)state;
    ruleset_init(&none);
    char *restore = diff(&none, leftover);
    const char *emptied = strstr(restore, ":cali-tw-cali123 - [0:0]");
    const char *unhooked = strstr(
        restore, "-D FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD");
    const char *old_style = strstr(restore, "-D FORWARD -j cali-FORWARD");
    const char *deleted = strstr(restore, "-X cali-FORWARD");
    assert_non_null(emptied);
    assert_non_null(unhooked);
    assert_non_null(old_style);
    assert_non_null(deleted);
    assert_non_null(strstr(restore, "-X cali-tw-cali123"));
    assert_true(emptied < deleted && unhooked < deleted && old_style < deleted);
    free(restore);
}

static void
a_table_that_cannot_be_read_is_an_error_not_an_empty_table(void **state)
{
    static const char odd[] =
        "# Warning: iptables-legacy tables present, use iptables-legacy-save\n"
        "# Table `filter' is incompatible, use 'nft' tool.\n";
    struct ruleset want;
    struct str out = STR_INIT;
    struct err err = ERR_INIT;

    (void)state;
    simple_rules(&want);
    assert_false(ruleset_diff(&want, odd, &out, &err));
    assert_non_null(strstr(err.text, "incompatible"));
    assert_int_equal(out.len, 0);
    ruleset_done(&want);
}

static void
what_is_static_is_closed_where_it_must_be(void **state)
{
    const struct static_rules_config config = {.workload_prefix = "cali", .has_tunnel = true};
    struct ruleset four, six;

    (void)state;
    ruleset_init(&four);
    ruleset_init(&six);
    static_rules(&config, 4, &four);
    static_rules(&config, 6, &six);
    VEC_FOREACH (&four.chains, chain) {
        const char *last = chain->rules.items[chain->rules.n - 1];
        if (strcmp(chain->name, "cali-from-wl") == 0) {
            assert_string_equal(chain->table, "raw");
            assert_string_equal(last, "-j DROP");
        }
        if (strcmp(chain->name, "cali-INPUT") == 0) {
            assert_string_equal(last, "-p ipencap -j DROP");
        }
    }
    char *text = diff(&six, "");
    assert_null(strstr(text, "ipencap"));
    assert_null(strstr(text, "cali40"));
    assert_non_null(strstr(text, "cali60wl-net-iface"));
    free(text);
    text = diff(&four, "");
    assert_null(strstr(text, "cali60"));
    free(text);
    ruleset_done(&four);
    ruleset_done(&six);
}

static void
pods_leave_the_cluster_as_it_is_set(void **state)
{
#define OUT \
    "-m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst"
    static const struct {
        struct nat_rules_config nat;
        uint8_t family;
        const char *rules[3];
    } cases[] = {
        {{0}, 4, {OUT " -j MASQUERADE --random-fully"}},
        {{.address = "192.0.2.1"}, 4, {OUT " -j SNAT --to-source 192.0.2.1 --random-fully"}},
        {{.first_port = 1024, .last_port = 2047},
         4,
         {"-p tcp " OUT " -j MASQUERADE --to-ports 1024-2047 --random-fully",
          "-p udp " OUT " -j MASQUERADE --to-ports 1024-2047 --random-fully",
          OUT " -j MASQUERADE --random-fully"}},
        {{.address = "192.0.2.1", .first_port = 7, .last_port = 7, .interface = "eth+"},
         4,
         {"-p tcp -o eth+ " OUT " -j SNAT --to-source 192.0.2.1:7-7 --random-fully",
          "-p udp -o eth+ " OUT " -j SNAT --to-source 192.0.2.1:7-7 --random-fully",
          "-o eth+ " OUT " -j SNAT --to-source 192.0.2.1 --random-fully"}},
        {{.excludes_hosts = true},
         4,
         {OUT " -m set ! --match-set cali40all-hosts-net dst -j MASQUERADE --random-fully"}},
        {{.address = "192.0.2.1", .excludes_hosts = true},
         6,
         {"-m set --match-set cali60masq-ipam-pools src -m set ! --match-set "
          "cali60all-ipam-pools dst -j MASQUERADE --random-fully"}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct static_rules_config config = {.workload_prefix = "cali",
                                                   .has_random_fully = true,
                                                   .has_snat_random_fully = true,
                                                   .nat = cases[i].nat};
        struct ruleset set;
        ruleset_init(&set);
        static_rules(&config, cases[i].family, &set);
        const struct chain *chain = NULL;
        VEC_FOREACH (&set.chains, it) {
            chain = strcmp(it->table, "nat") == 0 ? it : chain;
        }
        assert_non_null(chain);
        for (size_t j = 0; j < ARRAY_LEN(cases[i].rules); j++) {
            if (cases[i].rules[j] == NULL) {
                assert_int_equal(chain->rules.n, j);
                break;
            }
            assert_true(j < chain->rules.n);
            assert_string_equal(chain->rules.items[j], cases[i].rules[j]);
        }
        ruleset_done(&set);
    }
#undef OUT
}

static const struct chain *
nat_chain(const struct ruleset *set, const char *name)
{
    VEC_FOREACH (&set->chains, chain) {
        if (strcmp(chain->table, "nat") == 0 && strcmp(chain->name, name) == 0) {
            return chain;
        }
    }
    return NULL;
}

static void
says(const struct ruleset *set, const char *name, const char *const *rules, size_t n)
{
    const struct chain *chain = nat_chain(set, name);

    assert_non_null(chain);
    assert_int_equal(chain->rules.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(chain->rules.items[i], rules[i]);
    }
}

static struct floating_pair
pair(const char *external, const char *internal)
{
    struct floating_pair pair;

    assert_true(ip_parse(external, &pair.external, NULL));
    assert_true(ip_parse(internal, &pair.internal, NULL));
    return pair;
}

static void
floating_addresses_lead_to_pods_and_cost_nothing_without(void **state)
{
    struct static_rules_config config = {.workload_prefix = "cali", .has_floating = true};
    const struct floating_pair pairs[] = {pair("10.9.0.1", "10.0.0.1"),
                                          pair("10.9.0.2", "10.0.0.1"), pair("fd00::9", "fd00::1")};
    static const char *const jump[] = {"-j cali-fip-dnat"};
    static const char *const to[] = {"-d 10.9.0.1/32 -j DNAT --to-destination 10.0.0.1",
                                     "-d 10.9.0.2/32 -j DNAT --to-destination 10.0.0.1"};
    static const char *const itself[] = {
        "-s 10.0.0.1/32 -d 10.0.0.1/32 -j SNAT --to-source 10.9.0.1",
        "-s 10.0.0.1/32 -d 10.0.0.1/32 -j SNAT --to-source 10.9.0.2"};
    static const char *const to6[] = {"-d fd00::9/128 -j DNAT --to-destination fd00::1"};
    struct ruleset set;

    (void)state;
    ruleset_init(&set);
    static_rules(&config, 4, &set);
    floating_rules(4, pairs, ARRAY_LEN(pairs), &set);
    says(&set, "cali-PREROUTING", jump, 1);
    says(&set, "cali-OUTPUT", jump, 1);
    says(&set, "cali-fip-dnat", to, 2);
    says(&set, "cali-fip-snat", itself, 2);
    assert_string_equal(nat_chain(&set, "cali-POSTROUTING")->rules.items[0], "-j cali-fip-snat");
    ruleset_done(&set);
    ruleset_init(&set);
    floating_rules(6, pairs, ARRAY_LEN(pairs), &set);
    says(&set, "cali-fip-dnat", to6, 1);
    ruleset_done(&set);
    ruleset_init(&set);
    config.has_floating = false;
    static_rules(&config, 4, &set);
    assert_null(nat_chain(&set, "cali-PREROUTING"));
    assert_null(nat_chain(&set, "cali-OUTPUT"));
    VEC_FOREACH (&set.hooks, hook) {
        assert_true(strcmp(hook->table, "nat") != 0 || strcmp(hook->builtin, "POSTROUTING") == 0);
    }
    ruleset_done(&set);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_reads_back_as_equal),
        cmocka_unit_test(a_rule_that_is_missing_edited_or_moved_rewrites_its_chain_alone),
        cmocka_unit_test(a_hook_that_is_missing_comes_back_and_one_too_many_goes),
        cmocka_unit_test(chains_and_rules_of_others_are_not_looked_at),
        cmocka_unit_test(leftovers_are_unhooked_emptied_and_then_deleted),
        cmocka_unit_test(a_table_that_cannot_be_read_is_an_error_not_an_empty_table),
        cmocka_unit_test(what_is_static_is_closed_where_it_must_be),
        cmocka_unit_test(pods_leave_the_cluster_as_it_is_set),
        cmocka_unit_test(floating_addresses_lead_to_pods_and_cost_nothing_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
