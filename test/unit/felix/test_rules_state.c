/* felix/rules/rules_state: the incremental plan against a small kernel that takes what
 * iptables-restore takes, and refuses what it refuses: jumps to chains that are not there, deleting
 * chains that are named. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/rules/rules_state.h"
#include "lib/base/alloc.h"
#include "lib/base/table.h"
#include "test/unit/cmocka.h"

/* ---- a kernel with one table
 * ---------------------------------------------------------------------- */

struct line_list {
    VEC(char *) lines; /* rules, without "-A <chain> " */
};

struct kernel {
    struct table *chains; /* name -> struct line_list */
};

static void
list_clear(struct line_list *list)
{
    VEC_FOREACH (&list->lines, line) {
        free(*line);
    }
    VEC_DONE(&list->lines);
}

static void
list_free(void *value)
{
    list_clear(value);
    free(value);
}

static struct line_list *
kernel_make(struct kernel *kernel, const char *name)
{
    struct line_list *list = table_get(kernel->chains, name);

    if (!list) {
        list = NEW(struct line_list);
        table_put(kernel->chains, name, list);
    }
    return list;
}

static void
kernel_init(struct kernel *kernel)
{
    *kernel = (struct kernel){.chains = table_new()};
    kernel_make(kernel, "FORWARD");
    kernel_make(kernel, "INPUT");
}

static void
kernel_done(struct kernel *kernel)
{
    table_free(kernel->chains, list_free);
}

static const char *
target_of(const char *rule)
{
    const char *at = strstr(rule, "-j ");

    return at ? at + 3 : "";
}

static bool
is_named(const struct kernel *kernel, const char *chain)
{
    TABLE_FOREACH (kernel->chains, entry) {
        struct line_list *list = table_value(entry);
        VEC_FOREACH (&list->lines, line) {
            if (strcmp(target_of(*line), chain) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* 'number': the place it gets, from 1; 0: at the end. */
static void
kernel_add(struct kernel *kernel, const char *chain, const char *rule, size_t number)
{
    struct line_list *list = table_get(kernel->chains, chain);
    const char *target = target_of(rule);

    assert_non_null(list);
    if (strncmp(target, "cali-", 5) == 0 && !table_get(kernel->chains, target)) {
        fail_msg("%s jumps to %s, which is not there", chain, target);
    }
    VEC_PUSH(&list->lines, xstrdup(rule));
    assert_true(number <= list->lines.n);
    for (size_t i = list->lines.n - 1; number > 0 && i >= number; i--) {
        char *above = list->lines.items[i - 1];
        list->lines.items[i - 1] = list->lines.items[i];
        list->lines.items[i] = above;
    }
}

static void
kernel_remove(struct kernel *kernel, const char *chain, const char *rule)
{
    struct line_list *list = table_get(kernel->chains, chain);

    assert_non_null(list);
    for (size_t i = 0; i < list->lines.n; i++) {
        if (strcmp(list->lines.items[i], rule) == 0) {
            free(list->lines.items[i]);
            for (; i + 1 < list->lines.n; i++) {
                list->lines.items[i] = list->lines.items[i + 1];
            }
            list->lines.n--;
            return;
        }
    }
    fail_msg("there is no rule '%s' in %s", rule, chain);
}

static void
kernel_command(struct kernel *kernel, char *line)
{
    char *name = line[0] == ':' ? line + 1 : line + 3;
    char *rest = name + strcspn(name, " ");

    if (*rest == ' ') {
        *rest++ = '\0';
    }
    if (line[0] == ':') {
        list_clear(kernel_make(kernel, name));
    } else if (line[1] == 'A') {
        kernel_add(kernel, name, rest, 0);
    } else if (line[1] == 'I') {
        size_t number = (size_t)strtoul(rest, &rest, 10);
        kernel_add(kernel, name, number > 0 ? rest + 1 : rest, number > 0 ? number : 1);
    } else if (line[1] == 'D') {
        kernel_remove(kernel, name, rest);
    } else if (line[1] == 'X') {
        struct line_list *list = table_get(kernel->chains, name);
        assert_non_null(list);
        assert_int_equal(list->lines.n, 0);
        assert_false(is_named(kernel, name));
        table_take(kernel->chains, name);
        list_free(list);
    } else {
        fail_msg("%s", line);
    }
}

static void
kernel_restore(struct kernel *kernel, const char *input)
{
    AUTO_FREE char *copy = xstrdup(input);
    char *save = NULL;

    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (line[0] != '*' && strcmp(line, "COMMIT") != 0) {
            kernel_command(kernel, line);
        }
    }
}

/* As iptables-save prints. The caller frees. */
static char *
kernel_save(const struct kernel *kernel)
{
    struct str out = STR_INIT;

    str_add(&out, "*filter\n");
    TABLE_FOREACH (kernel->chains, entry) {
        str_addf(&out, ":%s - [0:0]\n", table_key(entry));
    }
    TABLE_FOREACH (kernel->chains, entry) {
        struct line_list *list = table_value(entry);
        VEC_FOREACH (&list->lines, line) {
            str_addf(&out, "-A %s %s\n", table_key(entry), *line);
        }
    }
    str_add(&out, "COMMIT\n");
    return out.text;
}

/* ---- helpers
 * -------------------------------------------------------------------------------------- */

static void
learn(struct rules_state *state, const struct kernel *kernel)
{
    AUTO_FREE char *saved = kernel_save(kernel);

    assert_true(rules_state_learn(state, saved, NULL));
}

/* Plans and carries out; returns what was told. The caller frees. */
static char *
apply(struct rules_state *state, struct kernel *kernel)
{
    struct str text = STR_INIT;
    size_t n = rules_state_plan(state, &text).n_tables;

    assert_int_equal(n, text.len > 0);
    kernel_restore(kernel, str_text(&text));
    rules_state_committed(state);
    return text.text ? text.text : xstrdup("");
}

static void
want(struct rules_state *state, const char *name, const char *first, const char *second)
{
    struct ruleset set;

    ruleset_init(&set);
    struct chain *chain = ruleset_chain(&set, "filter", name);
    chain_add(chain, "%s", first);
    if (second) {
        chain_add(chain, "%s", second);
    }
    rules_state_want_chains(state, &set);
}

static const struct hook hook = {"filter", "FORWARD", "cali-a", false};

/* cali-a → cali-b, hooked. */
static struct rules_state *
simple(struct kernel *kernel)
{
    struct rules_state *state = rules_state_new();

    kernel_init(kernel);
    want(state, "cali-a", "-j cali-b", "-j DROP");
    want(state, "cali-b", "-p tcp -j ACCEPT", NULL);
    rules_state_want_hooks(state, &hook, 1);
    learn(state, kernel);
    free(apply(state, kernel));
    return state;
}

/* ---- tests
 * ---------------------------------------------------------------------------------------- */

static void
a_change_writes_its_chain_and_no_other(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);

    (void)state;
    want(rules, "cali-b", "-p udp -j ACCEPT", NULL);
    AUTO_FREE char *text = apply(rules, &kernel);
    assert_non_null(strstr(text, ":cali-b - [0:0]\n-A cali-b -m comment --comment \"cali:"));
    assert_null(strstr(text, "cali-a"));
    assert_null(strstr(text, "FORWARD"));
    AUTO_FREE char *again = apply(rules, &kernel);
    assert_string_equal(again, "");
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
a_chain_that_gets_rules_keeps_those_it_has(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);
    AUTO(str) struct str text = STR_INIT;
    struct ruleset set;

    (void)state;
    ruleset_init(&set);
    struct chain *chain = ruleset_chain(&set, "filter", "cali-a");
    chain_add(chain, "-j cali-new");
    chain_add(chain, "-j cali-b");
    chain_add(chain, "-p udp -j DROP");
    chain_add(chain, "-j DROP");
    chain_add(chain, "-p sctp -j DROP");
    chain_add(ruleset_chain(&set, "filter", "cali-new"), "-p icmp -j DROP");
    rules_state_want_chains(rules, &set);
    struct plan plan = rules_state_plan(rules, &text);
    assert_int_equal(plan.n_tables, 1);
    assert_false(plan.deletes);
    assert_null(strstr(text.text, ":cali-a"));
    assert_non_null(strstr(text.text, "-I cali-a 1 "));
    assert_non_null(strstr(text.text, "-I cali-a 3 "));
    assert_non_null(strstr(text.text, "-A cali-a "));
    assert_null(strstr(text.text, "-j cali-b"));
    kernel_restore(&kernel, text.text);
    rules_state_committed(rules);
    learn(rules, &kernel);
    AUTO_FREE char *again = apply(rules, &kernel);
    assert_string_equal(again, "");
    want(rules, "cali-a", "-j cali-b", "-j DROP");
    assert_true(rules_state_plan(rules, &text).deletes);
    assert_non_null(strstr(text.text, ":cali-a"));
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
what_is_equal_is_no_change(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);
    struct ruleset set;

    (void)state;
    ruleset_init(&set);
    chain_add(ruleset_chain(&set, "filter", "cali-b"), "-p tcp -j ACCEPT");
    assert_false(rules_state_want_chains(rules, &set));
    assert_int_equal(set.chains.n, 0);
    assert_false(rules_state_want_hooks(rules, &hook, 1));
    assert_false(rules_state_unwant_chain(rules, "filter", "cali-other"));
    /* There and back before anything was written. */
    want(rules, "cali-b", "-p udp -j ACCEPT", NULL);
    want(rules, "cali-b", "-p tcp -j ACCEPT", NULL);
    AUTO_FREE char *text = apply(rules, &kernel);
    assert_string_equal(text, "");
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
a_chain_goes_when_the_last_rule_that_names_it_goes(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);

    (void)state;
    assert_true(rules_state_unwant_chain(rules, "filter", "cali-b"));
    AUTO_FREE char *kept = apply(rules, &kernel);
    /* Not even emptied: it may be what denies. */
    assert_string_equal(kept, "");
    want(rules, "cali-a", "-j DROP", NULL);
    AUTO_FREE char *gone = apply(rules, &kernel);
    assert_non_null(strstr(gone, "-X cali-b"));
    assert_null(table_get(kernel.chains, "cali-b"));
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
chains_that_only_name_one_another_go_together(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = rules_state_new();

    (void)state;
    kernel_init(&kernel);
    want(rules, "cali-a", "-j cali-b", NULL);
    want(rules, "cali-b", "-j cali-c", NULL);
    want(rules, "cali-c", "-j DROP", NULL);
    learn(rules, &kernel);
    free(apply(rules, &kernel));
    rules_state_unwant_chain(rules, "filter", "cali-c");
    rules_state_unwant_chain(rules, "filter", "cali-b");
    rules_state_unwant_chain(rules, "filter", "cali-a");
    free(apply(rules, &kernel));
    assert_int_equal(table_count(kernel.chains), 2);
    assert_false(rules_state_uses(rules, TABLE_FILTER));
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
what_is_wanted_while_it_is_written_comes_with_the_next_plan(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);
    AUTO(str) struct str text = STR_INIT;

    (void)state;
    want(rules, "cali-b", "-p udp -j ACCEPT", NULL);
    assert_int_equal(rules_state_plan(rules, &text).n_tables, 1);
    want(rules, "cali-b", "-p sctp -j ACCEPT", NULL);
    want(rules, "cali-c", "-j DROP", NULL);
    kernel_restore(&kernel, text.text);
    rules_state_committed(rules);
    AUTO_FREE char *next = apply(rules, &kernel);
    assert_non_null(strstr(next, "-p sctp"));
    assert_non_null(strstr(next, ":cali-c"));
    AUTO_FREE char *saved = kernel_save(&kernel);
    assert_null(strstr(saved, "udp"));
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
a_failed_write_is_made_good_from_what_is_read(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);
    AUTO(str) struct str text = STR_INIT;

    (void)state;
    want(rules, "cali-b", "-p udp -j ACCEPT", NULL);
    rules_state_plan(rules, &text);
    rules_state_failed(rules); /* nothing of it arrived */
    learn(rules, &kernel);
    AUTO_FREE char *again = apply(rules, &kernel);
    assert_string_equal(again, text.text);
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
a_hook_goes_back_on_top_when_others_got_above_it(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);
    const struct line_list *forward = table_get(kernel.chains, "FORWARD");

    (void)state;
    kernel_add(&kernel, "FORWARD", "-j ACCEPT", 0);
    learn(rules, &kernel);
    AUTO_FREE char *below = apply(rules, &kernel);
    assert_string_equal(below, "");
    kernel_add(&kernel, "FORWARD", "-p tcp -j ACCEPT", 1);
    learn(rules, &kernel);
    free(apply(rules, &kernel));
    assert_int_equal(forward->lines.n, 3);
    assert_non_null(strstr(forward->lines.items[0], "-j cali-a"));
    assert_string_equal(forward->lines.items[1], "-p tcp -j ACCEPT");
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
two_hooks_on_top_come_in_their_order_and_old_ones_go(void **state)
{
    static const struct hook two[] = {{"filter", "INPUT", "cali-a", false},
                                      {"filter", "INPUT", "cali-b", false},
                                      {"filter", "INPUT", "cali-c", true}};
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);
    const struct line_list *input = table_get(kernel.chains, "INPUT");
    const struct line_list *forward = table_get(kernel.chains, "FORWARD");

    (void)state;
    kernel_add(&kernel, "INPUT", "-j ACCEPT", 0);
    want(rules, "cali-c", "-j DROP", NULL);
    assert_true(rules_state_want_hooks(rules, two, 3));
    learn(rules, &kernel);
    free(apply(rules, &kernel));
    assert_int_equal(forward->lines.n, 0);
    assert_int_equal(input->lines.n, 4);
    assert_non_null(strstr(input->lines.items[0], "cali-a"));
    assert_non_null(strstr(input->lines.items[1], "cali-b"));
    assert_non_null(strstr(input->lines.items[3], "cali-c"));
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
a_hook_moves_when_it_is_to_be_appended_or_inserted(void **state)
{
    static const struct hook on_top[] = {{"filter", "FORWARD", "cali-a", false},
                                         {"filter", "FORWARD", "cali-b", true}};
    static const struct hook appended[] = {{"filter", "FORWARD", "cali-a", true},
                                           {"filter", "FORWARD", "cali-b", true}};
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);
    const struct line_list *forward = table_get(kernel.chains, "FORWARD");

    (void)state;
    assert_true(rules_state_want_hooks(rules, on_top, 2));
    learn(rules, &kernel);
    free(apply(rules, &kernel));
    kernel_add(&kernel, "FORWARD", "-j ACCEPT", false);
    assert_true(rules_state_want_hooks(rules, appended, 2));
    learn(rules, &kernel);
    free(apply(rules, &kernel));
    assert_int_equal(forward->lines.n, 3);
    assert_string_equal(forward->lines.items[0], "-j ACCEPT");
    assert_non_null(strstr(forward->lines.items[1], "-j cali-a"));
    assert_non_null(strstr(forward->lines.items[2], "-j cali-b"));
    /* Others that come behind it do not make it move. */
    kernel_add(&kernel, "FORWARD", "-p tcp -j ACCEPT", false);
    learn(rules, &kernel);
    AUTO_FREE char *again = apply(rules, &kernel);
    assert_string_equal(again, "");
    assert_true(rules_state_want_hooks(rules, on_top, 2));
    learn(rules, &kernel);
    free(apply(rules, &kernel));
    assert_int_equal(forward->lines.n, 4);
    assert_non_null(strstr(forward->lines.items[0], "-j cali-a"));
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
a_refused_chain_drops_until_it_is_pardoned_or_changed(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);
    const struct line_list *b = table_get(kernel.chains, "cali-b");

    (void)state;
    assert_false(rules_state_refuse(rules, "cali-none"));
    assert_true(rules_state_refuse(rules, "cali-b"));
    assert_false(rules_state_refuse(rules, "cali-b"));
    free(apply(rules, &kernel));
    assert_int_equal(b->lines.n, 1);
    assert_non_null(strstr(b->lines.items[0], "-j DROP"));
    learn(rules, &kernel);
    AUTO_FREE char *same = apply(rules, &kernel);
    assert_string_equal(same, "");
    want(rules, "cali-b", "-p tcp -j ACCEPT", NULL); /* as before: nothing new */
    AUTO_FREE char *equal = apply(rules, &kernel);
    assert_string_equal(equal, "");
    assert_true(rules_state_pardon(rules));
    assert_false(rules_state_pardon(rules));
    free(apply(rules, &kernel));
    assert_non_null(strstr(b->lines.items[0], "-p tcp -j ACCEPT"));
    rules_state_refuse(rules, "cali-b");
    want(rules, "cali-b", "-p udp -j ACCEPT", NULL);
    assert_false(rules_state_pardon(rules));
    free(apply(rules, &kernel));
    assert_non_null(strstr(b->lines.items[0], "-p udp -j ACCEPT"));
    learn(rules, &kernel);
    AUTO_FREE char *last = apply(rules, &kernel);
    assert_string_equal(last, "");
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
a_line_break_in_a_rule_is_no_command(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);

    (void)state;
    want(rules, "cali-b", "-j DROP\n-F\rCOMMIT", NULL);
    AUTO_FREE char *text = apply(rules, &kernel);
    assert_non_null(strstr(text, " -j DROP -F COMMIT\nCOMMIT\n"));
    rules_state_free(rules);
    kernel_done(&kernel);
}

static void
chains_that_are_not_ours_cannot_be_wanted(void **state)
{
    struct kernel kernel;
    struct rules_state *rules = simple(&kernel);
    struct ruleset set;

    (void)state;
    ruleset_init(&set);
    chain_add(ruleset_chain(&set, "filter", "INPUT"), "-j DROP");
    chain_add(ruleset_chain(&set, "security", "cali-x"), "-j DROP");
    assert_false(rules_state_want_chains(rules, &set));
    AUTO_FREE char *text = apply(rules, &kernel);
    assert_string_equal(text, "");
    rules_state_free(rules);
    kernel_done(&kernel);
}

/* ---- a random history
 * ----------------------------------------------------------------------------- */

#define N_CHAINS 12
#define N_AROUND 6

static unsigned
random_below(unsigned *seed, unsigned n)
{
    *seed = *seed * 1103515245 + 12345;
    return (*seed >> 16) % n;
}

/* Only chains of higher numbers are named: no loops. NULL: not wanted. */
struct history {
    char *wanted[N_CHAINS];    /* the rule in the middle */
    unsigned around[N_CHAINS]; /* a bit for each of N_AROUND rules before and behind it */
    unsigned seed;
};

static void
history_chain(const struct history *history, unsigned i, struct ruleset *set)
{
    char name[32];

    snprintf(name, sizeof name, "cali-%u", i);
    struct chain *chain = ruleset_chain(set, "filter", name);
    for (unsigned k = 0; k < N_AROUND; k++) {
        if (k == N_AROUND / 2) {
            chain_add(chain, "%s", history->wanted[i]);
        }
        if (history->around[i] >> k & 1) {
            chain_add(chain, "-p %u -j ACCEPT", 100 + k);
        }
    }
}

static bool
is_named_by_wanted(const struct history *history, unsigned i)
{
    char target[32];

    snprintf(target, sizeof target, "-j cali-%u", i);
    for (unsigned k = 0; k < N_CHAINS; k++) {
        const char *at = history->wanted[k] ? strstr(history->wanted[k], target) : NULL;
        if (at && at[strlen(target)] == '\0') {
            return true;
        }
    }
    return false;
}

static void
want_history(const struct history *history, unsigned i, struct rules_state *rules)
{
    struct ruleset set;

    ruleset_init(&set);
    history_chain(history, i, &set);
    rules_state_want_chains(rules, &set);
}

static void
random_want(struct history *history, struct rules_state *rules)
{
    unsigned i = random_below(&history->seed, N_CHAINS);
    unsigned target = i + 1 + random_below(&history->seed, N_CHAINS);
    char name[32], rule[64];

    snprintf(name, sizeof name, "cali-%u", i);
    if (history->wanted[i] && random_below(&history->seed, 3) > 0) {
        /* One more, mostly, or one less. */
        history->around[i] ^= 1U << random_below(&history->seed, N_AROUND);
        history->around[i] |= 1U << random_below(&history->seed, N_AROUND);
        want_history(history, i, rules);
        return;
    }
    if (history->wanted[i] && random_below(&history->seed, 3) == 0) {
        /* As callers do: what names it is changed first, here in the same step or never. */
        if (!is_named_by_wanted(history, i)) {
            free(history->wanted[i]);
            history->wanted[i] = NULL;
            rules_state_unwant_chain(rules, "filter", name);
        }
        return;
    }
    if (target < N_CHAINS && history->wanted[target]) {
        snprintf(rule, sizeof rule, "-j cali-%u", target);
    } else {
        snprintf(rule, sizeof rule, "-p %u -j DROP", random_below(&history->seed, 5));
    }
    free(history->wanted[i]);
    history->wanted[i] = xstrdup(rule);
    want_history(history, i, rules);
}

/* What another tool may do. */
static void
random_damage(struct history *history, struct kernel *kernel)
{
    char name[32];
    snprintf(name, sizeof name, "cali-%u", random_below(&history->seed, N_CHAINS));
    struct line_list *list = table_get(kernel->chains, name);

    switch (random_below(&history->seed, 4)) {
    case 0:
        if (list) {
            list_clear(list);
        }
        break;
    case 1:
        kernel_add(kernel, "FORWARD", "-p foreign -j ACCEPT", random_below(&history->seed, 2));
        break;
    case 2:
        if (list && list->lines.n >= 2) {
            char *first = list->lines.items[0];
            list->lines.items[0] = list->lines.items[1];
            list->lines.items[1] = first;
        }
        break;
    default:
        list_clear(kernel_make(kernel, "cali-leftover"));
        kernel_add(kernel, "INPUT", "-j cali-leftover", 1);
        break;
    }
}

static void
check_equal(const struct history *history, const struct kernel *kernel)
{
    AUTO_FREE char *saved = kernel_save(kernel);
    AUTO(str) struct str text = STR_INIT;
    struct ruleset set;

    ruleset_init(&set);
    for (unsigned i = 0; i < N_CHAINS; i++) {
        if (history->wanted[i]) {
            history_chain(history, i, &set);
        }
    }
    assert_true(ruleset_diff(&set, saved, &text, NULL));
    assert_string_equal(str_text(&text), "");
    ruleset_done(&set);
}

static void
after_any_history_the_kernel_is_what_is_wanted(void **state)
{
    (void)state;
    for (unsigned run = 0; run < 40; run++) {
        struct history history = {.seed = run};
        struct kernel kernel;
        struct rules_state *rules = rules_state_new();

        kernel_init(&kernel);
        learn(rules, &kernel);
        for (unsigned step = 0; step < 200; step++) {
            for (unsigned k = random_below(&history.seed, 4); k > 0; k--) {
                random_want(&history, rules);
            }
            if (random_below(&history.seed, 5) == 0) {
                random_damage(&history, &kernel);
                learn(rules, &kernel);
            }
            free(apply(rules, &kernel));
            check_equal(&history, &kernel);
        }
        for (unsigned i = 0; i < N_CHAINS; i++) {
            free(history.wanted[i]);
        }
        rules_state_free(rules);
        kernel_done(&kernel);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_writes_its_chain_and_no_other),
        cmocka_unit_test(a_chain_that_gets_rules_keeps_those_it_has),
        cmocka_unit_test(what_is_equal_is_no_change),
        cmocka_unit_test(a_chain_goes_when_the_last_rule_that_names_it_goes),
        cmocka_unit_test(chains_that_only_name_one_another_go_together),
        cmocka_unit_test(what_is_wanted_while_it_is_written_comes_with_the_next_plan),
        cmocka_unit_test(a_failed_write_is_made_good_from_what_is_read),
        cmocka_unit_test(a_hook_goes_back_on_top_when_others_got_above_it),
        cmocka_unit_test(two_hooks_on_top_come_in_their_order_and_old_ones_go),
        cmocka_unit_test(a_hook_moves_when_it_is_to_be_appended_or_inserted),
        cmocka_unit_test(a_refused_chain_drops_until_it_is_pardoned_or_changed),
        cmocka_unit_test(a_line_break_in_a_rule_is_no_command),
        cmocka_unit_test(chains_that_are_not_ours_cannot_be_wanted),
        cmocka_unit_test(after_any_history_the_kernel_is_what_is_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
