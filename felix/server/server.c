/* Clients, their input so far, and their answers. */
#include "felix/server/server.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/proto/proto.h"

#define CLIENTS_MAX 1024

struct client {
    uv_pipe_t pipe;
    struct server *server;
    uint64_t id;
    struct str input;
};

struct server {
    uv_pipe_t pipe;
    uv_loop_t *loop;
    void (*request)(void *owner, uint64_t client, const char *line, size_t len);
    void *owner;
    struct table *clients; /* id bytes -> struct client */
    uint64_t next_id;
    char *path;
    bool is_closing;
};

struct write {
    uv_write_t request;
    char *text;
};

static void
on_client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;

    str_done(&client->input);
    free(client);
}

static void
client_close(struct client *client)
{
    if (!uv_is_closing((uv_handle_t *)&client->pipe)) {
        table_take_bytes(client->server->clients, &client->id, sizeof client->id);
        uv_close((uv_handle_t *)&client->pipe, on_client_closed);
    }
}

static void
on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct client *client = handle->data;

    (void)suggested;
    ret_buf->base = str_reserve(&client->input, 4096);
    ret_buf->len = 4096;
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *client = stream->data;
    struct server *server = client->server;

    (void)buf;
    if (n < 0) {
        client_close(client);
        return;
    }
    client->input.len += (size_t)n;
    char *text = client->input.text;
    if (text) {
        text[client->input.len] = '\0';
    }
    char *end = NULL;
    while (client->input.len > 0 && (end = memchr(client->input.text, '\n', client->input.len))) {
        size_t len = (size_t)(end - client->input.text);
        AUTO_FREE char *line = xstrndup(client->input.text, len);
        str_drop(&client->input, len + 1);
        server->request(server->owner, client->id, line, len);
    }
    if (client->input.len > PROTO_LINE_MAX) {
        client_close(client);
    }
}

static void
on_connection(uv_stream_t *stream, int status)
{
    struct server *server = stream->data;

    if (status < 0) {
        return;
    }
    struct client *client = NEW(struct client);
    client->server = server;
    client->id = ++server->next_id;
    client->pipe.data = client;
    uv_pipe_init(server->loop, &client->pipe, 0);
    if (uv_accept(stream, (uv_stream_t *)&client->pipe) != 0 ||
        table_count(server->clients) >= CLIENTS_MAX) {
        uv_close((uv_handle_t *)&client->pipe, on_client_closed);
        return;
    }
    table_put_bytes(server->clients, &client->id, sizeof client->id, client);
    uv_read_start((uv_stream_t *)&client->pipe, on_room, on_read);
}

bool
server_new(uv_loop_t *loop, const char *path,
           void (*request)(void *owner, uint64_t client, const char *line, size_t len), void *owner,
           struct server **ret_server, struct err *err)
{
    struct server *server = NEW(struct server);

    *server = (struct server){.loop = loop, .request = request, .owner = owner};
    server->clients = table_new();
    server->path = xstrdup(path);
    server->pipe.data = server;
    uv_pipe_init(loop, &server->pipe, 0);
    unlink(path);
    int result = uv_pipe_bind(&server->pipe, path);
    if (result == 0) {
        /* Whoever can reach it can open the node's network: root only. */
        chmod(path, 0600);
        result = uv_listen((uv_stream_t *)&server->pipe, 128, on_connection);
    }
    if (result != 0) {
        server_free(server);
        return err_set(err, "listen on %s: %s", path, uv_strerror(result));
    }
    *ret_server = server;
    return true;
}

static void
on_server_closed(uv_handle_t *handle)
{
    struct server *server = handle->data;

    table_free(server->clients, NULL);
    free(server->path);
    free(server);
}

void
server_free(struct server *server)
{
    if (!server) {
        return;
    }
    TABLE_FOREACH (server->clients, entry) {
        client_close(table_value(entry));
    }
    uv_close((uv_handle_t *)&server->pipe, on_server_closed);
}

static void
on_written(uv_write_t *request, int status)
{
    struct write *write = request->data;

    (void)status;
    free(write->text);
    free(write);
}

void
server_reply(struct server *server, uint64_t id, const char *line, size_t len)
{
    struct client *client = table_get_bytes(server->clients, &id, sizeof id);

    if (!client) {
        return;
    }
    struct write *write = NEW(struct write);
    write->text = xmemdup(line, len);
    write->request.data = write;
    uv_buf_t buf = uv_buf_init(write->text, (unsigned)len);
    if (uv_write(&write->request, (uv_stream_t *)&client->pipe, &buf, 1, on_written) != 0) {
        free(write->text);
        free(write);
    }
}
