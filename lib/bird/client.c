/* The control socket on the event loop. Used by confd/load.c and confd/status.c. */
#include "lib/bird/client.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"

LOG_MODULE("bird");

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 1000
#define GREETING_MS 5000

struct command {
    struct command *next;
    char *text; /* with the line end */
    uint64_t deadline_ms;
    void (*done)(void *owner, const struct bird_reply *reply);
    void *owner;
};

enum state {
    STATE_IDLE,       /* waits to connect again */
    STATE_CONNECTING, /* or waits for the greeting */
    STATE_READY,
};

struct bird_client {
    uv_loop_t *loop;
    char *path;
    void (*on_state)(void *owner, bool is_connected);
    void *owner;
    enum state state;
    uv_pipe_t *pipe;  /* its own memory: closing one may overlap with opening the next */
    uv_timer_t timer; /* next try, or the deadline of what runs */
    uint64_t retry_ms;
    struct bird_parser parser;
    struct command *first, **last; /* the first one is sent when is_sent */
    bool is_sent;
    bool is_closing;
};

static void on_retry(uv_timer_t *timer);
static void on_deadline(uv_timer_t *timer);
static void send_next(struct bird_client *client);

static void
pipe_free(uv_handle_t *handle)
{
    free(handle);
}

static void
command_finish(struct bird_client *client, const struct bird_reply *reply)
{
    struct command *command = client->first;

    client->first = command->next;
    if (client->first == NULL) {
        client->last = &client->first;
    }
    client->is_sent = false;
    command->done(command->owner, reply);
    free(command->text);
    free(command);
}

/* Ends the connection, answers all that wait, and arms the next try. */
static void
disconnect(struct bird_client *client, const char *reason)
{
    bool was_ready = client->state == STATE_READY;
    struct bird_reply none = {0};

    client->state = STATE_IDLE;
    if (client->pipe != NULL) {
        client->pipe->data = NULL;
        uv_close((uv_handle_t *)client->pipe, pipe_free);
        client->pipe = NULL;
    }
    bird_parser_done(&client->parser);
    bird_parser_init(&client->parser);
    client->retry_ms = was_ready ? RETRY_MIN_MS : client->retry_ms * 2;
    if (client->retry_ms > RETRY_MAX_MS) {
        client->retry_ms = RETRY_MAX_MS;
    }
    uv_timer_start(&client->timer, on_retry, client->retry_ms, 0);
    if (was_ready) {
        log_info("connection to BIRD ended: %s", reason);
        client->on_state(client->owner, false);
    }
    (void)err_set(&none.err, "%s", reason);
    /* Only what waits now: a callback may queue again. */
    const struct command *end = client->first;
    size_t n = 0;
    for (; end != NULL; end = end->next) {
        n++;
    }
    while (n-- > 0) {
        command_finish(client, &none);
    }
}

static void
on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)handle;
    buf->base = xmalloc(size);
    buf->len = size;
}

static void
reply_take(struct bird_client *client, struct bird_reply *reply)
{
    if (client->state == STATE_CONNECTING) {
        uv_timer_stop(&client->timer);
        client->state = STATE_READY;
        client->retry_ms = RETRY_MIN_MS;
        log_info("connected to BIRD at %s", client->path);
        client->on_state(client->owner, true);
    } else if (client->first != NULL && client->is_sent) {
        uv_timer_stop(&client->timer);
        command_finish(client, reply);
    }
    bird_reply_done(reply);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct bird_client *client = stream->data;
    struct err err = ERR_INIT;
    bool is_ready = true;

    if (client == NULL || n <= 0) {
        free(buf->base);
        if (client != NULL && n < 0) {
            disconnect(client, n == UV_EOF ? "closed by BIRD" : uv_strerror((int)n));
        }
        return;
    }
    bird_parser_add(&client->parser, buf->base, (size_t)n);
    free(buf->base);
    while (is_ready) {
        struct bird_reply reply = {0};
        if (!bird_parser_next(&client->parser, &is_ready, &reply, &err)) {
            disconnect(client, err.text);
            return;
        }
        if (is_ready) {
            reply_take(client, &reply);
            if (stream->data == NULL) {
                return; /* a callback ended the connection */
            }
        }
    }
    send_next(client);
}

static void
on_connect(uv_connect_t *request, int status)
{
    struct bird_client *client = request->handle->data;

    free(request);
    if (client == NULL) {
        return;
    }
    if (status < 0) {
        log_debug("cannot connect to BIRD at %s: %s", client->path, uv_strerror(status));
        disconnect(client, uv_strerror(status));
        return;
    }
    uv_timer_start(&client->timer, on_deadline, GREETING_MS, 0);
    if (uv_read_start((uv_stream_t *)client->pipe, on_alloc, on_read) < 0) {
        disconnect(client, "cannot read");
    }
}

static void
on_retry(uv_timer_t *timer)
{
    struct bird_client *client = timer->data;
    uv_connect_t *request = NEW(uv_connect_t);

    client->state = STATE_CONNECTING;
    client->pipe = NEW(uv_pipe_t);
    uv_pipe_init(client->loop, client->pipe, 0);
    client->pipe->data = client;
    uv_pipe_connect(request, client->pipe, client->path, on_connect);
}

static void
on_deadline(uv_timer_t *timer)
{
    disconnect(timer->data, "no answer from BIRD within the deadline");
}

struct write {
    uv_write_t request;
    char text[];
};

static void
on_written(uv_write_t *request, int status)
{
    /* A failed write also ends the reading side, which is where it is dealt with. */
    (void)status;
    free(request);
}

static void
send_next(struct bird_client *client)
{
    if (client->state != STATE_READY || client->first == NULL || client->is_sent) {
        return;
    }
    const struct command *command = client->first;
    size_t len = strlen(command->text);
    struct write *write = xmalloc(sizeof(*write) + len);
    memcpy(write->text, command->text, len);
    uv_buf_t buf = uv_buf_init(write->text, (unsigned)len);
    client->is_sent = true;
    uv_timer_start(&client->timer, on_deadline, command->deadline_ms, 0);
    if (uv_write(&write->request, (uv_stream_t *)client->pipe, &buf, 1, on_written) < 0) {
        free(write);
    }
}

struct bird_client *
bird_client_new(uv_loop_t *loop, const char *socket_path,
                void (*on_state)(void *owner, bool is_connected), void *owner)
{
    struct bird_client *client = NEW(struct bird_client);

    client->loop = loop;
    client->path = xstrdup(socket_path);
    client->on_state = on_state;
    client->owner = owner;
    client->last = &client->first;
    client->retry_ms = RETRY_MIN_MS;
    bird_parser_init(&client->parser);
    uv_timer_init(loop, &client->timer);
    client->timer.data = client;
    uv_timer_start(&client->timer, on_retry, 0, 0);
    return client;
}

static void
on_timer_closed(uv_handle_t *handle)
{
    struct bird_client *client = handle->data;

    free(client->path);
    free(client);
}

void
bird_client_free(struct bird_client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->pipe != NULL) {
        client->pipe->data = NULL;
        uv_close((uv_handle_t *)client->pipe, pipe_free);
    }
    while (client->first != NULL) {
        struct command *command = client->first;
        client->first = command->next;
        free(command->text);
        free(command);
    }
    bird_parser_done(&client->parser);
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}

bool
bird_client_is_connected(const struct bird_client *client)
{
    return client->state == STATE_READY;
}

void
bird_client_send(struct bird_client *client, const char *command, uint64_t deadline_ms,
                 void (*done)(void *owner, const struct bird_reply *reply), void *owner)
{
    struct command *entry = NEW(struct command);
    size_t len = strcspn(command, "\n");

    entry->text = xmalloc(len + 2);
    memcpy(entry->text, command, len);
    memcpy(entry->text + len, "\n", 2);
    entry->deadline_ms = deadline_ms;
    entry->done = done;
    entry->owner = owner;
    *client->last = entry;
    client->last = &entry->next;
    /* Without a connection the next failed or successful try answers it. */
    send_next(client);
}
