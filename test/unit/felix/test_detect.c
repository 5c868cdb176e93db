/* felix/node: which address a node takes, and what it is called. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "felix/node/detect.h"
#include "felix/node/node_name.h"
#include "test/unit/cmocka.h"

/* A host as detection finds it: eth0 and eth1 with two families, a bridge, a pod's link. */
struct host {
    link_vec links;
    address_vec addresses;
    struct node node;
};

static void
add(struct host *host, const char *name, const char *address)
{
    struct address item = {.is_usable = true};
    int index = 0;

    VEC_FOREACH (&host->links, link) {
        if (strcmp(link->name, name) == 0) {
            index = link->index;
        }
    }
    if (index == 0) {
        struct link link = {.index = (int)host->links.n + 1,
                            .is_up = true,
                            .is_running = true,
                            .is_loopback = strcmp(name, "lo") == 0};
        snprintf(link.name, sizeof link.name, "%s", name);
        VEC_PUSH(&host->links, link);
        index = link.index;
    }
    item.index = index;
    assert_true(prefix_parse_host(address, &item.prefix, NULL));
    VEC_PUSH(&host->addresses, item);
}

static int
make_host(void **state)
{
    struct host *host = calloc(1, sizeof *host);

    add(host, "lo", "127.0.0.1/8");
    add(host, "cali0123456789a", "10.99.0.1/32");
    add(host, "docker0", "172.17.0.1/16");
    add(host, "eth0", "fe80::1/64");
    add(host, "eth0", "10.1.0.10/24");
    add(host, "eth0", "fd00:1::10/64");
    add(host, "eth1", "192.168.5.10/24");
    add(host, "eth1", "fd00:5::10/64");
    assert_true(ip_parse("192.168.5.10", &host->node.internal_ip4, NULL));
    *state = host;
    return 0;
}

static int
drop_host(void **state)
{
    struct host *host = *state;

    VEC_DONE(&host->links);
    VEC_DONE(&host->addresses);
    free(host);
    return 0;
}

/* The address, "" when there is none. */
static const char *
found(const struct host *host, const char *method_text, uint8_t family)
{
    static char text[PREFIX_TEXT_MAX];
    struct detect_method method;
    struct detect_input input = {
        .links = &host->links, .addresses = &host->addresses, .node = &host->node};
    struct prefix address;
    struct err err = ERR_INIT;

    if (!detect_parse(method_text, &method, &err)) {
        fail_msg("%s", err.text);
    }
    if (method.kind == DETECT_CAN_REACH) {
        /* What the kernel would have answered. */
        assert_true(ip_parse("10.1.0.10", &input.reachable_from, NULL));
    }
    if (!detect_address(&method, family, &input, &address, &err)) {
        assert_string_not_equal(err.text, "");
        return "";
    }
    return prefix_format(&address, text);
}

static void
each_method_finds_what_it_says(void **state)
{
    static const struct {
        const char *method;
        uint8_t family;
        const char *address;
    } rows[] = {
        {"first-found", 4, "10.1.0.10/24"},
        {"first-found", 6, "fd00:1::10/64"},
        {"interface=eth1", 4, "192.168.5.10/24"},
        {"interface=none.*,eth[1-9]", 6, "fd00:5::10/64"},
        {"interface=eth1,eth0", 4, "192.168.5.10/24"},
        {"interface=wlan.*", 4, ""},
        {"interface=^(eth|en)[0-9]{1}$", 4, "10.1.0.10/24"},
        {"interface=docker0", 4, "172.17.0.1/16"},
        {"skip-interface=eth0", 4, "192.168.5.10/24"},
        {"skip-interface=eth0,eth1", 4, ""},
        {"cidr=192.168.0.0/16", 4, "192.168.5.10/24"},
        {"cidr=10.9.0.0/16,10.1.0.0/16", 4, "10.1.0.10/24"},
        {"cidr=10.9.0.0/16", 4, ""},
        {"cidr=fd00:5::/32", 6, "fd00:5::10/64"},
        {"can-reach=192.0.2.1", 4, "10.1.0.10/24"},
        {"can-reach=192.0.2.1", 6, ""},
        {"kubernetes-internal-ip", 4, "192.168.5.10/24"},
        {"kubernetes-internal-ip", 6, ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(found(*state, rows[i].method, rows[i].family), rows[i].address);
    }
}

static void
links_that_are_down_and_addresses_that_are_not_ready_do_not_count(void **state)
{
    struct host *host = *state;

    VEC_FOREACH (&host->links, link) {
        link->is_up &= strcmp(link->name, "eth0") != 0;
    }
    assert_string_equal(found(host, "first-found", 4), "192.168.5.10/24");
    VEC_FOREACH (&host->addresses, address) {
        address->is_usable = false;
    }
    assert_string_equal(found(host, "first-found", 4), "");
    assert_string_equal(found(host, "cidr=192.168.0.0/16", 4), "");
}

static void
an_unknown_node_has_no_internal_address(void **state)
{
    struct host *host = *state;
    struct detect_method method = {.kind = DETECT_INTERNAL_IP};
    struct detect_input input = {.links = &host->links, .addresses = &host->addresses};
    struct prefix address;

    assert_false(detect_address(&method, 4, &input, &address, NULL));
}

static void
detect_parse_refuses_what_is_not_a_method(void **state)
{
    static const char *const bad[] = {"",
                                      "first",
                                      "first-found=eth0",
                                      "First-Found",
                                      "interface",
                                      "interface=",
                                      "interface=,",
                                      "interface=[",
                                      "skip-interface=*(",
                                      "cidr=",
                                      "cidr=10.0.0.0/33",
                                      "cidr=10.0.0.0/8,x",
                                      "cidr=10.0.0.1/8",
                                      "can-reach=",
                                      "interface=eth++++++++++++++++++++++++++++",
                                      "interface=(((a{16}){16}){16}){17}",
                                      "interface=((((a+)+)+)+)+",
                                      "interface=a{2",
                                      "interface=a{2}{2}",
                                      "interface=a{1000}",
                                      "can-reach=example.org; reboot",
                                      "kubernetes-internal-ip=1",
                                      "cidr=1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,"
                                      "1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,"
                                      "1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,"
                                      "1.0.0.0/8,1.0.0.0/8"};
    char *longer = malloc(100000);
    struct detect_method method;
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (detect_parse(bad[i], &method, &err)) {
            fail_msg("'%s' was accepted", bad[i]);
        }
        assert_string_not_equal(err.text, "");
    }
    snprintf(longer, 100000, "interface=%0*d", 90000, 0);
    assert_false(detect_parse(longer, &method, &err));
    free(longer);
}

/* ---- names
 * ------------------------------------------------------------------------------------- */

static char *
name_of(const char *setting, const char *state_dir)
{
    char *name = NULL;
    struct err err = ERR_INIT;

    return node_name_find(setting, state_dir, &name, &err) ? name : strdup("");
}

static void
a_node_is_called_by_setting_then_file_then_host(void **state)
{
    char dir[] = "/tmp/canal-unit-XXXXXX";
    char path[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/nodename", dir);
    setenv("HOSTNAME", " Host-7.Example ", 1);

    char *name = name_of(" Node-A ", dir);
    assert_string_equal(name, "Node-A");
    free(name);
    name = name_of("", dir);
    assert_string_equal(name, "host-7.example");
    free(name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("stored-1\n", file);
    fclose(file);
    name = name_of("", dir);
    assert_string_equal(name, "stored-1");
    free(name);
    unlink(path);
    rmdir(dir);
}

static void
names_that_could_lead_elsewhere_in_the_api_are_refused(void **state)
{
    static const char *const bad[] = {"a/b", "../x", "a b", "a?b", "-a", "a-", ".", "a%2f", "a\n"};
    char longer[300];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(node_name_is_valid(bad[i]));
    }
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_false(node_name_is_valid(longer));
    assert_false(node_name_is_valid(""));
    assert_true(node_name_is_valid("ip-10-0-0-1.eu.example"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_method_finds_what_it_says, make_host, drop_host),
        cmocka_unit_test_setup_teardown(
            links_that_are_down_and_addresses_that_are_not_ready_do_not_count, make_host,
            drop_host),
        cmocka_unit_test_setup_teardown(an_unknown_node_has_no_internal_address, make_host,
                                        drop_host),
        cmocka_unit_test(detect_parse_refuses_what_is_not_a_method),
        cmocka_unit_test(a_node_is_called_by_setting_then_file_then_host),
        cmocka_unit_test(names_that_could_lead_elsewhere_in_the_api_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
