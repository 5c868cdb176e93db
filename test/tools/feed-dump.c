/* Runs the feed as confd and felix do, and writes the store as sorted text to a file after every
 * change: for the functional tests. Arguments: file to write, then kinds by name (none: all).
 * KUBECONFIG says where the API is; KUBE_SILENT_MS, KUBE_BACKOFF_MIN_MS, KUBE_BACKOFF_MAX_MS,
 * KUBE_REQUEST_MS, KUBE_DISTRUST_MS and KUBE_PAGE make it less patient. SIGTERM ends it cleanly;
 * with FEED_ONCE it ends at the first sync and prints CPU time and memory. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"
#include "lib/feed/feed.h"
#include "lib/loop/kick.h"
#include "lib/metrics/metrics.h"
#include "lib/model/bgp_configuration.h"
#include "lib/model/bgp_peer.h"
#include "lib/model/endpoint_slice.h"
#include "lib/model/felix_configuration.h"
#include "lib/model/host_endpoint.h"
#include "lib/model/ippool.h"
#include "lib/model/namespace.h"
#include "lib/model/network_set.h"
#include "lib/model/node.h"
#include "lib/model/pod.h"
#include "lib/model/policy.h"
#include "lib/model/tier.h"

struct dump {
    const char *path;
    struct store *store;
    struct kube *kube;
    struct feed *feed;
    struct metrics *metrics;
    struct kick write;
    uv_signal_t term;
    uint64_t n_changes;
    uint64_t start_ms;
};

static void
add_labels(struct str *line, const struct labels *labels)
{
    for (size_t i = 0; i < labels->n; i++) {
        str_addf(line, " %s=%s", labels->items[i].key, labels->items[i].value);
    }
}

static void
add_object(struct str *line, enum kind kind, const void *object)
{
    char text[PREFIX_TEXT_MAX];
    const struct node *node = object;
    const struct pod *pod = object;
    const struct ippool *pool = object;
    const struct bgp_peer *peer = object;
    const struct bgp_configuration *configuration = object;
    const struct namespace *ns = object;
    const struct service_account *account = object;
    const struct tier *tier = object;
    const struct network_set *set = object;
    const struct host_endpoint *host = object;
    const struct endpoint_slice *slice = object;
    const struct policy *policy = object;
    const struct felix_configuration *settings = object;

    switch (kind) {
    case KIND_NODE:
        for (size_t i = 0; i < node->n_pod_cidrs; i++) {
            str_addf(line, " cidr=%s", prefix_format(&node->pod_cidrs[i], text));
        }
        str_addf(line, " ip=%s", ip_format(&node->internal_ip4, text));
        add_labels(line, &node->labels);
        break;
    case KIND_POD:
        str_addf(line, " node=%s ip=%s", pod->node_name ? pod->node_name : "-",
                 ip_format(&pod->ip4, text));
        add_labels(line, &pod->labels);
        break;
    case KIND_IPPOOL:
        str_addf(line, " cidr=%s ipip=%d nat=%d", prefix_format(&pool->cidr, text),
                 (int)pool->ipip_mode, pool->nat_outgoing);
        break;
    case KIND_BGPCONFIGURATION:
        str_addf(line, " as=%u mesh=%d", configuration->as_number,
                 configuration->is_node_mesh_enabled);
        break;
    case KIND_BGPPEER:
        str_addf(line, " ip=%s as=%u", ip_format(&peer->peer_ip, text), peer->as_number);
        break;
    case KIND_NAMESPACE:
        add_labels(line, &ns->labels);
        break;
    case KIND_SERVICEACCOUNT:
        add_labels(line, &account->labels);
        break;
    case KIND_TIER:
        str_addf(line, " order=%g pass=%d", tier->order, tier->is_default_pass);
        break;
    case KIND_NETWORKSET:
    case KIND_GLOBALNETWORKSET:
        str_addf(line, " nets=%zu", set->n_nets);
        add_labels(line, &set->labels);
        break;
    case KIND_HOSTENDPOINT:
        str_addf(line, " node=%s interface=%s", host->node,
                 host->interface_name ? host->interface_name : "-");
        add_labels(line, &host->labels);
        break;
    case KIND_ENDPOINTSLICE:
        str_addf(line, " service=%s ips=%zu ports=%zu", slice->service ? slice->service : "-",
                 slice->n_ips, slice->n_ports);
        break;
    case KIND_NETWORKPOLICY:
    case KIND_CALICONETWORKPOLICY:
    case KIND_GLOBALNETWORKPOLICY:
    case KIND_STAGEDNETWORKPOLICY:
    case KIND_STAGEDGLOBALNETWORKPOLICY:
    case KIND_STAGEDKUBERNETESNETWORKPOLICY:
    case KIND_CLUSTERNETWORKPOLICY:
        str_addf(line, " tier=%s order=%g selector=%s in=%zu out=%zu", policy->tier, policy->order,
                 policy->selector, policy->n_ingress, policy->n_egress);
        break;
    case KIND_FELIXCONFIGURATION:
        add_labels(line, &settings->values);
        break;
    case N_KINDS:
        break;
    }
}

static int
compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
on_write(void *owner)
{
    struct dump *dump = owner;
    AUTO(str) struct str out = STR_INIT;
    VEC(char *) lines = VEC_INIT;
    struct err err = ERR_INIT;

    for (int kind = 0; kind < N_KINDS; kind++) {
        for (size_t i = 0; i < store_count(dump->store, kind); i++) {
            AUTO(str) struct str line = STR_INIT;
            str_addf(&line, "%s %s", kind_ops(kind)->name, store_key_at(dump->store, kind, i));
            add_object(&line, kind, store_at(dump->store, kind, i));
            VEC_PUSH(&lines, str_steal(&line));
        }
    }
    if (lines.n > 0) {
        qsort(lines.items, lines.n, sizeof *lines.items, compare_lines);
    }
    str_addf(&out, "# in_sync=%d changes=%llu\n", feed_is_in_sync(dump->feed),
             (unsigned long long)dump->n_changes);
    VEC_FOREACH (&lines, it) {
        str_addf(&out, "%s\n", *it);
        free(*it);
    }
    VEC_DONE(&lines);
    str_add(&out, "# metrics\n");
    metrics_write(dump->metrics, &out);
    if (!file_write_atomic(dump->path, out.text, out.len, 0644, &err)) {
        fprintf(stderr, "%s\n", err.text);
    }
}

static void
on_change(void *owner, const struct change *change)
{
    struct dump *dump = owner;

    (void)change;
    dump->n_changes++;
    if (!getenv("FEED_ONCE")) {
        kick(&dump->write);
    }
}

static void
on_term(uv_signal_t *handle, int number)
{
    struct dump *dump = handle->data;

    (void)number;
    uv_signal_stop(handle);
    uv_close((uv_handle_t *)handle, NULL);
    kick_close(&dump->write);
    feed_free(dump->feed);
    kube_free(dump->kube);
}

static void
on_sync(void *owner)
{
    struct dump *dump = owner;
    struct rusage usage;

    kick(&dump->write);
    if (!getenv("FEED_ONCE")) {
        return;
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("wall_ms=%llu cpu_us=%llu rss_kb=%ld changes=%llu\n",
           (unsigned long long)(clock_monotonic_ms() - dump->start_ms),
           (unsigned long long)((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                                usage.ru_utime.tv_usec + usage.ru_stime.tv_usec),
           usage.ru_maxrss, (unsigned long long)dump->n_changes);
    fflush(stdout);
    raise(SIGTERM);
}

static void
read_timing(struct kube *kube)
{
    struct kube_timing timing = *kube_timing(kube);
    const struct {
        const char *name;
        uint64_t *value;
    } rows[] = {
        {"KUBE_SILENT_MS", &timing.silent_ms},
        {"KUBE_BACKOFF_MIN_MS", &timing.backoff_min_ms},
        {"KUBE_BACKOFF_MAX_MS", &timing.backoff_max_ms},
        {"KUBE_REQUEST_MS", &timing.request_ms},
        {"KUBE_DISTRUST_MS", &timing.distrust_ms},
        {"KUBE_PAGE", &timing.page_limit},
        {"KUBE_CONNECT_MS", &timing.connect_ms},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *text = getenv(rows[i].name);
        if (text) {
            *rows[i].value = strtoull(text, NULL, 10);
        }
    }
    kube_set_timing(kube, &timing);
}

static size_t
read_kinds(char **names, int n_names, struct feed_spec specs[N_KINDS])
{
    size_t n = 0;

    for (int kind = 0; kind < N_KINDS; kind++) {
        bool is_wanted = n_names == 0;
        for (int i = 0; i < n_names; i++) {
            is_wanted |= strcmp(names[i], kind_ops(kind)->name) == 0;
        }
        if (is_wanted) {
            specs[n++] = (struct feed_spec){.kind = kind};
        }
    }
    return n;
}

int
main(int argc, char **argv)
{
    uv_loop_t loop;
    struct dump dump = {.path = argc > 1 ? argv[1] : NULL};
    struct feed_spec specs[N_KINDS];
    struct err err = ERR_INIT;

    if (!dump.path) {
        fprintf(stderr, "usage: feed-dump FILE [KIND...]\n");
        return 2;
    }
    log_setup(getenv("FEED_DEBUG") ? LOG_DEBUG : LOG_INFO, LOG_TEXT);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    if (!kube_new(&loop, NULL, &dump.kube, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    read_timing(dump.kube);
    dump.start_ms = clock_monotonic_ms();
    dump.metrics = metrics_new();
    dump.store = store_new(on_change, &dump);
    size_t n_specs = read_kinds(argv + 2, argc - 2, specs);
    dump.feed = feed_new(dump.kube, dump.store, specs, n_specs, on_sync, &dump);
    feed_set_metrics(dump.feed, dump.metrics);
    kick_init(&dump.write, &loop, 20, on_write, &dump);
    uv_signal_init(&loop, &dump.term);
    dump.term.data = &dump;
    uv_signal_start(&dump.term, on_term, SIGTERM);
    feed_start(dump.feed);
    kick(&dump.write);
    uv_run(&loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&loop);
    store_free(dump.store);
    metrics_free(dump.metrics);
    if (rc != 0) {
        fprintf(stderr, "handles left open\n");
    }
    return rc == 0 ? 0 : 3;
}
