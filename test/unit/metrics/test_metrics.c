/* lib/metrics: exposition text, health, and the HTTP server on loopback. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/metrics/http_server.h"
#include "test/unit/cmocka.h"

static void
exposition_escapes_labels_and_shows_zero(void **state)
{
    struct metrics *metrics = metrics_new();
    AUTO(str) struct str out = STR_INIT;

    (void)state;
    struct metric *plain = metrics_define(metrics, METRIC_COUNTER, "canal_a_total", "A.");
    struct metric *labelled = metrics_define(metrics, METRIC_GAUGE, "canal_b", "B.");
    assert_ptr_equal(metrics_define(metrics, METRIC_COUNTER, "canal_a_total", "A."), plain);
    metric_set_for(labelled, 2, "peer", "a\"b\\c\nd", "state", "up", NULL);
    metric_add_for(labelled, 0.5, "peer", "x", NULL);
    metrics_write(metrics, &out);
    assert_non_null(strstr(out.text, "# TYPE canal_a_total counter\ncanal_a_total 0\n"));
    assert_non_null(strstr(out.text, "canal_b{peer=\"a\\\"b\\\\c\\nd\",state=\"up\"} 2\n"));
    assert_non_null(strstr(out.text, "canal_b{peer=\"x\"} 0.5\n"));
    assert_non_null(strstr(out.text, "process_resident_memory_bytes "));
    metrics_free(metrics);
}

static void
histogram_buckets_are_cumulative(void **state)
{
    struct metrics *metrics = metrics_new();
    AUTO(str) struct str out = STR_INIT;

    (void)state;
    struct metric *metric = metrics_define(metrics, METRIC_HISTOGRAM, "canal_h_seconds", "H.");
    metric_observe(metric, 0.002);
    metric_observe(metric, 0.2);
    metric_observe(metric, 1000);
    metrics_write(metrics, &out);
    assert_non_null(strstr(out.text, "canal_h_seconds_bucket{le=\"0.0025\"} 1\n"));
    assert_non_null(strstr(out.text, "canal_h_seconds_bucket{le=\"0.25\"} 2\n"));
    assert_non_null(strstr(out.text, "canal_h_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(out.text, "canal_h_seconds_count 3\n"));
    metrics_free(metrics);
}

struct request {
    uv_loop_t loop;
    uv_poll_t poll;
    char answer[4096];
    size_t len;
};

static void
on_answer(uv_poll_t *poll, int status, int events)
{
    struct request *request = poll->data;
    int fd = -1;

    (void)status, (void)events;
    uv_fileno((uv_handle_t *)poll, &fd);
    ssize_t n =
        recv(fd, request->answer + request->len, sizeof request->answer - 1 - request->len, 0);
    if (n <= 0) {
        uv_stop(&request->loop);
        return;
    }
    request->len += (size_t)n;
}

static void
get(struct request *request, uint16_t port, const char *path)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    int len = snprintf(text, sizeof text, "GET %s HTTP/1.0\r\n\r\n", path);
    assert_int_equal(send(fd, text, (size_t)len, 0), len);
    memset(request->answer, 0, sizeof request->answer);
    request->len = 0;
    uv_poll_init(&request->loop, &request->poll, fd);
    request->poll.data = request;
    uv_poll_start(&request->poll, UV_READABLE, on_answer);
    uv_run(&request->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&request->poll, NULL);
    uv_run(&request->loop, UV_RUN_NOWAIT);
    close(fd);
}

static void
readiness_follows_its_parts_over_http(void **state)
{
    static struct request request;
    struct health *health = health_new();
    struct metrics *metrics = metrics_new();
    struct http_server *server = NULL;
    struct err err = ERR_INIT;
    uint16_t port = 0;

    (void)state;
    uv_loop_init(&request.loop);
    for (port = 39170; port < 39270 && !server; port++) {
        struct http_server_spec spec = {
            .host = "localhost", .port = port, .metrics = metrics, .health = health};
        if (http_server_new(&request.loop, &spec, &server, &err)) {
            break;
        }
    }
    assert_non_null(server);
    health_report(health, "bgp", false, true, "1 of 3 peers established");
    get(&request, port, "/readiness");
    assert_non_null(strstr(request.answer, " 503 "));
    assert_non_null(strstr(request.answer, "bgp: not ready: 1 of 3 peers established"));
    get(&request, port, "/liveness");
    assert_non_null(strstr(request.answer, " 200 "));
    health_report(health, "bgp", true, true, "");
    get(&request, port, "/readiness");
    assert_non_null(strstr(request.answer, " 200 "));
    get(&request, port, "/metrics");
    assert_non_null(strstr(request.answer, "process_resident_memory_bytes"));
    get(&request, port, "/etc/passwd");
    assert_non_null(strstr(request.answer, " 404 "));
    http_server_free(server);
    uv_run(&request.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&request.loop), 0);
    health_free(health);
    metrics_free(metrics);
}

static void
a_bad_listen_address_is_refused(void **state)
{
    uv_loop_t loop;
    struct http_server *server = NULL;
    struct err err = ERR_INIT;

    (void)state;
    uv_loop_init(&loop);
    assert_false(
        http_server_new(&loop, &(struct http_server_spec){.host = "nowhere"}, &server, &err));
    assert_string_equal(err.text, "metrics and health address: 'nowhere' is not an IP address");
    uv_loop_close(&loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exposition_escapes_labels_and_shows_zero),
        cmocka_unit_test(histogram_buckets_are_cumulative),
        cmocka_unit_test(readiness_follows_its_parts_over_http),
        cmocka_unit_test(a_bad_listen_address_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
