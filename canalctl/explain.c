/* canalctl explain: turns the command line into a question and felix's answer into text. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "canalctl/command.h"
#include "lib/base/alloc.h"
#include "lib/base/parse.h"

/* ---- the question
 * ------------------------------------------------------------------------------ */

static bool
read_end(const char *text, struct proto_place *place, struct err *err)
{
    const char *slash = strchr(text, '/');

    if (!slash) {
        return ip_parse(text, &place->ip, NULL) ||
               err_set(err, "'%.80s' is neither namespace/pod nor an address", text);
    }
    if (slash == text || slash[1] == '\0' || strchr(slash + 1, '/')) {
        return err_set(err, "'%.80s' is not namespace/pod", text);
    }
    place->namespace = xstrndup(text, (size_t)(slash - text));
    place->pod = xstrdup(slash + 1);
    return true;
}

/* "8/0" of "icmp/8/0" */
static bool
read_icmp(char *rest, struct proto_explain *explain, struct err *err)
{
    uint32_t type = explain->protocol == IPPROTO_ICMPV6 ? 128 : 8, code = 0;
    char *slash = rest ? strchr(rest, '/') : NULL;

    if (slash) {
        *slash = '\0';
    }
    if ((rest && !parse_u32(rest, 0, 255, &type, err)) ||
        (slash && !parse_u32(slash + 1, 0, 255, &code, err))) {
        return err_wrap(err, "ICMP type and code");
    }
    explain->icmp_type = (uint8_t)type;
    explain->icmp_code = (uint8_t)code;
    return true;
}

static bool
read_service(const char *text, const struct ctl *ctl, struct proto_explain *explain,
             struct err *err)
{
    AUTO_FREE char *copy = xstrdup(text);
    char *slash = strchr(copy, '/');
    uint32_t port = 0, source_port = PROTO_SOURCE_PORT;

    if (slash) {
        *slash = '\0';
    }
    if (!proto_protocol_parse(copy, &explain->protocol, err)) {
        return false;
    }
    if (explain->protocol == IPPROTO_ICMP || explain->protocol == IPPROTO_ICMPV6) {
        return read_icmp(slash ? slash + 1 : NULL, explain, err);
    }
    if (!proto_has_ports(explain->protocol)) {
        return !slash || err_set(err, "'%.80s': this protocol has no ports", text);
    }
    if (!slash) {
        return err_set(err, "'%.80s': the port is missing, as in %s/80", text, copy);
    }
    if (!parse_u32(slash + 1, 1, 65535, &port, err) ||
        (ctl->source_port && !parse_u32(ctl->source_port, 1, 65535, &source_port, err))) {
        return err_wrap(err, "port");
    }
    explain->port = (uint16_t)port;
    explain->source_port = (uint16_t)source_port;
    return true;
}

/* ---- the answer
 * -------------------------------------------------------------------------------- */

static void
add_policy(struct json_object *policy, struct columns *columns)
{
    AUTO(str) struct str name = STR_INIT;
    AUTO(str) struct str what = STR_INIT;
    struct json_object *logs = ctl_get(policy, "logs");

    str_addf(&name, "    %s%s", ctl_text(policy, "policy"),
             ctl_bool(policy, "staged") ? " (staged)" : "");
    for (size_t i = 0; i < ctl_len(logs); i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(logs, i));
        str_addf(&what, "%s; ", text ? text : "");
    }
    if (!ctl_bool(policy, "reached")) {
        str_add(&what, "not reached");
    } else if (ctl_get(policy, "rule")) {
        str_addf(&what, "rule %lld: %s%s", (long long)ctl_int(policy, "rule"),
                 ctl_text(policy, "text"),
                 ctl_bool(policy, "staged") ? " (would; has no effect)" : "");
    } else {
        str_add(&what, "no rule matches");
    }
    columns_add(columns, str_text(&name), str_text(&what), NULL);
}

static void
show_tier(struct json_object *tier)
{
    AUTO(str) struct str head = STR_INIT;
    struct json_object *policies = ctl_get(tier, "policies");
    struct columns *columns = columns_new(2);

    str_addf(&head, "  tier %s, at its end %s%s\n", ctl_text(tier, "tier"), ctl_text(tier, "end"),
             ctl_bool(tier, "reached") ? "" : " (not reached)");
    ctl_print(&head);
    for (size_t i = 0; i < ctl_len(policies); i++) {
        add_policy(json_object_array_get_idx(policies, i), columns);
    }
    columns_print(columns);
    columns_free(columns);
}

static void
show_decision(struct json_object *decision)
{
    AUTO(str) struct str head = STR_INIT;
    AUTO(str) struct str by = STR_INIT;
    struct json_object *tiers = ctl_get(decision, "tiers");

    str_addf(&head, "\n%s of %s: %s\n", ctl_text(decision, "direction"), ctl_text(decision, "of"),
             ctl_text(decision, "verdict"));
    ctl_print(&head);
    for (size_t i = 0; i < ctl_len(tiers); i++) {
        show_tier(json_object_array_get_idx(tiers, i));
    }
    str_addf(&by, "  %s\n", ctl_text(decision, "by"));
    ctl_print(&by);
}

static void
show_answer(struct json_object *answer)
{
    AUTO(str) struct str text = STR_INIT;
    struct json_object *decisions = ctl_get(answer, "decisions");
    struct json_object *notes = ctl_get(answer, "notes");

    str_addf(&text, "%s > %s %s: %s\n", ctl_text(ctl_get(answer, "from"), "text"),
             ctl_text(ctl_get(answer, "to"), "text"), ctl_text(ctl_get(answer, "packet"), "text"),
             ctl_text(answer, "verdict"));
    ctl_print(&text);
    for (size_t i = 0; i < ctl_len(decisions); i++) {
        show_decision(json_object_array_get_idx(decisions, i));
    }
    str_clear(&text);
    for (size_t i = 0; i < ctl_len(notes); i++) {
        const char *note = json_object_get_string(json_object_array_get_idx(notes, i));
        str_addf(&text, "\nnote: %s\n", note ? note : "");
    }
    ctl_print(&text);
}

static enum ctl_exit
exit_of(struct json_object *answer)
{
    const char *verdict = ctl_text(answer, "verdict");

    return strcmp(verdict, "allowed") == 0  ? CTL_DONE
           : strcmp(verdict, "denied") == 0 ? CTL_DENIED
                                            : CTL_ELSEWHERE;
}

enum ctl_exit
explain_run(const struct ctl *ctl)
{
    struct proto_request request = {.op = PROTO_EXPLAIN};
    AUTO(json_tree) struct json_object *answer = NULL;
    struct err err = ERR_INIT;
    enum ctl_exit end = CTL_USAGE;

    request.explain.family = ctl->family;
    if (!read_end(ctl->args[0], &request.explain.from, &err) ||
        !read_end(ctl->args[1], &request.explain.to, &err) ||
        !read_service(ctl->args[2], ctl, &request.explain, &err)) {
        fprintf(stderr,
                "canalctl: %s\n  For example: canalctl explain default/client default/web tcp/80\n",
                err.text);
    } else if (ctl_ask(ctl, &request, &answer, &end)) {
        end = exit_of(answer);
        if (ctl->is_json) {
            ctl_print_json(answer);
        } else {
            show_answer(answer);
        }
    }
    proto_request_done(&request);
    return end;
}
