/* The plugin's parts that need no runtime: configuration, environment, names, addresses on disk.
 * The address tests ask the kernel for routes, in a network namespace of their own. */
#include <dirent.h>
#include <json-c/json.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cni/ipam.h"
#include "cni/plugin.h"
#include "cni/result.h"
#include "cni/routes.h"
#include "lib/base/file.h"
#include "test/unit/cmocka.h"

static bool
parse(const char *text, struct cni_config *config, struct err *err)
{
    return cni_config_parse(text, strlen(text), config, err);
}

static void
a_bare_configuration_has_working_defaults(void **state)
{
    struct cni_config config;

    (void)state;
    assert_true(parse("{\"cniVersion\":\"1.1.0\",\"name\":\"net\"}", &config, NULL));
    assert_true(config.use_pod_cidrs);
    assert_false(config.is_delegated);
    assert_string_equal(config.data_dir, "/var/lib/cni/networks");
    assert_int_equal(config.timeout_ms, 5000);
    cni_config_done(&config);
}

static void
calicos_zero_timeout_is_the_default_here(void **state)
{
    struct cni_config config;

    (void)state;
    assert_true(
        parse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"policy_setup_timeout_seconds\":0}",
              &config, NULL));
    assert_int_equal(config.timeout_ms, 5000);
    cni_config_done(&config);
}

static void
the_words_for_pod_cidrs_are_understood_in_any_case(void **state)
{
    static const char *const texts[] = {
        "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"ipam\":{\"type\":\"host-local\",\"subnet\":"
        "\"usePodCidr\"}}",
        "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"ipam\":{\"type\":\"host-local\",\"ranges\":[[{"
        "\"subnet\":\"USEPODCIDR\"}],[{\"subnet\":\"usePodCidrIPv6\"}]]}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct cni_config config;
        assert_true(parse(texts[i], &config, NULL));
        assert_true(config.use_pod_cidrs);
        cni_config_done(&config);
    }
}

static void
any_other_ipam_type_is_delegated(void **state)
{
    struct cni_config config;

    (void)state;
    assert_true(parse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"ipam\":{\"type\":\"dhcp\"}}",
                      &config, NULL));
    assert_true(config.is_delegated);
    cni_config_done(&config);
}

static void
bad_configurations_are_refused_with_the_right_code(void **state)
{
    static const struct {
        const char *text;
        int code;
    } bad[] = {
        {"", CNI_BAD_JSON},
        {"{", CNI_BAD_JSON},
        {"{\"cniVersion\":\"0.2.0\",\"name\":\"n\"}", CNI_BAD_VERSION},
        {"{\"name\":\"n\"}", CNI_BAD_VERSION},
        {"{\"cniVersion\":\"1.0.0\"}", CNI_BAD_CONFIG},
        {"{\"cniVersion\":\"1.0.0\",\"name\":\"..\"}", CNI_BAD_CONFIG},
        {"{\"cniVersion\":\"1.0.0\",\"name\":\"a/b\"}", CNI_BAD_CONFIG},
        {"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"mtu\":70000}", CNI_BAD_CONFIG},
        {"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"ipam\":{\"ranges\":[[{\"subnet\":\"10.0.0.0/"
         "24\","
         "\"rangeEnd\":\"10.0.1.1\"}]]}}",
         CNI_BAD_CONFIG},
        {"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"runtimeConfig\":{\"mac\":\"01:00:00:00:00:"
         "00\"}}",
         CNI_BAD_CONFIG},
        {"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"runtimeConfig\":{\"ips\":[\"x\"]}}",
         CNI_BAD_CONFIG},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        struct cni_config config;
        assert_false(parse(bad[i].text, &config, &err));
        assert_int_equal(err.code, bad[i].code);
        assert_string_not_equal(err.text, "");
    }
}

static void
a_mac_is_six_pairs_of_digits_and_unicast(void **state)
{
    static const char *const bad[] = {
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:0",
        "02:00:00:00:00:001",
        "02:00:00:00:00:00:",
        "2:0:0:0:0:0:0:0:0",
        "02:+1:00:00:00:00",
        "02:-1:00:00:00:00",
        "02: 1:00:00:00:00",
        "02:0x:00:00:00:00",
        "02-00-00-00-00-00",
        "03:00:00:00:00:00",
    };
    char text[256];
    struct cni_config config;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        snprintf(text, sizeof text,
                 "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"runtimeConfig\":{\"mac\":\"%s\"}}",
                 bad[i]);
        if (parse(text, &config, &err)) {
            fail_msg("'%s' is taken", bad[i]);
        }
        assert_non_null(strstr(err.text, "runtimeConfig.mac"));
    }
    assert_true(parse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"runtimeConfig\":{"
                      "\"mac\":\"0a:1B:2c:3D:4e:5F\"}}",
                      &config, NULL));
    assert_true(config.has_mac);
    assert_memory_equal(config.mac, "\x0a\x1b\x2c\x3d\x4e\x5f", 6);
    cni_config_done(&config);
}

static void
routes_are_read_with_host_bits_cleared(void **state)
{
    struct cni_config config;

    (void)state;
    assert_true(parse("{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"include_default_routes\":true,"
                      "\"ipam\":{\"routes\":[{\"dst\":\"10.1.2.3/8\",\"gw\":\"10.0.0.1\"},"
                      "{\"dst\":\"fd00::/8\",\"mtu\":1300,\"advmss\":1200,\"priority\":7,"
                      "\"table\":100,\"scope\":0}]}}",
                      &config, NULL));
    assert_true(config.include_default_routes);
    assert_int_equal(config.routes.n, 2);
    const struct cni_route *six = &config.routes.items[1];
    char text[PREFIX_TEXT_MAX];
    assert_string_equal(prefix_format(&config.routes.items[0].dst, text), "10.0.0.0/8");
    assert_string_equal(prefix_format(&six->dst, text), "fd00::/8");
    assert_int_equal(six->mtu, 1300);
    assert_int_equal(six->advmss, 1200);
    assert_int_equal(six->priority, 7);
    assert_int_equal(six->table, 100);
    cni_config_done(&config);
}

static void
bad_routes_are_refused_by_field(void **state)
{
    static const struct {
        const char *routes, *text;
    } bad[] = {
        {"{}", "ipam.routes: "},
        {"[7]", "ipam.routes[0]: "},
        {"[{}]", "ipam.routes[0].dst: "},
        {"[{\"dst\":\"10.0.0.0/8\"},{\"dst\":\"10.0.0.0\\n/8\"}]", "ipam.routes[1].dst: "},
        {"[{\"dst\":\"10.0.0.0/33\"}]", "ipam.routes[0].dst: "},
        {"[{\"dst\":\"169.254.1.1/32\"}]", "ipam.routes[0].dst: "},
        {"[{\"dst\":\"fe80::ecee:eeff:feee:eeee/128\"}]", "ipam.routes[0].dst: "},
        {"[{\"dst\":\"10.0.0.0/8\"},{\"dst\":\"10.9.0.0/8\"}]",
         "ipam.routes[1].dst: there are two"},
        {"[{\"dst\":\"10.0.0.0/8\",\"gw\":\"fd00::1\"}]", "ipam.routes[0].gw: "},
        {"[{\"dst\":\"10.0.0.0/8\",\"gw\":\"x\"}]", "ipam.routes[0].gw: "},
        {"[{\"dst\":\"10.0.0.0/8\",\"mtu\":70000}]", "ipam.routes[0].mtu: "},
        {"[{\"dst\":\"10.0.0.0/8\",\"priority\":-1}]", "ipam.routes[0].priority: "},
        {"[{\"dst\":\"10.0.0.0/8\",\"table\":\"main\"}]", "ipam.routes[0].table: "},
        {"[{\"dst\":\"10.0.0.0/8\",\"scope\":253}]", "ipam.routes[0].scope: "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[512];
        struct err err = ERR_INIT;
        struct cni_config config;
        snprintf(text, sizeof text,
                 "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"ipam\":{\"routes\":%s}}",
                 bad[i].routes);
        assert_false(parse(text, &config, &err));
        assert_int_equal(err.code, CNI_BAD_CONFIG);
        if (!strstr(err.text, bad[i].text)) {
            fail_msg("%s: %s", bad[i].routes, err.text);
        }
    }
}

/* "10.0.0.0/8 ::/0", of what a pod with these families gets. */
static const char *
settled(const char *routes, bool with_defaults, const char *ips[2])
{
    static char text[256];
    struct cni_config config;
    struct cni_attachment attachment = {0};

    snprintf(text, sizeof text,
             "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"ipam\":{\"routes\":%s}}", routes);
    assert_true(parse(text, &config, NULL));
    for (size_t i = 0; i < 2 && ips[i]; i++) {
        assert_true(prefix_parse(ips[i], &attachment.ips[attachment.n_ips++], NULL));
    }
    assert_true(routes_settle(&config.routes, with_defaults, &attachment, NULL));
    cni_config_done(&config);
    text[0] = '\0';
    for (size_t i = 0; i < attachment.routes.n; i++) {
        char prefix[PREFIX_TEXT_MAX];
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s", len > 0 ? " " : "",
                 prefix_format(&attachment.routes.items[i].dst, prefix));
    }
    return text;
}

static void
listed_routes_replace_the_default_ones(void **state)
{
    const char *four[2] = {"10.0.0.2/32"};
    const char *both[2] = {"10.0.0.2/32", "fd00::2/128"};
    static const char mixed[] = "[{\"dst\":\"192.0.2.0/24\"},{\"dst\":\"2001:db8::/32\"}]";

    (void)state;
    assert_string_equal(settled("[]", false, four), "0.0.0.0/0");
    assert_string_equal(settled("null", false, both), "0.0.0.0/0 ::/0");
    assert_string_equal(settled(mixed, false, both), "192.0.2.0/24 2001:db8::/32");
    assert_string_equal(settled(mixed, false, four), "192.0.2.0/24");
    assert_string_equal(settled(mixed, true, both), "192.0.2.0/24 2001:db8::/32 0.0.0.0/0 ::/0");
    /* One that is listed is not there twice. */
    assert_string_equal(settled("[{\"dst\":\"0.0.0.0/0\"}]", true, both), "0.0.0.0/0 ::/0");
    assert_string_equal(settled("[{\"dst\":\"0.0.0.0/0\"}]", false, both), "0.0.0.0/0");
}

static void
interfaces_are_named_as_calico_names_them(void **state)
{
    char name[16];
    char pod[] = "nginx-abc";
    char ns[] = "default";
    struct cni_env env = {.container_id = "0123456789abcdef", .pod = pod, .ns = ns};

    (void)state;
    cni_host_ifname(&env, name);
    /* printf default.nginx-abc | sha1sum */
    assert_string_equal(name, "calic611c731f42");
    env.pod = env.ns = NULL;
    cni_host_ifname(&env, name);
    assert_string_equal(name, "cali0123456789a");
}

static void
prevresult_gives_the_addresses_of_our_interface(void **state)
{
    static const char text[] =
        "{\"interfaces\":[{\"name\":\"eth0\"},{\"name\":\"eth0\",\"sandbox\":\"/x\"}],"
        "\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":0},"
        "{\"address\":\"10.0.0.2/24\",\"interface\":1},{\"address\":\"fd00::2/"
        "64\",\"interface\":1}]}";
    struct json_object *json = json_tokener_parse(text);
    struct cni_attachment attachment = {0};
    char prefix[PREFIX_TEXT_MAX];

    (void)state;
    assert_true(result_addresses(json, "eth0", &attachment, NULL));
    assert_int_equal(attachment.n_ips, 2);
    assert_string_equal(prefix_format(&attachment.ips[0], prefix), "10.0.0.2/32");
    assert_string_equal(prefix_format(&attachment.ips[1], prefix), "fd00::2/128");
    assert_false(result_addresses(json, "eth1", &attachment, NULL));
    json_object_put(json);
}

/* ---- addresses on disk */

struct node {
    char dir[64];
    struct cni_config config;
    struct wire *wire;
    struct cni_env env;
    ipam_range_vec ranges[2];
};

static void
node_setup(struct node *node, const char *subnet)
{
    char text[256];
    struct ipam_range range = {0};

    memset(node, 0, sizeof *node);
    snprintf(node->dir, sizeof node->dir, "/tmp/canal-ipam-XXXXXX");
    assert_non_null(mkdtemp(node->dir));
    snprintf(text, sizeof text,
             "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"ipam\":{\"dataDir\":\"%s\"}}",
             node->dir);
    assert_true(parse(text, &node->config, NULL));
    assert_true(wire_open(&node->wire, NULL));
    assert_true(prefix_parse(subnet, &range.subnet, NULL));
    VEC_PUSH(&node->ranges[range.subnet.ip.family == 4 ? 0 : 1], range);
    node->env = (struct cni_env){.container_id = "c0", .ifname = "eth0"};
}

static void
node_end(struct node *node)
{
    char path[512];
    char net[128];
    snprintf(net, sizeof net, "%s/net", node->dir);
    DIR *dir = opendir(net);

    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        snprintf(path, sizeof path, "%s/%s", net, entry->d_name);
        unlink(path);
    }
    if (dir) {
        closedir(dir);
    }
    rmdir(net);
    rmdir(node->dir);
    wire_close(node->wire);
    cni_config_done(&node->config);
    VEC_DONE(&node->ranges[0]);
    VEC_DONE(&node->ranges[1]);
}

static bool
give(struct node *node, const char *container_id, char ret_ip[IP_TEXT_MAX])
{
    struct ipam *ipam = NULL;
    struct cni_attachment attachment = {0};

    node->env.container_id = container_id;
    assert_true(ipam_open(&node->config, node->wire, &ipam, NULL));
    bool good = ipam_allocate(ipam, &node->env, node->ranges, &attachment, NULL);
    ipam_close(ipam);
    if (good) {
        ip_format(&attachment.ips[0].ip, ret_ip);
    }
    return good;
}

static void
put_file(const struct node *node, const char *ip, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s/net", node->dir);
    assert_true(file_make_dir(path, 0755, NULL));
    snprintf(path, sizeof path, "%s/net/%s", node->dir, ip);
    assert_true(file_write_atomic(path, text, strlen(text), 0600, NULL));
}

static size_t
count_of(const struct node *node, const char *container_id)
{
    struct ipam *ipam = NULL;
    path_vec paths = VEC_INIT;

    assert_true(ipam_open(&node->config, node->wire, &ipam, NULL));
    ipam_files_of(ipam, container_id, "eth0", &paths);
    size_t n = paths.n;
    ipam_paths_done(&paths);
    ipam_close(ipam);
    return n;
}

static void
special_addresses_are_never_given(void **state)
{
    static const char *const want[] = {"10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13",
                                       "10.0.0.14"};
    struct node node;
    char ip[IP_TEXT_MAX];

    (void)state;
    node_setup(&node, "10.0.0.8/29");
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(give(&node, "c1", ip));
        assert_string_equal(ip, want[i]);
    }
    assert_false(give(&node, "c1", ip));
    node_end(&node);
}

static void
files_have_host_locals_layout(void **state)
{
    AUTO(str) struct str text = STR_INIT;
    AUTO(str) struct str last = STR_INIT;
    struct node node;
    char ip[IP_TEXT_MAX];
    char path[256];

    (void)state;
    node_setup(&node, "fd00::/120");
    assert_true(give(&node, "c1", ip));
    assert_string_equal(ip, "fd00::2");
    snprintf(path, sizeof path, "%s/net/fd00::2", node.dir);
    assert_true(file_read(path, 1000, &text, NULL));
    assert_string_equal(text.text, "c1\r\neth0");
    snprintf(path, sizeof path, "%s/net/last_reserved_ip.1", node.dir);
    assert_true(file_read(path, 1000, &last, NULL));
    assert_string_equal(last.text, "fd00::2");
    node_end(&node);
}

static void
a_shorter_last_address_leaves_nothing_of_the_longer(void **state)
{
    struct node node;
    char ip[IP_TEXT_MAX];

    (void)state;
    node_setup(&node, "10.0.0.0/24");
    put_file(&node, "last_reserved_ip.0", "10.0.0.254");
    assert_true(give(&node, "c1", ip));
    assert_string_equal(ip, "10.0.0.2");
    assert_true(give(&node, "c2", ip));
    assert_string_equal(ip, "10.0.0.3");
    node_end(&node);
}

static void
an_unreadable_last_address_only_costs_the_order(void **state)
{
    struct node node;
    char ip[IP_TEXT_MAX];

    (void)state;
    node_setup(&node, "10.0.0.0/24");
    put_file(&node, "last_reserved_ip.0", "rubbish");
    assert_true(give(&node, "c1", ip));
    assert_string_equal(ip, "10.0.0.2");
    node_end(&node);
}

static void
old_files_without_interface_are_released(void **state)
{
    struct node node;
    struct ipam *ipam = NULL;

    (void)state;
    node_setup(&node, "10.0.0.0/24");
    put_file(&node, "10.0.0.7", "c1");
    put_file(&node, "10.0.0.8", "c1\neth0\n");
    put_file(&node, "10.0.0.9", "c1\r\neth1");
    put_file(&node, "10.0.0.10", "c11\r\neth0");
    assert_int_equal(count_of(&node, "c1"), 2);
    assert_true(ipam_open(&node.config, node.wire, &ipam, NULL));
    ipam_release(ipam, "c1", "eth0");
    ipam_close(ipam);
    assert_int_equal(count_of(&node, "c1"), 0);
    assert_int_equal(count_of(&node, "c11"), 1);
    node_end(&node);
}

static void
empty_files_are_nobodys(void **state)
{
    struct node node;
    struct ipam *ipam = NULL;
    char ip[IP_TEXT_MAX];

    (void)state;
    node_setup(&node, "10.0.0.0/29");
    put_file(&node, "10.0.0.2", "");
    put_file(&node, "10.0.0.3", "");
    assert_true(give(&node, "c1", ip));
    assert_string_equal(ip, "10.0.0.2");
    assert_int_equal(count_of(&node, "c1"), 1);
    assert_true(ipam_open(&node.config, node.wire, &ipam, NULL));
    ipam_sweep(ipam);
    ipam_close(ipam);
    assert_int_equal(count_of(&node, ""), 0);
    assert_int_equal(count_of(&node, "c1"), 1);
    node_end(&node);
}

static void
there_is_room_as_long_as_an_add_would_get_one(void **state)
{
    struct node node;
    struct ipam *ipam = NULL;
    char ip[IP_TEXT_MAX];

    (void)state;
    node_setup(&node, "10.0.0.0/30");
    assert_true(ipam_open(&node.config, node.wire, &ipam, NULL));
    assert_true(ipam_has_room(ipam, node.ranges, NULL));
    ipam_close(ipam);
    assert_true(give(&node, "c1", ip));
    assert_true(ipam_open(&node.config, node.wire, &ipam, NULL));
    assert_false(ipam_has_room(ipam, node.ranges, NULL));
    ipam_close(ipam);
    node_end(&node);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bare_configuration_has_working_defaults),
        cmocka_unit_test(calicos_zero_timeout_is_the_default_here),
        cmocka_unit_test(the_words_for_pod_cidrs_are_understood_in_any_case),
        cmocka_unit_test(any_other_ipam_type_is_delegated),
        cmocka_unit_test(bad_configurations_are_refused_with_the_right_code),
        cmocka_unit_test(a_mac_is_six_pairs_of_digits_and_unicast),
        cmocka_unit_test(routes_are_read_with_host_bits_cleared),
        cmocka_unit_test(bad_routes_are_refused_by_field),
        cmocka_unit_test(listed_routes_replace_the_default_ones),
        cmocka_unit_test(interfaces_are_named_as_calico_names_them),
        cmocka_unit_test(prevresult_gives_the_addresses_of_our_interface),
        cmocka_unit_test(special_addresses_are_never_given),
        cmocka_unit_test(files_have_host_locals_layout),
        cmocka_unit_test(a_shorter_last_address_leaves_nothing_of_the_longer),
        cmocka_unit_test(an_unreadable_last_address_only_costs_the_order),
        cmocka_unit_test(old_files_without_interface_are_released),
        cmocka_unit_test(empty_files_are_nobodys),
        cmocka_unit_test(there_is_room_as_long_as_an_add_would_get_one),
    };

    if (unshare(CLONE_NEWNET) != 0) {
        perror("unshare");
        return EXIT_FAILURE;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
