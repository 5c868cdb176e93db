/* One exchange with felix, and what is said when it fails. Called by every command. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "canalctl/command.h"

#define ANSWER_MS 30000

enum ctl_exit
ctl_fail(const struct ctl *ctl, const struct err *err)
{
    fprintf(stderr, "canalctl: %s\n", err->text);
    if (access(ctl->socket, F_OK) != 0) {
        fprintf(stderr,
                "  Does canal-felix run on this node? canalctl asks the felix of the node it runs "
                "on;\n  in a cluster: kubectl -n kube-system exec <canal-node pod of the node> -c "
                "felix -- canalctl ...\n  Another socket: --socket PATH, or CANAL_RUN_DIR.\n");
    } else if (access(ctl->socket, R_OK | W_OK) != 0) {
        fprintf(stderr, "  The socket is for root only: run canalctl as root.\n");
    } else if (err->code == PROTO_CODE_AGAIN) {
        fprintf(stderr, "  The socket is there, felix does not answer: look at its log.\n");
    }
    return CTL_NO_ANSWER;
}

bool
ctl_parse(const char *line, size_t len, struct json_object **ret_answer, struct err *err)
{
    struct json_object *json = NULL;
    const char *text = NULL;
    int64_t code = 0;
    bool is_good = false;

    if (!json_parse(line, len, &json, err)) {
        return err_wrap(err, "felix's answer");
    }
    struct json_at root = json_root(json);
    bool understood =
        json_as_object(&root, err) && json_get_bool(&root, "ok", JSON_REQUIRED, &is_good, err) &&
        json_get_string(&root, "error", JSON_OPTIONAL, &text, err) &&
        json_get_int(&root, "code", (struct json_range){0, 999, JSON_OPTIONAL}, &code, err);
    if (understood && is_good) {
        *ret_answer = json;
        return true;
    }
    if (understood) {
        err_set_code(err, (int)code, "%s", text ? text : "felix refused, without saying why");
    } else {
        err_add_context(err, "felix's answer");
    }
    json_object_put(json);
    return false;
}

bool
ctl_connect(const struct ctl *ctl, int *ret_fd, enum ctl_exit *ret_exit)
{
    struct err err = ERR_INIT;

    if (proto_connect(ctl->socket, 0, ret_fd, &err)) {
        return true;
    }
    *ret_exit = ctl_fail(ctl, &err);
    return false;
}

bool
ctl_ask(const struct ctl *ctl, const struct proto_request *request, struct json_object **ret_answer,
        enum ctl_exit *ret_exit)
{
    AUTO(str) struct str line = STR_INIT;
    AUTO_FD int fd = -1;
    struct err err = ERR_INIT;

    if (!ctl_connect(ctl, &fd, ret_exit)) {
        return false;
    }
    if (!proto_exchange_line(fd, request, ANSWER_MS, &line, &err) ||
        !ctl_parse(line.text, line.len, ret_answer, &err)) {
        *ret_exit = ctl_fail(ctl, &err);
        return false;
    }
    return true;
}
