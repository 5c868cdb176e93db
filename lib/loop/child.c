/* Runs a child with pipes and a deadline. Called by confd for `bird -p`; by felix for
 * iptables-save, and iptables-restore in both forms. A child is over when it was reaped, both of
 * its output pipes have ended and every handle is closed: only then is done() called and the memory
 * freed.
 *
 * A grandchild that inherited the pipes must not hold us up: after the exit, what is still in the
 * pipes has DRAIN_MS to arrive. */
#include "lib/loop/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "lib/base/alloc.h"

#define OUT_MAX ((size_t)64 * 1024 * 1024)
#define TEXT_MAX ((size_t)64 * 1024)
#define DRAIN_MS 500
#define LINE_MAX_LEN 4096

/* The bytes follow. */
struct input {
    uv_write_t write;
    struct child *child;
    bool is_last;
    char bytes[];
};

struct child {
    uv_process_t process;
    uv_timer_t deadline;
    uv_pipe_t in, out, text;
    struct child_result result;
    unsigned n_handles; /* not closed yet */
    unsigned n_waits;   /* exit and ends of pipes not seen yet */
    bool is_kept;       /* 'text' is not in use */
    bool has_exited;
    void (*line)(void *owner, const char *line);
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
    if (!child->is_kept) {
        close_handle(&child->text);
    }
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

/* Hands over the lines that are whole; a longer one than anybody reads comes in pieces. */
static void
hand_over_lines(struct child *child)
{
    struct str *out = &child->result.out;
    size_t begin = 0;

    for (;;) {
        char *line = out->text + begin;
        char *end = memchr(line, '\n', out->len - begin);
        if (!end && out->len - begin < LINE_MAX_LEN) {
            break;
        }
        size_t len = end ? (size_t)(end - line) : LINE_MAX_LEN - 1;
        char after = line[len];
        line[len] = '\0';
        child->line(child->owner, line);
        line[len] = after;
        begin += len + (end != NULL);
    }
    str_drop(out, begin);
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
        if (child->is_kept && into->len > 0) {
            child->line(child->owner, into->text); /* it ended without ending its line */
            str_clear(into);
        }
        one_wait_less(child);
        return;
    }
    /* What is over the limit is read, so that the child can go on, and thrown away. */
    size_t room = max - into->len;
    into->len += (size_t)n < room ? (size_t)n : room;
    into->text[into->len] = '\0';
    if (child->is_kept) {
        hand_over_lines(child);
    }
}

static void
on_written(uv_write_t *write, int status)
{
    struct input *input = write->data;

    (void)status; /* a child that does not read its input says why itself */
    if (input->is_last) {
        close_handle(&input->child->in);
    }
    free(input);
}

static void
write_input(struct child *child, const void *data, size_t len, bool is_last)
{
    struct input *input = xmalloc(sizeof *input + len);
    uv_buf_t buf = uv_buf_init(input->bytes, (unsigned)len);

    memcpy(input->bytes, data, len);
    input->child = child;
    input->is_last = is_last;
    input->write.data = input;
    if (uv_is_closing((uv_handle_t *)&child->in) ||
        uv_write(&input->write, (uv_stream_t *)&child->in, &buf, 1, on_written) != 0) {
        if (is_last) {
            close_handle(&child->in);
        }
        free(input);
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
    child->n_handles = 4;
    if (!child->is_kept) {
        uv_pipe_init(loop, &child->text, 0);
        child->n_handles = 5;
    }
}

static void
not_started(struct child *child, const char *what, int rc)
{
    str_addf(&child->result.text, "%s: %s", what, uv_strerror(rc));
    close_all(child);
}

static bool
start(struct child *child, uv_loop_t *loop, const char *const *given, uv_stdio_container_t stdio[3])
{
    /* uv_spawn() takes char ** for old reasons and writes to none of them. */
    union {
        const char *const *given;
        char **wanted;
    } argv = {.given = given};
    uv_process_options_t options = {
        .exit_cb = on_exit_seen,
        .file = given[0],
        .args = argv.wanted,
        .flags = UV_PROCESS_DETACHED, /* own process group, for the kill at the deadline */
        .stdio_count = 3,
        .stdio = stdio,
    };
    int rc = uv_spawn(loop, &child->process, &options);

    if (rc != 0) {
        not_started(child, given[0], rc);
        return false;
    }
    child->result.started = true;
    return true;
}

static struct child *
child_new(uv_loop_t *loop, bool is_kept,
          void (*done)(void *owner, const struct child_result *result), void *owner)
{
    struct child *child = NEW(struct child);

    child->is_kept = is_kept;
    child->done = done;
    child->owner = owner;
    child->result.exit_code = -1;
    init_handles(child, loop);
    return child;
}

void
child_run(uv_loop_t *loop, const struct child_spec *spec,
          void (*done)(void *owner, const struct child_result *result), void *owner)
{
    struct child *child = child_new(loop, false, done, owner);
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&child->in},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&child->out},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&child->text},
    };

    if (!start(child, loop, spec->argv, stdio)) {
        return;
    }
    child->n_waits = 3;
    uv_read_start((uv_stream_t *)&child->out, on_alloc, on_read);
    uv_read_start((uv_stream_t *)&child->text, on_alloc, on_read);
    child_set_deadline(child, spec->deadline_ms);
    if (spec->input_len > 0) {
        write_input(child, spec->input, spec->input_len, true);
    } else {
        close_handle(&child->in);
    }
}

/* ---- kept
 * --------------------------------------------------------------------------------------------- */

/* A pseudo terminal that changes nothing of what goes through it. The child's end is asked for by
 * ioctl, so /dev/pts need not be ours. */
static bool
open_terminal(int *ret_ours, int *ret_childs)
{
    int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    int childs = -1;
    struct termios mode;

    if (ours < 0) {
        return false;
    }
    if (unlockpt(ours) == 0) {
        childs = ioctl(ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    if (childs < 0 || tcgetattr(childs, &mode) != 0) {
        close(ours);
        if (childs >= 0) {
            close(childs);
        }
        return false;
    }
    cfmakeraw(&mode);
    tcsetattr(childs, TCSANOW, &mode);
    *ret_ours = ours;
    *ret_childs = childs;
    return true;
}

struct child *
child_keep(uv_loop_t *loop, const struct child_keep_spec *spec)
{
    struct child *child = child_new(loop, true, spec->done, spec->owner);
    int ours = -1;
    int childs = -1;

    child->line = spec->line;
    if (!open_terminal(&ours, &childs)) {
        not_started(child, "pseudo terminal", uv_translate_sys_error(errno));
        return child;
    }
    int rc = uv_pipe_open(&child->out, ours);
    if (rc != 0) {
        close(ours);
        close(childs);
        not_started(child, "pseudo terminal", rc);
        return child;
    }
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&child->in},
        {.flags = UV_INHERIT_FD, .data.fd = childs},
        {.flags = UV_INHERIT_FD, .data.fd = childs},
    };
    if (start(child, loop, spec->argv, stdio)) {
        child->n_waits = 2;
        uv_read_start((uv_stream_t *)&child->out, on_alloc, on_read);
    }
    close(childs);
    return child;
}

void
child_write(struct child *child, const void *data, size_t len)
{
    if (child->result.started) {
        write_input(child, data, len, false);
    }
}

void
child_set_deadline(struct child *child, uint64_t deadline_ms)
{
    if (child->has_exited || uv_is_closing((uv_handle_t *)&child->deadline)) {
        return;
    }
    if (deadline_ms == 0) {
        uv_timer_stop(&child->deadline);
        return;
    }
    uv_update_time(child->deadline.loop);
    uv_timer_start(&child->deadline, on_deadline, deadline_ms, 0);
}

void
child_end_input(struct child *child)
{
    close_handle(&child->in);
}
