/* felix/rules: everything that can be written is taken by the real tools, in both families and both
 * backends, and reads back as what was wanted. In a network namespace of the program's own. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "felix/rules/limit_rules.h"
#include "felix/rules/dispatch.h"
#include "felix/rules/policy_rules.h"
#include "felix/rules/rules_state.h"
#include "felix/rules/ipvs_rules.h"
#include "felix/rules/static_rules.h"
#include "lib/base/alloc.h"
#include "test/unit/cmocka.h"
#include "test/unit/own_namespace.h"

/* "{ANY_RULE, .protocol = 6}" says what differs. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define ANY_RULE                                                                                  \
    .protocol = RULE_ANY, .not_protocol = RULE_ANY, .icmp_type = RULE_ANY, .icmp_code = RULE_ANY, \
    .not_icmp_type = RULE_ANY, .not_icmp_code = RULE_ANY
#define NETS(array) .has_nets = true, .nets = (array), .n_nets = ARRAY_LEN(array)

static int
enter_namespace(void **state)
{
    (void)state;
    return enter_own_namespace() ? 0 : -1;
}

/* ---- tools ----------------------------------------------------------------------------------- */

static int
file_with(const char *text)
{
    FILE *file = tmpfile();

    assert_non_null(file);
    fputs(text, file);
    fflush(file);
    int fd = dup(fileno(file));
    fclose(file);
    assert_true(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static void
read_all(int fd, struct str *out)
{
    ssize_t n = 0;

    assert_true(lseek(fd, 0, SEEK_SET) == 0);
    while ((n = read(fd, str_reserve(out, 65536), 65536)) > 0) {
        out->len += (size_t)n;
        out->text[out->len] = '\0';
    }
}

/* Both outputs go to 'ret_out'; true when the exit code is 0. */
static bool
run(const char *tool, const char *option, const char *input, struct str *ret_out)
{
    char *env[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
                   (char[]){"XTABLES_LOCKFILE=/dev/null"}, NULL};
    char *argv[] = {xstrdup(tool), option ? xstrdup(option) : NULL, NULL};
    int in = file_with(input), out = file_with("");
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int status = 0;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    int number = posix_spawnp(&pid, tool, &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    if (number != 0) {
        fail_msg("%s: %s", tool, strerror(number));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    read_all(out, ret_out);
    close(in);
    close(out);
    free(argv[0]);
    free(argv[1]);
    return status == 0;
}

/* Every set that rules name, empty. */
static void
make_sets(const char *restore, uint8_t family)
{
    AUTO(str) struct str input = STR_INIT;
    AUTO(str) struct str out = STR_INIT;

    for (const char *at = restore; (at = strstr(at, "--match-set ")); at++) {
        const char *name = at + strlen("--match-set ");
        int len = (int)strcspn(name, " ");
        const char *type = name[len + 4] == ',' ? "hash:ip,port" : "hash:net";
        if (len == 19 && strncmp(name + 7, "wl-net-iface", 12) == 0) {
            type = "hash:net,iface";
        }
        str_addf(&input, "create %.*s %s family %s -exist\n", len, name, type,
                 family == 4 ? "inet" : "inet6");
    }
    if (!run("ipset", "restore", str_text(&input), &out)) {
        fail_msg("ipset: %s\n%s", str_text(&out), str_text(&input));
    }
}

/* ---- everything that can be written ---------------------------------------------------------- */

static struct prefix nets[] = {{{4, {10, 0, 0, 0}}, 8},    {{4, {11, 0, 0, 0}}, 8},
                               {{6, {0xfd}}, 8},           {{6, {0xfd, 1}}, 16},
                               {{4, {12, 0, 0, 0}}, 32},   {{6, {0xfd, 2}}, 128},
                               {{4, {192, 168, 0, 0}}, 16}};
static struct prefix excepted[] = {{{4, {10, 1, 0, 0}}, 16},
                                   {{6, {0xfd, 0, 1}}, 24},
                                   {{4, {10, 2, 0, 0}}, 16},
                                   {{6, {0xfd, 0, 2}}, 24}};
static struct port_range many[20];
static char policy_name[] = "ünd \"böse\"\\", tier_name[] = "default";
static char *names[] = {(char[]){"http"}, (char[]){"metrics"}};
static char selector[] = "role == \"web\"";

static struct policy_rule rules[] = {
    {ANY_RULE},
    {ANY_RULE, .protocol = 6, .comment = (char[]){"owner=\"x\"\n-j ACCEPT"}},
    {ANY_RULE, .protocol = 255},
    {ANY_RULE, .not_protocol = 17},
    {ANY_RULE, .protocol = 1, .icmp_type = 8, .icmp_code = 0},
    {ANY_RULE, .icmp_type = 129},
    {ANY_RULE, .protocol = 58, .not_icmp_type = 1, .not_icmp_code = 4},
    {ANY_RULE, .icmp_type = 3, .not_icmp_type = 3, .not_icmp_code = 1},
    {ANY_RULE, .source = {NETS(nets)}, .destination = {NETS(nets)}},
    {ANY_RULE, .source = {.not_nets = excepted, .n_not_nets = 4}},
    {ANY_RULE, .source = {NETS(nets), .not_nets = excepted, .n_not_nets = 2}},
    {ANY_RULE, .protocol = 6, .destination = {.ports = many, .n_ports = 20}},
    {ANY_RULE, .protocol = 17, .source = {.ports = many, .n_ports = 1}},
    {ANY_RULE, .protocol = 132, .destination = {.not_ports = many, .n_not_ports = 20}},
    {ANY_RULE, .protocol = 6,
     .source = {NETS(nets), .ports = many, .n_ports = 20, .named_ports = names, .n_named_ports = 2},
     .destination = {NETS(nets), .ports = many, .n_ports = 20, .not_named_ports = names,
                     .n_not_named_ports = 2, .selector = selector}},
    {ANY_RULE, .source = {.selector = selector}, .destination = {.not_selector = selector}},
    {ANY_RULE, .source = {.service_ns = (char[]){"a"}, .service_name = (char[]){"b"}},
     .destination = {.service_ns = (char[]){"a"}, .service_name = (char[]){"b"}}},
};

struct everything {
    struct policy_rules_config config;
    struct policy policies[4][4]; /* by action, then plain, staged, preDNAT, doNotTrack */
    struct active_policy active[4][4];
    struct policy_rule rules[4][ARRAY_LEN(rules)];
    struct dispatch *dispatch;
};

static const struct failsafe_port failsafe[] = {
    {6, 22, false, {{0}, 0}}, {17, 68, true, {{4, {10}}, 8}}, {6, 179, true, {{6, {0xfd}}, 8}}};

static void
fill(struct everything *all)
{
    static const struct prefix services[] = {{{4, {10, 96}}, 12}, {{6, {0xfd, 0x96}}, 108}};

    *all = (struct everything){.config = {.workload_prefix = "cali",
                                          .service_nets = services,
                                          .n_service_nets = ARRAY_LEN(services),
                                          .failsafe_in = failsafe,
                                          .n_failsafe_in = ARRAY_LEN(failsafe),
                                          .failsafe_out = failsafe,
                                          .n_failsafe_out = ARRAY_LEN(failsafe)}};
    for (uint16_t i = 0; i < 20; i++) {
        many[i] = (struct port_range){(uint16_t)(i * 10 + 1), (uint16_t)(i * 10 + 1 + i % 3)};
    }
    assert_true(policy_marks_of_mask(POLICY_MARK_MASK_DEFAULT, &all->config.marks, NULL));
    for (unsigned action = 0; action < 4; action++) {
        memcpy(all->rules[action], rules, sizeof rules);
        for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
            all->rules[action][i].action = (enum rule_action)action;
        }
        for (unsigned kind = 0; kind < 4; kind++) {
            all->policies[action][kind] = (struct policy){.origin = POLICY_GLOBAL,
                                                          .name = policy_name,
                                                          .tier = tier_name,
                                                          .applies_ingress = true,
                                                          .applies_egress = true,
                                                          .is_staged = kind == 1,
                                                          .is_pre_dnat = kind == 2,
                                                          .is_untracked = kind == 3,
                                                          .ingress = all->rules[action],
                                                          .n_ingress = ARRAY_LEN(rules),
                                                          .egress = all->rules[action],
                                                          .n_egress = ARRAY_LEN(rules)};
            all->active[action][kind].policy = &all->policies[action][kind];
            snprintf(all->active[action][kind].id, 33, "%032x", action * 16 + kind + 0xabcdef00);
            memmove(all->active[action][kind].id, all->active[action][kind].id + 20, 13);
        }
    }
    all->dispatch = dispatch_new("cali");
    dispatch_put(all->dispatch, "cali0123456789a");
    dispatch_put(all->dispatch, "cali0f");
}

static void
add_lists(struct everything *all, uint8_t family, struct ruleset *set)
{
    static const unsigned kind_of_use[N_USES] = {0, 0, 2, 3};
    struct verdict_list lists[N_USES][N_DIRECTIONS];
    struct policy_endpoint endpoints[] = {
        {.ifname = "cali0123456789a"},
        {.ifname = "cali0f"},
        {.ifname = "eth0", .is_host = true, .dscp = 1},
        {.ifname = "*", .is_host = true, .dscp = 64},
    };
    const struct policy_endpoint *hosts[] = {&endpoints[3], &endpoints[2]};

    for (unsigned use = 0; use < N_USES; use++) {
        for (unsigned direction = 0; direction < N_DIRECTIONS; direction++) {
            const struct active_policy *order[6];
            for (unsigned i = 0; i < 4; i++) {
                order[i] = &all->active[i][kind_of_use[use]];
            }
            order[4] = order[5] = order[0];
            struct verdict_tier tiers[] = {{(char[]){"a"}, true, order, 6},
                                           {(char[]){"b"}, false, order, 1}};
            lists[use][direction] = (struct verdict_list){.use = (enum verdict_use)use,
                                                          .direction = (enum direction)direction,
                                                          .tiers = tiers,
                                                          .n_tiers = 2};
            snprintf(lists[use][direction].id, 33, "%u%u", use, direction);
            if (use < USE_PRE_DNAT || all->config.has_host_endpoints) {
                verdict_list_chains(&all->config, family, &lists[use][direction], set);
            }
            for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
                if (use == USE_NORMAL || endpoints[i].is_host) {
                    endpoints[i].lists[use][direction] = &lists[use][direction];
                }
            }
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        if (!endpoints[i].is_host || all->config.has_host_endpoints) {
            endpoint_chains(&all->config, family, &endpoints[i], set);
        }
    }
    host_dispatch_chains(&all->config, family, hosts, ARRAY_LEN(hosts), set);
    const struct pod_address pod = {"cali0f", {{family, {10, 0, 0, 1}}, family == 4 ? 32 : 128}};
    ipvs_dispatch_chain(&all->config, family, &pod, 1, set);
}

static void
want_everything(struct everything *all, uint8_t family, struct ruleset *set)
{
    const struct static_rules_config config = {
        .workload_prefix = "cali",
        .has_tunnel = true,
        .has_floating = true,
        .has_random_fully = true,
        .has_snat_random_fully = true,
        .nat = {.address = all->config.is_append_mode ? "192.0.2.1" : NULL,
                .first_port = 1024,
                .last_port = 2047,
                .interface = "eth+",
                .excludes_hosts = true},
        .is_append_mode = all->config.is_append_mode,
        .policy = &all->config};

    ruleset_init(set);
    const uint8_t floating = family == 4 ? 10 : 0xfd;
    const struct floating_pair pair = {{family, {floating, 9, 0, 1}},
                                       {family, {floating, 0, 0, 1}}};

    static_rules(&config, family, set);
    floating_rules(family, &pair, 1, set);
    for (unsigned action = 0; action < 4; action++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            policy_chains(&all->config, family, &all->active[action][kind], set);
        }
    }
    add_lists(all, family, set);
    dispatch_chains(all->dispatch, set);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
check(struct everything *all, uint8_t family, const char *backend)
{
    AUTO(str) struct str restore = STR_INIT;
    AUTO(str) struct str out = STR_INIT;
    AUTO(str) struct str saved = STR_INIT;
    AUTO(str) struct str again = STR_INIT;
    AUTO(str) struct str gone = STR_INIT;
    struct err err = ERR_INIT;
    char tool[64], save[64];
    struct ruleset set, none;

    snprintf(tool, sizeof tool, "ip%stables-%s-restore", family == 6 ? "6" : "", backend);
    snprintf(save, sizeof save, "ip%stables-%s-save", family == 6 ? "6" : "", backend);
    want_everything(all, family, &set);
    assert_true(ruleset_diff(&set, "", &restore, &err));
    make_sets(str_text(&restore), family);
    if (!run(tool, "--noflush", str_text(&restore), &out)) {
        fail_msg("%s: %s", tool, str_text(&out));
    }
    assert_string_equal(str_text(&out), "");
    assert_true(run(save, NULL, "", &saved));
    if (!ruleset_diff(&set, str_text(&saved), &again, &err)) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(str_text(&again), "");
    ruleset_init(&none);
    assert_true(ruleset_diff(&none, str_text(&saved), &gone, &err));
    str_clear(&out);
    if (!run(tool, "--noflush", str_text(&gone), &out)) {
        fail_msg("%s: %s", tool, str_text(&out));
    }
    ruleset_done(&set);
}

static void
check_all(const char *backend)
{
    static const enum rules_action allow[] = {RULES_ACCEPT, RULES_RETURN};
    static const enum rules_action to_host[] = {RULES_DROP, RULES_ACCEPT, RULES_RETURN,
                                                RULES_REJECT};
    static const struct limit_value limits[] = {
        {LIMIT_PACKETS, INGRESS, 10, 5},
        {LIMIT_PACKETS, EGRESS, LIMIT_PACKET_RATE_MAX, 10000},
        {LIMIT_CONNECTIONS, INGRESS, 1, 0},
        {LIMIT_CONNECTIONS, EGRESS, UINT32_MAX, 0},
        {LIMIT_DSCP, EGRESS, 63, 0}};
    struct everything all;

    fill(&all);
    for (unsigned i = 0; i < 4; i++) {
        all.config.limits = limits;
        all.config.n_limits = i < 3 ? ARRAY_LEN(limits) : 0;
        all.config.has_host_endpoints = i % 2 == 1;
        all.config.is_append_mode = i >= 2;
        all.config.has_ipvs = i % 2 == 0;
        all.config.filter_allow = all.config.mangle_allow = allow[i / 2];
        all.config.deny = i % 2 ? RULES_REJECT : RULES_DROP;
        all.config.to_host = to_host[i];
        all.config.service_loop = i % 2 ? RULES_REJECT : RULES_DROP;
        all.config.nflog_group = i == 0 ? 0 : 2;
        all.config.nflog_limit = (struct rate_limit){10, "second", 100};
        all.config.log_limit = (struct rate_limit){i >= 2 ? 10 : 0, "minute", 5};
        all.config.keeps_invalid = i == 3;
        all.config.log_prefix = i == 2 ? "%t %k %n %p \"" : NULL;
        check(&all, 4, backend);
        check(&all, 6, backend);
    }
    dispatch_free(all.dispatch);
}

static void
the_nft_tools_take_everything_and_give_it_back(void **state)
{
    (void)state;
    check_all("nft");
}

static void
the_legacy_tools_take_everything_and_give_it_back(void **state)
{
    (void)state;
    check_all("legacy");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nft_tools_take_everything_and_give_it_back),
        cmocka_unit_test(the_legacy_tools_take_everything_and_give_it_back),
    };

    return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
