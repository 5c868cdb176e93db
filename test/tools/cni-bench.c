/* Calls a CNI plugin as a runtime does and prints how long each call took, in microseconds: the
 * driver of test/bench/cni.py, in C so that starting Python is not measured. Namespaces <prefix>0
 * to <prefix>n-1 exist already.
 *
 *     cni-bench PLUGIN CONFIG VERB PREFIX N PARALLEL */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/own.h"
#include "lib/base/parse.h"

struct call {
    pid_t pid;
    uint64_t start_us, end_us;
    int status;
};

static bool
start(const char *const *args, uint32_t i, struct call *ret_call)
{
    char id[64], netns[256], pod[128], verb[64];
    char command_path[] = "CNI_PATH=/usr/lib/cni";
    char ifname[] = "CNI_IFNAME=eth0";
    char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    posix_spawn_file_actions_t actions;

    snprintf(id, sizeof id, "CNI_CONTAINERID=bench%u", i);
    snprintf(netns, sizeof netns, "CNI_NETNS=/run/netns/%s%u", args[4], i);
    snprintf(pod, sizeof pod, "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=pod%u",
             i);
    snprintf(verb, sizeof verb, "CNI_COMMAND=%s", args[3]);
    char *env[] = {id, netns, pod, verb, command_path, ifname, path, NULL};
    char *argv[] = {(char *)(uintptr_t)args[1], NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, args[2], O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ret_call->start_us = clock_monotonic_us();
    int number = posix_spawn(&ret_call->pid, args[1], &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    if (number != 0) {
        fprintf(stderr, "%s: %s\n", args[1], strerror(number));
    }
    return number == 0;
}

static void
wait_for_one(struct call *calls, uint32_t n)
{
    int status = 0;
    pid_t pid = wait(&status);

    for (uint32_t i = 0; i < n; i++) {
        if (calls[i].pid == pid && calls[i].end_us == 0) {
            calls[i].end_us = clock_monotonic_us();
            calls[i].status = status;
        }
    }
}

int
main(int argc, char **argv)
{
    uint32_t n = 0, parallel = 0, running = 0;
    int failed = 0;

    if (argc != 7 || !parse_u32(argv[5], 1, 10000, &n, NULL) ||
        !parse_u32(argv[6], 1, 1000, &parallel, NULL)) {
        fprintf(stderr, "usage: cni-bench PLUGIN CONFIG VERB PREFIX N PARALLEL\n");
        return 2;
    }
    AUTO_FREE struct call *calls = xcalloc(n, sizeof *calls);
    for (uint32_t i = 0; i < n; i++) {
        if (running == parallel) {
            wait_for_one(calls, i);
            running--;
        }
        if (!start((const char *const *)argv, i, &calls[i])) {
            return 1;
        }
        running++;
    }
    for (; running > 0; running--) {
        wait_for_one(calls, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        printf("%llu\n", (unsigned long long)(calls[i].end_us - calls[i].start_us));
        failed += calls[i].status != 0;
    }
    if (failed > 0) {
        fprintf(stderr, "%d of %u calls failed\n", failed, n);
    }
    return failed > 0;
}
