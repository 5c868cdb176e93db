/* lib/loop/unix_server: framing, limits and late answers. The client side is a plain socket; the
 * loop is turned between its steps. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/loop/unix_server.h"
#include "test/unit/cmocka.h"

/* In tests of idling only. */
#define IDLE_MS 500

struct fixture {
    uv_loop_t loop;
    struct unix_server *server;
    struct str lines;
    uint64_t last_client;
    int n_gone;
    bool is_echo;
    char path[64];
};

static void
on_line(void *owner, uint64_t client, const char *line, size_t len)
{
    struct fixture *fixture = owner;

    assert_int_equal(strlen(line), len);
    str_addf(&fixture->lines, "%s|", line);
    fixture->last_client = client;
    if (fixture->is_echo) {
        unix_server_send(fixture->server, client, line, len);
    }
}

static void
on_gone(void *owner, uint64_t client)
{
    struct fixture *fixture = owner;

    (void)client;
    fixture->n_gone++;
}

static void
setup_with_idle(struct fixture *fixture, uint64_t idle_ms)
{
    struct err err = ERR_INIT;

    *fixture = (struct fixture){.is_echo = true};
    snprintf(fixture->path, sizeof fixture->path, "/tmp/canal-test-%d.sock", (int)getpid());
    uv_loop_init(&fixture->loop);
    struct unix_server_spec spec = {
        .path = fixture->path,
        .mode = 0600,
        .max_clients = 2,
        .max_line = 1000,
        .max_queued = 1024 * 1024,
        .idle_ms = idle_ms,
        .line = on_line,
        .gone = on_gone,
        .owner = fixture,
    };
    if (!unix_server_new(&fixture->loop, &spec, &fixture->server, &err)) {
        fail_msg("%s", err.text);
    }
}

/* A client that says nothing for a while only because the machine is busy is not cut off. */
static void
setup(struct fixture *fixture)
{
    setup_with_idle(fixture, 60 * 1000);
}

static void
teardown(struct fixture *fixture)
{
    unix_server_free(fixture->server);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    str_done(&fixture->lines);
    assert_int_not_equal(access(fixture->path, F_OK), 0);
}

static int
client_new(const struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", fixture->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void
say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Turns the loop until 'wanted' bytes, or the end of the stream, came; returns bytes, -1 at the
 * end. */
static ssize_t
hear(struct fixture *fixture, int fd, char *ret_text, size_t wanted)
{
    uint64_t end_ms = clock_monotonic_ms() + 5000;
    size_t len = 0;

    while (clock_monotonic_ms() < end_ms) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        ssize_t n = recv(fd, ret_text + len, wanted - len, 0);
        if (n == 0) {
            return -1;
        }
        len += n > 0 ? (size_t)n : 0;
        if (len == wanted) {
            ret_text[len] = '\0';
            return (ssize_t)len;
        }
        usleep(1000);
    }
    fail_msg("nothing came");
    return 0;
}

static void
server_cuts_lines_out_of_any_pieces(void **state)
{
    struct fixture fixture;
    char text[64];

    (void)state;
    setup(&fixture);
    struct stat now;
    assert_int_equal(stat(fixture.path, &now), 0);
    assert_int_equal(now.st_mode & 0777, 0600);
    int fd = client_new(&fixture);
    say(fd, "one\ntw");
    assert_int_equal(hear(&fixture, fd, text, 4), 4);
    assert_string_equal(text, "one\n");
    say(fd, "o\nthree\n");
    assert_int_equal(hear(&fixture, fd, text, 10), 10);
    assert_string_equal(text, "two\nthree\n");
    assert_string_equal(fixture.lines.text, "one|two|three|");
    close(fd);
    teardown(&fixture);
}

static void
server_cuts_off_a_line_without_end(void **state)
{
    struct fixture fixture;
    char text[2000];

    (void)state;
    setup(&fixture);
    int fd = client_new(&fixture);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    say(fd, text);
    assert_int_equal(hear(&fixture, fd, text, 1), -1);
    assert_int_equal(fixture.n_gone, 1);
    close(fd);
    teardown(&fixture);
}

static void
server_turns_away_too_many(void **state)
{
    struct fixture fixture;
    char text[8];

    (void)state;
    setup(&fixture);
    int a = client_new(&fixture);
    int b = client_new(&fixture);
    int c = client_new(&fixture);
    assert_int_equal(hear(&fixture, c, text, 1), -1);
    assert_int_equal(unix_server_n_clients(fixture.server), 2);
    close(a);
    close(b);
    close(c);
    teardown(&fixture);
}

static void
server_cuts_off_idle_ones(void **state)
{
    struct fixture fixture;
    char text[8];

    (void)state;
    setup_with_idle(&fixture, IDLE_MS);
    int a = client_new(&fixture);
    int b = client_new(&fixture);
    assert_int_equal(hear(&fixture, a, text, 1), -1);
    assert_int_equal(hear(&fixture, b, text, 1), -1);
    assert_int_equal(fixture.n_gone, 2);
    close(a);
    close(b);
    teardown(&fixture);
}

static void
server_waits_for_its_own_late_answer(void **state)
{
    struct fixture fixture;
    char text[8];

    (void)state;
    setup_with_idle(&fixture, IDLE_MS);
    fixture.is_echo = false;
    int fd = client_new(&fixture);
    say(fd, "q\n");
    uint64_t end_ms = clock_monotonic_ms() + 2 * IDLE_MS + IDLE_MS / 2;
    while (clock_monotonic_ms() < end_ms) {
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    unix_server_send(fixture.server, fixture.last_client, "late", 4);
    assert_int_equal(hear(&fixture, fd, text, 5), 5);
    close(fd);
    while (fixture.n_gone == 0) {
        uv_run(&fixture.loop, UV_RUN_ONCE);
    }
    unix_server_send(fixture.server, fixture.last_client, "nobody", 6);
    teardown(&fixture);
}

static void
server_keeps_who_follows_however_silent(void **state)
{
    struct fixture fixture;
    char text[8];

    (void)state;
    setup_with_idle(&fixture, IDLE_MS);
    fixture.is_echo = false;
    int fd = client_new(&fixture), other = client_new(&fixture);
    say(fd, "q\n");
    while (fixture.last_client == 0) {
        uv_run(&fixture.loop, UV_RUN_ONCE);
    }
    unix_server_keep(fixture.server, fixture.last_client);
    unix_server_send(fixture.server, fixture.last_client, "yes", 3);
    assert_int_equal(hear(&fixture, fd, text, 4), 4);
    assert_int_equal(hear(&fixture, other, text, 1), -1); /* cut off: it is idle */
    assert_int_equal(unix_server_n_clients(fixture.server), 1);
    unix_server_send(fixture.server, fixture.last_client, "more", 4);
    assert_int_equal(hear(&fixture, fd, text, 5), 5);
    close(fd);
    close(other);
    while (fixture.n_gone < 2) {
        uv_run(&fixture.loop, UV_RUN_ONCE);
    }
    teardown(&fixture);
}

static void
server_refuses_a_live_socket_and_replaces_a_dead_one(void **state)
{
    struct fixture fixture;
    struct unix_server *second = NULL;
    struct err err = ERR_INIT;

    (void)state;
    setup(&fixture);
    struct unix_server_spec spec = {.path = fixture.path, .mode = 0600, .max_clients = 1};
    assert_false(unix_server_new(&fixture.loop, &spec, &second, &err));
    assert_non_null(strstr(err.text, "another process listens"));
    teardown(&fixture);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", fixture.path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* the file stays */
    setup(&fixture);
    teardown(&fixture);
}

/* A process that listens ends with a child that still has the socket: as one that was killed
 * between fork and exec leaves it. Returns when it has ended; the child lives until 'ret_child' is
 * killed. */
static void
leave_a_listening_child(const char *path, pid_t *ret_child)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int told[2];

    assert_int_equal(pipe(told), 0);
    pid_t parent = fork();
    if (parent == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
        bool is_listening =
            bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 5) == 0;
        pid_t child = fork();
        if (child == 0) {
            alarm(10); /* when a test fails nobody kills it */
            pause();
        }
        _exit(!is_listening || write(told[1], &child, sizeof child) != sizeof child);
    }
    int status = 1;
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_int_equal(status, 0);
    assert_int_equal(read(told[0], ret_child, sizeof *ret_child), sizeof *ret_child);
    close(told[0]);
    close(told[1]);
}

static void
server_replaces_the_socket_of_one_that_died_while_it_started_a_child(void **state)
{
    struct fixture fixture;
    pid_t child = 0;

    (void)state;
    setup(&fixture);
    teardown(&fixture);
    leave_a_listening_child(fixture.path, &child);
    setup(&fixture); /* fails when it is refused */
    teardown(&fixture);
    assert_int_equal(kill(child, SIGKILL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_cuts_lines_out_of_any_pieces),
        cmocka_unit_test(server_cuts_off_a_line_without_end),
        cmocka_unit_test(server_turns_away_too_many),
        cmocka_unit_test(server_cuts_off_idle_ones),
        cmocka_unit_test(server_waits_for_its_own_late_answer),
        cmocka_unit_test(server_keeps_who_follows_however_silent),
        cmocka_unit_test(server_refuses_a_live_socket_and_replaces_a_dead_one),
        cmocka_unit_test(server_replaces_the_socket_of_one_that_died_while_it_started_a_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
