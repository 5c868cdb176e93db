/* canalctl endpoints: felix's list of local pods, a line each. */
#include <json-c/json.h>
#include <stdio.h>

#include "canalctl/command.h"

static void
add_ips(struct json_object *ips, struct str *out)
{
    for (size_t i = 0; i < ctl_len(ips); i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(ips, i));
        str_addf(out, "%s%s", i > 0 ? "," : "", text ? text : "");
    }
}

static void
add_policies(struct json_object *endpoint, const char *direction, struct str *out)
{
    struct json_object *counts = ctl_get(endpoint, "policies");

    if (counts) {
        str_addf(out, "%lld", (long long)ctl_int(counts, direction));
    }
}

/* "12" or, when the kernel does not hold what is wanted yet, "11 of 12". */
static void
add_revision(struct json_object *endpoint, struct str *out)
{
    struct json_object *revision = ctl_get(endpoint, "revision");
    long long wanted = ctl_int(revision, "wanted"), programmed = ctl_int(revision, "programmed");

    if (revision && wanted == programmed) {
        str_addf(out, "%lld", wanted);
    } else if (revision) {
        str_addf(out, "%lld of %lld", programmed, wanted);
    }
}

static void
add_endpoint(struct columns *columns, struct json_object *endpoint)
{
    AUTO(str) struct str pod = STR_INIT;
    AUTO(str) struct str ips = STR_INIT;
    AUTO(str) struct str in = STR_INIT;
    AUTO(str) struct str out = STR_INIT;
    AUTO(str) struct str revision = STR_INIT;

    if (*ctl_text(endpoint, "pod")) {
        str_addf(&pod, "%s/%s", ctl_text(endpoint, "namespace"), ctl_text(endpoint, "pod"));
    }
    add_ips(ctl_get(endpoint, "ips"), &ips);
    add_policies(endpoint, "ingress", &in);
    add_policies(endpoint, "egress", &out);
    add_revision(endpoint, &revision);
    columns_add(columns, str_text(&pod), ctl_text(endpoint, "interface"), str_text(&ips),
                str_text(&in), str_text(&out), str_text(&revision),
                ctl_bool(endpoint, "programmed") ? "yes" : "NO", NULL);
}

enum ctl_exit
endpoints_run(const struct ctl *ctl)
{
    const struct proto_request request = {.op = PROTO_ENDPOINTS};
    AUTO(json_tree) struct json_object *answer = NULL;
    enum ctl_exit end = CTL_DONE;

    if (!ctl_ask(ctl, &request, &answer, &end)) {
        return end;
    }
    if (ctl->is_json) {
        ctl_print_json(answer);
        return CTL_DONE;
    }
    struct json_object *endpoints = ctl_get(answer, "endpoints");
    struct columns *columns = columns_new(7);
    columns_add(columns, "POD", "INTERFACE", "ADDRESSES", "INGRESS", "EGRESS", "REVISION",
                "PROGRAMMED", NULL);
    for (size_t i = 0; i < ctl_len(endpoints); i++) {
        add_endpoint(columns, json_object_array_get_idx(endpoints, i));
    }
    columns_print(columns);
    columns_free(columns);
    return CTL_DONE;
}
