/* Single requests that are repeated until they succeed, are refused for good, or their deadline
 * comes: kube_get() and kube_patch(). */
#include <json-c/json.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "lib/kube/client.h"
#include "lib/kube/http.h"

#define BODY_MAX ((size_t)16 * 1024 * 1024)

struct kube_call {
    struct kube *kube;
    struct kube_call *next, **link;
    const char *method;
    char *path, *content_type, *json;
    uint64_t deadline_ms; /* monotonic */
    unsigned attempt;
    bool is_over;
    struct kube_request *request;
    struct str body;
    bool was_silent; /* the last attempt timed out: take a new connection */
    uv_timer_t timer;
    void (*done)(void *owner, const struct kube_reply *reply);
    void *owner;
};

static void
on_closed(uv_handle_t *handle)
{
    struct kube_call *call = handle->data;

    free(call->path);
    free(call->content_type);
    free(call->json);
    str_done(&call->body);
    free(call);
}

/* Out of the list, nothing under way; memory goes when the timer is closed. */
static void
end(struct kube_call *call)
{
    if (call->is_over) {
        return;
    }
    call->is_over = true;
    *call->link = call->next;
    if (call->next) {
        call->next->link = call->link;
    }
    kube_request_cancel(call->request);
    call->request = NULL;
    uv_close((uv_handle_t *)&call->timer, on_closed);
}

static void
give(struct kube_call *call, const struct kube_reply *reply)
{
    call->done(call->owner, reply);
    end(call);
}

static bool
on_data(void *owner, const char *bytes, size_t len)
{
    struct kube_call *call = owner;

    if (len > BODY_MAX - call->body.len) {
        return false;
    }
    str_add_bytes(&call->body, bytes, len);
    return true;
}

static bool
is_worth_repeating(const struct kube_answer *answer)
{
    return answer->status == 0 || answer->status == 401 || answer->status == 408 ||
           answer->status == 409 || answer->status == 429 || answer->status >= 500 ||
           (answer->status / 100 == 2 && !answer->is_complete);
}

/* "HTTP status 403: nodes "n1" is forbidden: ..." */
static void
add_message(struct err *err, const char *body)
{
    AUTO(json_tree) struct json_object *json = NULL;
    const char *message = NULL;

    if (body[0] == '\0' || !json_parse(body, strlen(body), &json, NULL)) {
        return;
    }
    struct json_at root = json_root(json);
    if (json_get_string(&root, "message", JSON_REQUIRED, &message, NULL)) {
        struct err with_message = ERR_INIT;
        (void)err_set(&with_message, "%s: %.300s", err->text, message);
        *err = with_message;
    }
}

static void start(struct kube_call *call);

static void
on_retry(uv_timer_t *timer)
{
    struct kube_call *call = timer->data;

    start(call);
}

static void
on_done(void *owner, const struct kube_answer *answer)
{
    struct kube_call *call = owner;
    AUTO(json_tree) struct json_object *json = NULL;
    struct kube_reply reply = {.status = answer->status, .err = answer->err};

    call->request = NULL;
    if (answer->status == 401) {
        kube_refresh_token(call->kube, true);
    }
    add_message(&reply.err, answer->body);
    if (answer->status / 100 == 2 && !answer->is_complete) {
        reply.status = 0;
        if (reply.err.text[0] == '\0') {
            (void)err_set(&reply.err, "the answer is too long");
        }
    }
    if (is_worth_repeating(answer)) {
        uint64_t now_ms = clock_monotonic_ms();
        uint64_t delay_ms = kube_backoff_ms(call->kube, call->attempt++, answer->retry_after_ms);
        if (now_ms + delay_ms < call->deadline_ms) {
            call->was_silent = answer->is_timeout;
            uv_update_time(call->kube->loop);
            uv_timer_start(&call->timer, on_retry, delay_ms, 0);
            return;
        }
    }
    if (call->body.len > 0 && json_parse(call->body.text, call->body.len, &json, NULL)) {
        reply.body = json;
    }
    give(call, &reply);
}

static void
start(struct kube_call *call)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t left_ms = call->deadline_ms > now_ms ? call->deadline_ms - now_ms : 1;
    uint64_t request_ms = call->kube->timing.request_ms;
    struct kube_request_spec spec = {
        .method = call->method,
        .path = call->path,
        .content_type = call->content_type,
        .body = call->json,
        .timeout_ms = left_ms < request_ms ? left_ms : request_ms,
        .is_fresh = call->was_silent,
        .data = on_data,
        .done = on_done,
        .owner = call,
    };

    str_clear(&call->body);
    call->request = kube_request_start(call->kube, &spec);
}

static struct kube_call *
call_new(struct kube *kube, const char *method, const char *path, uint64_t deadline_ms)
{
    struct kube_call *call = NEW(struct kube_call);

    call->kube = kube;
    call->method = method;
    call->path = xstrdup(path);
    call->deadline_ms = clock_monotonic_ms() + deadline_ms;
    call->link = &kube->calls;
    call->next = kube->calls;
    if (call->next) {
        call->next->link = &call->next;
    }
    kube->calls = call;
    uv_timer_init(kube->loop, &call->timer);
    call->timer.data = call;
    return call;
}

void
kube_get(struct kube *kube, const char *path, uint64_t deadline_ms,
         void (*done)(void *owner, const struct kube_reply *reply), void *owner)
{
    struct kube_call *call = call_new(kube, "GET", path, deadline_ms);

    call->done = done;
    call->owner = owner;
    start(call);
}

void
kube_patch(struct kube *kube, const struct kube_write *write,
           void (*done)(void *owner, const struct kube_reply *reply), void *owner)
{
    struct kube_call *call = call_new(kube, "PATCH", write->path, write->deadline_ms);

    call->content_type =
        xstrdup(write->content_type ? write->content_type : "application/merge-patch+json");
    call->json = xstrdup(write->json);
    call->done = done;
    call->owner = owner;
    start(call);
}

void
kube_forget(struct kube *kube, const void *owner)
{
    for (struct kube_call *call = kube->calls, *next = NULL; call; call = next) {
        next = call->next;
        if (call->owner == owner) {
            end(call);
        }
    }
}

void
kube_forget_all(struct kube *kube)
{
    while (kube->calls) {
        end(kube->calls);
    }
}
