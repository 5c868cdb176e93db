/* Calls a CNI plugin for many containers and prints how long each call took, in microseconds, one a
 * line: for test/bench/cni.py, whose own cost stays out this way. A call is timed from
 * posix_spawn(3) to the end of the process.
 *
 *     cni-bench PLUGIN COMMAND CONFIG PARALLEL < jobs
 *
 * Each line of jobs is "containerID netns podname"; CONFIG is a file, the plugin's standard input.
 * Exits with 1 when a call failed, after telling the first failure's output. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"
#include "lib/base/vec.h"

#define ENV_ROOM 512

struct job {
    char container_id[129];
    char netns[128];
    char pod[128];
    pid_t pid;
    uint64_t start_us;
    uint64_t took_us;
    int output; /* what it printed */
};

struct bench {
    const char *plugin;
    const char *command;
    const char *config;
    VEC(struct job) jobs;
    bool has_failed;
};

static bool
read_jobs(struct bench *bench)
{
    char line[512];

    while (fgets(line, sizeof line, stdin)) {
        struct job job = {.output = -1};
        if (sscanf(line, "%128s %127s %127s", job.container_id, job.netns, job.pod) != 3) {
            fprintf(stderr, "cni-bench: not a job: %s", line);
            return false;
        }
        VEC_PUSH(&bench->jobs, job);
    }
    return true;
}

static void
start(const struct bench *bench, struct job *job)
{
    char env[6][ENV_ROOM];
    char *envp[] = {env[0], env[1], env[2], env[3], env[4], env[5], NULL};
    char *argv[] = {xstrdup(bench->plugin), NULL};
    posix_spawn_file_actions_t actions;

    snprintf(env[0], ENV_ROOM, "CNI_COMMAND=%s", bench->command);
    snprintf(env[1], ENV_ROOM, "CNI_CONTAINERID=%s", job->container_id);
    snprintf(env[2], ENV_ROOM, "CNI_NETNS=%s", job->netns);
    snprintf(env[3], ENV_ROOM, "CNI_IFNAME=eth0");
    snprintf(env[4], ENV_ROOM, "CNI_PATH=/usr/lib/cni");
    snprintf(env[5], ENV_ROOM, "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=%s",
             job->pod);
    job->output = memfd_create("output", MFD_CLOEXEC);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, bench->config, O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, job->output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, job->output, STDERR_FILENO);
    job->start_us = clock_monotonic_us();
    int number = posix_spawn(&job->pid, bench->plugin, &actions, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    free(argv[0]);
    if (number != 0) {
        fprintf(stderr, "cni-bench: %s: %s\n", bench->plugin, strerror(number));
        exit(EXIT_FAILURE);
    }
}

static void
tell_failure(struct bench *bench, const struct job *job, int status)
{
    char text[2048];
    ssize_t n = pread(job->output, text, sizeof text - 1, 0);

    if (!bench->has_failed) {
        text[n > 0 ? n : 0] = '\0';
        fprintf(stderr, "cni-bench: %s %s: status %d: %s\n", bench->command, job->pod, status,
                text);
    }
    bench->has_failed = true;
}

static void
reap(struct bench *bench)
{
    int status = 0;
    pid_t pid = waitpid(-1, &status, 0);
    uint64_t now_us = clock_monotonic_us();

    VEC_FOREACH (&bench->jobs, job) {
        if (job->pid == pid) {
            job->took_us = now_us - job->start_us;
            job->pid = 0;
            if (status != 0) {
                tell_failure(bench, job, status);
            }
            close(job->output);
        }
    }
}

int
main(int argc, char *argv[])
{
    struct bench bench = {0};
    uint32_t parallel = 1;
    size_t n_started = 0;

    if (argc != 5 || !parse_u32(argv[4], 1, 1000, &parallel, NULL)) {
        fprintf(stderr, "usage: cni-bench PLUGIN COMMAND CONFIG PARALLEL < jobs\n");
        return EXIT_FAILURE;
    }
    bench.plugin = argv[1];
    bench.command = argv[2];
    bench.config = argv[3];
    if (!read_jobs(&bench)) {
        return EXIT_FAILURE;
    }
    uint64_t start_us = clock_monotonic_us();
    for (size_t n_ended = 0; n_ended < bench.jobs.n; n_ended++) {
        while (n_started < bench.jobs.n && n_started - n_ended < parallel) {
            start(&bench, &bench.jobs.items[n_started++]);
        }
        reap(&bench);
    }
    uint64_t wall_us = clock_monotonic_us() - start_us;
    VEC_FOREACH (&bench.jobs, job) {
        printf("%llu\n", (unsigned long long)job->took_us);
    }
    printf("wall %llu\n", (unsigned long long)wall_us);
    VEC_DONE(&bench.jobs);
    return bench.has_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
