/* felix/server/counters: who asks gets a reading that began after he asked, whatever the tool does.
 * The tools are scripts here. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "felix/server/counters.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "test/unit/cmocka.h"

static char name_web[] = "web", tier_default[] = "default", all[] = "all()";
static struct policy_rule rules[] = {{.action = RULE_ALLOW,
                                      .protocol = RULE_ANY,
                                      .not_protocol = RULE_ANY,
                                      .icmp_type = RULE_ANY,
                                      .icmp_code = RULE_ANY,
                                      .not_icmp_type = RULE_ANY,
                                      .not_icmp_code = RULE_ANY}};
static struct policy policy = {.origin = POLICY_GLOBAL,
                               .name = name_web,
                               .tier = tier_default,
                               .selector = all,
                               .applies_ingress = true,
                               .ingress = rules,
                               .n_ingress = 1};
static struct active_policy web = {&policy, "0123456789abcdef0123456789abcdef"};

struct rig {
    uv_loop_t loop;
    struct metrics *metrics;
    struct in_force *in_force;
    struct counters *counters;
    struct policy_rules_config config;
    char dir[64], tool[96], number[96];
    int n_busy; /* so often the source says that rules are being written */
    int n_done, n_failed;
};

static bool
source(void *owner, struct counters_source *ret_source)
{
    struct rig *rig = owner;

    if (rig->n_busy > 0) {
        rig->n_busy--;
        return false;
    }
    *ret_source = (struct counters_source){.config = &rig->config, .tools = {rig->tool, NULL}};
    return true;
}

/* Prints a counter that is one higher each time; or whatever 'body' does. */
static void
write_tool(const struct rig *rig, const char *body)
{
    AUTO(str) struct str text = STR_INIT;

    str_addf(&text, "#!/bin/sh\nn=$(($(cat %s 2>/dev/null) + 1)); echo $n >%s\n%s\n", rig->number,
             rig->number,
             body ? body : "echo \"[$n:$n] -A cali-pi-0123456789abcdef0123 -g cali-allow\"");
    assert_true(file_write_atomic(rig->tool, text.text, text.len, 0755, NULL));
}

static int
begin(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);

    log_setup(LOG_ERROR, LOG_TEXT);
    strcpy(rig->dir, "/tmp/canal-counters-XXXXXX"); // NOLINT: it fits
    if (!mkdtemp(rig->dir)) {
        return -1;
    }
    snprintf(rig->tool, sizeof rig->tool, "%s/save", rig->dir);
    snprintf(rig->number, sizeof rig->number, "%s/number", rig->dir);
    write_tool(rig, NULL);
    rig->config.workload_prefix = "cali";
    assert_true(policy_marks_of_mask(POLICY_MARK_MASK_DEFAULT, &rig->config.marks, NULL));
    uv_loop_init(&rig->loop);
    rig->metrics = metrics_new();
    rig->in_force = in_force_new();
    in_force_policy(rig->in_force, &web, true);
    const struct counters_spec spec = {.loop = &rig->loop,
                                       .metrics = rig->metrics,
                                       .in_force = rig->in_force,
                                       .source = source,
                                       .owner = rig};
    rig->counters = counters_new(&spec);
    *state = rig;
    return 0;
}

static int
end(void **state)
{
    struct rig *rig = *state;

    counters_stop(rig->counters);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    counters_free(rig->counters);
    in_force_free(rig->in_force);
    metrics_free(rig->metrics);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    unlink(rig->tool);
    unlink(rig->number);
    rmdir(rig->dir);
    free(rig);
    return 0;
}

static void
on_done(void *owner, const struct err *err)
{
    struct rig *rig = owner;

    rig->n_done++;
    rig->n_failed += err != NULL;
}

/* Turns the loop until it happened; the test's own deadline is the runner's. */
static void
wait_done(struct rig *rig, int n)
{
    while (rig->n_done < n) {
        uv_run(&rig->loop, UV_RUN_ONCE);
    }
}

static uint64_t
counted(const struct rig *rig)
{
    return totals_of_rule(counters_totals(rig->counters), &web, INGRESS, 0).packets;
}

static void
who_asks_gets_a_reading_that_began_afterwards(void **state)
{
    struct rig *rig = *state;

    counters_read(rig->counters, on_done, rig);
    counters_read(rig->counters, on_done, rig);
    wait_done(rig, 1);
    assert_int_equal(rig->n_done, 2); /* one reading for both */
    assert_int_equal(counted(rig), 1);
    counters_read(rig->counters, on_done, rig);
    wait_done(rig, 3);
    assert_int_equal(counted(rig), 2);
    assert_int_equal(rig->n_failed, 0);
}

static void
one_that_came_during_a_reading_waits_for_the_next(void **state)
{
    struct rig *rig = *state;
    AUTO(str) struct str text = STR_INIT;

    /* The tool ends when it is told to: by then the second has asked. */
    str_addf(&text,
             "while [ ! -e %s/go ]; do sleep 0.01; done\n"
             "echo \"[$n:$n] -A cali-pi-0123456789abcdef0123 -g cali-allow\"",
             rig->dir);
    write_tool(rig, text.text);
    counters_read(rig->counters, on_done, rig);
    while (access(rig->number, F_OK) != 0) { /* the child runs */
        uv_run(&rig->loop, UV_RUN_NOWAIT);
    }
    counters_read(rig->counters, on_done, rig);
    str_clear(&text);
    str_addf(&text, "%s/go", rig->dir);
    close(open(text.text, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    wait_done(rig, 1);
    assert_int_equal(rig->n_done, 1);
    assert_int_equal(counted(rig), 1);
    wait_done(rig, 2);
    assert_int_equal(counted(rig), 2);
    unlink(text.text);
}

static void
nothing_is_read_while_rules_are_written(void **state)
{
    struct rig *rig = *state;

    rig->n_busy = 3;
    counters_read(rig->counters, on_done, rig);
    wait_done(rig, 1);
    assert_int_equal(rig->n_busy, 0);
    assert_int_equal(rig->n_failed, 0);
    assert_int_equal(counted(rig), 1);
}

static void
a_tool_that_fails_is_an_error_and_totals_stay(void **state)
{
    struct rig *rig = *state;

    counters_read(rig->counters, on_done, rig);
    wait_done(rig, 1);
    write_tool(rig, "echo no >&2; exit 3");
    counters_read(rig->counters, on_done, rig);
    wait_done(rig, 2);
    assert_int_equal(rig->n_failed, 1);
    assert_int_equal(counted(rig), 1);
    unlink(rig->tool);
    counters_read(rig->counters, on_done, rig);
    wait_done(rig, 3);
    assert_int_equal(rig->n_failed, 2);
}

static void
a_scrape_has_it_read_for_the_next(void **state)
{
    struct rig *rig = *state;
    static const char line[] =
        "canal_policy_rule_packets_total{policy=\"GlobalNetworkPolicy web\","
        "direction=\"ingress\",rule=\"0\",action=\"allow\",staged=\"false\"} ";
    AUTO(str) struct str first = STR_INIT;
    AUTO(str) struct str second = STR_INIT;

    metrics_write(rig->metrics, &first);
    assert_null(strstr(first.text, line));
    while (counted(rig) == 0) {
        uv_run(&rig->loop, UV_RUN_ONCE);
    }
    metrics_write(rig->metrics, &second); /* so soon it has nothing read */
    const char *found = strstr(second.text, line);
    assert_non_null(found);
    assert_int_equal(strncmp(found + strlen(line), "1\n", 2), 0);
}

static void
those_that_wait_are_told_when_it_ends(void **state)
{
    struct rig *rig = *state;

    rig->n_busy = 1000000;
    counters_read(rig->counters, on_done, rig);
    uv_run(&rig->loop, UV_RUN_ONCE);
    counters_stop(rig->counters);
    assert_int_equal(rig->n_failed, 1);
    counters_read(rig->counters, on_done, rig);
    assert_int_equal(rig->n_done, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_asks_gets_a_reading_that_began_afterwards, begin, end),
        cmocka_unit_test_setup_teardown(one_that_came_during_a_reading_waits_for_the_next, begin,
                                        end),
        cmocka_unit_test_setup_teardown(nothing_is_read_while_rules_are_written, begin, end),
        cmocka_unit_test_setup_teardown(a_tool_that_fails_is_an_error_and_totals_stay, begin, end),
        cmocka_unit_test_setup_teardown(a_scrape_has_it_read_for_the_next, begin, end),
        cmocka_unit_test_setup_teardown(those_that_wait_are_told_when_it_ends, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
