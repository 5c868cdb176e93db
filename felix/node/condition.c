/* Decides what the condition should say, and writes it until the API has taken it. */
#include "felix/node/condition.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

LOG_MODULE("node");

#define PATCH_DEADLINE_MS 20000
#define RETRY_MS 5000

enum said {
    SAID_NOTHING,
    SAID_AVAILABLE,
    SAID_UNAVAILABLE
};

struct condition {
    struct kube *kube;
    char *node_name;
    uint64_t patience_ms;
    uint64_t unhealthy_since_ms; /* 0: healthy */
    enum said said;              /* what the API has taken */
    enum said saying;            /* what is under way */
    uint64_t retry_at_ms;
};

struct condition *
condition_new(struct kube *kube, const char *node_name, uint64_t patience_ms)
{
    struct condition *condition = NEW(struct condition);

    condition->kube = kube;
    condition->node_name = xstrdup(node_name);
    condition->patience_ms = patience_ms;
    return condition;
}

void
condition_free(struct condition *condition)
{
    if (condition) {
        free(condition->node_name);
        free(condition);
    }
}

static void
on_patched(void *owner, const struct kube_reply *reply)
{
    struct condition *condition = owner;

    if (reply->status >= 200 && reply->status <= 299) {
        condition->said = condition->saying;
    } else {
        condition->retry_at_ms = clock_monotonic_ms() + RETRY_MS;
        log_warn_every(
            30, "Node %s: condition NetworkUnavailable could not be written: %s; trying again",
            condition->node_name, reply->err.text);
    }
    condition->saying = SAID_NOTHING;
}

static void
say(struct condition *condition, enum said what, const char *reason)
{
    AUTO(str) struct str path = STR_INIT;
    char now[32];
    struct json_object *json = json_object_new_object();
    struct json_object *status = json_object_new_object();
    struct json_object *conditions = json_object_new_array();
    struct json_object *item = json_object_new_object();
    bool is_available = what == SAID_AVAILABLE;

    clock_rfc3339(now, sizeof now);
    /* The API takes whole seconds. */
    snprintf(now + 19, sizeof now - 19, "Z");
    json_object_object_add(item, "type", json_object_new_string("NetworkUnavailable"));
    json_object_object_add(item, "status", json_object_new_string(is_available ? "False" : "True"));
    json_object_object_add(item, "reason",
                           json_object_new_string(is_available ? "CanalIsUp" : "CanalIsDown"));
    json_object_object_add(
        item, "message",
        json_object_new_string(is_available ? "Canal is running on this node" : reason));
    json_object_object_add(item, "lastHeartbeatTime", json_object_new_string(now));
    json_object_object_add(item, "lastTransitionTime", json_object_new_string(now));
    json_object_array_add(conditions, item);
    json_object_object_add(status, "conditions", conditions);
    json_object_object_add(json, "status", status);
    str_addf(&path, "/api/v1/nodes/%s/status", condition->node_name);
    const struct kube_write write = {
        .path = path.text,
        .content_type = "application/strategic-merge-patch+json",
        .json = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN),
        .deadline_ms = PATCH_DEADLINE_MS};
    log_info("Node %s: NetworkUnavailable=%s%s%s", condition->node_name,
             is_available ? "False" : "True", is_available ? "" : ": ", is_available ? "" : reason);
    condition->saying = what;
    kube_patch(condition->kube, &write, on_patched, condition);
    json_object_put(json);
}

void
condition_update(struct condition *condition, bool is_healthy, const char *reason, uint64_t now_ms)
{
    enum said want = SAID_AVAILABLE;

    if (is_healthy) {
        condition->unhealthy_since_ms = 0;
    } else if (condition->unhealthy_since_ms == 0) {
        condition->unhealthy_since_ms = now_ms;
        return;
    } else if (now_ms - condition->unhealthy_since_ms < condition->patience_ms) {
        return;
    } else {
        want = SAID_UNAVAILABLE;
    }
    if (want != condition->said && condition->saying == SAID_NOTHING &&
        now_ms >= condition->retry_at_ms) {
        say(condition, want, reason);
    }
}
