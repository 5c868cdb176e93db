/* The run: the addresses that were touched become a list of dumps; each turn reads a portion on a
 * worker, judges it on the loop, and marks what changed. Called by felix.c after a commit.
 *
 *   touch ── start ──► read (worker) ──► judge, a slice a turn ──► mark ──► read … ──► done
 */
#include "felix/dataplane/revoke.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/netlink/conntrack.h"

/* A dump costs the kernel a look at every bucket, however few entries there are; reading this many
 * entries takes as long. So one dump for each address and side pays in a full table only. For IPv6
 * the kernel's own filter is of no use. */
#define ENTRIES_OF_A_PASS 8000
#define SIDES 2
#define PORTION 2000
#define SLICE_US 3000
#define JUDGED_PER_LOOK 16 /* at the clock */

struct run {
    struct table *ips; /* key: struct ip */
    uint32_t bit, carry;
    bool is_all; /* everything is touched */
    bool looks_before_dnat;
    VEC(struct conntrack_filter) dumps;
    size_t dump; /* the one that is going on */
    bool is_dumping;
    struct conntrack_link *reader, *marker;
    VEC(struct conntrack_entry) portion;
    size_t judged; /* of the portion */
    VEC(struct conntrack_marking) markings;
    struct revoke_report report;
    uint64_t since_us;
    struct err err;
    bool is_good;
};

struct revoke {
    struct revoke_spec spec;
    struct table *touched;
    uint32_t carry; /* of the next run */
    bool looks_before_dnat;
    bool wants_run;
    bool is_freed;
    bool is_reading;
    uv_work_t work;
    uv_idle_t idle;
    struct run *run; /* NULL: none */
};

static int present;                /* what tables of addresses hold */
static const struct ip everything; /* among touched addresses: all of them */

/* ---- a run
 * -------------------------------------------------------------------------------------- */

static void
run_free(struct run *run)
{
    if (run) {
        table_free(run->ips, NULL);
        VEC_DONE(&run->dumps);
        VEC_DONE(&run->portion);
        VEC_DONE(&run->markings);
        conntrack_close(run->reader);
        conntrack_close(run->marker);
        free(run);
    }
}

static bool
is_touched(const struct run *run, const struct ip *ip)
{
    return table_get_bytes(run->ips, ip, sizeof *ip) != NULL;
}

static void
add_dump(struct run *run, uint8_t family, enum conntrack_side side, const struct ip *ip)
{
    struct conntrack_filter filter = {.family = family, .side = side};

    if (ip) {
        filter.ip = *ip;
    }
    VEC_PUSH(&run->dumps, filter);
}

static void
plan_family(struct run *run, uint8_t family)
{
    size_t n = 0;

    TABLE_FOREACH (run->ips, entry) {
        n += ((const struct ip *)(const void *)table_key(entry))->family == family;
    }
    if (n == 0 && !run->is_all) {
        return;
    }
    if (run->is_all || family == 6 || run->looks_before_dnat ||
        conntrack_count() < n * SIDES * ENTRIES_OF_A_PASS) {
        add_dump(run, family, CONNTRACK_ALL, NULL);
        return;
    }
    TABLE_FOREACH (run->ips, entry) {
        struct ip ip;
        memcpy(&ip, table_key(entry), sizeof ip);
        if (ip.family == family) {
            add_dump(run, family, CONNTRACK_ORIGINAL_SOURCE, &ip);
            add_dump(run, family, CONNTRACK_REPLY_SOURCE, &ip);
        }
    }
}

static struct run *
run_new(struct table *ips, bool looks_before_dnat)
{
    struct run *run = NEW(struct run);

    run->ips = ips;
    run->is_all = is_touched(run, &everything);
    run->looks_before_dnat = looks_before_dnat;
    run->is_good = true;
    run->since_us = clock_monotonic_us();
    plan_family(run, 4);
    plan_family(run, 6);
    return run;
}

static struct run *
run_new_carrying(uint32_t bits)
{
    struct run *run = run_new(table_new(), false);

    run->carry = run->report.carried = bits;
    add_dump(run, 4, CONNTRACK_ALL, NULL);
    add_dump(run, 6, CONNTRACK_ALL, NULL);
    return run;
}

/* ---- reading: on a worker, which touches nothing but the run
 * ----------------------------------- */

/* An entry between two touched addresses is found by its source alone. */
static bool
belongs_to_dump(const struct run *run, const struct conntrack_entry *entry)
{
    const struct ip *source = &entry->original.source;

    if (entry->zone != 0) {
        return false;
    }
    if (run->carry) {
        return (entry->mark & run->carry) != 0;
    }
    switch (run->dumps.items[run->dump].side) {
    case CONNTRACK_ORIGINAL_SOURCE:
        return true;
    case CONNTRACK_REPLY_SOURCE:
        return !is_touched(run, source);
    case CONNTRACK_ALL:
        break;
    }
    return run->is_all || is_touched(run, source) || is_touched(run, &entry->reply.source) ||
           (run->looks_before_dnat && is_touched(run, &entry->original.destination));
}

static void
on_entry(void *owner, const struct conntrack_entry *entry)
{
    struct run *run = owner;

    if (belongs_to_dump(run, entry)) {
        VEC_PUSH(&run->portion, *entry);
    }
}

static bool
read_portion(struct run *run, struct err *err)
{
    if (!run->reader &&
        (!conntrack_open(&run->reader, err) || !conntrack_open(&run->marker, err))) {
        return false;
    }
    while (run->dump < run->dumps.n && run->portion.n < PORTION) {
        bool is_end = false;
        if (!run->is_dumping && !conntrack_dump(run->reader, &run->dumps.items[run->dump], err)) {
            return false;
        }
        run->is_dumping = true;
        if (!conntrack_dump_more(run->reader, on_entry, run, &is_end, err)) {
            return false;
        }
        if (is_end) {
            run->is_dumping = false;
            run->dump++;
        }
    }
    return true;
}

static void
on_read(uv_work_t *work)
{
    struct revoke *revoke = work->data;
    struct run *run = revoke->run;

    run->is_good = read_portion(run, &run->err) && run->is_good;
}

static void after_read(uv_work_t *work, int status);

static void
read_more(struct revoke *revoke)
{
    revoke->run->portion.n = 0;
    revoke->run->judged = 0;
    revoke->is_reading = true;
    uv_queue_work(revoke->spec.loop, &revoke->work, on_read, after_read);
}

/* ---- judging: on the loop
 * ----------------------------------------------------------------------- */

static void
first_packet(const struct conntrack_entry *entry, struct flow *ret_flow)
{
    const struct conntrack_tuple *original = &entry->original;

    ret_flow->arrived = (struct packet){
        .family = original->source.family,
        .source = original->source,
        .destination = original->destination,
        .protocol = original->protocol,
        .source_port = original->source_port,
        .destination_port = original->destination_port,
        .icmp_type = original->icmp_type,
        .icmp_code = original->icmp_code,
    };
    ret_flow->packet = ret_flow->arrived;
    ret_flow->packet.destination = entry->reply.source;
    ret_flow->packet.destination_port = entry->reply.source_port;
    /* IPVS says only where answers come from. */
    ret_flow->is_by_ipvs =
        !(entry->status & IPS_DST_NAT) && !ip_equal(&original->destination, &entry->reply.source);
}

/* An expected connection was let through for the sake of its master. When that one is gone, only
 * what it was to begin with is known, and that is enough without DNAT. */
static void
packet_of_master(struct run *run, const struct conntrack_entry *entry, struct flow *ret_flow)
{
    struct conntrack_entry master;

    if (!conntrack_get(run->marker, &entry->master, &master, NULL)) {
        master = (struct conntrack_entry){.original = entry->master};
        master.reply.source = entry->master.destination;
        master.reply.source_port = entry->master.destination_port;
    }
    first_packet(&master, ret_flow);
}

static void
judge(struct revoke *revoke, const struct conntrack_entry *entry)
{
    struct run *run = revoke->run;
    uint32_t bit = run->bit;
    struct flow flow;

    if (run->carry) {
        const struct conntrack_marking carried = {entry->original, bit, bit | run->carry};
        VEC_PUSH(&run->markings, carried);
        return;
    }
    if (entry->has_master) {
        packet_of_master(run, entry, &flow);
    } else {
        first_packet(entry, &flow);
    }
    bool is_allowed = revoke->spec.is_allowed(revoke->spec.owner, &flow);
    run->report.n_seen++;
    if (is_allowed == ((entry->mark & bit) == 0)) {
        return;
    }
    const struct conntrack_marking marking = {entry->original, is_allowed ? 0 : bit, bit};
    VEC_PUSH(&run->markings, marking);
    *(is_allowed ? &run->report.n_allowed : &run->report.n_refused) += 1;
}

static bool
mark(struct run *run)
{
    size_t n_gone = 0;
    bool good = run->markings.n == 0 || conntrack_mark(run->marker, run->markings.items,
                                                       run->markings.n, &n_gone, &run->err);

    run->markings.n = 0;
    return good;
}

static void
finish(struct revoke *revoke)
{
    struct run *run = revoke->run;
    const struct revoke_spec *spec = &revoke->spec;

    run->report.us = clock_monotonic_us() - run->since_us;
    revoke->run = NULL;
    if (!run->is_good) {
        revoke->carry |= run->carry;
        TABLE_FOREACH (run->ips, entry) {
            table_put_bytes(revoke->touched, table_key(entry), table_key_len(entry), &present);
        }
        revoke->wants_run = false; /* who is told of the error starts again */
    }
    if (spec->done) {
        spec->done(spec->owner, &run->report, run->is_good ? NULL : &run->err);
    }
    run_free(run);
    if (revoke->wants_run) {
        revoke_start(revoke);
    }
}

/* One slice; the loop looks after others between two. */
static void
on_idle(uv_idle_t *idle)
{
    struct revoke *revoke = idle->data;
    struct run *run = revoke->run;
    uint64_t until = clock_monotonic_us() + SLICE_US;

    while (run->judged < run->portion.n &&
           (run->judged % JUDGED_PER_LOOK != 0 || clock_monotonic_us() < until)) {
        judge(revoke, &run->portion.items[run->judged++]);
    }
    run->is_good = mark(run) && run->is_good;
    if (run->judged < run->portion.n) {
        return;
    }
    uv_idle_stop(idle);
    if (run->is_good && run->dump < run->dumps.n) {
        read_more(revoke);
    } else {
        finish(revoke);
    }
}

static void
on_idle_closed(uv_handle_t *handle)
{
    struct revoke *revoke = handle->data;

    run_free(revoke->run);
    table_free(revoke->touched, NULL);
    free(revoke);
}

static void
after_read(uv_work_t *work, int status)
{
    struct revoke *revoke = work->data;

    (void)status;
    revoke->is_reading = false;
    if (revoke->is_freed) {
        uv_close((uv_handle_t *)&revoke->idle, on_idle_closed);
        return;
    }
    if (revoke->run->is_good) {
        uv_idle_start(&revoke->idle, on_idle);
    } else {
        finish(revoke);
    }
}

/* ---- from outside
 * ------------------------------------------------------------------------------- */

struct revoke *
revoke_new(const struct revoke_spec *spec)
{
    struct revoke *revoke = NEW(struct revoke);

    revoke->spec = *spec;
    revoke->touched = table_new();
    revoke->work.data = revoke;
    uv_idle_init(spec->loop, &revoke->idle);
    revoke->idle.data = revoke;
    return revoke;
}

void
revoke_set_bit(struct revoke *revoke, uint32_t bit)
{
    revoke->spec.bit = bit;
}

void
revoke_carry(struct revoke *revoke, uint32_t bits)
{
    revoke->carry |= bits;
}

void
revoke_touch(struct revoke *revoke, const struct ip *ip)
{
    table_put_bytes(revoke->touched, ip, sizeof *ip, &present);
}

void
revoke_touch_all(struct revoke *revoke)
{
    revoke_touch(revoke, &everything);
}

void
revoke_look_before_dnat(struct revoke *revoke, bool is_on)
{
    revoke->looks_before_dnat = is_on;
}

void
revoke_start(struct revoke *revoke)
{
    bool has_touched = table_count(revoke->touched) > 0;

    revoke->wants_run = has_touched || revoke->carry;
    if (revoke->run || !revoke->wants_run) {
        return;
    }
    if (revoke->carry) {
        revoke->run = run_new_carrying(revoke->carry & ~revoke->spec.bit);
        revoke->carry = 0;
        revoke->wants_run = has_touched;
    } else {
        revoke->wants_run = false;
        revoke->run = run_new(revoke->touched, revoke->looks_before_dnat);
        revoke->touched = table_new();
    }
    revoke->run->bit = revoke->run->report.bit = revoke->spec.bit;
    read_more(revoke);
}

bool
revoke_is_busy(const struct revoke *revoke)
{
    return revoke->run != NULL;
}

void
revoke_free(struct revoke *revoke)
{
    if (!revoke) {
        return;
    }
    revoke->is_freed = true;
    if (!revoke->is_reading) {
        uv_close((uv_handle_t *)&revoke->idle, on_idle_closed);
    }
}
