/* lib/settings: precedence of flag, environment, file and default, and what bad values do. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/settings/help.h"
#include "lib/settings/settings.h"
#include "test/unit/cmocka.h"

struct target {
    char *name;
    bool ipv6;
    uint32_t port;
    uint64_t refresh_ms;
    unsigned backend;
    uint32_t lock_s;
    uint32_t mask;
    bool given[8];
};

static const char *const backends[] = {"auto", "legacy", "nft", NULL};
static const struct setting rows[] = {
    {.name = "NodeName",
     .env = "TEST_NODENAME",
     .type = SETTING_TEXT,
     .initial = "",
     .offset = offsetof(struct target, name),
     .help = "Name."},
    {.name = "Ipv6Support",
     .env = "TEST_IPV6SUPPORT",
     .type = SETTING_BOOL,
     .initial = "true",
     .offset = offsetof(struct target, ipv6),
     .help = "IPv6."},
    {.name = "HealthPort",
     .env = "TEST_HEALTHPORT",
     .type = SETTING_U32,
     .initial = "9099",
     .min = 1,
     .max = 65535,
     .offset = offsetof(struct target, port),
     .help = "Port."},
    {.name = "RouteRefreshInterval",
     .env = "TEST_ROUTEREFRESHINTERVAL",
     .type = SETTING_DURATION,
     .initial = "90s",
     .offset = offsetof(struct target, refresh_ms),
     .help = "Interval."},
    {.name = "IptablesBackend",
     .env = "TEST_IPTABLESBACKEND",
     .type = SETTING_CHOICE,
     .initial = "auto",
     .choices = backends,
     .offset = offsetof(struct target, backend),
     .help = "Backend."},
    {.name = "LockTimeout",
     .env = "TEST_LOCKTIMEOUTSECS",
     .type = SETTING_SECONDS,
     .initial = "10",
     .min = 1,
     .max = 600,
     .offset = offsetof(struct target, lock_s),
     .help = "Wait."},
    {.name = "MarkMask",
     .env = "TEST_MARKMASK",
     .type = SETTING_MASK,
     .initial = "0xffff0000",
     .field = "markBits",
     .offset = offsetof(struct target, mask),
     .help = "Mask."},
};

static struct settings_spec spec = {.program = "test",
                                    .summary = "a test",
                                    .file_env = "TEST_FILE",
                                    .env_prefix = "TEST_",
                                    .given = offsetof(struct target, given),
                                    .rows = rows,
                                    .n_rows = ARRAY_LEN(rows)};
static char reports[4096];

static void
report(const char *text)
{
    strncat(reports, text, sizeof reports - strlen(reports) - 1);
    strncat(reports, "\n", sizeof reports - strlen(reports) - 1);
}

static enum settings_outcome
load(struct target *target, const char *flag)
{
    char *argv[] = {(char *)(uintptr_t) "test", (char *)(uintptr_t)flag, NULL};

    reports[0] = '\0';
    return settings_load(&spec, flag ? 2 : 1, argv, target, report);
}

static int
clear_environment(void **state)
{
    (void)state;
    clearenv();
    return 0;
}

static void
flag_beats_environment_beats_file_beats_default(void **state)
{
    char path[] = "/tmp/test_settings_XXXXXX";
    const char text[] = "# a comment\n[global]\nHealthPort = 1000\nTEST_IPTABLESBACKEND=nft\n"
                        "RouteRefreshInterval=5s\n";
    struct target target = {0};

    (void)state;
    close(mkstemp(path));
    assert_true(file_write_atomic(path, text, strlen(text), 0600, NULL));
    setenv("TEST_FILE", path, 1);
    setenv("TEST_HEALTHPORT", "2000", 1);
    setenv("test_routerefreshinterval", "7", 1);
    assert_int_equal(load(&target, "--health-port=3000"), SETTINGS_RUN);
    assert_int_equal(target.port, 3000);
    assert_int_equal(target.refresh_ms, 7000);
    assert_int_equal(target.backend, 2);
    assert_true(target.ipv6);
    assert_string_equal(target.name, "");
    settings_done(&spec, &target);
    unlink(path);
}

static void
a_bad_value_is_named_and_leaves_the_next_lower_source(void **state)
{
    struct target target = {0};

    (void)state;
    setenv("TEST_HEALTHPORT", "70000", 1);
    setenv("TEST_IPTABLESBACKEND", "ebpf", 1);
    setenv("TEST_NODENAME", "n1", 1);
    setenv("TEST_TYPO", "1", 1);
    assert_int_equal(load(&target, NULL), SETTINGS_RUN);
    assert_int_equal(target.port, 9099);
    assert_int_equal(target.backend, 0);
    assert_string_equal(target.name, "n1");
    assert_non_null(strstr(reports, "environment: setting HealthPort: '70000' is not a number"));
    assert_non_null(strstr(reports, "setting IptablesBackend: 'ebpf' is not one of: auto, legacy"));
    assert_non_null(strstr(reports, "setting TEST_TYPO is not known"));
    settings_done(&spec, &target);
}

static void
a_bad_flag_stops(void **state)
{
    struct target target = {0};

    (void)state;
    assert_int_equal(load(&target, "--health-port=x"), SETTINGS_EXIT_BAD);
    assert_int_equal(load(&target, "--nonsense"), SETTINGS_EXIT_BAD);
    assert_int_equal(load(&target, "--health-port"), SETTINGS_EXIT_BAD);
    settings_done(&spec, &target);
}

static void
one_setting_can_be_set_by_name(void **state)
{
    struct target target = {0};
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(load(&target, NULL), SETTINGS_RUN);
    assert_true(settings_set(&spec, &target, "ipv6Support", "false", &err));
    assert_false(target.ipv6);
    assert_false(settings_set(&spec, &target, "healthPort", "0", &err));
    assert_string_equal(err.text, "setting HealthPort: '0' is not a number from 1 to 65535");
    settings_done(&spec, &target);
}

static void
flag_names_follow_the_words(void **state)
{
    static const char *const names[][2] = {
        {"IptablesRefreshInterval", "iptables-refresh-interval"},
        {"IP", "ip"},
        {"IPAutodetectionMethod", "ip-autodetection-method"},
        {"Ipv6Support", "ipv6-support"},
        {"DumpContext", "dump-context"},
        {"FloatingIPs", "floating-ips"},
        {"IPv4NormalRoutePriority", "ipv4-normal-route-priority"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *flag = settings_flag_name(names[i][0]);
        assert_string_equal(flag, names[i][1]);
    }
}

static void
seconds_and_masks_come_in_two_forms(void **state)
{
    static const char *const bad[][2] = {{"LockTimeout", "0s"},       {"LockTimeout", "1500ms"},
                                         {"LockTimeout", "11m"},      {"MarkMask", "0x"},
                                         {"MarkMask", "ff"},          {"MarkMask", "-1"},
                                         {"MarkMask", "0xfffffffff"}, {"MarkMask", "4294967296"}};
    struct target target = {0};

    (void)state;
    assert_int_equal(load(&target, NULL), SETTINGS_RUN);
    assert_int_equal(target.lock_s, 10);
    assert_int_equal(target.mask, 0xffff0000);
    assert_true(settings_set(&spec, &target, "LockTimeout", "1m30s", NULL));
    assert_int_equal(target.lock_s, 90);
    assert_true(settings_set(&spec, &target, "MARKBITS", "4278190080", NULL));
    assert_int_equal(target.mask, 0xff000000);
    assert_true(settings_set(&spec, &target, "MarkMask", "0XF0", NULL));
    assert_int_equal(target.mask, 0xf0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (settings_set(&spec, &target, bad[i][0], bad[i][1], NULL)) {
            fail_msg("%s must not take %s", bad[i][0], bad[i][1]);
        }
    }
    settings_done(&spec, &target);
}

static void
what_was_given_is_remembered_by_row(void **state)
{
    struct target target = {0}, copy = {0};

    (void)state;
    setenv("TEST_HEALTHPORT", "70000", 1);
    setenv("TEST_ROUTEREFRESHINTERVAL", "7", 1);
    assert_int_equal(load(&target, "--iptables-backend=nft"), SETTINGS_RUN);
    assert_false(target.given[0]);
    assert_false(target.given[2]); /* refused: as if it were not there */
    assert_true(target.given[3]);
    assert_true(target.given[4]);
    settings_copy(&spec, &copy, &target);
    assert_true(copy.given[3] && copy.given[4] && !copy.given[0]);
    for (size_t i = 0; i < spec.n_rows; i++) {
        assert_true(settings_row_equal(&rows[i], &target, &copy));
    }
    assert_true(settings_set(&spec, &copy, "NodeName", "other", NULL));
    assert_false(settings_row_equal(&rows[0], &target, &copy));
    settings_copy_row(&rows[0], &copy, &target);
    assert_true(settings_row_equal(&rows[0], &target, &copy));
    settings_done(&spec, &target);
    settings_done(&spec, &copy);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(flag_beats_environment_beats_file_beats_default, clear_environment),
        cmocka_unit_test_setup(a_bad_value_is_named_and_leaves_the_next_lower_source,
                               clear_environment),
        cmocka_unit_test_setup(a_bad_flag_stops, clear_environment),
        cmocka_unit_test_setup(one_setting_can_be_set_by_name, clear_environment),
        cmocka_unit_test(flag_names_follow_the_words),
        cmocka_unit_test_setup(seconds_and_masks_come_in_two_forms, clear_environment),
        cmocka_unit_test_setup(what_was_given_is_remembered_by_row, clear_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
