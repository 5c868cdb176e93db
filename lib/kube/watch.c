/* The list-and-watch machine. One request is under way at any time, or the retry timer runs:
 *
 *        start ──► LIST ──page──► LIST ──last page──► WATCH ──ends──► WATCH ...
 *                   ▲  failure: backoff, LIST           │ failure: backoff, WATCH
 *                   └──────────── 410 ──────────────────┘
 *
 * Called by lib/feed. */
#include "lib/kube/watch.h"

#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/str.h"
#include "lib/json/json.h"
#include "lib/json/scan.h"
#include "lib/kube/client.h"
#include "lib/kube/http.h"
#include "lib/kube/split.h"

/* Items of a page whose metadata comes behind them, as custom resources are served. */
#define HELD_MAX ((size_t)64 * 1024 * 1024)
/* The server answers, but not with a watch: a list may tell more. */
#define REFUSALS_BEFORE_LIST 5

struct version {
    struct str text;
    uint64_t number; /* 0: not comparable */
};

struct kube_watch {
    struct kube *kube;
    char *path;
    char *field_selector;
    const struct kube_watch_ops *ops;
    void *owner;

    struct kube_request *request;
    struct split split;
    struct err stream_err; /* why data() stopped the request; text "" when it did not */
    uv_timer_t retry, guard;
    unsigned n_handles;
    bool is_fresh;
    unsigned n_failures; /* in a row, of the request that is being tried */
    uint64_t n_stale;

    /* list */
    struct version list_version;
    struct str continue_token; /* of the page to ask for; empty: the first */
    struct str next_token;
    struct str held;
    bool has_metadata;
    bool is_first_page;
    uint64_t distrust_since_ms; /* loop time of the first list that was too old; 0 none */

    /* watch */
    struct version version; /* everything up to here is known; empty before the first list */
    bool wants_list;        /* the watch said 410, or somebody asked for it */
    unsigned n_relists;     /* since a watch last worked */
    uint64_t watch_start_ms, last_event_ms;
    uint64_t n_events; /* of this request, bookmarks too */
};

static void start_page(struct kube_watch *watch);
static void start_watch(struct kube_watch *watch);

uint64_t
kube_version_number(const char *text, size_t len)
{
    uint64_t number = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || number > (UINT64_MAX - 9) / 10) {
            return 0;
        }
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    return number;
}

static void
version_set(struct version *version, const char *text, size_t len)
{
    str_clear(&version->text);
    str_add_bytes(&version->text, text, len);
    version->number = kube_version_number(text, len);
}

static bool
is_older(const struct version *a, const struct version *b)
{
    return a->number && b->number && a->number < b->number;
}

/* metadata.resourceVersion in the text of an object; plain characters only. */
static bool
find_version(const char *json, size_t len, const char **ret_text, size_t *ret_len)
{
    const char *metadata = NULL;
    size_t metadata_len = 0;
    const char *text = NULL;
    size_t text_len = 0;

    if (!json_find(json, len, "metadata", &metadata, &metadata_len) ||
        !json_find(metadata, metadata_len, "resourceVersion", &text, &text_len) || text_len < 3 ||
        text_len > 130 || text[0] != '"' || memchr(text, '\\', text_len)) {
        return false;
    }
    *ret_text = text + 1;
    *ret_len = text_len - 2;
    return true;
}

/* ---- retries ------------------------------------------------------------------------------------
 */

static void
begin_list(struct kube_watch *watch)
{
    str_clear(&watch->continue_token);
    watch->is_first_page = true;
    start_page(watch);
}

static bool
has_listed(const struct kube_watch *watch)
{
    return watch->version.text.len > 0;
}

static void
on_retry(uv_timer_t *timer)
{
    struct kube_watch *watch = timer->data;

    if (!has_listed(watch) || watch->wants_list) {
        /* A page further on is asked for again as it was: what came before it stands. */
        if (watch->continue_token.len > 0) {
            start_page(watch);
        } else {
            begin_list(watch);
        }
    } else {
        start_watch(watch);
    }
}

static void
retry_in(struct kube_watch *watch, uint64_t delay_ms)
{
    uv_update_time(watch->kube->loop);
    uv_timer_start(&watch->retry, on_retry, delay_ms, 0);
}

static void
fail(struct kube_watch *watch, const struct err *err, uint64_t retry_after_ms)
{
    uint64_t delay_ms = kube_backoff_ms(watch->kube, watch->n_failures++, retry_after_ms);

    watch->ops->trouble(watch->owner, err, delay_ms);
    retry_in(watch, delay_ms);
}

/* The one reason to tell: what stopped the stream, else what the transport or the server said. */
static struct err
reason_of(const struct kube_watch *watch, const struct kube_answer *answer, const char *doing)
{
    struct err err = watch->stream_err.text[0] != '\0' ? watch->stream_err : answer->err;

    if (answer->body[0] != '\0') {
        AUTO(json_tree) struct json_object *json = NULL;
        const char *message = NULL;
        struct json_at root;
        if (json_parse(answer->body, strlen(answer->body), &json, NULL)) {
            root = json_root(json);
            if (json_get_string(&root, "message", JSON_REQUIRED, &message, NULL)) {
                struct err longer = ERR_INIT;
                (void)err_set(&longer, "%s: %.200s", err.text, message);
                err = longer;
            }
        }
    }
    (void)err_wrap(&err, "%s %s", doing, watch->path);
    err.code = answer->status;
    return err;
}

/* ---- list ---------------------------------------------------------------------------------------
 */

static bool
check_page_version(struct kube_watch *watch, const char *text, size_t len, struct err *err)
{
    struct version version = {.text = STR_INIT};
    bool is_rollback = false;

    version.number = kube_version_number(text, len);
    if (!watch->is_first_page) {
        if (is_older(&version, &watch->list_version)) {
            return err_set(err, "a later page is of an older version");
        }
        return true;
    }
    if (is_older(&version, &watch->version)) {
        uint64_t now_ms = uv_now(watch->kube->loop);
        if (watch->distrust_since_ms == 0) {
            watch->distrust_since_ms = now_ms + 1;
        }
        is_rollback = now_ms - watch->distrust_since_ms + 1 > watch->kube->timing.distrust_ms;
        if (!is_rollback) {
            return err_set(err, "the list is of version %.*s, older than %s which we have; refused",
                           (int)len, text, watch->version.text.text);
        }
    }
    version_set(&watch->list_version, text, len);
    watch->ops->list_begin(watch->owner, is_rollback);
    return true;
}

static bool
flush_held(struct kube_watch *watch, struct err *err)
{
    const char *at = str_text(&watch->held);
    const char *end = at + watch->held.len;
    bool good = true;

    while (good && at < end) {
        size_t len = 0;
        memcpy(&len, at, sizeof len);
        good = watch->ops->item(watch->owner, at + sizeof len, len, err);
        at += sizeof len + len;
    }
    str_done(&watch->held);
    return good;
}

static bool
on_page_metadata(void *owner, const char *json, size_t len, struct err *err)
{
    struct kube_watch *watch = owner;
    AUTO(json_tree) struct json_object *tree = NULL;
    const char *version = NULL;
    const char *next = NULL;

    if (watch->has_metadata) {
        return err_set(err, "metadata twice in one list");
    }
    if (!json_parse(json, len, &tree, err)) {
        return err_wrap(err, "metadata");
    }
    struct json_at root = json_root(tree);
    if (!json_get_string(&root, "resourceVersion", JSON_REQUIRED, &version, err) ||
        !json_get_string(&root, "continue", JSON_OPTIONAL, &next, err)) {
        return err_wrap(err, "metadata");
    }
    if (!check_page_version(watch, version, strlen(version), err)) {
        return false;
    }
    watch->has_metadata = true;
    str_clear(&watch->next_token);
    str_add(&watch->next_token, next ? next : "");
    return flush_held(watch, err);
}

static bool
on_page_item(void *owner, const char *json, size_t len, struct err *err)
{
    struct kube_watch *watch = owner;

    if (watch->has_metadata) {
        return watch->ops->item(watch->owner, json, len, err);
    }
    /* Until the version is known, nothing may be believed. */
    if (len > HELD_MAX || watch->held.len > HELD_MAX - len - sizeof len) {
        return err_set(err, "a page of more than %zu bytes without metadata", HELD_MAX);
    }
    str_add_bytes(&watch->held, &len, sizeof len);
    str_add_bytes(&watch->held, json, len);
    return true;
}

static bool
on_data(void *owner, const char *bytes, size_t len)
{
    struct kube_watch *watch = owner;

    return split_feed(&watch->split, bytes, len, &watch->stream_err);
}

/* True when the body came whole and was what was asked for. */
static bool
end_request(struct kube_watch *watch, const struct kube_answer *answer)
{
    watch->request = NULL;
    watch->is_fresh = answer->is_timeout;
    if (answer->status == 401) {
        kube_refresh_token(watch->kube, true);
    }
    bool is_whole = answer->status == 200 && answer->is_complete &&
                    watch->stream_err.text[0] == '\0' &&
                    split_end(&watch->split, &watch->stream_err);
    split_done(&watch->split);
    str_done(&watch->held);
    return is_whole;
}

static void
on_list_complete(struct kube_watch *watch)
{
    version_set(&watch->version, watch->list_version.text.text, watch->list_version.text.len);
    watch->wants_list = false;
    watch->distrust_since_ms = 0;
    watch->n_failures = 0;
    watch->ops->list_end(watch->owner);
    if (watch->n_relists > 0) {
        retry_in(watch, kube_backoff_ms(watch->kube, watch->n_relists - 1, 0));
    } else {
        start_watch(watch);
    }
}

static void
on_page_done(void *owner, const struct kube_answer *answer)
{
    struct kube_watch *watch = owner;

    if (end_request(watch, answer)) {
        watch->n_failures = 0;
        str_clear(&watch->continue_token);
        str_add_bytes(&watch->continue_token, watch->next_token.text, watch->next_token.len);
        watch->is_first_page = false;
        if (watch->continue_token.len > 0) {
            start_page(watch);
        } else {
            on_list_complete(watch);
        }
        return;
    }
    struct err err = reason_of(watch, answer, "list");
    if (answer->status == 404) {
        watch->ops->absent(watch->owner);
    }
    /* 410: the continue token has expired (or, with 400, is not understood any more). Bytes that
     * were no list: nothing of this round is worth keeping. */
    if (answer->status == 410 || answer->status == 400 || answer->status == 404 ||
        watch->stream_err.text[0] != '\0') {
        str_clear(&watch->continue_token);
    }
    fail(watch, &err, answer->retry_after_ms);
}

static void
add_parameter(struct str *path, const char *name, const char *value)
{
    str_addf(path, "%c%s=", strchr(path->text, '?') ? '&' : '?', name);
    kube_escape(path, value);
}

static void
start_page(struct kube_watch *watch)
{
    static const struct split_ops page_ops = {on_page_item, on_page_metadata};
    AUTO(str) struct str path = STR_INIT;

    str_addf(&path, "%s?limit=%llu", watch->path,
             (unsigned long long)watch->kube->timing.page_limit);
    if (watch->continue_token.len > 0) {
        add_parameter(&path, "continue", watch->continue_token.text);
    }
    if (watch->field_selector) {
        add_parameter(&path, "fieldSelector", watch->field_selector);
    }
    split_init(&watch->split, SPLIT_LIST, &page_ops, watch);
    watch->has_metadata = false;
    err_clear(&watch->stream_err);
    struct kube_request_spec spec = {
        .method = "GET",
        .path = path.text,
        .timeout_ms = watch->kube->timing.request_ms,
        .is_fresh = watch->is_fresh,
        .data = on_data,
        .done = on_page_done,
        .owner = watch,
    };
    watch->request = kube_request_start(watch->kube, &spec);
}

/* ---- watch --------------------------------------------------------------------------------------
 */

static bool
on_error_event(struct kube_watch *watch, const char *json, size_t len, struct err *err)
{
    AUTO(json_tree) struct json_object *tree = NULL;
    const char *message = NULL;
    int64_t code = 0;

    if (!json_parse(json, len, &tree, err)) {
        return err_wrap(err, "ERROR event");
    }
    struct json_at root = json_root(tree);
    if (!json_get_int(&root, "code", (struct json_range){0, 999, JSON_OPTIONAL}, &code, NULL)) {
        code = 0;
    }
    if (!json_get_string(&root, "message", JSON_OPTIONAL, &message, NULL)) {
        message = NULL;
    }
    if (code == 410) {
        watch->wants_list = true;
    }
    return err_set(err, "the server ended it with code %d: %.200s", (int)code,
                   message ? message : "no message");
}

static bool
is_type(const char *type, size_t len, const char *wanted)
{
    return len == strlen(wanted) + 2 && memcmp(type + 1, wanted, len - 2) == 0;
}

static bool
verb_of(const char *type, size_t len, enum kube_verb *ret_verb, struct err *err)
{
    static const char *const names[] = {
        [KUBE_ADDED] = "ADDED", [KUBE_MODIFIED] = "MODIFIED", [KUBE_DELETED] = "DELETED"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (is_type(type, len, names[i])) {
            *ret_verb = (enum kube_verb)i;
            return true;
        }
    }
    return err_set(err, "an event of unknown type %.*s", len < 32 ? (int)len : 32, type);
}

static bool
on_event(void *owner, const char *json, size_t len, struct err *err)
{
    struct kube_watch *watch = owner;
    const char *type = NULL;
    const char *object = NULL;
    const char *text = NULL;
    size_t type_len = 0;
    size_t object_len = 0;
    size_t text_len = 0;
    enum kube_verb verb = KUBE_ADDED;
    bool is_bookmark = false;

    if (!json_find(json, len, "type", &type, &type_len) ||
        !json_find(json, len, "object", &object, &object_len) || object[0] != '{') {
        return err_set(err, "an event without type or object");
    }
    if (is_type(type, type_len, "ERROR")) {
        return on_error_event(watch, object, object_len, err);
    }
    is_bookmark = is_type(type, type_len, "BOOKMARK");
    if (!is_bookmark && !verb_of(type, type_len, &verb, err)) {
        return false;
    }
    watch->n_events++;
    watch->n_relists = 0;
    watch->n_failures = 0;
    watch->last_event_ms = uv_now(watch->kube->loop);
    bool has_version = find_version(object, object_len, &text, &text_len);
    uint64_t number = has_version ? kube_version_number(text, text_len) : 0;
    /* Each write has a version of its own: what is not newer has been seen, or was overtaken. */
    if (number && number <= watch->version.number) {
        watch->n_stale += !is_bookmark;
        return true;
    }
    if (!is_bookmark && !watch->ops->event(watch->owner, verb, object, object_len, err)) {
        return false;
    }
    if (has_version) {
        version_set(&watch->version, text, text_len);
    }
    return true;
}

static void
on_watch_done(void *owner, const struct kube_answer *answer)
{
    struct kube_watch *watch = owner;
    uint64_t lasted_ms = uv_now(watch->kube->loop) - watch->watch_start_ms;

    uv_timer_stop(&watch->guard);
    bool is_good = end_request(watch, answer);
    if (answer->status == 410) {
        watch->wants_list = true;
    }
    if (lasted_ms > watch->kube->timing.backoff_max_ms) {
        watch->n_relists = 0;
    }
    if (is_good && (lasted_ms >= 1000 || watch->n_events > 0)) {
        watch->n_failures = 0;
        start_watch(watch);
        return;
    }
    struct err err = reason_of(watch, answer, "watch");
    if (is_good) {
        (void)err_set(&err, "watch %s: it ended at once", watch->path);
    }
    if (watch->wants_list) {
        watch->n_relists++;
        str_clear(&watch->continue_token);
    } else if (answer->status == 404 ||
               (answer->status > 0 && watch->n_failures + 1 >= REFUSALS_BEFORE_LIST)) {
        watch->wants_list = true;
        str_clear(&watch->continue_token);
    }
    fail(watch, &err, answer->retry_after_ms);
}

static void
on_guard(uv_timer_t *timer)
{
    struct kube_watch *watch = timer->data;
    uint64_t silent_ms = uv_now(timer->loop) - watch->last_event_ms;
    uint64_t limit_ms = watch->kube->timing.silent_ms;
    struct err err = ERR_INIT;

    if (silent_ms < limit_ms) {
        uv_timer_start(timer, on_guard, limit_ms - silent_ms, 0);
        return;
    }
    kube_request_cancel(watch->request);
    watch->request = NULL;
    split_done(&watch->split);
    /* Half-open, or just quiet: servers send no bookmark while nothing changes. Either way a new
     * watch from here loses nothing. Where other streams of the connection are alive, the
     * connection is not to blame. */
    uint64_t all_silent_ms = kube_silent_ms(watch->kube);
    watch->is_fresh = all_silent_ms >= limit_ms / 2;
    if (all_silent_ms < silent_ms) {
        start_watch(watch);
        return;
    }
    (void)err_set(&err, "watch %s: no answer for %llu ms", watch->path,
                  (unsigned long long)silent_ms);
    fail(watch, &err, 0);
}

static void
start_watch(struct kube_watch *watch)
{
    static const struct split_ops event_ops = {.object = on_event};
    const struct kube_timing *timing = &watch->kube->timing;
    uint64_t timeout_s =
        timing->watch_min_s + kube_random(timing->watch_max_s - timing->watch_min_s + 1);
    AUTO(str) struct str path = STR_INIT;

    str_addf(&path, "%s?watch=true&allowWatchBookmarks=true&timeoutSeconds=%llu", watch->path,
             (unsigned long long)timeout_s);
    add_parameter(&path, "resourceVersion", watch->version.text.text);
    if (watch->field_selector) {
        add_parameter(&path, "fieldSelector", watch->field_selector);
    }
    split_init(&watch->split, SPLIT_STREAM, &event_ops, watch);
    err_clear(&watch->stream_err);
    watch->n_events = 0;
    uv_update_time(watch->kube->loop);
    watch->watch_start_ms = watch->last_event_ms = uv_now(watch->kube->loop);
    struct kube_request_spec spec = {
        .method = "GET",
        .path = path.text,
        .timeout_ms = timeout_s * 1000 + timing->request_ms,
        .is_watch = true,
        .is_fresh = watch->is_fresh,
        .data = on_data,
        .done = on_watch_done,
        .owner = watch,
    };
    watch->request = kube_request_start(watch->kube, &spec);
    uv_timer_start(&watch->guard, on_guard, timing->silent_ms, 0);
}

/* ---- life ---------------------------------------------------------------------------------------
 */

struct kube_watch *
kube_watch_new(struct kube *kube, const char *path, const char *field_selector,
               const struct kube_watch_ops *ops, void *owner)
{
    struct kube_watch *watch = NEW(struct kube_watch);

    watch->kube = kube;
    watch->path = xstrdup(path);
    watch->field_selector = field_selector ? xstrdup(field_selector) : NULL;
    watch->ops = ops;
    watch->owner = owner;
    watch->n_handles = 2;
    uv_timer_init(kube->loop, &watch->retry);
    uv_timer_init(kube->loop, &watch->guard);
    watch->retry.data = watch->guard.data = watch;
    return watch;
}

void
kube_watch_start(struct kube_watch *watch)
{
    begin_list(watch);
}

void
kube_watch_list(struct kube_watch *watch)
{
    if (!has_listed(watch) || watch->wants_list) {
        return;
    }
    watch->wants_list = true;
    str_clear(&watch->continue_token);
    if (!watch->request) {
        return; /* the retry timer runs */
    }
    uv_timer_stop(&watch->guard);
    kube_request_cancel(watch->request);
    watch->request = NULL;
    split_done(&watch->split);
    begin_list(watch);
}

static void
on_closed(uv_handle_t *handle)
{
    struct kube_watch *watch = handle->data;

    if (--watch->n_handles > 0) {
        return;
    }
    split_done(&watch->split);
    str_done(&watch->list_version.text);
    str_done(&watch->version.text);
    str_done(&watch->continue_token);
    str_done(&watch->next_token);
    str_done(&watch->held);
    free(watch->path);
    free(watch->field_selector);
    free(watch);
}

void
kube_watch_free(struct kube_watch *watch)
{
    if (!watch) {
        return;
    }
    kube_request_cancel(watch->request);
    watch->request = NULL;
    uv_close((uv_handle_t *)&watch->retry, on_closed);
    uv_close((uv_handle_t *)&watch->guard, on_closed);
}

uint64_t
kube_watch_version(const struct kube_watch *watch)
{
    return watch->version.number;
}

uint64_t
kube_watch_n_stale(const struct kube_watch *watch)
{
    return watch->n_stale;
}
