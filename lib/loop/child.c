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
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
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
    uv_signal_t sigchld;
    pid_t pid;
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
    close_handle(&child->sigchld);
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
    if (kill(-child->pid, SIGKILL) != 0) {
        kill(child->pid, SIGKILL);
    }
}

static void
on_sigchld(uv_signal_t *sigchld, int number)
{
    struct child *child = sigchld->data;
    int status = 0;

    (void)number; /* of any child; nobody else waits for this one */
    if (child->has_exited || child->pid == 0 || waitpid(child->pid, &status, WNOHANG) <= 0) {
        return;
    }
    child->has_exited = true;
    child->result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    child->result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
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
    child->sigchld.data = child->deadline.data = child;
    child->in.data = child->out.data = child->text.data = child;
    uv_signal_init(loop, &child->sigchld);
    uv_timer_init(loop, &child->deadline);
    uv_pipe_init(loop, &child->in, 0);
    uv_pipe_init(loop, &child->out, 0);
    child->n_handles = 4;
    if (!child->is_kept) {
        uv_pipe_init(loop, &child->text, 0);
        child->n_handles = 5;
    }
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

/* posix_spawn: a fork copies the page tables of all we have, and pods wait meanwhile. */
static int
spawn(struct child *child, const char *const *argv, const int fds[3])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    /* A process group of its own, for the kill at the deadline. */
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++) {
        posix_spawn_file_actions_adddup2(&actions, fds[i], i);
    }
    /* It takes char ** for old reasons and writes to none of them. */
    union {
        const char *const *given;
        char **wanted;
    } args = {.given = argv};
    int number = posix_spawnp(&child->pid, argv[0], &actions, &attr, args.wanted, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return number;
}

/* A pipe with our end in 'pipe' and the child's in *ret_fd. */
static int
open_pipe(uv_pipe_t *pipe, bool is_input, int *ret_fd)
{
    int fds[2];
    int rc = uv_pipe(fds, is_input ? 0 : UV_NONBLOCK_PIPE, is_input ? UV_NONBLOCK_PIPE : 0);

    if (rc != 0) {
        return rc;
    }
    *ret_fd = fds[is_input ? 0 : 1];
    rc = uv_pipe_open(pipe, fds[is_input ? 1 : 0]);
    if (rc != 0) {
        close(fds[is_input ? 1 : 0]);
    }
    return rc;
}

/* Closes the child's ends here. 'rc': what went wrong before this. */
static bool
start(struct child *child, const char *const *argv, int rc, int fds[3])
{
    if (rc == 0) {
        rc = uv_signal_start(&child->sigchld, on_sigchld, SIGCHLD);
    }
    if (rc == 0) {
        rc = -spawn(child, argv, fds);
    }
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0 && (i == 0 || fds[i] != fds[i - 1])) {
            close(fds[i]);
        }
    }
    if (rc != 0) {
        str_addf(&child->result.text, "%s: %s", argv[0], uv_strerror(rc));
        close_all(child);
        return false;
    }
    child->result.started = true;
    return true;
}

void
child_run(uv_loop_t *loop, const struct child_spec *spec,
          void (*done)(void *owner, const struct child_result *result), void *owner)
{
    struct child *child = child_new(loop, false, done, owner);
    int fds[3] = {-1, -1, -1};
    int rc = open_pipe(&child->in, true, &fds[0]);

    if (rc == 0) {
        rc = open_pipe(&child->out, false, &fds[1]);
    }
    if (rc == 0) {
        rc = open_pipe(&child->text, false, &fds[2]);
    }
    if (!start(child, spec->argv, rc, fds)) {
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
static int
open_terminal(uv_pipe_t *pipe, int *ret_fd)
{
    int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios mode;

    if (ours >= 0 && unlockpt(ours) == 0) {
        *ret_fd = ioctl(ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    if (*ret_fd < 0 || tcgetattr(*ret_fd, &mode) != 0) {
        int number = errno;
        own_close_fd(&ours);
        return -number;
    }
    cfmakeraw(&mode);
    tcsetattr(*ret_fd, TCSANOW, &mode);
    int rc = uv_pipe_open(pipe, ours);
    if (rc != 0) {
        close(ours);
    }
    return rc;
}

struct child *
child_keep(uv_loop_t *loop, const struct child_keep_spec *spec)
{
    struct child *child = child_new(loop, true, spec->done, spec->owner);
    int fds[3] = {-1, -1, -1};
    int rc = open_pipe(&child->in, true, &fds[0]);

    child->line = spec->line;
    if (rc == 0) {
        rc = open_terminal(&child->out, &fds[1]);
        fds[2] = fds[1];
    }
    if (start(child, spec->argv, rc, fds)) {
        child->n_waits = 2;
        uv_read_start((uv_stream_t *)&child->out, on_alloc, on_read);
    }
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
