/* canalctl drops: the last denied packets felix was told of, or with -f those to come. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "canalctl/command.h"

static void
add_end(struct json_object *end, struct str *out)
{
    bool is_six = strchr(ctl_text(end, "ip"), ':') != NULL;
    long long port = ctl_int(end, "port");

    if (*ctl_text(end, "pod")) {
        str_addf(out, "%s (", ctl_text(end, "pod"));
    }
    str_addf(out, is_six && port > 0 ? "[%s]" : "%s", ctl_text(end, "ip"));
    if (port > 0) {
        str_addf(out, ":%lld", port);
    }
    if (*ctl_text(end, "pod")) {
        str_add_char(out, ')');
    }
}

/* 2026-01-31T12:00:00.000Z tcp default/a (10.0.0.1:40000) > default/b (10.0.0.2:80): ingress,
 * NetworkPolicy default/x rule 0 */
static void
add_drop(struct json_object *drop, struct str *out)
{
    str_addf(out, "%s %s ", ctl_text(drop, "time"), ctl_text(drop, "protocol"));
    add_end(ctl_get(drop, "from"), out);
    str_add(out, " > ");
    add_end(ctl_get(drop, "to"), out);
    str_addf(out, ": %s denied by %s\n", ctl_text(drop, "direction"), ctl_text(drop, "by"));
}

static void
show(const struct ctl *ctl, struct json_object *drop)
{
    AUTO(str) struct str text = STR_INIT;

    if (ctl->is_json) {
        puts(json_object_to_json_string_ext(drop, JSON_C_TO_STRING_PLAIN |
                                                      JSON_C_TO_STRING_NOSLASHESCAPE));
        fflush(stdout);
    } else {
        add_drop(drop, &text);
        ctl_print(&text);
    }
}

static enum ctl_exit
show_recent(const struct ctl *ctl)
{
    const struct proto_request request = {.op = PROTO_DROPS, .recent = true};
    AUTO(json_tree) struct json_object *answer = NULL;
    enum ctl_exit end = CTL_DONE;

    if (!ctl_ask(ctl, &request, &answer, &end)) {
        return end;
    }
    struct json_object *drops = ctl_get(answer, "drops");
    for (size_t i = 0; i < ctl_len(drops); i++) {
        show(ctl, json_object_array_get_idx(drops, i));
    }
    if (ctl_len(drops) == 0) {
        fprintf(stderr, "Nothing was dropped since felix started.\n");
    }
    return CTL_DONE;
}

/* The first line says whether felix agreed, those behind it are drops. */
static bool
follow_next(const struct ctl *ctl, int fd, struct str *rest, bool is_first, struct err *err)
{
    AUTO(str) struct str line = STR_INIT;
    AUTO(json_tree) struct json_object *json = NULL;

    if (!proto_read_line(fd, rest, &line, err)) {
        return false;
    }
    if (is_first) {
        return ctl_parse(str_text(&line), line.len, &json, err);
    }
    if (!json_parse(str_text(&line), line.len, &json, err)) {
        return false;
    }
    show(ctl, json);
    return true;
}

static enum ctl_exit
follow(const struct ctl *ctl)
{
    const struct proto_request request = {.op = PROTO_DROPS};
    AUTO(str) struct str rest = STR_INIT;
    struct err err = ERR_INIT;
    enum ctl_exit end = CTL_DONE;
    AUTO_FD int fd = -1;

    if (!ctl_connect(ctl, &fd, &end)) {
        return end;
    }
    bool good = proto_send(fd, &request, 5000, &err) && follow_next(ctl, fd, &rest, true, &err);
    if (good) {
        fprintf(stderr, "Following what is dropped on this node from now on; interrupt to end.\n");
    }
    while (good) {
        good = follow_next(ctl, fd, &rest, false, &err);
    }
    return ctl_fail(ctl, &err);
}

enum ctl_exit
drops_run(const struct ctl *ctl)
{
    return ctl->is_follow ? follow(ctl) : show_recent(ctl);
}
