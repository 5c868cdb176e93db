/* Runs a child with pipes and a deadline. Called by confd for `bird -p`; by felix for the one-shot
 * restore child. A child is over when it was reaped, both of its output pipes have ended and
 * every handle is closed: only then is done() called and the memory freed.
 *
 * A grandchild that inherited the pipes must not hold us up: after the exit, what is still in the
 * pipes has DRAIN_MS to arrive. */
#include "lib/loop/child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lib/base/alloc.h"

#define OUT_MAX ((size_t)64 * 1024 * 1024)
#define TEXT_MAX ((size_t)64 * 1024)
#define DRAIN_MS 500

struct child {
    uv_process_t process;
    uv_timer_t deadline;
    uv_pipe_t in, out, text;
    uv_write_t write;
    struct str input;
    struct child_result result;
    unsigned n_handles; /* not closed yet */
    unsigned n_waits;   /* exit and ends of pipes not seen yet */
    bool has_exited;
    void (*done)(void *owner, const struct child_result *result);
    void *owner;
};

static void
on_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;

    if (--child->n_handles > 0) {
        return;
    }
    child->done(child->owner, &child->result);
    str_done(&child->input);
    str_done(&child->result.out);
    str_done(&child->result.text);
    free(child);
}

static void
close_handle(void *handle)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, on_closed);
    }
}

static void
close_all(struct child *child)
{
    close_handle(&child->process);
    close_handle(&child->deadline);
    close_handle(&child->in);
    close_handle(&child->out);
    close_handle(&child->text);
}

static void
one_wait_less(struct child *child)
{
    if (--child->n_waits == 0) {
        close_all(child);
    }
}

static void
on_drain_over(uv_timer_t *timer)
{
    close_all(timer->data);
}

static void
on_deadline(uv_timer_t *timer)
{
    struct child *child = timer->data;

    child->result.timed_out = true;
    /* The whole group: what the child started goes with it. */
    if (uv_kill(-child->process.pid, SIGKILL) != 0) {
        uv_process_kill(&child->process, SIGKILL);
    }
}

static void
on_exit_seen(uv_process_t *process, int64_t status, int signal)
{
    struct child *child = process->data;

    child->has_exited = true;
    child->result.signal = signal;
    child->result.exit_code = signal ? -1 : (int)status;
    uv_timer_start(&child->deadline, on_drain_over, DRAIN_MS, 0);
    one_wait_less(child);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct child *child = handle->data;
    struct str *into =
        handle == (uv_handle_t *)&child->out ? &child->result.out : &child->result.text;

    (void)suggested;
    *ret_buf = uv_buf_init(str_reserve(into, 16384), 16384);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct child *child = stream->data;
    bool is_out = stream == (uv_stream_t *)&child->out;
    struct str *into = is_out ? &child->result.out : &child->result.text;
    size_t max = is_out ? OUT_MAX : TEXT_MAX;

    (void)buf;
    if (n < 0) {
        uv_read_stop(stream);
        one_wait_less(child);
        return;
    }
    /* What is over the limit is read, so that the child can go on, and thrown away. */
    size_t room = max - into->len;
    into->len += (size_t)n < room ? (size_t)n : room;
    into->text[into->len] = '\0';
}

static void
on_written(uv_write_t *write, int status)
{
    struct child *child = write->data;

    (void)status; /* a child that does not read its input says why itself */
    close_handle(&child->in);
}

static void
write_input(struct child *child)
{
    uv_buf_t buf = uv_buf_init(child->input.text, (unsigned)child->input.len);

    child->write.data = child;
    if (child->input.len == 0 ||
        uv_write(&child->write, (uv_stream_t *)&child->in, &buf, 1, on_written) != 0) {
        close_handle(&child->in);
    }
}

static void
init_handles(struct child *child, uv_loop_t *loop)
{
    child->process.data = child->deadline.data = child;
    child->in.data = child->out.data = child->text.data = child;
    uv_timer_init(loop, &child->deadline);
    uv_pipe_init(loop, &child->in, 0);
    uv_pipe_init(loop, &child->out, 0);
    uv_pipe_init(loop, &child->text, 0);
    child->n_handles = 5;
}

void
child_run(uv_loop_t *loop, const struct child_spec *spec,
          void (*done)(void *owner, const struct child_result *result), void *owner)
{
    struct child *child = NEW(struct child);
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&child->in},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&child->out},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&child->text},
    };
    /* uv_spawn() takes char ** for old reasons and writes to none of them. */
    union {
        const char *const *given;
        char **wanted;
    } argv = {.given = spec->argv};
    uv_process_options_t options = {
        .exit_cb = on_exit_seen,
        .file = spec->argv[0],
        .args = argv.wanted,
        .flags = UV_PROCESS_DETACHED, /* own process group, for the kill at the deadline */
        .stdio_count = 3,
        .stdio = stdio,
    };

    child->done = done;
    child->owner = owner;
    child->result.exit_code = -1;
    init_handles(child, loop);
    int rc = uv_spawn(loop, &child->process, &options);
    if (rc != 0) {
        str_addf(&child->result.text, "%s: %s", spec->argv[0], uv_strerror(rc));
        close_all(child);
        return;
    }
    child->result.started = true;
    child->n_waits = 3;
    str_add_bytes(&child->input, spec->input, spec->input_len);
    uv_read_start((uv_stream_t *)&child->out, on_alloc, on_read);
    uv_read_start((uv_stream_t *)&child->text, on_alloc, on_read);
    uv_update_time(loop);
    uv_timer_start(&child->deadline, on_deadline, spec->deadline_ms, 0);
    write_input(child);
}
