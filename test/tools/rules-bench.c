/* What a change of rules costs, for test/bench/rules.py: felix's writer beside a bare
 * iptables-restore of the same change. In namespaces of its own; prints "name microseconds" lines.
 *
 *     rules-bench nft|legacy CHAINS RUNS      (chains of ten rules) */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "felix/dataplane/iptables.h"
#include "felix/rules/rules_state.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"
#include "lib/netlink/monitor.h"

/* Between two changes: felix gathers for 20 ms, or twice what the last commit took, so that a
 * commit on nft need not wait for the kernel to free what the one before deleted. Not measured. */
#define PAUSE_US 30000
#define PAUSE 3

extern char **environ;

struct bench {
    uv_loop_t loop;
    struct iptables *tables;
    struct monitor *monitor;
    bool has_settled, good;
};

static void
on_settled(void *owner, const struct iptables_result *result)
{
    struct bench *bench = owner;

    bench->has_settled = true;
    bench->good = result->in_place;
    if (!result->in_place) {
        fprintf(stderr, "%s\n", result->err.text);
    }
}

static void
on_kernel(void *owner, const struct monitor_note *note)
{
    struct bench *bench = owner;

    if (note->event == MONITOR_RULE || note->event == MONITOR_RULES ||
        note->event == MONITOR_RULES_LOST) {
        iptables_on_nft(bench->tables, note);
    }
}

/* Calico-like: some rules look into a set, all carry a comment. */
static void
add_chain(struct ruleset *set, uint32_t i, uint32_t turn)
{
    char name[CHAIN_NAME_MAX];

    snprintf(name, sizeof name, "cali-pi-%u", i);
    struct chain *chain = ruleset_chain(set, "filter", name);
    for (unsigned k = 0; k < 10; k++) {
        chain_add(chain, "-p tcp %s -m multiport --dports %u,%u -j RETURN",
                  k % 3 == 0 ? "-m set --match-set cali40s:bench src" : "-s 10.0.0.0/8",
                  1000 + turn % 1000, 2000 + i % 1000 + k);
    }
}

static bool
settle(struct bench *bench, uint64_t *ret_us)
{
    uint64_t start_us = clock_monotonic_us();

    bench->has_settled = false;
    iptables_apply(bench->tables);
    while (!bench->has_settled) {
        uv_run(&bench->loop, UV_RUN_ONCE);
    }
    *ret_us = clock_monotonic_us() - start_us;
    return bench->good;
}

/* Starts a tool as anybody would, and waits for its end. */
static bool
run_tool(const char *const *argv, const char *input)
{
    posix_spawn_file_actions_t actions;
    int ends[2], status = -1;
    pid_t pid = 0;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int number =
        posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    bool good = number == 0 && write(ends[1], input, strlen(input)) == (ssize_t)strlen(input);
    close(ends[1]);
    return good && waitpid(pid, &status, 0) == pid && status == 0;
}

static void
pause_loop(struct bench *bench, uint64_t last_us)
{
    uint64_t pause_us = last_us * PAUSE > PAUSE_US ? last_us * PAUSE : PAUSE_US;

    for (uint64_t end_us = clock_monotonic_us() + pause_us; clock_monotonic_us() < end_us;) {
        uv_run(&bench->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

static bool
one_change(struct bench *bench, uint32_t i, uint32_t turn, uint64_t *ret_us)
{
    struct ruleset set;

    ruleset_init(&set);
    add_chain(&set, i, turn);
    iptables_want_chains(bench->tables, &set);
    return settle(bench, ret_us);
}

static bool
one_bare_change(const char *backend, uint32_t i, uint32_t turn, uint64_t *ret_us)
{
    char name[64];
    const char *const argv[] = {name, "--noflush", "-w", "10", NULL};
    AUTO(str) struct str text = STR_INIT;
    struct ruleset set;

    snprintf(name, sizeof name, "iptables-%s-restore", backend);
    ruleset_init(&set);
    add_chain(&set, i, turn);
    bool good = ruleset_diff(&set, "", &text, NULL);
    ruleset_done(&set);
    uint64_t start_us = clock_monotonic_us();
    good = good && run_tool(argv, text.text);
    *ret_us = clock_monotonic_us() - start_us;
    return good;
}

static bool
measure(struct bench *bench, const char *backend, uint32_t n_chains, uint32_t n_runs)
{
    struct ruleset set;
    uint64_t us = 0;

    if (n_chains == 0) {
        return false;
    }
    ruleset_init(&set);
    for (uint32_t i = 0; i < n_chains; i++) {
        add_chain(&set, i, 0);
    }
    iptables_want_chains(bench->tables, &set);
    if (!settle(bench, &us)) {
        return false;
    }
    printf("first %llu\n", (unsigned long long)us);
    for (uint32_t turn = 1; turn <= n_runs; turn++) {
        pause_loop(bench, us);
        if (!one_change(bench, turn % n_chains, turn, &us)) {
            return false;
        }
        printf("change %llu\n", (unsigned long long)us);
    }
    for (uint32_t i = 0; i < n_chains; i++) {
        add_chain(&set, i, n_runs + 1);
    }
    iptables_want_chains(bench->tables, &set);
    pause_loop(bench, us);
    if (!settle(bench, &us)) {
        return false;
    }
    printf("burst %llu\n", (unsigned long long)us);
    iptables_stop(bench->tables);
    for (uint32_t turn = 1; turn <= n_runs; turn++) {
        pause_loop(bench, us);
        if (!one_bare_change(backend, turn % n_chains, turn, &us)) {
            return false;
        }
        printf("bare %llu\n", (unsigned long long)us);
    }
    return true;
}

int
main(int argc, char **argv)
{
    const char *const ipset[] = {"ipset", "create", "cali40s:bench", "hash:net", NULL};
    struct bench bench = {0};
    struct err err = ERR_INIT;
    uint32_t n_chains = 0, n_runs = 0;

    if (argc != 4 || !parse_u32(argv[2], 1, 100000, &n_chains, NULL) ||
        !parse_u32(argv[3], 1, 10000, &n_runs, NULL)) {
        fprintf(stderr, "usage: rules-bench nft|legacy CHAINS RUNS\n");
        return 2;
    }
    /* The lock of the legacy tools lies in /run. */
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/run", "tmpfs", 0, NULL) != 0 || !run_tool(ipset, "")) {
        fprintf(stderr, "namespaces: %s\n", strerror(errno));
        return 1;
    }
    const struct iptables_spec spec = {.family = 4,
                                       .backend = strcmp(argv[1], "nft") == 0 ? IPTABLES_NFT
                                                                              : IPTABLES_LEGACY,
                                       .times.lock_wait_s = 10,
                                       .settled = on_settled,
                                       .owner = &bench};
    uv_loop_init(&bench.loop);
    bench.tables = iptables_new(&bench.loop, &spec);
    if (!monitor_new(&bench.loop, MONITOR_EVERYTHING, on_kernel, &bench, &bench.monitor, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return measure(&bench, argv[1], n_chains, n_runs) ? 0 : 1;
}
