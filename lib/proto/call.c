/* The plugin's side: one blocking exchange. It lives for one call, so it needs no event loop. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/proto/proto.h"

static bool
wait_for(int fd, short events, uint64_t until_ms, struct err *err)
{
    for (;;) {
        uint64_t now = clock_monotonic_ms();
        struct pollfd poll_fd = {.fd = fd, .events = events};
        if (now >= until_ms) {
            return err_code(err, PROTO_CODE_AGAIN, "felix did not answer in time");
        }
        int n = poll(&poll_fd, 1, (int)(until_ms - now));
        if (n > 0) {
            return true;
        }
        if (n < 0 && errno != EINTR) {
            return err_code(err, PROTO_CODE_AGAIN, "felix socket: %s", strerror(errno));
        }
    }
}

static bool
send_all(int fd, const struct proto_request *request, uint64_t until_ms, struct err *err)
{
    AUTO(str) struct str line = STR_INIT;
    size_t sent = 0;

    proto_request_write(request, &line);
    while (sent < line.len) {
        ssize_t n = send(fd, line.text + sent, line.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            sent += (size_t)n;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return err_code(err, PROTO_CODE_AGAIN, "felix socket: %s", strerror(errno));
        } else if (!wait_for(fd, POLLOUT, until_ms, err)) {
            return false;
        }
    }
    return true;
}

static bool
receive_line(int fd, uint64_t until_ms, struct str *answer, struct err *err)
{
    while (answer->len == 0 || answer->text[answer->len - 1] != '\n') {
        if (!wait_for(fd, POLLIN, until_ms, err)) {
            return false;
        }
        ssize_t n = recv(fd, str_reserve(answer, 4096), 4096, MSG_DONTWAIT);
        if (n == 0 || answer->len > PROTO_ANSWER_MAX) {
            return err_code(err, PROTO_CODE_AGAIN, "felix closed the connection");
        }
        if (n > 0) {
            answer->len += (size_t)n;
            answer->text[answer->len] = '\0';
        } else if (errno != EAGAIN && errno != EINTR) {
            return err_code(err, PROTO_CODE_AGAIN, "felix socket: %s", strerror(errno));
        }
    }
    return true;
}

/* felix may be starting this very moment: its socket is tried again until the deadline. */
static bool
connect_until(const char *path, uint64_t until_ms, int *ret_fd, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof addr.sun_path) {
        return err_set(err, "felix socket path is too long: %s", path);
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint64_t now_ms = clock_monotonic_ms();
        uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 1;
        const struct timeval left = {.tv_sec = (time_t)(left_ms / 1000),
                                     .tv_usec = (suseconds_t)(left_ms % 1000 * 1000)};
        /* A felix that hangs does not accept: with its queue full, connect(2) would wait for ever.
         */
        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left) == 0 &&
            connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0) {
            *ret_fd = fd;
            return true;
        }
        int number = errno;
        own_close_fd(&fd);
        if (clock_monotonic_ms() + 20 >= until_ms) {
            return err_code(err, PROTO_CODE_AGAIN, "felix is not there: %s: %s", path,
                            strerror(number));
        }
        struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
}

bool
proto_connect(const char *socket_path, uint64_t deadline_ms, int *ret_fd, struct err *err)
{
    return connect_until(socket_path, clock_monotonic_ms() + deadline_ms, ret_fd, err);
}

bool
proto_send(int fd, const struct proto_request *request, uint64_t deadline_ms, struct err *err)
{
    return send_all(fd, request, clock_monotonic_ms() + deadline_ms, err);
}

bool
proto_exchange_line(int fd, const struct proto_request *request, uint64_t deadline_ms,
                    struct str *answer, struct err *err)
{
    uint64_t until_ms = clock_monotonic_ms() + deadline_ms;

    if (!send_all(fd, request, until_ms, err) || !receive_line(fd, until_ms, answer, err)) {
        return false;
    }
    answer->text[--answer->len] = '\0';
    return true;
}

bool
proto_read_line(int fd, struct str *rest, struct str *ret_line, struct err *err)
{
    for (;;) {
        const char *newline = rest->len > 0 ? memchr(rest->text, '\n', rest->len) : NULL;
        if (newline) {
            size_t len = (size_t)(newline - rest->text);
            str_add_bytes(ret_line, rest->text, len);
            str_drop(rest, len + 1);
            return true;
        }
        if (rest->len > PROTO_ANSWER_MAX) {
            return err_code(err, PROTO_CODE_AGAIN, "felix socket: a line without an end");
        }
        ssize_t n = recv(fd, str_reserve(rest, 4096), 4096, 0);
        if (n == 0) {
            return err_set(err, "felix closed the connection");
        }
        if (n > 0) {
            rest->len += (size_t)n;
            rest->text[rest->len] = '\0';
        } else if (errno != EINTR) {
            return err_code(err, PROTO_CODE_AGAIN, "felix socket: %s", strerror(errno));
        }
    }
}

bool
proto_exchange(int fd, const struct proto_request *request, uint64_t deadline_ms,
               struct proto_reply *ret_reply, struct err *err)
{
    AUTO(str) struct str answer = STR_INIT;

    memset(ret_reply, 0, sizeof *ret_reply);
    return proto_exchange_line(fd, request, deadline_ms, &answer, err) &&
           proto_reply_read(answer.text, answer.len, ret_reply, err);
}

bool
proto_call(const char *socket_path, const struct proto_request *request, uint64_t deadline_ms,
           struct proto_reply *ret_reply, struct err *err)
{
    uint64_t until_ms = clock_monotonic_ms() + deadline_ms;
    AUTO_FD int fd = -1;

    memset(ret_reply, 0, sizeof *ret_reply);
    if (!connect_until(socket_path, until_ms, &fd, err)) {
        return false;
    }
    uint64_t now_ms = clock_monotonic_ms();
    return proto_exchange(fd, request, until_ms > now_ms ? until_ms - now_ms : 0, ret_reply, err);
}
