/* felix/configuration: which source wins, what changes while felix runs, what waits for a start. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "felix/configuration.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"
#include "test/unit/cmocka.h"

struct room {
    char dir[64];
    struct store *store;
    struct configuration *configuration;
    const struct felix_settings *settings;
    struct configuration_news news;
    struct str told;
};

static struct str reports;

static void
report(const char *text)
{
    str_addf(&reports, "%s\n", text);
}

static void
tell(void *owner, const char *text)
{
    struct room *room = owner;

    str_addf(&room->told, "%s\n", text);
}

static void
ignore(void *owner, const struct change *change)
{
    (void)owner;
    (void)change;
}

static void
start(struct room *room)
{
    char *argv[] = {(char *)(uintptr_t) "felix", NULL};

    configuration_free(room->configuration);
    str_clear(&reports);
    setenv("CANAL_STATE_DIR", room->dir, 1);
    assert_int_equal(configuration_load(1, argv, report, &room->configuration), SETTINGS_RUN);
    room->settings = configuration_settings(room->configuration);
}

/* Single quotes stand for double quotes. */
static void
put(struct room *room, const char *name, const char *spec)
{
    AUTO(str) struct str json = STR_INIT;
    struct err err = ERR_INIT;

    str_addf(&json, "{'metadata':{'name':'%s'},'spec':%s}", name, spec);
    for (size_t i = 0; i < json.len; i++) {
        json.text[i] = json.text[i] == '\'' ? '"' : json.text[i];
    }
    struct json_object *object = json_tokener_parse(json.text);
    assert_non_null(object);
    void *decoded = kind_ops(KIND_FELIXCONFIGURATION)->decode(object, NULL, &err);
    json_object_put(object);
    if (decoded == NULL) {
        fail_msg("%s", err.text);
    }
    store_put(room->store, KIND_FELIXCONFIGURATION, name, decoded);
    str_clear(&room->told);
    configuration_update(room->configuration, room->store, "n1", tell, room, &room->news);
}

static void
says(const struct room *room, const char *text)
{
    if (strstr(str_text(&room->told), text) == NULL) {
        fail_msg("'%s' does not say '%s'", str_text(&room->told), text);
    }
}

static int
setup(void **state)
{
    struct room *room = NEW(struct room);

    clearenv();
    snprintf(room->dir, sizeof room->dir, "/tmp/test_configuration_XXXXXX");
    assert_non_null(mkdtemp(room->dir));
    room->store = store_new(ignore, NULL);
    *state = room;
    start(room);
    return 0;
}

static int
teardown(void **state)
{
    struct room *room = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/felix-configuration", room->dir);
    unlink(path);
    rmdir(room->dir);
    configuration_free(room->configuration);
    store_free(room->store);
    str_done(&room->told);
    str_done(&reports);
    free(room);
    return 0;
}

static void
the_environment_beats_the_node_beats_the_default_beats_the_built_in(void **state)
{
    struct room *room = *state;

    setenv("FELIX_LOGPREFIX", "from-environment", 1);
    start(room);
    put(room, "default",
        "{'logPrefix':'x','routeRefreshInterval':'10s','ipsetsRefreshInterval':'11s',"
        "'defaultEndpointToHostAction':'Accept'}");
    assert_int_equal(room->news.effects, FELIX_TAKES_UP | FELIX_CHANGES_RULES);
    put(room, "node.n1", "{'ipsetsRefreshInterval':'12s'}");
    put(room, "node.n2", "{'ipsetsRefreshInterval':'13s'}");
    assert_string_equal(room->settings->log_prefix, "from-environment");
    assert_int_equal(room->settings->route_refresh_ms, 10000);
    assert_int_equal(room->settings->ipsets_refresh_ms, 12000);
    assert_int_equal(room->settings->to_host_action, 0);
    assert_int_equal(room->settings->iptables_refresh_ms, 180000);
    assert_int_equal(room->news.n_bad, 0);
    assert_string_equal(str_text(&room->told), "");
    /* What goes away leaves the next lower source. */
    store_delete(room->store, KIND_FELIXCONFIGURATION, "node.n1");
    put(room, "default", "{'ipsetsRefreshInterval':'11s'}");
    assert_int_equal(room->settings->ipsets_refresh_ms, 11000);
    assert_int_equal(room->settings->route_refresh_ms, 90000);
    assert_int_equal(room->settings->to_host_action, 1);
}

static void
label(struct room *room, const char *labels)
{
    AUTO(str) struct str json = STR_INIT;
    struct err err = ERR_INIT;

    str_addf(&json, "{\"metadata\":{\"name\":\"n1\",\"labels\":%s}}", labels);
    struct json_object *object = json_tokener_parse(json.text);
    void *node = kind_ops(KIND_NODE)->decode(object, NULL, &err);
    json_object_put(object);
    assert_non_null(node);
    store_put(room->store, KIND_NODE, "n1", node);
    str_clear(&room->told);
    configuration_update(room->configuration, room->store, "n1", tell, room, &room->news);
}

static void
objects_with_a_selector_stand_between_the_nodes_and_the_default(void **state)
{
    struct room *room = *state;

    start(room);
    put(room, "default", "{'iptablesRefreshInterval':'1s','routeRefreshInterval':'1s'}");
    put(room, "rack-b", "{'nodeSelector':'rack == \\'b\\'','iptablesRefreshInterval':'2s'}");
    put(room, "also-b",
        "{'nodeSelector':'has(rack)','iptablesRefreshInterval':'3s',"
        "'routeRefreshInterval':'3s'}");
    assert_int_equal(room->settings->iptables_refresh_ms, 1000);
    assert_int_equal(room->news.n_bad, 0);
    label(room, "{\"rack\":\"b\"}");
    assert_int_equal(room->settings->iptables_refresh_ms, 2000); /* the later by name */
    assert_int_equal(room->settings->route_refresh_ms, 3000);
    put(room, "node.n1", "{'routeRefreshInterval':'4s'}");
    assert_int_equal(room->settings->route_refresh_ms, 4000);
    label(room, "{}");
    assert_int_equal(room->settings->iptables_refresh_ms, 1000);
    put(room, "node.n1", "{'nodeSelector':'all()'}");
    put(room, "loose", "{'routeRefreshInterval':'9s'}");
    put(room, "wrong", "{'nodeSelector':'rack ==','routeRefreshInterval':'9s'}");
    assert_int_equal(room->news.n_bad, 3);
    assert_int_equal(room->settings->route_refresh_ms, 1000);
    assert_non_null(strstr(room->told.text, "FelixConfiguration wrong: spec.nodeSelector: "));
}

static void
fields_come_in_all_the_forms_calico_has(void **state)
{
    struct room *room = *state;

    put(room, "default",
        "{'iptablesMarkMask':4278190080,'ipipMTU':1400,'ipForwarding':'Disabled',"
        "'iptablesLockProbeInterval':'70ms','iptablesPostWriteCheckInterval':'2s',"
        "'externalNodesList':['192.0.2.0/24','198.51.100.1'],'natPortRange':'2000:3000',"
        "'disableConntrackInvalidCheck':true,'maxIpsetSize':null,"
        "'failsafeInboundHostPorts':[{'protocol':'TCP','port':22,'net':'10.0.0.0/8'},"
        "{'protocol':'udp','port':68},{'protocol':'tcp','port':1,'net':'fd00::/8'}],"
        "'failsafeOutboundHostPorts':[]}");
    assert_int_equal(room->settings->mark_mask, 0xff000000);
    assert_true(room->news.effects & FELIX_CHANGES_TABLES);
    assert_int_equal(room->settings->iptables_lock_probe_ms, 70);
    assert_int_equal(room->settings->iptables_recheck_ms, 2000);
    assert_int_equal(room->news.n_bad, 0);
    assert_int_equal(room->settings->ipip_mtu, 1400);
    assert_false(room->settings->ip_forwarding);
    assert_string_equal(room->settings->external_nodes, "192.0.2.0/24,198.51.100.1");
    assert_string_equal(room->settings->nat_ports, "2000:3000");
    assert_true(room->settings->keeps_invalid);
    assert_string_equal(room->settings->failsafe_in, "TCP:[10.0.0.0/8]:22,udp:68,tcp:[fd00::/8]:1");
    assert_string_equal(room->settings->failsafe_out, "none");
}

static void
what_is_wrong_is_named_once_and_changes_nothing(void **state)
{
    struct room *room = *state;

    put(room, "default",
        "{'defaultEndpointToHostAction':'Explode','wireguardEnabled':true,'vxlanEnabled':false,"
        "'logFilePath':'/etc/cron.d/x','felixHostname':'other',"
        "'bpfLogLevel':'Info','nodeName':'other','kubeconfig':'/x','logPrefix':'a\\nHealthPort=1',"
        "'failsafeInboundHostPorts':[{'protocol':'tcp','port':'x'}],'iptablesMarkMask':7,"
        "'routeRefreshInterval':{'a':1}}");
    says(room,
         "FelixConfiguration default: spec.defaultEndpointToHostAction: setting "
         "DefaultEndpointToHostAction: 'Explode' is not one of: Accept, Drop, Reject, Return");
    says(room, "spec.wireguardEnabled: Canal has no such setting");
    says(room, "spec.nodeName: cannot be set from the API");
    says(room, "spec.kubeconfig: cannot be set from the API");
    says(room, "spec.logFilePath: cannot be set from the API");
    says(room, "spec.felixHostname: cannot be set from the API");
    says(room, "spec.logPrefix: has control characters");
    says(room, "spec.failsafeInboundHostPorts");
    says(room, "spec.routeRefreshInterval");
    assert_null(strstr(str_text(&room->told), "vxlanEnabled"));
    assert_null(strstr(str_text(&room->told), "bpfLogLevel"));
    says(room, "mark mask 0x7 has 3 bits");
    assert_int_equal(room->news.n_bad, 10);
    assert_int_equal(room->news.effects, 0);
    assert_int_equal(room->settings->to_host_action, 1);
    /* Something else changes: nothing is told again. */
    put(room, "node.n1", "{'routeRefreshInterval':'1s'}");
    assert_string_equal(str_text(&room->told), "");
    put(room, "default", "{}");
    assert_int_equal(room->news.n_bad, 0);
    put(room, "default", "{'wireguardEnabled':true}");
    says(room, "spec.wireguardEnabled");
}

static void
what_needs_a_start_comes_with_one_in_the_same_process(void **state)
{
    struct room *room = *state;

    setenv("FELIX_INTERFACEPREFIX", "pod", 1);
    start(room);
    put(room, "default", "{'ipv6Support':false,'interfacePrefix':'tap','logPrefix':'mine'}");
    assert_true(room->news.effects & FELIX_STARTS_ANEW);
    assert_true(room->settings->ipv6);
    configuration_start_anew(room->configuration);
    assert_false(room->settings->ipv6);
    assert_string_equal(room->settings->interface_prefix, "pod");
    assert_string_equal(room->settings->log_prefix, "mine");
    /* And no second one. */
    put(room, "default", "{'ipv6Support':false,'interfacePrefix':'tap','logPrefix':'mine'}");
    assert_int_equal(room->news.effects, 0);
    put(room, "default", "{}");
    configuration_start_anew(room->configuration);
    assert_true(room->settings->ipv6);
    assert_string_equal(room->settings->log_prefix, "calico-packet");
}

static void
what_needs_a_start_is_kept_for_it(void **state)
{
    struct room *room = *state;

    put(room, "default", "{'ipv6Support':false,'healthPort':9999,'logPrefix':'mine'}");
    says(room, "for setting Ipv6Support felix starts anew");
    assert_true(room->news.effects & FELIX_CHANGES_HTTP);
    assert_true(room->news.effects & FELIX_STARTS_ANEW);
    assert_true(room->settings->ipv6);
    assert_int_equal(room->settings->health_port, 9999);
    assert_true(configuration_save(room->configuration, NULL));
    setenv("FELIX_HEALTHPORT", "1234", 1);
    start(room);
    assert_string_equal(str_text(&reports), "");
    assert_false(room->settings->ipv6);
    assert_int_equal(room->settings->health_port, 1234);
    assert_string_equal(room->settings->log_prefix, "mine");
    put(room, "default", "{'ipv6Support':false,'logPrefix':'mine'}");
    assert_string_equal(str_text(&room->told), "");
    assert_int_equal(room->news.effects, 0);
    /* Taken back while felix runs: a start brings the built-in value. */
    put(room, "default", "{}");
    says(room, "for setting Ipv6Support felix starts anew");
    assert_true(configuration_save(room->configuration, NULL));
    start(room);
    assert_true(room->settings->ipv6);
    assert_string_equal(room->settings->log_prefix, "calico-packet");
}

static void
a_broken_file_of_the_last_run_stops_nothing(void **state)
{
    struct room *room = *state;
    const char text[] = "\n=\nIpv6Support\nIpv6Support=perhaps\nNodeName=other\nNoSuch=1\n"
                        "LogPrefix=kept\n";
    char path[128];

    snprintf(path, sizeof path, "%s/felix-configuration", room->dir);
    assert_true(file_write_atomic(path, text, strlen(text), 0644, NULL));
    start(room);
    assert_non_null(strstr(str_text(&reports), "Ipv6Support"));
    assert_true(room->settings->ipv6);
    assert_string_equal(room->settings->node_name, "");
    assert_string_equal(room->settings->log_prefix, "kept");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_environment_beats_the_node_beats_the_default_beats_the_built_in, setup, teardown),
        cmocka_unit_test_setup_teardown(
            objects_with_a_selector_stand_between_the_nodes_and_the_default, setup, teardown),
        cmocka_unit_test_setup_teardown(fields_come_in_all_the_forms_calico_has, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_named_once_and_changes_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_needs_a_start_is_kept_for_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_needs_a_start_comes_with_one_in_the_same_process,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_file_of_the_last_run_stops_nothing, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
