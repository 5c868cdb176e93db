/* What an event costs felix/calc/policy_state, counted: it must not depend on how large the cluster
 * is, only on what the event changes.
 *
 * With CANAL_BENCH="<pods> <policies>" in the environment it measures instead: CPU time and memory
 * of the initial load, CPU time of single events. */
#include <time.h>

#include "felix/evaluate/flow.h"
#include "felix/evaluate/set_ids.h"
#include "test/unit/felix/cluster.h"

#define PODS_PER_NAMESPACE 100
#define APPS_PER_NAMESPACE 20
#define N_LOCAL 100

static void
on_set(void *owner, const struct policy_set *set, bool is_active)
{
    (void)owner, (void)set, (void)is_active;
}

static void
on_member(void *owner, const struct policy_set *set, const struct policy_set_member *member,
          bool is_added)
{
    (void)owner, (void)set, (void)member, (void)is_added;
}

static void
on_policy(void *owner, const struct active_policy *policy, bool is_active)
{
    (void)owner, (void)policy, (void)is_active;
}

static void
on_list(void *owner, const struct verdict_list *list, bool is_active)
{
    (void)owner, (void)list, (void)is_active;
}

static void
on_endpoint(void *owner, const struct policy_endpoint *endpoint, bool is_active)
{
    (void)owner, (void)endpoint, (void)is_active;
}

static void
cluster_open(struct cluster *cluster)
{
    cluster->store = store_new(cluster_on_change, cluster);
    cluster->state = policy_state_new(&(struct policy_state_spec){.node_name = "n1",
                                                                  .interface_prefix = "cali",
                                                                  .set = on_set,
                                                                  .member = on_member,
                                                                  .policy = on_policy,
                                                                  .list = on_list,
                                                                  .endpoint = on_endpoint});
}

static void
cluster_close(struct cluster *cluster)
{
    policy_state_free(cluster->state);
    store_free(cluster->store);
}

/* ---- a cluster of any size --------------------------------------------------------------------
 */

static void
pod_address(unsigned i, char ret_text[32])
{
    snprintf(ret_text, 32, "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
}

/* Pod i is in namespace i / 100; five replicas of an app have the same labels. */
static void
put_numbered_pod(struct cluster *cluster, unsigned i, const char *extra)
{
    char key[64], labels[128], ip[32];
    unsigned app = i % APPS_PER_NAMESPACE;

    snprintf(key, sizeof key, "ns%u/pod-%u", i / PODS_PER_NAMESPACE, i);
    snprintf(labels, sizeof labels, "app=app%u,pod-template-hash=%08x,part=%u%s", app,
             i / PODS_PER_NAMESPACE * 1000 + app, app % 4, extra);
    pod_address(i, ip);
    put_pod(cluster, key, labels, ip);
}

static char *
selector_of(unsigned ns, unsigned app)
{
    AUTO(str) struct str text = STR_INIT;

    str_addf(&text,
             "projectcalico.org/orchestrator == \"k8s\" && projectcalico.org/namespace == \"ns%u\" "
             "&& app == \"app%u\"",
             ns, app);
    return str_steal(&text);
}

/* Policy i is in namespace i modulo their number: an app takes traffic of another app of the
 * namespace, and of a part of all namespaces with some label. */
static void
put_numbered_policy(struct cluster *cluster, unsigned i, unsigned n_namespaces)
{
    unsigned ns = i % n_namespaces, app = i / n_namespaces % APPS_PER_NAMESPACE;
    char name[32], ns_name[32], text[64];

    snprintf(name, sizeof name, "policy-%u", i);
    snprintf(ns_name, sizeof ns_name, "ns%u", ns);
    AUTO_FREE char *selector = selector_of(ns, app);
    struct policy *policy = policy_make(ns_name, name, selector);
    struct policy_rule *rule = policy_add_rule(policy, true, RULE_ALLOW);
    rule->source.selector = selector_of(ns, (app + 1) % APPS_PER_NAMESPACE);
    rule = policy_add_rule(policy, true, RULE_ALLOW);
    snprintf(text, sizeof text, "pcns.group == \"g%u\" && part == \"%u\"", ns % 10, app % 4);
    rule->source.selector = xstrdup(text);
    put_policy(cluster, policy);
}

static void
put_numbered_local(struct cluster *cluster, unsigned i, unsigned pod)
{
    char ifname[16], key[64], ip[32];

    snprintf(ifname, sizeof ifname, "cali%u", i);
    snprintf(key, sizeof key, "ns%u/pod-%u", pod / PODS_PER_NAMESPACE, pod);
    pod_address(pod, ip);
    put_local(cluster, ifname, key, ip);
}

static void
put_namespaces(struct cluster *cluster, unsigned n)
{
    char name[32], labels[64];

    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "ns%u", i);
        snprintf(labels, sizeof labels, "group=g%u", i % 10);
        put_namespace(cluster, name, labels);
    }
}

/* The first 100 pods are local, and so is all of the first namespace. */
static void
fill(struct cluster *cluster, unsigned n_pods, unsigned n_policies)
{
    unsigned n_namespaces = (n_pods + PODS_PER_NAMESPACE - 1) / PODS_PER_NAMESPACE;

    put_namespaces(cluster, n_namespaces);
    for (unsigned i = 0; i < n_pods; i++) {
        put_numbered_pod(cluster, i, "");
    }
    for (unsigned i = 0; i < n_policies; i++) {
        put_numbered_policy(cluster, i, n_namespaces);
    }
    for (unsigned i = 0; i < N_LOCAL; i++) {
        put_numbered_local(cluster, i, i);
    }
    policy_state_flush(cluster->state);
}

/* ---- counting ---------------------------------------------------------------------------------
 */

struct cost {
    uint64_t evaluated, counted, policies, endpoints, lists;
};

/* Since the last call with the same 'was'. */
static struct cost
cost_since(const struct cluster *cluster, struct policy_state_stats *was)
{
    policy_state_flush(cluster->state);
    const struct policy_state_stats now = policy_state_stats(cluster->state);
    const struct cost cost = {now.n_selectors_evaluated - was->n_selectors_evaluated,
                              now.n_members_counted - was->n_members_counted,
                              now.n_policies_resolved - was->n_policies_resolved,
                              now.n_endpoints_resolved - was->n_endpoints_resolved,
                              now.n_lists_built - was->n_lists_built};

    *was = now;
    return cost;
}

static void
expect_cost(const struct cost *cost, const struct cost *most)
{
    if (cost->evaluated > most->evaluated || cost->counted > most->counted ||
        cost->policies > most->policies || cost->endpoints > most->endpoints ||
        cost->lists > most->lists) {
        fail_msg("evaluated %lu counted %lu policies %lu endpoints %lu lists %lu",
                 (unsigned long)cost->evaluated, (unsigned long)cost->counted,
                 (unsigned long)cost->policies, (unsigned long)cost->endpoints,
                 (unsigned long)cost->lists);
    }
}

/* The same events in a cluster of each size have the same bounds. */
static void
measure_events(unsigned n_pods, unsigned n_policies)
{
    struct cluster cluster;
    struct policy_state_stats stats;
    unsigned n_namespaces = n_pods / PODS_PER_NAMESPACE;

    cluster_open(&cluster);
    fill(&cluster, n_pods, n_policies);
    stats = policy_state_stats(cluster.state);
    assert_int_equal(stats.n_active_policies, n_policies / n_namespaces);

    /* A pod elsewhere gets a label: its new group is looked at once. */
    put_numbered_pod(&cluster, n_pods - 1, ",extra=1");
    struct cost cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.evaluated = 4});

    /* A local pod gets one: its endpoint is resolved, and finds the lists it had. */
    put_numbered_pod(&cluster, 0, ",extra=1");
    cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.evaluated = 8, .endpoints = 1, .lists = 2});

    /* Another gets an address beside the one its node knows; two sets have both. */
    put_pod(&cluster, "ns0/pod-1", "app=app1,part=1,pod-template-hash=00000001", "10.9.9.9");
    cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.counted = 8});

    /* An active policy gets rules with a new selector: no list is looked at, the groups of its
     * namespace are; five replicas, each with the address its node knows, are its set. */
    struct policy *policy = policy_make("ns0", "policy-0", "all()");
    free(policy->selector);
    policy->selector = selector_of(0, 0);
    policy_add_rule(policy, true, RULE_ALLOW)->source.selector =
        xstrdup("projectcalico.org/namespace == \"ns0\" && app == \"app5\" && part == \"1\"");
    put_policy(&cluster, policy);
    cost = cost_since(&cluster, &stats);
    expect_cost(&cost,
                &(struct cost){.evaluated = APPS_PER_NAMESPACE + 2, .counted = 10, .policies = 1});

    /* A policy of another namespace. */
    put_numbered_policy(&cluster, n_namespaces - 1 + n_namespaces * 1000, n_namespaces);
    cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.evaluated = 2, .policies = 1});

    /* A policy for five local pods that are alike. */
    policy = policy_make("ns0", "new", "all()");
    free(policy->selector);
    policy->selector = selector_of(0, 7);
    put_policy(&cluster, policy);
    cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.evaluated = 2, .policies = 1, .endpoints = 1, .lists = 2});

    /* Labels of another namespace: its groups, not its pods, and no others. */
    put_namespace(&cluster, "ns1", "group=g1,more=1");
    cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.evaluated = 2 * APPS_PER_NAMESPACE});
    cluster_close(&cluster);
}

static void
an_event_costs_what_it_changes(void **state)
{
    (void)state;
    measure_events(1000, 200);
    measure_events(4000, 800);
}

static void
a_thousand_replicas_share_lists_and_are_looked_at_once(void **state)
{
    struct cluster cluster;
    struct policy_state_stats stats;
    char key[32], ifname[16], ip[32];

    (void)state;
    cluster_open(&cluster);
    put_namespace(&cluster, "a", "");
    put_simple_policy(&cluster, "p", "app == 'x'", "app == 'x'");
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "a/x-%u", i);
        snprintf(ifname, sizeof ifname, "cali%u", i);
        pod_address(i, ip);
        put_pod(&cluster, key, "app=x", ip);
        put_local(&cluster, ifname, key, ip);
    }
    policy_state_flush(cluster.state);
    stats = policy_state_stats(cluster.state);
    assert_int_equal(stats.n_endpoints, 1000);
    assert_int_equal(stats.n_lists, 2);
    assert_int_equal(stats.n_endpoints_resolved, 1);
    assert_int_equal(stats.n_lists_built, 2);
    put_simple_policy(&cluster, "q", "app == 'x'", NULL);
    const struct cost cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.evaluated = 2, .policies = 1, .endpoints = 1, .lists = 2});
    cluster_close(&cluster);
}

static void
put_large_set(struct cluster *cluster, unsigned first)
{
    AUTO(str) struct str body = STR_INIT;

    str_add(&body, ",\"labels\":{\"set\":\"large\"}},\"spec\":{\"nets\":[");
    for (unsigned i = first; i < first + 20000; i++) {
        str_addf(&body, "%s\"20.%u.%u.%u/32\"", i > first ? "," : "", i >> 16, i >> 8 & 255,
                 i & 255);
    }
    str_add(&body, "]}");
    cluster_put(cluster, KIND_GLOBALNETWORKSET, "large", body.text);
}

static void
one_network_of_many_changes_alone(void **state)
{
    struct cluster cluster;
    struct policy_state_stats stats;

    (void)state;
    cluster_open(&cluster);
    fill(&cluster, 100, 20);
    put_simple_policy(&cluster, "p", "app == 'app1'", "set == 'large'");
    put_large_set(&cluster, 0);
    policy_state_flush(cluster.state);
    stats = policy_state_stats(cluster.state);
    put_large_set(&cluster, 1);
    const struct cost cost = cost_since(&cluster, &stats);
    assert_int_equal(cost.counted, 2);
    cluster_close(&cluster);
}

#define N_NODES 5000

static void
put_numbered_node(struct cluster *cluster, unsigned i, const char *extra, const char *external)
{
    AUTO(str) struct str body = STR_INIT;
    char name[32];

    snprintf(name, sizeof name, "node-%u", i);
    str_addf(&body,
             ",\"labels\":{\"kubernetes.io/hostname\":\"%s\",\"rack\":\"r%u\",\"%s\":\"1\"}},"
             "\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"20.0.%u.%u\"},"
             "{\"type\":\"ExternalIP\",\"address\":\"%s\"}]}",
             name, i % 50, extra, i >> 8, i & 255, external);
    cluster_put(cluster, KIND_NODE, name, body.text);
}

static void
put_node_policy(struct cluster *cluster, const char *name, const char *nodes)
{
    struct policy *policy = policy_make(NULL, name, "app == 'app1'");

    policy_add_rule(policy, false, RULE_ALLOW)->destination.node_selector = xstrdup(nodes);
    put_policy(cluster, policy);
}

/* An event of a node is held against the selectors of nodes there are, and changes members only. */
static void
a_node_of_thousands_changes_its_own_members(void **state)
{
    struct cluster cluster;
    struct policy_state_stats stats;
    char name[32], text[64];

    (void)state;
    cluster_open(&cluster);
    fill(&cluster, 100, 20);
    for (unsigned i = 0; i < N_NODES; i++) {
        put_numbered_node(&cluster, i, "none", "21.0.0.1");
    }
    stats = policy_state_stats(cluster.state);
    put_node_policy(&cluster, "all", "all()");
    struct cost cost = cost_since(&cluster, &stats);
    assert_int_equal(cost.counted, 2 * N_NODES);
    for (unsigned i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "rack-%u", i);
        snprintf(text, sizeof text, "rack == \"r%u\"", i);
        put_node_policy(&cluster, name, text);
    }
    cost = cost_since(&cluster, &stats);
    assert_int_equal(cost.counted, 9 * 2 * N_NODES / 50);
    /* In two of the ten sets: another label, another address, gone, back. */
    put_numbered_node(&cluster, 50, "other", "21.0.0.1");
    cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.evaluated = 20});
    put_numbered_node(&cluster, 50, "other", "21.0.0.2");
    cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.evaluated = 20, .counted = 4});
    cluster_delete(&cluster, KIND_NODE, "node-50");
    cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.evaluated = 10, .counted = 4});
    put_numbered_node(&cluster, 50, "other", "21.0.0.2");
    cost = cost_since(&cluster, &stats);
    expect_cost(&cost, &(struct cost){.evaluated = 10, .counted = 4});
    cluster_close(&cluster);
}

/* ---- measuring --------------------------------------------------------------------------------
 */

static double
cpu_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double
rss_mb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size = 0, resident = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return (double)resident * 4096 / 1e6;
}

/* Decoding is not what is measured: the same objects go to a store of their own first, and from
 * there to a state. */
static void
note_all(const struct cluster *cluster, struct policy_state *state, enum kind kind)
{
    for (size_t i = 0; i < store_count(cluster->store, kind); i++) {
        const struct change change = {.kind = kind,
                                      .key = store_key_at(cluster->store, kind, i),
                                      .now = store_at(cluster->store, kind, i)};
        policy_state_note(state, &change);
    }
}

static void
ignore(void *owner, const struct change *change)
{
    (void)owner, (void)change;
}

static void
measure_load(struct cluster *cluster, unsigned n_pods, unsigned n_policies)
{
    unsigned n_namespaces = (n_pods + PODS_PER_NAMESPACE - 1) / PODS_PER_NAMESPACE;
    double rss = rss_mb();

    put_namespaces(cluster, n_namespaces);
    for (unsigned i = 0; i < n_pods; i++) {
        put_numbered_pod(cluster, i, "");
    }
    for (unsigned i = 0; i < n_policies; i++) {
        put_numbered_policy(cluster, i, n_namespaces);
    }
    print_message("objects            %8.1f MB\n", rss_mb() - rss);
    rss = rss_mb();
    double start = cpu_ms();
    note_all(cluster, cluster->state, KIND_NAMESPACE);
    note_all(cluster, cluster->state, KIND_POD);
    double pods = cpu_ms();
    print_message("pods               %8.2f ms, %.2f us each, %.1f MB\n", pods - start,
                  (pods - start) * 1e3 / n_pods, rss_mb() - rss);
    note_all(cluster, cluster->state, KIND_CALICONETWORKPOLICY);
    double policies = cpu_ms();
    print_message("policies           %8.2f ms, %.2f us each, %.1f MB with pods\n", policies - pods,
                  (policies - pods) * 1e3 / n_policies, rss_mb() - rss);
    unsigned stride = n_pods / N_LOCAL;
    for (unsigned i = 0; i < N_LOCAL; i++) {
        put_numbered_local(cluster, i, i * stride);
    }
    policy_state_flush(cluster->state);
    const struct policy_state_stats stats = policy_state_stats(cluster->state);
    print_message("100 locals, flush  %8.2f ms, %.1f MB in all; %zu policies active, %zu sets, "
                  "%zu lists\n",
                  cpu_ms() - policies, rss_mb() - rss, stats.n_active_policies, stats.n_sets,
                  stats.n_lists);
}

static void
measure_changes(struct cluster *cluster, const char *what, unsigned first)
{
    enum {
        N = 1000
    };
    double total = 0, longest = 0;
    char extra[32];

    for (unsigned i = 0; i < N; i++) {
        struct cluster decoded = {.state = cluster->state};
        decoded.store = store_new(ignore, NULL);
        snprintf(extra, sizeof extra, ",extra=%u", i % 2);
        put_numbered_pod(&decoded, first, extra);
        const struct change change = {
            .kind = KIND_POD,
            .key = store_key_at(decoded.store, KIND_POD, 0),
            .was = store_get(cluster->store, KIND_POD, store_key_at(decoded.store, KIND_POD, 0)),
            .now = store_at(decoded.store, KIND_POD, 0)};
        const struct change back = {
            .kind = KIND_POD, .key = change.key, .was = change.now, .now = change.was};
        double start = cpu_ms();
        policy_state_note(cluster->state, &change);
        policy_state_flush(cluster->state);
        double took = cpu_ms() - start;
        total += took;
        longest = took > longest ? took : longest;
        policy_state_note(cluster->state, &back);
        policy_state_flush(cluster->state);
        store_free(decoded.store);
    }
    print_message("%-18s %8.2f us mean, %.2f us longest\n", what, total * 1e3 / N, longest * 1e3);
}

static bool
state_holds(void *owner, const struct policy_set *set, const struct policy_set_member *member)
{
    const struct policy_state *state = owner;

    return policy_state_holds(state, set, member);
}

#define N_SELECTORS 20
#define N_JUDGED 100000

/* As open connections are, each past twenty selectors before one matches. */
static void
measure_judging(void)
{
    struct cluster cluster;
    char name[32], ip[32], key[32], app[32];

    cluster_open(&cluster);
    put_namespace(&cluster, "ns0", "");
    for (unsigned i = 0; i <= N_SELECTORS; i++) {
        snprintf(name, sizeof name, "policy-%02u", i);
        struct policy *policy = policy_make("ns0", name, "all()");
        policy_add_rule(policy, true, RULE_ALLOW)->source.selector = selector_of(0, i);
        put_policy(&cluster, policy);
        snprintf(key, sizeof key, "ns0/pod-%u", i);
        snprintf(app, sizeof app, "app=app%u", i);
        pod_address(i, ip);
        put_pod(&cluster, key, app, ip);
    }
    put_local(&cluster, "cali0", "ns0/pod-0", "10.0.0.0");
    policy_state_flush(cluster.state);
    struct set_ids *ids = set_ids_new();
    const struct evaluate_sets sets = {.holds = state_holds, .owner = cluster.state, .ids = ids};
    struct flow flow = {.packet = {.family = 4, .protocol = IPPROTO_TCP}};
    struct flow_ends ends = {0};
    size_t n_allowed = 0;
    pod_address(0, ip);
    assert_true(ip_parse(ip, &flow.packet.destination, NULL));
    pod_address(N_SELECTORS, ip);
    assert_true(ip_parse(ip, &flow.packet.source, NULL));
    double start = cpu_ms();
    for (unsigned i = 0; i < N_JUDGED; i++) {
        ends.destination = policy_state_endpoint_by_ip(cluster.state, &flow.packet.destination);
        n_allowed += flow_is_allowed(&ends, &flow, &sets);
    }
    double took = cpu_ms() - start;
    assert_int_equal(n_allowed, N_JUDGED);
    print_message("judge 100,000      %8.2f ms, %.2f us each\n", took, took * 1e3 / N_JUDGED);
    set_ids_free(ids);
    cluster_close(&cluster);
}

#define N_NODE_SELECTORS 100

/* Each node is in fifty of the sets. */
static void
measure_nodes(void)
{
    struct cluster cluster, decoded;
    char name[32], text[64];

    cluster_open(&cluster);
    fill(&cluster, 100, 20);
    decoded.store = store_new(ignore, NULL);
    for (unsigned i = 0; i < N_NODES; i++) {
        put_numbered_node(&decoded, i, "none", "21.0.0.1");
    }
    for (unsigned i = 0; i < N_NODE_SELECTORS; i++) {
        snprintf(name, sizeof name, "policy-%u", i);
        snprintf(text, sizeof text, "rack %s \"r%u\"", i < 50 ? "==" : "!=", i % 50);
        put_node_policy(&decoded, name, text);
    }
    double rss = rss_mb(), start = cpu_ms();
    note_all(&decoded, cluster.state, KIND_NODE);
    print_message("5,000 nodes        %8.2f ms, %.1f MB\n", cpu_ms() - start, rss_mb() - rss);
    start = cpu_ms();
    note_all(&decoded, cluster.state, KIND_GLOBALNETWORKPOLICY);
    policy_state_flush(cluster.state);
    print_message("100 node selectors %8.2f ms, %.1f MB with nodes\n", cpu_ms() - start,
                  rss_mb() - rss);
    const void *node = store_at(decoded.store, KIND_NODE, 0);
    const void *other = store_at(decoded.store, KIND_NODE, 1);
    struct change change = {.kind = KIND_NODE, .key = store_key_at(decoded.store, KIND_NODE, 0)};
    start = cpu_ms();
    for (unsigned i = 0; i < 1000; i++) {
        change.now = i % 2 ? node : other;
        policy_state_note(cluster.state, &change);
        policy_state_flush(cluster.state);
    }
    print_message("node changes       %8.2f us mean\n", cpu_ms() - start);
    cluster_close(&cluster);
    store_free(decoded.store);
}

static void
measure(const char *sizes)
{
    struct cluster cluster;
    char *end = NULL;
    unsigned n_pods = (unsigned)strtoul(sizes, &end, 10);
    unsigned n_policies = (unsigned)strtoul(end, NULL, 10);

    cluster_open(&cluster);
    store_free(cluster.store);
    cluster.store = store_new(ignore, NULL);
    measure_load(&cluster, n_pods, n_policies);
    measure_changes(&cluster, "label, elsewhere", 1);
    measure_changes(&cluster, "label, local pod", 0);
    cluster_close(&cluster);
    measure_judging();
    measure_nodes();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_costs_what_it_changes),
        cmocka_unit_test(one_network_of_many_changes_alone),
        cmocka_unit_test(a_node_of_thousands_changes_its_own_members),
        cmocka_unit_test(a_thousand_replicas_share_lists_and_are_looked_at_once),
    };
    const char *sizes = getenv("CANAL_BENCH");

    if (sizes != NULL) {
        measure(sizes);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
