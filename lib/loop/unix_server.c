/* The line server. Used by felix for the CNI plugin and canalctl.
 *
 * A client is in the server's table by its id until it is cut; its memory goes when libuv has
 * closed the pipe and the timer. */
#include "lib/loop/unix_server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/base/table.h"

LOG_MODULE("server");

#define READ_SIZE ((size_t)16384)

struct client {
    struct unix_server *server; /* NULL once the server is gone */
    uint64_t id;
    uv_pipe_t pipe;
    uv_timer_t idle;
    unsigned n_handles;
    struct str in;
    size_t n_scanned; /* bytes of 'in' known to have no newline */
    size_t n_queued;  /* bytes not written yet */
    uint64_t n_unanswered;
    bool is_cut;
    bool is_ending; /* cut when everything is written */
    bool is_kept;   /* however long it is silent */
};

struct answer {
    uv_write_t write;
    struct client *client;
    size_t len;
    char text[];
};

struct unix_server {
    struct unix_server_spec spec;
    char *path;
    uv_pipe_t pipe;
    struct table *clients; /* by id */
    uint64_t last_id;
};

static void
on_client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;

    if (--client->n_handles == 0) {
        str_done(&client->in);
        free(client);
    }
}

static void
cut(struct client *client)
{
    struct unix_server *server = client->server;

    if (client->is_cut) {
        return;
    }
    client->is_cut = true;
    uv_close((uv_handle_t *)&client->pipe, on_client_closed);
    uv_close((uv_handle_t *)&client->idle, on_client_closed);
    if (server) {
        table_take_bytes(server->clients, &client->id, sizeof client->id);
        if (server->spec.gone) {
            server->spec.gone(server->spec.owner, client->id);
        }
    }
}

static void
on_idle(uv_timer_t *timer)
{
    struct client *client = timer->data;

    /* Who waits for us is not idle. */
    if (client->n_unanswered > 0 || client->is_kept) {
        uv_timer_start(timer, on_idle, client->server->spec.idle_ms, 0);
    } else {
        cut(client);
    }
}

/* Hands out the whole lines; the client may be cut by what they lead to. */
static void
take_lines(struct client *client)
{
    const struct unix_server_spec *spec = &client->server->spec;
    size_t start = 0;

    while (!client->is_cut && !client->is_ending) {
        size_t from = start > client->n_scanned ? start : client->n_scanned;
        char *line = client->in.text + start;
        char *newline = memchr(client->in.text + from, '\n', client->in.len - from);
        if (!newline) {
            break;
        }
        *newline = '\0';
        start = (size_t)(newline + 1 - client->in.text);
        client->n_unanswered++;
        spec->line(spec->owner, client->id, line, (size_t)(newline - line));
    }
    str_drop(&client->in, start);
    client->n_scanned = client->in.len;
    if (!client->is_cut && client->in.len > spec->max_line) {
        log_warn_every(60, "a request of more than %zu bytes; the client is cut off",
                       spec->max_line);
        cut(client);
    }
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct client *client = handle->data;

    (void)suggested;
    *ret_buf = uv_buf_init(str_reserve(&client->in, READ_SIZE), READ_SIZE);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *client = stream->data;

    (void)buf;
    if (n < 0) {
        cut(client);
        return;
    }
    client->in.len += (size_t)n;
    client->in.text[client->in.len] = '\0';
    uv_timer_start(&client->idle, on_idle, client->server->spec.idle_ms, 0);
    take_lines(client);
}

static void
on_connection(uv_stream_t *stream, int status)
{
    struct unix_server *server = stream->data;
    struct client *client = NEW(struct client);

    client->server = server;
    client->id = ++server->last_id;
    client->n_handles = 2;
    uv_pipe_init(stream->loop, &client->pipe, 0);
    uv_timer_init(stream->loop, &client->idle);
    client->pipe.data = client->idle.data = client;
    bool is_welcome = status == 0 && uv_accept(stream, (uv_stream_t *)&client->pipe) == 0;
    if (!is_welcome || table_count(server->clients) >= server->spec.max_clients) {
        if (is_welcome) {
            log_warn_every(60, "more than %zu clients; a new one is turned away",
                           server->spec.max_clients);
        }
        client->server = NULL; /* it never was there */
        cut(client);
        return;
    }
    table_put_bytes(server->clients, &client->id, sizeof client->id, client);
    uv_timer_start(&client->idle, on_idle, server->spec.idle_ms, 0);
    uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read);
}

/* ---- answers ------------------------------------------------------------------------------------
 */

static void
on_written(uv_write_t *write, int status)
{
    struct answer *answer = write->data;
    struct client *client = answer->client;

    client->n_queued -= answer->len;
    free(answer);
    if (status != 0 || (client->is_ending && client->n_queued == 0)) {
        cut(client);
    }
}

void
unix_server_send(struct unix_server *server, uint64_t client_id, const char *text, size_t len)
{
    struct client *client = table_get_bytes(server->clients, &client_id, sizeof client_id);

    if (!client) {
        return;
    }
    client->n_unanswered -= client->n_unanswered > 0;
    if (len + 1 > server->spec.max_queued - client->n_queued) {
        log_warn_every(60, "a client does not read its answers; it is cut off");
        cut(client);
        return;
    }
    struct answer *answer = xmalloc(sizeof *answer + len + 1);
    *answer = (struct answer){.client = client, .len = len + 1};
    memcpy(answer->text, text, len);
    answer->text[len] = '\n';
    answer->write.data = answer;
    client->n_queued += len + 1;
    uv_buf_t buf = uv_buf_init(answer->text, (unsigned)(len + 1));
    int rc = uv_write(&answer->write, (uv_stream_t *)&client->pipe, &buf, 1, on_written);
    if (rc != 0) {
        client->n_queued -= len + 1;
        free(answer);
        cut(client);
    }
}

void
unix_server_keep(struct unix_server *server, uint64_t client_id)
{
    struct client *client = table_get_bytes(server->clients, &client_id, sizeof client_id);

    if (client) {
        client->is_kept = true;
    }
}

void
unix_server_close(struct unix_server *server, uint64_t client_id)
{
    struct client *client = table_get_bytes(server->clients, &client_id, sizeof client_id);

    if (!client) {
        return;
    }
    client->is_ending = true;
    if (client->n_queued == 0) {
        cut(client);
    }
}

size_t
unix_server_n_clients(const struct unix_server *server)
{
    return table_count(server->clients);
}

/* ---- life ---------------------------------------------------------------------------------------
 */

/* Who was killed while it started a child leaves its socket to the child until that is another
 * program: it takes what comes, and nobody will ever answer. The kernel says who began to listen.
 */
static bool
is_listener_dead(int fd)
{
    struct ucred listener = {0};
    socklen_t len = sizeof listener;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &len) == 0 && listener.pid > 0 &&
           kill(listener.pid, 0) != 0 && errno == ESRCH;
}

/* Makes way: removes the file when nobody listens on it. */
static bool
remove_stale(const char *path, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat now = {0};
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return err_sys(err, errno, "socket");
    }
    if (lstat(path, &now) != 0) {
        return errno == ENOENT || err_sys(err, errno, "%s", path);
    }
    if (!S_ISSOCK(now.st_mode)) {
        return err_set(err, "%s: is there and is no socket", path);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    bool is_open = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (is_open ? !is_listener_dead(fd) : errno == EAGAIN) {
        return err_code(err, EADDRINUSE, "%s: another process listens on it", path);
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        return err_sys(err, errno, "remove %s", path);
    }
    return true;
}

static void
on_server_closed(uv_handle_t *handle)
{
    struct unix_server *server = handle->data;

    table_free(server->clients, NULL);
    free(server->path);
    free(server);
}

static bool
listen_on(struct unix_server *server, struct err *err)
{
    int rc = uv_pipe_bind(&server->pipe, server->path);

    if (rc != 0) {
        return err_code(err, -rc, "bind %s: %s", server->path, uv_strerror(rc));
    }
    /* Nobody can connect before listen(), so nobody slips in before the mode is right. */
    if (chmod(server->path, server->spec.mode) != 0) {
        return err_sys(err, errno, "chmod %s", server->path);
    }
    rc = uv_listen((uv_stream_t *)&server->pipe, 128, on_connection);
    return rc == 0 || err_code(err, -rc, "listen on %s: %s", server->path, uv_strerror(rc));
}

bool
unix_server_new(uv_loop_t *loop, const struct unix_server_spec *spec,
                struct unix_server **ret_server, struct err *err)
{
    struct sockaddr_un address;

    if (strlen(spec->path) >= sizeof address.sun_path) {
        return err_set(err, "%s: is longer than a socket's name may be (%zu)", spec->path,
                       sizeof address.sun_path - 1);
    }
    if (!remove_stale(spec->path, err)) {
        return false;
    }
    struct unix_server *server = NEW(struct unix_server);
    server->spec = *spec;
    server->path = xstrdup(spec->path);
    server->clients = table_new();
    uv_pipe_init(loop, &server->pipe, 0);
    server->pipe.data = server;
    if (!listen_on(server, err)) {
        uv_close((uv_handle_t *)&server->pipe, on_server_closed);
        return false;
    }
    *ret_server = server;
    return true;
}

void
unix_server_free(struct unix_server *server)
{
    if (!server) {
        return;
    }
    TABLE_FOREACH (server->clients, entry) {
        struct client *client = table_value(entry);
        client->server = NULL;
        cut(client);
    }
    unlink(server->path);
    uv_close((uv_handle_t *)&server->pipe, on_server_closed);
}
