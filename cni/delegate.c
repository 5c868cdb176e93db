/* Delegation to an IPAM plugin: posix_spawn with an argument vector, pipes on both ends. */
#include "cni/delegate.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cni/result.h"
#include "lib/base/clock.h"
#include "lib/base/alloc.h"
#include "lib/base/str.h"
#include "lib/json/json.h"

#define ANSWER_MAX (1024 * 1024)
#define DEADLINE_MS 60000

extern char **environ;

static bool
find_plugin(const struct cni_env *env, const char *type, struct str *ret_path, struct err *err)
{
    AUTO_FREE char *list = xstrdup(env->path);
    char *save = NULL;

    for (char *dir = strtok_r(list, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
        str_clear(ret_path);
        str_addf(ret_path, "%s/%s", dir, type);
        if (access(ret_path->text, X_OK) == 0) {
            return true;
        }
    }
    return err_code(err, CNI_BAD_CONFIG, "ipam.type: plugin '%.64s' is not in CNI_PATH", type);
}

static bool
start(const char *path, const char *command, int in, int out, pid_t *ret_pid, struct err *err)
{
    posix_spawn_file_actions_t actions;
    char *argv[] = {(char *)(uintptr_t)path, NULL};

    /* The process ends after this call, so its environment may change. */
    setenv("CNI_COMMAND", command, 1);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    int number = posix_spawn(ret_pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return number == 0 || err_code(err, CNI_IO, "start %s: %s", path, strerror(number));
}

/* Feeds the configuration and reads the answer at the same time: either may exceed a pipe. */
static bool
converse(int in, int out, const char *text, struct str *answer, struct err *err)
{
    size_t len = strlen(text);
    uint64_t until = clock_monotonic_ms() + DEADLINE_MS;

    for (;;) {
        struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = in, .events = POLLOUT}};
        uint64_t now = clock_monotonic_ms();
        if (now >= until || answer->len > ANSWER_MAX) {
            return err_code(err, CNI_IO, "the IPAM plugin did not answer properly in time");
        }
        if (poll(fds, in >= 0 ? 2 : 1, (int)(until - now)) < 0 && errno != EINTR) {
            return err_code(err, CNI_IO, "IPAM plugin: %s", strerror(errno));
        }
        if (in >= 0 && fds[1].revents) {
            ssize_t n = len > 0 ? write(in, text, len) : 0;
            if (n > 0) {
                text += n;
                len -= (size_t)n;
            }
            if (len == 0 || (n < 0 && errno != EAGAIN)) {
                close(in);
                in = -1;
            }
        }
        if (fds[0].revents) {
            ssize_t n = read(out, str_reserve(answer, 4096), 4096);
            if (n <= 0) {
                own_close_fd(&in);
                return true;
            }
            answer->len += (size_t)n;
            answer->text[answer->len] = '\0';
        }
    }
}

static bool
read_failure(const struct str *answer, const char *type, struct err *err)
{
    AUTO(json_tree) struct json_object *json = NULL;
    const char *msg = NULL;
    const char *details = NULL;
    int64_t code = CNI_IO;

    if (json_parse(str_text(answer), answer->len, &json, NULL)) {
        struct json_at root = json_root(json);
        bool good =
            json_get_int(&root, "code", (struct json_range){0, 9999, JSON_OPTIONAL}, &code, NULL) &&
            json_get_string(&root, "msg", JSON_OPTIONAL, &msg, NULL) &&
            json_get_string(&root, "details", JSON_OPTIONAL, &details, NULL);
        (void)good;
    }
    return err_code(err, (int)code, "IPAM plugin %s: %s%s%s", type, msg ? msg : "failed",
                    details ? ": " : "", details ? details : "");
}

static bool
read_success(const struct str *answer, struct cni_attachment *ret_attachment, struct err *err)
{
    AUTO(json_tree) struct json_object *json = NULL;
    struct json_object *dns = NULL;

    if (!json_parse(str_text(answer), answer->len, &json, err) ||
        !result_addresses(json, NULL, ret_attachment, err) ||
        !result_routes(json, &ret_attachment->routes, err)) {
        return false;
    }
    if (json_object_object_get_ex(json, "dns", &dns) &&
        json_object_is_type(dns, json_type_object)) {
        ret_attachment->dns = json_object_get(dns);
    }
    return ret_attachment->n_ips > 0 || err_set(err, "no address in the result");
}

bool
delegate_run(const struct cni_env *env, const struct cni_config *config, const char *command,
             struct cni_attachment *ret_attachment, struct err *err)
{
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str answer = STR_INIT;
    int in[2] = {-1, -1};
    int out[2] = {-1, -1};
    pid_t pid = 0;
    int status = 0;

    signal(SIGPIPE, SIG_IGN);
    if (!find_plugin(env, config->ipam_type, &path, err)) {
        return false;
    }
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        return err_code(err, CNI_IO, "pipe: %s", strerror(errno));
    }
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    bool good = start(path.text, command, in[0], out[1], &pid, err);
    close(in[0]);
    close(out[1]);
    if (!good) {
        close(in[1]);
        close(out[0]);
        return false;
    }
    const char *text = json_object_to_json_string_ext(config->json, JSON_C_TO_STRING_PLAIN);
    good = converse(in[1], out[0], text, &answer, err);
    close(out[0]);
    if (!good) {
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!good) {
        return false;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return read_failure(&answer, config->ipam_type, err);
    }
    if (strcmp(command, "ADD") != 0) {
        return true;
    }
    return read_success(&answer, ret_attachment, err) ||
           err_code(err, CNI_IO, "IPAM plugin %s: %s", config->ipam_type, err ? err->text : "");
}
