/* libmicrohttpd without threads: its epoll descriptor and its timeout are watched by the libuv
 * loop, so answers are made between other events and need no locks. */
#include "lib/metrics/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/net/ip.h"

struct http_server {
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
    int n_open_handles;
    struct metrics *metrics;
    struct health *health;
};

static enum MHD_Result
reply(struct MHD_Connection *connection, unsigned status, const char *type, const struct str *body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body->len, body->text ? body->text : (void *)(uintptr_t) "", MHD_RESPMEM_MUST_COPY);

    MHD_add_response_header(response, "Content-Type", type);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
/* NOLINTNEXTLINE(readability-function-size): the signature is libmicrohttpd's */
on_request(void *owner, struct MHD_Connection *connection, const char *url, const char *method,
           const char *version, const char *data, size_t *data_size, void **state)
{
    struct http_server *server = owner;
    AUTO(str) struct str body = STR_INIT;
    unsigned status = MHD_HTTP_OK;

    (void)version, (void)data, (void)state;
    *data_size = 0;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        str_add(&body, "only GET\n");
        return reply(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", &body);
    }
    if (server->metrics && strcmp(url, "/metrics") == 0) {
        metrics_write(server->metrics, &body);
        return reply(connection, status, "text/plain; version=0.0.4", &body);
    }
    if (server->health && strcmp(url, "/readiness") == 0) {
        status = health_is_ready(server->health) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
        health_write(server->health, &body);
    } else if (server->health && strcmp(url, "/liveness") == 0) {
        status = health_is_live(server->health) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
        health_write(server->health, &body);
    } else {
        status = MHD_HTTP_NOT_FOUND;
        str_add(&body, "there are /metrics, /readiness and /liveness\n");
    }
    return reply(connection, status, "text/plain", &body);
}

static void on_timer(uv_timer_t *timer);

static void
serve(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;

    MHD_run(server->daemon);
    if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES) {
        uv_timer_start(&server->timer, on_timer, timeout_ms, 0);
    } else {
        uv_timer_stop(&server->timer);
    }
}

static void
on_timer(uv_timer_t *timer)
{
    serve(timer->data);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    serve(poll->data);
}

static bool
listen_address(const char *host, uint16_t port, struct sockaddr_storage *ret_addr, struct err *err)
{
    struct ip ip = {.family = 4};
    struct sockaddr_in *addr4 = (void *)ret_addr;
    struct sockaddr_in6 *addr6 = (void *)ret_addr;

    memset(ret_addr, 0, sizeof *ret_addr);
    if (strcmp(host, "localhost") == 0) {
        host = "127.0.0.1";
    }
    if (*host != '\0' && !ip_parse(host, &ip, err)) {
        return false;
    }
    if (ip.family == 4) {
        addr4->sin_family = AF_INET;
        addr4->sin_port = htons(port);
        memcpy(&addr4->sin_addr, ip.bytes, 4);
    } else {
        addr6->sin6_family = AF_INET6;
        addr6->sin6_port = htons(port);
        memcpy(&addr6->sin6_addr, ip.bytes, 16);
    }
    return true;
}

bool
http_server_new(uv_loop_t *loop, const struct http_server_spec *spec,
                struct http_server **ret_server, struct err *err)
{
    struct sockaddr_storage addr;

    if (!listen_address(spec->host, spec->port, &addr, err)) {
        return err_wrap(err, "metrics and health address");
    }
    unsigned flags = MHD_USE_EPOLL;
    if (addr.ss_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    struct http_server *server = NEW(struct http_server);
    server->metrics = spec->metrics;
    server->health = spec->health;
    server->daemon = MHD_start_daemon(flags, spec->port, NULL, NULL, on_request, server,
                                      MHD_OPTION_SOCK_ADDR, &addr, MHD_OPTION_CONNECTION_TIMEOUT,
                                      10U, MHD_OPTION_CONNECTION_LIMIT, 32U, MHD_OPTION_END);
    if (!server->daemon) {
        int number = errno;
        free(server);
        return err_sys(err, number, "listen on %s port %u for metrics and health", spec->host,
                       spec->port);
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int rc = info ? uv_poll_init(loop, &server->poll, info->epoll_fd) : UV_EBADF;
    if (rc != 0) {
        MHD_stop_daemon(server->daemon);
        free(server);
        return err_sys(err, -rc, "watch %s port %u for metrics and health", spec->host, spec->port);
    }
    uv_timer_init(loop, &server->timer);
    server->poll.data = server->timer.data = server;
    server->n_open_handles = 2;
    uv_poll_start(&server->poll, UV_READABLE, on_ready);
    *ret_server = server;
    return true;
}

static void
on_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;

    if (--server->n_open_handles == 0) {
        MHD_stop_daemon(server->daemon);
        free(server);
    }
}

void
http_server_free(struct http_server *server)
{
    if (server) {
        /* Now, not when the loop turns: the next server may want the same port. */
        int listening = MHD_quiesce_daemon(server->daemon);
        if (listening >= 0) {
            close(listening);
        }
        uv_close((uv_handle_t *)&server->poll, on_closed);
        uv_close((uv_handle_t *)&server->timer, on_closed);
    }
}
