/* lib/proto: messages keep their fields, bad ones are refused, and the plugin's calls end in time
 * whatever the other side does. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/proto/proto.h"
#include "test/unit/cmocka.h"

static void
every_field_of_a_request_survives_the_line(void **state)
{
    static const char line[] = "{\"op\":\"pod_add\",\"container_id\":\"c1\",\"ifname\":\"eth0\","
                               "\"netns\":\"/run/netns/x\","
                               "\"namespace\":\"default\",\"pod\":\"web-0\",\"network\":\"k8s-pod-"
                               "network\",\"host_ifname\":"
                               "\"cali0123456789a\",\"ips\":[\"10.1.0.2/32\",\"fd00::2/"
                               "128\"],\"release\":[\"/var/lib/x\"]}";
    AUTO(str) struct str out = STR_INIT;
    struct proto_request request;

    (void)state;
    assert_true(proto_request_read(line, strlen(line), &request, NULL));
    assert_int_equal(request.op, PROTO_POD_ADD);
    assert_int_equal(request.ips.n, 2);
    proto_request_write(&request, &out);
    proto_request_done(&request);
    assert_int_equal(out.text[out.len - 1], '\n');
    struct proto_request again;
    assert_true(proto_request_read(out.text, out.len - 1, &again, NULL));
    assert_string_equal(again.pod, "web-0");
    assert_string_equal(again.release.items[0], "/var/lib/x");
    assert_string_equal(again.host_ifname, "cali0123456789a");
    assert_int_equal(again.ips.n, 2);
    proto_request_done(&again);
}

static void
requests_that_could_harm_felix_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"op\":\"reboot\"}",
        "{\"op\":\"pod_del\"}",
        "{\"op\":\"pod_add\",\"container_id\":\"a\",\"ifname\":\"eth0\"}",
        "{\"op\":\"pod_del\",\"container_id\":\"../a\",\"ifname\":\"eth0\"}",
        "{\"op\":\"pod_del\",\"container_id\":\"a\",\"ifname\":\"..\"}",
        "{\"op\":\"pod_del\",\"container_id\":\"a\",\"ifname\":\"sixteen-letters0\"}",
        "{\"op\":\"pod_del\",\"container_id\":\"a\",\"ifname\":\"e\",\"release\":[\"etc/passwd\"]}",
        "{\"op\":\"pod_del\",\"container_id\":\"a\",\"ifname\":\"e\",\"release\":[\"/a/../b\"]}",
        "{\"op\":\"pod_add\",\"container_id\":\"a\",\"ifname\":\"e\",\"host_ifname\":\"cali1\","
        "\"ips\":[\"10.0.0.0/24\"]}",
        "{\"op\":\"pod_gc\",\"valid\":[]}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        struct proto_request request;
        assert_false(proto_request_read(bad[i], strlen(bad[i]), &request, &err));
        assert_string_not_equal(err.text, "");
        assert_null(request.container_id);
    }
}

static void
a_refusal_carries_code_and_reason(void **state)
{
    AUTO(str) struct str out = STR_INIT;
    struct proto_reply reply;

    (void)state;
    proto_refuse(&out, PROTO_CODE_AGAIN, "not \"yet\"\n");
    assert_ptr_equal(strchr(out.text, '\n'), out.text + out.len - 1);
    assert_true(proto_reply_read(out.text, out.len - 1, &reply, NULL));
    assert_false(reply.ok);
    assert_int_equal(reply.code, PROTO_CODE_AGAIN);
    assert_string_equal(reply.error, "not \"yet\"\n");
    proto_reply_done(&reply);
}

static void
a_status_survives_being_written_and_read(void **state)
{
    AUTO(str) struct str out = STR_INIT;
    const struct proto_reply status = {
        .ok = true, .ready = true, .limited = true, .mtu = 1480, .in_force = UINT64_C(1) << 40};
    struct proto_reply reply;

    (void)state;
    proto_reply_write(&status, &out);
    assert_true(proto_reply_read(out.text, out.len - 1, &reply, NULL));
    assert_true(reply.ok && reply.ready && reply.limited);
    assert_int_equal(reply.mtu, 1480);
    assert_int_equal(reply.in_force, UINT64_C(1) << 40);
    proto_reply_done(&reply);
}

/* ---- calls */

/* A busy machine may stop the caller for a while; what it must not do is wait for good. */
#define AT_ONCE_MS 5000

struct peer {
    char path[64];
    int fd;
    const char *answer; /* NULL: accepts and stays silent */
    pthread_t thread;
};

static void *
serve(void *owner)
{
    const struct peer *peer = owner;
    char line[4096];
    int client = accept(peer->fd, NULL, NULL);

    if (client >= 0 && peer->answer) {
        while (recv(client, line, sizeof line, 0) > 0 &&
               send(client, peer->answer, strlen(peer->answer), MSG_NOSIGNAL) > 0) {
        }
    } else if (client >= 0) {
        while (recv(client, line, sizeof line, 0) > 0) {
        }
    }
    if (client >= 0) {
        close(client);
    }
    return NULL;
}

static void
listen_at(struct peer *peer, int backlog)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    snprintf(peer->path, sizeof peer->path, "/tmp/canal-proto-%d", (int)getpid());
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", peer->path);
    unlink(peer->path);
    peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(peer->fd, backlog), 0);
}

static void
end(struct peer *peer)
{
    close(peer->fd);
    unlink(peer->path);
}

static bool
call(const struct peer *peer, uint64_t deadline_ms, struct proto_reply *reply, struct err *err,
     uint64_t *ret_took_ms)
{
    const struct proto_request request = {.op = PROTO_STATUS};
    uint64_t start_ms = clock_monotonic_ms();
    bool good = proto_call(peer->path, &request, deadline_ms, reply, err);

    *ret_took_ms = clock_monotonic_ms() - start_ms;
    return good;
}

static void
one_connection_carries_several_exchanges(void **state)
{
    struct peer peer = {.answer = "{\"ok\":true,\"ready\":true,\"mtu\":1400}\n"};
    const struct proto_request request = {.op = PROTO_STATUS};
    int fd = -1;

    (void)state;
    listen_at(&peer, 8);
    pthread_create(&peer.thread, NULL, serve, &peer);
    assert_true(proto_connect(peer.path, 1000, &fd, NULL));
    for (int i = 0; i < 3; i++) {
        struct proto_reply reply;
        assert_true(proto_exchange(fd, &request, 1000, &reply, NULL));
        assert_int_equal(reply.mtu, 1400);
        proto_reply_done(&reply);
    }
    close(fd);
    pthread_join(peer.thread, NULL);
    end(&peer);
}

static void
nobody_there_means_try_again_within_the_deadline(void **state)
{
    const struct peer peer = {.path = "/tmp/canal-proto-nobody"};
    struct err err = ERR_INIT;
    struct proto_reply reply;
    uint64_t took_ms = 0;

    (void)state;
    assert_false(call(&peer, 150, &reply, &err, &took_ms));
    assert_int_equal(err.code, PROTO_CODE_AGAIN);
    assert_in_range(took_ms, 100, AT_ONCE_MS);
    assert_false(call(&peer, 0, &reply, &err, &took_ms));
    assert_in_range(took_ms, 0, AT_ONCE_MS);
}

static void
silence_means_try_again_within_the_deadline(void **state)
{
    struct peer peer = {.answer = NULL};
    struct err err = ERR_INIT;
    struct proto_reply reply;
    uint64_t took_ms = 0;

    (void)state;
    listen_at(&peer, 8);
    pthread_create(&peer.thread, NULL, serve, &peer);
    assert_false(call(&peer, 150, &reply, &err, &took_ms));
    pthread_join(peer.thread, NULL);
    assert_int_equal(err.code, PROTO_CODE_AGAIN);
    assert_in_range(took_ms, 140, AT_ONCE_MS);
    end(&peer);
}

static void
a_full_queue_does_not_hold_the_caller(void **state)
{
    struct peer peer = {.answer = NULL};
    struct err err = ERR_INIT;
    struct proto_reply reply;
    uint64_t took_ms = 0;
    int fds[8];
    size_t n = 0;

    (void)state;
    listen_at(&peer, 0); /* nobody ever accepts */
    while (n < ARRAY_LEN(fds) && proto_connect(peer.path, 60, &fds[n], NULL)) {
        n++;
    }
    assert_in_range(n, 1, ARRAY_LEN(fds) - 1);
    assert_false(call(&peer, 150, &reply, &err, &took_ms));
    assert_int_equal(err.code, PROTO_CODE_AGAIN);
    assert_in_range(took_ms, 0, AT_ONCE_MS);
    for (size_t i = 0; i < n; i++) {
        close(fds[i]);
    }
    end(&peer);
}

static void
an_answer_that_is_no_message_is_an_error(void **state)
{
    static const char *const answers[] = {"}{\n", "\n", "{\"ok\":1}\n", "{}\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct peer peer = {.answer = answers[i]};
        struct err err = ERR_INIT;
        struct proto_reply reply;
        uint64_t took_ms = 0;
        listen_at(&peer, 8);
        pthread_create(&peer.thread, NULL, serve, &peer);
        assert_false(call(&peer, 10000, &reply, &err, &took_ms));
        pthread_join(peer.thread, NULL);
        assert_string_not_equal(err.text, "");
        end(&peer);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_a_request_survives_the_line),
        cmocka_unit_test(requests_that_could_harm_felix_are_refused),
        cmocka_unit_test(a_refusal_carries_code_and_reason),
        cmocka_unit_test(a_status_survives_being_written_and_read),
        cmocka_unit_test(one_connection_carries_several_exchanges),
        cmocka_unit_test(nobody_there_means_try_again_within_the_deadline),
        cmocka_unit_test(silence_means_try_again_within_the_deadline),
        cmocka_unit_test(a_full_queue_does_not_hold_the_caller),
        cmocka_unit_test(an_answer_that_is_no_message_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
