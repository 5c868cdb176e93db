/* felix/server/drops: what a denied packet becomes, and that nothing grows with how many there are.
 */
#include <stdio.h>
#include <string.h>

#include "felix/server/drops.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "lib/base/clock.h"
#include "test/unit/cmocka.h"

#include <json-c/json.h>

static char name_web[] = "web", ns_default[] = "default", tier_default[] = "default",
            all[] = "all()";
static struct policy policy = {.origin = POLICY_KUBERNETES,
                               .ns = ns_default,
                               .name = name_web,
                               .tier = tier_default,
                               .selector = all};
static struct active_policy web = {&policy, "0123456789abcdef0123456789abcdef"};

struct world {
    uv_loop_t loop;
    struct metrics *metrics;
    struct in_force *in_force;
    struct drops *drops;
    struct str sent; /* to followers */
};

static const char *
pod_of(void *owner, const struct ip *ip, bool *ret_is_local)
{
    (void)owner;
    *ret_is_local = ip->bytes[3] == 1;
    return ip->bytes[3] == 1 ? "default/one" : ip->bytes[3] == 2 ? "default/two" : NULL;
}

static void
send_line(void *owner, uint64_t client, const char *line, size_t len)
{
    struct world *world = owner;

    assert_int_equal(strlen(line), len);
    str_addf(&world->sent, "%llu:%s\n", (unsigned long long)client, line);
}

static int
begin(void **state)
{
    static struct world world;
    const struct drops_spec spec = {
        .loop = &world.loop, .pod_of = pod_of, .send = send_line, .owner = &world};
    struct drops_spec filled = spec;

    memset(&world, 0, sizeof world);
    log_setup(LOG_ERROR, LOG_TEXT);
    uv_loop_init(&world.loop);
    world.metrics = metrics_new();
    world.in_force = in_force_new();
    in_force_policy(world.in_force, &web, true);
    filled.metrics = world.metrics;
    filled.in_force = world.in_force;
    world.drops = drops_new(&filled);
    *state = &world;
    return 0;
}

static int
end(void **state)
{
    struct world *world = *state;

    drops_stop(world->drops);
    drops_free(world->drops);
    in_force_free(world->in_force);
    metrics_free(world->metrics);
    str_done(&world->sent);
    return uv_loop_close(&world->loop);
}

static struct nflog_packet
packet_to(const char *prefix, const char *from, const char *to)
{
    struct nflog_packet packet = {.headers = {.protocol = 6,
                                              .has_ports = true,
                                              .source_port = 40000,
                                              .destination_port = 80,
                                              .length = 60}};

    snprintf(packet.prefix, sizeof packet.prefix, "%s", prefix);
    assert_true(ip_parse(from, &packet.headers.source, NULL));
    assert_true(ip_parse(to, &packet.headers.destination, NULL));
    return packet;
}

static struct json_object *
recent(const struct world *world)
{
    AUTO(str) struct str text = STR_INIT;
    struct json_object *json = NULL;

    drops_write_recent(world->drops, &text);
    assert_true(json_parse(text.text, text.len, &json, NULL));
    return json;
}

static void
assert_text(struct json_object *json, const char *key, const char *wanted)
{
    struct json_object *value = NULL;

    assert_true(json_object_object_get_ex(json, key, &value));
    assert_string_equal(json_object_get_string(value), wanted);
}

static void
assert_metric(const struct world *world, const char *line)
{
    AUTO(str) struct str out = STR_INIT;

    metrics_write(world->metrics, &out);
    if (!strstr(out.text, line)) {
        fail_msg("%s is missing in\n%s", line, out.text);
    }
}

static void
a_drop_names_policy_rule_and_pods(void **state)
{
    struct world *world = *state;
    struct nflog_packet packet =
        packet_to("canal:R:i:3:0123456789abcdef0123456789abcdef", "10.0.0.2", "10.0.0.1");
    struct json_object *end = NULL;

    assert_true(drops_follow(world->drops, 7));
    drops_take(world->drops, &packet);
    AUTO(json_tree) struct json_object *lines = recent(world);
    assert_int_equal(json_object_array_length(lines), 1);
    struct json_object *drop = json_object_array_get_idx(lines, 0);
    assert_text(drop, "policy", "NetworkPolicy default/web");
    assert_text(drop, "by", "NetworkPolicy default/web, rule 3");
    assert_text(drop, "rule", "3");
    assert_text(drop, "tier", "default");
    assert_text(drop, "direction", "ingress");
    assert_text(drop, "reason", "rule");
    assert_text(drop, "protocol", "tcp");
    assert_true(json_object_object_get_ex(drop, "from", &end));
    assert_text(end, "pod", "default/two");
    assert_text(end, "port", "40000");
    assert_true(json_object_object_get_ex(drop, "to", &end));
    assert_text(end, "ip", "10.0.0.1");
    assert_int_equal(strncmp(world->sent.text, "7:{\"time\":", 10), 0);
    assert_metric(world, "canal_drops_seen_total{policy=\"NetworkPolicy default/web\",rule=\"3\","
                         "direction=\"ingress\",reason=\"rule\",pod=\"default/one\"} 1\n");
}

static void
what_is_no_rule_of_ours_is_counted_and_not_told(void **state)
{
    struct world *world = *state;
    static const char *const bad[] = {"", "hello", "canal:R:i:03:00", "canal:Z:i:0:"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct nflog_packet packet = packet_to(bad[i], "10.0.0.2", "10.0.0.1");
        drops_take(world->drops, &packet);
    }
    AUTO(json_tree) struct json_object *lines = recent(world);
    assert_int_equal(json_object_array_length(lines), 0);
    assert_metric(world, "canal_drops_not_understood_total 4\n");
}

static void
a_flood_is_held_back_and_counted(void **state)
{
    struct world *world = *state;
    struct nflog_packet packet = packet_to("canal:U:e:0:", "10.0.0.1", "10.0.0.9");
    size_t n_lines = 0;

    assert_true(drops_follow(world->drops, 1));
    assert_true(drops_follow(world->drops, 1));
    uint64_t start_ms = clock_monotonic_ms();
    for (int i = 0; i < 5000; i++) {
        drops_take(world->drops, &packet);
    }
    assert_int_equal(drops_n_seen(world->drops), 5000);
    for (const char *c = world->sent.text; *c != '\0'; c++) {
        n_lines += *c == '\n';
    }
    /* Of the second it began in and those that it took. */
    assert_in_range(n_lines, 100, 200 + (clock_monotonic_ms() - start_ms) / 10);
    AUTO(json_tree) struct json_object *lines = recent(world);
    assert_in_range(json_object_array_length(lines), 100, 256);
    drops_unfollow(world->drops, 1);
    drops_unfollow(world->drops, 1);
}

static void
followers_are_bounded(void **state)
{
    struct world *world = *state;
    uint64_t n = 0;

    while (n < 100 && drops_follow(world->drops, n)) {
        n++;
    }
    assert_int_equal(n, 16);
    drops_unfollow(world->drops, 3);
    assert_true(drops_follow(world->drops, 100));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_drop_names_policy_rule_and_pods, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_rule_of_ours_is_counted_and_not_told, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_flood_is_held_back_and_counted, begin, end),
        cmocka_unit_test_setup_teardown(followers_are_bounded, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
