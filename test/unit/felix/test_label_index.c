/* felix/calc/label_index against brute force: random histories of items, labels, parents and
 * selectors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/calc/label_index.h"
#include "lib/base/alloc.h"
#include "lib/base/str.h"
#include "test/unit/cmocka.h"

#define N_EVENTS 100000
#define N_ITEMS 60
#define N_SELECTORS 40
#define N_PARENTS 4
#define N_KEYS 5

struct test_item {
    struct index_item *handle; /* NULL: not there */
    struct labels own;
    const char *parents[INDEX_PARENTS_MAX];
    bool matches[N_SELECTORS]; /* as told */
};

struct test_selector {
    struct index_selector *handle;
    struct selector *selector;
};

static const char *const parent_names[N_PARENTS] = {"ns/a", "ns/b", "sa/a/x", "sa/b/y"};

struct world {
    struct label_index *index;
    struct test_item items[N_ITEMS];
    struct test_selector selectors[N_SELECTORS];
    struct labels parents[N_PARENTS];
    size_t n_told;
};

static void
on_match(void *owner, void *selector, void *item, bool is_match)
{
    struct world *world = owner;
    struct test_item *it = item;
    size_t at = (size_t)((struct test_selector *)selector - world->selectors);

    assert_true(it->matches[at] != is_match);
    it->matches[at] = is_match;
    world->n_told++;
}

static unsigned
pick(unsigned n)
{
    return (unsigned)rand() % n;
}

static struct labels
random_labels(const char *prefix)
{
    char keys[N_KEYS][20], values[N_KEYS][20];
    struct label pairs[N_KEYS];
    size_t n = 0;

    for (unsigned i = 0; i < N_KEYS; i++) {
        if (pick(2) == 0) {
            /* Now and then an item says what its parent says, too. */
            snprintf(keys[n], sizeof keys[n], "%s%u", pick(8) ? prefix : "p.", i);
            snprintf(values[n], sizeof values[n], "v%u", pick(3));
            bool is_there = false;
            for (size_t k = 0; k < n; k++) {
                is_there |= strcmp(keys[k], keys[n]) == 0;
            }
            pairs[n] = (struct label){keys[n], values[n]};
            n += !is_there;
        }
    }
    return labels_from(pairs, n);
}

static void
random_expression(struct str *out, int depth)
{
    const char *prefix = pick(3) ? "l." : "p.";
    unsigned key = pick(N_KEYS), value = pick(3);

    switch (pick(depth > 0 ? 14 : 10)) {
    case 0:
        str_addf(out, "%s%u != 'v%u'", prefix, key, value);
        break;
    case 1:
        str_addf(out, "has(%s%u)", prefix, key);
        break;
    case 2:
        str_addf(out, "%s%u in {'v%u','v0'}", prefix, key, value);
        break;
    case 3:
        str_addf(out, "%s%u not in {'v%u'}", prefix, key, value);
        break;
    case 4:
        str_addf(out, "%s%u starts with 'v%s'", prefix, key, pick(2) ? "" : "1");
        break;
    case 5:
        str_addf(out, "%s%u ends with '%u'", prefix, key, value);
        break;
    case 6:
        str_add(out, pick(8) ? "!has(nothing)" : "all()");
        break;
    case 7:
        str_addf(out, "%s%u in {}", prefix, key);
        break;
    case 8:
    case 9:
        str_addf(out, "%s%u == 'v%u'", prefix, key, value);
        break;
    case 10:
        str_add(out, "!(");
        random_expression(out, depth - 1);
        str_add(out, ")");
        break;
    default:
        str_add(out, "(");
        random_expression(out, depth - 1);
        str_add(out, pick(3) ? ") && (" : ") || (");
        random_expression(out, depth - 1);
        str_add(out, ")");
        break;
    }
}

static void
random_item(struct world *world)
{
    struct test_item *item = &world->items[pick(N_ITEMS)];

    if (item->handle != NULL && pick(4) == 0) {
        label_index_remove(world->index, item->handle);
        item->handle = NULL;
        labels_done(&item->own);
        for (size_t i = 0; i < N_SELECTORS; i++) {
            assert_false(item->matches[i]);
        }
        return;
    }
    bool is_new = item->handle == NULL;
    labels_done(&item->own);
    item->own = random_labels("l.");
    item->parents[0] = pick(5) ? parent_names[pick(2)] : NULL;
    item->parents[1] = item->parents[0] && pick(2) ? parent_names[2 + pick(2)] : NULL;
    if (is_new) {
        item->handle = label_index_add(world->index, &item->own, item->parents, item);
    } else {
        label_index_change(world->index, item->handle, &item->own, item->parents);
    }
}

static void
random_selector(struct world *world)
{
    struct test_selector *selector = &world->selectors[pick(N_SELECTORS)];
    AUTO(str) struct str text = STR_INIT;
    struct err err = ERR_INIT;

    if (selector->handle != NULL) {
        label_index_remove_selector(world->index, selector->handle);
        selector_free(selector->selector);
        *selector = (struct test_selector){0};
        return;
    }
    random_expression(&text, 3);
    assert_true(selector_parse(str_text(&text), &selector->selector, &err));
    selector->handle = label_index_add_selector(world->index, selector->selector, selector);
}

static void
random_parent(struct world *world)
{
    unsigned at = pick(N_PARENTS);

    labels_done(&world->parents[at]);
    world->parents[at] = (struct labels){0};
    if (pick(5) == 0) {
        label_index_put_parent(world->index, parent_names[at], NULL);
        return;
    }
    world->parents[at] = random_labels("p.");
    label_index_put_parent(world->index, parent_names[at], &world->parents[at]);
}

struct lookup {
    const struct world *world;
    const struct test_item *item;
};

static const char *
lookup(const void *labels, const char *key)
{
    const struct lookup *look = labels;
    const char *value = labels_get(&look->item->own, key);

    for (size_t i = 0; i < INDEX_PARENTS_MAX && value == NULL; i++) {
        for (size_t p = 0; p < N_PARENTS && value == NULL; p++) {
            if (look->item->parents[i] == parent_names[p]) {
                value = labels_get(&look->world->parents[p], key);
            }
        }
    }
    return value;
}

static void
check(const struct world *world)
{
    for (size_t i = 0; i < N_ITEMS; i++) {
        const struct test_item *item = &world->items[i];
        for (size_t s = 0; s < N_SELECTORS; s++) {
            const struct lookup look = {world, item};
            bool want = item->handle != NULL && world->selectors[s].handle != NULL &&
                        selector_matches(world->selectors[s].selector, lookup, &look);
            assert_int_equal(item->matches[s], want);
        }
    }
}

static void
a_random_history_matches_brute_force(void **state)
{
    struct world *world = NEW(struct world);
    const struct label_index_spec spec = {.on_match = on_match, .owner = world};
    int n = getenv("WRAP") != NULL ? N_EVENTS / 50 : N_EVENTS;

    (void)state;
    srand(3);
    world->index = label_index_new(&spec);
    for (int i = 0; i < n; i++) {
        switch (pick(10)) {
        case 0:
            random_parent(world);
            break;
        case 1:
        case 2:
            random_selector(world);
            break;
        default:
            random_item(world);
            break;
        }
        if (pick(20) == 0) {
            check(world);
        }
    }
    check(world);
    assert_true(world->n_told > (size_t)n / 10);
    label_index_free(world->index);
    for (size_t i = 0; i < N_ITEMS; i++) {
        labels_done(&world->items[i].own);
    }
    for (size_t i = 0; i < N_SELECTORS; i++) {
        selector_free(world->selectors[i].selector);
    }
    for (size_t i = 0; i < N_PARENTS; i++) {
        labels_done(&world->parents[i]);
    }
    free(world);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_history_matches_brute_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
