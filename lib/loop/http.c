/* Glue between curl's multi interface and libuv. Used by lib/kube/http.c.
 *
 * curl refuses to be called from its own callbacks, so transfers that are started or cancelled
 * there wait until curl has returned ('depth' says whether we are inside). */
#include "lib/loop/http.h"

#include "lib/base/alloc.h"
#include "lib/base/log.h"

LOG_MODULE("http");

struct http_transfer {
    struct http *http;
    struct http_transfer *next, **link; /* in http->transfers */
    CURL *easy;
    void (*done)(void *owner, CURL *easy, CURLcode result);
    void *owner;
    bool is_added;
    bool is_cancelled;
};

struct http {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer; /* curl's */
    uv_timer_t later; /* for what waits until curl has returned */
    struct http_transfer *transfers;
    unsigned depth;
    bool is_closing;
    unsigned n_handles;
};

struct socket_watch {
    uv_poll_t poll;
    struct http *http;
    curl_socket_t fd;
};

static void work(struct http *http);

static void
finish(struct http_transfer *transfer, CURLcode result)
{
    if (transfer->is_added) {
        curl_multi_remove_handle(transfer->http->multi, transfer->easy);
    }
    /* The analyzer does not see that what points here is always what is overwritten. */
    *transfer->link = transfer->next; /* NOLINT(clang-analyzer-unix.Malloc) */
    if (transfer->next) {
        transfer->next->link = transfer->link;
    }
    transfer->done(transfer->owner, transfer->easy, result);
    curl_easy_cleanup(transfer->easy);
    free(transfer);
}

static void
on_later(uv_timer_t *timer)
{
    work(timer->data);
}

static void
work_later(struct http *http)
{
    if (!http->is_closing && !uv_is_active((uv_handle_t *)&http->later)) {
        uv_timer_start(&http->later, on_later, 0, 0);
    }
}

/* Adds what waits; false when it could not be added and is over. */
static bool
add(struct http *http, struct http_transfer *transfer)
{
    http->depth++;
    CURLMcode code = curl_multi_add_handle(http->multi, transfer->easy);
    http->depth--;
    transfer->is_added = code == CURLM_OK;
    if (code != CURLM_OK) {
        finish(transfer, CURLE_FAILED_INIT);
    }
    return code == CURLM_OK;
}

static bool
start_or_end_one(struct http *http)
{
    for (struct http_transfer *transfer = http->transfers; transfer; transfer = transfer->next) {
        if (transfer->is_cancelled) { /* NOLINT(clang-analyzer-unix.Malloc): a false path */
            finish(transfer, CURLE_ABORTED_BY_CALLBACK);
            return true;
        }
        if (!transfer->is_added && !add(http, transfer)) {
            return true;
        }
    }
    return false;
}

/* Everything that must happen outside of curl: ended transfers, cancelled ones, new ones. Each done
 * may change the list, so the walk begins anew after it. */
static void
work(struct http *http)
{
    int n_left = 0;
    CURLMsg *message = NULL;

    if (http->depth > 0 || http->is_closing) {
        return;
    }
    while ((message = curl_multi_info_read(http->multi, &n_left))) {
        if (message->msg == CURLMSG_DONE) {
            struct http_transfer *transfer = NULL;
            CURLcode result = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
            finish(transfer, transfer->is_cancelled ? CURLE_ABORTED_BY_CALLBACK : result);
        }
    }
    while (start_or_end_one(http)) {
    }
}

static void
action(struct http *http, curl_socket_t fd, int flags)
{
    int n_running = 0;

    http->depth++;
    curl_multi_socket_action(http->multi, fd, flags, &n_running);
    http->depth--;
    work(http);
}

static void
on_timer(uv_timer_t *timer)
{
    action(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct socket_watch *watch = poll->data;
    int flags = 0;

    if (status < 0) {
        flags = CURL_CSELECT_ERR;
    }
    if (events & UV_READABLE) {
        flags |= CURL_CSELECT_IN;
    }
    if (events & UV_WRITABLE) {
        flags |= CURL_CSELECT_OUT;
    }
    action(watch->http, watch->fd, flags);
}

static void
free_watch(uv_handle_t *handle)
{
    free(handle->data);
}

static void
complain(int rc)
{
    log_error("cannot watch a connection: %s; requests on it will time out", uv_strerror(rc));
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *owner, void *socket_owner)
{
    struct http *http = owner;
    struct socket_watch *watch = socket_owner;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            curl_multi_assign(http->multi, fd, NULL);
            uv_poll_stop(&watch->poll);
            uv_close((uv_handle_t *)&watch->poll, free_watch);
        }
        return 0;
    }
    if (!watch) {
        watch = NEW(struct socket_watch);
        watch->http = http;
        watch->fd = fd;
        watch->poll.data = watch;
        int rc = uv_poll_init_socket(http->loop, &watch->poll, fd);
        if (rc != 0) {
            complain(rc);
            free(watch);
            return -1;
        }
        curl_multi_assign(http->multi, fd, watch);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&watch->poll, events, on_poll);
    return 0;
}

static int
on_timeout_wanted(CURLM *multi, long timeout_ms, void *owner)
{
    struct http *http = owner;

    (void)multi;
    if (http->is_closing) {
        return 0;
    }
    if (timeout_ms < 0) {
        uv_timer_stop(&http->timer);
    } else {
        uv_update_time(http->loop);
        uv_timer_start(&http->timer, on_timer, (uint64_t)timeout_ms, 0);
    }
    return 0;
}

struct http *
http_new(uv_loop_t *loop)
{
    struct http *http = NEW(struct http);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    http->loop = loop;
    http->multi = curl_multi_init();
    http->n_handles = 2;
    uv_timer_init(loop, &http->timer);
    uv_timer_init(loop, &http->later);
    http->timer.data = http->later.data = http;
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    return http;
}

static void
on_timer_closed(uv_handle_t *handle)
{
    struct http *http = handle->data;

    if (--http->n_handles == 0) {
        free(http);
    }
}

void
http_free(struct http *http)
{
    if (!http) {
        return;
    }
    http->is_closing = true;
    while (http->transfers) {
        finish(http->transfers, CURLE_ABORTED_BY_CALLBACK); /* NOLINT(clang-analyzer-unix.Malloc) */
    }
    curl_multi_cleanup(http->multi);
    uv_close((uv_handle_t *)&http->timer, on_timer_closed);
    uv_close((uv_handle_t *)&http->later, on_timer_closed);
}

struct http_transfer *
http_start(struct http *http, CURL *easy, void (*done)(void *owner, CURL *easy, CURLcode result),
           void *owner)
{
    struct http_transfer *transfer = NEW(struct http_transfer);

    transfer->http = http;
    transfer->easy = easy;
    transfer->done = done;
    transfer->owner = owner;
    transfer->link = &http->transfers;
    transfer->next = http->transfers;
    if (transfer->next) {
        transfer->next->link = &transfer->next;
    }
    http->transfers = transfer;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, (char *)transfer);
    work_later(http);
    return transfer;
}

void
http_cancel(struct http_transfer *transfer)
{
    if (transfer->http->depth == 0) {
        finish(transfer, CURLE_ABORTED_BY_CALLBACK);
        return;
    }
    transfer->is_cancelled = true;
    work_later(transfer->http);
}
