/* felix's table of settings, the values that are more than a word, and what rules make of them. */
#include <json-c/json.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "felix/rules_config.h"
#include "felix/settings.h"
#include "test/unit/cmocka.h"

static char reports[4096];

static void
report(const char *text)
{
    strncat(reports, text, sizeof reports - strlen(reports) - 1);
    strncat(reports, "\n", sizeof reports - strlen(reports) - 1);
}

static void
load(struct felix_settings *settings)
{
    char *argv[] = {(char *)(uintptr_t) "felix", NULL};

    memset(settings, 0, sizeof *settings);
    reports[0] = '\0';
    assert_int_equal(settings_load(&felix_settings_spec, 1, argv, settings, report), SETTINGS_RUN);
}

static int
clear_environment(void **state)
{
    (void)state;
    clearenv();
    return 0;
}

static void
failsafe_ports_are_read_in_all_their_forms(void **state)
{
    failsafe_vec ports = VEC_INIT;
    char text[PREFIX_TEXT_MAX];

    (void)state;
    assert_true(failsafe_ports_parse(
        "tcp:22, UDP:10.1.2.3/8:68,sctp:[fd00::/8]:132,tcp:fd01::/16:443 , 80,", &ports, NULL));
    assert_int_equal(ports.n, 5);
    assert_int_equal(ports.items[0].protocol, IPPROTO_TCP);
    assert_int_equal(ports.items[0].port, 22);
    assert_false(ports.items[0].has_net);
    assert_int_equal(ports.items[1].protocol, IPPROTO_UDP);
    assert_string_equal(prefix_format(&ports.items[1].net, text), "10.0.0.0/8");
    assert_int_equal(ports.items[2].protocol, IPPROTO_SCTP);
    assert_string_equal(prefix_format(&ports.items[2].net, text), "fd00::/8");
    assert_string_equal(prefix_format(&ports.items[3].net, text), "fd01::/16");
    assert_int_equal(ports.items[4].protocol, IPPROTO_TCP);
    assert_int_equal(ports.items[4].port, 80);
    VEC_DONE(&ports);
    assert_true(failsafe_ports_parse("none", &ports, NULL));
    assert_true(failsafe_ports_parse("", &ports, NULL));
    assert_int_equal(ports.n, 0);
}

static void
failsafe_ports_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {"tcp",         "tcp:",      "tcp:0",
                                      "tcp:65536",   "icmp:1",    "tcp:10.0.0.0/33:22",
                                      "tcp:[::/0:1", "tcp:22:22", "tcp:0.0.0.0/0:22 -j ACCEPT",
                                      "22/tcp",      "tcp:-1",    "tcp:22;udp:68"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        failsafe_vec ports = VEC_INIT;
        struct err err = ERR_INIT;
        if (failsafe_ports_parse(bad[i], &ports, &err)) {
            fail_msg("must be refused: %s", bad[i]);
        }
        assert_non_null(strstr(err.text, "is not protocol:net:port"));
        VEC_DONE(&ports);
    }
}

static void
prefixes_of_interfaces_are_a_list(void **state)
{
    static const char *const bad[] = {"",          ",",     "cal1",   "caliq",  "Cali",
                                      "a,b,c,d,e", "ca li", "cali,+", "cali;-j"};
    struct interface_prefixes prefixes;

    (void)state;
    assert_true(interface_prefixes_parse("tap, cali", &prefixes, NULL));
    assert_string_equal(prefixes.items[0], "tap");
    assert_true(interface_is_workload(&prefixes, "cali123"));
    assert_true(interface_is_workload(&prefixes, "tap1"));
    assert_false(interface_is_workload(&prefixes, "eth0"));
    assert_false(interface_is_workload(&prefixes, "xtap"));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (interface_prefixes_parse(bad[i], &prefixes, NULL)) {
            fail_msg("must be refused: %s", bad[i]);
        }
    }
}

static void
features_are_switched_off_by_name(void **state)
{
    static const char *const bad[] = {"MASQFullyRandom", "MASQFullyRandom=no", "=false",
                                      "RestoreSupportsLock=true", "SNATFullyRandom=false,x=true"};
    struct feature_overrides features = {0};

    (void)state;
    assert_true(feature_overrides_parse(" SNATFullyRandom = false ,masqfullyrandom=TRUE,",
                                        &features, NULL));
    assert_int_equal(features.snat_random, FEATURE_OFF);
    assert_int_equal(features.masq_random, FEATURE_ON);
    assert_true(feature_overrides_parse("MASQFullyRandom=false", &features, NULL));
    assert_int_equal(features.masq_random, FEATURE_OFF);
    assert_int_equal(features.snat_random, FEATURE_DETECTED);
    assert_true(feature_overrides_parse("none", &features, NULL));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        if (feature_overrides_parse(bad[i], &features, &err)) {
            fail_msg("must be refused: %s", bad[i]);
        }
        assert_true(err.text[0] != '\0');
    }
}

static void
ranges_of_ports_have_an_order(void **state)
{
    static const char *const bad[] = {"", "0", "2:1", "1:65536", "1:", ":1", "1:2:3", "a"};
    uint16_t first = 0, last = 0;

    (void)state;
    assert_true(port_range_parse("1024:65535", &first, &last, NULL));
    assert_int_equal(first, 1024);
    assert_int_equal(last, 65535);
    assert_true(port_range_parse("99", &first, &last, NULL));
    assert_int_equal(first, 99);
    assert_int_equal(last, 99);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(port_range_parse(bad[i], &first, &last, NULL));
    }
}

static void
lists_of_ranges_become_what_iptables_matches(void **state)
{
    static const char *const bad[] = {"1:0", "a", "1 2:1", "1,2,3,4,5,6,7,8", "1;2"};
    char text[PORT_RANGES_TEXT_MAX];

    (void)state;
    assert_true(port_ranges_parse("30000:32767, 8080", text, NULL));
    assert_string_equal(text, "30000:32767,8080:8080");
    assert_true(port_ranges_parse("None", text, NULL));
    assert_string_equal(text, "");
    assert_true(port_ranges_parse(
        "10000:65535,10000:65535,10000:65535,10000:65535,10000:65535,10000:65535,10000:65535", text,
        NULL));
    assert_int_equal(strlen(text), 83);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(port_ranges_parse(bad[i], text, NULL));
    }
}

static void
interfaces_are_listed_by_name_or_expression(void **state)
{
    (void)state;
    assert_true(interface_is_listed("kube-ipvs0", "kube-ipvs0"));
    assert_false(interface_is_listed("kube-ipvs0", "kube-ipvs"));
    assert_true(interface_is_listed("a, /^veth[0-9]+$/ ,b", "veth12"));
    assert_false(interface_is_listed("a,/^veth[0-9]+$/,b", "veth"));
    assert_true(interface_is_listed("a,/(/,b", "b"));
    assert_false(interface_is_listed("", "eth0"));
}

static void
values_that_rules_cannot_hold_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"IptablesMarkMask", "0x8000"},
        {"IptablesMarkMask", "0xf0000000"},
        {"IptablesMarkMask", "ffff0000"},
        {"IptablesMarkMask", "0x1ffff0000"},
        {"LogPrefix", "a\nb"},
        {"LogPrefix", "a\" -j ACCEPT"},
        {"LogActionRateLimit", "10"},
        {"LogActionRateLimit", "10/minute -j ACCEPT"},
        {"FailsafeInboundHostPorts", "tcp:x"},
        {"NATOutgoingAddress", "fd00::1"},
        {"NATOutgoingAddress", "10.0.0.1/24"},
        {"NATPortRange", "5:1"},
        {"IptablesNATOutgoingInterfaceFilter", "eth0 -j"},
        {"IptablesNATOutgoingInterfaceFilter", "a-name-too-long-1"},
        {"DeviceRouteSourceAddress", "fd00::1"},
        {"DeviceRouteSourceAddressIPv6", "10.0.0.1"},
        {"MTUIfacePattern", "("},
        {"IptablesLockTimeout", "1500ms"},
        {"IptablesLockTimeout", "0"},
        {"DefaultEndpointToHostAction", "Allow"},
        {"DropLogGroup", "65536"},
    };
    struct felix_settings settings;

    (void)state;
    load(&settings);
    assert_string_equal(reports, "");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        if (settings_set(&felix_settings_spec, &settings, bad[i][0], bad[i][1], &err)) {
            fail_msg("%s must not take %s", bad[i][0], bad[i][1]);
        }
        assert_non_null(strstr(err.text, bad[i][0]));
    }
    settings_done(&felix_settings_spec, &settings);
}

static void
set(struct felix_settings *settings, const char *name, const char *value)
{
    struct err err = ERR_INIT;

    if (!settings_set(&felix_settings_spec, settings, name, value, &err)) {
        fail_msg("%s", err.text);
    }
}

static void
put(struct store *store, enum kind kind, const char *key, const char *text)
{
    struct err err = ERR_INIT;
    struct json_object *json = json_tokener_parse(text);
    void *object = kind_ops(kind)->decode(json, NULL, &err);

    json_object_put(json);
    if (object == NULL) {
        fail_msg("%s", err.text);
    }
    store_put(store, kind, key, object);
}

static void
ignore(void *owner, const struct change *change)
{
    (void)owner;
    (void)change;
}

static const struct features all = {true, true}, nothing = {false, false};

static void
rules_use_what_is_there(void **state)
{
    static const struct {
        const char *override;
        const struct features *features;
        bool masquerade, snat;
    } cases[] = {
        {"", &all, true, true},
        {"", &nothing, false, false},
        {"MASQFullyRandom=false", &all, false, true},
        {"SNATFullyRandom=true", &nothing, false, true},
    };
    struct store *store = store_new(ignore, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct felix_settings settings;
        load(&settings);
        set(&settings, "FeatureDetectOverride", cases[i].override);
        struct rules_config *config = rules_config_new(&settings, store, cases[i].features, false);
        assert_int_equal(config->fixed.has_random_fully, cases[i].masquerade);
        assert_int_equal(config->fixed.has_snat_random_fully, cases[i].snat);
        rules_config_free(config);
        settings_done(&felix_settings_spec, &settings);
    }
    store_free(store);
}

static void
rules_get_calicos_defaults(void **state)
{
    struct felix_settings settings;
    struct store *store = store_new(ignore, NULL);

    (void)state;
    load(&settings);
    struct rules_config *config = rules_config_new(&settings, store, &all, true);
    assert_int_equal(config->policy.to_host, RULES_DROP);
    assert_int_equal(config->policy.filter_allow, RULES_ACCEPT);
    assert_int_equal(config->policy.deny, RULES_DROP);
    assert_int_equal(config->policy.service_loop, RULES_DROP);
    assert_int_equal(config->policy.marks.accept, 0x10000);
    assert_int_equal(config->policy.n_failsafe_in, 9);
    assert_int_equal(config->policy.n_failsafe_out, 9);
    assert_string_equal(config->policy.log_prefix, "calico-packet");
    assert_int_equal(config->policy.log_limit.n, 0);
    assert_int_equal(config->policy.nflog_limit.n, 10);
    assert_true(config->fixed.has_tunnel && config->fixed.policy == &config->policy);
    assert_int_equal(config->service_nets.n, 0);
    rules_config_free(config);
    settings_done(&felix_settings_spec, &settings);
    store_free(store);
}

static void
rules_get_what_is_set(void **state)
{
    struct felix_settings settings;
    struct store *store = store_new(ignore, NULL);

    (void)state;
    load(&settings);
    set(&settings, "defaultendpointtohostaction", "ACCEPT");
    set(&settings, "IptablesFilterAllowAction", "RETURN");
    set(&settings, "IptablesFilterDenyAction", "REJECT");
    set(&settings, "ServiceLoopPrevention", "disabled");
    set(&settings, "IptablesMarkMask", "0xff00");
    set(&settings, "FailsafeInboundHostPorts", "none");
    set(&settings, "LogActionRateLimit", "7/hour");
    set(&settings, "DropLogRateLimit", "none");
    set(&settings, "NATOutgoingAddress", "192.0.2.9");
    set(&settings, "NATPortRange", "2000:3000");
    set(&settings, "IptablesNATOutgoingInterfaceFilter", "none");
    set(&settings, "NATOutgoingExclusions", "IPPoolsAndHostIPs");
    set(&settings, "WorkloadSourceSpoofing", "any");
    set(&settings, "InterfacePrefix", "cali, tap,eni");
    set(&settings, "FeatureDetectOverride", "SNATFullyRandom=false");
    put(store, KIND_IPPOOL, "pods",
        "{\"metadata\":{\"name\":\"pods\"},\"spec\":{\"cidr\":\"10.244.0.0/16\"}}");
    put(store, KIND_BGPCONFIGURATION, "default",
        "{\"metadata\":{\"name\":\"default\"},\"spec\":{\"serviceClusterIPs\":[{\"cidr\":"
        "\"10.96.0.0/12\"},{\"cidr\":\"10.244.128.0/20\"}],\"serviceExternalIPs\":[{\"cidr\":"
        "\"192.0.2.0/24\"}]}}");
    struct rules_config *config = rules_config_new(&settings, store, &all, false);
    assert_int_equal(config->policy.to_host, RULES_ACCEPT);
    assert_int_equal(config->policy.filter_allow, RULES_RETURN);
    assert_int_equal(config->policy.deny, RULES_REJECT);
    assert_int_equal(config->policy.service_loop, RULES_RETURN);
    assert_int_equal(config->policy.marks.accept, 0x100);
    assert_int_equal(config->policy.n_failsafe_in, 0);
    assert_int_equal(config->policy.log_limit.n, 7);
    assert_string_equal(config->policy.log_limit.unit, "hour");
    assert_int_equal(config->policy.log_limit.burst, 5);
    assert_int_equal(config->policy.nflog_limit.n, 0);
    assert_int_equal(config->policy.n_service_nets, 2);
    assert_string_equal(config->fixed.nat.address, "192.0.2.9");
    assert_int_equal(config->fixed.nat.first_port, 2000);
    assert_int_equal(config->fixed.nat.last_port, 3000);
    assert_null(config->fixed.nat.interface);
    assert_true(config->fixed.nat.excludes_hosts);
    assert_true(config->policy.allows_sources);
    assert_string_equal(config->policy.workload_prefix, "cali");
    assert_string_equal(config->fixed.workload_prefix, "cali");
    assert_int_equal(config->policy.n_other_prefixes, 2);
    assert_string_equal(config->policy.other_prefixes[1], "eni");
    assert_true(config->fixed.has_random_fully);
    assert_false(config->fixed.has_snat_random_fully);
    assert_non_null(strstr(config->warning, "10.244.128.0/20 overlaps IPPool pods"));
    rules_config_free(config);
    settings_done(&felix_settings_spec, &settings);
    store_free(store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failsafe_ports_are_read_in_all_their_forms),
        cmocka_unit_test(failsafe_ports_that_are_none_are_refused),
        cmocka_unit_test(prefixes_of_interfaces_are_a_list),
        cmocka_unit_test(features_are_switched_off_by_name),
        cmocka_unit_test(ranges_of_ports_have_an_order),
        cmocka_unit_test(lists_of_ranges_become_what_iptables_matches),
        cmocka_unit_test(interfaces_are_listed_by_name_or_expression),
        cmocka_unit_test(values_that_rules_cannot_hold_are_refused),
        cmocka_unit_test(rules_use_what_is_there),
        cmocka_unit_test(rules_get_calicos_defaults),
        cmocka_unit_test(rules_get_what_is_set),
    };

    return cmocka_run_group_tests(tests, clear_environment, NULL);
}
