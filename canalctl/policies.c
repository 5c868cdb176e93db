/* canalctl policies: what is in force on this node, rule by rule, with what the kernel counted. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "canalctl/command.h"

/* "default/web" and "web" mean the policies of that name, of any kind. */
static bool
is_asked_for(const struct ctl *ctl, struct json_object *policy)
{
    const char *ns = ctl_text(policy, "namespace"), *name = ctl_text(policy, "name");
    AUTO(str) struct str full = STR_INIT;

    if (ctl->n_args == 0 || strcmp(ctl->args[0], name) == 0) {
        return true;
    }
    str_addf(&full, "%s/%s", ns, name);
    return strcmp(ctl->args[0], str_text(&full)) == 0;
}

static void
add_rules(struct columns *columns, struct json_object *policy, const char *direction)
{
    struct json_object *rules = ctl_get(policy, direction);

    for (size_t i = 0; i < ctl_len(rules); i++) {
        struct json_object *rule = json_object_array_get_idx(rules, i);
        char where[64], packets[32], bytes[32];
        bool is_counted = ctl_get(rule, "packets") != NULL;
        snprintf(where, sizeof where, "  %s %zu", direction, i);
        snprintf(packets, sizeof packets, "%lld", (long long)ctl_int(rule, "packets"));
        snprintf(bytes, sizeof bytes, "%lld", (long long)ctl_int(rule, "bytes"));
        columns_add(columns, where, is_counted ? packets : "-", is_counted ? bytes : "-",
                    ctl_text(rule, "text"), NULL);
    }
    if (rules && ctl_len(rules) == 0) {
        char where[64];
        snprintf(where, sizeof where, "  %s", direction);
        columns_add(columns, where, "", "", "no rules: what it selects is isolated", NULL);
    }
}

static void
show_policy(struct json_object *policy)
{
    AUTO(str) struct str head = STR_INIT;
    struct json_object *order = ctl_get(policy, "order");
    struct columns *columns = columns_new(4);

    str_addf(&head, "%s, tier %s, order %s%s\n  applies to: %s\n", ctl_text(policy, "policy"),
             ctl_text(policy, "tier"), order ? json_object_get_string(order) : "none",
             ctl_bool(policy, "staged") ? ", STAGED (counts only)" : "",
             ctl_text(policy, "selector"));
    ctl_print(&head);
    columns_add(columns, "  RULE", "PACKETS", "BYTES", "WHAT", NULL);
    add_rules(columns, policy, "ingress");
    add_rules(columns, policy, "egress");
    columns_print(columns);
    columns_free(columns);
}

enum ctl_exit
policies_run(const struct ctl *ctl)
{
    const struct proto_request request = {.op = PROTO_POLICIES};
    AUTO(json_tree) struct json_object *answer = NULL;
    enum ctl_exit end = CTL_DONE;
    size_t n = 0;

    if (!ctl_ask(ctl, &request, &answer, &end)) {
        return end;
    }
    if (ctl->is_json) {
        ctl_print_json(answer);
        return CTL_DONE;
    }
    struct json_object *policies = ctl_get(answer, "policies");
    for (size_t i = 0; i < ctl_len(policies); i++) {
        struct json_object *policy = json_object_array_get_idx(policies, i);
        if (is_asked_for(ctl, policy)) {
            show_policy(policy);
            n++;
        }
    }
    if (n == 0) {
        fprintf(stderr, "No %spolicy is in force on this node: none selects a pod of it.\n",
                ctl->n_args > 0 ? "such " : "");
    }
    if (*ctl_text(answer, "uncounted")) {
        fprintf(stderr, "The counters could not be read: %s\n", ctl_text(answer, "uncounted"));
    }
    return CTL_DONE;
}
