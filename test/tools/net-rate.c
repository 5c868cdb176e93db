/* Traffic for test/bench: what a packet and a connection cost on a path. Prints one number.
 *
 *     net-rate serve PORT                  TCP: accepts and closes; UDP: takes and never answers
 *     net-rate connect ADDRESS PORT MS     TCP connections made and closed, per second
 *     net-rate send ADDRESS PORT COUNT     nanoseconds for each UDP packet; as nobody answers,
 * every one of them is of a new connection to the rules */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#define BACKLOG 1024

static int
fail(const char *what)
{
    fprintf(stderr, "net-rate: %s: %s\n", what, strerror(errno));
    return 1;
}

static struct sockaddr_in
address_of(const char *ip, uint32_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    if (ip && inet_pton(AF_INET, ip, &address.sin_addr) != 1) {
        address.sin_port = 0;
    }
    return address;
}

static int
serve(uint32_t port)
{
    struct sockaddr_in address = address_of(NULL, port);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int yes = 1;
    char buffer[2048];

    setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(tcp, (struct sockaddr *)&address, sizeof address) != 0 || listen(tcp, BACKLOG) != 0 ||
        bind(udp, (struct sockaddr *)&address, sizeof address) != 0) {
        return fail("serve");
    }
    puts("ready");
    fflush(stdout);
    struct pollfd fds[] = {{.fd = tcp, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
    while (poll(fds, 2, -1) > 0) {
        int client = accept(tcp, NULL, NULL);
        if (client >= 0) {
            close(client);
        }
        while (recv(udp, buffer, sizeof buffer, 0) >= 0) {
        }
    }
    return fail("poll");
}

static int
connect_for(const struct sockaddr_in *address, uint32_t ms)
{
    uint64_t start = clock_monotonic_us(), until = start + (uint64_t)ms * 1000, now = start;
    const struct linger reset = {.l_onoff = 1}; /* leaves no TIME_WAIT behind */
    uint64_t n = 0;

    for (; now < until; now = clock_monotonic_us(), n++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
            return fail("connect");
        }
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    printf("%.1f\n", (double)n * 1e6 / (double)(now - start));
    return 0;
}

static int
send_many(const struct sockaddr_in *address, uint32_t count)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
        return fail("connect");
    }
    uint64_t start = clock_monotonic_us();
    for (uint32_t i = 0; i < count; i++) {
        if (send(fd, "x", 1, 0) != 1 && errno != ECONNREFUSED) {
            return fail("send");
        }
    }
    printf("%.1f\n", (double)(clock_monotonic_us() - start) * 1000 / count);
    return 0;
}

int
main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    uint32_t port = 0, n = 0;

    if (strcmp(what, "serve") == 0 && argc == 3 && parse_u32(argv[2], 1, 65535, &port, NULL)) {
        return serve(port);
    }
    if (argc == 5 && parse_u32(argv[3], 1, 65535, &port, NULL) &&
        parse_u32(argv[4], 1, 1000000000, &n, NULL)) {
        const struct sockaddr_in address = address_of(argv[2], port);
        if (strcmp(what, "connect") == 0) {
            return connect_for(&address, n);
        }
        if (strcmp(what, "send") == 0) {
            return send_many(&address, n);
        }
    }
    fputs("usage: net-rate serve PORT | connect ADDRESS PORT MS | send ADDRESS PORT COUNT\n",
          stderr);
    return 2;
}
