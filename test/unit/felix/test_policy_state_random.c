/* felix/calc/policy_state under random histories: after every flush what it told is held against
 * what the objects say, worked out from scratch by matching everything with everything; every
 * output is held against the order that never opens; at the end the same objects in another order
 * must give the same.
 *
 * CANAL_TEST_EVENTS sets how many events there are, CANAL_TEST_SEED the first seed. */
#include "test/unit/felix/from_scratch.h"

#define N_EVENTS 100000
#define EVENTS_PER_SEED 5000

/* ---- the check --------------------------------------------------------------------------------
 */

static bool
is_active(struct expected *expected, const struct policy *policy)
{
    if (policy->is_always_programmed) {
        return true;
    }
    VEC_FOREACH (&expected->here, item) {
        if (item->object != NULL && matches(expected->world, policy->selector, item)) {
            return true;
        }
    }
    return false;
}

static void
check_policies(struct expected *expected)
{
    const struct store *store = expected->world->cluster.store;
    const struct told *told = &expected->world->told;
    struct table *objects = table_new();
    AUTO(str) struct str key = STR_INIT;

    for (size_t k = 0; k < ARRAY_LEN(policy_kinds); k++) {
        for (size_t i = 0; i < store_count(store, policy_kinds[k].kind); i++) {
            const struct policy *policy = store_at(store, policy_kinds[k].kind, i);
            if (is_active(expected, policy)) {
                table_put_bytes(objects, (const void *)&policy, sizeof policy, &in_use);
                policy_each_set(policy, check_set, expected);
            }
        }
    }
    assert_int_equal(table_count(told->policies), table_count(objects));
    TABLE_FOREACH (told->policies, it) {
        const struct active_policy *active = table_value(it);
        assert_non_null(
            table_get_bytes(objects, (const void *)&active->policy, sizeof active->policy));
    }
    assert_int_equal(table_count(told->sets), table_count(expected->set_ids));
    table_free(objects, NULL);
}

/* No list without an endpoint. */
static void
check_lists(const struct world *world)
{
    struct table *used = table_new();

    TABLE_FOREACH (world->told.endpoints, it) {
        const struct told_endpoint *told = table_value(it);
        for (size_t i = 0; i < (size_t)N_USES * N_DIRECTIONS; i++) {
            const struct verdict_list *list = told->endpoint->lists[i / 2][i % 2];
            if (list != NULL) {
                table_put(used, list->id, &in_use);
                assert_ptr_equal(table_get(world->told.lists, list->id), list);
            }
        }
    }
    assert_int_equal(table_count(used), table_count(world->told.lists));
    table_free(used, NULL);
}

static void
check(struct world *world)
{
    struct expected expected = {.world = world, .set_ids = table_new()};

    collect_items(&expected);
    collect_here(&expected);
    check_policies(&expected);
    check_endpoints(&expected);
    check_lists(world);
    VEC_FOREACH (&expected.items, it) {
        labels_done(&it->labels);
    }
    VEC_FOREACH (&expected.here, it) {
        labels_done(&it->labels);
    }
    VEC_FOREACH (&expected.texts, it) {
        str_done(it);
    }
    VEC_DONE(&expected.items);
    VEC_DONE(&expected.here);
    VEC_DONE(&expected.texts);
    table_free(expected.set_ids, NULL);
}

/* ---- in another order -------------------------------------------------------------------------
 */

static int
compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
told_text(const struct told *told, struct str *out)
{
    VEC(char *) lines = VEC_INIT;

    TABLE_FOREACH (told->sets, it) {
        const struct told_set *set = table_value(it);
        TABLE_FOREACH (set->members, member) {
            struct str line = STR_INIT;
            str_addf(&line, "member %s ", set->set.id);
            for (size_t i = 0; i < sizeof(struct packed); i++) {
                str_addf(&line, "%02x", (unsigned char)table_key(member)[i]);
            }
            VEC_PUSH(&lines, str_steal(&line));
        }
        struct str line = STR_INIT;
        str_addf(&line, "set %s %d", set->set.id, set->set.kind);
        VEC_PUSH(&lines, str_steal(&line));
    }
    TABLE_FOREACH (told->policies, it) {
        VEC_PUSH(&lines, xstrdup(table_key(it)));
    }
    TABLE_FOREACH (told->lists, it) {
        VEC_PUSH(&lines, xstrdup(table_key(it)));
    }
    TABLE_FOREACH (told->endpoints, it) {
        const struct told_endpoint *endpoint = table_value(it);
        VEC_PUSH(&lines, xstrdup(endpoint->text));
    }
    if (lines.n > 0) {
        qsort(lines.items, lines.n, sizeof *lines.items, compare_texts);
    }
    VEC_FOREACH (&lines, it) {
        str_addf(out, "%s\n", *it);
        free(*it);
    }
    VEC_DONE(&lines);
}

/* An object, or a local endpoint (kind N_KINDS). */
struct piece {
    enum kind kind;
    size_t index;
};

static void
give(const struct world *world, struct policy_state *state, const struct piece *piece)
{
    const struct store *store = world->cluster.store;

    if (piece->kind < N_KINDS) {
        const struct change change = {.kind = piece->kind,
                                      .key = store_key_at(store, piece->kind, piece->index),
                                      .now = store_at(store, piece->kind, piece->index)};
        policy_state_note(state, &change);
    } else if (world->locals[piece->index].is_there) {
        const struct local_model *local = &world->locals[piece->index];
        policy_state_put_local(state, local->ifname, local->ns, local->pod, local->ips,
                               local->n_ips);
    }
}

static void
check_another_order(const struct world *world)
{
    VEC(struct piece) pieces = VEC_INIT;
    AUTO(str) struct str one = STR_INIT;
    AUTO(str) struct str other = STR_INIT;
    struct told told;
    struct policy_state *state = state_new(&told);

    for (unsigned kind = 0; kind < N_KINDS; kind++) {
        for (size_t i = 0; i < store_count(world->cluster.store, (enum kind)kind); i++) {
            VEC_PUSH(&pieces, (struct piece){(enum kind)kind, i});
        }
    }
    for (size_t i = 0; i < N_LOCALS; i++) {
        VEC_PUSH(&pieces, (struct piece){N_KINDS, i});
    }
    policy_state_interfaces(state, world->interfaces, world->n_interfaces);
    while (pieces.n > 0) {
        size_t at = pick((unsigned)pieces.n);
        give(world, state, &pieces.items[at]);
        VEC_REMOVE_SWAP(&pieces, at);
        if (pick(10) == 0) {
            state_flush(state, &told);
        }
    }
    state_flush(state, &told);
    told_text(&world->told, &one);
    told_text(&told, &other);
    assert_string_equal(str_text(&one), str_text(&other));
    VEC_DONE(&pieces);
    policy_state_free(state);
    told_done(&told);
}

/* ---- histories --------------------------------------------------------------------------------
 */

static void
on_change(void *owner, const struct change *change)
{
    struct world *world = owner;

    if (kind_is_policy(change->kind)) {
        AUTO(str) struct str key = STR_INIT;
        policy_key(change->now != NULL ? change->now : change->was, &key);
        table_put(world->told.changed, key.text, &in_use);
    }
    policy_state_note(world->cluster.state, change);
}

static void
free_selector(void *value)
{
    selector_free(value);
}

static void
run_history(unsigned seed, long n_events)
{
    struct world *world = NEW(struct world);

    srand(seed);
    world->cluster.state = state_new(&world->told);
    world->cluster.store = store_new(on_change, world);
    world->selectors = table_new();
    for (size_t i = 0; i < N_LOCALS; i++) {
        snprintf(world->locals[i].ifname, sizeof world->locals[i].ifname, "cali%zu", i);
    }
    for (long i = 0; i < n_events; i++) {
        random_event(world);
        if (pick(2 + seed % 20) == 0) {
            state_flush(world->cluster.state, &world->told);
            check(world);
        }
        if (pick(500) == 0) {
            state_flush(world->cluster.state, &world->told);
            check_another_order(world);
        }
    }
    state_flush(world->cluster.state, &world->told);
    check(world);
    check_another_order(world);
    policy_state_free(world->cluster.state);
    store_free(world->cluster.store);
    told_done(&world->told);
    table_free(world->selectors, free_selector);
    for (size_t i = 0; i < N_LOCALS; i++) {
        free(world->locals[i].ns);
        free(world->locals[i].pod);
    }
    free(world);
}

static long
setting(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

static void
random_histories_give_what_the_objects_say(void **state)
{
    long n_left = setting("CANAL_TEST_EVENTS", N_EVENTS);
    unsigned seed = (unsigned)setting("CANAL_TEST_SEED", 1);

    (void)state;
    for (; n_left > 0; n_left -= EVENTS_PER_SEED) {
        print_message("seed %u\n", seed);
        run_history(seed++, n_left < EVENTS_PER_SEED ? n_left : EVENTS_PER_SEED);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_give_what_the_objects_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
