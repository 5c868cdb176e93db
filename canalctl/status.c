/* canalctl status: is the node ready, and if not, why. */
#include <json-c/json.h>
#include <stdio.h>

#include "canalctl/command.h"

static void
add_line(struct columns *columns, const char *name, struct json_object *answer, const char *key)
{
    struct json_object *value = ctl_get(answer, key);
    AUTO(str) struct str text = STR_INIT;

    for (size_t i = 0; i < ctl_len(value); i++) {
        const char *item = json_object_get_string(json_object_array_get_idx(value, i));
        str_addf(&text, "%s%s", i > 0 ? " " : "", item ? item : "");
    }
    if (text.len > 0) {
        columns_add(columns, name, text.text, NULL);
    } else if (value) {
        columns_add(columns, name, json_object_get_string(value), NULL);
    }
}

enum ctl_exit
status_run(const struct ctl *ctl)
{
    const struct proto_request request = {.op = PROTO_STATUS};
    AUTO(json_tree) struct json_object *answer = NULL;
    enum ctl_exit end = CTL_DONE;

    if (!ctl_ask(ctl, &request, &answer, &end)) {
        return end;
    }
    bool is_ready = ctl_bool(answer, "ready");
    if (ctl->is_json) {
        ctl_print_json(answer);
        return is_ready ? CTL_DONE : CTL_DENIED;
    }
    struct columns *columns = columns_new(2);
    columns_add(columns, "ready", is_ready ? "yes" : "NO", NULL);
    if (!is_ready) {
        columns_add(columns, "reason", ctl_text(answer, "reason"), NULL);
    }
    add_line(columns, "node", answer, "node");
    add_line(columns, "version", answer, "version");
    add_line(columns, "pod CIDRs", answer, "pod_cidrs");
    add_line(columns, "pod MTU", answer, "mtu");
    add_line(columns, "pods here", answer, "n_endpoints");
    add_line(columns, "policies here", answer, "n_policies");
    add_line(columns, "drops seen", answer, "n_drops");
    columns_print(columns);
    columns_free(columns);
    return is_ready ? CTL_DONE : CTL_DENIED;
}
