/* felix/dataplane/iptables: the real tools in namespaces of our own, behind scripts on PATH that
 * count how often each is started and fail when they are told to. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "felix/dataplane/iptables.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "test/unit/cmocka.h"

#define DEADLINE_MS 30000

static char dir[] = "/tmp/canal-iptables-XXXXXX";
static char *tools_path; /* without our scripts */

struct rig {
    uv_loop_t loop;
    uv_timer_t tick;
    struct iptables *tables;
    struct monitor *monitor;
    const char *backend;
    unsigned n_settled, n_wrote, n_drift, n_failed;
    char error[ERR_TEXT_MAX];
};

/* ---- the scripts
 * ---------------------------------------------------------------------------------- */

static void
put(const char *name, const char *text, mode_t mode)
{
    AUTO(str) struct str path = STR_INIT;

    str_addf(&path, "%s/%s", dir, name);
    assert_true(file_write_atomic(path.text, text, strlen(text), mode, NULL));
}

static void
put_script(const char *backend, const char *what)
{
    AUTO(str) struct str name = STR_INIT;
    AUTO(str) struct str text = STR_INIT;

    str_addf(&name, "iptables-%s-%s", backend, what);
    str_addf(&text,
             "#!/bin/sh\n"
             "cd %s\n"
             "echo \"$0 $*\" >>log\n"
             "echo $$ >pid-%s\n"
             "read n <fail-%s\n"
             "if [ \"$n\" -gt 0 ]; then\n"
             "    echo $((n - 1)) >fail-%s\n"
             "    cat fail-text >&2\n"
             "    read code <fail-code\n"
             "    exit $code\n"
             "fi\n"
             "PATH=%s\n"
             "exec %s \"$@\"\n",
             dir, what, what, what, tools_path, name.text);
    put(name.text, text.text, 0755);
}

static void
make_fail(const char *what, const char *times, const char *code, const char *text)
{
    AUTO(str) struct str name = STR_INIT;

    put("fail-text", text, 0644);
    put("fail-code", code, 0644);
    str_addf(&name, "fail-%s", what);
    put(name.text, times, 0644);
}

static void
read_file(const char *name, struct str *ret_text)
{
    AUTO(str) struct str path = STR_INIT;

    str_addf(&path, "%s/%s", dir, name);
    assert_true(file_read(path.text, 1 << 20, ret_text, NULL));
}

/* How often a tool was started since the log was cleared. */
static unsigned
n_started(const char *what)
{
    AUTO(str) struct str log = STR_INIT;
    AUTO(str) struct str name = STR_INIT;
    unsigned n = 0;

    read_file("log", &log);
    str_addf(&name, "-%s ", what);
    for (const char *at = str_text(&log); (at = strstr(at, name.text)); at++) {
        n++;
    }
    return n;
}

static void
clear_log(void)
{
    put("log", "", 0644);
}

/* As another tool would; %s is the backend. */
static void
other_tool(const struct rig *rig, const char *command)
{
    AUTO(str) struct str text = STR_INIT;

    str_addf(&text, "PATH=%s; iptables-%s %s", tools_path, rig->backend, command);
    /* A shell in a test, with nothing from outside in what it is told. */
    assert_int_equal(system(text.text), 0); /* NOLINT(cert-env33-c,bugprone-command-processor) */
}

static char *
saved(const struct rig *rig)
{
    AUTO(str) struct str command = STR_INIT;
    struct str out = STR_INIT;
    char buffer[4096];
    size_t n = 0;

    str_addf(&command, "PATH=%s; iptables-%s-save", tools_path, rig->backend);
    FILE *pipe = popen(command.text, "re"); /* NOLINT(cert-env33-c,bugprone-command-processor) */
    assert_non_null(pipe);
    while ((n = fread(buffer, 1, sizeof buffer, pipe)) > 0) {
        str_add_bytes(&out, buffer, n);
    }
    assert_int_equal(pclose(pipe), 0);
    return str_steal(&out);
}

/* ---- the rig
 * ---------------------------------------------------------------------------------------- */

static void
on_settled(void *owner, const struct iptables_result *result)
{
    struct rig *rig = owner;

    rig->n_settled++;
    rig->n_wrote += result->wrote;
    rig->n_drift += result->is_drift;
    rig->n_failed += !result->in_place;
    if (!result->in_place) {
        snprintf(rig->error, sizeof rig->error, "%s", result->err.text);
    }
}

static void
on_kernel(void *owner, const struct monitor_note *note)
{
    struct rig *rig = owner;

    if (note->event == MONITOR_RULE || note->event == MONITOR_RULES ||
        note->event == MONITOR_RULES_LOST) {
        iptables_on_nft(rig->tables, note);
    }
}

static void
on_tick(uv_timer_t *timer)
{
    (void)timer; /* so that the loop comes round to look at the condition */
}

static void
rig_init(struct rig *rig, const char *backend)
{
    *rig = (struct rig){.backend = backend};
    bool is_nft = strcmp(backend, "nft") == 0;
    const struct iptables_spec spec = {.family = 4,
                                       .backend = is_nft ? IPTABLES_NFT : IPTABLES_LEGACY,
                                       .times.lock_wait_s = 5,
                                       .times.post_write_check_ms = 500,
                                       .settled = on_settled,
                                       .owner = rig};

    assert_int_equal(unshare(CLONE_NEWNET), 0);
    clear_log();
    make_fail("save", "0", "0", "");
    make_fail("restore", "0", "0", "");
    uv_loop_init(&rig->loop);
    uv_timer_init(&rig->loop, &rig->tick);
    uv_timer_start(&rig->tick, on_tick, 5, 5);
    rig->tables = iptables_new(&rig->loop, &spec);
    assert_true(monitor_new(&rig->loop, MONITOR_EVERYTHING, on_kernel, rig, &rig->monitor, NULL));
}

static void
rig_done(struct rig *rig)
{
    iptables_stop(rig->tables);
    monitor_free(rig->monitor);
    uv_close((uv_handle_t *)&rig->tick, NULL);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    iptables_free(rig->tables);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
}

#define WAIT_FOR(rig, condition)                                              \
    do {                                                                      \
        uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;               \
        while (!(condition)) {                                                \
            if (clock_monotonic_ms() > until_ms) {                            \
                fail_msg("waited in vain for %s: %s", #condition, rig.error); \
            }                                                                 \
            uv_run(&rig.loop, UV_RUN_ONCE);                                   \
        }                                                                     \
    } while (0)

/* Long enough for what must not happen to be seen: what would start it has been told. */
static void
turn_for(struct rig *rig, uint64_t ms)
{
    for (uint64_t until_ms = clock_monotonic_ms() + ms; clock_monotonic_ms() < until_ms;) {
        uv_run(&rig->loop, UV_RUN_ONCE);
    }
}

static void
want(struct rig *rig, const char *table, const char *name, const char *rule)
{
    struct ruleset set;

    ruleset_init(&set);
    chain_add(ruleset_chain(&set, table, name), "%s", rule);
    iptables_want_chains(rig->tables, &set);
}

static const struct hook hooks[] = {{"filter", "FORWARD", "cali-a", false},
                                    {"nat", "POSTROUTING", "cali-n", true}};

static void
want_simple(struct rig *rig)
{
    want(rig, "filter", "cali-a", "-j cali-b");
    want(rig, "filter", "cali-b", "-p tcp -j ACCEPT");
    want(rig, "nat", "cali-n", "-j RETURN");
    iptables_want_hooks(rig->tables, hooks, ARRAY_LEN(hooks));
    iptables_apply(rig->tables);
}

static void
start(struct rig *rig, const char *backend)
{
    rig_init(rig, backend);
    want_simple(rig);
    WAIT_FOR((*rig), iptables_is_in_place(rig->tables));
    turn_for(rig, 50); /* what the kernel told of our own write */
    clear_log();
}

static bool
is_in_place(const struct rig *rig)
{
    return iptables_is_in_place(rig->tables) &&
           iptables_in_place_revision(rig->tables) == iptables_wanted_revision(rig->tables);
}

static void
check_saved(const struct rig *rig, const char *is_there, const char *is_not_there)
{
    AUTO_FREE char *text = saved(rig);

    if (is_there && !strstr(text, is_there)) {
        fail_msg("no '%s' in %s", is_there, text);
    }
    if (is_not_there && strstr(text, is_not_there)) {
        fail_msg("'%s' in %s", is_not_there, text);
    }
}

/* ---- tests; each on both backends
 * ----------------------------------------------------------------- */

static void
nothing_is_touched_before_the_first_apply(const char *backend)
{
    struct rig rig;

    rig_init(&rig, backend);
    want(&rig, "filter", "cali-a", "-j DROP");
    iptables_check(rig.tables);
    turn_for(&rig, 100);
    assert_int_equal(n_started("save") + n_started("restore"), 0);
    assert_false(is_in_place(&rig));
    assert_int_equal(iptables_in_place_revision(rig.tables), 0);
    rig_done(&rig);
}

static void
changes_go_to_one_kept_process_and_nothing_is_read(const char *backend)
{
    struct rig rig;
    char rule[64];

    start(&rig, backend);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t revision = iptables_wanted_revision(rig.tables);
        snprintf(rule, sizeof rule, "-p tcp --dport %u -j ACCEPT", 1000 + i);
        want(&rig, "filter", "cali-b", rule);
        iptables_apply(rig.tables);
        assert_false(is_in_place(&rig));
        assert_true(iptables_wanted_revision(rig.tables) > revision);
        WAIT_FOR(rig, is_in_place(&rig));
        check_saved(&rig, strstr(rule, "--dport"), NULL);
    }
    /* On legacy some time after a write is looked; on nft the kernel would tell. */
    if (strcmp(backend, "nft") == 0) {
        turn_for(&rig, 700);
        assert_int_equal(n_started("save"), 0);
    } else {
        WAIT_FOR(rig, n_started("save") > 0);
    }
    assert_int_equal(n_started("restore"), 0);
    assert_int_equal(rig.n_failed + rig.n_drift, 0);
    rig_done(&rig);
}

static void
a_burst_is_one_commit(const char *backend)
{
    struct rig rig;
    char name[CHAIN_NAME_MAX];

    start(&rig, backend);
    unsigned n = rig.n_wrote;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "cali-x%u", i);
        want(&rig, "filter", name, "-j DROP");
        iptables_apply(rig.tables);
    }
    WAIT_FOR(rig, is_in_place(&rig));
    assert_int_equal(rig.n_wrote, n + 1);
    check_saved(&rig, "-A cali-x999 ", NULL);
    rig_done(&rig);
}

static void
a_killed_process_is_replaced(const char *backend)
{
    struct rig rig;
    AUTO(str) struct str text = STR_INIT;
    uint32_t pid = 0;

    start(&rig, backend);
    read_file("pid-restore", &text);
    text.text[strcspn(text.text, "\n")] = '\0';
    assert_true(parse_u32(text.text, 2, UINT32_MAX, &pid, NULL));
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    want(&rig, "filter", "cali-b", "-p udp -j ACCEPT");
    iptables_apply(rig.tables);
    WAIT_FOR(rig, is_in_place(&rig));
    check_saved(&rig, "-p udp", "-p tcp");
    assert_true(n_started("restore") >= 1);
    rig_done(&rig);
}

static void
a_failing_restore_is_tried_until_it_works(const char *backend)
{
    struct rig rig;

    rig_init(&rig, backend);
    make_fail("restore", "2", "4", "made to fail");
    want_simple(&rig);
    WAIT_FOR(rig, rig.n_failed > 0);
    assert_non_null(strstr(rig.error, "made to fail"));
    assert_false(is_in_place(&rig));
    assert_int_equal(iptables_in_place_revision(rig.tables), 0);
    want(&rig, "filter", "cali-b", "-p udp -j ACCEPT");
    iptables_apply(rig.tables);
    WAIT_FOR(rig, is_in_place(&rig));
    check_saved(&rig, "-p udp", "-p tcp");
    assert_int_equal(rig.n_failed, 2);
    rig_done(&rig);
}

static void
a_rule_the_tool_does_not_take_is_an_error_and_no_end(const char *backend)
{
    struct rig rig;

    start(&rig, backend);
    want(&rig, "filter", "cali-b", "-p udp -j ACCEPT");
    want(&rig, "filter", "cali-bad", "--no-such-option -j DROP");
    iptables_apply(rig.tables);
    WAIT_FOR(rig, rig.n_failed >= 2); /* kept, then on its own */
    assert_non_null(strstr(rig.error, "no-such-option"));
    assert_non_null(strstr(rig.error, "-A cali-bad ")); /* which of our rules it is */
    iptables_unwant_chain(rig.tables, "filter", "cali-bad");
    iptables_apply(rig.tables);
    WAIT_FOR(rig, is_in_place(&rig));
    check_saved(&rig, "-p udp", "cali-bad");
    rig_done(&rig);
}

static void
a_policy_that_is_refused_denies_and_holds_up_no_other(const char *backend)
{
    struct rig rig;

    start(&rig, backend);
    want(&rig, "filter", "cali-pi-bad", "--no-such-option -j ACCEPT");
    want(&rig, "filter", "cali-pi-good", "-p udp -j ACCEPT");
    iptables_apply(rig.tables);
    WAIT_FOR(rig, is_in_place(&rig));
    assert_int_equal(rig.n_failed, 3); /* kept, then twice on its own */
    assert_non_null(strstr(rig.error, "denies everything"));
    AUTO_FREE char *text = saved(&rig);
    assert_non_null(strstr(text, "-A cali-pi-good -p udp"));
    const char *bad = strstr(text, "-A cali-pi-bad ");
    assert_non_null(bad);
    assert_non_null(strstr(bad, "-j DROP\n"));
    assert_null(strstr(bad + 1, "-A cali-pi-bad "));
    want(&rig, "filter", "cali-pi-bad", "-p sctp -j ACCEPT");
    iptables_apply(rig.tables);
    WAIT_FOR(rig, is_in_place(&rig));
    check_saved(&rig, "-A cali-pi-bad -p sctp", NULL);
    rig_done(&rig);
}

static void
a_table_that_cannot_be_read_is_no_empty_table(const char *backend)
{
    struct rig rig;

    rig_init(&rig, backend);
    /* With exit code 0. */
    AUTO(str) struct str script = STR_INIT;
    AUTO(str) struct str name = STR_INIT;
    str_addf(&name, "iptables-%s-save", backend);
    str_addf(&script, "#!/bin/sh\necho \"# Table \\`filter' is incompatible, use 'nft' tool.\"\n");
    put(name.text, script.text, 0755);
    want_simple(&rig);
    WAIT_FOR(rig, rig.n_failed >= 2);
    assert_non_null(strstr(rig.error, "incompatible"));
    assert_int_equal(n_started("restore"), 0);
    put_script(backend, "save");
    WAIT_FOR(rig, is_in_place(&rig));
    rig_done(&rig);
}

static void
what_another_tool_did_is_undone(const char *backend)
{
    static const char *const damage[] = {
        "-F cali-b", "-F", "-t nat -F", "-D FORWARD 1", "-A cali-b -j DROP", "-F; iptables-$B -X",
    };
    struct rig rig;

    start(&rig, backend);
    assert_int_equal(setenv("B", backend, 1), 0);
    for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
        unsigned n = rig.n_drift;
        other_tool(&rig, damage[i]);
        WAIT_FOR(rig, rig.n_drift > n);
        check_saved(&rig, "-A cali-b -p tcp", NULL);
        check_saved(&rig, "-A FORWARD", NULL);
        check_saved(&rig, "-A POSTROUTING", NULL);
        check_saved(&rig, NULL, "-A cali-b -j DROP");
    }
    assert_int_equal(rig.n_failed, 0);
    rig_done(&rig);
}

static void
what_others_do_elsewhere_is_not_even_looked_at(void **state)
{
    struct rig rig;

    (void)state;
    start(&rig, "nft");
    other_tool(&rig, "-N KUBE-SVC");
    other_tool(&rig, "-A KUBE-SVC -j ACCEPT");
    other_tool(&rig, "-t nat -N KUBE-SVC");
    turn_for(&rig, 500);
    assert_int_equal(n_started("save"), 0);
    /* One of our own next to it does not hide the foreign one. */
    want(&rig, "filter", "cali-b", "-p udp -j ACCEPT");
    iptables_apply(rig.tables);
    WAIT_FOR(rig, is_in_place(&rig));
    other_tool(&rig, "-F cali-b");
    WAIT_FOR(rig, rig.n_drift == 1);
    check_saved(&rig, "-p udp", NULL);
    rig_done(&rig);
}

static void
leftovers_go_and_others_stay(const char *backend)
{
    struct rig rig;

    rig_init(&rig, backend);
    other_tool(&rig, "-N cali-old");
    other_tool(&rig, "-I FORWARD -j cali-old");
    other_tool(&rig, "-A FORWARD -p udp -j DROP");
    want_simple(&rig);
    WAIT_FOR(rig, is_in_place(&rig));
    check_saved(&rig, "-A FORWARD -p udp -j DROP", "cali-old");
    assert_int_equal(rig.n_drift, 0);
    rig_done(&rig);
}

#define ON_BOTH(test)                   \
    static void test##_nft(void **s)    \
    {                                   \
        (void)s;                        \
        test("nft");                    \
    }                                   \
    static void test##_legacy(void **s) \
    {                                   \
        (void)s;                        \
        test("legacy");                 \
    }

ON_BOTH(nothing_is_touched_before_the_first_apply)
ON_BOTH(changes_go_to_one_kept_process_and_nothing_is_read)
ON_BOTH(a_burst_is_one_commit)
ON_BOTH(a_killed_process_is_replaced)
ON_BOTH(a_failing_restore_is_tried_until_it_works)
ON_BOTH(a_rule_the_tool_does_not_take_is_an_error_and_no_end)
ON_BOTH(a_policy_that_is_refused_denies_and_holds_up_no_other)
ON_BOTH(a_table_that_cannot_be_read_is_no_empty_table)
ON_BOTH(what_another_tool_did_is_undone)
ON_BOTH(leftovers_go_and_others_stay)

#define BOTH(test) cmocka_unit_test(test##_nft), cmocka_unit_test(test##_legacy)

static int
begin(void **state)
{
    AUTO(str) struct str path = STR_INIT;

    (void)state;
    tools_path = xstrdup(getenv("PATH"));
    if (!mkdtemp(dir)) {
        return -1;
    }
    for (unsigned i = 0; i < 4; i++) {
        put_script(i % 2 ? "nft" : "legacy", i / 2 ? "save" : "restore");
    }
    str_addf(&path, "%s:%s", dir, tools_path);
    return setenv("PATH", path.text, 1);
}

static int
end(void **state)
{
    AUTO(str) struct str command = STR_INIT;

    (void)state;
    setenv("PATH", tools_path, 1);
    free(tools_path);
    str_addf(&command, "rm -rf %s", dir);
    return system(command.text); /* NOLINT(cert-env33-c,bugprone-command-processor) */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(nothing_is_touched_before_the_first_apply),
        BOTH(changes_go_to_one_kept_process_and_nothing_is_read),
        BOTH(a_burst_is_one_commit),
        BOTH(a_killed_process_is_replaced),
        BOTH(a_failing_restore_is_tried_until_it_works),
        BOTH(a_rule_the_tool_does_not_take_is_an_error_and_no_end),
        BOTH(a_policy_that_is_refused_denies_and_holds_up_no_other),
        BOTH(a_table_that_cannot_be_read_is_no_empty_table),
        BOTH(what_another_tool_did_is_undone),
        /* On legacy only the size of the whole table is known. */
        cmocka_unit_test(what_others_do_elsewhere_is_not_even_looked_at),
        BOTH(leftovers_go_and_others_stay),
    };

    signal(SIGPIPE, SIG_IGN);
    /* The lock of the legacy tools lies in /run. */
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/run", "tmpfs", 0, NULL) != 0) {
        fprintf(stderr, "namespaces: %s\n", strerror(errno));
        return 1;
    }
    return cmocka_run_group_tests(tests, begin, end);
}
